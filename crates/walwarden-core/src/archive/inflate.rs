//! Decompresses a zlib stream.

use std::io::Read;

use flate2::{Decompress, FlushDecompress, Status};

use super::payload::Payload;
use super::reader::ArchiveReader;
use crate::error::Result;

/// A zlib stream being decompressed.
pub(super) struct Inflate {
    zlib: Decompress,
    payload: Payload,
    /// The zlib stream is complete, its checksum included.
    complete: bool,
}

impl Inflate {
    pub(super) fn new() -> Self {
        Self { zlib: Decompress::new(true), payload: Payload::new(), complete: false }
    }

    /// Reads some of the content; 0 is its end, proven by the checksum.
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
