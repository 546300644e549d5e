//! The archive as one ordered stream: pg_dump's table of contents, each table's block from the copier's pieces,
//! large objects from pg_dump; all of it into the upload as it comes.

use super::backup::set_phase;
use crate::pg::interrupts;
use crate::pg::queue::{Received, Receiver};
use crate::pg::segment::Segment;
use crate::worker::dump::{Dump, DumpEvent};
use crate::worker::io::{Io, Task};
use crate::worker::progress::Phase;
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use walwarden_core::archive::{Assembler, BlockIndex, Compression, PiecePlan, PlannedPiece, Toc};
use walwarden_core::archive::{leave_out_extension, wait_for_descendants};
use walwarden_core::message::CopierMessage;
use walwarden_core::{Error, ErrorClass, Result};
use walwarden_store::{UploadItem, Uploaded};

/// The longest sleep between looks at what else wants attention.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);
/// How often a leader makes sure that the extension is still there.
const PULSE: Duration = Duration::from_secs(1);

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

    /// Bytes of COPY text of all tables.
    pub fn table_bytes(&self) -> u64 {
        self.blocks.iter().flat_map(|block| &block.pieces).map(|piece| piece.raw_length).sum()
    }
}

/// Everything the assembling waits on.
pub struct Line<'a> {
    /// Storage threads.
    pub io: &'a Io,
    /// pg_dump.
    pub dump: &'a mut Dump,
    /// Rows from the copier.
    pub rows: &'a mut Receiver,
    /// Bytes to the upload.
    pub upload: Upload,
    /// Counters for onlookers.
    pub segment: &'a Segment,
    last_pulse: Instant,
}

/// The upload that runs on the storage threads.
pub struct Upload {
    items: mpsc::Sender<UploadItem>,
    task: Task<Uploaded>,
    stored: Arc<AtomicU64>,
}

impl Upload {
    /// An upload reading from the other end of `items`, counting what storage has in `stored`.
    pub fn new(items: mpsc::Sender<UploadItem>, task: Task<Uploaded>, stored: Arc<AtomicU64>) -> Self {
        Self { items, task, stored }
    }

    /// An upload has no reason to end before its stream does, but to fail.
    fn check(&mut self) -> Result<()> {
        match self.task.try_take() {
            None => Ok(()),
            Some(Err(error)) => Err(error),
            Some(Ok(_)) => Err(Error::internal("the upload ended before the archive did")),
        }
    }
}

impl<'a> Line<'a> {
    /// All of it in one place.
    pub fn new(
        io: &'a Io,
        dump: &'a mut Dump,
        rows: &'a mut Receiver,
        upload: Upload,
        segment: &'a Segment,
    ) -> Self {
        Self { io, dump, rows, upload, segment, last_pulse: Instant::now() }
    }

    /// Sleep until something happens; notice a failed upload and a dropped extension.
    fn pause(&mut self) -> Result<()> {
        self.upload.check()?;
        self.pulse()?;
        interrupts::wait(Some(self.io.waker()), LONGEST_SLEEP)
    }

    fn pulse(&mut self) -> Result<()> {
        self.segment.counters().stored_bytes.store(self.upload.stored.load(Relaxed), Relaxed);
        pulse(&mut self.last_pulse)
    }

    fn send(&mut self, item: UploadItem) -> Result<()> {
        match self.upload.items.try_send(item) {
            Ok(()) => Ok(()),
            // The upload has ended, which it only does early when it failed.
            Err(mpsc::error::TrySendError::Closed(_)) => loop {
                self.pause()?;
            },
            Err(mpsc::error::TrySendError::Full(item)) => {
                let items = self.upload.items.clone();
                let mut waiting = self.io.spawn(async move {
                    // A closed channel shows in the upload's own outcome.
                    let _ = items.send(item).await;
                    Ok(())
                })?;
                while waiting.try_take().is_none() {
                    self.pause()?;
                }
                Ok(())
            }
        }
    }

