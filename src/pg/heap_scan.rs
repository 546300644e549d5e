//! The visible tuples of some blocks of a table, straight from their pages: what a sequential scan sees, without the
//! executor (heapam.c). The scan reads ahead and through a ring of buffers as any other does; one scan serves all ranges of
//! its table, and so does its ring.

use pgrx::pg_sys;
use walwarden_core::archive::Blocks;
use walwarden_core::{Error, Result};

/// A scan of a table in the heap.
pub(super) struct HeapScan {
    scan: pg_sys::TableScanDesc,
    is_fresh: bool,
}

impl HeapScan {
    /// Of a relation whose access method is the heap, with the active snapshot, in the current memory context.
    ///
    /// # Safety
    /// The relation must stay open until after [`Self::end`], and the snapshot active.
    pub(super) unsafe fn begin(relation: pg_sys::Relation) -> Self {
        let flags = pg_sys::ScanOptions::SO_TYPE_SEQSCAN
            | pg_sys::ScanOptions::SO_ALLOW_STRAT
            | pg_sys::ScanOptions::SO_ALLOW_PAGEMODE;
        // SAFETY: the caller's promise; no keys, and not a part of a parallel scan.
        let scan = unsafe {
            pg_sys::heap_beginscan(
                relation,
                pg_sys::GetActiveSnapshot(),
                0,
                std::ptr::null_mut(),
                std::ptr::null_mut(),
                flags,
            )
        };
        Self { scan, is_fresh: true }
    }

    /// Give each visible tuple of these blocks, with its header, in the order of its page.
    pub(super) fn for_each_tuple(
        &mut self,
        blocks: Blocks,
        mut each: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let heap = self.scan.cast::<pg_sys::HeapScanDescData>();
        // SAFETY: the scan is live; limits are set before its first tuple is asked for, within the table's present length.
        unsafe {
            if !std::mem::replace(&mut self.is_fresh, false) {
                pg_sys::heap_rescan(self.scan, std::ptr::null_mut(), false, false, false, false);
            }
            let end = blocks.end.min((*heap).rs_nblocks);
            if blocks.first >= end {
                return Ok(());
            }
            pg_sys::heap_setscanlimits(self.scan, blocks.first, end - blocks.first);
        }
        loop {
            // SAFETY: the scan is live. Checks for interrupts with each page.
            if unsafe { pg_sys::heap_getnext(self.scan, pg_sys::ScanDirection::ForwardScanDirection) }
                .is_null()
            {
                return Ok(());
            }
            // SAFETY: the scan stands on the first visible tuple of a page.
            unsafe { each_of_page(heap, &mut each) }?;
        }
    }

    /// Release what it holds.
    pub(super) fn end(self) {
        // SAFETY: the scan is live, and nobody has it any more.
        unsafe { pg_sys::heap_endscan(self.scan) };
    }
}

/// The visible tuples of the page that a scan has just come to; leaves the scan at the last of them. In page mode it has
/// found them all, and its pin keeps them where they are.
///
/// # Safety
/// `heap` must be a live scan in page mode that stands on a tuple.
unsafe fn each_of_page(
    heap: *mut pg_sys::HeapScanDescData,
    each: &mut impl FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    // SAFETY: the caller's promise: rs_cbuf is pinned, and the first rs_ntuples of rs_vistuples name normal line pointers
    // of its page, as heapgettup_pagemode takes them.
    unsafe {
        let page = pg_sys::BufferGetPage((*heap).rs_cbuf);
        let header = page.cast::<pg_sys::PageHeaderData>();
        let lines = (*header).pd_linp.as_ptr();
        let (first, count) = ((*heap).rs_cindex as usize, (*heap).rs_ntuples as usize);
        let visible = (*heap)
            .rs_vistuples
            .get(first..count)
            .ok_or_else(|| Error::internal("a page has more tuples than fit"))?;
        for line in visible {
            let line = lines.add(usize::from(*line) - 1);
            let tuple = page.cast::<u8>().add((*line).lp_off() as usize);
            each(std::slice::from_raw_parts(tuple, (*line).lp_len() as usize))?;
        }
        (*heap).rs_cindex = (count - 1) as _;
        count_tuples((*heap).rs_base.rs_rd, visible.len() - 1);
    }
    Ok(())
}

/// For pg_stat_all_tables: heap_getnext counts the one that it gives.
///
/// # Safety
/// The relation must be open.
unsafe fn count_tuples(relation: pg_sys::Relation, count: usize) {
    // SAFETY: the caller's promise; what pgstat keeps for a relation lives as long as it is open.
    unsafe {
        let Some(statistics) = (*relation).pgstat_info.as_mut() else { return };
        #[cfg(feature = "pg15")]
        {
            statistics.t_counts.t_tuples_returned += count as pg_sys::PgStat_Counter;
        }
        #[cfg(not(feature = "pg15"))]
        {
            statistics.counts.tuples_returned += count as pg_sys::PgStat_Counter;
        }
    }
}
