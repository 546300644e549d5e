-- What people read. Owned by the extension's owner, readable by pg_monitor (grants.sql).

CREATE VIEW walwarden.jobs AS
SELECT id, kind, state, CASE WHEN state <> 'queued' THEN NULL
                             WHEN run_after > pg_catalog.statement_timestamp() THEN 'run_after'
                             ELSE walwarden._waiting_for(kind, trigger) END AS waiting_for,
       backup, depth, unchecked, options, smoke_answer, schedule, pg_catalog.array_to_string(storages, ', ') AS storage, trigger, scheduled_for,
       attempt, run_after, requested_by, queued_at, claimed_at, started_at, finalizing_at, finalized_at,
       -- Nothing volatile in this view: only then does ORDER BY ... LIMIT of a long history read an index.
       coalesce(finalized_at, greatest(pg_catalog.statement_timestamp(), started_at)) - started_at AS duration,
       jobs, copiers, copiers_note, compression, max_rate,
       snapshot_at, snapshot_lsn, tables, rows, raw_bytes, size_bytes, sha256,
       object_key, globals_key, manifest_key,
       error_class, error_message, error_detail, error_hint, canceled_by,
       expires_at, delete_reason, deleted_by, deleted_at, pg_catalog.pg_size_pretty(size_bytes) AS size, direct_tables
  FROM walwarden.job;
COMMENT ON COLUMN walwarden.jobs.size IS 'size_bytes for people';
COMMENT ON COLUMN walwarden.jobs.direct_tables IS 'of the tables of a backup those whose rows walwarden wrote itself; COPY wrote the others. walwarden.backup_tables has their names';
COMMENT ON VIEW walwarden.jobs IS 'every job: one row an execution, with its states, sizes and errors';
COMMENT ON COLUMN walwarden.jobs.waiting_for IS
    'what a queued job waits for: run_after (that time), turn (of the backups of this database one at a time), slot (of walwarden.max_concurrent_jobs), worker (of max_worker_processes); NULL when it is about to start';

-- What verifications and restore tests say of a backup as a storage has it. What one of them finds wrong with its bytes stands
-- until a later verification, at least as deep, finds nothing. Where storage was not to be reached, or somebody canceled, nothing
-- was found out. A restore test that fails for another reason says nothing of the bytes: the latest one stands until the next.
CREATE VIEW walwarden._verdict AS
SELECT place.backup, place.storage, good.finalized_at AS verified_at,
       CASE WHEN good.unchecked IS NULL THEN good.depth ELSE 'stored' END AS verified, tested.finalized_at AS tested_at,
       test.error_message OPERATOR(pg_catalog.||) coalesce(': ' OPERATOR(pg_catalog.||) test.error_detail, '') AS test_failure,
       bad.error_message OPERATOR(pg_catalog.||) coalesce(': ' OPERATOR(pg_catalog.||) bad.error_detail, '') AS damage
  FROM (SELECT c.backup, c.storage FROM walwarden.backup_copy AS c
        UNION ALL
        SELECT d.job, d.storage FROM walwarden.discovered AS d
         WHERE NOT EXISTS (SELECT FROM walwarden.backup_copy AS c
                            WHERE c.backup OPERATOR(pg_catalog.=) d.job AND c.storage OPERATOR(pg_catalog.=) d.storage)) AS place
  LEFT JOIN LATERAL (SELECT v.finalized_at, v.depth, v.unchecked FROM walwarden.job AS v
                      WHERE v.backup OPERATOR(pg_catalog.=) place.backup AND v.storages[1] OPERATOR(pg_catalog.=) place.storage
                        AND v.kind = 'verify' AND v.state = 'completed'
                      ORDER BY v.finalized_at DESC LIMIT 1) AS good ON true
  LEFT JOIN LATERAL (SELECT pg_catalog.max(t.finalized_at) AS finalized_at FROM walwarden.job AS t
                      WHERE t.backup OPERATOR(pg_catalog.=) place.backup AND t.storages[1] OPERATOR(pg_catalog.=) place.storage
                        AND t.kind = 'restore_test' AND t.state = 'completed') AS tested ON true
  LEFT JOIN LATERAL (SELECT t.error_message, t.error_detail FROM walwarden.job AS t
                      WHERE t.backup OPERATOR(pg_catalog.=) place.backup AND t.storages[1] OPERATOR(pg_catalog.=) place.storage
                        AND t.kind = 'restore_test' AND t.state IN ('completed', 'failed')
                      ORDER BY t.finalized_at DESC LIMIT 1) AS test ON true
  LEFT JOIN LATERAL (SELECT v.error_message, v.error_detail FROM walwarden.job AS v
                      WHERE v.backup OPERATOR(pg_catalog.=) place.backup AND v.storages[1] OPERATOR(pg_catalog.=) place.storage
                        AND v.kind IN ('verify', 'restore_test') AND v.state = 'failed'
                        AND v.error_class IN ('storage_corrupt', 'storage_not_found')
                        AND NOT EXISTS (SELECT FROM walwarden.job AS w
                                         WHERE w.backup OPERATOR(pg_catalog.=) place.backup AND w.storages[1] OPERATOR(pg_catalog.=) place.storage
                                           AND w.kind = 'verify' AND w.state = 'completed' AND w.finalized_at > v.finalized_at
                                           AND (w.depth = 'full' OR w.depth = v.depth)
                                           AND (w.unchecked IS NULL OR v.unchecked IS NOT NULL OR v.depth = 'manifest'))
                      ORDER BY v.finalized_at DESC LIMIT 1) AS bad ON true;

