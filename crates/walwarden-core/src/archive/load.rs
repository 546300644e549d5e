//! What a restore loads: the pieces of an archive in batches that are fetched at once, as the leader sends it to its
//! loaders.

use std::collections::HashMap;

use super::toc::Toc;
use super::wire::{WireReader, put_bytes, put_count};
use crate::error::{Error, ErrorClass, Result};
use crate::manifest::{Manifest, Table};

/// Begins an encoded plan; the last byte is the encoding's version.
const MAGIC: &[u8; 5] = b"WWLP\x01";
/// Small pieces that are neighbours are fetched together up to so many bytes of the archive, so that ten thousand small
/// tables are not as many requests.
const BATCH_BYTES: u64 = 8 << 20;
/// The least an encoded table, piece and batch take.
const MIN_TABLE_LENGTH: usize = 8;
const PIECE_LENGTH: usize = 69;
const MIN_BATCH_LENGTH: usize = 4 + PIECE_LENGTH;

/// A table to load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadedTable {
    /// Its name, for people.
    pub name: String,
    /// pg_dump's own `COPY ... FROM stdin` of it, in the encoding of the database that was dumped.
    pub statement: Vec<u8>,
}

/// A piece to load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadedPiece {
    /// The table's place in the plan.
    pub table: u32,
    /// Where it begins in the archive.
    pub offset: u64,
    /// Its bytes there.
    pub length: u64,
    /// Bytes of its rows as COPY text.
    pub raw_length: u64,
    /// Its rows.
    pub rows: u64,
    /// SHA-256 of its bytes in the archive.
    pub sha256: [u8; 32],
    /// Whether it is the last one of its table.
    pub is_last: bool,
}

/// Pieces that are neighbours in the archive; one at least.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadBatch {
    /// In the order of the archive.
    pub pieces: Vec<LoadedPiece>,
}

impl LoadBatch {
    /// Where its first byte is in the archive.
    pub fn offset(&self) -> u64 {
        self.pieces.first().map_or(0, |piece| piece.offset)
    }

    /// From its first byte to its last, with what lies between its pieces.
    pub fn length(&self) -> u64 {
        self.pieces.last().map_or(0, |piece| piece.offset + piece.length - self.offset())
    }
}

/// All rows of a restore.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LoadPlan {
    /// The tables that have rows, in the order of the archive.
    pub tables: Vec<LoadedTable>,
    /// A batch is known by its place in this list.
    pub batches: Vec<LoadBatch>,
}

impl LoadPlan {
    /// The plan for these tables of an archive, whose table of contents has the COPY statement of each.
    ///
    /// # Errors
    /// `StorageCorrupt` if the table of contents lacks a table.
    pub fn of(toc: &Toc, manifest: &Manifest, wanted: impl Fn(&Table) -> bool) -> Result<Self> {
        let statements: HashMap<i32, &[u8]> = toc
            .entries
            .iter()
            .filter_map(|entry| Some((entry.dump_id, entry.copy_statement.as_deref()?)))
            .collect();
        let mut plan = Self::default();
        for table in manifest.tables.iter().filter(|table| !table.pieces.is_empty() && wanted(table)) {
            let name = format!("{}.{}", table.schema, table.name);
            let statement = statements.get(&table.dump_id).ok_or_else(|| {
                Error::new(ErrorClass::StorageCorrupt, "the archive is not what its manifest says")
                    .detail(format!("Table {name} has no COPY statement in its table of contents."))
            })?;
            let number = u32::try_from(plan.tables.len())
                .map_err(|_| Error::internal("could not plan to load so many tables"))?;
            plan.tables.push(LoadedTable { name, statement: statement.to_vec() });
            for (index, piece) in (1..).zip(&table.pieces) {
                plan.add(LoadedPiece {
                    table: number,
                    offset: piece.offset,
                    length: piece.length,
                    raw_length: piece.raw_length,
                    rows: piece.rows,
                    sha256: piece.sha256.0,
                    is_last: index == table.pieces.len(),
                });
            }
        }
        Ok(plan)
    }

    /// The table of a piece of this plan.
    pub fn table(&self, piece: &LoadedPiece) -> Result<&LoadedTable> {
        self.tables.get(piece.table as usize).ok_or_else(|| Error::internal("a piece has no table"))
    }

    fn add(&mut self, piece: LoadedPiece) {
        let end = piece.offset + piece.length;
        match self.batches.last_mut() {
            Some(batch) if end - batch.offset() <= BATCH_BYTES => batch.pieces.push(piece),
            _ => self.batches.push(LoadBatch { pieces: vec![piece] }),
        }
    }

    /// The plan as bytes.
    pub(crate) fn encode_to(&self, out: &mut Vec<u8>) -> Result<()> {
        out.extend_from_slice(MAGIC);
        put_count(out, self.tables.len())?;
        put_count(out, self.batches.len())?;
        for table in &self.tables {
            put_bytes(out, table.name.as_bytes())?;
            put_bytes(out, &table.statement)?;
        }
        for batch in &self.batches {
            put_count(out, batch.pieces.len())?;
            for piece in &batch.pieces {
                out.extend_from_slice(&piece.table.to_le_bytes());
                for number in [piece.offset, piece.length, piece.raw_length, piece.rows] {
                    out.extend_from_slice(&number.to_le_bytes());
                }
                out.extend_from_slice(&piece.sha256);
                out.push(u8::from(piece.is_last));
            }
        }
        Ok(())
    }

