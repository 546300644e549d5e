//! The copier: locks the tables, takes the snapshot, runs the COPY of each piece and sends it compressed to the
//! leader. It holds one transaction for the whole backup and keeps no state: SIGTERM ends it at once.

use crate::pg::bgworker::{self, Assignment};
use crate::pg::caught::caught;
use crate::pg::copy_out::copy_out;
use crate::pg::queue::{self, Received, Receiver, Sender};
use crate::pg::segment::Segment;
use crate::pg::{clock, interrupts, locks, server, sql, transaction};
use std::collections::HashSet;
use std::ffi::CString;
use std::sync::atomic::Ordering::Relaxed;
use walwarden_core::archive::{Compression, PieceEncoder, PiecePlan, PlannedPiece};
use walwarden_core::message::{self, CopierMessage, LeaderMessage};
use walwarden_core::{Error, Result};

/// Rows are compressed in batches of about this size, so that a narrow row costs no call of its own.
const BATCH_BYTES: usize = 64 * 1024;
/// How often tables that appear while others are being locked are taken in, before the snapshot is taken anyway.
const LOCK_ROUNDS: usize = 10;

/// Main function, after the process was set up by `entry`.
pub fn main() {
    interrupts::install_immediate();
    let Some((segment, database)) = segment_and_database() else { return };
    let (mut rows, mut orders) = queue::copier_ends(&segment);
    let outcome = prepare_session(database)
        .and_then(|()| transaction::settle(copy_everything(&segment, &mut rows, &mut orders)));
    if let Err(error) = outcome {
        // The leader tells the user; if it is gone there is nobody to tell.
        let _ = CopierMessage::Failed { error }.encode().and_then(|message| rows.send(&message));
    }
}

fn segment_and_database() -> Option<(Segment, u32)> {
    let Assignment { database, task } = bgworker::assignment().ok()?;
    // Gone when the leader ended before we started.
    let segment = Segment::attach(task.parse().ok()?)?;
    Some((segment, database))
}

/// The session settings that pg_dump's own session has (setup_connection in pg_dump.c): they decide what COPY
/// writes. What pg_dump leaves to the database, such as TimeZone, is left to it here too.
fn prepare_session(database: u32) -> Result<()> {
    bgworker::connect(database)?;
    for (name, value) in [
        (c"search_path", c""),
        (c"DateStyle", c"ISO"),
        (c"IntervalStyle", c"postgres"),
        (c"extra_float_digits", c"3"),
        (c"row_security", c"off"),
        (c"synchronize_seqscans", c"off"),
        (c"default_transaction_isolation", c"repeatable read"),
        (c"default_transaction_read_only", c"on"),
    ] {
        bgworker::set(name, value)?;
    }
    // In the minor releases that have it: no view or foreign table slips in where a table was (CVE-2024-7348).
    if server::setting(c"restrict_nonsystem_relation_kind").is_some() {
        bgworker::set(c"restrict_nonsystem_relation_kind", c"view, foreign-table")?;
    }
    let lock_timeout = CString::new(crate::guc::LOCK_TIMEOUT.get().to_string())
        .map_err(|_| Error::internal("a setting holds a zero byte"))?;
    bgworker::set(c"lock_timeout", &lock_timeout)
}

fn copy_everything(segment: &Segment, rows: &mut Sender, orders: &mut Receiver) -> Result<()> {
    take_snapshot(segment)?;
    caught(|| {
        rows.send(&snapshot_message()?.encode()?)?;
        let order = match orders.receive() {
            Received::Message(bytes) => LeaderMessage::decode(bytes)?,
            Received::Nothing | Received::Detached => return Ok(()),
        };
        let LeaderMessage::Plan { compression, plan } = order;
        copy_plan(&plan, compression, segment, rows)?;
        rows.send(&CopierMessage::Finished.encode()?)?;
        Ok(())
    })?;
    // Nothing was written: rolling back is the cheaper end.
    transaction::roll_back()
}

/// Begin the transaction whose snapshot the backup shows, with every table locked before the snapshot is taken, so
/// that no TRUNCATE or rewrite comes between. Tables made meanwhile are taken in by another round.
fn take_snapshot(segment: &Segment) -> Result<()> {
    let mut tables = transaction::transaction(list_tables)?;
    for round in 1.. {
        let locked: HashSet<u32> = tables.oids.iter().copied().collect();
        let seen = caught(|| {
            transaction::begin();
            for oid in &tables.oids {
                locks::lock_table(*oid);
            }
            transaction::push_transaction_snapshot();
            list_tables()
        })?;
        segment.counters().estimated_bytes.store(seen.bytes, Relaxed);
        if round >= LOCK_ROUNDS || seen.oids.iter().all(|oid| locked.contains(oid)) {
            // Those of a last round are locked late, as pg_dump itself does with all of them.
            return caught(|| {
                seen.oids.iter().filter(|oid| !locked.contains(oid)).for_each(|oid| locks::lock_table(*oid));
                Ok(())
            });
        }
        transaction::roll_back()?;
        tables = seen;
    }
    Ok(())
}

