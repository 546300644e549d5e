//! `walwarden.job`: one row an execution. The audit entry of each state is written by the table's own trigger, in
//! the transaction that sets the state.

use crate::catalog::task::Task;
use crate::pg::{clock, sql};
use chrono::{DateTime, Utc};
use uuid::Uuid;
use walwarden_core::archive::Compression;
use walwarden_core::job::{JobKind, JobState, Trigger};
use walwarden_core::{Error, ErrorClass, Result};

/// A job to queue.
#[derive(Debug, Clone)]
pub struct NewJob<'a> {
    /// Made by the caller (UUIDv7).
    pub id: Uuid,
    /// What it does.
    pub task: Task,
    /// The schedule it belongs to.
    pub schedule: Option<&'a str>,
    /// What started it.
    pub trigger: Trigger,
    /// The time of the schedule it stands for.
    pub scheduled_for: Option<DateTime<Utc>>,
    /// Where its backup goes, or lies.
    pub storages: &'a [String],
    /// Which attempt it is, from 1 on.
    pub attempt: u32,
    /// It waits until then.
    pub run_after: Option<DateTime<Utc>>,
    /// On whose behalf.
    pub requested_by: &'a str,
}

/// What a leader needs to know of its job.
#[derive(Debug, Clone)]
pub struct Job {
    /// Its id.
    pub id: Uuid,
    /// What it does.
    pub task: Task,
    /// The schedule it belongs to.
    pub schedule: Option<String>,
    /// What started it.
    pub trigger: Trigger,
    /// The time of the schedule it stands for.
    pub scheduled_for: Option<DateTime<Utc>>,
    /// Which attempt it is, from 1 on.
    pub attempt: u32,
    /// Where its backup goes, or lies.
    pub storages: Vec<String>,
    /// On whose behalf.
    pub requested_by: String,
    /// When it was queued; its objects' path carries this day.
    pub queued_at: DateTime<Utc>,
}

/// What is known of the archive when it is complete in storage.
#[derive(Debug, Clone)]
pub struct ArchiveFacts {
    /// Bytes of the archive.
    pub size: u64,
    /// Bytes of COPY text in it.
    pub raw_bytes: u64,
    /// Tables with data in it.
    pub tables: u64,
    /// Those of the tables that COPY did not write, of a backup.
    pub direct_tables: Option<u64>,
    /// Rows in it.
    pub rows: u64,
    /// SHA-256 of the archive, hex.
    pub sha256: String,
}

/// The objects of a backup.
#[derive(Debug, Clone, Copy)]
pub struct ObjectKeys<'a> {
    /// The archive.
    pub archive: &'a str,
    /// The globals, if it has them.
    pub globals: Option<&'a str>,
    /// The manifest.
    pub manifest: &'a str,
}

const COLUMNS: &str = "schedule, trigger, pg_catalog.to_jsonb(storages)::text, requested_by, \
    (extract(epoch FROM queued_at) * 1000000)::bigint, kind, jobs, compression, max_rate, backup, depth, options::text, \
    attempt, (extract(epoch FROM scheduled_for) * 1000000)::bigint";

/// Queue a job. False when this scheduled time was queued before.
pub fn insert(job: &NewJob<'_>) -> Result<bool> {
    let scheduled_for = job.scheduled_for.map(clock::to_text);
    let columns = job.task.to_columns()?;
    let added = sql::run(
        "INSERT INTO walwarden.job (id, kind, schedule, trigger, scheduled_for, storages, requested_by, \
                                    jobs, compression, max_rate, backup, depth, options, attempt, run_after) \
         VALUES ($1::uuid, $2, $3, $4, $5::timestamptz, \
                 ARRAY (SELECT pg_catalog.jsonb_array_elements_text($6::jsonb)), $7, $8::integer, $9, \
                 $10::bigint, $11::uuid, $12, $13::jsonb, $14::integer, $15::timestamptz) \
         ON CONFLICT DO NOTHING",
        &[
            Some(&job.id.to_string()),
            Some(job.task.kind().name()),
            job.schedule,
            Some(job.trigger.name()),
            scheduled_for.as_deref(),
            Some(&serde_json::Value::from(job.storages).to_string()),
            Some(job.requested_by),
            columns.jobs.as_deref(),
            columns.compression.as_deref(),
            columns.max_rate.as_deref(),
            columns.backup.as_deref(),
            columns.depth,
            columns.options.as_deref(),
            Some(&job.attempt.to_string()),
            job.run_after.map(clock::to_text).as_deref(),
        ],
    )?;
    Ok(added == 1)
}

