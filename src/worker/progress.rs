//! What a running backup tells of itself, through the counters of its segment.

use crate::pg::segment::Segment;
use std::sync::atomic::Ordering::Relaxed;

/// The steps of a backup, in order.
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
}

impl Phase {
    /// As people read it.
    pub const fn name(number: u32) -> &'static str {
        match number {
            0 => "locking",
            1 => "reading catalogs",
            2 => "copying",
            3 => "copying large objects",
            4 => "verifying",
            5 => "signing",
            _ => "unknown",
        }
    }
}

/// A moment of a running backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Which step.
    pub phase: &'static str,
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
    /// Rows so far.
    pub rows: u64,
}

/// How far the backup with this segment is; None when it is over.
pub fn read(handle: u32) -> Option<Progress> {
    let segment = Segment::attach(handle)?;
    let counters = segment.counters();
    let progress = Progress {
        phase: Phase::name(counters.phase.load(Relaxed)),
        tables_done: counters.tables_done.load(Relaxed),
        tables_total: counters.tables_total.load(Relaxed),
        raw_bytes: counters.raw_bytes.load(Relaxed),
        estimated_bytes: counters.estimated_bytes.load(Relaxed),
        stored_bytes: counters.stored_bytes.load(Relaxed),
        rows: counters.rows.load(Relaxed),
    };
    segment.detach();
    Some(progress)
}
