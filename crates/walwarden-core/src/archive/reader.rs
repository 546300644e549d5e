//! Reads an archive as a stream, with bounded memory: the table of contents, then block after block.
//!
//! The source may be a pipe; nothing is ever read twice. Blocks must be read to their end, or skipped, before
//! the next one begins.

use std::io::{Chain, Read};

use super::compression::Algorithm;
use super::plaintext::BlockPlaintext;
use super::primitive::INT_LENGTH;
use super::source::Source;
use super::toc::Toc;
use crate::error::{Error, Result};

/// The longest chunk accepted, in bytes. An uncompressed archive has one chunk per row, and a row's COPY text
/// stays below PostgreSQL's MaxAllocSize of 1 GiB.
pub const MAX_CHUNK_LENGTH: u32 = 1 << 30;

/// BLK_DATA of pg_backup_archiver.h.
pub(super) const BLOCK_TABLE_DATA: u8 = 1;
/// BLK_BLOBS of pg_backup_archiver.h.
pub(super) const BLOCK_LARGE_OBJECTS: u8 = 3;

/// The begin of a data block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockStart {
    /// One table's rows: a stream of chunks.
    TableData {
        /// The TOC entry it belongs to.
        dump_id: i32,
    },
    /// Large objects: each with its Oid and a stream of chunks of its own.
    LargeObjects {
        /// The TOC entry it belongs to.
        dump_id: i32,
    },
}

/// What the next byte belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Header,
    BetweenBlocks,
    /// In a table's stream, with so many bytes of the present chunk left.
    Table {
        left: u32,
    },
    BetweenLargeObjects,
    /// The same in a large object's stream.
    LargeObject {
        left: u32,
    },
}

/// An archive being read.
pub struct ArchiveReader<R> {
    source: Source<R>,
    state: State,
    algorithm: Algorithm,
    /// Its one stream is a piece, not what pieces are joined to.
    is_piece: bool,
}

/// The Int 0 that ends a stream of chunks.
const NO_MORE_CHUNKS: [u8; INT_LENGTH] = [0; INT_LENGTH];

impl<R: Read> ArchiveReader<Chain<R, &'static [u8]>> {
    /// A reader in a piece: nothing but its framed chunks, as they lie in the archive. [`Self::plaintext`] gives its rows,
    /// without the text that ends a table. That a deflated piece is complete is for its caller to know: nothing in it
    /// marks its end, and no checksum is in it.
    pub fn of_piece(piece: R, algorithm: Algorithm) -> Self {
        let source = Source::new(piece.chain(NO_MORE_CHUNKS.as_slice()));
        Self { source, state: State::Table { left: 0 }, algorithm, is_piece: true }
    }
}

/// Where the chunks of a block begin that begins itself at this byte of the archive.
pub const fn first_chunk(block_offset: u64) -> u64 {
    block_offset + 1 + INT_LENGTH as u64
}

impl<R: Read> ArchiveReader<R> {
    /// A reader in the block of a table, where a chunk begins or the block ends. Positions count from there.
    pub fn in_table(source: R, algorithm: Algorithm) -> Self {
        Self { source: Source::new(source), state: State::Table { left: 0 }, algorithm, is_piece: false }
    }

    /// A reader at the archive's first byte. It buffers; the source need not.
    pub fn new(source: R) -> Self {
        Self {
            source: Source::new(source),
            state: State::Header,
            algorithm: Algorithm::None,
            is_piece: false,
        }
    }

    /// What it reads from, which may have been read further than [`Self::position`].
    pub fn into_inner(self) -> R {
        self.source.into_inner()
    }

    /// Bytes of the archive taken in so far.
    pub fn position(&self) -> u64 {
        self.source.position()
    }

    /// Reads the header and the table of contents; this comes first.
    pub fn read_toc(&mut self) -> Result<Toc> {
        if self.state != State::Header {
            return Err(self.misused("read the table of contents"));
        }
        let toc = Toc::read(&mut self.source)?;
        self.algorithm = toc.header.algorithm();
        self.state = State::BetweenBlocks;
        Ok(toc)
    }

