//! A backup compared with its manifest, in its leader.

use crate::catalog::job::{self, Job};
use crate::catalog::task::VerifyOrder;
use crate::pg::clock;
use crate::pg::interrupts;
use crate::pg::segment::{Counters, Segment};
use crate::pg::transaction::transaction;
use crate::worker::io::{Io, Task};
use crate::worker::progress::{Phase, set_phase};
use crate::worker::pulse::Pulse;
use crate::worker::subject::{self, Subject};
use crate::worker::work::Work;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use uuid::Uuid;
use walwarden_core::job::Depth;
use walwarden_core::manifest;
use walwarden_core::verification::{Seen, StoredBytes, verify_archive};
use walwarden_core::{Error, Result};
use walwarden_store::Part;

/// Windows that are read ahead of what is compared.
const WINDOWS_AHEAD: usize = 3;
/// What stays unchecked of an encrypted backup without an identity file.
const BLOCKS_AND_ROWS: &str = "blocks and rows: the backup is encrypted, and there is no identity file";
/// How often onlookers are told how much that is.
const SHOW_VERIFIED: Duration = Duration::from_millis(500);

/// The verification of one backup. It makes nothing, so there is nothing to remove.
pub struct Verification {
    io: Io,
    backup: Uuid,
    depth: Depth,
    order: VerifyOrder,
}

impl Verification {
    /// Of the backup that this job made.
    pub fn new(io: Io, backup: Uuid, depth: Depth, order: VerifyOrder) -> Self {
        Self { io, backup, depth, order }
    }

    /// Every byte, block and row.
    fn compare_archive(&self, subject: &Subject, counters: &Counters) -> Result<()> {
        let (manifest, store) = (subject.manifest.clone(), subject.store.clone());
        let source = subject.archive()?.clone();
        // The threads outlive a leader that is told to stop, and its shared memory does not.
        let seen = Arc::new(Seen::default());
        let seeing = Arc::clone(&seen);
        let task = self.io.spawn(async move {
            let archive = &manifest.archive;
            let stored = store.reader(&archive.key, 0..archive.stored().size, WINDOWS_AHEAD)?;
            let compared = tokio::task::spawn_blocking(move || {
                if manifest.archive.encryption.is_none() {
                    return verify_archive(stored, &manifest, &seeing);
                }
                let stored = StoredBytes::new(stored, manifest.archive.stored());
                verify_archive(source.decrypt(stored)?, &manifest, &seeing)
            });
            compared.await.unwrap_or_else(|_| Err(Error::internal("comparing an archive panicked")))
        })?;
        self.wait_for(task, || {
            counters.verified_bytes.store(seen.bytes(), Relaxed);
            counters.tables_done.store(seen.tables(), Relaxed);
            counters.rows.store(seen.rows(), Relaxed);
        })
    }

    /// Every byte that lies in storage, for whoever cannot decrypt them.
    fn compare_stored(&self, subject: &Subject, counters: &Counters) -> Result<()> {
        let (archive, store) = (subject.manifest.archive.clone(), subject.store.clone());
        let read = Arc::new(AtomicU64::new(0));
        let reading = Arc::clone(&read);
        let task = self.io.spawn(async move {
            let stored = archive.stored();
            let part =
                |part: &manifest::Part| Part { offset: part.offset, size: part.size, sha256: part.sha256.0 };
            let parts: Vec<Part> = stored.parts.iter().map(part).collect();
            store
                .verify_object(&archive.key, stored.size, &parts, &stored.sha256.0, &reading, WINDOWS_AHEAD)
                .await
        })?;
        self.wait_for(task, || counters.verified_bytes.store(read.load(Relaxed), Relaxed))
    }

    fn wait_for(&self, mut task: Task<()>, show: impl Fn()) -> Result<()> {
        let mut pulse = Pulse::new();
        loop {
            let outcome = task.try_take();
            show();
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
        let mut subject = subject::fetch(&self.io, job, self.backup)?;
        let is_full = self.depth == Depth::Full;
        let is_unlocked = is_full && subject.unlock(&self.io, self.order.identity_file.as_deref())?;
        let manifest = &subject.manifest;
        let counters = segment.counters();
        counters.tables_total.store(manifest.totals.tables, Relaxed);
        let to_read = if is_unlocked { manifest.archive.size } else { manifest.archive.stored().size };
        counters.stored_bytes.store(to_read, Relaxed);
        counters.verifying_since.store(clock::now().timestamp_micros(), Relaxed);
        if is_unlocked {
            subject.globals(&self.io)?
        } else {
            subject.stored_globals(&self.io)?
        };
        subject.require_archive(&self.io)?;
        if is_unlocked {
            self.compare_archive(&subject, counters)?;
        } else if is_full {
            transaction(|| job::set_unchecked(job.id, BLOCKS_AND_ROWS))?;
            self.compare_stored(&subject, counters)?;
        }
        subject.complete(job.id, &subject.facts())
    }

    fn stop(&mut self, error: Error) -> Error {
        error
    }
}
