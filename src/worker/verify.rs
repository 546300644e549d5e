//! A backup compared with its manifest, in its leader.

use crate::catalog::job::{self, Job};
use crate::pg::clock;
use crate::pg::interrupts;
use crate::pg::segment::Segment;
use crate::pg::transaction::transaction;
use crate::worker::io::Io;
use crate::worker::progress::{Phase, set_phase};
use crate::worker::pulse::Pulse;
use crate::worker::subject::{self, Subject};
use crate::worker::work::Work;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use uuid::Uuid;
use walwarden_core::job::Depth;
use walwarden_core::verification::{Seen, verify_archive};
use walwarden_core::{Error, Result};

/// Windows that are read ahead of what is compared.
const WINDOWS_AHEAD: usize = 3;
/// How often onlookers are told how much that is.
const SHOW_VERIFIED: Duration = Duration::from_millis(500);

/// The verification of one backup. It makes nothing, so there is nothing to remove.
pub struct Verification {
    io: Io,
    backup: Uuid,
    depth: Depth,
}

impl Verification {
    /// Of the backup that this job made.
    pub fn new(io: Io, backup: Uuid, depth: Depth) -> Self {
        Self { io, backup, depth }
    }

    /// Every byte.
    fn compare_archive(&self, subject: &Subject, segment: &Segment) -> Result<()> {
        let counters = segment.counters();
        let (manifest, store) = (subject.manifest.clone(), subject.store.clone());
        // The threads outlive a leader that is told to stop, and its shared memory does not.
        let seen = Arc::new(Seen::default());
        let seeing = Arc::clone(&seen);
        let mut task = self.io.spawn(async move {
            let archive = store.reader(&manifest.archive.key, 0..manifest.archive.size, WINDOWS_AHEAD)?;
            let compared = tokio::task::spawn_blocking(move || verify_archive(archive, &manifest, &seeing));
            compared.await.unwrap_or_else(|_| Err(Error::internal("comparing an archive panicked")))
        })?;
        let mut pulse = Pulse::new();
        loop {
            let outcome = task.try_take();
            counters.verified_bytes.store(seen.bytes(), Relaxed);
            counters.tables_done.store(seen.tables(), Relaxed);
            counters.rows.store(seen.rows(), Relaxed);
            if let Some(outcome) = outcome {
                return outcome;
            }
            pulse.beat()?;
            interrupts::wait(Some(self.io.waker()), SHOW_VERIFIED)?;
        }
    }
}

impl Work for Verification {
    fn run(&mut self, job: &Job) -> Result<()> {
        let segment = Segment::create(0)?;
        transaction(|| job::start_running(job.id, segment.handle()))?;
        set_phase(&segment, Phase::Verifying);
        let subject = subject::fetch(&self.io, job, self.backup)?;
        let manifest = &subject.manifest;
        let counters = segment.counters();
        counters.tables_total.store(manifest.totals.tables, Relaxed);
        counters.stored_bytes.store(manifest.archive.size, Relaxed);
        counters.verifying_since.store(clock::now().timestamp_micros(), Relaxed);
        subject.globals(&self.io)?;
        subject.require_archive(&self.io)?;
        if self.depth == Depth::Full {
            self.compare_archive(&subject, &segment)?;
        }
        subject.complete(job.id, &subject.facts())
    }

    fn stop(&mut self, error: Error) -> Error {
        error
    }
}
