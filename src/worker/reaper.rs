//! After the dead: jobs whose leader is gone become failed, and their scratch databases are dropped. What they left in storage is
//! for the cleaner, whom a slow storage may hold up.

use crate::catalog::audit;
use crate::catalog::job::{self, Job};
use crate::pg::databases;
use crate::pg::locks::Claim;
use crate::pg::transaction::transaction;
use crate::worker::{ending, retry};
use uuid::Uuid;
use walwarden_core::job::JobState;
use walwarden_core::{Error, ErrorClass, Result};

/// Reap this database's lost jobs, unless another process is at it.
pub fn reap() -> Result<()> {
    if !Claim::Reaper.try_take()? {
        return Ok(());
    }
    let outcome = mark_lost_jobs().and_then(|()| drop_scratch_databases());
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
        if let Some((job, error)) = outcome? {
            ending::log(&job, JobState::Failed, Some(&error));
        }
    }
    Ok(())
}

/// None when its leader has ended it properly since the list was read.
fn mark_lost(id: Uuid) -> Result<Option<(Job, Error)>> {
    if job::state(id)?.is_final() {
        return Ok(None);
    }
    let error = Error::new(ErrorClass::Lost, "the leader of the job is gone")
        .detail("It was killed, or the server was restarted, while the job ran.")
        .hint("Look into the server's log around the time the job started, then run it again.");
    let job = job::find(id)?;
    retry::fail(&job, &error)?;
    let why = serde_json::json!({ "reason": "no process holds the job's claim: its leader was killed, or the server restarted" });
    audit::append(&format!("{}.reaped", job::kind(id)?), Some(id), &audit::actor(), &why.to_string())?;
    Ok(Some((job, error)))
}

/// What a lost restore was restoring into, and what a completed one replaced.
fn drop_scratch_databases() -> Result<()> {
    for (job, database) in transaction(job::with_scratch)? {
        match databases::drop_database(&database) {
            Ok(()) => transaction(|| job::set_scratch(job, None))?,
            Err(error) if error.class.is_request_to_stop() => {
                return Err(error);
            }
            // Stays noted in the job's row; the next tick or leader tries again.
            Err(error) => crate::error::log(&error, &format!("job {job}: dropping database \"{database}\"")),
        }
    }
    Ok(())
}
