-- The functions: first those in the library (src/api), then those that are nothing but SQL.
-- SECURITY DEFINER with a pinned search_path: callers need EXECUTE and nothing else. A name with a leading underscore is
-- for walwarden's own use.

-- Jobs

CREATE FUNCTION walwarden._run_now(schedule text, storage text, options text) RETURNS uuid
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', '_run_now_wrapper';

CREATE FUNCTION walwarden.verify(job uuid, depth text DEFAULT 'full', storage text DEFAULT NULL,
        identity_file text DEFAULT NULL) RETURNS uuid
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'verify_wrapper';
COMMENT ON FUNCTION walwarden.verify(uuid, text, text, text) IS
    'queue the verification of a backup, as one storage has it, and return its job id; depth is full (every byte, block and row) or manifest (signature, globals, sizes); of an encrypted one without an identity file full is every byte';

CREATE FUNCTION walwarden.copy_backup(job uuid, storage text) RETURNS uuid
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'copy_backup_wrapper';
COMMENT ON FUNCTION walwarden.copy_backup(uuid, text) IS
    'queue the copy of a backup into a storage that does not have it and return its job id';

CREATE FUNCTION walwarden._retention_plan(schedule text) RETURNS TABLE (job uuid, keep boolean, reason text)
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', '_retention_plan_wrapper';

CREATE FUNCTION walwarden.delete_backup(job uuid, reason text) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'delete_backup_wrapper';
COMMENT ON FUNCTION walwarden.delete_backup(uuid, text) IS
    'delete a backup from all of its storages when the transaction commits; its job stays in the history, with the reason';

CREATE FUNCTION walwarden.download_url(job uuid, expires interval DEFAULT '1 hour', storage text DEFAULT NULL) RETURNS text
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'download_url_wrapper';
COMMENT ON FUNCTION walwarden.download_url(uuid, interval, text) IS
    'an address from which anybody can fetch the archive for a while, for at most seven days; not for folders';

CREATE FUNCTION walwarden._restore(job uuid, "order" text) RETURNS uuid
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', '_restore_wrapper';

CREATE FUNCTION walwarden._restore_table(job uuid, "order" text) RETURNS uuid
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', '_restore_table_wrapper';

CREATE FUNCTION walwarden._restore_test(job uuid, schedule text, "order" text) RETURNS uuid
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', '_restore_test_wrapper';

-- With the rights of the caller, whose types' functions they call: see src/api/read_table.rs.
CREATE FUNCTION walwarden.read_table(job uuid, "table" text, identity_file text DEFAULT NULL) RETURNS SETOF record
    LANGUAGE c VOLATILE PARALLEL UNSAFE COST 1000000
    AS 'MODULE_PATHNAME', 'read_table_wrapper';
COMMENT ON FUNCTION walwarden.read_table(uuid, text, text) IS
    'the rows of a table as they were in a backup: SELECT * FROM walwarden.read_table(job, ''public.users'') AS t(id integer, name text)';

CREATE FUNCTION walwarden.read_table(job uuid, "table" text, row_type anyelement, identity_file text DEFAULT NULL)
        RETURNS SETOF anyelement
    LANGUAGE c VOLATILE PARALLEL UNSAFE COST 1000000
    AS 'MODULE_PATHNAME', 'read_table_as_wrapper';
COMMENT ON FUNCTION walwarden.read_table(uuid, text, anyelement, text) IS
    'the same in a row type: SELECT * FROM walwarden.read_table(job, ''public.users'', NULL::public.users); columns that the backup does not have are NULL';

CREATE FUNCTION walwarden.wait_for(job uuid, timeout interval DEFAULT NULL) RETURNS text
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'wait_for_wrapper';
COMMENT ON FUNCTION walwarden.wait_for(uuid, interval) IS 'wait until the job ends, or for the timeout; return its state';

CREATE FUNCTION walwarden.cancel(job uuid) RETURNS boolean
    LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'cancel_wrapper';
COMMENT ON FUNCTION walwarden.cancel(uuid) IS
    'stop a queued or running job; true if it ends because of this; nothing of it stays in storage';

CREATE FUNCTION walwarden._can_become(old text, new text) RETURNS boolean
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', '_can_become_wrapper';

CREATE FUNCTION walwarden._refuse_transaction_block(what text) RETURNS void
    LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', '_refuse_transaction_block_wrapper';

-- Schedules

