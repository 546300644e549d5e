//! Decompresses LZ4 frames.

use std::hash::Hasher;
use std::io::Read;

use lz4_flex::block::{decompress_into, decompress_into_with_dict};
use twox_hash::XxHash32;

use super::lz4_format::{
    BLOCK_CHECKSUMS, CONTENT_CHECKSUM, CONTENT_LENGTH, INDEPENDENT_BLOCKS, MAGIC, STORED, VERSION, checksum,
    header_checksum, running_checksum,
};
use super::reader::ArchiveReader;
use crate::error::Result;

/// How far back a block may refer to those before it.
const HISTORY_LENGTH: usize = 64 * 1024;

/// The frames of one stream being decompressed: ours and pg_dump's own, whose blocks refer to each other.
#[derive(Default)]
pub(super) struct Lz4Decoder {
    /// The frame being read.
    frame: Option<Frame>,
    /// A block as it is stored.
    stored: Vec<u8>,
    /// The last block's content, in a buffer that fits the largest one.
    content: Vec<u8>,
    /// What of `content` was not given yet.
    ready: std::ops::Range<usize>,
    /// The end of the frame's content before the present block, for blocks that refer to it.
    history: Vec<u8>,
}

/// What a frame's header says, and the content so far.
struct Frame {
    flags: u8,
    /// Bytes of content in a block at most.
    block_length: usize,
    /// Bytes of content, if the header tells.
    announced: Option<u64>,
    length: u64,
    checksum: XxHash32,
}

impl Frame {
    fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

impl Lz4Decoder {
    /// Reads some of the content; 0 is its end.
    pub(super) fn read<R: Read>(
        &mut self,
        reader: &mut ArchiveReader<R>,
        buffer: &mut [u8],
    ) -> Result<usize> {
        while self.ready.is_empty() {
            match self.frame.take() {
                None => match begin_frame(reader)? {
                    Some(frame) => {
                        self.content.resize(frame.block_length, 0);
                        self.history.clear();
                        self.frame = Some(frame);
                    }
                    None => return Ok(0),
                },
                Some(frame) => self.frame = self.read_block(frame, reader)?,
            }
        }
        let given = self.ready.len().min(buffer.len());
        buffer[..given].copy_from_slice(&self.content[self.ready.start..][..given]);
        self.ready.start += given;
        Ok(given)
    }

    /// Makes the next block ready and gives the frame back, unless it ended.
    fn read_block<R: Read>(
        &mut self,
        mut frame: Frame,
        reader: &mut ArchiveReader<R>,
    ) -> Result<Option<Frame>> {
        let header = number(reader)?;
        if header == 0 {
            return end_frame(frame, reader).map(|()| None);
        }
        let length = (header & !STORED) as usize;
        if length > frame.block_length {
            return Err(reader.damaged(&format!("a compressed block has {length} bytes")));
        }
        self.stored.resize(length, 0);
        exact(reader, &mut self.stored)?;
        if frame.has(BLOCK_CHECKSUMS) && number(reader)? != checksum(&self.stored) {
            return Err(reader.damaged("a compressed block does not match its checksum"));
        }
        let given = if header & STORED != 0 {
            self.content[..length].copy_from_slice(&self.stored);
            Ok(length)
        } else if self.history.is_empty() {
            decompress_into(&self.stored, &mut self.content)
        } else {
            decompress_into_with_dict(&self.stored, &mut self.content, &self.history)
        };
        let given =
            given.map_err(|error| reader.damaged(&format!("a compressed block is damaged ({error})")))?;
        let content = &self.content[..given];
        frame.length += given as u64;
        if frame.has(CONTENT_CHECKSUM) {
            frame.checksum.write(content);
        }
        if !frame.has(INDEPENDENT_BLOCKS) {
            keep_last(&mut self.history, content);
        }
        self.ready = 0..given;
        Ok(Some(frame))
    }
}

/// Appends `content` and keeps what the next block may refer to.
fn keep_last(history: &mut Vec<u8>, content: &[u8]) {
    let content = &content[content.len().saturating_sub(HISTORY_LENGTH)..];
    let too_long = (history.len() + content.len()).saturating_sub(HISTORY_LENGTH);
    history.drain(..too_long);
    history.extend_from_slice(content);
}

/// Reads a frame's header, or finds the end of the stream.
fn begin_frame<R: Read>(reader: &mut ArchiveReader<R>) -> Result<Option<Frame>> {
    let mut magic = MAGIC;
    if reader.read_payload(&mut magic[..1])? == 0 {
        return Ok(None);
    }
    exact(reader, &mut magic[1..])?;
    // The flags, the block length's code, the content's length, the checksum.
    let mut descriptor = [0; 2 + 8 + 1];
    exact(reader, &mut descriptor[..2])?;
    let [flags, code, ..] = descriptor;
    let known = VERSION | INDEPENDENT_BLOCKS | BLOCK_CHECKSUMS | CONTENT_LENGTH | CONTENT_CHECKSUM;
    if magic != MAGIC
        || flags & !known != 0
        || flags & VERSION == 0
        || code & 0b1000_1111 != 0
        || code < 4 << 4
    {
        return Err(reader.damaged("a compressed stream does not go on with an LZ4 frame"));
    }
    let end = if flags & CONTENT_LENGTH != 0 { 2 + 8 } else { 2 };
    exact(reader, &mut descriptor[2..=end])?;
    if header_checksum(&descriptor[..end]) != descriptor[end] {
        return Err(reader.damaged("the header of a compressed frame does not match its checksum"));
    }
    let [_, _, length @ .., _] = descriptor;
    Ok(Some(Frame {
        flags,
        // 64 KiB, 256 KiB, 1 MiB or 4 MiB.
        block_length: 1 << (8 + 2 * (code >> 4)),
        announced: (flags & CONTENT_LENGTH != 0).then(|| u64::from_le_bytes(length)),
        length: 0,
        checksum: running_checksum(),
    }))
}

/// Checks what the frame says of its content.
fn end_frame<R: Read>(frame: Frame, reader: &mut ArchiveReader<R>) -> Result<()> {
    if frame.has(CONTENT_CHECKSUM) && number(reader)? != frame.checksum.finish_32() {
        return Err(reader.damaged("the content of a compressed frame does not match its checksum"));
    }
    match frame.announced {
        Some(announced) if announced != frame.length => Err(reader.damaged(&format!(
            "a compressed frame has {} bytes of content instead of {announced}",
            frame.length
        ))),
        _ => Ok(()),
    }
}

/// Reads a number of four bytes.
fn number<R: Read>(reader: &mut ArchiveReader<R>) -> Result<u32> {
    let mut bytes = [0; 4];
    exact(reader, &mut bytes)?;
    Ok(u32::from_le_bytes(bytes))
}

/// Fills `bytes` from the stored bytes, regardless of chunks.
fn exact<R: Read>(reader: &mut ArchiveReader<R>, bytes: &mut [u8]) -> Result<()> {
    let mut filled = 0;
    while filled < bytes.len() {
        match reader.read_payload(&mut bytes[filled..])? {
            0 => return Err(reader.damaged("a compressed stream ends too early")),
            length => filled += length,
        }
    }
    Ok(())
}
