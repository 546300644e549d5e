//! A restore from beginning to end, in its leader. Definitions are made by stock pg_restore, rows come by loaders straight
//! from storage; nothing of the archive is written to disk. Everything happens in a scratch database, which gets its name
//! when all is done.

mod contents;
mod loaders;
mod programs;

use crate::catalog::backup;
use crate::catalog::job::{self, Job, RestoreOrder};
use crate::pg::bgworker::{self, Handle};
use crate::pg::segment::{MOST_COPIERS, Segment};
use crate::pg::transaction::transaction;
use crate::pg::{clock, databases};
use crate::worker::backup::default_jobs;
use crate::worker::child::{Connection, Running};
use crate::worker::io::Io;
use crate::worker::progress::{Phase, set_phase};
use crate::worker::subject::{self, Subject};
use crate::worker::work::Work;
use contents::Contents;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use uuid::Uuid;
use walwarden_core::archive::{LoadPlan, rename_database};
use walwarden_core::{Error, ErrorClass, Result};

/// How long loaders that were told to end are waited for.
const LOADER_FAREWELL: Duration = Duration::from_millis(500);

/// The restore of one backup, and what is under way because of it.
pub struct Restore {
    io: Io,
    backup: Uuid,
    order: RestoreOrder,
    loaders: Vec<Handle>,
    program: Option<Running>,
    /// The database that goes if this fails.
    scratch: Option<String>,
    /// The server is being shut down, or this process was told to end: dropping a database takes too long for that.
    leaving: bool,
}

impl Restore {
    /// Of the backup that this job made.
    pub fn new(io: Io, backup: Uuid, order: RestoreOrder) -> Self {
        Self { io, backup, order, loaders: Vec::new(), program: None, scratch: None, leaving: false }
    }

    fn load_rows(
        &mut self,
        subject: &Subject,
        contents: &Contents,
        segment: &Segment,
        loaders: usize,
        scratch: &str,
    ) -> Result<()> {
        let counters = segment.counters();
        let manifest = &subject.manifest;
        let of_extensions = contents.toc.rows_of_extensions();
        let first = LoadPlan::of(&contents.toc, manifest, |table| of_extensions.contains(&table.dump_id))?;
        let plan = LoadPlan::of(&contents.toc, manifest, |table| !of_extensions.contains(&table.dump_id))?;
        counters.tables_total.store((first.tables.len() + plan.tables.len()) as u64, Relaxed);
        counters.estimated_bytes.store(manifest.totals.raw_bytes, Relaxed);
        let database = transaction(|| databases::oid(scratch))?
            .ok_or_else(|| Error::internal("pg_restore made no database"))?;
        // Their constraints are there already, so one loader takes them in the order of the archive.
        loaders::load(self, subject, contents, first, segment, database, 1)?;
        loaders::load(self, subject, contents, plan, segment, database, loaders)
    }

    /// Give the scratch database its name, and say in the same transaction that the job is completed. A database that had
    /// the name before is dropped after that.
    fn finish(&mut self, job: &Job, subject: &Subject, scratch: &str) -> Result<()> {
        let name = self.order.database.clone();
        let replaced = format!("walwarden_replaced_{}", job.id.simple());
        transaction(|| subject.start_finalizing(job.id))?;
        let had_one = transaction(|| {
            databases::require_free(&name, self.order.overwrite)?;
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
        self.scratch = None;
        if had_one {
            // The restore is completed whatever becomes of this: a later tick tries again.
            let dropped = databases::drop_database(&replaced)
                .and_then(|()| transaction(|| job::set_scratch(job.id, None)));
            if let Err(error) = dropped {
                crate::error::log(&error, &format!("dropping database \"{replaced}\""));
            }
        }
        Ok(())
    }
}

impl Work for Restore {
    fn run(&mut self, job: &Job) -> Result<()> {
        let loaders =
            usize::try_from(self.order.jobs.unwrap_or_else(default_jobs)).unwrap_or(1).clamp(1, MOST_COPIERS);
        let segment = Segment::create(loaders)?;
        transaction(|| job::start_running(job.id, segment.handle()))?;
        set_phase(&segment, Phase::Fetching);
        let subject = subject::fetch(&self.io, self.backup)?;
        backup::require_restorable(&subject.manifest.server_version)?;
        transaction(|| databases::require_free(&self.order.database, self.order.overwrite))?;
        subject.require_archive(&self.io)?;
        let contents = contents::read(&self.io, &subject)?;

        let connection = Connection::to_this_server()?;
        let scratch = format!("walwarden_restore_{}", job.id.simple());
        transaction(|| job::set_scratch(job.id, Some(&scratch)))?;
        self.scratch = Some(scratch.clone());
        let mut toc = contents.toc.clone();
        rename_database(&mut toc, scratch.as_bytes());

        set_phase(&segment, Phase::Definitions);
        programs::pre_data(self, &connection, &toc)?;
        segment.counters().copying_since.store(clock::now().timestamp_micros(), Relaxed);
        set_phase(&segment, Phase::Loading);
        self.load_rows(&subject, &contents, &segment, loaders, &scratch)?;
        set_phase(&segment, Phase::LoadingLargeObjects);
        programs::other_data(self, &connection, &toc, &subject, &contents, &scratch)?;
        set_phase(&segment, Phase::Indexes);
        programs::post_data(self, &connection, &toc, &scratch)?;
        self.finish(job, &subject, &scratch)
    }

    fn stop(&mut self, error: Error) -> Error {
        self.leaving = error.class == ErrorClass::Terminated;
        self.program = None;
        bgworker::end(&mut self.loaders, LOADER_FAREWELL);
        error
    }

    fn clean_up(&self, _limit: Duration) -> Result<()> {
        match &self.scratch {
            Some(scratch) if self.leaving => Err(Error::new(
                ErrorClass::Terminated,
                format!("database \"{scratch}\" stays until walwarden's next start"),
            )),
            Some(scratch) => databases::drop_database(scratch),
            None => Ok(()),
        }
    }
}
