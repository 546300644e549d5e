//! How far the reading is, for onlookers on other threads.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What was found good so far.
#[derive(Debug, Default)]
pub struct Seen {
    bytes: AtomicU64,
    tables: AtomicU64,
    rows: AtomicU64,
}

impl Seen {
    /// Bytes of the archive.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// Tables.
    pub fn tables(&self) -> u64 {
        self.tables.load(Relaxed)
    }

    /// Rows of tables.
    pub fn rows(&self) -> u64 {
        self.rows.load(Relaxed)
    }

    pub(super) fn add_bytes(&self, count: u64) {
        self.bytes.fetch_add(count, Relaxed);
    }

    pub(super) fn add_table(&self, rows: u64) {
        self.tables.fetch_add(1, Relaxed);
        self.rows.fetch_add(rows, Relaxed);
    }
}
