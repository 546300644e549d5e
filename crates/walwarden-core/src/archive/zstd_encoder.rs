//! A piece as one zstd frame.

use zstd_safe::zstd_sys::ZSTD_EndDirective;
use zstd_safe::{CCtx, CParameter, InBuffer, OutBuffer, get_error_name};

use super::chunk::Chunk;
use crate::error::{Error, ErrorClass, Result};

/// Pieces up to this length are compressed at once. Knowing the length, zstd takes tables that fit it: at
/// level 19 at most 6 MiB instead of 90, for each of a database's many small tables.
const SMALL_LENGTH: usize = 256 * 1024;

/// The highest level that zstd runs with its own tables and window of 8 MiB, together 90 MiB.
const HIGHEST_OWN_LEVEL: i32 = 19;

/// What the levels above take instead: the tables and window of level 19, as powers of two (ZSTD_getCParams).
/// Their own ones are 1.3 GiB for each copier, and as much as 128 MiB for pg_restore.
const LARGEST_TABLES: [CParameter; 3] =
    [CParameter::WindowLog(23), CParameter::ChainLog(24), CParameter::HashLog(22)];

/// Compresses pieces to one frame each, with the checksum of the content at its end.
pub(super) struct ZstdEncoder {
    level: i32,
    /// The begin of the piece, while it may still be a small one.
    small: Vec<u8>,
    /// The present piece's compressor, if the piece is not small.
    ///
    /// Each piece has its own: a used one goes on counting positions and, some GiB later, corrects its tables in
    /// the middle of whatever piece that is (ZSTD_window_correctOverflow). No promise says that the piece's
    /// bytes are the same then. A new one costs half a millisecond at level 3.
    context: Option<CCtx<'static>>,
}

impl ZstdEncoder {
    /// A compressor for this level, 1 to 22.
    pub(super) fn new(level: u32) -> Self {
        Self { level: level.min(i32::MAX as u32) as i32, small: Vec::new(), context: None }
    }

    /// Takes some of the piece's text.
    pub(super) fn write(&mut self, text: &[u8], chunk: &mut Chunk, out: &mut Vec<u8>) -> Result<()> {
        match &mut self.context {
            Some(context) => compress(context, text, chunk, out),
            None if self.small.len() + text.len() <= SMALL_LENGTH => {
                self.small.extend_from_slice(text);
                Ok(())
            }
            None => {
                let context = self.context.insert(context(self.level)?);
                compress(context, &self.small, chunk, out)?;
                self.small.clear();
                compress(context, text, chunk, out)
            }
        }
    }

    /// Ends the piece, which had text. The frame's end and the chunk's must be the same: pg_restore drops what
    /// follows a frame in its chunk (compress_zstd.c: ReadDataFromArchiveZstd).
    pub(super) fn finish(&mut self, chunk: &mut Chunk, out: &mut Vec<u8>) -> Result<()> {
        let mut context = match self.context.take() {
            Some(context) => context,
            None => context(self.level)?,
        };
        end(&mut context, &self.small, chunk, out)?;
        self.small.clear();
        Ok(())
    }

    /// Forgets an unfinished piece.
    pub(super) fn reset(&mut self) {
        self.context = None;
        self.small.clear();
    }
}

fn context(level: i32) -> Result<CCtx<'static>> {
    let mut context = CCtx::try_create().ok_or_else(|| {
        Error::new(ErrorClass::Resources, "could not begin to compress").detail("out of memory")
    })?;
    context.set_parameter(CParameter::CompressionLevel(level)).map_err(failed)?;
    context.set_parameter(CParameter::ChecksumFlag(true)).map_err(failed)?;
    if level > HIGHEST_OWN_LEVEL {
        for parameter in LARGEST_TABLES {
            context.set_parameter(parameter).map_err(failed)?;
        }
    }
    Ok(context)
}

/// Takes `text` compressed; some of it stays inside the compressor. Where `text` was cut does not matter:
/// zstd gathers blocks of its own.
fn compress(context: &mut CCtx, text: &[u8], chunk: &mut Chunk, out: &mut Vec<u8>) -> Result<()> {
    let mut input = InBuffer::around(text);
    while input.pos() < text.len() {
        step(context, &mut input, ZSTD_EndDirective::ZSTD_e_continue, chunk)?;
        chunk.emit_if_full(out);
    }
    Ok(())
}

/// Takes the last of the text and ends the frame.
fn end(context: &mut CCtx, text: &[u8], chunk: &mut Chunk, out: &mut Vec<u8>) -> Result<()> {
    let mut input = InBuffer::around(text);
    loop {
        let left = step(context, &mut input, ZSTD_EndDirective::ZSTD_e_end, chunk)?;
        chunk.emit_if_full(out);
        if left == 0 {
            return Ok(());
        }
    }
}

/// One call of the compressor; for the frame's end it returns a bound of what is left to come, 0 at the end.
fn step(
    context: &mut CCtx,
    input: &mut InBuffer,
    directive: ZSTD_EndDirective,
    chunk: &mut Chunk,
) -> Result<usize> {
    let mut output = OutBuffer::around(chunk.room());
    let left = context.compress_stream2(&mut output, input, directive).map_err(failed)?;
    let given = output.pos();
    chunk.filled(given);
    Ok(left)
}

fn failed(code: usize) -> Error {
    Error::internal("could not compress").detail(format!("zstd returned \"{}\"", get_error_name(code)))
}
