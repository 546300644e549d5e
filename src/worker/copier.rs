//! The copier: reads piece after piece, as COPY would write it, and sends it compressed to the leader. The first one of a backup locks
//! the tables and takes the snapshot; the others import it. Each holds one transaction for the whole backup and keeps no
//! state: SIGTERM ends it at once.

mod blockers;
mod outlet;
mod rows;
mod tables;
mod unread;

use crate::pg::bgworker::{self, Assignment};
use crate::pg::caught::caught;
use crate::pg::queue::{self, Received, Receiver, Sender};
use crate::pg::segment::Segment;
use crate::pg::{clock, interrupts, lock_group, locks, server, sql, transaction};
use outlet::Outlet;
use rows::Rows;
use std::cell::Cell;
use std::collections::HashSet;
use std::ffi::CString;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::time::Duration;
use tables::Tables;
use unread::Unread;
use walwarden_core::archive::{PIECE_BYTES, PiecePlan};
use walwarden_core::filter::Filter;
use walwarden_core::message::{CopierMessage, LeaderMessage};
use walwarden_core::{Error, ErrorClass, Result};

/// How often tables that appear while others are being locked are taken in, before the snapshot is taken anyway.
const LOCK_ROUNDS: usize = 10;
/// How often the first copier, when it has no work left, looks for tables that the others have read.
const LOOK_FOR_READ_TABLES: Duration = Duration::from_millis(100);

/// What a copier, or a loader, is told at its start, as the task of its assignment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Post {
    /// The handle of the backup's segment.
    pub segment: u32,
    /// Which of them it is; the first is 0.
    pub number: usize,
}

impl Post {
    /// As text.
    pub fn to_task(self) -> String {
        format!("{}:{}", self.segment, self.number)
    }

    /// Back from text.
    pub fn from_task(task: &str) -> Option<Self> {
        let (segment, number) = task.split_once(':')?;
        Some(Self { segment: segment.parse().ok()?, number: number.parse().ok()? })
    }
}

/// Main function, after the process was set up by `entry`.
pub fn main() {
    interrupts::install_immediate();
    let Ok(Assignment { database, task }) = bgworker::assignment() else { return };
    let Some(post) = Post::from_task(&task) else { return };
    // Gone when the leader ended before we started.
    let Some(segment) = Segment::attach(post.segment) else { return };
    let Ok((mut rows, mut orders)) = queue::copier_ends(&segment, post.number) else { return };
    let outcome = join_group(post, &segment).and_then(|()| prepare_session(database)).and_then(|()| {
        let copied = if post.number == 0 {
            lead_copying(&segment, &mut rows, &mut orders)
        } else {
            help_copying(post.number, &segment, &mut rows, &mut orders)
        };
        transaction::settle(copied)
    });
    if let Err(error) = outcome {
        // The leader tells the user; if it is gone there is nobody to tell.
        let _ = CopierMessage::Failed { error }.encode().and_then(|message| rows.send(&message));
    }
}

