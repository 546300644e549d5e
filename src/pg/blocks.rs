//! `walwarden.blocks(first, end)`: a TABLESAMPLE method that gives every row of a table's blocks from `first` up to and
//! without `end`.
//!
//! A range of ctids would do the same, but its scan gets no ring buffer and evicts everything else from shared buffers;
//! a sample scan with `use_bulkread` has the ring of a sequential scan (tsmapi.h, nodeSamplescan.c).

use pgrx::datum::Internal;
use pgrx::{pg_guard, pg_sys};

/// What is left of a scan; it keeps this between calls.
struct Range {
    next: i64,
    end: i64,
    /// The tuple given last in the present block; 0 before the first.
    tuple: pg_sys::OffsetNumber,
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
        range.write(Range { next: at(0).max(0), end: at(1), tuple: 0 });
        (*node).tsm_state = range.cast();
        (*node).use_bulkread = true;
        (*node).use_pagemode = true;
    }
}

/// Without pg_guard, as `next_tuple`: nothing in it can panic, and a table has many tuples.
unsafe extern "C-unwind" fn next_block(
    node: *mut pg_sys::SampleScanState,
    blocks: pg_sys::BlockNumber,
) -> pg_sys::BlockNumber {
    // SAFETY: set by `begin_scan`.
    let range = unsafe { &mut *(*node).tsm_state.cast::<Range>() };
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
