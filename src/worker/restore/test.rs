//! A restore test: a backup becomes a scratch database, is looked at there, and goes again.

use super::loaders;
use super::scratch::Scratch;
use crate::catalog::job::{self, Job};
use crate::catalog::task::{Choices, TestOrder};
use crate::pg::segment::Segment;
use crate::pg::transaction::transaction;
use crate::worker::io::Io;
use crate::worker::progress::{Phase, set_phase};
use crate::worker::subject::Subject;
use crate::worker::work::Work;
use std::time::Duration;
use uuid::Uuid;
use walwarden_core::examination::{Examination, ExpectedRows};
use walwarden_core::message::LeaderMessage;
use walwarden_core::{Error, Result};

/// The restore test of one backup.
pub struct RestoreTest {
    backup: Uuid,
    order: TestOrder,
    scratch: Scratch,
}

impl RestoreTest {
    /// Of the backup that this job made.
    pub fn new(io: Io, backup: Uuid, order: TestOrder) -> Self {
        let choices =
            Choices { jobs: order.jobs, identity_file: order.identity_file.clone(), ..Choices::default() };
        Self { backup, order, scratch: Scratch::new(io, choices) }
    }

    /// Gives what the smoke query answered, if there is one.
    fn examine(&mut self, subject: &Subject, segment: &Segment, scratch: &str) -> Result<Option<String>> {
        set_phase(segment, Phase::Testing);
        let tables = subject.manifest.tables.iter().map(|table| ExpectedRows {
            schema: table.schema.clone(),
            name: table.name.clone(),
            rows: table.rows,
        });
        let order = LeaderMessage::Examine(Examination {
            role: self.order.role.clone(),
            smoke: self.order.smoke.clone(),
            expect: self.order.expect.clone(),
            tables: tables.collect(),
            large_objects: subject.manifest.large_objects.count,
        });
        loaders::examine(&mut self.scratch.hands, &order, segment, scratch)
    }
}

impl Work for RestoreTest {
    fn run(&mut self, job: &Job) -> Result<()> {
        let (segment, subject) = self.scratch.begin(job, self.backup)?;
        let (scratch, facts) = self.scratch.make(job, &subject, &segment)?;
        let answer = self.examine(&subject, &segment, &scratch)?;
        transaction(|| subject.start_finalizing(job.id, &facts))?;
        self.scratch.drop_database()?;
        transaction(|| {
            job::set_scratch(job.id, None)?;
            job::set_smoke_answer(job.id, answer.as_deref())?;
            job::complete(job.id)
        })
    }

    fn stop(&mut self, error: Error) -> Error {
        self.scratch.stop(&error);
        error
    }

    fn clean_up(&self, _limit: Duration) -> Result<()> {
        self.scratch.clean_up()
    }
}
