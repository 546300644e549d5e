//! The way of rows to the leader: a batch of text, compressed, in a message.

use super::LOOK_FOR_READ_TABLES;
use super::unread::Unread;
use crate::pg::interrupts;
use crate::pg::queue::Sender;
use crate::pg::segment::Segment;
use std::sync::atomic::Ordering::Relaxed;
use walwarden_core::Result;
use walwarden_core::archive::{Compression, PieceEncoder};
use walwarden_core::copy_text::Sink;
use walwarden_core::encoder::Encoder;
use walwarden_core::message::{self, CopierMessage};

/// Rows are compressed in batches of about this size, so that a narrow row costs no call of its own.
const BATCH_BYTES: usize = 64 * 1024;
/// A wide row is compressed and sent in slices of this size, so that it is in memory only once.
const SLICE_BYTES: usize = 1 << 20;

/// Where the rows of one piece after the other go.
pub struct Outlet<'a> {
    compressor: PieceEncoder,
    /// The counters of the backup.
    pub segment: &'a Segment,
    rows: &'a mut Sender,
    unread: Option<&'a mut Unread>,
    piece: u32,
    batch: Vec<u8>,
    /// Bytes that were in `batch` before.
    taken: u64,
    message: Vec<u8>,
}

/// Text that is written here without COPY.
impl Sink for Outlet<'_> {
    fn text(&mut self) -> &mut Vec<u8> {
        &mut self.batch
    }

    fn pass_on(&mut self) -> Result<()> {
        if self.batch.len() < BATCH_BYTES { Ok(()) } else { self.send_batch() }
    }

    fn written(&self) -> u64 {
        self.taken + self.batch.len() as u64
    }
}

impl<'a> Outlet<'a> {
    /// No piece has begun yet. The locks in `unread` go as their tables have been read, also while storage is slow.
    pub fn new(
        compression: Compression,
        segment: &'a Segment,
        rows: &'a mut Sender,
        unread: Option<&'a mut Unread>,
    ) -> Self {
        let (compressor, batch) = (PieceEncoder::new(compression), Vec::with_capacity(2 * BATCH_BYTES));
        Self { compressor, segment, rows, unread, piece: 0, batch, taken: 0, message: Vec::new() }
    }

    /// A piece begins.
    pub fn begin(&mut self, piece: u32) {
        self.piece = piece;
        self.begin_message();
    }

    /// Take a row of COPY's.
    pub fn row(&mut self, row: &[u8]) -> Result<()> {
        if row.len() < BATCH_BYTES {
            self.batch.extend_from_slice(row);
            return if self.batch.len() < BATCH_BYTES { Ok(()) } else { self.send_batch() };
        }
        self.send_batch()?;
        row.chunks(SLICE_BYTES).try_for_each(|slice| {
            compress(&mut self.compressor, slice, &mut self.message, self.segment)?;
            self.send_message()
        })
    }

    /// The piece is complete: it had so many rows, written by this encoder.
    pub fn end(&mut self, count: u64, encoder: Encoder) -> Result<()> {
        self.send_batch()?;
        let summary = self.compressor.finish(count, &mut self.message)?;
        self.send_message()?;
        self.segment.counters().rows.fetch_add(count, Relaxed);
        self.message = CopierMessage::PieceEnd { piece: self.piece, summary, encoder }.encode()?;
        self.send()
    }

    fn send_batch(&mut self) -> Result<()> {
        // A value that was written without COPY may be as wide as any.
        let batch = std::mem::take(&mut self.batch);
        self.taken += batch.len() as u64;
        let sent = batch.chunks(SLICE_BYTES).try_for_each(|slice| {
            compress(&mut self.compressor, slice, &mut self.message, self.segment)?;
            self.send_message()
        });
        self.batch = batch;
        self.batch.clear();
        self.batch.shrink_to(2 * SLICE_BYTES);
        sent
    }

    /// Send the message if it holds anything, and begin the next.
    fn send_message(&mut self) -> Result<()> {
        if self.message.len() > message::PIECE_BYTES_HEADER_LEN {
            self.send()?;
            self.begin_message();
        }
        Ok(())
    }

    fn send(&mut self) -> Result<()> {
        loop {
            if let Some(unread) = &mut self.unread {
                unread.release(self.segment);
            }
            if self.rows.try_send(&self.message)? {
                return Ok(());
            }
            interrupts::wait(None, LOOK_FOR_READ_TABLES)?;
        }
    }

    /// The compressor writes behind the header, so that nothing is copied to send it.
    fn begin_message(&mut self) {
        self.message.clear();
        self.message.extend_from_slice(&message::piece_bytes_header(self.piece));
    }
}

fn compress(
    compressor: &mut PieceEncoder,
    text: &[u8],
    message: &mut Vec<u8>,
    segment: &Segment,
) -> Result<()> {
    compressor.write(text, message)?;
    segment.counters().raw_bytes.fetch_add(text.len() as u64, Relaxed);
    Ok(())
}