-- The tables of a backup, as its manifest lists them: the same in each of its storages.
CREATE VIEW walwarden.backup_tables AS
SELECT m.job_id AS job, t.schema, t.name, t.rows, pg_catalog.pg_size_pretty(t.raw_bytes) AS size, t.raw_bytes, p.stored_bytes, p.pieces,
       coalesce(t.encoder, 'copy') AS encoder
  FROM walwarden.manifest AS m
 CROSS JOIN LATERAL pg_catalog.jsonb_to_recordset(m.body::jsonb OPERATOR(pg_catalog.->) 'tables')
            AS t (schema text, name text, rows bigint, raw_bytes bigint, encoder text, pieces jsonb)
 CROSS JOIN LATERAL (SELECT pg_catalog.count(*) AS pieces,
                            coalesce(pg_catalog.sum((piece.value OPERATOR(pg_catalog.->>) 'length')::bigint), 0)::bigint AS stored_bytes
                       FROM pg_catalog.jsonb_array_elements(t.pieces) AS piece) AS p
 WHERE m.storage OPERATOR(pg_catalog.=) (SELECT pg_catalog.min(o.storage) FROM walwarden.manifest AS o WHERE o.job_id OPERATOR(pg_catalog.=) m.job_id);
COMMENT ON VIEW walwarden.backup_tables IS 'the tables of each backup whose manifest is here, and who wrote their rows';
COMMENT ON COLUMN walwarden.backup_tables.job IS 'the backup';
COMMENT ON COLUMN walwarden.backup_tables.schema IS 'the schema of the table';
COMMENT ON COLUMN walwarden.backup_tables.name IS 'the table';
COMMENT ON COLUMN walwarden.backup_tables.rows IS 'how many rows the backup has of it';
COMMENT ON COLUMN walwarden.backup_tables.size IS 'raw_bytes for people';
COMMENT ON COLUMN walwarden.backup_tables.raw_bytes IS 'bytes of their text before compression';
COMMENT ON COLUMN walwarden.backup_tables.stored_bytes IS 'bytes that they take in the archive';
COMMENT ON COLUMN walwarden.backup_tables.pieces IS 'how many pieces it was cut into';
COMMENT ON COLUMN walwarden.backup_tables.encoder IS 'direct: walwarden wrote the rows itself, from the pages of the table; copy: COPY did. The bytes are the same';

CREATE VIEW walwarden.backup_copies AS
SELECT c.backup, c.storage, c.state, pg_catalog.pg_size_pretty(c.size_bytes) AS size, c.size_bytes, c.stored_at, c.made_by,
       v.verified_at, v.verified, v.tested_at, v.test_failure, v.damage,
       c.object_key, c.globals_key, c.manifest_key, c.error_class, c.error_message, c.error_detail, c.error_hint,
       c.tries, c.try_again_at, c.retained_until, c.deleted_at
  FROM walwarden.backup_copy AS c
  LEFT JOIN walwarden._verdict AS v ON v.backup OPERATOR(pg_catalog.=) c.backup AND v.storage OPERATOR(pg_catalog.=) c.storage;
COMMENT ON VIEW walwarden.backup_copies IS 'each backup in each of its storages: stored, missing (and made later), failed with its job, retained_by_lock, deleted, forgotten with its storage';
COMMENT ON COLUMN walwarden.backup_copies.retained_until IS 'until when the storage refuses to delete it';

