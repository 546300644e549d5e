//! The way of rows to the leader: text, compressed, in a message.

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

/// A wide row of COPY's is compressed and sent in parts of this size, so that it is in memory only once.
const PART_BYTES: usize = 1 << 20;

/// Where the rows of one piece after the other go.
pub struct Outlet<'a> {
    encoder: PieceEncoder,
    /// The counters of the backup.
    pub segment: &'a Segment,
    rows: &'a mut Sender,
    unread: Option<&'a mut Unread>,
    piece: u32,
    message: Vec<u8>,
}

/// Text that is written here without COPY, right where it is compressed.
impl Sink for Outlet<'_> {
    fn text(&mut self) -> &mut Vec<u8> {
        self.encoder.text()
    }

    fn pass_on(&mut self) -> Result<()> {
        while self.encoder.is_full() {
            let compressed = self.encoder.compress(&mut self.message)?;
            self.segment.counters().raw_bytes.fetch_add(compressed as u64, Relaxed);
            self.send_message()?;
        }
        Ok(())
    }

    fn written(&self) -> u64 {
        self.encoder.raw_length()
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
        Self { encoder: PieceEncoder::new(compression), segment, rows, unread, piece: 0, message: Vec::new() }
    }

    /// A piece begins.
    pub fn begin(&mut self, piece: u32) {
        self.piece = piece;
        self.begin_message();
    }

    /// Take a row of COPY's.
    pub fn row(&mut self, row: &[u8]) -> Result<()> {
        for part in row.chunks(PART_BYTES) {
            self.encoder.text().extend_from_slice(part);
            self.pass_on()?;
        }
        Ok(())
    }

    /// The piece is complete: it had so many rows, written by this encoder.
    pub fn end(&mut self, count: u64, encoder: Encoder) -> Result<()> {
        self.pass_on()?;
        let rest = self.encoder.text().len() as u64;
        let summary = self.encoder.finish(count, &mut self.message)?;
        self.segment.counters().raw_bytes.fetch_add(rest, Relaxed);
        self.send_message()?;
        self.segment.counters().rows.fetch_add(count, Relaxed);
        self.message = CopierMessage::PieceEnd { piece: self.piece, summary, encoder }.encode()?;
        self.send()
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
