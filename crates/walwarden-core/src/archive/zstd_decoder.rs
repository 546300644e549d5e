//! Decompresses zstd frames.

use std::io::Read;
use std::ops::Range;

use zstd_safe::{DCtx, InBuffer, OutBuffer, get_error_name};

use super::reader::ArchiveReader;
use crate::error::{Error, ErrorClass, Result};

/// How many compressed bytes are taken at once.
const INPUT_LENGTH: usize = 64 * 1024;

/// The frames of one stream being decompressed.
///
/// A window above 128 MiB is refused by zstd, as in pg_restore.
pub(super) struct ZstdDecoder {
    zstd: DCtx<'static>,
    input: Vec<u8>,
    /// What of `input` is still to be used.
    unused: Range<usize>,
    /// The stored bytes are used up.
    input_ended: bool,
    /// A frame has begun and not ended.
    in_frame: bool,
}

impl ZstdDecoder {
    pub(super) fn new() -> Result<Self> {
        let zstd = DCtx::try_create().ok_or_else(|| {
            Error::new(ErrorClass::Resources, "could not begin to decompress").detail("out of memory")
        })?;
        Ok(Self { zstd, input: vec![0; INPUT_LENGTH], unused: 0..0, input_ended: false, in_frame: false })
    }

    /// Reads some of the content; 0 is its end.
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
            if self.input_ended && !self.in_frame {
                return Ok(0);
            }
            // Without input it gives what did not fit the buffer before.
            let mut input = InBuffer::around(&self.input[self.unused.clone()]);
            let mut output = OutBuffer::around(&mut *buffer);
            let result = self.zstd.decompress_stream(&mut output, &mut input);
            let given = output.pos();
            self.unused.start += input.pos();
            match result {
                Ok(0) => {
                    self.in_frame = false;
                    // pg_restore drops the rest of the chunk.
                    if !self.unused.is_empty() || !reader.at_chunk_end() {
                        return Err(reader.damaged("a compressed frame ends before its chunk does"));
                    }
                }
                Ok(_) => self.in_frame = true,
                Err(code) => {
                    let seen = format!("a compressed stream is damaged ({})", get_error_name(code));
                    return Err(reader.damaged(&seen));
                }
            }
            if given > 0 {
                return Ok(given);
            }
            if self.input_ended && self.in_frame {
                return Err(reader.damaged("a compressed stream ends too early"));
            }
        }
    }
}
