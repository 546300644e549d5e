-- Tables of walwarden: names in the singular, and read by people through the views in views.sql.
-- None of them is marked for pg_dump: an archive leaves walwarden out, and its state comes back from storage.

CREATE TABLE walwarden.database (
    only_row          boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    id                uuid NOT NULL DEFAULT pg_catalog.gen_random_uuid(),
    system_identifier bigint NOT NULL,
    database_oid      oid NOT NULL,
    adopted_at        timestamptz NOT NULL DEFAULT pg_catalog.now()
);
COMMENT ON TABLE walwarden.database IS 'which database this is; a copy made with another cluster or oid notices that it is a copy';
COMMENT ON COLUMN walwarden.database.id IS 'database id: part of the path of every object this database writes';
COMMENT ON COLUMN walwarden.database.system_identifier IS 'system identifier of the cluster this id belongs to';
COMMENT ON COLUMN walwarden.database.database_oid IS 'oid of the database this id belongs to';

CREATE TABLE walwarden.storage (
    name       text PRIMARY KEY CHECK (name <> ''),
    url        text NOT NULL,
    options    jsonb NOT NULL DEFAULT '{}',
    created_by text NOT NULL DEFAULT session_user,
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    swept_at   timestamptz DEFAULT pg_catalog.now()
);
COMMENT ON COLUMN walwarden.storage.swept_at IS 'when uploads that nobody knows were last looked for';
COMMENT ON TABLE walwarden.storage IS 'where backups go: a URL with options, never a secret';

CREATE TABLE walwarden.schedule (
    name          text PRIMARY KEY CHECK (name <> ''),
    definition    jsonb NOT NULL,
    smoke_role    text,
    enabled       boolean NOT NULL DEFAULT true,
    checked_until timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    planned_at    timestamptz,
    rpo_exceeded  boolean NOT NULL DEFAULT false,
    created_by    text NOT NULL DEFAULT session_user,
    created_at    timestamptz NOT NULL DEFAULT pg_catalog.now(),
    CHECK ((definition ? 'smoke') = (smoke_role IS NOT NULL))
);
COMMENT ON TABLE walwarden.schedule IS 'when to back up, to which storages, when to verify, and when to test restoring';
COMMENT ON COLUMN walwarden.schedule.definition IS 'what walwarden.schedule() was given, as manifests have it too; times in seconds, sizes in bytes';
COMMENT ON COLUMN walwarden.schedule.smoke_role IS 'the role that asks the smoke query: who defined the schedule';
COMMENT ON COLUMN walwarden.schedule.planned_at IS 'when its retention was last applied';
COMMENT ON COLUMN walwarden.schedule.rpo_exceeded IS 'what was last told of its rpo: that it is exceeded';
COMMENT ON COLUMN walwarden.schedule.checked_until IS 'scheduled times up to here have been run, skipped or missed';