CREATE VIEW walwarden.backups AS
SELECT j.id AS job, j.schedule, c.storage, j.snapshot_at, j.snapshot_lsn, j.finalized_at, j.tables, j.rows,
       pg_catalog.pg_size_pretty(j.size_bytes) AS size, j.size_bytes, j.raw_bytes, j.sha256,
       j.object_key, j.globals_key, j.manifest_key, c.copies, c.missing_copies,
       coalesce(j.options OPERATOR(pg_catalog.?) 'filter', false) AS filtered,
       c.verified_at, c.verified, c.tested_at, c.test_failure, CASE WHEN c.good_copies OPERATOR(pg_catalog.=) 0 THEN c.damage END AS damage
  FROM walwarden.job AS j
 CROSS JOIN LATERAL
       (SELECT pg_catalog.string_agg(c.storage, ', ' ORDER BY pg_catalog.array_position(j.storages, c.storage), c.storage)
                   FILTER (WHERE c.state = 'stored') AS storage,
               pg_catalog.count(*) FILTER (WHERE c.state = 'stored') AS copies,
               pg_catalog.count(*) FILTER (WHERE c.state = 'missing') AS missing_copies,
               pg_catalog.count(*) FILTER (WHERE c.state = 'stored' AND v.damage IS NULL) AS good_copies,
               pg_catalog.max(v.verified_at) FILTER (WHERE c.state = 'stored') AS verified_at,
               (pg_catalog.array_agg(v.verified ORDER BY pg_catalog.array_position(ARRAY['full', 'stored', 'manifest'], v.verified))
                   FILTER (WHERE c.state = 'stored'))[1] AS verified,
               pg_catalog.max(v.tested_at) FILTER (WHERE c.state = 'stored') AS tested_at,
               pg_catalog.max(v.test_failure) FILTER (WHERE c.state = 'stored') AS test_failure,
               pg_catalog.max(v.damage) FILTER (WHERE c.state = 'stored') AS damage
          FROM walwarden.backup_copy AS c
          LEFT JOIN walwarden._verdict AS v ON v.backup OPERATOR(pg_catalog.=) c.backup AND v.storage OPERATOR(pg_catalog.=) c.storage
         WHERE c.backup OPERATOR(pg_catalog.=) j.id) AS c
 WHERE j.kind = 'backup' AND j.state IN ('completed', 'partial') AND j.expires_at IS NULL
   AND c.copies OPERATOR(pg_catalog.>) 0;
COMMENT ON VIEW walwarden.backups IS 'proven backups whose objects are in storage; nothing else is ever listed here';
COMMENT ON COLUMN walwarden.backups.storage IS 'the storages that have it';
COMMENT ON COLUMN walwarden.backups.missing_copies IS 'storages that should have it and do not: the copy is made later';
COMMENT ON COLUMN walwarden.backups.filtered IS 'it does not hold all of the database: schemas, tables or rows were chosen or left out by patterns';
COMMENT ON COLUMN walwarden.backups.verified_at IS 'when walwarden.verify() last found a copy good, apart from the proof at its end';
COMMENT ON COLUMN walwarden.backups.verified IS 'how deep that was: manifest; stored, every byte of an encrypted backup without an identity file; or full';
COMMENT ON COLUMN walwarden.backups.tested_at IS 'when walwarden.restore_test() last brought it back as it must be';
COMMENT ON COLUMN walwarden.backups.test_failure IS 'why its latest restore test failed; NULL when it did not, or there was none';
COMMENT ON COLUMN walwarden.backups.damage IS 'what walwarden.verify() or walwarden.restore_test() found wrong with it; NULL while a copy is not known to be damaged';

CREATE VIEW walwarden.discovered_backups AS
SELECT d.job, d.database, d.database_id, d.storage, d.snapshot_at, d.tables, d.rows,
       pg_catalog.pg_size_pretty(d.size_bytes) AS size, d.size_bytes, d.server_version, d.manifest_key, d.discovered_at,
       v.verified_at, v.verified, v.tested_at, v.test_failure, v.damage
  FROM walwarden.discovered AS d
  LEFT JOIN walwarden._verdict AS v ON v.backup OPERATOR(pg_catalog.=) d.job AND v.storage OPERATOR(pg_catalog.=) d.storage;
COMMENT ON VIEW walwarden.discovered_backups IS
    'backups of this and other databases that walwarden.discover() found in storage: verify(), restore() and the like take their job';
COMMENT ON COLUMN walwarden.discovered_backups.damage IS 'what walwarden.verify() or walwarden.restore_test() found wrong with it; NULL when nothing';

