//! `walwarden.blocks(first, end)`: a TABLESAMPLE method that gives every row of a table's blocks from `first` up to and
//! without `end`.
//!
//! A range of ctids would do the same, but its scan gets no ring buffer and evicts everything else from shared buffers;
//! a sample scan with `use_bulkread` has the ring of a sequential scan (tsmapi.h, nodeSamplescan.c). A ring begins empty
//! and takes its buffers from the cache: with one for each of the thousand ranges of a large table the whole cache would
//! be turned over after all. So a process has one ring for all of its scans.

use pgrx::datum::Internal;
use pgrx::memcxt::PgMemoryContexts;
use pgrx::{pg_guard, pg_sys};
use std::cell::Cell;

/// What is left of a scan; it keeps this between calls.
struct Range {
    next: i64,
    end: i64,
    /// The tuple given last in the present block; 0 before the first.
    tuple: pg_sys::OffsetNumber,
    ring: Ring,
}

/// Whose ring a scan reads through.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ring {
    /// Not looked at yet.
    Unknown,
    /// The scan's own, or none.
    Own,
    /// That of the process, to be given back.
    Lent,
}

thread_local! {
    /// The ring of this process, unless a scan has it; null before the first. Only the main thread comes here.
    static RING: Cell<pg_sys::BufferAccessStrategy> = const { Cell::new(std::ptr::null_mut()) };
}

/// The routines of the method, for its handler function.
pub fn routine() -> Internal {
    // SAFETY: a node of the type PostgreSQL expects, allocated as it does; zeros are null in every field not set.
    unsafe {
        let routine = pg_sys::palloc0(size_of::<pg_sys::TsmRoutine>()).cast::<pg_sys::TsmRoutine>();
        (*routine).type_ = pg_sys::NodeTag::T_TsmRoutine;
        let types = pg_sys::lappend_oid(std::ptr::null_mut(), pg_sys::INT8OID);
        (*routine).parameterTypes = pg_sys::lappend_oid(types, pg_sys::INT8OID);
        (*routine).repeatable_across_queries = true;
        (*routine).repeatable_across_scans = true;
        (*routine).SampleScanGetSampleSize = Some(sample_size);
        (*routine).BeginSampleScan = Some(begin_scan);
        (*routine).NextSampleBlock = Some(next_block);
        (*routine).NextSampleTuple = Some(next_tuple);
        (*routine).EndSampleScan = Some(end_scan);
        Internal::from(Some(pg_sys::Datum::from(routine)))
    }
}