/// The state of a job; not found is an error.
pub fn state(id: Uuid) -> Result<JobState> {
    sql::query_one("SELECT state FROM walwarden.job WHERE id = $1::uuid", &[Some(&id.to_string())])?
        .ok_or_else(|| unknown(id))?
        .parse(0)
}

/// What a job is for; not found is an error.
pub fn kind(id: Uuid) -> Result<JobKind> {
    sql::query_one("SELECT kind FROM walwarden.job WHERE id = $1::uuid", &[Some(&id.to_string())])?
        .ok_or_else(|| unknown(id))?
        .parse(0)
}

/// queued → claimed. None when somebody else was first, or it was canceled.
pub fn claim(id: Uuid) -> Result<Option<Job>> {
    let row = sql::query_one(
        &format!(
            "UPDATE walwarden.job SET state = 'claimed', claimed_at = pg_catalog.clock_timestamp(), \
         leader_pid = pg_catalog.pg_backend_pid() WHERE id = $1::uuid AND state = 'queued' \
         RETURNING {COLUMNS}"
        ),
        &[Some(&id.to_string())],
    )?;
    row.map(|row| from_row(id, &row)).transpose()
}

/// A job as it was queued; not found is an error.
pub fn find(id: Uuid) -> Result<Job> {
    let row = sql::query_one(
        &format!("SELECT {COLUMNS} FROM walwarden.job WHERE id = $1::uuid"),
        &[Some(&id.to_string())],
    )?
    .ok_or_else(|| unknown(id))?;
    from_row(id, &row)
}

fn from_row(id: Uuid, row: &sql::Row) -> Result<Job> {
    let storages = serde_json::from_str(&row.text(2)?)
        .map_err(|cause| Error::internal(format!("a job's storages cannot be read: {cause}")))?;
    Ok(Job {
        id,
        task: Task::from_row(row, 5)?,
        schedule: row.get(0).map(str::to_owned),
        trigger: row.parse(1)?,
        scheduled_for: row.time_nullable(13)?,
        attempt: row.parse(12)?,
        storages,
        requested_by: row.text(3)?,
        queued_at: row.time(4)?,
    })
}

/// When a job began to run.
pub fn started_at(id: Uuid) -> Result<DateTime<Utc>> {
    sql::query_one(
        "SELECT (extract(epoch FROM started_at) * 1000000)::bigint FROM walwarden.job WHERE id = $1::uuid",
        &[Some(&id.to_string())],
    )?
    .ok_or_else(|| unknown(id))?
    .time(0)
}

/// claimed → running, with the handle by which sessions see its progress.
pub fn start_running(id: Uuid, progress_handle: u32) -> Result<()> {
    change(
        id,
        "state = 'running', started_at = pg_catalog.clock_timestamp(), progress_handle = $2::bigint",
        &[Some(&progress_handle.to_string())],
    )
}

/// How many copiers the job got, and why fewer than it wanted.
pub fn set_copiers(id: Uuid, copiers: usize, note: Option<&str>) -> Result<()> {
    change(id, "copiers = $2::integer, copiers_note = $3", &[Some(&copiers.to_string()), note])
}

/// How the job's archive is compressed.
pub fn set_compression(id: Uuid, compression: Compression) -> Result<()> {
    change(id, "compression = $2", &[Some(&compression.name())])
}

/// The moment whose data the backup holds.
pub fn set_snapshot(id: Uuid, at: DateTime<Utc>, lsn: &str) -> Result<()> {
    change(
        id,
        "snapshot_at = $2::timestamptz, snapshot_lsn = $3::pg_lsn, \
         changes = walwarden._changes(), stats_since = walwarden._stats_since()",
        &[Some(&clock::to_text(at)), Some(lsn)],
    )
}