-- The newest backup of a schedule that is not known to be damaged. A function, for what the planner fears of this view, once for each
-- schedule, would have it compile (jit) for longer than all of it takes; it reads job_backup from the newest backwards.
CREATE FUNCTION walwarden._newest_good_backup(schedule text) RETURNS uuid
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT b.job FROM walwarden.backups AS b
     WHERE b.schedule = _newest_good_backup.schedule AND b.damage IS NULL ORDER BY b.snapshot_at DESC LIMIT 1
$$;

CREATE VIEW walwarden.schedules AS
SELECT s.name, s.definition OPERATOR(pg_catalog.->>) 'cron' AS cron, s.definition OPERATOR(pg_catalog.->>) 'time_zone' AS time_zone,
       walwarden._list(s.definition OPERATOR(pg_catalog.->) 'storages') AS storage, s.enabled,
       CASE WHEN s.enabled THEN walwarden._next_run(d.id::text, s.name, 'backup', s.definition::text) END AS next_run,
       last.scheduled_for AS last_run, last.state AS last_state, last.id AS last_job,
       pg_catalog.make_interval(secs => coalesce((s.definition OPERATOR(pg_catalog.->>) 'jitter')::double precision, 0)) AS jitter,
       coalesce(s.definition OPERATOR(pg_catalog.->>) 'on_overlap', 'skip') AS on_overlap,
       coalesce(s.definition OPERATOR(pg_catalog.->>) 'catch_up', 'none') AS catch_up,
       s.definition OPERATOR(pg_catalog.->>) 'description' AS description, s.definition OPERATOR(pg_catalog.->>) 'group' AS "group",
       (s.definition OPERATOR(pg_catalog.->>) 'jobs')::integer AS jobs, s.definition OPERATOR(pg_catalog.->>) 'compression' AS compression,
       (s.definition OPERATOR(pg_catalog.->>) 'max_rate')::bigint AS max_rate,
       pg_catalog.make_interval(secs => (s.definition OPERATOR(pg_catalog.->>) 'timeout')::double precision) AS timeout,
       (s.definition OPERATOR(pg_catalog.->>) 'retries')::integer AS retries,
       pg_catalog.make_interval(secs => (s.definition OPERATOR(pg_catalog.->>) 'retry_delay')::double precision) AS retry_delay,
       s.definition OPERATOR(pg_catalog.->) 'filter' AS filter,
       s.definition OPERATOR(pg_catalog.->>) 'verify_cron' AS verify_cron,
       coalesce(s.definition OPERATOR(pg_catalog.->>) 'verify_depth', 'full') AS verify_depth,
       CASE WHEN s.enabled THEN walwarden._next_run(d.id::text, s.name, 'verify', s.definition::text) END AS next_verify,
       s.definition OPERATOR(pg_catalog.->>) 'restore_test_cron' AS restore_test_cron,
       s.definition OPERATOR(pg_catalog.->>) 'smoke' AS smoke, s.definition OPERATOR(pg_catalog.->>) 'expect' AS expect,
       CASE WHEN s.enabled THEN walwarden._next_run(d.id::text, s.name, 'restore_test', s.definition::text) END AS next_restore_test,
       s.definition OPERATOR(pg_catalog.->) 'retention' AS retention,
       good.id AS last_good_backup, good.snapshot_at AS recovery_point,
       pg_catalog.statement_timestamp() - good.snapshot_at AS loss_window,
       pg_catalog.pg_wal_lsn_diff((SELECT walwarden._wal_position()), good.snapshot_lsn)::bigint AS wal_since,
       walwarden._changes_since(good.changes, good.stats_since, (SELECT walwarden._changes()), (SELECT walwarden._stats_since())) AS changed_rows,
       target.rpo,
       pg_catalog.statement_timestamp() <= coalesce(good.snapshot_at, s.created_at) + target.rpo AS rpo_met,
       s.created_by, s.created_at
  FROM walwarden.schedule AS s CROSS JOIN walwarden.database AS d
  LEFT JOIN LATERAL (SELECT j.id, j.scheduled_for, j.state FROM walwarden.job AS j
                      WHERE j.schedule OPERATOR(pg_catalog.=) s.name AND j.kind = 'backup'
                      ORDER BY j.queued_at DESC LIMIT 1) AS last ON true
 CROSS JOIN LATERAL (SELECT pg_catalog.make_interval(secs => (s.definition OPERATOR(pg_catalog.->>) 'rpo')::double precision) AS rpo) AS target
  LEFT JOIN walwarden.job AS good ON good.id OPERATOR(pg_catalog.=) walwarden._newest_good_backup(s.name);