CREATE TABLE walwarden.job (
    id              uuid PRIMARY KEY,
    kind            text NOT NULL DEFAULT 'backup' CHECK (kind IN ('backup', 'verify', 'restore', 'restore_test', 'copy')),
    schedule        text,
    trigger         text NOT NULL CHECK (trigger IN ('manual', 'schedule')),
    scheduled_for   timestamptz,
    state           text NOT NULL DEFAULT 'queued' CHECK (state IN
                        ('queued', 'claimed', 'running', 'finalizing', 'completed', 'partial', 'failed', 'canceled')),
    attempt         integer NOT NULL DEFAULT 1 CHECK (attempt > 0),
    run_after       timestamptz,
    storages        text[] NOT NULL CHECK (pg_catalog.cardinality(storages) > 0),
    requested_by    text NOT NULL,
    jobs            integer CHECK (jobs > 0),
    compression     text,
    max_rate        bigint CHECK (max_rate > 0),
    backup          uuid,
    depth           text CHECK (depth IN ('manifest', 'full')),
    options         jsonb,
    smoke_answer    text,
    unchecked       text,
    copiers         integer CHECK (copiers > 0),
    copiers_note    text,
    queued_at       timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    claimed_at      timestamptz,
    started_at      timestamptz,
    finalizing_at   timestamptz,
    finalized_at    timestamptz,
    snapshot_at     timestamptz,
    snapshot_lsn    pg_lsn,
    changes         bigint,
    stats_since     timestamptz,
    size_bytes      bigint CHECK (size_bytes >= 0),
    raw_bytes       bigint CHECK (raw_bytes >= 0),
    tables          bigint CHECK (tables >= 0),
    rows            bigint CHECK (rows >= 0),
    sha256          text,
    object_key      text,
    globals_key     text,
    manifest_key    text,
    error_class     text,
    error_message   text,
    error_detail    text,
    error_hint      text,
    canceled_by     text,
    expires_at      timestamptz,
    delete_reason   text,
    deleted_by      text,
    deleted_at      timestamptz,
    leader_pid      integer,
    progress_handle bigint,
    -- What a leader that dies must have left behind for the next one to clean up; backup_copy has more of it.
    scratch_database text,
    direct_tables   bigint CHECK (direct_tables >= 0),
    CHECK ((kind = 'backup') = (backup IS NULL)),
    CHECK ((kind = 'verify') = (depth IS NOT NULL)),
    CHECK ((state = 'failed') = (error_class IS NOT NULL)),
    CHECK ((expires_at IS NULL) = (delete_reason IS NULL)),
    CHECK (deleted_at IS NULL OR expires_at IS NOT NULL),
    CHECK ((state IN ('completed', 'partial', 'failed', 'canceled')) = (finalized_at IS NOT NULL))
);
COMMENT ON TABLE walwarden.job IS 'every job there ever was; a finished one is sealed';
COMMENT ON COLUMN walwarden.job.scheduled_for IS 'the time of the schedule this job stands for';
COMMENT ON COLUMN walwarden.job.backup IS 'the job whose backup this one is about; NULL for a backup';
COMMENT ON COLUMN walwarden.job.depth IS 'how much of the backup is verified';
COMMENT ON COLUMN walwarden.job.options IS 'what of a backup is restored and how, what a restore test looks at, or with which identity file a backup is decrypted';
COMMENT ON COLUMN walwarden.job.smoke_answer IS 'what the smoke query of a restore test answered: its first 1000 characters';
COMMENT ON COLUMN walwarden.job.unchecked IS 'what a verification could not look at, and why; NULL when nothing';
COMMENT ON COLUMN walwarden.job.scratch_database IS 'a database that must go when the job has ended';
COMMENT ON COLUMN walwarden.job.snapshot_at IS 'the moment whose data the backup holds: the recovery point';
COMMENT ON COLUMN walwarden.job.changes IS 'rows that had been inserted, updated and deleted by then, as walwarden._changes() counts them';
COMMENT ON COLUMN walwarden.job.stats_since IS 'since when these were counted: after a reset they cannot be compared';
COMMENT ON COLUMN walwarden.job.jobs IS 'copiers that were asked for; NULL is one a processor';
COMMENT ON COLUMN walwarden.job.copiers IS 'copiers that the job got';
COMMENT ON COLUMN walwarden.job.copiers_note IS 'why it got fewer copiers than it wanted';
COMMENT ON COLUMN walwarden.job.max_rate IS 'bytes a second that go to storage; NULL is no limit';
COMMENT ON COLUMN walwarden.job.storages IS 'where the backup goes; of another job, where what it is about lies or goes';
COMMENT ON COLUMN walwarden.job.run_after IS 'it waits until then: a further attempt after a failure';
COMMENT ON COLUMN walwarden.job.expires_at IS 'when it was decided to delete the backup';
COMMENT ON COLUMN walwarden.job.deleted_by IS 'who decided it; walwarden is the retention of its schedule';
COMMENT ON COLUMN walwarden.job.deleted_at IS 'when its last object was gone from storage';

-- Each copy of a backup is verified by a job of its own.
CREATE UNIQUE INDEX job_scheduled_once ON walwarden.job
    (schedule, kind, scheduled_for, attempt, (CASE WHEN kind = 'verify' THEN storages ELSE '{}' END)) WHERE scheduled_for IS NOT NULL;
