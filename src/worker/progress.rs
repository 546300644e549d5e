//! What a running backup tells of itself, through the counters of its segment.

use crate::pg::segment::{Counters, Segment};
use crate::pg::{bgworker, clock};
use std::sync::atomic::AtomicI64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use walwarden_core::progress::Moment;

/// The steps of a backup, in order, then those of a restore and of its test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Phase {
    /// Locking tables and taking the snapshot.
    Locking = 0,
    /// pg_dump reads the catalogs.
    Catalogs,
    /// Rows go to storage.
    Copying,
    /// Large objects go to storage.
    LargeObjects,
    /// What was written is read back and compared.
    Verifying,
    /// The manifest is signed, written and read back.
    Signing,
    /// Of a restore: the manifest and the table of contents are fetched and compared.
    Fetching,
    /// pg_restore makes what comes before rows.
    Definitions,
    /// Rows come from storage.
    Loading,
    /// pg_restore makes large objects and sets sequences.
    LoadingLargeObjects,
    /// pg_restore makes what comes after rows.
    Indexes,
    /// Missing roles and tablespaces are made.
    Globals,
    /// A restored database is examined.
    Testing,
}

impl Phase {
    /// The one with this number.
    pub const fn from_number(number: u32) -> Option<Self> {
        match number {
            0 => Some(Self::Locking),
            1 => Some(Self::Catalogs),
            2 => Some(Self::Copying),
            3 => Some(Self::LargeObjects),
            4 => Some(Self::Verifying),
            5 => Some(Self::Signing),
            6 => Some(Self::Fetching),
            7 => Some(Self::Definitions),
            8 => Some(Self::Loading),
            9 => Some(Self::LoadingLargeObjects),
            10 => Some(Self::Indexes),
            11 => Some(Self::Globals),
            12 => Some(Self::Testing),
            _ => None,
        }
    }

    /// As people read it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Locking => "locking",
            Self::Catalogs => "reading catalogs",
            Self::Copying => "copying",
            Self::LargeObjects => "copying large objects",
            Self::Verifying => "verifying",
            Self::Signing => "signing",
            Self::Fetching => "fetching",
            Self::Definitions => "making definitions",
            Self::Loading => "loading",
            Self::LoadingLargeObjects => "loading large objects",
            Self::Indexes => "making indexes and constraints",
            Self::Globals => "making roles and tablespaces",
            Self::Testing => "testing",
        }
    }
}

/// Show the step in walwarden.progress and in pg_stat_activity.
pub fn set_phase(segment: &Segment, phase: Phase) {
    bgworker::report_activity(phase.name());
    segment.counters().phase.store(phase as u32, Relaxed);
}

/// A moment of a running backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Which step.
    pub phase: Phase,
    /// Tables whose rows are in the archive.
    pub tables_done: u64,
    /// Tables in the archive.
    pub tables_total: u64,
    /// Bytes of COPY text so far.
    pub raw_bytes: u64,
    /// Bytes of COPY text there may be.
    pub estimated_bytes: u64,
    /// Bytes of the archive that storage has.
    pub stored_bytes: u64,
    /// Bytes of the archive that were read back and agree.
    pub verified_bytes: u64,
    /// Rows so far.
    pub rows: u64,
    /// How far the step is: copying of tables and large objects is one, the read-back another. The steps before them have
    /// done nothing, and what comes after them is a matter of moments.
    pub moment: Moment,
    /// The process that holds the locks: for whoever waits, all of the backup. 0 before there is one.
    pub first_copier: i32,
}

/// How far the backup with this segment is; None when it is over.
pub fn read(handle: u32) -> Option<Progress> {
    let segment = Segment::attach(handle)?;
    let progress = look(segment.counters());
    segment.detach();
    progress
}

fn look(counters: &Counters) -> Option<Progress> {
    let phase = Phase::from_number(counters.phase.load(Relaxed))?;
    let raw_bytes = counters.raw_bytes.load(Relaxed);
    let estimated_bytes = counters.estimated_bytes.load(Relaxed);
    let stored_bytes = counters.stored_bytes.load(Relaxed);
    let verified_bytes = counters.verified_bytes.load(Relaxed);
    let moment = match phase {
        Phase::Locking | Phase::Catalogs | Phase::Fetching | Phase::Globals | Phase::Definitions => {
            Moment { percent: 0, rate: None, left: None }
        }
        Phase::Copying | Phase::LargeObjects | Phase::Loading => {
            Moment::of(raw_bytes, estimated_bytes, elapsed(&counters.copying_since))
        }
        Phase::Verifying => Moment::of(verified_bytes, stored_bytes, elapsed(&counters.verifying_since)),
        Phase::Signing | Phase::LoadingLargeObjects | Phase::Indexes | Phase::Testing => {
            Moment { percent: 100, rate: None, left: None }
        }
    };
    Some(Progress {
        phase,
        tables_done: counters.tables_done.load(Relaxed),
        tables_total: counters.tables_total.load(Relaxed),
        raw_bytes,
        estimated_bytes,
        stored_bytes,
        verified_bytes,
        rows: counters.rows.load(Relaxed),
        moment,
        first_copier: counters.first_copier.load(Relaxed),
    })
}

/// The time since then; none when it is not known yet, or when the clock was set back.
fn elapsed(since: &AtomicI64) -> Duration {
    match since.load(Relaxed) {
        0 => Duration::ZERO,
        since => Duration::from_micros(
            u64::try_from(clock::now().timestamp_micros().saturating_sub(since)).unwrap_or_default(),
        ),
    }
}
