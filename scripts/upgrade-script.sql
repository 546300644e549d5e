\echo Use "ALTER EXTENSION walwarden UPDATE TO '@TO@'" to run this file. \quit

-- From @FROM@ to @TO@. Afterwards the catalogs are what CREATE EXTENSION makes of @TO@ (tests/upgrade.rs); what must hold while
-- backups run is in CONTRIBUTING.md.
SET LOCAL search_path = pg_catalog, pg_temp;

DO $$
BEGIN
    IF walwarden.library_version() <> '@TO@' THEN
        RAISE EXCEPTION 'the library of walwarden in this session is of version %, not @TO@', walwarden.library_version()
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Install the package of @TO@. Then restart the server, '
                || 'or begin a new session where walwarden is not in shared_preload_libraries.';
    END IF;
END
$$;

-- What is new comes here.

-- Before any GRANT on what is new: what a script of the extension has granted on already is left as it is.
SELECT walwarden._make_private();

SELECT walwarden._append_audit('extension.updated', NULL, '{"from": "@FROM@", "to": "@TO@"}');