/// The database that must go when the job has ended; None when there is none any more.
pub fn set_scratch(id: Uuid, database: Option<&str>) -> Result<()> {
    change(id, "scratch_database = $2", &[database])
}

/// Finished jobs whose scratch database is still there, and its name.
pub fn with_scratch() -> Result<Vec<(Uuid, String)>> {
    sql::query(
        "SELECT id, scratch_database FROM walwarden.job \
         WHERE scratch_database IS NOT NULL AND finalized_at IS NOT NULL ORDER BY id",
        &[],
    )?
    .iter()
    .map(|row| Ok((row.parse(0)?, row.text(1)?)))
    .collect()
}

/// How a job ended, for the log.
#[derive(Debug, Clone)]
pub struct Ending {
    /// Its state.
    pub state: JobState,
    /// How long it ran, in seconds with three digits; None if it never began to.
    pub seconds: Option<String>,
    /// Bytes of the archive that it made, or was about.
    pub size: Option<u64>,
}

/// What a job's row says of its end; None when there is no such job, or it has not ended.
pub fn ending(id: Uuid) -> Result<Option<Ending>> {
    sql::query_one(
        "SELECT state, pg_catalog.round(extract(epoch FROM finalized_at - started_at), 3), size_bytes FROM walwarden.job \
         WHERE id = $1::uuid AND finalized_at IS NOT NULL",
        &[Some(&id.to_string())],
    )?
    .map(|row| Ok(Ending { state: row.parse(0)?, seconds: row.get(1).map(str::to_owned), size: row.parse_nullable(2)? }))
    .transpose()
}

/// running → finalizing: the archive is in storage, and not yet proven.
pub fn start_finalizing(id: Uuid, keys: &ObjectKeys<'_>, facts: &ArchiveFacts) -> Result<()> {
    change(
        id,
        "state = 'finalizing', finalizing_at = pg_catalog.clock_timestamp(), object_key = $2, globals_key = $3, \
         manifest_key = $4, size_bytes = $5::bigint, raw_bytes = $6::bigint, tables = $7::bigint, rows = $8::bigint, \
         sha256 = $9",
        &[
            Some(keys.archive),
            keys.globals,
            Some(keys.manifest),
            Some(&facts.size.to_string()),
            Some(&facts.raw_bytes.to_string()),
            Some(&facts.tables.to_string()),
            Some(&facts.rows.to_string()),
            Some(&facts.sha256),
        ],
    )?;
    match facts.direct_tables {
        Some(count) if !super::objects_are_of_0_1_0()? => {
            change(id, "direct_tables = $2::bigint", &[Some(&count.to_string())])
        }
        _ => Ok(()),
    }
}

/// The backup of this job is to be deleted; one that is already to be is left as it is.
pub fn expire(id: Uuid, reason: &str, by: &str) -> Result<bool> {
    let touched = sql::run(
        "UPDATE walwarden.job SET expires_at = pg_catalog.clock_timestamp(), delete_reason = $2, deleted_by = $3 \
         WHERE id = $1::uuid AND expires_at IS NULL",
        &[Some(&id.to_string()), Some(reason), Some(by)],
    )?;
    Ok(touched == 1)
}

/// A backup that is to be deleted.
#[derive(Debug, Clone)]
pub struct Expired {
    /// The job that made it.
    pub id: Uuid,
    /// Why.
    pub reason: String,
    /// Who decided it.
    pub by: String,
}

/// Backups that are to be deleted and of which something can be done now, those decided first first: a copy whose deletion is due,
/// or none is left, which is still to be said.
pub fn expired() -> Result<Vec<Expired>> {
    sql::query(
        "SELECT j.id, j.delete_reason, j.deleted_by FROM walwarden.job AS j \
           LEFT JOIN walwarden.backup_copy AS c ON c.backup = j.id \
                AND c.state IN ('writing', 'stored', 'missing', 'retained_by_lock') \
          WHERE j.expires_at IS NOT NULL AND j.deleted_at IS NULL \
          GROUP BY j.id \
         HAVING pg_catalog.count(c.backup) = 0 \
             OR pg_catalog.bool_or(c.state = 'missing' OR c.state <> 'writing' \
                                   AND coalesce(c.try_again_at <= pg_catalog.clock_timestamp(), true)) \
          ORDER BY j.expires_at, j.id",
        &[],
    )?
    .iter()
    .map(|row| Ok(Expired { id: row.parse(0)?, reason: row.text(1)?, by: row.text(2)? }))
    .collect()
}