COMMENT ON VIEW walwarden.schedules IS 'when backups run; next_run is by the schedule alone, walwarden.status says whether schedules fire';
COMMENT ON COLUMN walwarden.schedules.last_good_backup IS 'its newest backup that is not known to be damaged';
COMMENT ON COLUMN walwarden.schedules.recovery_point IS 'the moment whose data that one holds';
COMMENT ON COLUMN walwarden.schedules.loss_window IS 'what would be lost with nothing but the backups of this schedule: the age of that moment';
COMMENT ON COLUMN walwarden.schedules.wal_since IS 'bytes of write-ahead log that the whole cluster has written since';
COMMENT ON COLUMN walwarden.schedules.changed_rows IS
    'rows inserted, updated and deleted in this database since, as the statistics have it: about a second behind, and with what was rolled back; NULL when these were reset, as by a crash';
COMMENT ON COLUMN walwarden.schedules.rpo IS 'how large the loss window may be';
COMMENT ON COLUMN walwarden.schedules.rpo_met IS
    'whether it is no larger; before the first backup it is counted from the moment the schedule was made; NULL without a target';

CREATE VIEW walwarden.storages AS
SELECT s.name, s.url, s.options, s.created_by, s.created_at,
       (SELECT pg_catalog.count(*) FROM walwarden.backup_copy AS c WHERE c.storage OPERATOR(pg_catalog.=) s.name AND c.state = 'stored') AS backups,
       stored.size_bytes, pg_catalog.pg_size_pretty(stored.size_bytes) AS size
  FROM walwarden.storage AS s
 CROSS JOIN LATERAL (SELECT coalesce(pg_catalog.sum(c.size_bytes), 0)::bigint AS size_bytes FROM walwarden.backup_copy AS c
                      WHERE c.storage OPERATOR(pg_catalog.=) s.name AND c.state = 'stored') AS stored;
COMMENT ON VIEW walwarden.storages IS 'where backups go';
COMMENT ON COLUMN walwarden.storages.size_bytes IS 'bytes of the archives of these backups';
COMMENT ON COLUMN walwarden.storages.size IS 'size_bytes for people';

CREATE VIEW walwarden.webhooks AS
SELECT w.name, w.format, w.host, w.profile, w.format OPERATOR(pg_catalog.=) 'json' AND w.profile IS NOT NULL AS signed, w.events, w.schedules,
       (SELECT pg_catalog.count(*) FROM walwarden.notification AS n
         WHERE n.webhook OPERATOR(pg_catalog.=) w.name AND n.delivered_at IS NULL AND n.given_up_at IS NULL) AS waiting,
       coalesce(p.failures, 0) AS failures, p.until AS paused_until, p.last_error, w.created_by, w.created_at
  FROM walwarden.webhook AS w
  LEFT JOIN walwarden.webhook_pause AS p ON p.webhook OPERATOR(pg_catalog.=) w.name;
COMMENT ON VIEW walwarden.webhooks IS 'who is told of what; never a secret';
COMMENT ON COLUMN walwarden.webhooks.host IS 'where it is; NULL when the URL stands in the credentials file';
COMMENT ON COLUMN walwarden.webhooks.profile IS 'the profile of the credentials file with its secrets';
COMMENT ON COLUMN walwarden.webhooks.signed IS 'whether the receiver can tell that a request is from here';
COMMENT ON COLUMN walwarden.webhooks.schedules IS 'whose events it is told of; NULL is all, and those without a schedule';
COMMENT ON COLUMN walwarden.webhooks.waiting IS 'notifications that are neither delivered nor given up';
COMMENT ON COLUMN walwarden.webhooks.failures IS 'how often in a row the receiver failed; last_error says how';

CREATE VIEW walwarden.notifications AS
SELECT n.id, n.webhook, n.event, n.severity, n.job, n.schedule, n.message, n.queued_at, n.attempts,
       CASE WHEN n.delivered_at IS NULL AND n.given_up_at IS NULL THEN greatest(n.next_attempt_at, p.until) END AS next_attempt_at,
       n.delivered_at, n.given_up_at, n.last_error
  FROM walwarden.notification AS n
  LEFT JOIN walwarden.webhook_pause AS p ON p.webhook OPERATOR(pg_catalog.=) n.webhook;
COMMENT ON VIEW walwarden.notifications IS 'the outbox: what webhooks were told, or are yet to be told';
COMMENT ON COLUMN walwarden.notifications.next_attempt_at IS 'not before this; NULL when it is settled';
COMMENT ON COLUMN walwarden.notifications.given_up_at IS 'after three days of trying, because 100000 newer ones waited too, or with the webhook itself';