/// For the planner, which has no other way to read the table anyway.
#[pg_guard]
unsafe extern "C-unwind" fn sample_size(
    _root: *mut pg_sys::PlannerInfo,
    relation: *mut pg_sys::RelOptInfo,
    _arguments: *mut pg_sys::List,
    pages: *mut pg_sys::BlockNumber,
    tuples: *mut f64,
) {
    // SAFETY: the planner passes live objects.
    unsafe {
        *pages = (*relation).pages;
        *tuples = (*relation).tuples;
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn begin_scan(
    node: *mut pg_sys::SampleScanState,
    parameters: *mut pg_sys::Datum,
    count: std::os::raw::c_int,
    _seed: u32,
) {
    // SAFETY: the executor passes as many values as `parameterTypes` has; none is NULL (tablesample_init raises that); the
    // state lives in the query's memory context, current now, and goes with it.
    unsafe {
        let values = std::slice::from_raw_parts(parameters, usize::try_from(count).unwrap_or(0));
        let at = |index: usize| values.get(index).map_or(0, |value| value.value() as i64);
        let range = pg_sys::palloc(size_of::<Range>()).cast::<Range>();
        range.write(Range { next: at(0).max(0), end: at(1), tuple: 0, ring: Ring::Unknown });
        (*node).tsm_state = range.cast();
        (*node).use_bulkread = true;
        (*node).use_pagemode = true;
    }
}

/// The heap's scan behind a sample scan, if it is one and reads through a ring.
///
/// # Safety
/// The node must be live.
unsafe fn scan_with_ring(node: *mut pg_sys::SampleScanState) -> Option<*mut pg_sys::HeapScanDescData> {
    // SAFETY: the caller's node is live; a scan of a table with the heap's methods is a HeapScanDescData (heapam.h).
    unsafe {
        let scan = (*node).ss.ss_currentScanDesc;
        if scan.is_null() || (*(*scan).rs_rd).rd_tableam != pg_sys::GetHeapamTableAmRoutine() {
            return None;
        }
        let heap = scan.cast::<pg_sys::HeapScanDescData>();
        (!(*heap).rs_strategy.is_null()).then_some(heap)
    }
}

/// Let the scan read through the ring of the process. The scan has one already if its table is large enough to need one
/// (initscan in heapam.c). A second scan at the same time gets another one.
///
/// # Safety
/// The node must be live.
#[pg_guard]
unsafe extern "C-unwind" fn lend_ring(node: *mut pg_sys::SampleScanState) -> bool {
    // SAFETY: both rings are live and not used by anybody else: the process's own is taken out of its place while it is lent.
    unsafe {
        let Some(scan) = scan_with_ring(node) else { return false };
        let mut ring = RING.replace(std::ptr::null_mut());
        if ring.is_null() {
            ring = PgMemoryContexts::TopMemoryContext
                .switch_to(|_| pg_sys::GetAccessStrategy(pg_sys::BufferAccessStrategyType::BAS_BULKREAD));
        }
        pg_sys::FreeAccessStrategy((*scan).rs_strategy);
        (*scan).rs_strategy = ring;
        true
    }
}

/// Comes before the scan itself is ended, which would free its ring. Where an error ends the query instead, the ring stays
/// allocated unused, and the next scan makes another one.
#[pg_guard]
unsafe extern "C-unwind" fn end_scan(node: *mut pg_sys::SampleScanState) {
    // SAFETY: set by `begin_scan`; the ring was put there by `lend_ring` and lives as long as the process.
    unsafe {
        let range = (*node).tsm_state.cast::<Range>();
        if !range.is_null()
            && (*range).ring == Ring::Lent
            && let Some(scan) = scan_with_ring(node)
        {
            let ring = std::mem::replace(&mut (*scan).rs_strategy, std::ptr::null_mut());
            let other = RING.replace(ring);
            if !other.is_null() {
                pg_sys::FreeAccessStrategy(other);
            }
        }
    }
}

/// Without pg_guard, as `next_tuple`: nothing in it can panic, and a table has many tuples.
unsafe extern "C-unwind" fn next_block(
    node: *mut pg_sys::SampleScanState,
    blocks: pg_sys::BlockNumber,
) -> pg_sys::BlockNumber {
    // SAFETY: set by `begin_scan`.
    let range = unsafe { &mut *(*node).tsm_state.cast::<Range>() };
    if range.ring == Ring::Unknown {
        // SAFETY: the executor passes a live node; the scan was begun before its first block is asked for.
        range.ring = if unsafe { lend_ring(node) } { Ring::Lent } else { Ring::Own };
    }
    if range.next >= range.end.min(i64::from(blocks)) {
        return pg_sys::InvalidBlockNumber;
    }
    let block = range.next as pg_sys::BlockNumber;
    range.next += 1;
    block
}

/// Every tuple of the block, in order: the scan leaves out what is not visible.
unsafe extern "C-unwind" fn next_tuple(
    node: *mut pg_sys::SampleScanState,
    _block: pg_sys::BlockNumber,
    last: pg_sys::OffsetNumber,
) -> pg_sys::OffsetNumber {
    // SAFETY: set by `begin_scan`.
    let range = unsafe { &mut *(*node).tsm_state.cast::<Range>() };
    // InvalidOffsetNumber, 0, ends the block.
    range.tuple = if range.tuple < last { range.tuple + 1 } else { 0 };
    range.tuple
}
