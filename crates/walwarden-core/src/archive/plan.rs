//! What a backup copies: its tables, and the pieces they are cut into, as the leader sends it to its copiers.

use super::wire::{WireReader, put_bytes, put_count};
use crate::error::Result;

/// Begins an encoded plan; the last byte is the encoding's version.
const MAGIC: &[u8; 5] = b"WWPP\x02";

/// The least an encoded table takes: its entry, its oid and its statement's length.
const MIN_TABLE_LENGTH: usize = 12;
/// What an encoded piece takes: its table and its blocks.
const PIECE_LENGTH: usize = 12;

/// A table to copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedTable {
    /// The TOC entry its rows belong to.
    pub dump_id: i32,
    /// Its oid, whose lock may go when its rows have been read.
    pub oid: u32,
    /// The COPY statement that yields its rows, in the database's encoding.
    pub statement: Vec<u8>,
}

/// Blocks of a table's main fork: from `first`, up to and without `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blocks {
    /// The first one.
    pub first: u32,
    /// The one after the last.
    pub end: u32,
}

impl Blocks {
    /// All that a table can have (MaxBlockNumber is one less).
    pub const ALL: Self = Self { first: 0, end: u32::MAX };
}

/// One piece to copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlannedPiece {
    /// The table's place in the plan.
    pub table: u32,
    /// Which of its rows; [`Blocks::ALL`] is the table by its own statement.
    pub blocks: Blocks,
}

/// All pieces of a backup in archive order. A piece is known by its place in this list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PiecePlan {
    /// The tables, in the order of their blocks in the archive.
    pub tables: Vec<PlannedTable>,
    /// The pieces; each table has at least one, and its pieces are neighbours, in the order of its pages.
    pub pieces: Vec<PlannedPiece>,
}

impl PiecePlan {
    pub(crate) fn encode_to(&self, out: &mut Vec<u8>) -> Result<()> {
        out.extend_from_slice(MAGIC);
        put_count(out, self.tables.len())?;
        put_count(out, self.pieces.len())?;
        for table in &self.tables {
            out.extend_from_slice(&table.dump_id.to_le_bytes());
            out.extend_from_slice(&table.oid.to_le_bytes());
            put_bytes(out, &table.statement)?;
        }
        for piece in &self.pieces {
            for number in [piece.table, piece.blocks.first, piece.blocks.end] {
                out.extend_from_slice(&number.to_le_bytes());
            }
        }
        Ok(())
    }

    /// Reads what [`Self::encode_to`] wrote.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        let mut reader = WireReader::new(bytes, "a plan of pieces");
        let magic: [u8; 5] = reader.array()?;
        if magic != *MAGIC {
            return Err(reader.malformed(format!("it begins with \"{}\"", magic.escape_ascii())));
        }
        let (table_count, piece_count) = (reader.u32()? as usize, reader.u32()? as usize);
        // Before memory is reserved for them.
        if table_count > reader.remaining() / MIN_TABLE_LENGTH {
            return Err(
                reader.malformed(format!("{table_count} tables are announced in {} bytes", bytes.len()))
            );
        }
        let mut tables = Vec::with_capacity(table_count);
        for _ in 0..table_count {
            let (dump_id, oid) = (reader.i32()?, reader.u32()?);
            tables.push(PlannedTable { dump_id, oid, statement: reader.bytes()?.to_vec() });
        }
        if piece_count > reader.remaining() / PIECE_LENGTH {
            return Err(
                reader.malformed(format!("{piece_count} pieces are announced in {} bytes", bytes.len()))
            );
        }
        let mut pieces = Vec::with_capacity(piece_count);
        for _ in 0..piece_count {
            let (table, first, end) = (reader.u32()?, reader.u32()?, reader.u32()?);
            if table as usize >= tables.len() {
                return Err(reader.malformed(format!("a piece is of table {table} of {}", tables.len())));
            }
            pieces.push(PlannedPiece { table, blocks: Blocks { first, end } });
        }
        reader.end()?;
        Ok(Self { tables, pieces })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encode(plan: &PiecePlan) -> Vec<u8> {
        let mut out = Vec::new();
        plan.encode_to(&mut out).unwrap();
        out
    }

    #[test]
    fn the_bytes_are_these() {
        let plan = PiecePlan {
            tables: vec![PlannedTable { dump_id: 258, oid: 7, statement: b"COPY".to_vec() }],
            pieces: vec![PlannedPiece { table: 0, blocks: Blocks { first: 3, end: 256 } }],
        };
        let bytes = encode(&plan);
        assert_eq!(
            bytes,
            [
                b"WWPP\x02\x01\0\0\0\x01\0\0\0".as_slice(),
                b"\x02\x01\0\0\x07\0\0\0\x04\0\0\0COPY",
                b"\0\0\0\0\x03\0\0\0\0\x01\0\0"
            ]
            .concat()
        );
        assert_eq!(PiecePlan::decode(&bytes).unwrap(), plan);
    }

    #[test]
    fn hostile_numbers_are_refused() {
        let begin = MAGIC.as_slice();
        for rest in [
            b"\xff\xff\xff\xff\0\0\0\0".as_slice(),
            b"\0\0\0\0\xff\xff\xff\xff",
            b"\x01\0\0\0\0\0\0\0\x01\0\0\0\x01\0\0\0\xff\xff\xff\xff",
            b"\0\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
            b"\0\0\0\0\0\0\0\0x",
        ] {
            assert!(PiecePlan::decode(&[begin, rest].concat()).is_err(), "{rest:?}");
        }
        assert!(PiecePlan::decode(b"WWPP\x01\0\0\0\0\0\0\0\0").is_err(), "another version");
    }

    proptest! {
        #[test]
        fn decodes_what_was_encoded(
            tables in prop::collection::vec(
                (any::<i32>(), any::<u32>(), prop::collection::vec(any::<u8>(), 0..50)), 1..20),
            pieces in prop::collection::vec((any::<prop::sample::Index>(), any::<u32>(), any::<u32>()), 0..20),
            cut in any::<prop::sample::Index>(),
        ) {
            let pieces = pieces.into_iter().map(|(table, first, end)| PlannedPiece {
                table: table.index(tables.len()) as u32,
                blocks: Blocks { first, end },
            }).collect();
            let tables = tables.into_iter()
                .map(|(dump_id, oid, statement)| PlannedTable { dump_id, oid, statement })
                .collect();
            let plan = PiecePlan { tables, pieces };
            let bytes = encode(&plan);
            prop_assert_eq!(PiecePlan::decode(&bytes).unwrap(), plan);
            prop_assert!(PiecePlan::decode(&bytes[..cut.index(bytes.len())]).is_err());
        }

        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = PiecePlan::decode(&bytes);
            let _ = PiecePlan::decode(&[MAGIC.as_slice(), &bytes].concat());
        }
    }
}