CREATE VIEW walwarden.progress AS
SELECT j.id AS job, j.state, p.phase, p.percent, p.bar, p.tables_done, p.tables_total, p.rows,
       p.raw_bytes, p.estimated_bytes, p.stored_bytes, p.verified_bytes, p.rate,
       pg_catalog.make_interval(secs => p.seconds_left) AS eta,
       pg_catalog.clock_timestamp() - j.started_at AS running_for,
       pg_catalog.concat_ws(', ',
           CASE WHEN p.tables_total OPERATOR(pg_catalog.>) 0
                THEN pg_catalog.format('%s of %s tables', p.tables_done, p.tables_total) END,
           CASE WHEN p.phase OPERATOR(pg_catalog.=) 'verifying'
                THEN pg_catalog.format('%s of %s read back', pg_catalog.pg_size_pretty(p.verified_bytes),
                                       pg_catalog.pg_size_pretty(p.stored_bytes))
                WHEN p.tables_total OPERATOR(pg_catalog.=) 0
                THEN NULL
                WHEN p.phase OPERATOR(pg_catalog.=) 'signing'
                THEN pg_catalog.format('%s read', pg_catalog.pg_size_pretty(p.raw_bytes))
                WHEN p.raw_bytes OPERATOR(pg_catalog.>) p.estimated_bytes
                THEN pg_catalog.format('%s read, more than the %s that were estimated', pg_catalog.pg_size_pretty(p.raw_bytes),
                                       pg_catalog.pg_size_pretty(p.estimated_bytes))
                ELSE pg_catalog.format('%s of about %s read', pg_catalog.pg_size_pretty(p.raw_bytes),
                                       pg_catalog.pg_size_pretty(p.estimated_bytes)) END,
           pg_catalog.pg_size_pretty(p.rate) OPERATOR(pg_catalog.||) '/s',
           CASE WHEN p.phase OPERATOR(pg_catalog.<>) 'verifying' AND p.stored_bytes OPERATOR(pg_catalog.>) 0
                THEN pg_catalog.format('%s in storage', pg_catalog.pg_size_pretty(p.stored_bytes)) END,
           CASE WHEN p.seconds_left IS NOT NULL
                THEN pg_catalog.format('about %s left', pg_catalog.make_interval(secs => p.seconds_left)) END) AS summary
  FROM walwarden.job AS j CROSS JOIN LATERAL walwarden._progress(j.progress_handle) AS p
 WHERE j.finalized_at IS NULL AND j.progress_handle IS NOT NULL;
COMMENT ON VIEW walwarden.progress IS 'how far running jobs are, as it is at this moment; bar and summary are for people';
COMMENT ON COLUMN walwarden.progress.phase IS
    'of a backup: locking, reading catalogs, copying, copying large objects, verifying, signing; of a restore: fetching, making roles and tablespaces, making definitions, loading, loading large objects, making indexes and constraints; of a restore test then: testing';
COMMENT ON COLUMN walwarden.progress.percent IS
    'copying: raw_bytes of estimated_bytes; verifying: verified_bytes of stored_bytes; never 100 before that has ended';
COMMENT ON COLUMN walwarden.progress.bar IS 'percent as a bar, for \watch';
COMMENT ON COLUMN walwarden.progress.raw_bytes IS 'bytes of COPY text and large objects so far';
COMMENT ON COLUMN walwarden.progress.estimated_bytes IS
    'bytes on disk of the tables with their TOAST, and of large objects; what is copied may be less or more';
COMMENT ON COLUMN walwarden.progress.stored_bytes IS 'bytes of the archive that storage has';
COMMENT ON COLUMN walwarden.progress.verified_bytes IS 'bytes of the archive that were read back and agree';
COMMENT ON COLUMN walwarden.progress.rate IS
    'bytes a second on average: of raw_bytes since copying began, of verified_bytes since the archive is read back';
COMMENT ON COLUMN walwarden.progress.eta IS
    'how long copying, or verifying, will take from now on at this rate; NULL when nobody knows, as when more was read than was estimated';
COMMENT ON COLUMN walwarden.progress.summary IS 'all of it in a line for people';