    /// Reads what [`Self::encode_to`] wrote.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        let mut reader = WireReader::new(bytes, "a plan of what to load");
        let magic: [u8; 5] = reader.array()?;
        if magic != *MAGIC {
            return Err(reader.malformed(format!("it begins with \"{}\"", magic.escape_ascii())));
        }
        let (tables, batches) = (reader.u32()?, reader.u32()?);
        let mut plan = Self {
            tables: Vec::with_capacity(room(&reader, tables, MIN_TABLE_LENGTH)?),
            batches: Vec::with_capacity(room(&reader, batches, MIN_BATCH_LENGTH)?),
        };
        for _ in 0..tables {
            plan.tables.push(LoadedTable { name: reader.text()?, statement: reader.bytes()?.to_vec() });
        }
        for _ in 0..batches {
            let count = reader.u32()?;
            let mut pieces = Vec::with_capacity(room(&reader, count, PIECE_LENGTH)?);
            for _ in 0..count {
                let piece = LoadedPiece {
                    table: reader.u32()?,
                    offset: reader.u64()?,
                    length: reader.u64()?,
                    raw_length: reader.u64()?,
                    rows: reader.u64()?,
                    sha256: reader.array()?,
                    is_last: reader.u8()? != 0,
                };
                if piece.table as usize >= plan.tables.len() {
                    return Err(reader.malformed(format!("a piece is of table {} of {tables}", piece.table)));
                }
                pieces.push(piece);
            }
            plan.batches.push(LoadBatch { pieces });
        }
        reader.end()?;
        Ok(plan)
    }
}

/// So many as are announced, unless what is left cannot hold them: before memory is reserved for them.
fn room(reader: &WireReader<'_>, count: u32, length: usize) -> Result<usize> {
    let count = count as usize;
    if count > reader.remaining() / length {
        return Err(reader.malformed(format!("{count} are announced in {} bytes", reader.remaining())));
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::tests::samples::{table_data, toc};
    use crate::manifest::{Piece, Sha256Sum, sample};
    use proptest::prelude::*;

    /// Tables with pieces of these lengths, one after the other with ten bytes in between.
    fn manifest(tables: &[Vec<u64>]) -> (Toc, Manifest) {
        let mut manifest = sample::manifest();
        let mut entries = Vec::new();
        let mut offset = 1000;
        manifest.tables = (1..)
            .zip(tables)
            .map(|(dump_id, lengths)| {
                let mut entry = table_data(dump_id, "s", &format!("t{dump_id}"));
                entry.copy_statement = Some(format!("COPY s.t{dump_id} (a) FROM stdin;\n").into_bytes());
                entries.push(entry);
                let pieces: Vec<Piece> = lengths
                    .iter()
                    .map(|&length| {
                        let piece = Piece {
                            offset,
                            length,
                            raw_length: 2 * length,
                            rows: 1,
                            sha256: Sha256Sum::ZERO,
                        };
                        offset += length;
                        piece
                    })
                    .collect();
                offset += 10;
                Table {
                    schema: "s".into(),
                    name: format!("t{dump_id}"),
                    dump_id,
                    pieces,
                    ..manifest.tables[0].clone()
                }
            })
            .collect();
        (toc(entries), manifest)
    }

    #[test]
    fn small_neighbours_are_fetched_together_and_large_ones_alone() {
        let (toc, manifest) =
            manifest(&[vec![100], vec![], vec![BATCH_BYTES - 120], vec![1], vec![BATCH_BYTES * 3, 5]]);
        let plan = LoadPlan::of(&toc, &manifest, |_| true).unwrap();
        let batches: Vec<_> =
            plan.batches.iter().map(|batch| (batch.offset(), batch.length(), batch.pieces.len())).collect();
        let second = 1000 + BATCH_BYTES + 10;
        assert_eq!(
            batches,
            [
                (1000, BATCH_BYTES, 2),
                (second, 1, 1),
                (second + 11, BATCH_BYTES * 3, 1),
                (second + 11 + BATCH_BYTES * 3, 5, 1)
            ]
        );
        assert_eq!(plan.tables.len(), 4);
        assert_eq!(plan.tables[1].statement, b"COPY s.t3 (a) FROM stdin;\n");
    }

    #[test]
    fn a_table_without_a_statement_is_refused() {
        let (mut toc, manifest) = manifest(&[vec![1]]);
        toc.entries[0].copy_statement = None;
        assert_eq!(LoadPlan::of(&toc, &manifest, |_| true).unwrap_err().class, ErrorClass::StorageCorrupt);
        assert_eq!(LoadPlan::of(&toc, &manifest, |_| false).unwrap(), LoadPlan::default());
    }

    proptest! {
        #[test]
        fn every_piece_is_in_the_plan_and_reads_back(
            tables in proptest::collection::vec(proptest::collection::vec(1..2 * BATCH_BYTES, 0..5), 0..20),
        ) {
            let (toc, manifest) = manifest(&tables);
            let plan = LoadPlan::of(&toc, &manifest, |_| true).unwrap();
            let planned: Vec<_> =
                plan.batches.iter().flat_map(|batch| &batch.pieces).map(|piece| (piece.offset, piece.length)).collect();
            let expected: Vec<_> = manifest
                .tables
                .iter()
                .flat_map(|table| &table.pieces)
                .map(|piece| (piece.offset, piece.length))
                .collect();
            prop_assert_eq!(planned, expected);
            for batch in &plan.batches {
                prop_assert!(batch.length() <= BATCH_BYTES || batch.pieces.len() == 1);
            }
            let mut bytes = Vec::new();
            plan.encode_to(&mut bytes).unwrap();
            prop_assert_eq!(LoadPlan::decode(&bytes).unwrap(), plan);
        }

        #[test]
        fn garbage_is_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut all = MAGIC.to_vec();
            all.extend(bytes);
            let _ = LoadPlan::decode(&all);
            prop_assert!(LoadPlan::decode(&all[1..]).is_err());
        }
    }
}
