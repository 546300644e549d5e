//! Decompresses a zlib stream, or a piece of one.

use std::io::Read;

use flate2::{Decompress, FlushDecompress, Status};

use super::payload::Payload;
use super::reader::ArchiveReader;
use crate::error::Result;

/// A zlib stream being decompressed, or a piece: deflate without zlib's header, last block and checksum.
pub(super) struct Inflate {
    zlib: Decompress,
    payload: Payload,
    is_piece: bool,
    /// The zlib stream is complete, its checksum included.
    complete: bool,
}

impl Inflate {
    pub(super) fn new(is_piece: bool) -> Self {
        Self { zlib: Decompress::new(!is_piece), payload: Payload::new(), is_piece, complete: false }
    }

    /// Reads some of the content; 0 is its end, proven by the checksum unless it is a piece.
    pub(super) fn read<R: Read>(
        &mut self,
        reader: &mut ArchiveReader<R>,
        buffer: &mut [u8],
    ) -> Result<usize> {
        loop {
            self.payload.fill(reader)?;
            if self.complete {
                // pg_restore would call inflate() for ever on a second stream.
                return if self.payload.has_ended() {
                    Ok(0)
                } else {
                    Err(reader.damaged("a compressed stream goes on after its end"))
                };
            }
            let (taken_before, given_before) = (self.zlib.total_in(), self.zlib.total_out());
            let status = self.zlib.decompress(self.payload.unused(), buffer, FlushDecompress::None);
            let taken = (self.zlib.total_in() - taken_before) as usize;
            let given = (self.zlib.total_out() - given_before) as usize;
            self.payload.take(taken);
            match status {
                Ok(Status::StreamEnd) => self.complete = true,
                Ok(Status::Ok | Status::BufError) if taken > 0 || given > 0 => {}
                Ok(_) if self.payload.has_ended() && self.is_piece => return Ok(0),
                Ok(_) if self.payload.has_ended() => {
                    return Err(reader.damaged("a compressed stream ends too early"));
                }
                Ok(_) if self.payload.unused().is_empty() => {}
                Ok(_) => return Err(reader.damaged("a compressed stream does not go on")),
                Err(error) => {
                    return Err(reader.damaged(&format!("a compressed stream is damaged ({error})")));
                }
            }
            if given > 0 {
                return Ok(given);
            }
        }
    }
}
