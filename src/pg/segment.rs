//! The dynamic shared memory of one backup: a header of counters that any session may read, and for each copier the two
//! queues between it and the leader.
//!
//! Layout: header; then for each copier its queue of rows (to the leader) and its queue of orders (from the leader), each
//! maximally aligned.

use pgrx::pg_sys;
use std::sync::atomic::{AtomicI32, AtomicI64, AtomicU32, AtomicU64, Ordering};
use walwarden_core::{Error, ErrorClass, Result};

/// Marks a segment as ours, in this layout.
const MAGIC: u64 = 0x5741_4c57_4152_4403;
const HEADER_BYTES: usize = 1024;
/// Room for a copier's rows on their way to the leader.
pub const ROWS_QUEUE_BYTES: usize = 1 << 20;
/// Room for orders on their way to a copier.
pub const ORDERS_QUEUE_BYTES: usize = 64 << 10;
/// The most copiers one backup can have.
pub const MOST_COPIERS: usize = 64;
/// A copier that works on no piece, and will not any more.
pub const NO_PIECE: u32 = u32::MAX;

/// What a running backup has done so far. Written by the leader and the copiers, read by anybody.
#[repr(C)]
#[derive(Debug)]
pub struct Counters {
    magic: AtomicU64,
    /// Tables in the archive.
    pub tables_total: AtomicU64,
    /// Tables whose rows are in the archive.
    pub tables_done: AtomicU64,
    /// Bytes of COPY text so far.
    pub raw_bytes: AtomicU64,
    /// Bytes of COPY text there may be: an estimate from the tables' sizes.
    pub estimated_bytes: AtomicU64,
    /// Bytes of the archive that storage has.
    pub stored_bytes: AtomicU64,
    /// Rows so far.
    pub rows: AtomicU64,
    /// When copying began, in microseconds since the Unix epoch; 0 before that.
    pub copying_since: AtomicI64,
    /// When the archive began to be read back, in microseconds since the Unix epoch; 0 before that.
    pub verifying_since: AtomicI64,
    /// Bytes of the archive that were read back and agree.
    pub verified_bytes: AtomicU64,
    /// Which step: a `worker::progress::Phase`.
    pub phase: AtomicU32,
    /// The process that holds the locks and the snapshot; the others join its lock group.
    pub first_copier: AtomicI32,
    /// The piece that the next copier without work takes.
    next_piece: AtomicU32,
    /// For each copier a piece before which it has read everything it took.
    working_on: [AtomicU32; MOST_COPIERS],
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            magic: AtomicU64::new(MAGIC),
            tables_total: AtomicU64::default(),
            tables_done: AtomicU64::default(),
            raw_bytes: AtomicU64::default(),
            estimated_bytes: AtomicU64::default(),
            stored_bytes: AtomicU64::default(),
            rows: AtomicU64::default(),
            copying_since: AtomicI64::default(),
            verifying_since: AtomicI64::default(),
            verified_bytes: AtomicU64::default(),
            phase: AtomicU32::default(),
            first_copier: AtomicI32::default(),
            next_piece: AtomicU32::default(),
            working_on: [const { AtomicU32::new(NO_PIECE) }; MOST_COPIERS],
        }
    }
}

impl Counters {
    /// Give the copier its next piece. It may be beyond the last one.
    pub fn take_piece(&self, copier: usize) -> u32 {
        let Some(mine) = self.working_on.get(copier) else { return NO_PIECE };
        // Said before it is taken, so that nobody believes the piece to be read who looks in between.
        mine.store(self.next_piece.load(Ordering::SeqCst), Ordering::SeqCst);
        let piece = self.next_piece.fetch_add(1, Ordering::SeqCst);
        mine.store(piece, Ordering::SeqCst);
        piece
    }

    /// Pieces are taken from the first one on, when nobody takes any.
    pub fn begin_anew(&self) {
        self.next_piece.store(0, Ordering::SeqCst);
    }