CREATE INDEX job_unfinished ON walwarden.job (queued_at) WHERE finalized_at IS NULL;
CREATE INDEX job_to_clean_up ON walwarden.job (id) WHERE scratch_database IS NOT NULL;
CREATE INDEX job_backup ON walwarden.job (snapshot_at) WHERE kind = 'backup' AND state IN ('completed', 'partial') AND expires_at IS NULL;
CREATE INDEX job_to_delete ON walwarden.job (expires_at) WHERE expires_at IS NOT NULL AND deleted_at IS NULL;
CREATE INDEX job_ended ON walwarden.job (kind, state, finalized_at) WHERE finalized_at IS NOT NULL;
CREATE INDEX job_by_time ON walwarden.job (queued_at, id);
CREATE INDEX job_uncompleted ON walwarden.job (queued_at, id) WHERE state <> 'completed';
CREATE INDEX job_about ON walwarden.job (backup) WHERE backup IS NOT NULL;
CREATE INDEX job_of_schedule ON walwarden.job (schedule, queued_at);

CREATE TABLE walwarden.backup_copy (
    backup         uuid NOT NULL REFERENCES walwarden.job (id),
    storage        text NOT NULL,
    state          text NOT NULL CHECK (state IN ('writing', 'stored', 'missing', 'failed', 'retained_by_lock', 'deleted', 'forgotten')),
    made_by        uuid NOT NULL REFERENCES walwarden.job (id),
    object_key     text,
    globals_key    text,
    manifest_key   text,
    size_bytes     bigint CHECK (size_bytes >= 0),
    stored_at      timestamptz,
    error_class    text,
    error_message  text,
    error_detail   text,
    error_hint     text,
    tries          integer NOT NULL DEFAULT 0,
    try_again_at   timestamptz,
    retained_until timestamptz,
    deleted_at     timestamptz,
    -- What whoever writes it must have left behind for the next one to clean up, if it dies.
    cleanup        jsonb,
    upload_id      text,
    PRIMARY KEY (backup, storage),
    CHECK (state NOT IN ('missing', 'failed') OR error_class IS NOT NULL),
    CHECK (state <> 'stored' OR manifest_key IS NOT NULL)
);
COMMENT ON TABLE walwarden.backup_copy IS 'what each storage has of each backup';
COMMENT ON COLUMN walwarden.backup_copy.state IS 'missing: another storage has the backup, and it is copied from there later; failed: no storage has it';
COMMENT ON COLUMN walwarden.backup_copy.try_again_at IS 'when making or deleting it is tried again';
COMMENT ON COLUMN walwarden.backup_copy.made_by IS 'the job that wrote it: the backup itself, or a later copy job';
COMMENT ON COLUMN walwarden.backup_copy.cleanup IS 'storage and keys that were written to and are not yet proven or cleaned up';
CREATE INDEX backup_copy_to_clean_up ON walwarden.backup_copy (backup) WHERE cleanup IS NOT NULL;
CREATE INDEX backup_copy_to_try_again ON walwarden.backup_copy (try_again_at) WHERE try_again_at IS NOT NULL;
CREATE INDEX backup_copy_in_storage ON walwarden.backup_copy (storage) WHERE state IN ('stored', 'retained_by_lock');

CREATE TABLE walwarden.manifest (
    job_id    uuid NOT NULL REFERENCES walwarden.job (id),
    storage   text NOT NULL,
    body      text NOT NULL,
    signature bytea NOT NULL CHECK (pg_catalog.length(signature) = 64),
    key_id    text NOT NULL,
    PRIMARY KEY (job_id, storage)
);
CREATE INDEX manifest_by_key ON walwarden.manifest (key_id, job_id);
COMMENT ON TABLE walwarden.manifest IS 'signed manifests as they were read back from storage';

