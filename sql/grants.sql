-- Nothing for PUBLIC. pg_monitor reads the views; who may act is for GRANT to say.
REVOKE ALL ON SCHEMA walwarden FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA walwarden FROM PUBLIC;
REVOKE ALL ON ALL ROUTINES IN SCHEMA walwarden FROM PUBLIC;

GRANT USAGE ON SCHEMA walwarden TO pg_monitor;
GRANT SELECT ON walwarden.jobs, walwarden.backups, walwarden.backup_copies, walwarden.discovered_backups, walwarden.schedules,
    walwarden.storages, walwarden.webhooks, walwarden.notifications, walwarden.progress, walwarden.waiting_sessions, walwarden.status, walwarden.audit_chain, walwarden.anchors, walwarden.keys TO pg_monitor;
GRANT EXECUTE ON FUNCTION walwarden._next_run(text, text, text, text), walwarden._progress(bigint),
    walwarden._scheduler_state(), walwarden._list(jsonb), walwarden._waiting_for(text, text), walwarden._changes(), walwarden._stats_since(),
    walwarden._changes_since(bigint, timestamptz, bigint, timestamptz), walwarden._wal_position(),
    walwarden._newest_good_backup(text), walwarden.report(timestamptz, timestamptz) TO pg_monitor;
