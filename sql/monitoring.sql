-- What monitoring systems read: numbers in Prometheus terms, a check in those of Nagios; and help for people at psql.

-- Jobs are never deleted, and counting a million of them takes longer than anybody wants at each scrape.
CREATE TABLE walwarden.job_count (
    kind  text NOT NULL,
    state text NOT NULL,
    jobs  bigint NOT NULL,
    PRIMARY KEY (kind, state)
);
COMMENT ON TABLE walwarden.job_count IS 'how many jobs have ended, by kind and state';
COMMENT ON COLUMN walwarden.job_count.kind IS 'as in walwarden.jobs';
COMMENT ON COLUMN walwarden.job_count.state IS 'completed, partial, failed or canceled';
COMMENT ON COLUMN walwarden.job_count.jobs IS 'so many since the extension was made';
INSERT INTO walwarden.job_count (kind, state, jobs)
SELECT j.kind, j.state, pg_catalog.count(*) FROM walwarden.job AS j WHERE j.finalized_at IS NOT NULL GROUP BY j.kind, j.state;

CREATE FUNCTION walwarden._count_job() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO walwarden.job_count AS c (kind, state, jobs) VALUES (NEW.kind, NEW.state, 1)
    ON CONFLICT ON CONSTRAINT job_count_pkey DO UPDATE SET jobs = c.jobs + 1;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION walwarden._count_job() IS 'keeps walwarden.job_count';
-- After job_audit_update by its name, and deferred like it: whoever is here holds the head of the audit chain and is alone.
CREATE CONSTRAINT TRIGGER job_count_update AFTER UPDATE ON walwarden.job
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.state <> OLD.state AND NEW.finalized_at IS NOT NULL)
    EXECUTE FUNCTION walwarden._count_job();
ALTER TABLE walwarden.job ENABLE ALWAYS TRIGGER job_count_update;
COMMENT ON TRIGGER job_count_update ON walwarden.job IS 'counts the jobs that end';

CREATE VIEW walwarden._metric AS
SELECT pg_catalog.row_number() OVER () AS place, m.name, m.type, m.help FROM (VALUES
    ('walwarden_version_info', 'gauge', 'Always 1; the labels have the versions of the library and of the SQL objects.'),
    ('walwarden_scheduler_status', 'gauge', 'Whether schedules fire: 1 for the state that holds (running, not preloaded, off, stopped, standby, suspended), else 0.'),
    ('walwarden_last_backup_age_seconds', 'gauge', 'Since the newest good backup was completed.'),
    ('walwarden_last_backup_duration_seconds', 'gauge', 'How long the newest good backup took.'),
    ('walwarden_last_backup_size_bytes', 'gauge', 'Size of the newest good backup''s archive.'),
    ('walwarden_loss_window_seconds', 'gauge', 'What would be lost now: the age of the moment whose data the newest good backup holds.'),
    ('walwarden_recovery_point_timestamp_seconds', 'gauge', 'That moment, in seconds since 1970.'),
    ('walwarden_wal_since_backup_bytes', 'gauge', 'Write-ahead log that the whole cluster has written since then.'),
    ('walwarden_jobs_total', 'counter', 'Jobs that have ended, by kind and state.'),
    ('walwarden_jobs_unfinished', 'gauge', 'Jobs that have not ended, by kind and state.'),
    ('walwarden_waiting_jobs', 'gauge', 'Queued jobs by what they wait for: run_after, turn, slot, worker, or none: about to start.'),
    ('walwarden_oldest_queued_job_age_seconds', 'gauge', 'How long the queued job waits that could have started first; 0 without one.'),
    ('walwarden_job_last_succeeded', 'gauge', 'Whether the latest job of this kind that was not canceled succeeded: 1 or 0.'),
    ('walwarden_job_last_age_seconds', 'gauge', 'Since that job ended.'),
    ('walwarden_job_last_duration_seconds', 'gauge', 'How long that job ran.'),
    ('walwarden_job_last_success_age_seconds', 'gauge', 'Since the latest job of this kind that succeeded ended.'),
    ('walwarden_job_failures_in_a_row', 'gauge', 'Jobs of this kind that failed since one succeeded; 1000 at most.'),
    ('walwarden_job_running_seconds', 'gauge', 'How long the longest job of this kind has been running by now.'),
    ('walwarden_job_running_progress_ratio', 'gauge', 'How much of its present phase a running job has done, from 0 to 1; of several the least.'),
    ('walwarden_job_running_read_bytes', 'gauge', 'Bytes of rows and large objects that running jobs of this kind have read or loaded.'),
    ('walwarden_job_running_stored_bytes', 'gauge', 'Bytes of running backups that storage has.'),
    ('walwarden_sessions_waiting', 'gauge', 'Sessions that wait for a lock of the running backup.'),
    ('walwarden_jobs_to_clean_up', 'gauge', 'Ended jobs that have left something behind which is not removed yet.'),
    ('walwarden_backups_to_delete', 'gauge', 'Backups that are to be deleted and are not gone yet.'),
    ('walwarden_backups_to_delete_age_seconds', 'gauge', 'How long the first of them has been waiting, those left out that a storage''s lock retains; 0 without one.'),
    ('walwarden_backups_retained_by_lock', 'gauge', 'Those of them that a storage refuses to delete yet.'),
    ('walwarden_schedule_enabled', 'gauge', 'Whether the schedule is not paused: 1 or 0.'),
    ('walwarden_schedule_next_run_timestamp_seconds', 'gauge', 'When it runs next, by the schedule alone.'),
    ('walwarden_schedule_last_backup_age_seconds', 'gauge', 'Since the newest good backup of the schedule was completed.'),
    ('walwarden_schedule_last_backup_duration_seconds', 'gauge', 'How long that backup took.'),
    ('walwarden_schedule_last_backup_size_bytes', 'gauge', 'Size of its archive.'),
    ('walwarden_schedule_loss_window_seconds', 'gauge', 'What would be lost with nothing but the backups of this schedule.'),
    ('walwarden_schedule_recovery_point_timestamp_seconds', 'gauge', 'The moment whose data that backup holds.'),
    ('walwarden_schedule_rpo_seconds', 'gauge', 'How large the loss window may be; only of schedules with a target.'),
    ('walwarden_schedule_rpo_met', 'gauge', 'Whether it is no larger: 1 or 0; before the first backup counted from the moment the schedule was made.'),
    ('walwarden_schedule_job_last_succeeded', 'gauge', 'Whether the schedule''s latest job of this kind that was not canceled succeeded: 1 or 0; verifications and restore tests: those at a scheduled time.'),
    ('walwarden_schedule_job_last_age_seconds', 'gauge', 'Since that job ended.'),
    ('walwarden_schedule_job_last_success_age_seconds', 'gauge', 'Since the latest of these jobs that succeeded ended, if it is among the last 200.'),
    ('walwarden_schedule_job_failures_in_a_row', 'gauge', 'How many of these jobs failed since one succeeded; 200 at most.'),
    ('walwarden_storage_reachable', 'gauge', '0 while the latest that is known of the storage is an error of it, else 1. It is used by backups, and by the audit chain at least once a day.'),
    ('walwarden_storage_nearly_full', 'gauge', 'Whether a storage in a folder is nearly full: 1 or 0; looked at once an hour.'),
    ('walwarden_storage_copies', 'gauge', 'Backups that the storage has.'),
    ('walwarden_storage_size_bytes', 'gauge', 'Bytes of their archives.'),
    ('walwarden_storage_copies_missing', 'gauge', 'Backups that it should have and does not; they are copied later.'),
    ('walwarden_storage_copies_damaged', 'gauge', 'Backups there that a verification or a restore test has found damaged.'),
    ('walwarden_storage_anchor_age_seconds', 'gauge', 'Since the audit chain was last anchored there by a checkpoint.'),
    ('walwarden_storage_anchor_entries_behind', 'gauge', 'Entries of the audit chain that came after that checkpoint.'),
    ('walwarden_storage_anchor_failed', 'gauge', 'Whether the last attempt to anchor there failed: 1 or 0.'),
    ('walwarden_audit_entries_total', 'counter', 'Entries of the audit chain.'),
    ('walwarden_audit_forks', 'gauge', 'Storages with a checkpoint that the audit chain does not continue. While there is one nothing is signed.'),
    ('walwarden_audit_problems', 'gauge', 'Problems that the last daily look at the audit chain found; absent before the first one.'),
    ('walwarden_audit_check_age_seconds', 'gauge', 'Since that look.'),
    ('walwarden_key_age_seconds', 'gauge', 'How long the current signing key has been signing.'),
    ('walwarden_webhook_pending', 'gauge', 'Notifications that are neither delivered nor given up.'),
    ('walwarden_webhook_pending_age_seconds', 'gauge', 'How old the oldest of them is; 0 without one.'),
    ('walwarden_webhook_failures_in_a_row', 'gauge', 'How often in a row the receiver failed.')
  ) AS m (name, type, help);