    fn send_bytes(&mut self, bytes: Vec<u8>) -> Result<()> {
        if bytes.is_empty() { Ok(()) } else { self.send(UploadItem::Bytes(Bytes::from(bytes))) }
    }

    fn next_event(&mut self) -> Result<DumpEvent> {
        loop {
            if let Some(event) = self.dump.try_next() {
                return event;
            }
            self.pause()?;
        }
    }

    /// Write the whole archive. Ends with the upload complete.
    pub fn assemble(
        mut self,
        contents: &Contents,
        compression: Compression,
    ) -> Result<(Assembled, Uploaded)> {
        let mut assembler = Assembler::new(compression);
        let head = assembler.start(&contents.toc)?;
        self.send_bytes(head)?;
        let mut assembled = Assembled::default();
        for (number, piece) in contents.plan.pieces.iter().enumerate() {
            let start = assembler.begin_table(piece.dump_id)?;
            self.send_bytes(start)?;
            self.copy_piece(&mut assembler, number)?;
            let (end, block) = assembler.end_table()?;
            self.send_bytes(end)?;
            assembled.blocks.push(block);
            self.segment.counters().tables_done.fetch_add(1, Relaxed);
        }
        self.expect_finished()?;
        set_phase(self.segment, Phase::LargeObjects);
        self.large_objects(&mut assembler, &mut assembled)?;
        assembler.finish()?;
        self.send(UploadItem::End)?;
        self.finish(assembled)
    }

    fn finish(mut self, assembled: Assembled) -> Result<(Assembled, Uploaded)> {
        loop {
            if let Some(uploaded) = self.upload.task.try_take() {
                return Ok((assembled, uploaded?));
            }
            self.pulse()?;
            interrupts::wait(Some(self.io.waker()), LONGEST_SLEEP)?;
        }
    }

    /// Forward the chunks of one piece until it is complete. With one copier pieces come in order.
    fn copy_piece(&mut self, assembler: &mut Assembler, number: usize) -> Result<()> {
        loop {
            self.pulse()?;
            interrupts::check()?;
            let step = match self.rows.try_receive() {
                Received::Nothing => Step::Wait,
                Received::Detached => return Err(copier_gone()),
                Received::Message(message) => match CopierMessage::decode(message)? {
                    CopierMessage::PieceBytes { piece, bytes } if piece as usize == number => {
                        Step::Forward(Bytes::copy_from_slice(bytes))
                    }
                    CopierMessage::PieceEnd { piece, summary } if piece as usize == number => {
                        assembler.end_piece(&summary)?;
                        return Ok(());
                    }
                    other => return Err(unexpected(other)),
                },
            };
            match step {
                Step::Wait => self.pause()?,
                Step::Forward(bytes) => {
                    assembler.piece_bytes(bytes.len() as u64)?;
                    self.send(UploadItem::Bytes(bytes))?;
                }
            }
        }
    }

    fn expect_finished(&mut self) -> Result<()> {
        match next_message(self.rows, &mut || Ok(()), self.io)? {
            Message::Finished => Ok(()),
            Message::Snapshot { .. } => Err(Error::internal("a copier began twice")),
        }
    }

    fn large_objects(&mut self, assembler: &mut Assembler, assembled: &mut Assembled) -> Result<()> {
        loop {
            match self.next_event()? {
                DumpEvent::LargeObjectsStart { dump_id } => {
                    let bytes = assembler.begin_large_objects(dump_id)?;
                    self.send_bytes(bytes)?;
                }
                DumpEvent::LargeObjectStart { oid } => {
                    let bytes = assembler.begin_large_object(oid)?;
                    self.send_bytes(bytes)?;
                }
                DumpEvent::LargeObjectBytes(bytes) => {
                    assembler.piece_bytes(bytes.len() as u64)?;
                    self.send_bytes(bytes)?;
                }
                DumpEvent::LargeObjectEnd(summary) => {
                    assembler.end_piece(&summary)?;
                    let bytes = assembler.end_large_object()?;
                    self.send_bytes(bytes)?;
                    assembled.large_objects += 1;
                    assembled.large_object_bytes += summary.raw_length;
                    self.segment.counters().raw_bytes.fetch_add(summary.raw_length, Relaxed);
                }
                DumpEvent::LargeObjectsEnd => {
                    let bytes = assembler.end_large_objects()?;
                    self.send_bytes(bytes)?;
                }
                DumpEvent::End => break,
                DumpEvent::Toc(_) | DumpEvent::Statement { .. } | DumpEvent::TablesEnd => {
                    return Err(Error::internal("pg_dump's stream is out of order"));
                }
            }
        }
        while !self.dump.try_finish()? {
            self.upload.check()?;
            interrupts::wait(Some(self.io.waker()), Duration::from_millis(10))?;
        }
        Ok(())
    }
}