CREATE FUNCTION walwarden._schedule(name text, definition text) RETURNS timestamptz
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', '_schedule_wrapper';

CREATE FUNCTION walwarden.unschedule(name text) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'unschedule_wrapper';
COMMENT ON FUNCTION walwarden.unschedule(text) IS 'remove a schedule; its jobs and backups stay';

CREATE FUNCTION walwarden.pause(name text) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'pause_wrapper';
COMMENT ON FUNCTION walwarden.pause(text) IS 'stop a schedule from firing until it is resumed';

CREATE FUNCTION walwarden.resume(name text) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'resume_wrapper';
COMMENT ON FUNCTION walwarden.resume(text) IS 'let a paused schedule fire again; times that passed meanwhile do not fire';

CREATE FUNCTION walwarden._next_run(database text, name text, kind text, definition text) RETURNS timestamptz
    LANGUAGE c STABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', '_next_run_wrapper';

-- Storages

CREATE FUNCTION walwarden._add_storage(name text, url text, options text) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', '_add_storage_wrapper';

CREATE FUNCTION walwarden._alter_storage(name text, url text, options text) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', '_alter_storage_wrapper';

CREATE FUNCTION walwarden.drop_storage(name text) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'drop_storage_wrapper';
COMMENT ON FUNCTION walwarden.drop_storage(text) IS 'remove a storage that nothing uses, and forget what was discovered in it; what was written there stays';

CREATE FUNCTION walwarden.check_storage(name text) RETURNS TABLE (step text, ok boolean, note text)
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'check_storage_wrapper';
COMMENT ON FUNCTION walwarden.check_storage(text) IS 'do on a storage what a backup does, in small, and clean up; one row a step';

CREATE FUNCTION walwarden.discover(storage text, public_key text) RETURNS TABLE (
        job uuid, database text, database_id uuid, snapshot_at timestamptz, tables bigint, rows bigint, size_bytes bigint,
        server_version text, problem text)
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'discover_wrapper';
COMMENT ON FUNCTION walwarden.discover(text, text) IS
    'find the backups of every database in a storage by the manifests that this key has signed; those without a problem can be verified and restored here';

-- Alerts

CREATE FUNCTION walwarden._add_webhook(name text, url text, format text, events text, schedules text, profile text) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', '_add_webhook_wrapper';

CREATE FUNCTION walwarden._alter_webhook(name text, url text, format text, events text, schedules text, profile text) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', '_alter_webhook_wrapper';

CREATE FUNCTION walwarden.drop_webhook(name text) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'drop_webhook_wrapper';
COMMENT ON FUNCTION walwarden.drop_webhook(text) IS 'remove a webhook; what was not delivered yet is given up';

CREATE FUNCTION walwarden.send_test_notification(webhook text DEFAULT NULL) RETURNS TABLE (webhook text, ok boolean, note text)
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'send_test_notification_wrapper';
COMMENT ON FUNCTION walwarden.send_test_notification(text) IS
    'send the event test to one webhook or all of them, now, whatever events they chose; one row each with what came of it';

CREATE FUNCTION walwarden._wake_messenger() RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', '_wake_messenger_wrapper';

CREATE FUNCTION walwarden.blocks(internal) RETURNS tsm_handler
    LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'blocks_wrapper';
COMMENT ON FUNCTION walwarden.blocks(internal) IS
    'TABLESAMPLE walwarden.blocks(first, end): every row of these blocks, read past the cache as a sequential scan does';

CREATE FUNCTION walwarden._install() RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', '_install_wrapper';

-- Audit, key, identity

CREATE FUNCTION walwarden._append_audit(event text, job uuid, detail text) RETURNS bigint
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', '_append_audit_wrapper';

CREATE FUNCTION walwarden.verify_audit_chain(anchors boolean DEFAULT false)
    RETURNS TABLE (ok boolean, seq bigint, problem text, message text)
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'verify_audit_chain_wrapper';
COMMENT ON FUNCTION walwarden.verify_audit_chain(boolean) IS
    'check every entry, link and column of the audit chain, with anchors against every checkpoint in storage; every problem has a row with ok false';

-- What pg_dump's session sets decides what is written (setup_connection in pg_dump.c).
CREATE FUNCTION walwarden.check_encoder(relation regclass)
    RETURNS TABLE (encoder text, reason text, rows bigint, bytes bigint, differs_at text)
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp SET datestyle = 'ISO' SET intervalstyle = 'postgres' SET extra_float_digits = 3
    SET row_security = off
    AS 'MODULE_PATHNAME', 'check_encoder_wrapper';
