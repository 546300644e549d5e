//! After the dead: jobs whose leader is gone become failed, and what they left in storage is removed.

use crate::catalog::{audit, backup_copy, job};
use crate::pg::databases;
use crate::pg::locks::Claim;
use crate::pg::shared;
use crate::pg::transaction::transaction;
use crate::worker::io::Io;
use crate::worker::remains::{self, Cleaned};
use crate::worker::retry;
use std::time::Duration;
use uuid::Uuid;
use walwarden_core::{Error, ErrorClass, Result};

/// How long one job's clean-up may take before it is left to the next tick.
const CLEAN_UP_LIMIT: Duration = Duration::from_secs(20);

/// Reap this database's lost jobs, unless another process is at it.
pub fn reap() -> Result<()> {
    if !Claim::Reaper.try_take()? {
        return Ok(());
    }
    let outcome = mark_lost_jobs().and_then(|()| clean_up_remains()).and_then(|()| drop_scratch_databases());
    Claim::Reaper.release()?;
    outcome
}

/// A leader holds its job's claim from before it claims the job until it ends: a begun job whose claim is free has
/// lost its leader.
fn mark_lost_jobs() -> Result<()> {
    for id in transaction(job::begun)? {
        let claim = Claim::Job(id.as_u128());
        if !claim.try_take()? {
            continue;
        }
        let outcome = transaction(|| mark_lost(id));
        claim.release()?;
        outcome?;
    }
    Ok(())
}

fn mark_lost(id: Uuid) -> Result<()> {
    // Its leader may have ended it properly since the list was read.
    if job::state(id)?.is_final() {
        return Ok(());
    }
    let error = Error::new(ErrorClass::Lost, "the leader of the job is gone")
        .detail("It was killed, or the server was restarted, while the job ran.")
        .hint("Look into the server's log around the time the job started, then run it again.");
    retry::fail(&job::find(id)?, &error)?;
    // Its reason stands in the entry of the failure.
    audit::append(&format!("{}.reaped", job::kind(id)?), Some(id), &audit::actor(), "{}")?;
    Ok(())
}

fn clean_up_remains() -> Result<()> {
    let all = transaction(backup_copy::with_remains)?;
    if all.is_empty() {
        return Ok(());
    }
    let io = Io::start()?;
    for one in all {
        // Storage may not answer: nobody else's backup waits for that. The next tick goes on.
        if shared::notice().ticks_are_waited_for {
            break;
        }
        match remains::clean_up_lost(&io, &one, CLEAN_UP_LIMIT) {
            Ok(Cleaned::Removed) => transaction(|| backup_copy::clear_remains(one.backup, &one.storage))?,
            Ok(Cleaned::Proven) => {
                pgrx::log!(
                    "walwarden: job {} was lost, but its backup is complete in storage and stays",
                    one.backup
                );
                transaction(|| backup_copy::clear_remains(one.backup, &one.storage))?;
            }
            // This server may be a copy of the one that runs the job: a later tick decides.
            Ok(Cleaned::NotYet) => {}
            // Stays noted in the job's row; the next tick or leader tries again.
            Err(error) if error.class == ErrorClass::Terminated || error.class == ErrorClass::Canceled => {
                return Err(error);
            }
            Err(error) => crate::error::log(&error, &format!("cleaning up after job {}", one.backup)),
        }
    }
    Ok(())
}

/// What a lost restore was restoring into, and what a completed one replaced.
fn drop_scratch_databases() -> Result<()> {
    for (job, database) in transaction(job::with_scratch)? {
        match databases::drop_database(&database) {
            Ok(()) => transaction(|| job::set_scratch(job, None))?,
            Err(error) if error.class == ErrorClass::Terminated || error.class == ErrorClass::Canceled => {
                return Err(error);
            }
            // Stays noted in the job's row; the next tick or leader tries again.
            Err(error) => crate::error::log(&error, &format!("dropping database \"{database}\"")),
        }
    }
    Ok(())
}