CREATE TABLE walwarden.discovered (
    job            uuid PRIMARY KEY,
    storage        text NOT NULL REFERENCES walwarden.storage (name) ON DELETE CASCADE,
    manifest_key   text NOT NULL,
    body           bytea NOT NULL,
    signature      bytea NOT NULL CHECK (pg_catalog.length(signature) = 64),
    public_key     text NOT NULL,
    database       text NOT NULL,
    database_id    uuid NOT NULL,
    snapshot_at    timestamptz NOT NULL,
    tables         bigint NOT NULL,
    rows           bigint NOT NULL,
    size_bytes     bigint NOT NULL,
    server_version text NOT NULL,
    discovered_at  timestamptz NOT NULL
);
COMMENT ON TABLE walwarden.discovered IS 'backups, of any database, that walwarden.discover() found in storage and believed';
COMMENT ON COLUMN walwarden.discovered.body IS 'the manifest as it was signed, UTF-8 whatever the encoding of this database';
COMMENT ON COLUMN walwarden.discovered.public_key IS 'the key, as PEM, by which it was believed';
CREATE INDEX discovered_in_storage ON walwarden.discovered (storage);

CREATE TABLE walwarden.cancel_request (
    job_id       uuid PRIMARY KEY REFERENCES walwarden.job (id),
    requested_by text NOT NULL,
    requested_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);
COMMENT ON TABLE walwarden.cancel_request IS 'who asked for a running job to be canceled; a table of its own, so that an open transaction of the asker holds no lock on the job';

CREATE TABLE walwarden.webhook (
    name       text PRIMARY KEY CHECK (name <> ''),
    format     text NOT NULL CHECK (format IN ('json', 'slack', 'discord', 'teams')),
    url        text,
    host       text,
    profile    text,
    events     text[] NOT NULL CHECK (pg_catalog.cardinality(events) > 0),
    schedules  text[] CHECK (pg_catalog.cardinality(schedules) > 0),
    created_by text NOT NULL DEFAULT session_user,
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    CHECK ((url IS NULL) = (host IS NULL)),
    CHECK (url IS NOT NULL OR profile IS NOT NULL),
    CHECK (url IS NULL OR format = 'json')
);
COMMENT ON TABLE walwarden.webhook IS 'who is told of what; a URL that is a secret, and what requests are signed with, stand in the credentials file';
COMMENT ON COLUMN walwarden.webhook.url IS 'NULL: the webhook_url of the profile';
COMMENT ON COLUMN walwarden.webhook.schedules IS 'NULL: all, and what belongs to none';

CREATE TABLE walwarden.webhook_pause (
    webhook    text PRIMARY KEY REFERENCES walwarden.webhook (name) ON DELETE CASCADE,
    failures   integer NOT NULL CHECK (failures > 0),
    until      timestamptz NOT NULL,
    last_error text NOT NULL
);
COMMENT ON TABLE walwarden.webhook_pause IS 'webhooks whose receiver failed, and when it is tried again; a table of its own, so that a definition is never waited for';

CREATE TABLE walwarden.notification (
    id              uuid PRIMARY KEY DEFAULT pg_catalog.gen_random_uuid(),
    seq             bigint GENERATED ALWAYS AS IDENTITY,
    webhook         text NOT NULL,
    event           text NOT NULL,
    severity        text NOT NULL CHECK (severity IN ('info', 'warning', 'error', 'critical')),
    job             uuid,
    schedule        text,
    message         text NOT NULL,
    detail          jsonb NOT NULL CHECK (pg_catalog.jsonb_typeof(detail) = 'object'),
    queued_at       timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    attempts        integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    delivered_at    timestamptz,
    given_up_at     timestamptz,
    last_error      text,
    CHECK (delivered_at IS NULL OR given_up_at IS NULL)
);
COMMENT ON TABLE walwarden.notification IS 'the outbox: one row an event and webhook, kept for 30 days after it was settled';
COMMENT ON COLUMN walwarden.notification.next_attempt_at IS 'while it is being sent: when somebody else may try, should the sender be gone';
CREATE INDEX notification_waiting ON walwarden.notification (webhook, attempts, seq) WHERE delivered_at IS NULL AND given_up_at IS NULL;
CREATE INDEX notification_settled ON walwarden.notification (coalesce(delivered_at, given_up_at))
    WHERE delivered_at IS NOT NULL OR given_up_at IS NOT NULL;
CREATE INDEX notification_queued ON walwarden.notification (queued_at);