COMMENT ON VIEW walwarden._metric IS 'the families of walwarden.metrics, in their order';
COMMENT ON COLUMN walwarden._metric.place IS 'its place among them';
COMMENT ON COLUMN walwarden._metric.name IS 'what it is called';
COMMENT ON COLUMN walwarden._metric.type IS 'gauge or counter';
COMMENT ON COLUMN walwarden._metric.help IS 'what it says';

-- All of it in one snapshot. Everything reads an index, from the newest backwards; nothing is worth compiling (jit).
CREATE FUNCTION walwarden._metrics() RETURNS TABLE (name text, labels jsonb, value double precision)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off AS $$
DECLARE
    base jsonb := pg_catalog.jsonb_build_object('database', pg_catalog.current_database());
    now_at timestamptz := pg_catalog.clock_timestamp();
    kinds text[] := '{backup,verify,restore,restore_test,copy}';
    scheduler text := walwarden._scheduler_state();
BEGIN
    RETURN QUERY
    SELECT 'walwarden_version_info', base || pg_catalog.jsonb_build_object('library_version', walwarden.library_version(), 'extension_version', e.extversion),
           1::double precision
      FROM pg_catalog.pg_extension AS e WHERE e.extname = 'walwarden';

    RETURN QUERY
    SELECT 'walwarden_scheduler_status', base || pg_catalog.jsonb_build_object('state', s.state), (s.state = scheduler)::integer::double precision
      FROM pg_catalog.unnest('{running,not preloaded,off,stopped,standby,suspended}'::text[]) AS s (state);

    RETURN QUERY
    SELECT m.name, base, m.value::double precision
      FROM (SELECT b.job, b.snapshot_at, b.snapshot_lsn, b.finalized_at, b.size_bytes FROM walwarden.backups AS b
             WHERE b.damage IS NULL ORDER BY b.snapshot_at DESC LIMIT 1) AS newest
      JOIN walwarden.job AS j ON j.id = newest.job
     CROSS JOIN LATERAL (VALUES
           ('walwarden_last_backup_age_seconds', extract(epoch FROM now_at - newest.finalized_at)),
           ('walwarden_last_backup_duration_seconds', extract(epoch FROM newest.finalized_at - j.started_at)),
           ('walwarden_last_backup_size_bytes', newest.size_bytes::numeric),
           ('walwarden_loss_window_seconds', extract(epoch FROM now_at - newest.snapshot_at)),
           ('walwarden_recovery_point_timestamp_seconds', extract(epoch FROM newest.snapshot_at)),
           ('walwarden_wal_since_backup_bytes', greatest(pg_catalog.pg_wal_lsn_diff(walwarden._wal_position(), newest.snapshot_lsn), 0))) AS m (name, value)
     WHERE m.value IS NOT NULL;

    RETURN QUERY
    SELECT 'walwarden_jobs_total', base || pg_catalog.jsonb_build_object('kind', k.kind, 'state', s.state), coalesce(c.jobs, 0)::double precision
      FROM pg_catalog.unnest(kinds) AS k (kind) CROSS JOIN pg_catalog.unnest('{completed,partial,failed,canceled}'::text[]) AS s (state)
      LEFT JOIN walwarden.job_count AS c ON c.kind = k.kind AND c.state = s.state
     WHERE s.state <> 'partial' OR k.kind = 'backup';

    RETURN QUERY
    SELECT 'walwarden_jobs_unfinished', base || pg_catalog.jsonb_build_object('kind', k.kind, 'state', s.state), coalesce(u.jobs, 0)::double precision
      FROM pg_catalog.unnest(kinds) AS k (kind) CROSS JOIN pg_catalog.unnest('{queued,claimed,running,finalizing}'::text[]) AS s (state)
      LEFT JOIN (SELECT j.kind, j.state, pg_catalog.count(*) AS jobs FROM walwarden.job AS j
                  WHERE j.finalized_at IS NULL GROUP BY j.kind, j.state) AS u ON u.kind = k.kind AND u.state = s.state;

    RETURN QUERY
    WITH waiting AS (
        SELECT greatest(j.queued_at, j.run_after) AS since,
               CASE WHEN j.run_after > now_at THEN 'run_after' ELSE coalesce(walwarden._waiting_for(j.kind, j.trigger), 'none') END AS reason
          FROM walwarden.job AS j WHERE j.state = 'queued' AND j.finalized_at IS NULL)
    SELECT 'walwarden_waiting_jobs', base || pg_catalog.jsonb_build_object('reason', r.reason),
           (SELECT pg_catalog.count(*) FROM waiting AS w WHERE w.reason = r.reason)::double precision
      FROM pg_catalog.unnest('{run_after,turn,slot,worker,none}'::text[]) AS r (reason)
     UNION ALL
    SELECT 'walwarden_oldest_queued_job_age_seconds', base,
           coalesce((SELECT pg_catalog.max(greatest(extract(epoch FROM now_at - w.since), 0)) FROM waiting AS w WHERE w.reason <> 'run_after'), 0)::double precision;

    RETURN QUERY
    SELECT m.name, base || pg_catalog.jsonb_build_object('kind', k.kind), m.value::double precision
      FROM pg_catalog.unnest(kinds) AS k (kind)
      LEFT JOIN LATERAL (SELECT latest.state, latest.finalized_at, latest.started_at
                           FROM pg_catalog.unnest('{completed,partial,failed}'::text[]) AS s (state)
                          CROSS JOIN LATERAL (SELECT j.state, j.finalized_at, j.started_at FROM walwarden.job AS j
                                               WHERE j.kind = k.kind AND j.state = s.state AND j.finalized_at IS NOT NULL
                                               ORDER BY j.finalized_at DESC LIMIT 1) AS latest
                          ORDER BY latest.finalized_at DESC LIMIT 1) AS last ON true
      LEFT JOIN LATERAL (SELECT latest.finalized_at
                           FROM pg_catalog.unnest('{completed,partial}'::text[]) AS s (state)
                          CROSS JOIN LATERAL (SELECT j.finalized_at FROM walwarden.job AS j
                                               WHERE j.kind = k.kind AND j.state = s.state AND j.finalized_at IS NOT NULL
                                               ORDER BY j.finalized_at DESC LIMIT 1) AS latest
                          ORDER BY latest.finalized_at DESC LIMIT 1) AS good ON true
      LEFT JOIN LATERAL (SELECT extract(epoch FROM now_at - pg_catalog.min(coalesce(j.started_at, j.claimed_at))) AS seconds FROM walwarden.job AS j
                          WHERE j.kind = k.kind AND j.state <> 'queued' AND j.finalized_at IS NULL) AS running ON true
      LEFT JOIN LATERAL (SELECT pg_catalog.min(p.percent) / 100.0 AS ratio, pg_catalog.sum(p.raw_bytes) AS read, pg_catalog.sum(p.stored_bytes) AS stored
                           FROM walwarden.job AS j CROSS JOIN LATERAL walwarden._progress(j.progress_handle) AS p
                          WHERE j.kind = k.kind AND j.finalized_at IS NULL AND j.progress_handle IS NOT NULL) AS progress ON true
     CROSS JOIN LATERAL (VALUES
           ('walwarden_job_last_succeeded', (last.state <> 'failed')::integer::numeric),
           ('walwarden_job_last_age_seconds', extract(epoch FROM now_at - last.finalized_at)),
           ('walwarden_job_last_duration_seconds', extract(epoch FROM last.finalized_at - last.started_at)),
           ('walwarden_job_last_success_age_seconds', extract(epoch FROM now_at - good.finalized_at)),
           ('walwarden_job_failures_in_a_row', (SELECT pg_catalog.count(*) FROM (SELECT FROM walwarden.job AS j
                                                WHERE j.kind = k.kind AND j.state = 'failed'
                                                  AND j.finalized_at > coalesce(good.finalized_at, '-infinity') LIMIT 1000) AS failed)),
           ('walwarden_job_running_seconds', running.seconds),
           ('walwarden_job_running_progress_ratio', progress.ratio),
           ('walwarden_job_running_read_bytes', progress.read),
           ('walwarden_job_running_stored_bytes', CASE WHEN k.kind = 'backup' THEN progress.stored END)) AS m (name, value)
     WHERE m.value IS NOT NULL;

    RETURN QUERY
    SELECT m.name, base, m.value::double precision
      FROM (VALUES
           ('walwarden_sessions_waiting', (SELECT pg_catalog.count(*) FROM walwarden.waiting_sessions)),
           ('walwarden_jobs_to_clean_up',
            (SELECT pg_catalog.count(*) FROM (
                SELECT j.id FROM walwarden.job AS j WHERE j.scratch_database IS NOT NULL AND j.finalized_at IS NOT NULL
                 UNION
                SELECT j.id FROM walwarden.backup_copy AS c JOIN walwarden.job AS j ON j.id = c.made_by
                 WHERE c.cleanup IS NOT NULL AND j.finalized_at IS NOT NULL) AS left_behind)),
           ('walwarden_audit_entries_total', (SELECT h.seq FROM walwarden.audit_head AS h)),
           ('walwarden_audit_forks', (SELECT pg_catalog.count(*) FROM walwarden.audit_fork)),
           ('walwarden_audit_problems', (SELECT w.audit_problems FROM walwarden.watch AS w))) AS m (name, value)
     WHERE m.value IS NOT NULL;

    RETURN QUERY
    SELECT m.name, base, m.value::double precision
      FROM (SELECT pg_catalog.count(*) AS backups, pg_catalog.count(*) FILTER (WHERE d.retained) AS retained,
                   pg_catalog.min(d.expires_at) FILTER (WHERE NOT d.retained) AS since
              FROM (SELECT j.expires_at, EXISTS (SELECT FROM walwarden.backup_copy AS c
                                                  WHERE c.backup = j.id AND c.state = 'retained_by_lock') AS retained
                      FROM walwarden.job AS j WHERE j.expires_at IS NOT NULL AND j.deleted_at IS NULL) AS d) AS doomed
     CROSS JOIN LATERAL (VALUES
           ('walwarden_backups_to_delete', doomed.backups::numeric),
           ('walwarden_backups_to_delete_age_seconds', coalesce(extract(epoch FROM now_at - doomed.since), 0)),
           ('walwarden_backups_retained_by_lock', doomed.retained::numeric)) AS m (name, value);

    RETURN QUERY
    SELECT 'walwarden_audit_check_age_seconds', base, extract(epoch FROM now_at - w.audit_at)::double precision
      FROM walwarden.watch AS w WHERE w.audit_at > '-infinity'
     UNION ALL
    SELECT 'walwarden_key_age_seconds', base, extract(epoch FROM now_at - k.valid_from)::double precision
      FROM walwarden.key AS k WHERE k.valid_until IS NULL;

    RETURN QUERY
    SELECT m.name, base || pg_catalog.jsonb_build_object('schedule', s.name), m.value::double precision
      FROM walwarden.schedule AS s CROSS JOIN walwarden.database AS d
      LEFT JOIN walwarden.job AS good ON good.id = walwarden._newest_good_backup(s.name)
     CROSS JOIN LATERAL (SELECT (s.definition ->> 'rpo')::numeric AS rpo) AS target
     CROSS JOIN LATERAL (VALUES
           ('walwarden_schedule_enabled', s.enabled::integer::numeric),
           ('walwarden_schedule_next_run_timestamp_seconds',
            CASE WHEN s.enabled THEN extract(epoch FROM walwarden._next_run(d.id::text, s.name, 'backup', s.definition::text)) END),
           ('walwarden_schedule_last_backup_age_seconds', extract(epoch FROM now_at - good.finalized_at)),
           ('walwarden_schedule_last_backup_duration_seconds', extract(epoch FROM good.finalized_at - good.started_at)),
           ('walwarden_schedule_last_backup_size_bytes', good.size_bytes::numeric),
           ('walwarden_schedule_loss_window_seconds', extract(epoch FROM now_at - good.snapshot_at)),
           ('walwarden_schedule_recovery_point_timestamp_seconds', extract(epoch FROM good.snapshot_at)),
           ('walwarden_schedule_rpo_seconds', target.rpo),
           ('walwarden_schedule_rpo_met',
            (extract(epoch FROM now_at - coalesce(good.snapshot_at, s.created_at)) <= target.rpo)::integer::numeric)) AS m (name, value)
     WHERE m.value IS NOT NULL;

    -- Backups in the order in which they were queued, those by hand too; the others by the index of scheduled times. None looks at more
    -- than 200 rows, and at a few as a rule. Of the verifications of a time, one for each storage, one that failed counts.
    RETURN QUERY
    SELECT m.name, base || pg_catalog.jsonb_build_object('schedule', s.name, 'kind', 'backup'), m.value::double precision
      FROM walwarden.schedule AS s
     CROSS JOIN LATERAL (SELECT r.state, r.finalized_at
                           FROM (SELECT j.kind, j.state, j.queued_at, j.finalized_at FROM walwarden.job AS j
                                  WHERE j.schedule = s.name ORDER BY j.queued_at DESC LIMIT 200) AS r
                          WHERE r.kind = 'backup' AND r.state IN ('completed', 'partial', 'failed') ORDER BY r.queued_at DESC LIMIT 1) AS last
      LEFT JOIN LATERAL (SELECT r.queued_at, r.finalized_at
                           FROM (SELECT j.kind, j.state, j.queued_at, j.finalized_at FROM walwarden.job AS j
                                  WHERE j.schedule = s.name ORDER BY j.queued_at DESC LIMIT 200) AS r
                          WHERE r.kind = 'backup' AND r.state IN ('completed', 'partial') ORDER BY r.queued_at DESC LIMIT 1) AS good ON true
     CROSS JOIN LATERAL (SELECT pg_catalog.count(*) AS failures
                           FROM (SELECT j.kind, j.state FROM walwarden.job AS j
                                  WHERE j.schedule = s.name AND j.queued_at > coalesce(good.queued_at, '-infinity')
                                  ORDER BY j.queued_at DESC LIMIT 200) AS r
                          WHERE r.kind = 'backup' AND r.state = 'failed') AS since
     CROSS JOIN LATERAL (VALUES
           ('walwarden_schedule_job_last_succeeded', (last.state <> 'failed')::integer::numeric),
           ('walwarden_schedule_job_last_age_seconds', extract(epoch FROM now_at - last.finalized_at)),
           ('walwarden_schedule_job_last_success_age_seconds', extract(epoch FROM now_at - good.finalized_at)),
           ('walwarden_schedule_job_failures_in_a_row', since.failures::numeric)) AS m (name, value)
     WHERE m.value IS NOT NULL
    UNION ALL
    SELECT m.name, base || pg_catalog.jsonb_build_object('schedule', s.name, 'kind', k.kind), m.value::double precision
      FROM walwarden.schedule AS s CROSS JOIN pg_catalog.unnest('{verify,restore_test}'::text[]) AS k (kind)
     CROSS JOIN LATERAL (SELECT r.state, r.finalized_at
                           FROM (SELECT j.state, j.scheduled_for, j.finalized_at FROM walwarden.job AS j
                                  WHERE j.schedule = s.name AND j.kind = k.kind AND j.scheduled_for IS NOT NULL
                                  ORDER BY j.scheduled_for DESC LIMIT 200) AS r
                          WHERE r.state IN ('completed', 'failed') ORDER BY r.scheduled_for DESC, r.state = 'failed' DESC LIMIT 1) AS last
      LEFT JOIN LATERAL (SELECT r.scheduled_for, r.finalized_at
                           FROM (SELECT j.state, j.scheduled_for, j.finalized_at FROM walwarden.job AS j
                                  WHERE j.schedule = s.name AND j.kind = k.kind AND j.scheduled_for IS NOT NULL
                                  ORDER BY j.scheduled_for DESC LIMIT 200) AS r
                          WHERE r.state = 'completed' ORDER BY r.scheduled_for DESC LIMIT 1) AS good ON true
     CROSS JOIN LATERAL (SELECT pg_catalog.count(*) AS failures
                           FROM (SELECT j.state FROM walwarden.job AS j
                                  WHERE j.schedule = s.name AND j.kind = k.kind AND j.scheduled_for > coalesce(good.scheduled_for, '-infinity')
                                  ORDER BY j.scheduled_for DESC LIMIT 200) AS r
                          WHERE r.state = 'failed') AS since
     CROSS JOIN LATERAL (VALUES
           ('walwarden_schedule_job_last_succeeded', (last.state <> 'failed')::integer::numeric),
           ('walwarden_schedule_job_last_age_seconds', extract(epoch FROM now_at - last.finalized_at)),
           ('walwarden_schedule_job_last_success_age_seconds', extract(epoch FROM now_at - good.finalized_at)),
           ('walwarden_schedule_job_failures_in_a_row', since.failures::numeric)) AS m (name, value)
     WHERE m.value IS NOT NULL;

    RETURN QUERY
    WITH damaged AS (
        SELECT v.storage, pg_catalog.count(*) AS copies
          FROM (SELECT DISTINCT f.backup FROM walwarden.job AS f JOIN walwarden.job AS b ON b.id = f.backup
                 WHERE f.kind IN ('verify', 'restore_test') AND f.state = 'failed' AND f.finalized_at IS NOT NULL
                   AND f.error_class IN ('storage_corrupt', 'storage_not_found') AND b.expires_at IS NULL) AS suspect
          JOIN walwarden.backup_copy AS c ON c.backup = suspect.backup AND c.state = 'stored'
         CROSS JOIN LATERAL (SELECT w.storage, w.damage FROM walwarden._verdict AS w WHERE w.backup = c.backup AND w.storage = c.storage) AS v
         WHERE v.damage IS NOT NULL GROUP BY v.storage),
    -- What the newest jobs that wrote copies found of each storage.
    written AS (
        SELECT DISTINCT ON (c.storage) c.storage, c.error_class
          FROM (VALUES ('backup', 'completed'), ('backup', 'partial'), ('backup', 'failed'), ('copy', 'completed'), ('copy', 'failed')) AS k (kind, state)
         CROSS JOIN LATERAL (SELECT j.id, j.finalized_at FROM walwarden.job AS j
                              WHERE j.kind = k.kind AND j.state = k.state AND j.finalized_at IS NOT NULL
                              ORDER BY j.finalized_at DESC LIMIT 30) AS j
          JOIN walwarden.backup_copy AS c ON c.backup = coalesce((SELECT k.backup FROM walwarden.job AS k WHERE k.id = j.id), j.id) AND c.made_by = j.id
         ORDER BY c.storage, j.finalized_at DESC)
    SELECT m.name, base || pg_catalog.jsonb_build_object('storage', s.name), m.value::double precision
      FROM walwarden.storage AS s CROSS JOIN walwarden.audit_head AS h
      LEFT JOIN walwarden.anchor AS a ON a.storage = s.name
      LEFT JOIN written AS w ON w.storage = s.name
      LEFT JOIN (SELECT c.storage, pg_catalog.count(*) AS copies, pg_catalog.sum(c.size_bytes) AS size FROM walwarden.backup_copy AS c
                  WHERE c.state IN ('stored', 'retained_by_lock') GROUP BY c.storage) AS stored ON stored.storage = s.name
      LEFT JOIN (SELECT c.storage, pg_catalog.count(*) FILTER (WHERE c.state = 'missing') AS missing,
                        pg_catalog.bool_or(c.state <> 'retained_by_lock' AND c.error_class LIKE 'storage%') AS trouble
                   FROM walwarden.backup_copy AS c WHERE c.try_again_at IS NOT NULL GROUP BY c.storage) AS again ON again.storage = s.name
      LEFT JOIN damaged AS d ON d.storage = s.name
     CROSS JOIN LATERAL (VALUES
           ('walwarden_storage_reachable',
            (NOT (coalesce(a.error_class LIKE 'storage%', false) OR coalesce(w.error_class LIKE 'storage%', false)
                  OR coalesce(again.trouble, false)))::integer::numeric),
           ('walwarden_storage_nearly_full',
            (EXISTS (SELECT FROM walwarden.storage_shortage AS f WHERE f.storage = s.name))::integer::numeric),
           ('walwarden_storage_copies', coalesce(stored.copies, 0)::numeric),
           ('walwarden_storage_size_bytes', coalesce(stored.size, 0)),
           ('walwarden_storage_copies_missing', coalesce(again.missing, 0)::numeric),
           ('walwarden_storage_copies_damaged', coalesce(d.copies, 0)::numeric),
           ('walwarden_storage_anchor_age_seconds', extract(epoch FROM now_at - a.anchored_at)),
           ('walwarden_storage_anchor_entries_behind', (h.seq - coalesce(a.size, 0))::numeric),
           ('walwarden_storage_anchor_failed', (a.error_class IS NOT NULL)::integer::numeric)) AS m (name, value)
     WHERE m.value IS NOT NULL;

    RETURN QUERY
    SELECT m.name, base || pg_catalog.jsonb_build_object('webhook', w.name), m.value::double precision
      FROM walwarden.webhook AS w
      LEFT JOIN walwarden.webhook_pause AS p ON p.webhook = w.name
      LEFT JOIN LATERAL (SELECT pg_catalog.count(*) AS pending, pg_catalog.min(n.queued_at) AS since FROM walwarden.notification AS n
                          WHERE n.webhook = w.name AND n.delivered_at IS NULL AND n.given_up_at IS NULL) AS n ON true
     CROSS JOIN LATERAL (VALUES
           ('walwarden_webhook_pending', n.pending::numeric),
           ('walwarden_webhook_pending_age_seconds', coalesce(extract(epoch FROM now_at - n.since), 0)),
           ('walwarden_webhook_failures_in_a_row', coalesce(p.failures, 0)::numeric)) AS m (name, value);
