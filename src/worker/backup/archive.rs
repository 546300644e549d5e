//! The archive as one ordered stream: pg_dump's table of contents, each table's block from the copiers' pieces,
//! large objects from pg_dump; all of it into the upload as it comes.

use super::copiers::Copiers;
use super::dump::{Dump, DumpEvent};
use super::fan::Fan;
use super::inbox::{Arrival, Inbox};
use crate::pg::interrupts;
use crate::pg::queue::Sender;
use crate::pg::segment::Segment;
use crate::worker::io::Io;
use crate::worker::progress::{Phase, set_phase};
use crate::worker::pulse::{LONGEST_SLEEP, Pulse};
use bytes::Bytes;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};
use walwarden_core::archive::{Assembler, BlockIndex, Compression, PiecePlan, PlannedTable, TableSize, Toc};
use walwarden_core::archive::{leave_out_extension, split, wait_for_descendants};
use walwarden_core::encoder::Encoder;
use walwarden_core::message::{CopierMessage, LeaderMessage};
use walwarden_core::rate::Rate;
use walwarden_core::{Error, ErrorClass, Result};
use walwarden_store::{Sent, UploadItem};

/// Small things on their way to the upload are gathered until they are this many bytes.
const GATHERED_BYTES: usize = 256 << 10;

/// The table of contents as the archive will have it, and the COPY of each of its tables.
pub struct Contents {
    /// Without walwarden, and with the dependencies that parallel restores need.
    pub toc: Toc,
    /// In the order of the table of contents.
    pub plan: PiecePlan,
}

/// What the archive turned out to hold.
#[derive(Debug, Default)]
pub struct Assembled {
    /// Each table's block, in order.
    pub blocks: Vec<BlockIndex>,
    /// The dump ids of the tables that were not written by COPY.
    pub direct: HashSet<i32>,
    /// Large objects in it.
    pub large_objects: u64,
    /// Bytes of large objects.
    pub large_object_bytes: u64,
}

impl Assembled {
    /// Rows of all tables.
    pub fn rows(&self) -> u64 {
        self.blocks.iter().flat_map(|block| &block.pieces).map(|piece| piece.rows).sum()
    }

    /// Who wrote the rows of a table.
    pub fn encoder(&self, dump_id: i32) -> Encoder {
        if self.direct.contains(&dump_id) { Encoder::Direct } else { Encoder::Copy }
    }

    /// Bytes of COPY text of all tables.
    pub fn table_bytes(&self) -> u64 {
        self.blocks.iter().flat_map(|block| &block.pieces).map(|piece| piece.raw_length).sum()
    }
}

/// What became of each upload, by the copy that it is of.
pub type Outcomes = Vec<(usize, Result<Sent>)>;

/// Everything the assembling waits on.
pub struct Line<'a> {
    /// Storage threads.
    pub io: &'a Io,
    /// pg_dump.
    pub dump: &'a mut Dump,
    /// Rows from the copiers.
    inbox: Inbox,
    /// Ends the copier that holds the snapshot.
    first_copier: Sender,
    /// Bytes to the uploads.
    uploads: Fan,
    /// Counters for onlookers.
    pub segment: &'a Segment,
    gathered: Vec<u8>,
    rate: Option<Rate>,
    began: Instant,
    pulse: Pulse,
}

impl<'a> Line<'a> {
    /// All of it in one place; pieces that come before their turn take `ahead` bytes, and no more than `max_rate` bytes a
    /// second go to the upload.
    pub fn new(
        io: &'a Io,
        dump: &'a mut Dump,
        copiers: Copiers,
        uploads: Fan,
        segment: &'a Segment,
        ahead: u64,
        max_rate: Option<u64>,
    ) -> Result<Self> {
        let now = Instant::now();
        let rate = max_rate.map(Rate::new);
        let (inbox, first_copier) = copiers.into_parts(ahead)?;
        let gathered = Vec::new();
        Ok(Self {
            io,
            dump,
            inbox,
            first_copier,
            uploads,
            segment,
            gathered,
            rate,
            began: now,
            pulse: Pulse::new(),
        })
    }

    /// Sleep until something happens; notice a failed upload and a dropped extension.
    fn pause(&mut self) -> Result<()> {
        self.uploads.check()?;
        self.pulse()?;
        interrupts::wait(Some(self.io.waker()), LONGEST_SLEEP)
    }