COMMENT ON FUNCTION walwarden.check_encoder(regclass) IS
    'write a table as a backup does and by COPY, and compare: which encoder backups use for it, why COPY if it is COPY, and the first blocks that differ';

CREATE FUNCTION walwarden.begin_epoch(reason text) RETURNS bigint
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'begin_epoch_wrapper';
COMMENT ON FUNCTION walwarden.begin_epoch(text) IS
    'after a fork of the audit chain: say that this database was set back and goes on; what it lost is an audit entry, and signing begins again';

CREATE FUNCTION walwarden.public_key() RETURNS text
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'public_key_wrapper';
COMMENT ON FUNCTION walwarden.public_key() IS 'the public key, as PEM, that verifies the manifests of this cluster; keep a copy elsewhere';

CREATE FUNCTION walwarden.adopt(is_copy boolean DEFAULT false) RETURNS uuid
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'adopt_wrapper';
COMMENT ON FUNCTION walwarden.adopt(boolean) IS 'give a copied or restored database an identity, and so a place in storage, of its own; times of schedules that passed do not fire; is_copy says so of a physical copy, which walwarden cannot tell from the original';

CREATE FUNCTION walwarden.keep_identity() RETURNS uuid
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'keep_identity_wrapper';
COMMENT ON FUNCTION walwarden.keep_identity() IS
    'after pg_upgrade, or another move that has left nothing behind: this is the same database in another place; jobs, backups and audit chain go on';

-- State

CREATE FUNCTION walwarden.library_version() RETURNS text
    LANGUAGE c STABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'library_version_wrapper';
COMMENT ON FUNCTION walwarden.library_version() IS
    'the version of walwarden''s library in this session; pg_extension has that of its objects in this database';

CREATE FUNCTION walwarden._scheduler_state() RETURNS text
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', '_scheduler_state_wrapper';

CREATE FUNCTION walwarden._waiting_for(kind text, trigger text) RETURNS text
    LANGUAGE c STABLE STRICT PARALLEL RESTRICTED
    AS 'MODULE_PATHNAME', '_waiting_for_wrapper';

CREATE FUNCTION walwarden._progress(handle bigint) RETURNS TABLE (
        phase text, tables_done bigint, tables_total bigint, raw_bytes bigint, estimated_bytes bigint, stored_bytes bigint,
        verified_bytes bigint, rows bigint, percent integer, bar text, rate bigint, seconds_left bigint,
        first_copier integer)
    LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', '_progress_wrapper';

-- Nothing but SQL

-- A size as pg_size_bytes() reads it, in bytes; NULL stays NULL.
CREATE FUNCTION walwarden._bytes(what text, size text) RETURNS bigint
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    bytes bigint;
    trouble text;
BEGIN
    BEGIN
        bytes := pg_catalog.pg_size_bytes(size);
    EXCEPTION WHEN invalid_parameter_value OR numeric_value_out_of_range THEN
        GET STACKED DIAGNOSTICS trouble = MESSAGE_TEXT;
        RAISE EXCEPTION '% cannot be "%"', what, size USING ERRCODE = '22023', DETAIL = trouble,
            HINT = 'It is a size such as ''50MB''; NULL is no limit.';
    END;
    -- The highest number that JSON holds exactly in every reader is above this.
    IF bytes <= 0 OR bytes > 1125899906842624 THEN
        RAISE EXCEPTION '% must be above zero and at most 1 PB, not "%"', what, size USING ERRCODE = '22023',
            HINT = 'It is a size such as ''50MB''; NULL is no limit.';
    END IF;
    RETURN bytes;
END
$$;

-- A span of time in seconds; NULL stays NULL. A month has 30 days here, a year 365.25.
CREATE FUNCTION walwarden._seconds(what text, span interval) RETURNS bigint
    LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF span < '0'::pg_catalog.interval THEN
        RAISE EXCEPTION '% must not be negative, as % is', what, span USING ERRCODE = '22023';
    END IF;
    RETURN pg_catalog.ceil(pg_catalog.date_part('epoch', span))::bigint;
END
$$;

-- A JSON array of texts as people read it.
CREATE FUNCTION walwarden._list("array" jsonb) RETURNS text
    LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT pg_catalog.string_agg(word, ', ' ORDER BY place)
      FROM ROWS FROM (pg_catalog.jsonb_array_elements_text("array")) WITH ORDINALITY AS given (word, place)
