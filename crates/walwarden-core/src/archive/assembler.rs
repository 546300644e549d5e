//! Builds an archive as one ordered stream of bytes.
//!
//! The assembler hands out the small parts (table of contents, framing, trailers) and keeps the running
//! offset. The pieces' own bytes never pass through it: the caller forwards them and says how many they were.
//! It insists on the order of the table of contents and on a block for every entry that has data, because an
//! archive without that restores with data missing.

use std::collections::VecDeque;

use super::adler32::adler32_combine;
use super::compression::Compression;
use super::piece::{ADLER32_OF_NOTHING, PieceSummary};
use super::primitive::{int, oid as oid_bytes};
use super::reader::{BLOCK_LARGE_OBJECTS, BLOCK_TABLE_DATA};
use super::statement::TERMINATOR;
use super::stream;
use super::toc::{OffsetState, Toc, desc};
use crate::error::{Error, ErrorClass, Result};

/// Where a piece lies in the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PieceIndex {
    /// Archive offset of its first chunk's length.
    pub offset: u64,
    /// Bytes of its framed chunks.
    pub length: u64,
    /// Bytes of COPY text in it.
    pub raw_length: u64,
    /// Rows in it.
    pub rows: u64,
    /// SHA-256 over its framed chunks.
    pub sha256: [u8; 32],
}

/// Where a table's block lies in the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockIndex {
    /// The TOC entry.
    pub dump_id: i32,
    /// Archive offset of the block's type byte.
    pub offset: u64,
    /// Its pieces in order; those without rows take up no bytes and are not listed.
    pub pieces: Vec<PieceIndex>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BlockKind {
    Table,
    LargeObjects,
}

/// The compressed stream being written: a table's or a large object's.
#[derive(Debug)]
struct Stream {
    adler32: u32,
    pieces: Vec<PieceIndex>,
    /// Where the present piece began.
    piece_offset: u64,
}

#[derive(Debug)]
enum State {
    New,
    BetweenBlocks,
    Table { dump_id: i32, offset: u64, stream: Stream },
    LargeObjects,
    LargeObject { stream: Stream },
    Finished,
}

/// An archive being built.
pub struct Assembler {
    compression: Compression,
    state: State,
    /// Bytes of the archive so far.
    offset: u64,
    /// The blocks still to come, in the order of the table of contents.
    expected: VecDeque<(i32, BlockKind)>,
}

impl Assembler {
    /// An assembler of an archive that is compressed like this.
    pub fn new(compression: Compression) -> Self {
        Self { compression, state: State::New, offset: 0, expected: VecDeque::new() }
    }

    /// Bytes of the archive so far, forwarded pieces included.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Begins the archive with its header and table of contents, which must name the same compression and no
    /// offsets.
    pub fn start(&mut self, toc: &Toc) -> Result<Vec<u8>> {
        if !matches!(self.state, State::New) {
            return Err(self.misused("begin an archive"));
        }
        if toc.header.algorithm() != self.compression.algorithm() {
            return Err(Error::internal("could not begin an archive").detail(format!(
                "its header says {}, its data is {}",
                toc.header.algorithm().name(),
                self.compression
            )));
        }
        for entry in &toc.entries {
            // The data will lie elsewhere, and pg_restore believes an offset.
            if entry.data_offset.state == OffsetState::Set {
                return Err(Error::internal("could not begin an archive")
                    .detail(format!("entry {} has an offset already", entry.dump_id)));
            }
            if entry.had_dumper {
                let kind = match entry.desc.as_slice() {
                    desc::TABLE_DATA => BlockKind::Table,
                    desc::BLOBS => BlockKind::LargeObjects,
                    other => {
                        return Err(Error::new(ErrorClass::Archive, "could not begin an archive").detail(
                            format!(
                                "entry {} has data of the unknown kind \"{}\"",
                                entry.dump_id,
                                other.escape_ascii()
                            ),
                        ));
                    }
                };
                self.expected.push_back((entry.dump_id, kind));
            }
        }
        self.state = State::BetweenBlocks;
        let bytes = toc.encode();
        self.advance(bytes.len() as u64)?;
        Ok(bytes)
    }

    /// Begins a table's block: it must be the next one in the table of contents.
    pub fn begin_table(&mut self, dump_id: i32) -> Result<Vec<u8>> {
        let offset = self.offset;
        let mut bytes = self.begin_block(dump_id, BlockKind::Table)?;
        stream::opening(self.compression, &mut bytes);
        self.advance(bytes.len() as u64)?;
        self.state = State::Table { dump_id, offset, stream: self.new_stream() };
        Ok(bytes)
    }

    /// Says that so many bytes of the present piece went out.
    pub fn piece_bytes(&mut self, length: u64) -> Result<()> {
        if self.stream().is_none() {
            return Err(self.misused("take a piece"));
        }
        self.advance(length)
    }

    /// Ends the present piece, whose bytes must all have gone out.
    pub fn end_piece(&mut self, summary: &PieceSummary) -> Result<()> {
        let offset = self.offset;
        let Some(stream) = self.stream() else {
            return Err(self.misused("end a piece"));
        };
        let passed = offset - stream.piece_offset;
        if passed != summary.length || (passed == 0) != (summary.raw_length == 0) {
            return Err(Error::internal("could not end a piece").detail(format!(
                "{passed} bytes went out, the piece has {} for {} of text",
                summary.length, summary.raw_length
            )));
        }
        if passed > 0 {
            stream.adler32 = adler32_combine(stream.adler32, summary.adler32, summary.raw_length);
            stream.pieces.push(PieceIndex {
                offset: stream.piece_offset,
                length: summary.length,
                raw_length: summary.raw_length,
                rows: summary.rows,
                sha256: summary.sha256,
            });
            stream.piece_offset = offset;
        }
        Ok(())
    }