    fn pulse(&mut self) -> Result<()> {
        self.segment.counters().stored_bytes.store(self.uploads.stored(), Relaxed);
        if self.pulse.beat()? {
            self.inbox.look_for_the_dead();
        }
        Ok(())
    }

    /// Wait as long as the rate wants after so many bytes.
    fn keep_rate(&mut self, bytes: usize) -> Result<()> {
        let Some(rate) = &mut self.rate else { return Ok(()) };
        let until = Instant::now() + rate.after(bytes as u64, self.began.elapsed());
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            self.uploads.check()?;
            self.pulse()?;
            interrupts::wait(None, left.min(LONGEST_SLEEP))?;
        }
    }

    /// What is between two blocks is a few bytes, and a database may have ten thousand small tables: small things are
    /// gathered.
    fn send_bytes(&mut self, bytes: &[u8]) -> Result<()> {
        self.gathered.extend_from_slice(bytes);
        if self.gathered.len() < GATHERED_BYTES { Ok(()) } else { self.send_gathered() }
    }

    fn send_gathered(&mut self) -> Result<()> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        let bytes = std::mem::replace(&mut self.gathered, Vec::with_capacity(GATHERED_BYTES));
        self.send(UploadItem::Bytes(Bytes::from(bytes)))
    }

    /// Send what is large enough as it is.
    fn send_large(&mut self, bytes: Bytes) -> Result<()> {
        if bytes.len() < GATHERED_BYTES / 4 {
            return self.send_bytes(&bytes);
        }
        self.send_gathered()?;
        self.send(UploadItem::Bytes(bytes))
    }

    fn send(&mut self, item: UploadItem) -> Result<()> {
        if let UploadItem::Bytes(bytes) = &item {
            self.keep_rate(bytes.len())?;
        }
        let full = self.uploads.try_send(&item);
        if full.is_empty() {
            return Ok(());
        }
        let mut waiting = self.io.spawn(async move {
            for items in full {
                // A closed channel shows in the upload's own outcome.
                let _ = items.send(item.clone()).await;
            }
            Ok(())
        })?;
        while waiting.try_take().is_none() {
            self.pause()?;
        }
        Ok(())
    }

    fn next_event(&mut self) -> Result<DumpEvent> {
        loop {
            if let Some(event) = self.dump.try_next() {
                return event;
            }
            self.pause()?;
        }
    }

    /// Write the whole archive. Ends with what became of every upload.
    pub fn assemble(
        mut self,
        contents: &Contents,
        compression: Compression,
    ) -> Result<(Assembled, Outcomes)> {
        let mut assembler = Assembler::new(compression);
        let head = assembler.start(&contents.toc)?;
        self.send_bytes(&head)?;
        let mut assembled = Assembled::default();
        let mut pieces = (0..).zip(&contents.plan.pieces).peekable();
        for (number, table) in (0..).zip(&contents.plan.tables) {
            let start = assembler.begin_table(table.dump_id)?;
            self.send_bytes(&start)?;
            while let Some((piece, _)) = pieces.next_if(|(_, piece)| piece.table == number) {
                if self.copy_piece(&mut assembler, piece)? == Encoder::Direct {
                    assembled.direct.insert(table.dump_id);
                }
            }
            let (end, block) = assembler.end_table()?;
            self.send_bytes(&end)?;
            assembled.blocks.push(block);
            self.segment.counters().tables_done.fetch_add(1, Relaxed);
        }
        self.expect_finished()?;
        set_phase(self.segment, Phase::LargeObjects);
        self.large_objects(&mut assembler, &mut assembled)?;
        assembler.finish()?;
        self.send_gathered()?;
        self.send(UploadItem::End)?;
        self.finish(assembled)
    }

    fn finish(mut self, assembled: Assembled) -> Result<(Assembled, Outcomes)> {
        loop {
            if let Some(outcomes) = self.uploads.try_finish() {
                return Ok((assembled, outcomes));
            }
            self.pulse()?;
            interrupts::wait(Some(self.io.waker()), LONGEST_SLEEP)?;
        }
    }

    /// Forward the chunks of one piece until it is complete; gives who wrote its rows.
    fn copy_piece(&mut self, assembler: &mut Assembler, piece: u32) -> Result<Encoder> {
        loop {
            self.pulse()?;
            interrupts::check()?;
            match self.inbox.take(piece)? {
                Arrival::Nothing => self.pause()?,
                Arrival::Bytes(bytes) => {
                    assembler.piece_bytes(bytes.len() as u64)?;
                    self.send_large(bytes)?;
                }
                Arrival::End(summary, encoder) => {
                    assembler.end_piece(&summary)?;
                    return Ok(encoder);
                }
            }
        }
    }

    /// Every copier is through: the locks and the copiers' snapshot can go.
    fn expect_finished(&mut self) -> Result<()> {
        while !self.inbox.all_finished()? {
            self.pause()?;
        }
        let done = LeaderMessage::Done.encode()?;
        while !self.first_copier.try_send(&done)? {
            self.pause()?;
        }
        Ok(())
    }

    fn large_objects(&mut self, assembler: &mut Assembler, assembled: &mut Assembled) -> Result<()> {
        loop {
            match self.next_event()? {
                DumpEvent::LargeObjectsStart { dump_id } => {
                    let bytes = assembler.begin_large_objects(dump_id)?;
                    self.send_bytes(&bytes)?;
                }
                DumpEvent::LargeObjectStart { oid } => {
                    let bytes = assembler.begin_large_object(oid)?;
                    self.send_bytes(&bytes)?;
                }
                DumpEvent::LargeObjectBytes(bytes) => {
                    assembler.piece_bytes(bytes.len() as u64)?;
                    self.send_large(Bytes::from(bytes))?;
                }
                DumpEvent::LargeObjectEnd(summary) => {
                    assembler.end_piece(&summary)?;
                    let bytes = assembler.end_large_object()?;
                    self.send_bytes(&bytes)?;
                    assembled.large_objects += 1;
                    assembled.large_object_bytes += summary.raw_length;
                    self.segment.counters().raw_bytes.fetch_add(summary.raw_length, Relaxed);
                }
                DumpEvent::LargeObjectsEnd => {
                    let bytes = assembler.end_large_objects()?;
                    self.send_bytes(&bytes)?;
                }
                DumpEvent::End => break,
                DumpEvent::Toc(_) | DumpEvent::Statement { .. } | DumpEvent::TablesEnd => {
                    return Err(Error::internal("pg_dump's stream is out of order"));
                }
            }
        }
        while !self.dump.try_finish()? {
            self.uploads.check()?;
            interrupts::wait(Some(self.io.waker()), Duration::from_millis(10))?;
        }
        Ok(())
    }
}

