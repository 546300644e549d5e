//! Cuts tables into pieces. The cut depends on the tables alone, never on how many copiers there are: the same
//! database gives the same archive.

use super::plan::{Blocks, PiecePlan, PlannedPiece, PlannedTable};
use super::statement::is_of_a_whole_table;
use std::collections::HashMap;

/// What a piece takes on disk, about: heap and TOAST. Large enough that compression loses next to nothing where one
/// piece ends and the next begins, small enough that copiers end at about the same time.
pub const PIECE_BYTES: u64 = 16 << 20;
/// A very large database has larger pieces instead of more than about so many: each has a line in the manifest.
const MOST_PIECES: u64 = 20_000;

/// How large a table is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableSize {
    /// Its oid.
    pub oid: u32,
    /// Blocks of its main fork when, or after, the snapshot was taken.
    pub blocks: u32,
    /// Bytes of its main fork and of its TOAST table.
    pub bytes: u64,
}

/// The plan for these tables, in this order. Only the tables in `sizes` may be cut: ordinary heaps.
pub fn split(tables: Vec<PlannedTable>, sizes: &[TableSize]) -> PiecePlan {
    let whole: u64 = sizes.iter().map(|size| size.bytes).sum();
    let piece_bytes = PIECE_BYTES.max(whole / MOST_PIECES);
    let sizes: HashMap<u32, &TableSize> = sizes.iter().map(|size| (size.oid, size)).collect();
    let mut pieces = Vec::with_capacity(tables.len());
    for (number, table) in (0..).zip(&tables) {
        let size = sizes.get(&table.oid).filter(|_| is_of_a_whole_table(&table.statement));
        let cut = size.map_or(1, |size| pieces_of(size, piece_bytes));
        if cut < 2 {
            pieces.push(PlannedPiece { table: number, blocks: Blocks::ALL });
            continue;
        }
        let blocks = size.map_or(0, |size| u64::from(size.blocks));
        let edge = |piece: u64| (blocks * piece / cut) as u32;
        pieces.extend((0..cut).map(|piece| PlannedPiece {
            table: number,
            blocks: Blocks {
                first: edge(piece),
                // Blocks that came since hold no row of the snapshot; to leave them out would take that on trust.
                end: if piece + 1 == cut { u32::MAX } else { edge(piece + 1) },
            },
        }));
    }
    PiecePlan { tables, pieces }
}

/// A block is not cut, however much TOAST it stands for.
fn pieces_of(size: &TableSize, piece_bytes: u64) -> u64 {
    size.bytes.div_ceil(piece_bytes).min(u64::from(size.blocks))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn table(oid: u32) -> PlannedTable {
        PlannedTable { dump_id: 1, oid, statement: b"COPY s.t (a) TO stdout".to_vec() }
    }

    fn ranges(plan: &PiecePlan) -> Vec<(u32, u32)> {
        plan.pieces.iter().map(|piece| (piece.blocks.first, piece.blocks.end)).collect()
    }

    #[test]
    fn small_and_special_tables_are_one_piece() {
        let filtered = PlannedTable { statement: b"COPY (SELECT 1) TO stdout".to_vec(), ..table(2) };
        let sizes = [
            TableSize { oid: 1, blocks: 10, bytes: 81_920 },
            TableSize { oid: 2, blocks: 1 << 20, bytes: 8 << 30 },
        ];
        let plan = split(vec![table(1), filtered, table(3)], &sizes);
        assert_eq!(ranges(&plan), [(0, u32::MAX); 3]);
    }

    #[test]
    fn toast_counts() {
        // 1 GiB in TOAST behind 300 blocks.
        let plan = split(vec![table(1)], &[TableSize { oid: 1, blocks: 300, bytes: 1 << 30 }]);
        assert_eq!(plan.pieces.len(), 64);
        // And behind 3 blocks.
        let plan = split(vec![table(1)], &[TableSize { oid: 1, blocks: 3, bytes: 1 << 30 }]);
        assert_eq!(ranges(&plan), [(0, 1), (1, 2), (2, u32::MAX)]);
    }

    proptest! {
        #[test]
        fn every_block_is_in_one_piece(
            tables in prop::collection::vec((any::<u32>(), 0u64..1 << 44), 0..20),
        ) {
            let sizes: Vec<TableSize> = (1..).zip(tables)
                .map(|(oid, (blocks, bytes))| TableSize { oid, blocks, bytes })
                .collect();
            let plan = split(sizes.iter().map(|size| table(size.oid)).collect(), &sizes);
            prop_assert!(plan.pieces.len() as u64 <= 2 * MOST_PIECES + 20);
            let mut pieces = plan.pieces.iter().peekable();
            for number in 0..sizes.len() as u32 {
                let mut next = 0;
                while let Some(piece) = pieces.next_if(|piece| piece.table == number) {
                    prop_assert_eq!(piece.blocks.first, next);
                    prop_assert!(piece.blocks.end > next);
                    next = piece.blocks.end;
                }
                prop_assert_eq!(next, u32::MAX);
            }
            prop_assert!(pieces.next().is_none());
        }
    }
}
