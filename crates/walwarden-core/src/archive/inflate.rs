//! Decompresses a zlib stream.

use std::io::Read;

use flate2::{Decompress, FlushDecompress, Status};

use super::reader::ArchiveReader;
use crate::error::Result;

/// How many compressed bytes are taken at once.
const INPUT_LENGTH: usize = 64 * 1024;

/// A zlib stream being decompressed.
pub(super) struct Inflate {
    zlib: Decompress,
    input: Vec<u8>,
    /// What of `input` is still to be used.
    unused: std::ops::Range<usize>,
    /// The stored bytes are used up.
    input_ended: bool,
    /// The zlib stream is complete, its checksum included.
    complete: bool,
}

impl Inflate {
    pub(super) fn new() -> Self {
        Self {
            zlib: Decompress::new(true),
            input: vec![0; INPUT_LENGTH],
            unused: 0..0,
            input_ended: false,
            complete: false,
        }
    }

    /// Reads some of the content; 0 is its end, proven by the checksum.
    pub(super) fn read<R: Read>(
        &mut self,
        reader: &mut ArchiveReader<R>,
        buffer: &mut [u8],
    ) -> Result<usize> {
        loop {
            if self.unused.is_empty() && !self.input_ended {
                let length = reader.read_payload(&mut self.input)?;
                self.unused = 0..length;
                self.input_ended = length == 0;
            }
            if self.complete {
                // pg_restore would call inflate() for ever on a second stream.
                let clean = self.input_ended;
                return if clean {
                    Ok(0)
                } else {
                    Err(reader.damaged("a compressed stream goes on after its end"))
                };
            }
            let (taken_before, given_before) = (self.zlib.total_in(), self.zlib.total_out());
            let input = &self.input[self.unused.clone()];
            let status = self.zlib.decompress(input, buffer, FlushDecompress::None);
            let taken = (self.zlib.total_in() - taken_before) as usize;
            let given = (self.zlib.total_out() - given_before) as usize;
            self.unused.start += taken;
            match status {
                Ok(Status::StreamEnd) => self.complete = true,
                Ok(Status::Ok | Status::BufError) if taken > 0 || given > 0 => {}
                Ok(_) if self.input_ended => return Err(reader.damaged("a compressed stream ends too early")),
                Ok(_) if self.unused.is_empty() => {}
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