$$;

-- Patterns of pg_dump as {"schemas": [...], ...}; NULL without any.
CREATE FUNCTION walwarden._filter(schemas text[], exclude_schemas text[], tables text[], exclude_tables text[],
        exclude_table_data text[]) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF pg_catalog.array_position(schemas || exclude_schemas || tables || exclude_tables || exclude_table_data, NULL) IS NOT NULL THEN
        RAISE EXCEPTION 'a pattern must not be NULL' USING ERRCODE = '22004';
    END IF;
    RETURN nullif(pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
        'schemas', nullif(schemas, '{}'), 'exclude_schemas', nullif(exclude_schemas, '{}'), 'tables', nullif(tables, '{}'),
        'exclude_tables', nullif(exclude_tables, '{}'), 'exclude_table_data', nullif(exclude_table_data, '{}'))), '{}');
END
$$;

-- Rows of this database that were ever inserted, updated and deleted, as the statistics have it. Not those of catalogs and of walwarden, whose
-- bookkeeping is nobody's change, and not those of TOAST, which are parts of rows. TRUNCATE and DROP count as nothing, rows that were
-- rolled back as changes; what is rewritten, the temporary, and the TOAST of a table that is dropped count too. Sessions hand over what they
-- did about once a second, and not before their transaction has ended. NULL while nobody counts.
CREATE FUNCTION walwarden._changes() RETURNS bigint
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT pg_catalog.pg_stat_get_db_tuples_inserted(d.oid) + pg_catalog.pg_stat_get_db_tuples_updated(d.oid)
           + pg_catalog.pg_stat_get_db_tuples_deleted(d.oid)
           - (SELECT coalesce(pg_catalog.sum(pg_catalog.pg_stat_get_tuples_inserted(c.oid) + pg_catalog.pg_stat_get_tuples_updated(c.oid)
                                             + pg_catalog.pg_stat_get_tuples_deleted(c.oid)), 0)::bigint
                FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
               WHERE NOT c.relisshared
                 AND (c.relkind = 't'
                      OR (c.relkind = 'r' AND n.nspname IN ('pg_catalog', 'information_schema', 'walwarden'))))
      FROM pg_catalog.pg_database AS d
     WHERE d.datname = pg_catalog.current_database() AND pg_catalog.current_setting('track_counts')::boolean
$$;

-- Since when they are counted. A crash resets everything and tells only of what is not a table's or a database's, the archiver's say.
CREATE FUNCTION walwarden._stats_since() RETURNS timestamptz
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT greatest(pg_catalog.pg_stat_get_db_stat_reset_time(d.oid), (SELECT a.stats_reset FROM pg_catalog.pg_stat_archiver AS a))
      FROM pg_catalog.pg_database AS d
     WHERE d.datname = pg_catalog.current_database()
$$;

-- Rows changed since a backup; NULL when they cannot be compared.
CREATE FUNCTION walwarden._changes_since(changes bigint, stats_since timestamptz, changes_now bigint, stats_since_now timestamptz) RETURNS bigint
    LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE WHEN stats_since IS NOT DISTINCT FROM stats_since_now AND changes_now >= changes THEN changes_now - changes END
$$;

-- Where the write-ahead log is; on a standby, up to where it is replayed.
CREATE FUNCTION walwarden._wal_position() RETURNS pg_lsn
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn() ELSE pg_catalog.pg_current_wal_lsn() END
$$;

CREATE FUNCTION walwarden.run_now(schedule text DEFAULT NULL, storage text DEFAULT NULL, jobs integer DEFAULT NULL,
        compression text DEFAULT NULL, max_rate text DEFAULT NULL, timeout interval DEFAULT NULL,
        schemas text[] DEFAULT NULL, exclude_schemas text[] DEFAULT NULL, tables text[] DEFAULT NULL,
        exclude_tables text[] DEFAULT NULL, exclude_table_data text[] DEFAULT NULL) RETURNS uuid
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN walwarden._run_now(schedule, storage, pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
        'jobs', jobs, 'compression', compression, 'max_rate', walwarden._bytes('max_rate', max_rate),
        'timeout', walwarden._seconds('timeout', timeout),
        'filter', walwarden._filter(schemas, exclude_schemas, tables, exclude_tables, exclude_table_data)))::text);
END
$$;
COMMENT ON FUNCTION walwarden.run_now(text, text, integer, text, text, interval, text[], text[], text[], text[], text[]) IS
    'queue a backup and return its job id at once; it starts when the transaction commits';

