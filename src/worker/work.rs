//! What a leader does, whatever the kind of its job.

use crate::catalog::job::Job;
use std::time::Duration;
use walwarden_core::{Error, Result};

/// The work of one job, and what it has under way.
pub trait Work {
    /// Do it: on Ok the job is completed.
    fn run(&mut self, job: &Job) -> Result<()>;

    /// Stop everything that is under way because of this error; what comes back may say more than it did.
    fn stop(&mut self, error: Error) -> Error;

    /// Remove what was made, within a time. Ok means that nothing is left, as where nothing outlives its transaction.
    fn clean_up(&self, _limit: Duration) -> Result<()> {
        Ok(())
    }
}
