//! The loader: fetches batch after batch of pieces from storage and copies their rows into the tables of a database that
//! is being restored. It is connected to that database and keeps no state: SIGTERM ends it at once.

use crate::pg::bgworker::{self, Assignment};
use crate::pg::copy_in::copy_in;
use crate::pg::interrupts;
use crate::pg::queue::{self, Received, Receiver};
use crate::pg::segment::{Counters, Segment};
use crate::pg::transaction::transaction;
use crate::worker::copier::Post;
use crate::worker::io::{Io, Task};
use crate::worker::remains::open_stored;
use sha2::{Digest, Sha256};
use std::io::Read;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use walwarden_core::archive::{Algorithm, ArchiveReader, LoadBatch, LoadPlan, LoadedPiece};
use walwarden_core::message::{CopierMessage, LeaderMessage};
use walwarden_core::{Error, ErrorClass, Result};
use walwarden_store::Store;

/// Windows that are fetched ahead within a batch.
const WINDOWS_AHEAD: usize = 2;
/// The longest sleep while a batch is fetched.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// Main function, after the process was set up by `entry`.
pub fn main() {
    interrupts::install_immediate();
    let Ok(Assignment { database, task }) = bgworker::assignment() else { return };
    let Some(post) = Post::from_task(&task) else { return };
    // Gone when the leader ended before we started.
    let Some(segment) = Segment::attach(post.segment) else { return };
    let Ok((mut results, mut orders)) = queue::copier_ends(&segment, post.number) else { return };
    let last = match load(database, post.number, segment.counters(), &mut orders) {
        Ok(()) => CopierMessage::Finished,
        Err(error) => CopierMessage::Failed { error },
    };
    // The leader tells the user; if it is gone there is nobody to tell.
    let _ = last.encode().and_then(|message| results.send(&message));
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

fn load(database: u32, number: usize, counters: &Counters, orders: &mut Receiver) -> Result<()> {
    bgworker::connect(database)?;
    settle_session()?;
    let order = match orders.receive() {
        Received::Message(bytes) => LeaderMessage::decode(bytes)?,
        Received::Nothing | Received::Detached => return Ok(()),
    };
    let LeaderMessage::Load { url, options, key, algorithm, plan } = order else {
        return Err(Error::internal("a leader's message is out of order"));
    };
    let io = Io::start()?;
    let source = Source { io: &io, store: open_stored(&url, &options)?, key };
    let mut next = source.fetch(take(&plan, number, counters))?;
    while let Some(Coming { batch, mut bytes }) = next {
        let bytes = loop {
            match bytes.try_take() {
                Some(fetched) => break fetched?,
                None => interrupts::wait(Some(io.waker()), LONGEST_SLEEP)?,
            }
        };
        // While this one is copied the next one comes.
        next = source.fetch(take(&plan, number, counters))?;
        transaction(|| copy_batch(&plan, batch, &bytes, algorithm, &source.key, counters))?;
    }
    counters.take_no_more(number);
    Ok(())
}

fn take<'a>(plan: &'a LoadPlan, number: usize, counters: &Counters) -> Option<&'a LoadBatch> {
    plan.batches.get(counters.take_piece(number) as usize)
}

/// A batch on its way from storage.
struct Coming<'a> {
    batch: &'a LoadBatch,
    bytes: Task<Vec<u8>>,
}

/// Where the archive is.
struct Source<'a> {
    io: &'a Io,
    store: Store,
    key: String,
}

impl Source<'_> {
    /// Begin to fetch a batch, if there is one.
    fn fetch<'b>(&self, batch: Option<&'b LoadBatch>) -> Result<Option<Coming<'b>>> {
        let Some(batch) = batch else { return Ok(None) };
        let (store, key) = (self.store.clone(), self.key.clone());
        let (offset, length) = (batch.offset(), batch.length());
        let bytes = self.io.spawn(async move {
            let mut reader = store.reader(&key, offset..offset + length, WINDOWS_AHEAD)?;
            let fetched = tokio::task::spawn_blocking(move || {
                let mut bytes = Vec::new();
                // An allocation that fails must not abort the process, which would restart the whole server.
                usize::try_from(length)
                    .ok()
                    .and_then(|length| bytes.try_reserve_exact(length).ok())
                    .ok_or_else(|| {
                        Error::new(ErrorClass::Resources, format!("there is no memory for {length} bytes"))
                    })?;
                reader.read_to_end(&mut bytes).map_err(Error::from_io)?;
                Ok(bytes)
            });
            fetched.await.unwrap_or_else(|_| Err(Error::internal("reading from storage panicked")))
        })?;
        Ok(Some(Coming { batch, bytes }))
    }
}

fn copy_batch(
    plan: &LoadPlan,
    batch: &LoadBatch,
    bytes: &[u8],
    algorithm: Algorithm,
    key: &str,
    counters: &Counters,
) -> Result<()> {
    for piece in &batch.pieces {
        let table =
            plan.tables.get(piece.table as usize).ok_or_else(|| Error::internal("a piece has no table"))?;
        let start = usize::try_from(piece.offset - batch.offset()).unwrap_or(usize::MAX);
        let length = usize::try_from(piece.length).unwrap_or(usize::MAX);
        let wrong = |seen: String| {
            Error::new(ErrorClass::StorageCorrupt, format!("object \"{key}\" is not what was stored")).detail(
                format!(
                    "A piece of table {} at bytes {} to {} {seen}.",
                    table.name,
                    piece.offset,
                    piece.offset + piece.length - 1
                ),
            )
        };
        let bytes = bytes
            .get(start..start.saturating_add(length))
            .ok_or_else(|| wrong("is not complete".to_owned()))?;
        let found: [u8; 32] = Sha256::digest(bytes).into();
        if found != piece.sha256 {
            return Err(wrong("has another SHA-256".to_owned()));
        }
        let (rows, raw_length) = copy_piece(&table.statement, bytes, algorithm)?;
        check(piece, rows, raw_length).map_err(wrong)?;
        counters.rows.fetch_add(rows, Relaxed);
        counters.raw_bytes.fetch_add(raw_length, Relaxed);
        if piece.is_last {
            counters.tables_done.fetch_add(1, Relaxed);
        }
    }
    Ok(())
}

fn copy_piece(statement: &[u8], bytes: &[u8], algorithm: Algorithm) -> Result<(u64, u64)> {
    let mut reader = ArchiveReader::of_piece(bytes, algorithm);
    let mut text = reader.plaintext()?;
    let mut raw_length = 0;
    let rows = copy_in(statement, &mut |buffer| {
        let length = text.read_some(buffer)?;
        raw_length += length as u64;
        Ok(length)
    })?;
    Ok((rows, raw_length))
}

fn check(piece: &LoadedPiece, rows: u64, raw_length: u64) -> std::result::Result<(), String> {
    if (rows, raw_length) == (piece.rows, piece.raw_length) {
        return Ok(());
    }
    Err(format!("gave {rows} rows of {raw_length} bytes instead of {} of {}", piece.rows, piece.raw_length))
}