CREATE FUNCTION walwarden.schedule(name text, cron text DEFAULT NULL, time_zone text DEFAULT 'UTC', storage text DEFAULT NULL,
        jobs integer DEFAULT NULL, compression text DEFAULT NULL, max_rate text DEFAULT NULL,
        verify_cron text DEFAULT NULL, verify_depth text DEFAULT 'full', restore_test_cron text DEFAULT NULL,
        smoke text DEFAULT NULL, expect text DEFAULT NULL, description text DEFAULT NULL, "group" text DEFAULT NULL,
        timeout interval DEFAULT NULL, retries integer DEFAULT NULL, retry_delay interval DEFAULT NULL,
        rpo interval DEFAULT NULL, storages text[] DEFAULT NULL, jitter interval DEFAULT NULL,
        on_overlap text DEFAULT 'skip', catch_up text DEFAULT 'none',
        keep_last integer DEFAULT NULL, keep_for interval DEFAULT NULL, keep_hourly integer DEFAULT NULL,
        keep_daily integer DEFAULT NULL, keep_weekly integer DEFAULT NULL, keep_monthly integer DEFAULT NULL,
        keep_yearly integer DEFAULT NULL, max_total_size text DEFAULT NULL, min_keep integer DEFAULT NULL,
        schemas text[] DEFAULT NULL, exclude_schemas text[] DEFAULT NULL, tables text[] DEFAULT NULL,
        exclude_tables text[] DEFAULT NULL, exclude_table_data text[] DEFAULT NULL) RETURNS timestamptz
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF storage IS NOT NULL AND storages IS NOT NULL THEN
        RAISE EXCEPTION 'either storage or storages is given, not both' USING ERRCODE = '22023';
    END IF;
    RETURN walwarden._schedule(name, pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
        'cron', cron, 'time_zone', coalesce(time_zone, 'UTC'), 'storages', coalesce(storages, ARRAY[coalesce(storage, 'local')]),
        'jobs', jobs, 'compression', compression, 'max_rate', walwarden._bytes('max_rate', max_rate),
        'verify_cron', verify_cron, 'verify_depth', verify_depth, 'restore_test_cron', restore_test_cron,
        'smoke', smoke, 'expect', expect, 'description', description, 'group', "group",
        'timeout', walwarden._seconds('timeout', timeout), 'retries', retries,
        'retry_delay', walwarden._seconds('retry_delay', retry_delay), 'rpo', walwarden._seconds('rpo', rpo),
        'jitter', walwarden._seconds('jitter', jitter), 'on_overlap', on_overlap, 'catch_up', catch_up,
        'retention', pg_catalog.jsonb_build_object(
            'keep_last', keep_last, 'keep_for', walwarden._seconds('keep_for', keep_for), 'keep_hourly', keep_hourly,
            'keep_daily', keep_daily, 'keep_weekly', keep_weekly, 'keep_monthly', keep_monthly, 'keep_yearly', keep_yearly,
            'max_total_size', walwarden._bytes('max_total_size', max_total_size), 'min_keep', min_keep),
        'filter', walwarden._filter(schemas, exclude_schemas, tables, exclude_tables, exclude_table_data)))::text);
END
$$;
COMMENT ON FUNCTION walwarden.schedule(text, text, text, text, integer, text, text, text, text, text, text, text, text, text, interval, integer, interval, interval, text[], interval, text, text, integer, interval, integer, integer, integer, integer, integer, text, integer, text[], text[], text[], text[], text[]) IS
    'define a schedule, or define it anew: five-field cron in a time zone, @daily and the like, or @every 6h; blank runs by hand only; return the next run';

CREATE FUNCTION walwarden.add_storage(name text, url text, options jsonb DEFAULT '{}') RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM walwarden._add_storage(name, url, options::text);
END
$$;
COMMENT ON FUNCTION walwarden.add_storage(text, text, jsonb) IS
    'add a place for backups: s3://bucket/prefix or file:///folder, with options; credentials are never part of it';

CREATE FUNCTION walwarden.alter_storage(name text, url text DEFAULT NULL, options jsonb DEFAULT NULL) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM walwarden._alter_storage(name, url, options::text);
END
$$;
COMMENT ON FUNCTION walwarden.alter_storage(text, text, jsonb) IS
    'change the URL or the options of a storage; NULL leaves them; options are replaced as a whole';