    /// Ends the table's block.
    pub fn end_table(&mut self) -> Result<(Vec<u8>, BlockIndex)> {
        if !matches!(self.state, State::Table { .. }) {
            return Err(self.misused("end a table"));
        }
        let bytes = self.end_stream(TERMINATOR)?;
        let State::Table { dump_id, offset, stream } =
            std::mem::replace(&mut self.state, State::BetweenBlocks)
        else {
            return Err(self.misused("end a table"));
        };
        Ok((bytes, BlockIndex { dump_id, offset, pieces: stream.pieces }))
    }

    /// Begins a block of large objects: it must be the next one in the table of contents.
    pub fn begin_large_objects(&mut self, dump_id: i32) -> Result<Vec<u8>> {
        let bytes = self.begin_block(dump_id, BlockKind::LargeObjects)?;
        self.advance(bytes.len() as u64)?;
        self.state = State::LargeObjects;
        Ok(bytes)
    }

    /// Begins a large object; its content comes as pieces, as a table's rows do.
    pub fn begin_large_object(&mut self, oid: u32) -> Result<Vec<u8>> {
        // Oid 0 ends the block.
        if !matches!(self.state, State::LargeObjects) || oid == 0 {
            return Err(self.misused("begin a large object"));
        }
        let mut bytes = oid_bytes(oid).to_vec();
        stream::opening(self.compression, &mut bytes);
        self.advance(bytes.len() as u64)?;
        self.state = State::LargeObject { stream: self.new_stream() };
        Ok(bytes)
    }

    /// Ends the large object.
    pub fn end_large_object(&mut self) -> Result<Vec<u8>> {
        if !matches!(self.state, State::LargeObject { .. }) {
            return Err(self.misused("end a large object"));
        }
        let bytes = self.end_stream(b"")?;
        self.state = State::LargeObjects;
        Ok(bytes)
    }

    /// Ends the block of large objects.
    pub fn end_large_objects(&mut self) -> Result<Vec<u8>> {
        if !matches!(self.state, State::LargeObjects) {
            return Err(self.misused("end the large objects"));
        }
        let bytes = int(0).to_vec();
        self.advance(bytes.len() as u64)?;
        self.state = State::BetweenBlocks;
        Ok(bytes)
    }

    /// Ends the archive, which has no trailer, and tells its length in bytes.
    pub fn finish(&mut self) -> Result<u64> {
        if !matches!(self.state, State::BetweenBlocks) {
            return Err(self.misused("end the archive"));
        }
        if let Some((dump_id, _)) = self.expected.front() {
            return Err(Error::internal("could not end the archive").detail(format!(
                "{} blocks are missing, the first of entry {dump_id}",
                self.expected.len()
            )));
        }
        self.state = State::Finished;
        Ok(self.offset)
    }

    /// The block's type and entry. The state stays: the caller sets it.
    fn begin_block(&mut self, dump_id: i32, kind: BlockKind) -> Result<Vec<u8>> {
        if !matches!(self.state, State::BetweenBlocks) {
            return Err(self.misused("begin a block"));
        }
        match self.expected.front() {
            Some(&next) if next == (dump_id, kind) => self.expected.pop_front(),
            next => {
                return Err(Error::internal("could not begin a block").detail(format!(
                    "it is a {kind:?} of entry {dump_id}, the table of contents goes on with {next:?}"
                )));
            }
        };
        let mut bytes = vec![match kind {
            BlockKind::Table => BLOCK_TABLE_DATA,
            BlockKind::LargeObjects => BLOCK_LARGE_OBJECTS,
        }];
        bytes.extend_from_slice(&int(dump_id));
        Ok(bytes)
    }

    /// The end of the present stream, with `tail` as its last plaintext.
    fn end_stream(&mut self, tail: &[u8]) -> Result<Vec<u8>> {
        let (compression, offset) = (self.compression, self.offset);
        let Some(stream) = self.stream() else {
            return Err(self.misused("end a stream"));
        };
        if stream.piece_offset != offset {
            return Err(Error::internal("could not end a stream").detail("its last piece has no end"));
        }
        let adler32 = adler32_combine(stream.adler32, simd_adler32::adler32(&tail), tail.len() as u64);
        let mut bytes = Vec::new();
        stream::closing(compression, tail, adler32, &mut bytes);
        self.advance(bytes.len() as u64)?;
        Ok(bytes)
    }

    fn new_stream(&self) -> Stream {
        Stream { adler32: ADLER32_OF_NOTHING, pieces: Vec::new(), piece_offset: self.offset }
    }

    fn stream(&mut self) -> Option<&mut Stream> {
        match &mut self.state {
            State::Table { stream, .. } | State::LargeObject { stream } => Some(stream),
            State::New | State::BetweenBlocks | State::LargeObjects | State::Finished => None,
        }
    }

    fn advance(&mut self, length: u64) -> Result<()> {
        self.offset = self
            .offset
            .checked_add(length)
            .ok_or_else(|| Error::internal("could not assemble the archive").detail("it is too long"))?;
        Ok(())
    }

    fn misused(&self, action: &str) -> Error {
        let state = match &self.state {
            State::New => "not begun",
            State::BetweenBlocks => "between blocks",
            State::Table { .. } => "in a table",
            State::LargeObjects => "between large objects",
            State::LargeObject { .. } => "in a large object",
            State::Finished => "finished",
        };
        Error::internal(format!("could not {action} here")).detail(format!("the archive is {state}"))
    }
}
