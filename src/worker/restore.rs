//! A restore from beginning to end, in its leader: a backup becomes a scratch database, which gets its name when all is
//! done.

mod contents;
mod globals;
mod hands;
mod loaders;
mod programs;
pub mod rows;
mod scratch;
pub mod table;
pub mod test;

use crate::catalog::backup;
use crate::catalog::job::{self, ArchiveFacts, Job};
use crate::catalog::task::DatabaseOrder;
use crate::pg::databases;
use crate::pg::segment::Segment;
use crate::pg::transaction::transaction;
use crate::worker::io::Io;
use crate::worker::progress::{Phase, set_phase};
use crate::worker::subject::{self, Subject};
use crate::worker::work::Work;
pub use contents::{find_table, read_toc};
use scratch::Scratch;
use std::time::Duration;
use uuid::Uuid;
use walwarden_core::{Error, Result};

/// The restore of one backup into a database.
pub struct Restore {
    backup: Uuid,
    database: String,
    overwrite: bool,
    scratch: Scratch,
}

impl Restore {
    /// Of the backup that this job made.
    pub fn new(io: Io, backup: Uuid, order: DatabaseOrder) -> Self {
        let DatabaseOrder { database, overwrite, choices, .. } = order;
        Self { backup, database, overwrite, scratch: Scratch::new(io, choices) }
    }

    /// Give the scratch database its name, and say in the same transaction that the job is completed. A database that had
    /// the name before is dropped after that.
    fn finish(&mut self, job: &Job, subject: &Subject, scratch: &str, facts: &ArchiveFacts) -> Result<()> {
        let name = self.database.clone();
        let replaced = format!("walwarden_replaced_{}", job.id.simple());
        transaction(|| subject.start_finalizing(job.id, facts))?;
        let had_one = transaction(|| {
            databases::require_free(&name, self.overwrite)?;
            let had_one = databases::oid(&name)?.is_some();
            if had_one {
                databases::empty(&name)?;
                databases::rename(&name, &replaced)?;
            }
            // A tick of walwarden's own, say, which looks whether it is installed there.
            databases::empty(scratch)?;
            databases::rename(scratch, &name)?;
            job::set_scratch(job.id, had_one.then_some(replaced.as_str()))?;
            job::complete(job.id)?;
            Ok(had_one)
        })?;
        self.scratch.keep();
        if had_one {
            // The restore is completed whatever becomes of this: a later tick tries again.
            let dropped = databases::drop_database(&replaced)
                .and_then(|()| transaction(|| job::set_scratch(job.id, None)));
            if let Err(error) = dropped {
                crate::error::log(&error, &format!("job {}: dropping database \"{replaced}\"", job.id));
            }
        }
        Ok(())
    }
}

impl Work for Restore {
    fn run(&mut self, job: &Job) -> Result<()> {
        let (segment, subject) = self.scratch.begin(job, self.backup)?;
        transaction(|| databases::require_free(&self.database, self.overwrite))?;
        let (scratch, facts) = self.scratch.make(job, &subject, &segment)?;
        self.finish(job, &subject, &scratch, &facts)
    }

    fn stop(&mut self, error: Error) -> Error {
        self.scratch.stop(&error);
        error
    }

    fn clean_up(&self, _limit: Duration) -> Result<()> {
        self.scratch.clean_up()
    }
}

/// What every kind of restore begins with: room for so many workers, and the backup, which this server must be able to
/// restore, and to decrypt.
fn begin(
    job: &Job,
    io: &Io,
    backup: Uuid,
    identity_file: Option<&str>,
    workers: usize,
) -> Result<(Segment, Subject)> {
    let segment = Segment::create(workers)?;
    transaction(|| job::start_running(job.id, segment.handle()))?;
    set_phase(&segment, Phase::Fetching);
    let mut subject = subject::fetch(io, job, backup)?;
    backup::require_restorable(&subject.manifest.server_version)?;
    subject.require_archive(io)?;
    subject.require_unlocked(io, identity_file)?;
    Ok((segment, subject))
}
