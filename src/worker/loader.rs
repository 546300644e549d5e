//! The loader: fetches batch after batch of pieces from storage and copies their rows into the tables of a database that
//! is being restored. It is connected to that database.

use crate::pg::bgworker;
use crate::pg::copy_in::copy_in;
use crate::pg::new_table::{self, Target};
use crate::pg::role;
use crate::pg::transaction::transaction;
use crate::worker::follower::{self, Follower};
use crate::worker::io::Io;
use crate::worker::pieces::Source;
use crate::worker::remains::open_stored;
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;
use walwarden_core::Result;
use walwarden_core::archive::{Algorithm, ArchiveReader, LoadBatch, LoadPlan, TableLoad};
use walwarden_core::message::{LeaderMessage, Lock};
use walwarden_store::{ArchiveSource, Identities, Store};

/// Main function, after the process was set up by `entry`.
pub fn main() {
    follower::follow(|follower, order| {
        let LeaderMessage::Load { url, options, key, lock, algorithm, plan, table } = order else {
            return Err(follower::out_of_order());
        };
        settle_session()?;
        let io = Io::start()?;
        let source = Source { io: &io, archive: open(&io, open_stored(&url, &options)?, key, lock)? };
        let loading = Loading { source, plan: &plan, algorithm, follower };
        match table {
            Some(table) => loading.load_as(&table),
            None => loading.load_in_place(),
        }
    });
}

fn open(io: &Io, store: Store, key: String, lock: Option<Lock>) -> Result<ArchiveSource> {
    let Some(Lock { identity_file, size, stored_size }) = lock else {
        return Ok(ArchiveSource::plain(store, key));
    };
    let identities = Identities::read(Path::new(&identity_file))?;
    io.run(async move { ArchiveSource::encrypted(store, key, size, stored_size, &identities).await })
}

/// The settings of a restore by pg_restore (_doSetFixedOutputState in pg_backup_archiver.c), and those that decide how
/// text is read where pg_dump relies on its own.
fn settle_session() -> Result<()> {
    bgworker::settle_session()?;
    for (name, value) in [
        (c"search_path", c""),
        // What a crash loses here is lost with the whole database: it has not got its name yet.
        (c"synchronous_commit", c"off"),
        (c"row_security", c"off"),
        (c"xmloption", c"content"),
        (c"check_function_bodies", c"off"),
        (c"client_min_messages", c"warning"),
        (c"session_replication_role", c"origin"),
    ] {
        bgworker::set(name, value)?;
    }
    Ok(())
}

/// What a loader is at.
struct Loading<'a> {
    source: Source<'a>,
    plan: &'a LoadPlan,
    algorithm: Algorithm,
    follower: &'a Follower<'a>,
}

impl Loading<'_> {
    /// Into the tables that the rows came from, a batch in a transaction.
    fn load_in_place(&self) -> Result<()> {
        self.for_each_batch(|batch, bytes| transaction(|| self.copy_batch(batch, bytes, None)))
    }

    /// Into one new table, all in one transaction, with the rights of the role that it will belong to: its columns' types
    /// and expressions may call functions that anybody has made.
    fn load_as(&self, table: &TableLoad) -> Result<()> {
        let target = Target::new(&table.schema, &table.name);
        transaction(|| {
            role::as_role(&table.role, || {
                new_table::create(&table.definitions, &target)?;
                self.for_each_batch(|batch, bytes| self.copy_batch(batch, bytes, Some(&target)))?;
                new_table::create_indexes(&table.indexes, &target)
            })
        })
    }

    fn for_each_batch(&self, load: impl FnMut(&LoadBatch, &[u8]) -> Result<()>) -> Result<()> {
        let Follower { number, counters, .. } = *self.follower;
        self.source.for_each_batch(|| self.plan.batches.get(counters.take_piece(number) as usize), load)?;
        counters.take_no_more(number);
        Ok(())
    }

    fn copy_batch(&self, batch: &LoadBatch, bytes: &[u8], into: Option<&Target>) -> Result<()> {
        let Self { plan, algorithm, .. } = *self;
        let counters = self.follower.counters;
        for piece in &batch.pieces {
            let table = plan.table(piece)?;
            let bytes = self.source.intact(table, batch, piece, bytes)?;
            let (rows, raw_length) = copy_piece(&table.statement, into, bytes, algorithm)?;
            self.source.require_all(table, piece, rows, raw_length)?;
            counters.rows.fetch_add(rows, Relaxed);
            counters.raw_bytes.fetch_add(raw_length, Relaxed);
            if piece.is_last {
                counters.tables_done.fetch_add(1, Relaxed);
            }
        }
        Ok(())
    }
}

fn copy_piece(
    statement: &[u8],
    into: Option<&Target>,
    bytes: &[u8],
    algorithm: Algorithm,
) -> Result<(u64, u64)> {
    let mut reader = ArchiveReader::of_piece(bytes, algorithm);
    let mut text = reader.plaintext()?;
    let mut raw_length = 0;
    let rows = copy_in(statement, into, &mut |buffer| {
        let length = text.read_some(buffer)?;
        raw_length += length as u64;
        Ok(length)
    })?;
    Ok((rows, raw_length))
}