    /// Goes to the next block, or finds the archive's end.
    pub fn next_block(&mut self) -> Result<Option<BlockStart>> {
        if self.state != State::BetweenBlocks {
            return Err(self.misused("begin a block"));
        }
        if self.source.at_end()? {
            return Ok(None);
        }
        let kind = self.source.byte()?;
        let dump_id = self.source.int()?;
        if dump_id <= 0 {
            return Err(self.source.damaged(format!("a block belongs to entry {dump_id}")));
        }
        match kind {
            BLOCK_TABLE_DATA => {
                self.state = State::Table { left: 0 };
                Ok(Some(BlockStart::TableData { dump_id }))
            }
            BLOCK_LARGE_OBJECTS => {
                self.state = State::BetweenLargeObjects;
                Ok(Some(BlockStart::LargeObjects { dump_id }))
            }
            _ => Err(self.source.damaged(format!("the block of entry {dump_id} has the type {kind}"))),
        }
    }

    /// Goes to the next large object and tells its Oid, or finds the end of the block.
    pub fn next_large_object(&mut self) -> Result<Option<u32>> {
        if self.state != State::BetweenLargeObjects {
            return Err(self.misused("begin a large object"));
        }
        match self.source.oid()? {
            0 => {
                self.state = State::BetweenBlocks;
                Ok(None)
            }
            oid => {
                self.state = State::LargeObject { left: 0 };
                Ok(Some(oid))
            }
        }
    }

    /// Reads the next chunk, as it is stored, into `chunk`; `false` is the end of the stream.
    pub fn next_chunk(&mut self, chunk: &mut Vec<u8>) -> Result<bool> {
        chunk.clear();
        match self.chunk_left()? {
            0 => Ok(false),
            left => {
                self.source.append(left, chunk)?;
                self.set_left(0);
                Ok(true)
            }
        }
    }

    /// Reads stored bytes of the stream regardless of chunks; 0 is its end. `buffer` must not be empty.
    pub fn read_payload(&mut self, buffer: &mut [u8]) -> Result<usize> {
        if buffer.is_empty() {
            return Err(self.misused("read into nothing"));
        }
        match self.chunk_left()? {
            0 => Ok(0),
            left => {
                let wanted = buffer.len().min(left as usize);
                let length = self.source.some(&mut buffer[..wanted])?;
                self.set_left(left - length as u32);
                Ok(length)
            }
        }
    }

    /// The present table's or large object's content, decompressed.
    pub fn plaintext(&mut self) -> Result<BlockPlaintext<'_, R>> {
        if !matches!(self.state, State::Table { .. } | State::LargeObject { .. }) {
            return Err(self.misused("read data"));
        }
        BlockPlaintext::new(self)
    }

    /// Reads and drops what is left of the present block; between blocks it does nothing.
    pub fn skip_block(&mut self) -> Result<()> {
        let mut waste = [0; 8192];
        loop {
            match self.state {
                State::BetweenBlocks => return Ok(()),
                State::BetweenLargeObjects => {
                    self.next_large_object()?;
                }
                State::Header | State::Table { .. } | State::LargeObject { .. } => {
                    self.read_payload(&mut waste)?;
                }
            }
        }
    }

    /// Whether all of the present chunk was read.
    pub(super) fn at_chunk_end(&self) -> bool {
        !matches!(self.state, State::Table { left: 1.. } | State::LargeObject { left: 1.. })
    }

    pub(super) fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    pub(super) fn is_piece(&self) -> bool {
        self.is_piece
    }

    /// The error for data that does not decompress.
    pub(super) fn damaged(&mut self, seen: &str) -> Error {
        self.source.damaged(seen)
    }

    /// Bytes left in the present chunk, after going to the next one if need be; 0 at the end of the stream,
    /// which is left by that.
    fn chunk_left(&mut self) -> Result<u32> {
        let (left, after) = match self.state {
            State::Table { left } => (left, State::BetweenBlocks),
            State::LargeObject { left } => (left, State::BetweenLargeObjects),
            State::Header | State::BetweenBlocks | State::BetweenLargeObjects => {
                return Err(self.misused("read data"));
            }
        };
        if left > 0 {
            return Ok(left);
        }
        let length = self.source.int()?;
        match u32::try_from(length) {
            Ok(0) => {
                self.state = after;
                Ok(0)
            }
            Ok(length) if length <= MAX_CHUNK_LENGTH => {
                self.set_left(length);
                Ok(length)
            }
            _ => Err(self.source.damaged(format!("a chunk has the length {length}"))),
        }
    }

    fn set_left(&mut self, now: u32) {
        if let State::Table { left } | State::LargeObject { left } = &mut self.state {
            *left = now;
        }
    }

    fn misused(&self, action: &str) -> Error {
        Error::internal(format!("could not {action} here"))
            .detail(format!("the reader is in {:?}", self.state))
    }
}