CREATE TABLE walwarden.watch (
    only_row    boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    storages_at timestamptz NOT NULL DEFAULT '-infinity',
    audit_at    timestamptz NOT NULL DEFAULT '-infinity',
    audit_problems bigint
);
COMMENT ON TABLE walwarden.watch IS 'when storages and the audit chain were last looked at for what nobody asks about';
COMMENT ON COLUMN walwarden.watch.audit_problems IS 'how many problems the last look at the audit chain found';
INSERT INTO walwarden.watch DEFAULT VALUES;

CREATE TABLE walwarden.storage_shortage (
    storage text PRIMARY KEY REFERENCES walwarden.storage (name) ON DELETE CASCADE,
    told_at timestamptz NOT NULL
);
COMMENT ON TABLE walwarden.storage_shortage IS 'storages that are nearly full, and when that was last told';

CREATE TABLE walwarden.audit (
    seq    bigint PRIMARY KEY CHECK (seq > 0),
    at     timestamptz NOT NULL,
    job_id uuid,
    event  text NOT NULL,
    actor  text NOT NULL,
    body   text NOT NULL,
    hash   bytea NOT NULL CHECK (pg_catalog.length(hash) = 32)
);
COMMENT ON TABLE walwarden.audit IS 'the audit chain: each body names the hash of the entry before';
COMMENT ON COLUMN walwarden.audit.body IS 'canonical JSON (RFC 8785); the other columns repeat what it says';
COMMENT ON COLUMN walwarden.audit.hash IS 'SHA-256 of a zero byte and the body: its RFC 6962 leaf';

CREATE TABLE walwarden.audit_head (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    seq      bigint NOT NULL,
    hash     bytea NOT NULL,
    at       timestamptz NOT NULL,
    epoch    bigint NOT NULL
);
COMMENT ON TABLE walwarden.audit_head IS 'the newest entry of the audit chain; its row lock admits one appender at a time';
INSERT INTO walwarden.audit_head (seq, hash, at, epoch)
    VALUES (0, '\x0000000000000000000000000000000000000000000000000000000000000000', '-infinity', 1);

CREATE TABLE walwarden.checkpoint (
    epoch     bigint NOT NULL,
    size      bigint NOT NULL CHECK (size > 0),
    root      bytea NOT NULL CHECK (pg_catalog.length(root) = 32),
    note      text NOT NULL,
    key_id    text NOT NULL,
    signed_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    PRIMARY KEY (epoch, size)
);
COMMENT ON TABLE walwarden.checkpoint IS 'the checkpoints of the audit chain that were signed here, to be put into storage';
COMMENT ON COLUMN walwarden.checkpoint.size IS 'how many entries it is over, from the first';
COMMENT ON COLUMN walwarden.checkpoint.root IS 'the Merkle tree head over them (RFC 6962)';
COMMENT ON COLUMN walwarden.checkpoint.note IS 'the checkpoint as it lies in storage: a signed note (C2SP tlog-checkpoint)';

CREATE TABLE walwarden.anchor (
    storage      text PRIMARY KEY REFERENCES walwarden.storage (name) ON DELETE CASCADE,
    epoch        bigint,
    size         bigint,
    anchored_at  timestamptz,
    exported_to  bigint NOT NULL DEFAULT 0,
    timeline     bigint,
    tries        integer NOT NULL DEFAULT 0,
    try_again_at timestamptz,
    error_class  text,
    error_message text,
    error_detail text,
    error_hint   text
);
COMMENT ON TABLE walwarden.anchor IS 'the newest checkpoint that each storage is known to have';
COMMENT ON COLUMN walwarden.anchor.timeline IS 'the timeline of the server when the chain was last compared with this storage';
COMMENT ON COLUMN walwarden.anchor.exported_to IS 'the last audit entry that is in the storage as an entry';

CREATE TABLE walwarden.audit_fork (
    storage     text PRIMARY KEY,
    from_epoch  bigint NOT NULL,
    to_epoch    bigint NOT NULL,
    first_entry bigint NOT NULL,
    last_entry  bigint NOT NULL,
    note        text NOT NULL,
    found_at    timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);
COMMENT ON TABLE walwarden.audit_fork IS 'checkpoints in storage that the audit chain does not continue; while there is one, nothing is signed';
