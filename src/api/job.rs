//! Jobs: queue, wait, cancel.

use super::options;
use crate::catalog::task::{Task, VerifyOrder};
use crate::catalog::{backup, backup_copy, database, job, schedule, storage};
use crate::error::report;
use crate::identity;
use crate::pg::locks::Claim;
use crate::pg::shared::{self, Letter};
use crate::pg::text::Text;
use crate::pg::{extension, interrupts, process, server};
use crate::worker::{start, turn};
use pgrx::datum::Interval;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use std::time::{Duration, Instant};
use uuid::Uuid;
use walwarden_core::backup_options::BackupOptions;
use walwarden_core::job::{Depth, JobKind, JobState, Trigger, waits_for_slot};
use walwarden_core::manifest;
use walwarden_core::release::require_served;
use walwarden_core::{Error, ErrorClass, Result as CoreResult};

/// How often a waiting session looks at the job.
const LOOK: Duration = Duration::from_millis(100);
/// How often it makes sure that somebody works on the job.
const LOOK_FOR_LEADER: Duration = Duration::from_secs(2);

/// Queue a backup; it starts when the transaction commits.
#[pg_extern(sql = false)]
pub fn _run_now(
    schedule: Option<Text>,
    storage: Option<Text>,
    options: Text,
) -> Result<pgrx::Uuid, ErrorReport> {
    let text = |argument: Option<Text>| argument.map(|text| text.0);
    options::read(&options.0)
        .and_then(options::checked)
        .and_then(|options| queue_backup(text(schedule), text(storage), options))
        .map(to_sql)
        .map_err(report)
}

fn queue_backup(
    schedule_name: Option<String>,
    storage_name: Option<String>,
    options: BackupOptions,
) -> CoreResult<Uuid> {
    require_jobs_run()?;
    let of_schedule = schedule_name.as_deref().map(schedule::find).transpose()?;
    let storages = match (storage_name, &of_schedule) {
        (Some(name), _) => vec![name],
        (None, Some(schedule)) => schedule.definition.storages.clone(),
        (None, None) => vec![super::storage::DEFAULT.to_owned()],
    };
    storages.iter().try_for_each(|name| storage::find(name).map(drop))?;
    let options = options.or(of_schedule.map(|schedule| schedule.definition.backup).unwrap_or_default());
    queue(Task::Backup(options), schedule_name.as_deref(), &storages)
}

/// Insert a job that somebody asks for; it starts when the transaction commits.
pub fn queue(task: Task, schedule: Option<&str>, storages: &[String]) -> CoreResult<Uuid> {
    let id = Uuid::now_v7();
    job::insert(&job::NewJob {
        id,
        task,
        schedule,
        trigger: Trigger::Manual,
        scheduled_for: None,
        storages,
        attempt: 1,
        run_after: None,
        requested_by: &server::session_user(),
    })?;
    start::start_leader_at_commit(id);
    Ok(id)
}

/// Fails where a job would never start: on a standby, in a copy of the database, with objects that the library does not know.
pub fn require_jobs_run() -> CoreResult<()> {
    if server::in_recovery() {
        return Err(
            Error::new(ErrorClass::WrongState, "a standby cannot keep jobs").hint("Run this on the primary.")
        );
    }
    require_served(&extension::version()?)?;
    database::identity()?.require_this_database()
}

/// Queue the verification of a backup; it starts when the transaction commits.
#[pg_extern(sql = false)]
pub fn verify(
    job: Option<pgrx::Uuid>,
    depth: Option<Text>,
    storage: Option<Text>,
    identity_file: Option<Text>,
) -> Result<pgrx::Uuid, ErrorReport> {
    let queued = || {
        let (job, depth) = (required("job", job)?, required("depth", depth)?);
        let order = VerifyOrder { identity_file: identity_file.map(|file| file.0) };
        queue_verification(to_core(job), &depth.0, storage.map(|text| text.0), order)
    };
    queued().map(to_sql).map_err(report)
}

