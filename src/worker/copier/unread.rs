//! The locks of tables that still have to be read.

use crate::pg::locks;
use crate::pg::segment::Segment;
use std::collections::HashSet;
use walwarden_core::archive::PiecePlan;

/// Tables whose locks the first copier holds because somebody still has to read them, in the order in which they are
/// read.
pub struct Unread {
    /// Each table with the number of the piece after its last one.
    tables: std::iter::Peekable<std::vec::IntoIter<(u32, u32)>>,
}

impl Unread {
    /// Tables that are locked and not planned, such as partitioned ones, are let go at once: what there is to know of
    /// them, pg_dump has read.
    pub fn of(plan: &PiecePlan, locked: &[u32]) -> Self {
        let planned: HashSet<u32> = plan.tables.iter().map(|table| table.oid).collect();
        locked.iter().filter(|oid| !planned.contains(oid)).for_each(|oid| locks::unlock_table(*oid));
        let mut ends = vec![0; plan.tables.len()];
        for (after, piece) in (1..).zip(&plan.pieces) {
            if let Some(end) = ends.get_mut(piece.table as usize) {
                *end = after;
            }
        }
        let tables: Vec<(u32, u32)> = plan.tables.iter().map(|table| table.oid).zip(ends).collect();
        Self { tables: tables.into_iter().peekable() }
    }

    /// Let go of the tables that have been read.
    pub fn release(&mut self, segment: &Segment) {
        let read_before = segment.counters().read_before();
        while let Some((oid, _)) = self.tables.next_if(|(_, end)| *end <= read_before) {
            locks::unlock_table(oid);
        }
    }
}
