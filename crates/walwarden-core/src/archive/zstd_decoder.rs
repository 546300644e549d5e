//! Decompresses zstd frames.

use std::io::Read;

use zstd_safe::{DCtx, InBuffer, OutBuffer, get_error_name};

use super::payload::Payload;
use super::reader::ArchiveReader;
use crate::error::{Error, ErrorClass, Result};

/// The frames of one stream being decompressed.
///
/// A window above 128 MiB is refused by zstd, as in pg_restore.
pub(super) struct ZstdDecoder {
    zstd: DCtx<'static>,
    payload: Payload,
    /// A frame has begun and not ended.
    in_frame: bool,
}

impl ZstdDecoder {
    pub(super) fn new() -> Result<Self> {
        let zstd = DCtx::try_create().ok_or_else(|| {
            Error::new(ErrorClass::Resources, "could not begin to decompress").detail("out of memory")
        })?;
        Ok(Self { zstd, payload: Payload::new(), in_frame: false })
    }

    /// Reads some of the content; 0 is its end.
    pub(super) fn read<R: Read>(
        &mut self,
        reader: &mut ArchiveReader<R>,
        buffer: &mut [u8],
    ) -> Result<usize> {
        loop {
            self.payload.fill(reader)?;
            if self.payload.has_ended() && !self.in_frame {
                return Ok(0);
            }
            // Without input it gives what did not fit the buffer before.
            let mut input = InBuffer::around(self.payload.unused());
            let mut output = OutBuffer::around(&mut *buffer);
            let result = self.zstd.decompress_stream(&mut output, &mut input);
            let (taken, given) = (input.pos(), output.pos());
            self.payload.take(taken);
            match result {
                Ok(0) => {
                    self.in_frame = false;
                    // pg_restore drops the rest of the chunk.
                    if !self.payload.unused().is_empty() || !reader.at_chunk_end() {
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
            if self.payload.has_ended() && self.in_frame {
                return Err(reader.damaged("a compressed stream ends too early"));
            }
        }
    }
}
