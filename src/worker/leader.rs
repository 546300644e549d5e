//! The leader: one process for one running job. It keeps the job's state, whatever the work; its transactions are short.

use crate::catalog::job::{self, Job};
use crate::catalog::task::{RestoreOrder, Task};
use crate::catalog::{backup_copy, database};
use crate::pg::bgworker::{self, Assignment};
use crate::pg::caught::caught;
use crate::pg::locks;
use crate::pg::transaction::{self, transaction};
use crate::pg::{clock, extension, interrupts, shared};
use crate::worker::backup::Workshop;
use crate::worker::copy::Copying;
use crate::worker::installed::is_installed;
use crate::worker::io::Io;
use crate::worker::restore::Restore;
use crate::worker::restore::rows::RowsRestore;
use crate::worker::restore::table::TableRestore;
use crate::worker::restore::test::RestoreTest;
use crate::worker::turn::{self, Answer};
use crate::worker::verify::Verification;
use crate::worker::work::Work;
use crate::worker::{anchor, ending, reaper, retry, start};
use std::time::Duration;
use uuid::Uuid;
use walwarden_core::job::JobState;
use walwarden_core::{Error, ErrorClass, Result};

/// How long the clean-up may hold up a leader that was told to stop.
const HASTY_CLEAN_UP: Duration = Duration::from_millis(1000);
/// How long it may take otherwise.
const CLEAN_UP: Duration = Duration::from_secs(30);
/// A shutdown reaches all processes within this.
const SIGNAL_SPREAD: Duration = Duration::from_millis(200);

/// Main function, after the process was set up by `entry`.
pub fn main() {
    interrupts::install_orderly();
    let mut outcome = Outcome::default();
    if let Err(error) = lead(&mut outcome) {
        let doing = outcome.done.map_or_else(|| "leader".to_owned(), |job| format!("job {job}: leader"));
        crate::error::log(&error, &doing);
    }
}

fn lead(outcome: &mut Outcome) -> Result<()> {
    let Assignment { database, task } = bgworker::assignment()?;
    // None: it is the turn of this database, whatever its next job is.
    let wanted = match task.as_str() {
        "" => None,
        id => Some(id.parse().map_err(|_| Error::internal("a leader was started without a job"))?),
    };
    bgworker::connect(database)?;
    bgworker::settle_session()?;
    let attended = attend(wanted, outcome);
    if outcome.begun && !shared::available() {
        // There is no tick to do it.
        anchor::start_if_due(clock::now())?;
    }
    attended.and(turn::pass_on(outcome.begun, outcome.done))
}

/// What has come of a leader so far.
#[derive(Default)]
struct Outcome {
    /// It has begun a job.
    begun: bool,
    /// The job that needs no leader any more, by this one or another.
    done: Option<Uuid>,
}

fn attend(wanted: Option<Uuid>, outcome: &mut Outcome) -> Result<()> {
    if !is_installed()? {
        return Ok(());
    }
    transaction(|| database::identity()?.require_this_database())?;
    if wanted.is_none() {
        // Other databases may wait for the slot that is kept for this leader.
        bgworker::set(c"lock_timeout", c"5s")?;
    }
    if let Err(error) = reaper::reap() {
        interrupts::check()?;
        crate::error::log(&error, "reaping lost jobs");
    }
    // Without preload there is no tick to do it.
    if !transaction(backup_copy::with_remains)?.is_empty() && start::start_cleaner().is_none() {
        crate::error::log(&bgworker::no_free_slot("cleaner"), "leader");
    }
    let candidates = match wanted {
        Some(id) => vec![id],
        // As many as others may be taking at this moment, and one.
        None => transaction(|| {
            job::next_in_turn(!locks::claimed()?.backup_here, crate::guc::max_concurrent_jobs() + 1)
        })?,
    };
    for id in candidates {
        match turn::take(id, wanted.is_none())? {
            Answer::Yes(turn) => {
                outcome.done = Some(id);
                bgworker::set(c"lock_timeout", c"0")?;
                let worked = work_on(id, outcome);
                turn.give_back()?;
                return worked;
            }
            Answer::Nothing => outcome.done = wanted,
            Answer::NotNow => {}
        }
    }
    Ok(())
}

fn work_on(id: Uuid, outcome: &mut Outcome) -> Result<()> {
    // None: canceled meanwhile, or another leader was first.
    let (job, waiting) = transaction(|| Ok((job::claim(id)?, turn::waiting_since()?)))?;
    let Some(job) = job else { return Ok(()) };
    outcome.begun = true;
    turn::tell_begun(waiting);
    run(&job)
}

