-- The report. It shows what the views show, and what the check of the audit chain finds, for which it reads the tables.

CREATE FUNCTION walwarden.report("from" timestamptz DEFAULT pg_catalog.now() - interval '30 days',
        "to" timestamptz DEFAULT pg_catalog.now()) RETURNS text
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'report_wrapper';
COMMENT ON FUNCTION walwarden.report(timestamptz, timestamptz) IS
    'one HTML page, with all it needs in it, on the backups of a time: psql -XAt -c "SELECT walwarden.report()" > report.html';