/// One lock group of all copiers, before any lock is taken.
fn join_group(post: Post, segment: &Segment) -> Result<()> {
    let first = &segment.counters().first_copier;
    if post.number == 0 {
        lock_group::lead();
        first.store(std::process::id() as i32, SeqCst);
        return Ok(());
    }
    if lock_group::join(first.load(SeqCst)) {
        Ok(())
    } else {
        Err(Error::new(ErrorClass::Lost, "the copier that holds the snapshot is gone"))
    }
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
        // A member of a lock group cannot be the leader of a parallel query.
        (c"max_parallel_workers_per_gather", c"0"),
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

/// The first copier: takes the snapshot, copies with the others, and stays until all have read what they took.
fn lead_copying(segment: &Segment, rows: &mut Sender, orders: &mut Receiver) -> Result<()> {
    let Some(order) = next_order(orders)? else { return Ok(()) };
    let LeaderMessage::Lock(filter) = order else { return Err(out_of_order()) };
    let (tables, mut locked) = take_snapshot(&filter)?;
    caught(|| {
        rows.send(&snapshot_message(segment, tables, &filter)?.encode()?)?;
        let Some(order) = next_order(orders)? else { return Ok(()) };
        let LeaderMessage::Plan { compression, is_direct, plan, .. } = order else {
            return Err(out_of_order());
        };
        // pg_dump has found what its patterns match by itself; where a name has changed in between it is right.
        lock_late(&mut locked, plan.tables.iter().map(|table| table.oid))?;
        let mut unread = Unread::of(&plan, &locked);
        copy_pieces(
            Rows::new(0, is_direct),
            &plan,
            Outlet::new(compression, segment, rows, Some(&mut unread)),
        )?;
        rows.send(&CopierMessage::Finished.encode()?)?;
        // The snapshot lives as long as this transaction, and so do the locks of what others still read.
        while let Received::Nothing = orders.try_receive() {
            unread.release(segment);
            interrupts::wait(None, LOOK_FOR_READ_TABLES)?;
        }
        Ok(())
    })?;
    // Nothing was written: rolling back is the cheaper end.
    transaction::roll_back()
}

/// Every other copier.
fn help_copying(number: usize, segment: &Segment, rows: &mut Sender, orders: &mut Receiver) -> Result<()> {
    let Some(order) = next_order(orders)? else { return Ok(()) };
    let LeaderMessage::Plan { snapshot, compression, is_direct, plan } = order else {
        return Err(out_of_order());
    };
    caught(|| {
        transaction::begin();
        transaction::import_snapshot(&snapshot)?;
        copy_pieces(Rows::new(number, is_direct), &plan, Outlet::new(compression, segment, rows, None))?;
        rows.send(&CopierMessage::Finished.encode()?)
    })?;
    transaction::roll_back()
}

/// None when the leader is gone.
fn next_order(orders: &mut Receiver) -> Result<Option<LeaderMessage>> {
    match orders.receive() {
        Received::Message(bytes) => LeaderMessage::decode(bytes).map(Some),
        Received::Nothing | Received::Detached => Ok(None),
    }
}

fn out_of_order() -> Error {
    Error::internal("a leader's message is out of order")
}

/// Begin the transaction whose snapshot the backup shows, with every table of the backup locked before the snapshot is
/// taken, so that no TRUNCATE or rewrite comes between. Tables made meanwhile are taken in by another round. Gives the
/// tables as the snapshot shows them, and all that are locked.
fn take_snapshot(filter: &Filter) -> Result<(Tables, Vec<u32>)> {
    let mut locked = transaction::transaction(|| tables::list(filter))?.locked;
    for round in 1.. {
        let known: HashSet<u32> = locked.iter().copied().collect();
        let seen = locking(|lock| {
            transaction::begin();
            locked.iter().copied().for_each(lock);
            transaction::push_transaction_snapshot();
            tables::list(filter)
        })?;
        if round >= LOCK_ROUNDS || seen.locked.iter().all(|oid| known.contains(oid)) {
            lock_late(&mut locked, seen.locked.iter().copied())?;
            return Ok((seen, locked));
        }
        transaction::roll_back()?;
        locked = seen.locked;
    }
    Err(Error::internal("no round of locking was the last"))
}

/// Lock those that are not locked yet, after the snapshot, as pg_dump itself does with all of them.
fn lock_late(locked: &mut Vec<u32>, tables: impl Iterator<Item = u32>) -> Result<()> {
    let known: HashSet<u32> = locked.iter().copied().collect();
    let late: Vec<u32> = tables.filter(|oid| !known.contains(oid)).collect();
    locking(|lock| {
        late.iter().copied().for_each(lock);
        Ok(())
    })?;
    locked.extend(late);
    Ok(())
}

/// Do something that locks tables with the function it gets. When one is not to be had in time, the error names those who
/// are in the way.
fn locking<T>(body: impl FnOnce(&dyn Fn(u32)) -> Result<T>) -> Result<T> {
    let asked_for = Cell::new(None);
    let lock = |oid| {
        asked_for.set(Some(oid));
        locks::lock_table(oid);
        asked_for.set(None);
    };
    caught(|| body(&lock)).map_err(|error| match asked_for.get() {
        Some(oid) => blockers::explain(error, oid, lock_timeout()),
        None => error,
    })
}

/// How long a lock is waited for.
fn lock_timeout() -> Duration {
    Duration::from_millis(u64::try_from(crate::guc::LOCK_TIMEOUT.get()).unwrap_or_default())
}

fn large_object_bytes() -> Result<u64> {
    sql::query_one("SELECT pg_relation_size('pg_catalog.pg_largeobject')", &[])?
        .ok_or_else(|| Error::internal("the large objects have no size"))?
        .parse(0)
}

fn snapshot_message(segment: &Segment, tables: Tables, filter: &Filter) -> Result<CopierMessage<'static>> {
    let row = sql::query_one(
        "SELECT pg_catalog.pg_export_snapshot(), (pg_catalog.pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::bigint",
        &[],
    )?
    .ok_or_else(|| Error::internal("no snapshot was exported"))?;
    let taken_at_micros = clock::now().timestamp_micros();
    let mut sizes = tables.measure()?;
    // pg_dump leaves large objects out of what only has some schemas or tables.
    let large_objects = if filter.has_includes() { 0 } else { large_object_bytes()? };
    let estimate = sizes.iter().map(|size| size.bytes).sum::<u64>() + large_objects;
    segment.counters().estimated_bytes.store(estimate, Relaxed);
    // The others are one piece whatever their size.
    sizes.retain(|size| size.bytes > PIECE_BYTES);
    Ok(CopierMessage::SnapshotReady {
        snapshot: row.text(0)?,
        lsn: row.parse(1)?,
        taken_at_micros,
        sizes,
        without_rows: tables.without_rows,
    })
}

/// Take pieces and copy them until none is left.
fn copy_pieces(mut rows: Rows, plan: &PiecePlan, mut outlet: Outlet<'_>) -> Result<()> {
    let counters = outlet.segment.counters();
    loop {
        let taken = counters.take_piece(rows.copier());
        let Some(piece) = plan.pieces.get(taken as usize) else { break };
        let table =
            plan.tables.get(piece.table as usize).ok_or_else(|| Error::internal("a piece has no table"))?;
        rows.come_to(table)?;
        outlet.begin(taken);
        let (count, encoder) = rows.write(table, piece.blocks, &mut outlet)?;
        outlet.end(count, encoder)?;
        rows.compare_sample(table, piece.blocks)?;
    }
    rows.leave();
    counters.take_no_more(rows.copier());
    Ok(())
}