fn queue_verification(
    backup: Uuid,
    depth: &str,
    storage: Option<String>,
    order: VerifyOrder,
) -> CoreResult<Uuid> {
    let depth = depth.parse()?;
    require_jobs_run()?;
    let of = backup::find(backup, storage.as_deref())?;
    let given = order.identity_file.as_deref();
    identity::require_may_name(given)?;
    let manifest = manifest::parse(&of.manifest)?;
    let is_locked = identity::of(&manifest, given)?.is_none() && manifest.archive.encryption.is_some();
    let id = queue(Task::Verify { backup, depth, order }, None, &[of.storage.name])?;
    if is_locked && depth == Depth::Full {
        pgrx::notice!(
            "backup {backup} is encrypted and there is no identity file: its stored bytes are verified, its blocks and rows \
             are not"
        );
    }
    Ok(id)
}

/// Queue the copy of a backup into another storage; it starts when the transaction commits.
#[pg_extern(sql = false)]
pub fn copy_backup(job: Option<pgrx::Uuid>, storage: Option<Text>) -> Result<pgrx::Uuid, ErrorReport> {
    let queued = || {
        let (job, storage) = (required("job", job)?, required("storage", storage)?);
        queue_copy(to_core(job), &storage.0)
    };
    queued().map(to_sql).map_err(report)
}

fn queue_copy(backup: Uuid, target: &str) -> CoreResult<Uuid> {
    require_jobs_run()?;
    storage::find(target)?;
    let of = backup::find(backup, None)?;
    if of.is_discovered {
        return Err(Error::new(
            ErrorClass::WrongState,
            format!("backup {backup} was discovered, not made here"),
        )
        .hint("Only backups of this database are copied; restore it, or copy its objects by other means."));
    }
    match backup_copy::state(backup, target)?.as_deref() {
        Some("stored" | "retained_by_lock") => {
            return Err(Error::new(
                ErrorClass::AlreadyExists,
                format!("storage \"{target}\" has backup {backup} already"),
            ));
        }
        Some("writing") => {
            return Err(Error::new(
                ErrorClass::WrongState,
                format!("backup {backup} is being copied into storage \"{target}\""),
            ));
        }
        _ => {}
    }
    queue(Task::Copy { backup }, None, &[target.to_owned()])
}

/// Wait until a job ends, or for a time; gives its state.
#[pg_extern(sql = false)]
pub fn wait_for(job: Option<pgrx::Uuid>, timeout: Option<Interval>) -> Result<Text, ErrorReport> {
    required("job", job)
        .and_then(|job| wait(to_core(job), timeout))
        .map(|state| Text::from(state.name()))
        .map_err(report)
}

fn wait(id: Uuid, timeout: Option<Interval>) -> CoreResult<JobState> {
    let limit = timeout.map(duration).transpose()?;
    if start::waits_for_this_transaction(id) {
        return Err(Error::new(
            ErrorClass::WrongState,
            format!("job {id} cannot start before this transaction commits"),
        )
        .detail("It was queued in the transaction that now wants to wait for it.")
        .hint("COMMIT first, or call walwarden.backup(), which queues and waits."));
    }
    if !server::sees_new_commits() {
        return Err(Error::new(ErrorClass::WrongState, "this transaction cannot see a job end")
            .detail("Its isolation level shows the database as it was when the transaction began.")
            .hint("Wait in a READ COMMITTED transaction."));
    }
    let started = Instant::now();
    let mut looked_for_leader = started;
    loop {
        let state = job::state(id)?;
        if state.is_final() || limit.is_some_and(|limit| started.elapsed() >= limit) {
            return Ok(state);
        }
        if looked_for_leader.elapsed() >= LOOK_FOR_LEADER {
            looked_for_leader = Instant::now();
            revive(id)?;
        }
        interrupts::wait_in_session(None, LOOK);
    }
}