-- The copiers are one lock group with pg_dump's session, and pg_blocking_pids() gives the first one for all of them. It is
-- expensive: without a backup it is asked for nobody, and with one for those only who wait for a lock.
CREATE VIEW walwarden.waiting_sessions AS
SELECT l.pid, a.usename, a.application_name,
       CASE WHEN c.oid IS NOT NULL THEN pg_catalog.format('%I.%I', n.nspname, c.relname) END AS table_name,
       pg_catalog.clock_timestamp() - l.waitstart AS waiting_for,
       pg_catalog."left"(pg_catalog.regexp_replace(a.query, '\s+', ' ', 'g'), 100) AS query
  FROM walwarden.job AS j
 CROSS JOIN LATERAL walwarden._progress(j.progress_handle) AS p
  JOIN pg_catalog.pg_locks AS l
    ON NOT l.granted AND p.first_copier OPERATOR(pg_catalog.=) ANY (pg_catalog.pg_blocking_pids(l.pid))
  LEFT JOIN pg_catalog.pg_stat_activity AS a ON a.pid OPERATOR(pg_catalog.=) l.pid
  LEFT JOIN pg_catalog.pg_class AS c ON c.oid OPERATOR(pg_catalog.=) l.relation
  LEFT JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
 WHERE j.finalized_at IS NULL AND j.progress_handle IS NOT NULL AND p.first_copier OPERATOR(pg_catalog.>) 0;
COMMENT ON VIEW walwarden.waiting_sessions IS
    'sessions that wait for a lock which the running backup has; others may wait behind them in turn';
COMMENT ON COLUMN walwarden.waiting_sessions.table_name IS
    'what the lock is of; NULL when it waits for the backup''s transaction to end, as CREATE INDEX CONCURRENTLY does';
COMMENT ON COLUMN walwarden.waiting_sessions.query IS 'the beginning of its statement, in one line';

CREATE VIEW walwarden.status AS
SELECT walwarden._scheduler_state() AS scheduler,
       last.id AS last_backup,
       last.snapshot_at AS recovery_point,
       pg_catalog.clock_timestamp() - last.snapshot_at AS loss_window,
       pg_catalog.pg_wal_lsn_diff((SELECT walwarden._wal_position()), last.snapshot_lsn)::bigint AS wal_since,
       walwarden._changes_since(point.changes, point.stats_since, (SELECT walwarden._changes()), (SELECT walwarden._stats_since())) AS changed_rows,
       (SELECT pg_catalog.count(*) FROM walwarden.schedules AS s WHERE s.enabled AND NOT s.rpo_met) AS rpo_missed,
       running.id AS running_job,
       (SELECT pg_catalog.count(*) FROM walwarden.waiting_sessions AS w) AS sessions_waiting,
       (SELECT pg_catalog.count(*) FROM walwarden.job AS j WHERE j.state = 'queued' AND j.finalized_at IS NULL) AS queued_jobs,
       (SELECT pg_catalog.count(*) FROM walwarden.job AS j WHERE j.state = 'queued' AND j.finalized_at IS NULL
           AND (j.run_after IS NULL OR j.run_after <= pg_catalog.statement_timestamp())
           AND walwarden._waiting_for(j.kind, j.trigger) OPERATOR(pg_catalog.=) 'slot') AS waiting_for_slot,
       failure.id AS failed_since,
       failure.error_class AS failure_class,
       failure.error_message AS failure_message,
       (SELECT pg_catalog.min(s.next_run) FROM walwarden.schedules AS s) AS next_run,
       (SELECT pg_catalog.count(*) FROM walwarden.job AS j WHERE j.scratch_database IS NOT NULL AND j.finalized_at IS NOT NULL)
       OPERATOR(pg_catalog.+) (SELECT pg_catalog.count(*) FROM walwarden.backup_copy AS c
                                 JOIN walwarden.job AS j ON j.id OPERATOR(pg_catalog.=) c.made_by
                                WHERE c.cleanup IS NOT NULL AND j.finalized_at IS NOT NULL) AS jobs_to_clean_up
  FROM (VALUES (1)) AS one
  LEFT JOIN LATERAL (SELECT b.job AS id, b.snapshot_at, b.snapshot_lsn, b.finalized_at FROM walwarden.backups AS b
                      WHERE b.damage IS NULL
                      ORDER BY b.snapshot_at DESC LIMIT 1) AS last ON true
  LEFT JOIN LATERAL (SELECT p.changes, p.stats_since FROM walwarden.job AS p WHERE p.id OPERATOR(pg_catalog.=) last.id LIMIT 1) AS point ON true
  LEFT JOIN LATERAL (SELECT j.id FROM walwarden.job AS j
                      WHERE j.finalized_at IS NULL AND j.state <> 'queued'
                      ORDER BY j.queued_at LIMIT 1) AS running ON true
  LEFT JOIN LATERAL (SELECT latest.id, latest.error_class, latest.error_message
                       FROM (VALUES ('backup'), ('verify'), ('restore'), ('restore_test'), ('copy')) AS k (kind)
                      CROSS JOIN LATERAL (SELECT j.id, j.error_class, j.error_message, j.finalized_at FROM walwarden.job AS j
                                           WHERE j.state = 'failed' AND j.kind OPERATOR(pg_catalog.=) k.kind
                                             AND j.finalized_at >= coalesce(
                                                 CASE WHEN k.kind OPERATOR(pg_catalog.=) 'restore' THEN last.finalized_at
                                                      ELSE greatest((SELECT pg_catalog.max(c.finalized_at) FROM walwarden.job AS c
                                                                      WHERE c.state = 'completed' AND c.kind OPERATOR(pg_catalog.=) k.kind),
                                                                    (SELECT pg_catalog.max(c.finalized_at) FROM walwarden.job AS c
                                                                      WHERE c.state = 'partial' AND c.kind OPERATOR(pg_catalog.=) k.kind))
                                                 END, '-infinity')
                                           ORDER BY j.finalized_at DESC LIMIT 1) AS latest
                      ORDER BY latest.finalized_at DESC LIMIT 1) AS failure ON true;