fn run(job: &Job) -> Result<()> {
    let io = Io::start()?;
    let mut work: Box<dyn Work> = match &job.task {
        Task::Backup(options) => Box::new(Workshop::new(io, options.clone())),
        Task::Verify { backup, depth, order } => {
            Box::new(Verification::new(io, *backup, *depth, order.clone()))
        }
        Task::Restore { backup, order: RestoreOrder::Database(order) } if order.data_only => {
            Box::new(RowsRestore::new(io, *backup, order.clone()))
        }
        Task::Restore { backup, order: RestoreOrder::Database(order) } => {
            Box::new(Restore::new(io, *backup, order.clone()))
        }
        Task::Restore { backup, order: RestoreOrder::Table(order) } => {
            Box::new(TableRestore::new(io, *backup, order.clone()))
        }
        Task::RestoreTest { backup, order } => Box::new(RestoreTest::new(io, *backup, order.clone())),
        Task::Copy { backup } => {
            let target = job.storages.first().cloned();
            Box::new(Copying::new(
                io,
                *backup,
                target.ok_or_else(|| Error::internal("a copy has no storage"))?,
            ))
        }
    };
    if let Task::Backup(options) = &job.task {
        interrupts::limit_time(options.timeout.map(Duration::from_secs));
    }
    // What is raised instead of returned, by PostgreSQL or by a defect, is the job's error all the same.
    let outcome = caught(|| work.run(job)).or_else(|error| transaction::settle(Err(error)));
    interrupts::limit_time(None);
    match outcome {
        Ok(()) => {
            ending::log(job, JobState::Completed, None);
            Ok(())
        }
        Err(error) => {
            let told = end_badly(job, work.as_mut(), error);
            interrupts::settled();
            told
        }
    }
}

/// Stop what is running, remove what was written, and say in the job what happened. Told to stop, it hurries: what
/// cannot be removed at once stays noted in the job and is removed by the next leader or tick.
fn end_badly(job: &Job, work: &mut dyn Work, error: Error) -> Result<()> {
    let error = reason_behind(error);
    let leaving = interrupts::terminate_requested();
    let canceled = !leaving && interrupts::cancel_requested();
    interrupts::acknowledge();
    if leaving {
        hurry()?;
    }
    let error = work.stop(error);
    let limit = if leaving || canceled { HASTY_CLEAN_UP } else { CLEAN_UP };
    let cleaned = work.clean_up(limit);
    let mut told = tell(job, &error, canceled, cleaned.is_ok());
    if !leaving && interrupts::terminate_requested() {
        // Told to end while settling something else: what happened is still written down.
        interrupts::acknowledge();
        hurry()?;
        told = told.or_else(|_| tell(job, &error, canceled, cleaned.is_ok()));
    }
    ending::log(job, if canceled { JobState::Canceled } else { JobState::Failed }, Some(&error));
    if let Err(trouble) = cleaned {
        crate::error::log(&trouble, &format!("job {}: cleaning up after it", job.id));
        if canceled && !leaving {
            clean_up_at_leisure(job, work)?;
        }
    }
    told
}

/// In a shutdown a copier may be told to end a moment before we are.
fn reason_behind(error: Error) -> Error {
    if error.class == ErrorClass::Lost {
        interrupts::wait(None, SIGNAL_SPREAD).err().unwrap_or(error)
    } else {
        error
    }
}

/// Nothing that others hold may keep the server from shutting down.
fn hurry() -> Result<()> {
    bgworker::set(c"lock_timeout", c"1s")
}

/// Write into the job what became of it.
fn tell(job: &Job, error: &Error, canceled: bool, clean: bool) -> Result<()> {
    transaction(|| {
        if !extension::exists() {
            return Ok(());
        }
        if canceled {
            let by = job::cancel_requester(job.id)?;
            job::cancel(job.id, by.as_deref())?;
            backup_copy::fail_unfinished_of(job.id, error)?;
        } else {
            retry::fail(job, error)?;
        }
        if clean { clear_remains(job.id) } else { Ok(()) }
    })
}

/// Nothing is left.
fn clear_remains(job: Uuid) -> Result<()> {
    backup_copy::clear_remains_of(job)?;
    job::set_scratch(job, None)
}

fn clean_up_at_leisure(job: &Job, work: &dyn Work) -> Result<()> {
    match work.clean_up(CLEAN_UP) {
        Ok(()) => transaction(|| clear_remains(job.id)),
        Err(error) if error.class == ErrorClass::Terminated => Err(error),
        // Logged once already; the next tick or leader tries again.
        Err(_) => Ok(()),
    }
}
