-- The rules that hold whoever writes, and the audit entries that no state change can go without.
-- ENABLE ALWAYS: they fire under session_replication_role = replica too. They stop accidents; a superuser can
-- drop them, and is caught by the chain anchored outside the database, not by a trigger.

CREATE FUNCTION walwarden._job_guard() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'jobs are never deleted' USING ERRCODE = '55000',
            HINT = 'The history of jobs is part of the audit trail.';
    END IF;
    IF TG_OP = 'INSERT' THEN
        IF NEW.state <> 'queued' THEN
            RAISE EXCEPTION 'a job begins as queued, not as %', NEW.state USING ERRCODE = '55000';
        END IF;
        RETURN NEW;
    END IF;
    IF NEW.id <> OLD.id OR NEW.kind <> OLD.kind OR NEW.queued_at <> OLD.queued_at
       OR NEW.requested_by <> OLD.requested_by OR NEW.trigger <> OLD.trigger
       OR NEW.backup IS DISTINCT FROM OLD.backup OR NEW.depth IS DISTINCT FROM OLD.depth
       OR NEW.options IS DISTINCT FROM OLD.options THEN
        RAISE EXCEPTION 'what a job is cannot be changed' USING ERRCODE = '55000';
    END IF;
    IF NEW.state <> OLD.state THEN
        IF NOT walwarden._can_become(OLD.state, NEW.state) THEN
            RAISE EXCEPTION 'a job cannot go from % to %', OLD.state, NEW.state USING ERRCODE = '55000';
        END IF;
    ELSIF OLD.finalized_at IS NOT NULL THEN
        -- Sealed: only expiry, deletion and the clean-up of remains may still be noted.
        IF (pg_catalog.to_jsonb(NEW) - ARRAY['expires_at', 'delete_reason', 'deleted_by', 'deleted_at', 'scratch_database'])
           <> (pg_catalog.to_jsonb(OLD) - ARRAY['expires_at', 'delete_reason', 'deleted_by', 'deleted_at', 'scratch_database'])
           OR (OLD.deleted_at IS NOT NULL AND NEW.deleted_at IS DISTINCT FROM OLD.deleted_at)
           OR (OLD.expires_at IS NOT NULL AND NEW.expires_at IS DISTINCT FROM OLD.expires_at) THEN
            RAISE EXCEPTION 'job % is finished and sealed', OLD.id USING ERRCODE = '55000';
        END IF;
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER job_guard BEFORE INSERT OR UPDATE OR DELETE ON walwarden.job
    FOR EACH ROW EXECUTE FUNCTION walwarden._job_guard();
ALTER TABLE walwarden.job ENABLE ALWAYS TRIGGER job_guard;

CREATE FUNCTION walwarden._refuse_change() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION '% on walwarden.% is not allowed', TG_OP, TG_TABLE_NAME USING ERRCODE = '55000',
        HINT = 'The audit chain and the job history only grow.';
END
$$;
CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE ON walwarden.audit
    FOR EACH ROW EXECUTE FUNCTION walwarden._refuse_change();
CREATE TRIGGER audit_no_truncate BEFORE TRUNCATE ON walwarden.audit
    FOR EACH STATEMENT EXECUTE FUNCTION walwarden._refuse_change();
CREATE TRIGGER audit_head_no_delete BEFORE DELETE ON walwarden.audit_head
    FOR EACH ROW EXECUTE FUNCTION walwarden._refuse_change();
CREATE TRIGGER audit_head_no_truncate BEFORE TRUNCATE ON walwarden.audit_head
    FOR EACH STATEMENT EXECUTE FUNCTION walwarden._refuse_change();
CREATE TRIGGER job_no_truncate BEFORE TRUNCATE ON walwarden.job
    FOR EACH STATEMENT EXECUTE FUNCTION walwarden._refuse_change();
CREATE TRIGGER backup_copy_no_delete BEFORE DELETE ON walwarden.backup_copy
    FOR EACH ROW EXECUTE FUNCTION walwarden._refuse_change();
CREATE TRIGGER backup_copy_no_truncate BEFORE TRUNCATE ON walwarden.backup_copy
    FOR EACH STATEMENT EXECUTE FUNCTION walwarden._refuse_change();
ALTER TABLE walwarden.backup_copy ENABLE ALWAYS TRIGGER backup_copy_no_delete;
ALTER TABLE walwarden.backup_copy ENABLE ALWAYS TRIGGER backup_copy_no_truncate;
CREATE TRIGGER manifest_append_only BEFORE UPDATE OR DELETE ON walwarden.manifest
    FOR EACH ROW EXECUTE FUNCTION walwarden._refuse_change();
CREATE TRIGGER manifest_no_truncate BEFORE TRUNCATE ON walwarden.manifest
    FOR EACH STATEMENT EXECUTE FUNCTION walwarden._refuse_change();
