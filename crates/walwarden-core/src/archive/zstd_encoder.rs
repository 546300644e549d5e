//! A piece as zstd frames.

use zstd_safe::{CCtx, CParameter, ParamSwitch, compress_bound, get_error_name};

use super::chunk::Chunk;
use crate::error::{Error, ErrorClass, Result};

/// Bytes of text in every frame of a piece but its last.
///
/// Frames compressed in one call each: half as fast again at level 3 as one long frame, which zstd copies into a window
/// of its own, and no larger; and the tables of the highest level are 17 MiB instead of 780.
pub(super) const FRAME_LENGTH: usize = 1 << 20;

/// Compresses pieces to frames with the checksum of their content.
pub(super) struct ZstdEncoder {
    level: i32,
    /// Kept from frame to frame: a frame begins with tables that count as empty, so its bytes do not depend on those
    /// before. (zstd corrects the positions in used tables some GiB later, and not within a frame this short:
    /// ZSTD_indexTooCloseToMax in zstd_compress.c.)
    context: Option<CCtx<'static>>,
    /// Room for one frame.
    frame: Box<[u8]>,
}

impl ZstdEncoder {
    /// A compressor for this level, -7 to 22.
    pub(super) fn new(level: i32) -> Self {
        let frame = vec![0; compress_bound(FRAME_LENGTH)].into_boxed_slice();
        Self { level, context: None, frame }
    }

    /// Takes the text of a frame. The frame's end and the chunk's must be the same: pg_restore drops what follows a frame
    /// in its chunk (compress_zstd.c: ReadDataFromArchiveZstd).
    pub(super) fn write(&mut self, text: &[u8], chunk: &mut Chunk, out: &mut Vec<u8>) -> Result<()> {
        let context = match &mut self.context {
            Some(context) => context,
            none => none.insert(new_context(self.level)?),
        };
        let length = context.compress2(&mut *self.frame, text).map_err(failed)?;
        chunk.emit_all(&self.frame[..length], out);
        Ok(())
    }

    /// Ends the piece with the rest of its text, less than a frame.
    pub(super) fn finish(&mut self, rest: &[u8], chunk: &mut Chunk, out: &mut Vec<u8>) -> Result<()> {
        if rest.is_empty() { Ok(()) } else { self.write(rest, chunk, out) }
    }
}

fn new_context(level: i32) -> Result<CCtx<'static>> {
    let mut context = CCtx::try_create().ok_or_else(|| {
        Error::new(ErrorClass::Resources, "could not begin to compress").detail("out of memory")
    })?;
    context.set_parameter(CParameter::CompressionLevel(level)).map_err(failed)?;
    context.set_parameter(CParameter::ChecksumFlag(true)).map_err(failed)?;
    // Below 0 zstd leaves letters that repeat nothing as they are, and text becomes twice as large as at level 1
    // (ZSTD_literalsCompressionIsDisabled in zstd_compress_internal.h). Shortening them costs little of what is gained.
    context.set_parameter(CParameter::LiteralCompressionMode(ParamSwitch::Enable)).map_err(failed)?;
    Ok(context)
}

fn failed(code: usize) -> Error {
    Error::internal("could not compress").detail(format!("zstd returned \"{}\"", get_error_name(code)))
}
