//! A piece as one LZ4 frame.

use std::hash::Hasher;

use lz4_flex::block::{compress_into, get_maximum_output_size};
use twox_hash::XxHash32;

use super::chunk::Chunk;
use super::lz4_format::{
    BLOCK_LENGTH, CONTENT_CHECKSUM, END_MARK, INDEPENDENT_BLOCKS, STORED, header, running_checksum,
};
use crate::error::{Error, Result};

/// Compresses pieces to one frame each, of independent blocks, with the checksum of the content at its end.
pub(super) struct Lz4Encoder {
    /// Room for one compressed block.
    compressed: Box<[u8]>,
    checksum: XxHash32,
    /// The frame's header is written.
    begun: bool,
}

impl Lz4Encoder {
    pub(super) fn new() -> Self {
        Self {
            compressed: vec![0; get_maximum_output_size(BLOCK_LENGTH)].into_boxed_slice(),
            checksum: running_checksum(),
            begun: false,
        }
    }

    /// Takes a block of the piece's text.
    pub(super) fn write(&mut self, block: &[u8], chunk: &mut Chunk, out: &mut Vec<u8>) -> Result<()> {
        begin(&mut self.begun, chunk, out);
        self.checksum.write(block);
        put_block(block, &mut self.compressed, chunk, out)
    }

    /// Ends the piece with the rest of its text, less than a block. pg_restore reads any number of frames, wherever they end
    /// (compress_lz4.c: ReadDataFromArchiveLZ4).
    pub(super) fn finish(&mut self, rest: &[u8], chunk: &mut Chunk, out: &mut Vec<u8>) -> Result<()> {
        begin(&mut self.begun, chunk, out);
        if !rest.is_empty() {
            self.checksum.write(rest);
            put_block(rest, &mut self.compressed, chunk, out)?;
        }
        chunk.fill_from(&END_MARK, out);
        chunk.fill_from(&self.checksum.finish_32().to_le_bytes(), out);
        self.reset();
        Ok(())
    }

    /// Forgets the piece.
    pub(super) fn reset(&mut self) {
        self.checksum = running_checksum();
        self.begun = false;
    }
}

/// Writes the frame's header before its first block.
fn begin(begun: &mut bool, chunk: &mut Chunk, out: &mut Vec<u8>) {
    if !std::mem::replace(begun, true) {
        chunk.fill_from(&header(INDEPENDENT_BLOCKS | CONTENT_CHECKSUM), out);
    }
}

/// Writes a block of at most [`BLOCK_LENGTH`] bytes, compressed if that makes it shorter.
fn put_block(block: &[u8], compressed: &mut [u8], chunk: &mut Chunk, out: &mut Vec<u8>) -> Result<()> {
    let length = compress_into(block, compressed)
        .map_err(|error| Error::internal("could not compress").detail(error.to_string()))?;
    if length < block.len() {
        chunk.fill_from(&(length as u32).to_le_bytes(), out);
        chunk.fill_from(&compressed[..length], out);
    } else {
        chunk.fill_from(&(block.len() as u32 | STORED).to_le_bytes(), out);
        chunk.fill_from(block, out);
    }
    Ok(())
}
