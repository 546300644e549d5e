-- Nothing for anybody but what stands below: neither what PostgreSQL gives to PUBLIC by itself (EXECUTE, USAGE of types), nor what the
-- default privileges of whoever runs CREATE EXTENSION add. Who may act is for GRANT to say; docs/privileges.md has all of it.
-- An object whose privileges a script of the extension has set stands in pg_init_privs: an upgrade script calls this for the objects
-- that it makes, and what users have granted on those that were there stays.
CREATE FUNCTION walwarden._make_private() RETURNS void
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    statement text;
BEGIN
    FOR statement IN
        SELECT pg_catalog.format('REVOKE ALL ON %s FROM %s', made.what,
                                 CASE WHEN given.grantee = 0 THEN 'PUBLIC' ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(given.grantee)) END)
          FROM (SELECT 'pg_namespace'::regclass AS catalog, n.oid AS object, 'SCHEMA walwarden' AS what, n.nspowner AS owner,
                       coalesce(n.nspacl, pg_catalog.acldefault('n', n.nspowner)) AS acl
                  FROM pg_catalog.pg_namespace AS n WHERE n.nspname = 'walwarden'
                UNION ALL
                SELECT 'pg_class'::regclass, c.oid, pg_catalog.format('%s %s', CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, c.oid::regclass),
                       c.relowner, coalesce(c.relacl, pg_catalog.acldefault((CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END)::"char", c.relowner))
                  FROM pg_catalog.pg_class AS c
                 WHERE c.relnamespace = 'walwarden'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'S')
                UNION ALL
                SELECT 'pg_proc'::regclass, p.oid, pg_catalog.format('ROUTINE %s', p.oid::regprocedure), p.proowner,
                       coalesce(p.proacl, pg_catalog.acldefault('f', p.proowner))
                  FROM pg_catalog.pg_proc AS p WHERE p.pronamespace = 'walwarden'::regnamespace
                UNION ALL
                SELECT 'pg_type'::regclass, t.oid, pg_catalog.format('TYPE %s', t.oid::regtype), t.typowner,
                       coalesce(t.typacl, pg_catalog.acldefault('T', t.typowner))
                  FROM pg_catalog.pg_type AS t
                 WHERE t.typnamespace = 'walwarden'::regnamespace AND t.typcategory <> 'A'
                   -- Not a table's rows as a type: pg_dump would warn about each, and pg_upgrade would not take it along.
                   AND NOT EXISTS (SELECT FROM pg_catalog.pg_class AS c WHERE c.oid = t.typrelid AND c.relkind <> 'c')) AS made
          -- Those to whom nothing was given are told so as well: a REVOKE that changes nothing is written down like any other.
          CROSS JOIN LATERAL (SELECT 0::oid AS grantee UNION SELECT a.grantee FROM pg_catalog.aclexplode(made.acl) AS a WHERE a.grantee <> made.owner) AS given
         WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_init_privs AS i WHERE i.classoid = made.catalog AND i.objoid = made.object AND i.objsubid = 0)
    LOOP
        EXECUTE statement;
    END LOOP;
END
$$;
SELECT walwarden._make_private();

GRANT USAGE ON SCHEMA walwarden TO pg_monitor;
GRANT SELECT ON walwarden.jobs, walwarden.backups, walwarden.backup_copies, walwarden.backup_tables, walwarden.discovered_backups, walwarden.schedules,
    walwarden.storages, walwarden.webhooks, walwarden.notifications, walwarden.progress, walwarden.waiting_sessions, walwarden.status, walwarden.audit_chain, walwarden.anchors, walwarden.keys,
    walwarden.metrics TO pg_monitor;
GRANT EXECUTE ON FUNCTION walwarden._next_run(text, text, text, text), walwarden._progress(bigint),
    walwarden._scheduler_state(), walwarden._list(jsonb), walwarden.library_version(), walwarden._waiting_for(text, text), walwarden._changes(), walwarden._stats_since(),
    walwarden._changes_since(bigint, timestamptz, bigint, timestamptz), walwarden._wal_position(),
    walwarden._newest_good_backup(text), walwarden.report(timestamptz, timestamptz),
    walwarden._metrics(), walwarden.metrics_text(boolean), walwarden.help(text),
    walwarden."check"(text, interval, interval, interval, interval, interval) TO pg_monitor;