END
$$;
COMMENT ON FUNCTION walwarden._metrics() IS 'the samples of walwarden.metrics';

CREATE VIEW walwarden.metrics AS
SELECT s.name, s.labels, s.value, m.type, m.help
  FROM walwarden._metrics() AS s LEFT JOIN walwarden._metric AS m ON m.name OPERATOR(pg_catalog.=) s.name;
COMMENT ON VIEW walwarden.metrics IS 'the state in numbers, in Prometheus terms: one row a sample';
COMMENT ON COLUMN walwarden.metrics.name IS 'what is measured, with its unit; _total counts and only grows';
COMMENT ON COLUMN walwarden.metrics.labels IS 'of what: database, and schedule, kind, state, storage, webhook or reason';
COMMENT ON COLUMN walwarden.metrics.value IS 'seconds, bytes, a number, or 1 and 0 for yes and no';
COMMENT ON COLUMN walwarden.metrics.type IS 'gauge or counter';
COMMENT ON COLUMN walwarden.metrics.help IS 'what it says';

-- Text format 0.0.4 of Prometheus, or OpenMetrics 1.0: there a counter's family has a name without _total, and the end is said.
CREATE FUNCTION walwarden.metrics_text(open_metrics boolean DEFAULT false) RETURNS text
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off AS $$
    SELECT pg_catalog.string_agg(family.lines, '' ORDER BY family.place) || CASE WHEN open_metrics THEN E'# EOF\n' ELSE '' END
      FROM (SELECT m.place,
                   pg_catalog.format(E'# HELP %1$s %2$s\n# TYPE %1$s %3$s\n',
                                     CASE WHEN open_metrics AND m.type = 'counter' THEN pg_catalog.regexp_replace(m.name, '_total$', '') ELSE m.name END,
                                     pg_catalog.replace(pg_catalog.replace(m.help, E'\\', E'\\\\'), E'\n', E'\\n'), m.type)
                   || pg_catalog.string_agg(pg_catalog.format(E'%s{%s} %s\n', m.name, label.list, s.value), '' ORDER BY label.list) AS lines
              FROM walwarden._metrics() AS s JOIN walwarden._metric AS m ON m.name = s.name
             CROSS JOIN LATERAL (
                   SELECT pg_catalog.string_agg(pg_catalog.format('%s="%s"', l.key,
                              pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(l.value, E'\\', E'\\\\'), '"', E'\\"'), E'\n', E'\\n')), ',' ORDER BY l.key) AS list
                     FROM pg_catalog.jsonb_each_text(s.labels) AS l) AS label
             GROUP BY m.place, m.name, m.help, m.type) AS family