/// Every object of the backup is gone.
pub fn set_deleted(id: Uuid) -> Result<()> {
    change(id, "deleted_at = pg_catalog.clock_timestamp()", &[])
}

/// What the smoke query of a restore test answered.
pub fn set_smoke_answer(id: Uuid, answer: Option<&str>) -> Result<()> {
    change(id, "smoke_answer = $2", &[answer])
}

/// What a verification could not look at, and why.
pub fn set_unchecked(id: Uuid, what: &str) -> Result<()> {
    change(id, "unchecked = $2", &[Some(what)])
}

/// finalizing → completed: the signed manifest was read back and agreed.
pub fn complete(id: Uuid) -> Result<()> {
    end_as(id, JobState::Completed)
}

/// finalizing → partial: it was in some of the storages, and not in all.
pub fn complete_in_part(id: Uuid) -> Result<()> {
    end_as(id, JobState::Partial)
}

fn end_as(id: Uuid, state: JobState) -> Result<()> {
    change(id, "state = $2, finalized_at = pg_catalog.clock_timestamp()", &[Some(state.name())])
}

/// → failed, with the error as the user will read it.
pub fn fail(id: Uuid, error: &Error) -> Result<()> {
    change(
        id,
        "state = 'failed', finalized_at = pg_catalog.clock_timestamp(), error_class = $2, error_message = $3, \
         error_detail = $4, error_hint = $5",
        &[Some(error.class.name()), Some(&error.message), error.detail.as_deref(), error.hint.as_deref()],
    )
}

/// → canceled; `by` is who asked, if walwarden knows.
pub fn cancel(id: Uuid, by: Option<&str>) -> Result<()> {
    change(id, "state = 'canceled', finalized_at = pg_catalog.clock_timestamp(), canceled_by = $2", &[by])
}

/// queued → canceled. False when it is not queued any more.
pub fn cancel_queued(id: Uuid, by: &str) -> Result<bool> {
    let touched = sql::run(
        "UPDATE walwarden.job SET state = 'canceled', finalized_at = pg_catalog.clock_timestamp(), canceled_by = $2 \
         WHERE id = $1::uuid AND state = 'queued'",
        &[Some(&id.to_string()), Some(by)],
    )?;
    Ok(touched == 1)
}

/// Note who asked for a running job to be canceled.
pub fn request_cancel(id: Uuid, by: &str) -> Result<()> {
    sql::run(
        "INSERT INTO walwarden.cancel_request (job_id, requested_by) VALUES ($1::uuid, $2) \
         ON CONFLICT (job_id) DO NOTHING",
        &[Some(&id.to_string()), Some(by)],
    )?;
    Ok(())
}

/// Who asked for this job to be canceled, if anybody did.
pub fn cancel_requester(id: Uuid) -> Result<Option<String>> {
    let row = sql::query_one(
        "SELECT requested_by FROM walwarden.cancel_request WHERE job_id = $1::uuid",
        &[Some(&id.to_string())],
    )?;
    row.map(|row| row.text(0)).transpose()
}

/// What is queued and waits for one of `walwarden.max_concurrent_jobs`: all but a restore that somebody asked for. Backups
/// take part only if $1 is true, which they are while none runs in this database.
const IN_TURN: &str = "state = 'queued' AND finalized_at IS NULL AND NOT (kind = 'restore' AND trigger = 'manual') \
     AND ($1::boolean OR kind <> 'backup')";
/// Its time has come.
const NOT_BEFORE: &str = "(run_after IS NULL OR run_after <= pg_catalog.clock_timestamp())";

