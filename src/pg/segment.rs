//! The dynamic shared memory of one backup: a header of counters that any session may read, and the two queues
//! between the leader and a copier.
//!
//! Layout: header, queue of rows (copier to leader), queue of orders (leader to copier), each maximally aligned.

use pgrx::pg_sys;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use walwarden_core::{Error, ErrorClass, Result};

/// Marks a segment as ours, in this layout.
const MAGIC: u64 = 0x5741_4c57_4152_4401;
const HEADER_BYTES: usize = 256;
/// Room for rows on their way to the leader.
pub const ROWS_QUEUE_BYTES: usize = 4 << 20;
/// Room for orders on their way to a copier.
pub const ORDERS_QUEUE_BYTES: usize = 64 << 10;

/// What a running backup has done so far. Written by the leader and the copiers, read by anybody.
#[repr(C)]
#[derive(Debug, Default)]
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
    /// Which step: an index into `worker::progress::PHASES`.
    pub phase: AtomicU32,
}

const _: () = assert!(size_of::<Counters>() <= HEADER_BYTES);

/// An attached segment. It stays mapped until the process ends or `detach`.
#[derive(Debug)]
pub struct Segment {
    segment: *mut pg_sys::dsm_segment,
    base: *mut u8,
}

impl Segment {
    /// A new segment; must be called outside any transaction, or it would go with the transaction.
    pub fn create() -> Result<Self> {
        let size = HEADER_BYTES + ROWS_QUEUE_BYTES + ORDERS_QUEUE_BYTES;
        // SAFETY: outside a transaction no resource owner takes the mapping back before we do; fresh memory is
        // large enough for the header, which is written before anybody else can attach.
        unsafe {
            let segment = pg_sys::dsm_create(size, pg_sys::DSM_CREATE_NULL_IF_MAXSEGMENTS as i32);
            if segment.is_null() {
                return Err(Error::new(ErrorClass::Resources, "too many dynamic shared memory segments"));
            }
            let base = pg_sys::dsm_segment_address(segment).cast::<u8>();
            base.cast::<Counters>().write(Counters { magic: AtomicU64::new(MAGIC), ..Counters::default() });
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

    pub(super) fn rows_queue(&self) -> *mut u8 {
        // SAFETY: inside the segment by its layout.
        unsafe { self.base.add(HEADER_BYTES) }
    }

    pub(super) fn orders_queue(&self) -> *mut u8 {
        // SAFETY: inside the segment by its layout.
        unsafe { self.base.add(HEADER_BYTES + ROWS_QUEUE_BYTES) }
    }

    /// Unmap it; the last process to do so frees it.
    pub fn detach(self) {
        // SAFETY: attached, and not used again: `self` is consumed.
        unsafe { pg_sys::dsm_detach(self.segment) };
    }
}
