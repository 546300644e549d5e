//! Further attempts of backups that failed for a reason that may pass.

use crate::catalog::backup_copy;
use crate::catalog::job::{self, Job, NewJob};
use crate::catalog::task::Task;
use crate::pg::clock;
use uuid::Uuid;
use walwarden_core::{Error, Result};

/// A job failed, and with it what it had not completed; the next attempt is queued in the same transaction if its options want
/// one.
pub fn fail(job: &Job, error: &Error) -> Result<()> {
    job::fail(job.id, error)?;
    backup_copy::fail_unfinished_of(job.id, error)?;
    let Task::Backup(options) = &job.task else { return Ok(()) };
    let Some(run_after) = options.retries().next_attempt(job.attempt, error.class, clock::now()) else {
        return Ok(());
    };
    job::insert(&NewJob {
        id: Uuid::now_v7(),
        task: job.task.clone(),
        schedule: job.schedule.as_deref(),
        trigger: job.trigger,
        scheduled_for: job.scheduled_for,
        storages: &job.storages,
        attempt: job.attempt + 1,
        run_after: Some(run_after),
        requested_by: &job.requested_by,
    })?;
    Ok(())
}