CREATE FUNCTION walwarden.add_webhook(name text, url text DEFAULT NULL, format text DEFAULT 'json', events text[] DEFAULT NULL,
        schedules text[] DEFAULT NULL, profile text DEFAULT NULL) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM walwarden._add_webhook(name, url, format, pg_catalog.to_jsonb(events)::text, pg_catalog.to_jsonb(schedules)::text, profile);
END
$$;
COMMENT ON FUNCTION walwarden.add_webhook(text, text, text, text[], text[], text) IS
    'tell a URL of events, those that wake an operator unless others are chosen; secrets stand in a profile of the credentials file: webhook_url, webhook_secret';

CREATE FUNCTION walwarden.alter_webhook(name text, url text DEFAULT NULL, format text DEFAULT NULL, events text[] DEFAULT NULL,
        schedules text[] DEFAULT NULL, profile text DEFAULT NULL) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM walwarden._alter_webhook(name, url, format, pg_catalog.to_jsonb(events)::text, pg_catalog.to_jsonb(schedules)::text, profile);
END
$$;
COMMENT ON FUNCTION walwarden.alter_webhook(text, text, text, text[], text[], text) IS
    'change a webhook; NULL leaves what there is, an empty text takes url or profile away, an empty array of schedules means all';

-- Tell whoever listens on the channel walwarden, and every webhook that chose the event. In the transaction of what happened,
-- so that neither is without the other. A time-out is a failure too.
CREATE FUNCTION walwarden._alert(event text, job uuid, schedule text, severity text, message text, detail jsonb) RETURNS void
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    family text := pg_catalog.split_part(event, '.', 1);
    characters integer := 2000;
    payload text;
    queued bigint;
BEGIN
    -- A full queue, which one session that listens and never looks is enough for, would fail the transaction.
    IF pg_catalog.pg_notification_queue_usage() < 0.9 THEN
        -- 8000 bytes is what NOTIFY does not take any more.
        LOOP
            payload := pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
                'event', event, 'job', job, 'kind', detail -> 'kind', 'state', detail -> 'state', 'schedule', schedule,
                'storage', detail -> 'storage', 'database', pg_catalog.current_database(), 'severity', severity,
                'at', pg_catalog.to_char(pg_catalog.clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
                'message', pg_catalog."left"(message, characters),
                'error_class', detail -> 'error_class',
                'error_message', pg_catalog."left"(detail ->> 'error_message', characters)))::text;
            EXIT WHEN pg_catalog.octet_length(payload) < 8000 OR characters = 0;
            characters := characters / 2;
        END LOOP;
        PERFORM pg_catalog.pg_notify('walwarden', payload);
    END IF;
    INSERT INTO walwarden.notification (webhook, event, severity, job, schedule, message, detail)
    SELECT w.name, _alert.event, _alert.severity, _alert.job, _alert.schedule, pg_catalog."left"(_alert.message, 4000), _alert.detail
      FROM walwarden.webhook AS w
     WHERE (_alert.event = ANY (w.events)
            OR (_alert.event = family || '.timed_out' AND family || '.failed' = ANY (w.events)))
       AND (w.schedules IS NULL OR _alert.schedule = ANY (w.schedules) OR (_alert.schedule IS NULL AND _alert.job IS NULL));
    GET DIAGNOSTICS queued = ROW_COUNT;
    IF queued > 0 THEN
        PERFORM walwarden._wake_messenger();
    END IF;
END
$$;

-- 'public.users', quoted where an identifier needs it, as {"schema": ..., "name": ...}.
CREATE FUNCTION walwarden._table_name(name text) RETURNS jsonb
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    parts text[] := pg_catalog.parse_ident(name);
BEGIN
    IF pg_catalog.cardinality(parts) IS DISTINCT FROM 2 THEN
        RAISE EXCEPTION 'a table must be named with its schema, not "%"', coalesce(name, 'NULL') USING ERRCODE = '22023',
            HINT = 'Examples: public.users, public."Users".';
    END IF;
    RETURN pg_catalog.jsonb_build_object('schema', parts[1], 'name', parts[2]);
END
$$;

CREATE FUNCTION walwarden._table_names(names text[]) RETURNS jsonb
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT pg_catalog.jsonb_agg(walwarden._table_name(name) ORDER BY place)
      FROM ROWS FROM (pg_catalog.unnest(names)) WITH ORDINALITY AS given (name, place)
$$;

