//! Rows alone, into the empty tables of a database that is there: by one pg_restore in one transaction, so that all of them
//! are there or none. What it reads is put together from storage, proven piece by piece, and never on disk.

use super::contents::{self, Contents};
use super::hands::Hands;
use super::programs::{Blocks, Programs};
use crate::catalog::job::{ArchiveFacts, Job};
use crate::catalog::task::DatabaseOrder;
use crate::pg::segment::Segment;
use crate::pg::transaction::transaction;
use crate::pg::{clock, databases};
use crate::worker::child::Connection;
use crate::worker::io::Io;
use crate::worker::progress::{Phase, set_phase};
use crate::worker::subject::Subject;
use crate::worker::work::Work;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use uuid::Uuid;
use walwarden_core::archive::check_rows;
use walwarden_core::manifest::{Manifest, Table};
use walwarden_core::{Error, ErrorClass, Result};
use walwarden_store::ArchiveSource;

/// Windows that are fetched ahead.
const WINDOWS_AHEAD: usize = 2;

/// The restore of rows alone.
pub struct RowsRestore {
    backup: Uuid,
    order: DatabaseOrder,
    hands: Hands,
}

impl RowsRestore {
    /// Of the backup that this job made.
    pub fn new(io: Io, backup: Uuid, order: DatabaseOrder) -> Self {
        Self { backup, order, hands: Hands::new(io) }
    }

    fn load(&mut self, subject: &Subject, contents: Contents, segment: &Segment) -> Result<ArchiveFacts> {
        let mut toc = contents.toc.only_data();
        let manifest = &subject.manifest;
        let chosen = toc.rows();
        let tables: Vec<Table> =
            manifest.tables.iter().filter(|table| chosen.contains(&table.dump_id)).cloned().collect();
        let counters = segment.counters();
        counters.tables_total.store(tables.len() as u64, Relaxed);
        let of_tables = subject.facts_of(|table| chosen.contains(&table.dump_id), false);
        counters.estimated_bytes.store(of_tables.raw_bytes, Relaxed);
        counters.copying_since.store(clock::now().timestamp_micros(), Relaxed);
        check_rows(
            &mut toc,
            &tables.iter().map(|table| (table.dump_id, table.rows)).collect::<HashMap<_, _>>(),
        );

        let has_large_objects = toc.has_large_objects();
        let large_objects = has_large_objects.then_some(contents.large_objects.clone());
        let handed_on = Arc::new(HandedOn::default());
        let blocks = StoredBlocks {
            archive: subject.archive()?.clone(),
            ends: block_ends(manifest, contents.large_objects.start),
            tables,
            large_objects,
            handed_on: Arc::clone(&handed_on),
        };
        let programs = Programs {
            connection: Connection::to_this_server()?,
            choices: self.order.choices.clone(),
            jobs: 1,
        };
        programs.rows(&mut self.hands, &toc, &self.order.database, blocks, || {
            counters.raw_bytes.store(handed_on.bytes.load(Relaxed), Relaxed);
            counters.rows.store(handed_on.rows.load(Relaxed), Relaxed);
            counters.tables_done.store(handed_on.tables.load(Relaxed), Relaxed);
        })?;
        Ok(subject.facts_of(|table| chosen.contains(&table.dump_id), has_large_objects))
    }
}

impl Work for RowsRestore {
    fn run(&mut self, job: &Job) -> Result<()> {
        let (segment, subject) =
            super::begin(job, &self.hands.io, self.backup, self.order.choices.identity_file.as_deref(), 0)?;
        if transaction(|| databases::oid(&self.order.database))?.is_none() {
            return Err(Error::new(
                ErrorClass::NotFound,
                format!("database \"{}\" does not exist", self.order.database),
            ));
        }
        let mut contents = contents::read(&self.hands.io, &subject)?;
        contents.select(&self.order.choices.selection, &subject)?;
        set_phase(&segment, Phase::Loading);
        let facts = self.load(&subject, contents, &segment)?;
        subject.complete(job.id, &facts)
    }

    fn stop(&mut self, error: Error) -> Error {
        self.hands.stop();
        error
    }
}

/// Where the block of each table ends: where the next one begins.
fn block_ends(manifest: &Manifest, after_tables: u64) -> HashMap<i32, u64> {
    let starts = manifest.tables.iter().skip(1).map(|table| table.block_offset);
    let ends = starts.chain(std::iter::once(after_tables));
    manifest.tables.iter().map(|table| table.dump_id).zip(ends).collect()
}

/// The blocks of these tables, as they lie in storage.
struct StoredBlocks {
    archive: ArchiveSource,
    tables: Vec<Table>,
    ends: HashMap<i32, u64>,
    large_objects: Option<std::ops::Range<u64>>,
    handed_on: Arc<HandedOn>,
}

/// What pg_restore was given so far.
#[derive(Default)]
struct HandedOn {
    /// Bytes of COPY text.
    bytes: AtomicU64,
    rows: AtomicU64,
    tables: AtomicU64,
}

impl Blocks for StoredBlocks {
    fn write_to(self, out: &mut dyn Write) -> io::Result<()> {
        let mut piece_bytes = Vec::new();
        for table in &self.tables {
            let Some(&end) = self.ends.get(&table.dump_id) else {
                return Err(io::Error::other(Error::internal("a table has no block")));
            };
            let mut block = self.read(table.block_offset..end)?;
            let mut position = table.block_offset;
            for piece in &table.pieces {
                // What belongs to the block and to no piece.
                io::copy(&mut block.by_ref().take(piece.offset - position), out)?;
                position = piece.offset + piece.length;
                piece_bytes.clear();
                block.by_ref().take(piece.length).read_to_end(&mut piece_bytes)?;
                let found: [u8; 32] = Sha256::digest(&piece_bytes).into();
                if found != piece.sha256.0 {
                    return Err(io::Error::other(self.damaged(table, piece.offset)));
                }
                out.write_all(&piece_bytes)?;
                self.handed_on.bytes.fetch_add(piece.raw_length, Relaxed);
                self.handed_on.rows.fetch_add(piece.rows, Relaxed);
            }
            io::copy(&mut block, out)?;
            self.handed_on.tables.fetch_add(1, Relaxed);
        }
        match self.large_objects.clone() {
            Some(range) => io::copy(&mut self.read(range)?, out).map(drop),
            None => Ok(()),
        }
    }
}

impl StoredBlocks {
    fn read(&self, range: std::ops::Range<u64>) -> io::Result<impl Read + use<>> {
        self.archive.reader(range, WINDOWS_AHEAD).map_err(io::Error::other)
    }

    fn damaged(&self, table: &Table, at: u64) -> Error {
        Error::new(
            ErrorClass::StorageCorrupt,
            format!("object \"{}\" is not what was stored", self.archive.key()),
        )
        .detail(format!(
            "The piece of table {}.{} at byte {at} has another SHA-256.",
            table.schema, table.name
        ))
    }
}