struct Tables {
    oids: Vec<u32>,
    bytes: u64,
}

/// The tables that pg_dump will lock: permanent and unlogged ones, partitioned ones, and of an extension's tables
/// those it declared as configuration. The estimate counts TOAST, not indexes.
fn list_tables() -> Result<Tables> {
    let rows = sql::query(
        "SELECT c.oid, (greatest(c.relpages, 0)::bigint + coalesce(greatest(t.relpages, 0), 0)::bigint) \
                * current_setting('block_size')::bigint \
         FROM pg_catalog.pg_class c \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         LEFT JOIN pg_catalog.pg_class t ON t.oid = c.reltoastrelid \
         WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' \
           AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'walwarden') \
           AND n.nspname NOT LIKE 'pg\\_toast%' \
           AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d \
                           JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid \
                           WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e' \
                             AND d.refclassid = 'pg_catalog.pg_extension'::regclass \
                             AND (e.extconfig IS NULL OR c.oid <> ALL (e.extconfig))) \
         ORDER BY c.oid",
        &[],
    )?;
    let mut tables = Tables { oids: Vec::with_capacity(rows.len()), bytes: 0 };
    for row in &rows {
        tables.oids.push(row.parse(0)?);
        tables.bytes += row.parse::<u64>(1)?;
    }
    Ok(tables)
}

fn snapshot_message() -> Result<CopierMessage<'static>> {
    let row = sql::query_one(
        "SELECT pg_catalog.pg_export_snapshot(), (pg_catalog.pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::bigint",
        &[],
    )?
    .ok_or_else(|| Error::internal("no snapshot was exported"))?;
    Ok(CopierMessage::SnapshotReady {
        snapshot: row.text(0)?,
        lsn: row.parse(1)?,
        taken_at_micros: clock::now().timestamp_micros(),
    })
}

fn copy_plan(plan: &PiecePlan, compression: Compression, segment: &Segment, rows: &mut Sender) -> Result<()> {
    let mut copied = Copied::new(compression, segment, rows);
    for (number, piece) in plan.pieces.iter().enumerate() {
        let number = u32::try_from(number).map_err(|_| Error::internal("too many pieces"))?;
        copied.piece(number, piece)?;
    }
    Ok(())
}

/// The way of rows from COPY to the leader: a batch of text, an encoder, a message.
struct Copied<'a> {
    encoder: PieceEncoder,
    segment: &'a Segment,
    rows: &'a mut Sender,
    batch: Vec<u8>,
    message: Vec<u8>,
}

impl<'a> Copied<'a> {
    fn new(compression: Compression, segment: &'a Segment, rows: &'a mut Sender) -> Self {
        let batch = Vec::with_capacity(2 * BATCH_BYTES);
        Self { encoder: PieceEncoder::new(compression), segment, rows, batch, message: Vec::new() }
    }

    fn piece(&mut self, number: u32, piece: &PlannedPiece) -> Result<()> {
        begin_message(&mut self.message, number);
        let count = copy_out(&piece.statement, &mut |row| {
            self.batch.extend_from_slice(row);
            if self.batch.len() < BATCH_BYTES {
                return Ok(());
            }
            encode_batch(&mut self.batch, &mut self.encoder, &mut self.message, self.segment)?;
            send_full(&mut self.message, number, self.rows)
        })?;
        encode_batch(&mut self.batch, &mut self.encoder, &mut self.message, self.segment)?;
        let summary = self.encoder.finish(count, &mut self.message)?;
        send_full(&mut self.message, number, self.rows)?;
        self.segment.counters().rows.fetch_add(count, Relaxed);
        self.rows.send(&CopierMessage::PieceEnd { piece: number, summary }.encode()?)
    }
}

fn encode_batch(
    batch: &mut Vec<u8>,
    encoder: &mut PieceEncoder,
    message: &mut Vec<u8>,
    segment: &Segment,
) -> Result<()> {
    encoder.write(batch, message)?;
    segment.counters().raw_bytes.fetch_add(batch.len() as u64, Relaxed);
    batch.clear();
    Ok(())
}

/// Send the message if it holds anything, and begin the next.
fn send_full(message: &mut Vec<u8>, number: u32, rows: &mut Sender) -> Result<()> {
    if message.len() > message::PIECE_BYTES_HEADER_LEN {
        rows.send(message)?;
        begin_message(message, number);
    }
    Ok(())
}

/// The encoder writes behind the header, so that nothing is copied to send it.
fn begin_message(message: &mut Vec<u8>, number: u32) {
    message.clear();
    message.extend_from_slice(&message::piece_bytes_header(number));
}