enum Step {
    Wait,
    Forward(Bytes),
}

/// A message of a copier that is not about rows.
pub enum Message {
    /// Its snapshot stands.
    Snapshot {
        /// Its name.
        snapshot: String,
        /// Where the log was.
        lsn: u64,
        /// When, in microseconds since the Unix epoch.
        taken_at_micros: i64,
    },
    /// It has done all of the plan.
    Finished,
}

/// Wait for such a message.
pub fn next_message(rows: &mut Receiver, pulse: &mut dyn FnMut() -> Result<()>, io: &Io) -> Result<Message> {
    loop {
        match rows.try_receive() {
            Received::Message(message) => match CopierMessage::decode(message)? {
                CopierMessage::SnapshotReady { snapshot, lsn, taken_at_micros } => {
                    return Ok(Message::Snapshot { snapshot, lsn, taken_at_micros });
                }
                CopierMessage::Finished => return Ok(Message::Finished),
                other => return Err(unexpected(other)),
            },
            Received::Detached => return Err(copier_gone()),
            Received::Nothing => {
                pulse()?;
                interrupts::wait(Some(io.waker()), LONGEST_SLEEP)?;
            }
        }
    }
}

/// Read pg_dump's table of contents and statements until its tables are through.
pub fn read_contents(dump: &mut Dump, io: &Io, compression: Compression) -> Result<Contents> {
    let mut last_pulse = Instant::now();
    let mut toc = None;
    let mut pieces = Vec::new();
    loop {
        let Some(event) = dump.try_next() else {
            pulse(&mut last_pulse)?;
            interrupts::wait(Some(io.waker()), LONGEST_SLEEP)?;
            continue;
        };
        match event? {
            DumpEvent::Toc(read) => toc = Some(read),
            DumpEvent::Statement { dump_id, statement } => pieces.push(PlannedPiece { dump_id, statement }),
            DumpEvent::TablesEnd => break,
            _ => return Err(Error::internal("pg_dump's stream is out of order")),
        }
    }
    let mut toc = toc.ok_or_else(|| Error::internal("pg_dump gave no table of contents"))?;
    // pg_dump delivered what is left out all the same: it is not copied.
    let left_out = leave_out_extension(&mut toc, b"walwarden");
    pieces.retain(|piece: &PlannedPiece| left_out.entries.iter().all(|entry| entry.dump_id != piece.dump_id));
    wait_for_descendants(&mut toc);
    toc.header.set_compression(compression)?;
    toc.clear_offsets();
    Ok(Contents { toc, plan: PiecePlan { pieces } })
}

/// Now and then: a backup of a database whose walwarden was dropped must stop.
pub fn pulse(last: &mut Instant) -> Result<()> {
    if last.elapsed() < PULSE {
        return Ok(());
    }
    *last = Instant::now();
    super::backup::require_extension()
}

fn copier_gone() -> Error {
    Error::new(ErrorClass::Lost, "the copier is gone")
        .detail("It was terminated or killed before it was done.")
        .hint("Look into the server's log, then run the backup again.")
}

fn unexpected(message: CopierMessage<'_>) -> Error {
    match message {
        CopierMessage::Failed { error } => error,
        _ => Error::internal("a copier's message is out of order"),
    }
}
