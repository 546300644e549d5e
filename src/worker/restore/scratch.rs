//! A backup brought back into a scratch database: made under a temporary name, and dropped unless it gets another one.
//! Definitions are made by stock pg_restore, rows come by loaders straight from storage; nothing of the archive is
//! written to disk.

use super::contents::{self, Contents};
use super::hands::Hands;
use super::programs::Programs;
use super::{globals, loaders};
use crate::catalog::job::{self, ArchiveFacts, Job};
use crate::catalog::task::Choices;
use crate::pg::segment::{MOST_COPIERS, Segment};
use crate::pg::transaction::transaction;
use crate::pg::{clock, databases};
use crate::worker::backup::default_jobs;
use crate::worker::child::Connection;
use crate::worker::io::Io;
use crate::worker::progress::{Phase, set_phase};
use crate::worker::subject::Subject;
use std::collections::HashSet;
use std::sync::atomic::Ordering::Relaxed;
use uuid::Uuid;
use walwarden_core::archive::{LoadPlan, rename_database};
use walwarden_core::{Error, ErrorClass, Result};

/// A scratch database, and what is under way to make it.
pub struct Scratch {
    pub(super) hands: Hands,
    choices: Choices,
    /// The database that goes.
    database: Option<String>,
    /// The server is being shut down, or this process was told to end: dropping a database takes too long for that.
    leaving: bool,
}

impl Scratch {
    /// Nothing is made yet.
    pub fn new(io: Io, choices: Choices) -> Self {
        Self { hands: Hands::new(io), choices, database: None, leaving: false }
    }

    /// Loaders at most, and processes that make indexes.
    pub fn jobs(&self) -> usize {
        usize::try_from(self.choices.jobs.unwrap_or_else(default_jobs)).unwrap_or(1).clamp(1, MOST_COPIERS)
    }

    /// What every restore begins with.
    pub fn begin(&self, job: &Job, backup: Uuid) -> Result<(Segment, Subject)> {
        super::begin(job, &self.hands.io, backup, self.choices.identity_file.as_deref(), self.jobs())
    }

    /// Make it, and everything in it. Gives its name, and what came from the archive.
    pub fn make(
        &mut self,
        job: &Job,
        subject: &Subject,
        segment: &Segment,
    ) -> Result<(String, ArchiveFacts)> {
        self.make_all(job, subject, segment).map_err(|error| {
            let may_be_missing = error.class == ErrorClass::ChildProcess && error.hint.is_none();
            if may_be_missing && !subject.manifest.filter.is_empty() {
                return error.hint(
                    "The backup is filtered: it may not have what this needs. See filter in walwarden.manifest().",
                );
            }
            error
        })
    }

    fn make_all(
        &mut self,
        job: &Job,
        subject: &Subject,
        segment: &Segment,
    ) -> Result<(String, ArchiveFacts)> {
        let mut contents = contents::read(&self.hands.io, subject)?;
        contents.select(&self.choices.selection, subject)?;
        let programs = Programs {
            connection: Connection::to_this_server()?,
            choices: self.choices.clone(),
            jobs: self.jobs(),
        };
        if self.choices.globals {
            set_phase(segment, Phase::Globals);
            globals::restore(&self.hands.io, job.id, subject, self.choices.tablespaces)?;
        }
        let name = format!("walwarden_restore_{}", job.id.simple());
        transaction(|| job::set_scratch(job.id, Some(&name)))?;
        self.database = Some(name.clone());
        let mut toc = contents.toc.clone();
        if self.choices.schema_only {
            toc = toc.without_data();
        }
        rename_database(&mut toc, name.as_bytes());

        set_phase(segment, Phase::Definitions);
        programs.pre_data(&mut self.hands, &toc)?;
        let rows = if self.choices.schema_only { HashSet::new() } else { contents.toc.rows() };
        if !self.choices.schema_only {
            segment.counters().copying_since.store(clock::now().timestamp_micros(), Relaxed);
            set_phase(segment, Phase::Loading);
            self.load_rows(subject, &contents, &rows, segment, &name)?;
            set_phase(segment, Phase::LoadingLargeObjects);
            programs.other_data(&mut self.hands, &toc, subject, &contents, &name)?;
        }
        set_phase(segment, Phase::Indexes);
        programs.post_data(&mut self.hands, &toc, &name)?;
        let facts = subject.facts_of(|table| rows.contains(&table.dump_id), toc.has_large_objects());
        Ok((name, facts))
    }

    fn load_rows(
        &mut self,
        subject: &Subject,
        contents: &Contents,
        chosen: &HashSet<i32>,
        segment: &Segment,
        scratch: &str,
    ) -> Result<()> {
        let Contents { toc, .. } = contents;
        let manifest = &subject.manifest;
        let algorithm = toc.header.algorithm();
        let of_extensions = toc.rows_of_extensions();
        let first = LoadPlan::of(toc, manifest, |table| of_extensions.contains(&table.dump_id))?;
        let plan = LoadPlan::of(toc, manifest, |table| {
            chosen.contains(&table.dump_id) && !of_extensions.contains(&table.dump_id)
        })?;
        let of_tables = subject.facts_of(|table| chosen.contains(&table.dump_id), false);
        let counters = segment.counters();
        counters.tables_total.store((first.tables.len() + plan.tables.len()) as u64, Relaxed);
        counters.estimated_bytes.store(of_tables.raw_bytes, Relaxed);
        let database = transaction(|| databases::oid(scratch))?
            .ok_or_else(|| Error::internal("pg_restore made no database"))?;
        // Their constraints are there already, so one loader takes them in the order of the archive.
        loaders::load(&mut self.hands, subject, algorithm, first, segment, database, 1)?;
        let jobs = self.jobs();
        loaders::load(&mut self.hands, subject, algorithm, plan, segment, database, jobs)
    }

    /// It is no scratch database any more.
    pub fn keep(&mut self) {
        self.database = None;
    }

    /// Drop it.
    pub fn drop_database(&mut self) -> Result<()> {
        if let Some(database) = &self.database {
            databases::drop_database(database)?;
        }
        self.keep();
        Ok(())
    }

    /// Stop everything that is under way because of this error.
    pub fn stop(&mut self, error: &Error) {
        self.leaving = error.class == ErrorClass::Terminated;
        self.hands.stop();
    }

    /// Drop it, unless that would hold up a shutdown: it is noted in the job, so a later tick or leader does it.
    pub fn clean_up(&self) -> Result<()> {
        match &self.database {
            Some(database) if self.leaving => Err(Error::new(
                ErrorClass::Terminated,
                format!("database \"{database}\" stays until walwarden's next start"),
            )),
            Some(database) => databases::drop_database(database),
            None => Ok(()),
        }
    }
}