/// A job that is queued and whose time has come: its kind, what started it, and since when it waits, in microseconds since the
/// Unix epoch.
pub fn queued(id: Uuid) -> Result<Option<(JobKind, Trigger, i64)>> {
    let statement = format!(
        "SELECT kind, trigger, (extract(epoch FROM queued_at) * 1000000)::bigint FROM walwarden.job \
         WHERE id = $1::uuid AND state = 'queued' AND {NOT_BEFORE}"
    );
    sql::query_one(&statement, &[Some(&id.to_string())])?
        .map(|row| Ok((row.parse(0)?, row.parse(1)?, row.parse(2)?)))
        .transpose()
}

/// The jobs whose turn is next, those that have waited longest first.
pub fn next_in_turn(with_backups: bool, most: usize) -> Result<Vec<Uuid>> {
    let statement = format!(
        "SELECT id FROM walwarden.job WHERE {IN_TURN} AND {NOT_BEFORE} ORDER BY queued_at, id LIMIT $2::bigint"
    );
    sql::query(&statement, &[Some(flag(with_backups)), Some(&most.to_string())])?
        .iter()
        .map(|row| row.parse(0))
        .collect()
}

/// Since when the first of them waits, in microseconds since the Unix epoch.
pub fn in_turn_since(with_backups: bool) -> Result<Option<i64>> {
    let statement = format!(
        "SELECT (extract(epoch FROM queued_at) * 1000000)::bigint FROM walwarden.job \
         WHERE {IN_TURN} AND {NOT_BEFORE} ORDER BY queued_at LIMIT 1"
    );
    sql::query_one(&statement, &[Some(flag(with_backups))])?.map(|row| row.parse(0)).transpose()
}

/// The restores that somebody asked for and that have not started.
pub fn queued_restores_by_hand() -> Result<Vec<Uuid>> {
    sql::query(
        "SELECT id FROM walwarden.job WHERE state = 'queued' AND finalized_at IS NULL AND kind = 'restore' \
         AND trigger = 'manual' ORDER BY queued_at, id",
        &[],
    )?
    .iter()
    .map(|row| row.parse(0))
    .collect()
}

fn flag(value: bool) -> &'static str {
    if value { "true" } else { "false" }
}

/// When the next job that waits for its time may run.
pub fn next_run_after() -> Result<Option<DateTime<Utc>>> {
    let row = sql::query_one(
        "SELECT (extract(epoch FROM pg_catalog.min(run_after)) * 1000000)::bigint FROM walwarden.job \
         WHERE state = 'queued' AND finalized_at IS NULL AND run_after > pg_catalog.clock_timestamp()",
        &[],
    )?;
    row.map_or(Ok(None), |row| row.time_nullable(0))
}

/// Jobs that some leader has begun and none has ended.
pub fn begun() -> Result<Vec<Uuid>> {
    sql::query(
        "SELECT id FROM walwarden.job WHERE finalized_at IS NULL AND state <> 'queued' ORDER BY queued_at, id",
        &[],
    )?
    .iter()
    .map(|row| row.parse(0))
    .collect()
}

/// Whether a schedule has unfinished jobs of this kind, and whether one of them waits to be taken up.
pub fn unfinished_of(schedule: &str, kind: JobKind) -> Result<(bool, bool)> {
    let row = sql::query_one(
        "SELECT pg_catalog.count(*) > 0, pg_catalog.count(*) FILTER (WHERE state = 'queued') > 0 FROM walwarden.job \
         WHERE schedule = $1 AND kind = $2 AND finalized_at IS NULL",
        &[Some(schedule), Some(kind.name())],
    )?
    .ok_or_else(|| Error::internal("a count has no row"))?;
    Ok((row.flag(0)?, row.flag(1)?))
}

fn change(id: Uuid, assignments: &str, parameters: &[Option<&str>]) -> Result<()> {
    let statement = format!("UPDATE walwarden.job SET {assignments} WHERE id = $1::uuid");
    let id_text = id.to_string();
    let mut all = vec![Some(id_text.as_str())];
    all.extend_from_slice(parameters);
    match sql::run(&statement, &all)? {
        1 => Ok(()),
        _ => Err(unknown(id)),
    }
}

fn unknown(id: Uuid) -> Error {
    Error::new(ErrorClass::NotFound, format!("job {id} does not exist")).hint("See walwarden.jobs.")
}
