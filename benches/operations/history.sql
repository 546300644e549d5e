-- As many jobs as :jobs, one each three minutes up to now, of twenty schedules: what a server has behind it that backs up
-- every hour for years. Rows of walwarden.job as finished jobs leave them; their backups are deleted after thirty days.
-- A superuser in a throw-away cluster: nobody else gets around the triggers, and they are back at the end.
SET client_min_messages = warning;
ALTER TABLE walwarden.job DISABLE TRIGGER USER;
ALTER TABLE walwarden.backup_copy DISABLE TRIGGER USER;

SELECT walwarden.schedule('s' || to_char(n, 'FM00'), '0 2 * * *', verify_cron => '0 4 * * *') FROM generate_series(1, 20) AS n;

CREATE FUNCTION pg_temp.job_time(n bigint, jobs bigint) RETURNS timestamptz LANGUAGE sql STABLE AS
$$ SELECT date_trunc('minute', now()) - (jobs - n + 10) * interval '3 minutes' $$;
-- A UUIDv7 of that time, always the same for the same job.
CREATE FUNCTION pg_temp.job_id(n bigint, jobs bigint) RETURNS uuid LANGUAGE sql STABLE AS
$$ SELECT (lpad(to_hex((extract(epoch FROM pg_temp.job_time(n, jobs)) * 1000)::bigint), 12, '0')
           || '7' || substr(md5(n::text), 1, 3) || '8' || substr(md5(n::text), 4, 15))::uuid $$;

INSERT INTO walwarden.job (id, kind, schedule, trigger, scheduled_for, state, storages, requested_by, backup, depth, options,
                           queued_at, claimed_at, started_at, finalizing_at, finalized_at, snapshot_at, snapshot_lsn,
                           size_bytes, raw_bytes, tables, rows, sha256, object_key, globals_key, manifest_key, copiers,
                           compression, error_class, error_message, error_detail, error_hint, canceled_by,
                           expires_at, delete_reason, deleted_by, deleted_at)
SELECT id, kind, 's' || to_char(n % 20 + 1, 'FM00'), 'schedule', at, state, '{local}', 'walwarden',
       CASE WHEN kind <> 'backup' THEN pg_temp.job_id(n - 60, :jobs) END,
       CASE WHEN kind = 'verify' THEN 'full' END,
       CASE WHEN kind = 'restore_test' THEN '{}'::jsonb END,
       at, at + interval '20 ms', at + interval '50 ms',
       CASE WHEN done THEN at + interval '40 s' END, at + interval '55 s',
       CASE WHEN done AND kind = 'backup' THEN at + interval '100 ms' END,
       CASE WHEN done AND kind = 'backup' THEN '0/0'::pg_lsn + n * 16777216 END,
       CASE WHEN done AND kind = 'backup' THEN 400000000 + n * 100 END,
       CASE WHEN done THEN 1600000000 + n * 400 END, CASE WHEN done THEN 120 END, CASE WHEN done THEN 9000000 + n END,
       CASE WHEN done AND kind = 'backup' THEN encode(sha256(n::text::bytea), 'hex') END,
       CASE WHEN done AND kind = 'backup' THEN path || '.dump' END, CASE WHEN done AND kind = 'backup' THEN path || '.globals.sql' END,
       CASE WHEN done AND kind = 'backup' THEN path || '.manifest.json' END,
       CASE WHEN done THEN 2 END, 'gzip:6',
       CASE WHEN state = 'failed' THEN 'storage_unreachable' END,
       CASE WHEN state = 'failed' THEN 'could not reach storage "local"' END,
       CASE WHEN state = 'failed' THEN 'error sending request: operation timed out after 120 s' END,
       CASE WHEN state = 'failed' THEN 'Look whether the address is right and whether the storage is up.' END,
       CASE WHEN state = 'canceled' THEN 'postgres' END,
       CASE WHEN expired THEN at + interval '30 days' END, CASE WHEN expired THEN 'keep_for' END,
       CASE WHEN expired THEN 'walwarden' END, CASE WHEN expired THEN at + interval '30 days 1 minute' END
  FROM (SELECT n, at, id, kind, state, state = 'completed' AS done,
               state = 'completed' AND kind = 'backup' AND at < now() - interval '30 days' AS expired,
               'org/default/db/0197a000-0000-7000-8000-000000000000/backup/' || to_char(at, 'YYYY/MM/DD/') || id AS path
          FROM (SELECT n, pg_temp.job_time(n, :jobs) AS at, pg_temp.job_id(n, :jobs) AS id,
                       CASE n / 20 % 20 WHEN 0 THEN 'verify' WHEN 1 THEN 'restore_test' ELSE 'backup' END AS kind,
                       CASE WHEN n % 37 = 0 THEN 'failed' WHEN n % 101 = 0 THEN 'canceled' ELSE 'completed' END AS state
                  FROM generate_series(1::bigint, :jobs) AS n) AS one) AS all_of_them;

INSERT INTO walwarden.backup_copy (backup, storage, state, made_by, object_key, globals_key, manifest_key, size_bytes, stored_at, deleted_at)
SELECT id, 'local', CASE WHEN deleted_at IS NULL THEN 'stored' ELSE 'deleted' END, id, object_key, globals_key, manifest_key,
       size_bytes, finalized_at, deleted_at
  FROM walwarden.job WHERE kind = 'backup' AND state = 'completed';

-- Not by name: whatever triggers the tables have fire always, as they did before.
SELECT format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', tgrelid::regclass, tgname)
  FROM pg_trigger WHERE tgrelid IN ('walwarden.job'::regclass, 'walwarden.backup_copy'::regclass) AND NOT tgisinternal
\gexec
VACUUM (ANALYZE) walwarden.job, walwarden.backup_copy;