ALTER TABLE walwarden.manifest ENABLE ALWAYS TRIGGER manifest_no_truncate;
ALTER TABLE walwarden.audit ENABLE ALWAYS TRIGGER audit_append_only;
ALTER TABLE walwarden.audit ENABLE ALWAYS TRIGGER audit_no_truncate;
ALTER TABLE walwarden.audit_head ENABLE ALWAYS TRIGGER audit_head_no_delete;
ALTER TABLE walwarden.audit_head ENABLE ALWAYS TRIGGER audit_head_no_truncate;
ALTER TABLE walwarden.job ENABLE ALWAYS TRIGGER job_no_truncate;
ALTER TABLE walwarden.manifest ENABLE ALWAYS TRIGGER manifest_append_only;

-- One audit entry for each state a job takes, in the transaction that gives it that state. Deferred to the commit,
-- so that the lock on the head of the chain is held for the commit only and not for the caller's whole transaction.
CREATE FUNCTION walwarden._audit_job() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    detail jsonb;
BEGIN
    detail := pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
        'storage', pg_catalog.array_to_string(NEW.storages, ', '),
        'schedule', NEW.schedule,
        'backup', NEW.backup,
        'depth', NEW.depth,
        'database', NEW.options ->> 'database',
        'table', NEW.options -> 'table',
        'into', NEW.options -> 'into',
        'smoke', NEW.options ->> 'smoke',
        'smoke_answer', NEW.smoke_answer,
        'identity_file', NEW.options ->> 'identity_file',
        'unchecked', NEW.unchecked,
        'attempt', NEW.attempt,
        'copies', (SELECT pg_catalog.string_agg(pg_catalog.concat_ws(' ', c.storage, c.state, c.error_class), ', ' ORDER BY c.storage)
                     FROM walwarden.backup_copy AS c
                    WHERE c.made_by = NEW.id AND NEW.finalized_at IS NOT NULL)));
    IF NEW.state = 'queued' THEN
        detail := detail || pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
            'trigger', NEW.trigger,
            'requested_by', NEW.requested_by,
            'scheduled_for', pg_catalog.to_char(NEW.scheduled_for AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')));
    ELSIF NEW.state = 'finalizing' THEN
        detail := detail || pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
            'archive', NEW.object_key,
            'size', NEW.size_bytes::text,
            'sha256', NEW.sha256,
            'snapshot_lsn', NEW.snapshot_lsn::text));
    ELSIF NEW.state IN ('completed', 'partial') THEN
        detail := detail || pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
            'manifest', NEW.manifest_key,
            'archive', NEW.object_key,
            'size', NEW.size_bytes::text,
            'sha256', NEW.sha256,
            'tables', NEW.tables::text,
            'rows', NEW.rows::text));
    ELSIF NEW.state = 'failed' THEN
        detail := detail || pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
            'error_class', NEW.error_class,
            'error_message', NEW.error_message,
            'error_detail', NEW.error_detail));
    ELSIF NEW.state = 'canceled' THEN
        detail := detail || pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
            'canceled_by', NEW.canceled_by));
    END IF;
    PERFORM walwarden._append_audit(NEW.kind || '.' || NEW.state, NEW.id, detail::text);
    RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER job_audit_insert AFTER INSERT ON walwarden.job
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION walwarden._audit_job();
CREATE CONSTRAINT TRIGGER job_audit_update AFTER UPDATE ON walwarden.job
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.state <> OLD.state) EXECUTE FUNCTION walwarden._audit_job();
ALTER TABLE walwarden.job ENABLE ALWAYS TRIGGER job_audit_insert;
ALTER TABLE walwarden.job ENABLE ALWAYS TRIGGER job_audit_update;

-- The same for whoever wants to be told: NOTIFY for each state, and the ends of jobs to the webhooks that chose them.
CREATE FUNCTION walwarden._alert_job() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    event text := NEW.kind || '.' || CASE WHEN NEW.error_class = 'timed_out' THEN 'timed_out' ELSE NEW.state END;
    places text := pg_catalog.array_to_string(NEW.storages, ', ');
    full_storage text;
    subject text := CASE NEW.kind WHEN 'backup' THEN pg_catalog.format('backup to "%s"', places)
                                  WHEN 'verify' THEN pg_catalog.format('verification of backup %s', NEW.backup)
                                  ELSE pg_catalog.format('%s of backup %s', pg_catalog.replace(NEW.kind, '_', ' '), NEW.backup) END
                    || coalesce(' of schedule "' || NEW.schedule || '"', '');
    outcome text := CASE NEW.state WHEN 'failed' THEN pg_catalog.concat_ws(': ', 'failed', NEW.error_message)
                                   WHEN 'canceled' THEN pg_catalog.concat_ws(' by ', 'was canceled', NEW.canceled_by)
                                   WHEN 'partial' THEN 'completed, but not in all of its storages'
                                   WHEN 'completed' THEN 'completed'
                                   ELSE 'is ' || NEW.state END;