$$;
COMMENT ON FUNCTION walwarden.metrics_text(boolean) IS
    'walwarden.metrics as a page that Prometheus scrapes: its text format, or OpenMetrics';

-- Of all that is wrong, the worst first. Without thresholds the targets of the schedules are what is asked for; where there is
-- none either, a day and two hours, and two days and two hours.
CREATE FUNCTION walwarden."check"(schedule text DEFAULT NULL, warning interval DEFAULT NULL, critical interval DEFAULT NULL,
        verify_age interval DEFAULT NULL, restore_test_age interval DEFAULT NULL, anchor_age interval DEFAULT '3 days')
    RETURNS TABLE (status text, code integer, message text, perfdata text)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off AS $$
DECLARE
    samples jsonb;
    refusal text;
    has_target boolean;
    asked boolean := warning IS NOT NULL OR critical IS NOT NULL;
    loss interval;
    size bigint;
BEGIN
    refusal := CASE
        WHEN NOT EXISTS (SELECT FROM walwarden.schedule AS s WHERE s.name = "check".schedule) AND "check".schedule IS NOT NULL
        THEN pg_catalog.format('there is no schedule "%s"', "check".schedule)
        WHEN warning > critical THEN 'the age for a warning is above the critical one'
        WHEN least(warning, critical, verify_age, restore_test_age, anchor_age) < '0'::interval THEN 'an age is negative' END;
    IF refusal IS NOT NULL THEN
        RETURN QUERY SELECT 'UNKNOWN', 3, pg_catalog.translate(refusal, E'|\n\r\t', '/   '), '';
        RETURN;
    END IF;
    -- Those of other schedules are of no interest when one is named.
    SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object('name', m.name, 'of', m.labels, 'value', m.value)) INTO samples
      FROM walwarden._metrics() AS m
     WHERE "check".schedule IS NULL OR coalesce(m.labels ->> 'schedule', "check".schedule) = "check".schedule;
    SELECT pg_catalog.make_interval(secs => pg_catalog.round((s ->> 'value')::numeric)::double precision) INTO loss
      FROM pg_catalog.jsonb_array_elements(samples) AS s
     WHERE s ->> 'name' = CASE WHEN "check".schedule IS NULL THEN 'walwarden_loss_window_seconds' ELSE 'walwarden_schedule_loss_window_seconds' END;
    SELECT (s ->> 'value')::bigint INTO size
      FROM pg_catalog.jsonb_array_elements(samples) AS s
     WHERE s ->> 'name' = CASE WHEN "check".schedule IS NULL THEN 'walwarden_last_backup_size_bytes' ELSE 'walwarden_schedule_last_backup_size_bytes' END;
    SELECT EXISTS (SELECT FROM walwarden.schedule AS s
                    WHERE s.enabled AND s.definition ? 'rpo' AND ("check".schedule IS NULL OR s.name = "check".schedule)) INTO has_target;
    IF NOT asked AND NOT has_target THEN
        warning := '26 hours';
        critical := '50 hours';
    END IF;

    RETURN QUERY
    WITH sample AS MATERIALIZED (
        SELECT s ->> 'name' AS name, s -> 'of' AS labels, (s ->> 'value')::double precision AS value
          FROM pg_catalog.jsonb_array_elements(samples) AS s),
    problem (level, place, what) AS (
        SELECT CASE WHEN asked OR NOT has_target OR EXISTS (SELECT FROM sample AS m WHERE m.name = 'walwarden_schedule_rpo_met' AND m.value = 0)
                    THEN 2 ELSE 1 END, 1, 'there is no good backup'
         WHERE loss IS NULL
        UNION ALL
        SELECT CASE WHEN loss > critical THEN 2 ELSE 1 END, 2,
               pg_catalog.format('what would be lost is %s long, more than %s', pg_catalog.justify_hours(loss),
                                 pg_catalog.justify_hours(CASE WHEN loss > critical THEN critical ELSE warning END))
         WHERE loss > least(warning, critical)
        UNION ALL
        SELECT 2, 3, pg_catalog.format('schedule "%s": its loss window is above its rpo of %s', m.labels ->> 'schedule',
                                       pg_catalog.justify_hours(pg_catalog.make_interval(secs => rpo.value)))
          FROM sample AS m JOIN sample AS rpo ON rpo.name = 'walwarden_schedule_rpo_seconds' AND rpo.labels = m.labels
          JOIN sample AS enabled ON enabled.name = 'walwarden_schedule_enabled' AND enabled.labels = m.labels AND enabled.value = 1
         WHERE m.name = 'walwarden_schedule_rpo_met' AND m.value = 0
        UNION ALL
        SELECT 2, 4, 'the audit chain is forked: see walwarden.anchors' FROM sample AS m WHERE m.name = 'walwarden_audit_forks' AND m.value > 0
        UNION ALL
        SELECT 2, 5, 'the audit chain does not hold: see walwarden.verify_audit_chain()' FROM sample AS m
         WHERE m.name = 'walwarden_audit_problems' AND m.value > 0
        UNION ALL
        SELECT 2, 6, pg_catalog.format('storage "%s": %s damaged backups', m.labels ->> 'storage', m.value) FROM sample AS m
         WHERE m.name = 'walwarden_storage_copies_damaged' AND m.value > 0
        UNION ALL
        SELECT 1, 7, pg_catalog.format('schedules do not fire: %s', m.labels ->> 'state') FROM sample AS m
         WHERE m.name = 'walwarden_scheduler_status' AND m.value = 1 AND m.labels ->> 'state' NOT IN ('running', 'standby')
           AND EXISTS (SELECT FROM sample AS n WHERE n.name = 'walwarden_schedule_next_run_timestamp_seconds')
        UNION ALL
        -- A restore that failed is nobody's backup, and who asked for it knows.
        SELECT 1, 8, pg_catalog.format('the latest job of kind %s failed%s', m.labels ->> 'kind',
                                       CASE WHEN n.value > 1 THEN pg_catalog.format(', %s in a row', n.value) ELSE '' END)
          FROM sample AS m JOIN sample AS n ON n.name = 'walwarden_job_failures_in_a_row' AND n.labels = m.labels
         WHERE "check".schedule IS NULL AND m.name = 'walwarden_job_last_succeeded' AND m.value = 0 AND m.labels ->> 'kind' <> 'restore'
        UNION ALL
        SELECT 1, 9, pg_catalog.format('schedule "%s": the latest job of kind %s failed%s', m.labels ->> 'schedule', m.labels ->> 'kind',
                                       CASE WHEN n.value > 1 THEN pg_catalog.format(', %s in a row', n.value) ELSE '' END)
          FROM sample AS m JOIN sample AS n ON n.name = 'walwarden_schedule_job_failures_in_a_row' AND n.labels = m.labels
         WHERE m.name = 'walwarden_schedule_job_last_succeeded' AND m.value = 0
        UNION ALL
        SELECT 1, 10, pg_catalog.format('no %s has succeeded for %s', k.what, pg_catalog.justify_hours(k.age))
          FROM (VALUES ('verify', 'verification', verify_age), ('restore_test', 'restore test', restore_test_age)) AS k (kind, what, age)
         WHERE k.age IS NOT NULL
           AND NOT EXISTS (SELECT FROM sample AS m
                            WHERE m.name = CASE WHEN "check".schedule IS NULL THEN 'walwarden_job_last_success_age_seconds'
                                                ELSE 'walwarden_schedule_job_last_success_age_seconds' END
                              AND m.labels ->> 'kind' = k.kind AND m.value <= extract(epoch FROM k.age))
        UNION ALL
        SELECT 1, 11, pg_catalog.format('storage "%s" cannot be used: see walwarden.check_storage()', m.labels ->> 'storage') FROM sample AS m
         WHERE m.name = 'walwarden_storage_reachable' AND m.value = 0
        UNION ALL
        SELECT 1, 12, pg_catalog.format('storage "%s" is nearly full', m.labels ->> 'storage') FROM sample AS m
         WHERE m.name = 'walwarden_storage_nearly_full' AND m.value = 1
        UNION ALL
        SELECT 1, 13, pg_catalog.format('storage "%s": %s copies are missing', m.labels ->> 'storage', m.value) FROM sample AS m
         WHERE m.name = 'walwarden_storage_copies_missing' AND m.value > 0
        UNION ALL
        SELECT 1, 14, pg_catalog.format('storage "%s": the audit chain was last anchored there %s ago', m.labels ->> 'storage',
                                        pg_catalog.justify_hours(pg_catalog.make_interval(secs => pg_catalog.round(m.value))))
          FROM sample AS m JOIN sample AS n ON n.name = 'walwarden_storage_copies' AND n.labels = m.labels AND n.value > 0
         WHERE m.name = 'walwarden_storage_anchor_age_seconds' AND m.value > extract(epoch FROM anchor_age)
        UNION ALL
        SELECT 1, 15, pg_catalog.format('expired backups have not been deleted for %s',
                                        pg_catalog.justify_hours(pg_catalog.make_interval(secs => pg_catalog.round(m.value))))
          FROM sample AS m WHERE m.name = 'walwarden_backups_to_delete_age_seconds' AND m.value > 86400
        UNION ALL
        SELECT 1, 16, pg_catalog.format('webhook "%s" has failed %s times in a row', m.labels ->> 'webhook', m.value) FROM sample AS m
         WHERE m.name = 'walwarden_webhook_failures_in_a_row' AND m.value > 3),
    worst AS (SELECT coalesce(pg_catalog.max(p.level), 0) AS level,
                     pg_catalog.string_agg(p.what, '; ' ORDER BY p.level DESC, p.place, p.what) AS words FROM problem AS p)
    SELECT (ARRAY['OK', 'WARNING', 'CRITICAL'])[w.level + 1], w.level,
           -- One line, without the character that ends it for Nagios.
           pg_catalog.translate(coalesce(w.words, pg_catalog.format('the newest good backup holds what was there %s ago',
                                                                    pg_catalog.justify_hours(loss))), E'|\n\r\t', '/   '),
           pg_catalog.concat_ws(' ',
               CASE WHEN loss IS NOT NULL
                    THEN pg_catalog.format('loss_window=%ss;%s;%s;0', extract(epoch FROM loss)::bigint, extract(epoch FROM warning)::bigint,
                                           extract(epoch FROM critical)::bigint) END,
               CASE WHEN size IS NOT NULL THEN pg_catalog.format('size=%sB;;;0', size) END,
               (SELECT pg_catalog.format('unfinished_jobs=%s;;;0', pg_catalog.sum(m.value)) FROM sample AS m
                 WHERE m.name = 'walwarden_jobs_unfinished'),
               (SELECT pg_catalog.format('missing_copies=%s;;;0', coalesce(pg_catalog.sum(m.value), 0)) FROM sample AS m
                 WHERE m.name = 'walwarden_storage_copies_missing'))
      FROM worst AS w;