/// Start a leader for a job that nobody works on: it runs a queued one, and reaps one whose leader is gone. Without
/// preload there is no tick to do it. Where the launcher gives the turns, it only hears that this job waits.
fn revive(id: Uuid) -> CoreResult<()> {
    let worker = match job::queued(id)? {
        Some((kind, trigger, since)) => {
            let worker = if kind == JobKind::Backup { Claim::Backup } else { Claim::Job(id.as_u128()) };
            if waits_for_slot(kind, trigger) {
                if turn::launcher_gives_turns() {
                    if worker.holder()?.is_none() {
                        shared::post(Letter::waits(server::database_oid(), since));
                    }
                    return Ok(());
                }
                if !turn::slot_is_free()? {
                    return Ok(());
                }
            }
            worker
        }
        // Its time has not come.
        None if job::state(id)? == JobState::Queued => return Ok(()),
        None => Claim::Job(id.as_u128()),
    };
    if worker.holder()?.is_none() {
        // Every slot taken: the next look tries again.
        let _ = start::start_leader(id);
    }
    Ok(())
}

/// A span of time that cannot be negative.
pub fn duration(interval: Interval) -> CoreResult<Duration> {
    let micros = u64::try_from(interval.as_micros()).map_err(|_| {
        Error::invalid("the time must not be negative").hint("Example: interval '10 minutes'.")
    })?;
    Ok(Duration::from_micros(micros))
}

/// Stop a queued or running job. True if it will end because of this.
#[pg_extern(sql = false)]
pub fn cancel(job: pgrx::Uuid) -> Result<bool, ErrorReport> {
    cancel_job(to_core(job)).map_err(report)
}

fn cancel_job(id: Uuid) -> CoreResult<bool> {
    let by = server::session_user();
    if job::state(id)?.is_final() {
        return Ok(false);
    }
    if job::cancel_queued(id, &by)? {
        return Ok(true);
    }
    job::request_cancel(id, &by)?;
    match Claim::Job(id.as_u128()).holder()? {
        Some(leader) => {
            pgrx::register_xact_callback(pgrx::PgXactCallbackEvent::Commit, move || {
                process::interrupt(leader)
            });
            Ok(true)
        }
        None => {
            // Its leader is gone; another one reaps it.
            start::start_leader_at_commit(id);
            Ok(false)
        }
    }
}

/// Whether a job in one state may take another; for the trigger that guards the table.
#[pg_extern(sql = false)]
pub fn _can_become(old: Text, new: Text) -> Result<bool, ErrorReport> {
    let parse = |name: &str| name.parse::<JobState>().map_err(report);
    Ok(parse(&old.0)?.can_become(parse(&new.0)?))
}

/// Fails inside BEGIN ... COMMIT; for the procedures, which commit as they go.
#[pg_extern(sql = false)]
pub fn _refuse_transaction_block(what: Text) -> Result<(), ErrorReport> {
    if server::in_transaction_block() {
        return Err(report(
            Error::new(ErrorClass::WrongState, format!("{} cannot run inside a transaction block", what.0))
                .hint("Call it by itself, outside BEGIN ... COMMIT, or use walwarden.run_now()."),
        ));
    }
    Ok(())
}

/// The longest reason that is kept, characters.
const LONGEST_REASON: usize = 1000;

/// That a reason is given, and not too long.
pub fn require_reason(reason: &str) -> CoreResult<()> {
    if reason.is_empty() {
        return Err(
            Error::invalid("a reason must be given").hint("It stands in the history and in the audit chain.")
        );
    }
    if reason.chars().count() > LONGEST_REASON {
        return Err(Error::invalid(format!("the reason is longer than {LONGEST_REASON} characters")));
    }
    Ok(())
}

/// An argument that may not be NULL.
pub fn required<T>(what: &str, value: Option<T>) -> CoreResult<T> {
    value.ok_or_else(|| Error::invalid(format!("{what} must not be NULL")))
}

/// A UUID as PostgreSQL has it.
pub fn to_sql(id: Uuid) -> pgrx::Uuid {
    pgrx::Uuid::from_bytes(id.into_bytes())
}

/// A UUID as we have it.
pub fn to_core(id: pgrx::Uuid) -> Uuid {
    Uuid::from_bytes(*id)
}