COMMENT ON VIEW walwarden.status IS 'one row: do schedules fire, what is the newest good backup, how much would be lost now, what failed since';
COMMENT ON COLUMN walwarden.status.scheduler IS 'running; or why schedules do not fire: not preloaded, off, stopped, standby, suspended';
COMMENT ON COLUMN walwarden.status.recovery_point IS 'the moment whose data the newest backup holds that is not known to be damaged';
COMMENT ON COLUMN walwarden.status.loss_window IS 'what would be lost if the database were lost now: the age of that moment';
COMMENT ON COLUMN walwarden.status.wal_since IS 'bytes of write-ahead log that the whole cluster has written since';
COMMENT ON COLUMN walwarden.status.changed_rows IS 'rows changed in this database since, as in walwarden.schedules; NULL when nobody knows';
COMMENT ON COLUMN walwarden.status.rpo_missed IS 'schedules, not paused, whose loss window is above their rpo';
COMMENT ON COLUMN walwarden.status.sessions_waiting IS 'sessions that wait for a lock of the running backup: walwarden.waiting_sessions names them';
COMMENT ON COLUMN walwarden.status.waiting_for_slot IS 'queued jobs that wait because walwarden.max_concurrent_jobs run in the cluster';
COMMENT ON COLUMN walwarden.status.failed_since IS 'the latest job that failed and after which none of its kind was completed, so that a failed restore test is not forgotten with the next backup; a failed restore is, with the next good backup';

CREATE VIEW walwarden.audit_chain AS
SELECT seq, at, event, job_id, actor, (body::jsonb) -> 'detail' AS detail,
       pg_catalog.encode(hash, 'hex') AS hash, (body::jsonb) ->> 'prev' AS prev
  FROM walwarden.audit;
COMMENT ON VIEW walwarden.audit_chain IS 'the audit chain; walwarden.verify_audit_chain() checks it';

CREATE VIEW walwarden.anchors AS
SELECT s.name AS storage,
       CASE WHEN f.storage IS NOT NULL THEN 'forked'
            WHEN a.error_class IS NOT NULL THEN 'failed'
            WHEN a.size IS NULL THEN 'never'
            WHEN a.size OPERATOR(pg_catalog.<) h.seq THEN 'behind'
            ELSE 'current' END AS state,
       a.epoch, a.size, a.anchored_at,
       h.seq OPERATOR(pg_catalog.-) coalesce(a.size, 0) AS entries_since,
       a.error_class, a.error_message, a.error_detail, a.error_hint, a.try_again_at
  FROM walwarden.storage AS s
 CROSS JOIN walwarden.audit_head AS h
  LEFT JOIN walwarden.anchor AS a ON a.storage OPERATOR(pg_catalog.=) s.name
  LEFT JOIN walwarden.audit_fork AS f ON f.storage OPERATOR(pg_catalog.=) s.name;
COMMENT ON VIEW walwarden.anchors IS 'how far each storage can prove the audit chain: its newest checkpoint';
COMMENT ON COLUMN walwarden.anchors.state IS
    'current; behind: there are newer entries, put there with the next backup or within a day; never; failed; forked: the storage has a checkpoint that the chain does not continue';
COMMENT ON COLUMN walwarden.anchors.size IS 'the last entry that the checkpoint is over';
