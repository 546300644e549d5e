-- Nothing for anybody but what stands here: neither what PostgreSQL gives to PUBLIC by itself (EXECUTE, USAGE of types), nor what the
-- default privileges of whoever runs CREATE EXTENSION add. Who may act is for GRANT to say; docs/privileges.md has all of it.
DO $$
DECLARE
    statement text;
BEGIN
    FOR statement IN
        SELECT pg_catalog.format('REVOKE ALL ON %s FROM %s', made.what,
                                 CASE WHEN given.grantee = 0 THEN 'PUBLIC' ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(given.grantee)) END)
          FROM (SELECT 'SCHEMA walwarden' AS what, n.nspowner AS owner, coalesce(n.nspacl, pg_catalog.acldefault('n', n.nspowner)) AS acl
                  FROM pg_catalog.pg_namespace AS n WHERE n.nspname = 'walwarden'
                UNION ALL
                SELECT pg_catalog.format('%s %s', CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, c.oid::regclass), c.relowner,
                       coalesce(c.relacl, pg_catalog.acldefault((CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END)::"char", c.relowner))
                  FROM pg_catalog.pg_class AS c
                 WHERE c.relnamespace = 'walwarden'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'S')
                UNION ALL
                SELECT pg_catalog.format('ROUTINE %s', p.oid::regprocedure), p.proowner, coalesce(p.proacl, pg_catalog.acldefault('f', p.proowner))
                  FROM pg_catalog.pg_proc AS p WHERE p.pronamespace = 'walwarden'::regnamespace
                UNION ALL
                SELECT pg_catalog.format('TYPE %s', t.oid::regtype), t.typowner, coalesce(t.typacl, pg_catalog.acldefault('T', t.typowner))
                  FROM pg_catalog.pg_type AS t WHERE t.typnamespace = 'walwarden'::regnamespace AND t.typcategory <> 'A') AS made
          CROSS JOIN LATERAL (SELECT DISTINCT a.grantee FROM pg_catalog.aclexplode(made.acl) AS a WHERE a.grantee <> made.owner) AS given
    LOOP
        EXECUTE statement;
    END LOOP;
END
$$;

GRANT USAGE ON SCHEMA walwarden TO pg_monitor;
GRANT SELECT ON walwarden.jobs, walwarden.backups, walwarden.backup_copies, walwarden.discovered_backups, walwarden.schedules,
    walwarden.storages, walwarden.webhooks, walwarden.notifications, walwarden.progress, walwarden.waiting_sessions, walwarden.status, walwarden.audit_chain, walwarden.anchors, walwarden.keys TO pg_monitor;
GRANT EXECUTE ON FUNCTION walwarden._next_run(text, text, text, text), walwarden._progress(bigint),
    walwarden._scheduler_state(), walwarden._list(jsonb), walwarden._waiting_for(text, text), walwarden._changes(), walwarden._stats_since(),
    walwarden._changes_since(bigint, timestamptz, bigint, timestamptz), walwarden._wal_position(),
    walwarden._newest_good_backup(text), walwarden.report(timestamptz, timestamptz) TO pg_monitor;