    /// The copier takes no more pieces.
    pub fn take_no_more(&self, copier: usize) {
        if let Some(mine) = self.working_on.get(copier) {
            mine.store(NO_PIECE, Ordering::SeqCst);
        }
    }

    /// All pieces before this one have been read.
    pub fn read_before(&self) -> u32 {
        // The counter first: what is taken after it was read is not before it.
        let next = self.next_piece.load(Ordering::SeqCst);
        self.working_on.iter().map(|piece| piece.load(Ordering::SeqCst)).fold(next, u32::min)
    }
}

const _: () = assert!(size_of::<Counters>() <= HEADER_BYTES);
const QUEUES_BYTES: usize = ROWS_QUEUE_BYTES + ORDERS_QUEUE_BYTES;

/// An attached segment. It stays mapped until the process ends or `detach`.
#[derive(Debug)]
pub struct Segment {
    segment: *mut pg_sys::dsm_segment,
    base: *mut u8,
}

impl Segment {
    /// A new segment with queues for so many copiers, at most `MOST_COPIERS`; must be called outside any transaction, or
    /// it would go with the transaction.
    pub fn create(copiers: usize) -> Result<Self> {
        let size = HEADER_BYTES + copiers.min(MOST_COPIERS) * QUEUES_BYTES;
        // SAFETY: outside a transaction no resource owner takes the mapping back before we do; fresh memory is
        // large enough for the header, which is written before anybody else can attach.
        unsafe {
            let segment = pg_sys::dsm_create(size, pg_sys::DSM_CREATE_NULL_IF_MAXSEGMENTS as i32);
            if segment.is_null() {
                return Err(Error::new(ErrorClass::Resources, "too many dynamic shared memory segments"));
            }
            let base = pg_sys::dsm_segment_address(segment).cast::<u8>();
            base.cast::<Counters>().write(Counters::default());
            Ok(Self { segment, base })
        }
    }

    /// Attach to the segment with this handle; None when it is gone or not ours.
    pub fn attach(handle: u32) -> Option<Self> {
        // SAFETY: dsm_attach gives null for an unknown handle; the size is checked before the header is read, and
        // the magic number before it is believed.
        unsafe {
            let segment = pg_sys::dsm_attach(handle);
            if segment.is_null() {
                return None;
            }
            let base = pg_sys::dsm_segment_address(segment).cast::<u8>();
            let large_enough = pg_sys::dsm_segment_map_length(segment) >= HEADER_BYTES;
            if large_enough && (*base.cast::<Counters>()).magic.load(Ordering::Acquire) == MAGIC {
                return Some(Self { segment, base });
            }
            pg_sys::dsm_detach(segment);
            None
        }
    }

    /// The number by which other processes attach.
    pub fn handle(&self) -> u32 {
        // SAFETY: the segment is attached.
        unsafe { pg_sys::dsm_segment_handle(self.segment) }
    }

    /// The counters; the reference must not outlive the mapping, so it borrows the segment.
    pub fn counters(&self) -> &Counters {
        // SAFETY: the header was written by `create` and holds atomics only.
        unsafe { &*self.base.cast::<Counters>() }
    }

    pub(super) fn raw(&self) -> *mut pg_sys::dsm_segment {
        self.segment
    }

    /// The queues of rows and of orders of a copier; None when the segment was not made for so many.
    pub(super) fn queues(&self, copier: usize) -> Option<(*mut u8, *mut u8)> {
        // SAFETY: the segment is attached.
        let length = unsafe { pg_sys::dsm_segment_map_length(self.segment) };
        let start = HEADER_BYTES + copier.min(MOST_COPIERS) * QUEUES_BYTES;
        // SAFETY: both lie inside the segment, whose length was just compared.
        (start + QUEUES_BYTES <= length)
            .then(|| unsafe { (self.base.add(start), self.base.add(start + ROWS_QUEUE_BYTES)) })
    }

    /// Unmap it; the last process to do so frees it.
    pub fn detach(self) {
        // SAFETY: attached, and not used again: `self` is consumed.
        unsafe { pg_sys::dsm_detach(self.segment) };
    }
}