CREATE FUNCTION walwarden.retention_plan(schedule text) RETURNS TABLE (
        job uuid, snapshot_at timestamptz, keep boolean, reason text, size text, size_bytes bigint, storage text)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT p.job, b.snapshot_at, p.keep, p.reason, b.size, b.size_bytes, b.storage
      FROM walwarden._retention_plan(schedule) AS p JOIN walwarden.backups AS b ON b.job = p.job
     ORDER BY b.snapshot_at DESC
$$;
COMMENT ON FUNCTION walwarden.retention_plan(text) IS
    'what the retention of a schedule keeps and deletes as it is now, and why; nothing is deleted by asking';

CREATE FUNCTION walwarden.restore(job uuid, database text, overwrite boolean DEFAULT false, jobs integer DEFAULT NULL,
        owner boolean DEFAULT true, privileges boolean DEFAULT true, tablespaces boolean DEFAULT true,
        globals boolean DEFAULT false, schema_only boolean DEFAULT false, data_only boolean DEFAULT false,
        schemas text[] DEFAULT NULL, exclude_schemas text[] DEFAULT NULL,
        tables text[] DEFAULT NULL, exclude_tables text[] DEFAULT NULL, identity_file text DEFAULT NULL) RETURNS uuid
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF database IS NULL THEN
        RAISE EXCEPTION 'database must not be NULL' USING ERRCODE = '22023';
    END IF;
    RETURN walwarden._restore(job, pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
        'database', database, 'overwrite', overwrite, 'jobs', jobs, 'owner', owner, 'privileges', privileges,
        'tablespaces', tablespaces, 'globals', globals, 'schema_only', schema_only, 'data_only', data_only,
        'schemas', schemas, 'exclude_schemas', exclude_schemas, 'identity_file', identity_file,
        'tables', walwarden._table_names(tables), 'exclude_tables', walwarden._table_names(exclude_tables)))::text);
END
$$;
COMMENT ON FUNCTION walwarden.restore(uuid, text, boolean, integer, boolean, boolean, boolean, boolean, boolean, boolean, text[], text[], text[], text[], text) IS
    'queue the restore of a backup, or a part of it, into a new database and return its job id; the database has its name when all is restored';

CREATE FUNCTION walwarden.restore_table(job uuid, "table" text, "into" text, identity_file text DEFAULT NULL) RETURNS uuid
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN walwarden._restore_table(job, pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
        'table', walwarden._table_name("table"), 'into', walwarden._table_name("into"),
        'identity_file', identity_file))::text);
END
$$;
COMMENT ON FUNCTION walwarden.restore_table(uuid, text, text, text) IS
    'queue the restore of one table of a backup into a new table of this database and return its job id; it is there with all rows or not at all';

CREATE FUNCTION walwarden.restore_test(job uuid, smoke text DEFAULT NULL, expect text DEFAULT NULL, jobs integer DEFAULT NULL,
        identity_file text DEFAULT NULL) RETURNS uuid
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN walwarden._restore_test(job, NULL, pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
        'jobs', jobs, 'smoke', smoke, 'expect', expect, 'identity_file', identity_file))::text);
END
$$;
COMMENT ON FUNCTION walwarden.restore_test(uuid, text, text, integer, text) IS
    'queue a restore into a scratch database, which is analyzed, counted, asked the smoke query and dropped, and return its job id';

CREATE FUNCTION walwarden.restore_test(schedule text, smoke text DEFAULT NULL, expect text DEFAULT NULL, jobs integer DEFAULT NULL,
        identity_file text DEFAULT NULL) RETURNS uuid
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN walwarden._restore_test(NULL, schedule, pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
        'jobs', jobs, 'smoke', smoke, 'expect', expect, 'identity_file', identity_file))::text);
END
$$;
COMMENT ON FUNCTION walwarden.restore_test(text, text, text, integer, text) IS
    'the same with the newest backup of a schedule, and with its smoke query unless another one is given';

CREATE FUNCTION walwarden.manifest(job uuid) RETURNS jsonb
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found_body text;
    found_state text;
