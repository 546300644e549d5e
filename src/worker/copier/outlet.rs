//! The way of rows from COPY to the leader: a batch of text, an encoder, a message.

use super::LOOK_FOR_READ_TABLES;
use super::unread::Unread;
use crate::pg::interrupts;
use crate::pg::queue::Sender;
use crate::pg::segment::Segment;
use std::sync::atomic::Ordering::Relaxed;
use walwarden_core::Result;
use walwarden_core::archive::{Compression, PieceEncoder};
use walwarden_core::message::{self, CopierMessage};

/// Rows are compressed in batches of about this size, so that a narrow row costs no call of its own.
const BATCH_BYTES: usize = 64 * 1024;
/// A wide row is compressed and sent in slices of this size, so that it is in memory only once.
const SLICE_BYTES: usize = 1 << 20;

/// Where the rows of one piece after the other go.
pub struct Outlet<'a> {
    encoder: PieceEncoder,
    /// The counters of the backup.
    pub segment: &'a Segment,
    rows: &'a mut Sender,
    unread: Option<&'a mut Unread>,
    piece: u32,
    batch: Vec<u8>,
    message: Vec<u8>,
}

impl<'a> Outlet<'a> {
    /// No piece has begun yet. The locks in `unread` go as their tables have been read, also while storage is slow.
    pub fn new(
        compression: Compression,
        segment: &'a Segment,
        rows: &'a mut Sender,
        unread: Option<&'a mut Unread>,
    ) -> Self {
        let (encoder, batch) = (PieceEncoder::new(compression), Vec::with_capacity(2 * BATCH_BYTES));
        Self { encoder, segment, rows, unread, piece: 0, batch, message: Vec::new() }
    }

    /// A piece begins.
    pub fn begin(&mut self, piece: u32) {
        self.piece = piece;
        self.begin_message();
    }

    /// Take a row.
    pub fn row(&mut self, row: &[u8]) -> Result<()> {
        if row.len() < BATCH_BYTES {
            self.batch.extend_from_slice(row);
            return if self.batch.len() < BATCH_BYTES { Ok(()) } else { self.send_batch() };
        }
        self.send_batch()?;
        row.chunks(SLICE_BYTES).try_for_each(|slice| {
            encode(&mut self.encoder, slice, &mut self.message, self.segment)?;
            self.send_message()
        })
    }

    /// The piece is complete: it had so many rows.
    pub fn end(&mut self, count: u64) -> Result<()> {
        self.send_batch()?;
        let summary = self.encoder.finish(count, &mut self.message)?;
        self.send_message()?;
        self.segment.counters().rows.fetch_add(count, Relaxed);
        self.message = CopierMessage::PieceEnd { piece: self.piece, summary }.encode()?;
        self.send()
    }

    fn send_batch(&mut self) -> Result<()> {
        encode(&mut self.encoder, &self.batch, &mut self.message, self.segment)?;
        self.batch.clear();
        self.send_message()
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

    /// The encoder writes behind the header, so that nothing is copied to send it.
    fn begin_message(&mut self) {
        self.message.clear();
        self.message.extend_from_slice(&message::piece_bytes_header(self.piece));
    }
}

fn encode(encoder: &mut PieceEncoder, text: &[u8], message: &mut Vec<u8>, segment: &Segment) -> Result<()> {
    encoder.write(text, message)?;
    segment.counters().raw_bytes.fetch_add(text.len() as u64, Relaxed);
    Ok(())
}