END
$$;
COMMENT ON FUNCTION walwarden."check"(text, interval, interval, interval, interval, interval) IS
    'one row for a monitoring system: status, its code (0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN), what is wrong, and performance data';

-- Every example can be run as it stands where there are a schedule "nightly", a storage "offsite", a table public.users and a backup. Those
-- that show a view choose columns that fit on a screen; lines are folded so that psql shows the table in 120 columns.
CREATE FUNCTION walwarden.help(topic text DEFAULT NULL) RETURNS TABLE (task text, what text, call text)
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $help$
    SELECT h.task, h.what, h.call
      FROM (VALUES
        ('back up', 'back up and wait; notices show progress', $$CALL walwarden.backup()$$),
        ('back up', 'queue a backup; it starts at COMMIT', $$SELECT walwarden.run_now()$$),
        ('back up', 'the same, as a schedule does it', $$SELECT walwarden.run_now('nightly')$$),
        ('back up', 'wait until a job ends', $$SELECT walwarden.wait_for(running_job) FROM walwarden.status$$),
        ('back up', 'stop a job; nothing of it stays', $$SELECT walwarden.cancel(running_job) FROM walwarden.status$$),
        ('back up', 'copy a backup into another storage', $$SELECT walwarden.copy_backup(last_backup, 'offsite')
  FROM walwarden.status$$),
        ('see', 'all in one row; \x shows it well', $$TABLE walwarden.status$$),
        ('see', 'how far jobs are; \watch repeats it', $$SELECT phase, bar, summary FROM walwarden.progress$$),
        ('see', 'the latest jobs', $$SELECT kind, state, started_at, duration, size
  FROM walwarden.jobs ORDER BY queued_at DESC LIMIT 20$$),
        ('see', 'the backups there are', $$SELECT job, schedule, storage, snapshot_at, size
  FROM walwarden.backups ORDER BY snapshot_at DESC$$),
        ('see', 'what each storage has', $$SELECT backup, storage, state, size, damage
  FROM walwarden.backup_copies$$),
        ('see', 'the tables of a backup', $$SELECT schema, name, rows, size, encoder
   FROM walwarden.backup_tables
   WHERE job = (SELECT last_backup FROM walwarden.status)$$),
        ('see', 'who waits for the running backup', $$TABLE walwarden.waiting_sessions$$),
        ('see', 'a page about the last 30 days, as HTML', $$SELECT walwarden.report()$$),
        ('see', 'the version of the library', $$SELECT walwarden.library_version()$$),
        ('see', 'this table, or a part of it', $$SELECT * FROM walwarden.help('restore')$$),
        ('schedule', 'back up every night', $$SELECT walwarden.schedule('nightly', '0 2 * * *',
  storage => 'offsite', keep_daily => 14, rpo => '26 hours')$$),
        ('schedule', 'stop it for a while', $$SELECT walwarden.pause('nightly')$$),
        ('schedule', 'let it fire again', $$SELECT walwarden.resume('nightly')$$),
        ('schedule', 'remove it; its backups stay', $$SELECT walwarden.unschedule('nightly')$$),
        ('schedule', 'the schedules there are', $$SELECT name, cron, storage, next_run, last_state,
  loss_window, rpo_met FROM walwarden.schedules$$),
        ('retention', 'what is kept and deleted, and why', $$SELECT * FROM walwarden.retention_plan('nightly')$$),
        ('retention', 'delete a backup', $$SELECT walwarden.delete_backup(last_backup, 'not for us')
  FROM walwarden.status$$),
        ('storage', 'add a place for backups', $$SELECT walwarden.add_storage('offsite', 's3://bucket/prefix',
  '{"region": "eu-central-1"}')$$),
        ('storage', 'try all that a backup does there', $$SELECT * FROM walwarden.check_storage('offsite')$$),
        ('storage', 'change it', $$SELECT walwarden.alter_storage('offsite',
  options => '{"region": "eu-west-1"}')$$),
        ('storage', 'forget it; what is there stays', $$SELECT walwarden.drop_storage('offsite')$$),
        ('storage', 'the storages there are', $$SELECT name, url, backups, size FROM walwarden.storages$$),
        ('storage', 'an address to fetch the archive from', $$SELECT walwarden.download_url(last_backup, '1 hour')
  FROM walwarden.status$$),
        ('verify', 'compare every byte with the manifest', $$SELECT walwarden.verify(last_backup) FROM walwarden.status$$),
        ('verify', 'restore it, look at it, drop it', $$SELECT walwarden.restore_test(last_backup,
  smoke => 'SELECT 1 FROM public.users') FROM walwarden.status$$),
        ('verify', 'the same with the newest of a schedule', $$SELECT walwarden.restore_test('nightly')$$),
        ('restore', 'restore into a new database', $$SELECT walwarden.restore(last_backup, 'restored')
  FROM walwarden.status$$),
        ('restore', 'restore one table beside the original', $$SELECT walwarden.restore_table(last_backup,
  'public.users', 'public.users_before') FROM walwarden.status$$),
        ('restore', 'read rows of a backup', $$SELECT * FROM walwarden.read_table(
  (SELECT last_backup FROM walwarden.status), 'public.users')
  AS t(id integer, name text)$$),
        ('restore', 'the same in a row type of yours', $$SELECT * FROM walwarden.read_table(
  (SELECT last_backup FROM walwarden.status), 'public.users',
  NULL::public.users)$$),
        ('restore', 'after a total loss: find the backups,
by a public key that you kept', $$SELECT * FROM walwarden.discover('offsite',
  walwarden.public_key())$$),
        ('restore', 'those that were found', $$SELECT job, database, snapshot_at, size
  FROM walwarden.discovered_backups$$),
        ('move', 'give a copied database its own identity', $$SELECT walwarden.adopt()$$),
        ('move', 'after pg_upgrade: the same one goes on', $$SELECT walwarden.keep_identity()$$),
        ('monitor', 'one row for Nagios and the like', $$SELECT * FROM walwarden.check(critical => '26 hours')$$),
        ('monitor', 'all numbers, in Prometheus terms', $$SELECT name, labels, value FROM walwarden.metrics$$),
        ('monitor', 'the same as a page to scrape', $$SELECT walwarden.metrics_text()$$),
        ('alerts', 'tell a URL of what happens', $$SELECT walwarden.add_webhook('ops',
  'https://hooks.example.com/backups')$$),
        ('alerts', 'change of what', $$SELECT walwarden.alter_webhook('ops',
  events => '{backup.failed,rpo.exceeded}')$$),
        ('alerts', 'try it', $$SELECT * FROM walwarden.send_test_notification('ops')$$),
        ('alerts', 'remove it', $$SELECT walwarden.drop_webhook('ops')$$),
        ('alerts', 'the webhooks there are', $$SELECT name, format, host, waiting, failures, last_error
  FROM walwarden.webhooks$$),
        ('alerts', 'what they were told', $$SELECT event, message, queued_at, delivered_at
  FROM walwarden.notifications ORDER BY queued_at DESC LIMIT 20$$),
        ('prove', 'check the audit chain, in storage too', $$SELECT * FROM walwarden.verify_audit_chain(anchors => true)$$),
        ('prove', 'its newest entries', $$SELECT seq, at, event, actor
  FROM walwarden.audit_chain ORDER BY seq DESC LIMIT 20$$),
        ('prove', 'how far each storage can prove it', $$SELECT storage, state, anchored_at, entries_since
  FROM walwarden.anchors$$),
        ('prove', 'the signed statement of what a backup is', $$SELECT walwarden.manifest(last_backup) FROM walwarden.status$$),
        ('prove', 'what proves a job, for an auditor', $$SELECT walwarden.evidence_bundle(last_backup)
  FROM walwarden.status$$),
        ('prove', 'put that into a storage', $$SELECT walwarden.export_evidence(last_backup, 'offsite')
  FROM walwarden.status$$),
        ('prove', 'the same of a time', $$SELECT walwarden.export_evidence(now() - interval '1 year',
  now(), 'offsite')$$),
        ('prove', 'go on after a fork of the chain', $$SELECT walwarden.begin_epoch('restored from a snapshot')$$),
        ('keys', 'the public key; keep a copy elsewhere', $$SELECT walwarden.public_key()$$),
        ('keys', 'replace the signing key by a new one', $$SELECT walwarden.rotate_key()$$),
        ('keys', 'the keys there were', $$SELECT id, state, valid_from, backups FROM walwarden.keys$$),
        ('inside', 'who writes a table; the same by COPY', $$SELECT * FROM walwarden.check_encoder('public.users')$$),
        ('inside', 'some blocks of a table, past the cache', $$SELECT count(*) FROM pg_catalog.pg_class
  TABLESAMPLE walwarden.blocks(0, 10)$$)
      ) AS h (task, what, call)
     WHERE topic IS NULL OR pg_catalog.strpos(pg_catalog.lower(pg_catalog.concat_ws(' ', h.task, h.what, h.call)), pg_catalog.lower(topic)) > 0
$help$;
COMMENT ON FUNCTION walwarden.help(text) IS
    'what there is, by task, with an example of each function and view; a topic is any word of it';