BEGIN
    PERFORM walwarden._alert(event, NEW.id, NEW.schedule,
        CASE NEW.state WHEN 'failed' THEN 'error' WHEN 'partial' THEN 'warning' WHEN 'canceled' THEN 'warning' ELSE 'info' END,
        subject || ' ' || outcome,
        pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
            'kind', NEW.kind, 'state', NEW.state, 'storage', places, 'trigger', NEW.trigger, 'attempt', NEW.attempt,
            'backup', NEW.backup, 'tables', NEW.tables, 'rows', NEW.rows, 'size_bytes', NEW.size_bytes,
            'seconds', pg_catalog.round(extract(epoch FROM NEW.finalized_at - NEW.started_at), 1),
            'error_class', NEW.error_class, 'error_message', pg_catalog."left"(NEW.error_message, 2000),
            'error_detail', pg_catalog."left"(NEW.error_detail, 2000), 'error_hint', pg_catalog."left"(NEW.error_hint, 2000),
            'canceled_by', NEW.canceled_by)));
    IF NEW.state IN ('failed', 'partial') THEN
        FOR full_storage IN
            SELECT c.storage FROM walwarden.backup_copy AS c 
             WHERE c.backup = coalesce(NEW.backup, NEW.id) AND c.made_by = NEW.id AND c.error_class = 'storage_full'
            UNION SELECT NEW.storages[1] WHERE NEW.error_class = 'storage_full' AND pg_catalog.cardinality(NEW.storages) = 1
        LOOP
            PERFORM walwarden._alert('storage.nearly_full', NULL, NULL, 'error',
                pg_catalog.format('storage "%s" has no room left', full_storage),
                pg_catalog.jsonb_build_object('storage', full_storage, 'failed_job', NEW.id));
        END LOOP;
    END IF;
    RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER job_alert_insert AFTER INSERT ON walwarden.job
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION walwarden._alert_job();
CREATE CONSTRAINT TRIGGER job_alert_update AFTER UPDATE ON walwarden.job
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.state <> OLD.state) EXECUTE FUNCTION walwarden._alert_job();
ALTER TABLE walwarden.job ENABLE ALWAYS TRIGGER job_alert_insert;
ALTER TABLE walwarden.job ENABLE ALWAYS TRIGGER job_alert_update;

CREATE FUNCTION walwarden._audit_definition() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    row_now jsonb;
    event text;
BEGIN
    IF TG_OP = 'DELETE' THEN
        row_now := pg_catalog.to_jsonb(OLD);
    ELSE
        row_now := pg_catalog.to_jsonb(NEW);
    END IF;
    event := TG_TABLE_NAME || '.' || CASE TG_OP WHEN 'INSERT' THEN 'created' WHEN 'UPDATE' THEN 'altered' ELSE 'removed' END;
    IF TG_OP = 'UPDATE' AND pg_catalog.to_jsonb(OLD) -> 'enabled' <> pg_catalog.to_jsonb(NEW) -> 'enabled' THEN
        event := TG_TABLE_NAME || CASE WHEN NEW.enabled THEN '.resumed' ELSE '.paused' END;
    END IF;
    row_now := row_now - ARRAY['checked_until', 'planned_at', 'rpo_exceeded', 'swept_at', 'created_at', 'created_by'];
    -- The path of a webhook's URL may be all that keeps strangers from writing there: the entry names the host.
    IF TG_TABLE_NAME = 'webhook' THEN
        row_now := row_now - 'url';
    END IF;
    -- They hold no secrets, but numbers outside the chain's profile of JSON: as text.
    IF row_now ? 'options' THEN
        row_now := row_now || pg_catalog.jsonb_build_object('options', (row_now -> 'options')::text);
    END IF;
    IF row_now ? 'definition' THEN
        row_now := row_now || pg_catalog.jsonb_build_object('definition', (row_now -> 'definition')::text);
    END IF;
    PERFORM walwarden._append_audit(event, NULL, pg_catalog.jsonb_strip_nulls(row_now)::text);
    RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER storage_audit AFTER INSERT OR DELETE ON walwarden.storage
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION walwarden._audit_definition();
CREATE CONSTRAINT TRIGGER storage_audit_update AFTER UPDATE ON walwarden.storage
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN ((OLD.url, OLD.options) IS DISTINCT FROM (NEW.url, NEW.options))
    EXECUTE FUNCTION walwarden._audit_definition();
CREATE CONSTRAINT TRIGGER schedule_audit AFTER INSERT OR DELETE ON walwarden.schedule
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION walwarden._audit_definition();
CREATE CONSTRAINT TRIGGER schedule_audit_update AFTER UPDATE ON walwarden.schedule
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN ((OLD.definition, OLD.smoke_role, OLD.enabled) IS DISTINCT FROM (NEW.definition, NEW.smoke_role, NEW.enabled))
    EXECUTE FUNCTION walwarden._audit_definition();
CREATE CONSTRAINT TRIGGER webhook_audit AFTER INSERT OR UPDATE OR DELETE ON walwarden.webhook
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION walwarden._audit_definition();
ALTER TABLE walwarden.webhook ENABLE ALWAYS TRIGGER webhook_audit;
ALTER TABLE walwarden.storage ENABLE ALWAYS TRIGGER storage_audit;
ALTER TABLE walwarden.storage ENABLE ALWAYS TRIGGER storage_audit_update;
ALTER TABLE walwarden.schedule ENABLE ALWAYS TRIGGER schedule_audit;
ALTER TABLE walwarden.schedule ENABLE ALWAYS TRIGGER schedule_audit_update;