BEGIN
    SELECT coalesce(m.body, pg_catalog.convert_from(d.body, 'UTF8')),
           coalesce(j.state, CASE WHEN d.job IS NOT NULL THEN 'discovered' END)
      INTO found_body, found_state
      FROM (VALUES (job)) AS asked (id)
      LEFT JOIN walwarden.job AS j ON j.id = asked.id
      LEFT JOIN LATERAL (SELECT b.body FROM walwarden.manifest AS b
                          WHERE b.job_id = asked.id ORDER BY pg_catalog.array_position(j.storages, b.storage), b.storage LIMIT 1) AS m ON true
      LEFT JOIN walwarden.discovered AS d ON d.job = asked.id;
    IF found_state IS NULL THEN
        RAISE EXCEPTION 'job % does not exist', job USING ERRCODE = '42704', HINT = 'See walwarden.jobs.';
    END IF;
    IF found_body IS NULL THEN
        RAISE EXCEPTION 'job % has no manifest', job USING ERRCODE = '55000',
            DETAIL = pg_catalog.format('It is %s; only a completed backup has one.', found_state);
    END IF;
    RETURN found_body::jsonb;
END
$$;
COMMENT ON FUNCTION walwarden.manifest(uuid) IS 'the signed manifest of a completed or discovered backup, as it was read from storage';

-- One line about a job for whoever waits for it; raises the job's own error when it failed.
CREATE FUNCTION walwarden._backup_step(job uuid, OUT line text, OUT finished boolean)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    it walwarden.job;
    now_at record;
BEGIN
    SELECT * INTO it FROM walwarden.job AS j WHERE j.id = job;
    finished := it.finalized_at IS NOT NULL;
    IF it.state = 'partial' THEN
        RAISE WARNING 'backup % is not in all of its storages', it.id
            USING HINT = 'The missing copies are made later. See walwarden.backup_copies.';
    END IF;
    IF it.state IN ('completed', 'partial') THEN
        line := pg_catalog.format('backup %s completed: %s tables, %s rows, archive of %s', it.id, it.tables, it.rows,
                                  pg_catalog.pg_size_pretty(it.size_bytes));
    ELSIF it.state = 'failed' THEN
        RAISE EXCEPTION USING ERRCODE = '38000',
            MESSAGE = pg_catalog.format('backup %s failed: %s', it.id, it.error_message),
            DETAIL = pg_catalog.concat_ws(' ', it.error_detail, pg_catalog.format('(class %s)', it.error_class)),
            HINT = coalesce(it.error_hint, 'See walwarden.jobs.');
    ELSIF it.state = 'canceled' THEN
        RAISE EXCEPTION USING ERRCODE = '57014', MESSAGE = pg_catalog.format('backup %s was canceled', it.id);
    ELSIF it.state = 'queued' THEN
        line := 'queued';
    ELSE
        SELECT * INTO now_at FROM walwarden.progress AS p WHERE p.job = it.id;
        line := CASE WHEN now_at.phase IS NULL THEN it.state
                     ELSE pg_catalog.concat_ws(' ', now_at.phase, now_at.bar, now_at.summary) END;
    END IF;
END
$$;

-- No SECURITY DEFINER and no SET: PostgreSQL forbids COMMIT in procedures that have them. So every name is looked up in the caller's
-- search path, and is qualified: also those of types.
CREATE PROCEDURE walwarden.backup(schedule text DEFAULT NULL, storage text DEFAULT NULL, jobs integer DEFAULT NULL,
        compression text DEFAULT NULL, max_rate text DEFAULT NULL, timeout interval DEFAULT NULL,
        schemas text[] DEFAULT NULL, exclude_schemas text[] DEFAULT NULL, tables text[] DEFAULT NULL,
        exclude_tables text[] DEFAULT NULL, exclude_table_data text[] DEFAULT NULL)
    LANGUAGE plpgsql AS $$
DECLARE
    job pg_catalog.uuid;
    step record;
BEGIN
    PERFORM walwarden._refuse_transaction_block('walwarden.backup()');
    job := walwarden.run_now(schedule, storage, jobs, compression, max_rate, timeout, schemas, exclude_schemas, tables,
                             exclude_tables, exclude_table_data);
    COMMIT;
    RAISE NOTICE 'backup %', job;
    LOOP
        SELECT s.line, s.finished INTO step FROM walwarden._backup_step(job) AS s;
        RAISE NOTICE '%', step.line;
        EXIT WHEN step.finished;
        COMMIT;
        PERFORM walwarden.wait_for(job, '1 second'::pg_catalog.interval);
    END LOOP;
END
$$;
COMMENT ON PROCEDURE walwarden.backup(text, text, integer, text, text, interval, text[], text[], text[], text[], text[]) IS 'back up and wait, with progress as notices; an error when the backup fails';