/// Read pg_dump's table of contents and statements until its tables are through, and cut the tables into pieces.
pub fn read_contents(
    dump: &mut Dump,
    io: &Io,
    compression: Compression,
    sizes: &[TableSize],
) -> Result<Contents> {
    let mut pulse = Pulse::new();
    let mut toc = None;
    let mut statements = Vec::new();
    loop {
        let Some(event) = dump.try_next() else {
            pulse.beat()?;
            interrupts::wait(Some(io.waker()), LONGEST_SLEEP)?;
            continue;
        };
        match event? {
            DumpEvent::Toc(read) => toc = Some(read),
            DumpEvent::Statement { dump_id, statement } => statements.push((dump_id, statement)),
            DumpEvent::TablesEnd => break,
            _ => return Err(Error::internal("pg_dump's stream is out of order")),
        }
    }
    let mut toc = toc.ok_or_else(|| Error::internal("pg_dump gave no table of contents"))?;
    // pg_dump delivered what is left out all the same: it is not copied.
    let left_out = leave_out_extension(&mut toc, b"walwarden");
    let left_out: HashSet<i32> = left_out.entries.iter().map(|entry| entry.dump_id).collect();
    let oids: HashMap<i32, u32> = toc.entries.iter().map(|entry| (entry.dump_id, entry.oid)).collect();
    let tables = statements
        .into_iter()
        .filter(|(dump_id, _)| !left_out.contains(dump_id))
        .map(|(dump_id, statement)| PlannedTable {
            dump_id,
            oid: oids.get(&dump_id).copied().unwrap_or_default(),
            statement,
        })
        .collect();
    wait_for_descendants(&mut toc);
    toc.header.set_compression(compression)?;
    toc.clear_offsets();
    Ok(Contents { toc, plan: split(tables, sizes) })
}

pub(super) fn copier_gone() -> Error {
    Error::new(ErrorClass::Lost, "the copier is gone")
        .detail("It was terminated or killed before it was done.")
        .hint("Look into the server's log, then run the backup again.")
}

pub(super) fn unexpected(message: CopierMessage<'_>) -> Error {
    match message {
        CopierMessage::Failed { error } => error,
        _ => Error::internal("a copier's message is out of order"),
    }
}
