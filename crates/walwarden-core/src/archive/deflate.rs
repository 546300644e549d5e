//! A piece of a zlib stream.

use flate2::{Compress, FlushCompress, Status};
use simd_adler32::Adler32;

use super::chunk::Chunk;
use crate::error::{Error, Result};

/// Text is compressed in slices of this length.
pub(super) const SLICE_LENGTH: usize = 64 * 1024;

/// Compresses pieces to raw deflate that ends on a byte boundary and refers to nothing before it. What
/// stands around the pieces is [`super::stream`]'s part.
pub(super) struct Deflate {
    level: flate2::Compression,
    /// The present piece's compressor, made when its first slice is full.
    ///
    /// Each piece has its own: a used one still holds the old text in its window, which has changed what it
    /// finds before (zlib-rs issue 459), and resetting it in the middle of a piece leaves the open block of level
    /// 1 (zlib-rs 0.6.8).
    zlib: Option<Compress>,
    adler32: Adler32,
}

impl Deflate {
    /// A compressor for this level, 1 to 9.
    pub(super) fn new(level: i32) -> Self {
        let level = flate2::Compression::new(level.unsigned_abs());
        Self { level, zlib: None, adler32: Adler32::new() }
    }

    /// Takes a slice of the piece's text.
    pub(super) fn write(&mut self, slice: &[u8], chunk: &mut Chunk, out: &mut Vec<u8>) -> Result<()> {
        self.adler32.write(slice);
        deflate(self.zlib.get_or_insert_with(|| raw(self.level)), slice, chunk, out)
    }

    /// Ends the piece with the rest of its text, less than a slice, and tells its Adler-32.
    pub(super) fn finish(&mut self, rest: &[u8], chunk: &mut Chunk, out: &mut Vec<u8>) -> Result<u32> {
        let mut zlib = self.zlib.take().unwrap_or_else(|| raw(self.level));
        self.adler32.write(rest);
        deflate(&mut zlib, rest, chunk, out)?;
        full_flush(&mut zlib, chunk, out)?;
        Ok(std::mem::take(&mut self.adler32).finish())
    }

    /// Forgets an unfinished piece.
    pub(super) fn reset(&mut self) {
        self.zlib = None;
        self.adler32 = Adler32::new();
    }
}

/// A compressor without the zlib header: the pieces of a stream share one.
fn raw(level: flate2::Compression) -> Compress {
    Compress::new(level, false)
}

/// Takes `text` compressed; some of it stays inside the compressor.
fn deflate(zlib: &mut Compress, mut text: &[u8], chunk: &mut Chunk, out: &mut Vec<u8>) -> Result<()> {
    while !text.is_empty() {
        let taken = step(zlib, text, FlushCompress::None, chunk)?;
        text = &text[taken..];
        chunk.emit_if_full(out);
    }
    Ok(())
}

/// Gets everything out of the compressor, up to a byte boundary (Z_FULL_FLUSH).
fn full_flush(zlib: &mut Compress, chunk: &mut Chunk, out: &mut Vec<u8>) -> Result<()> {
    loop {
        step(zlib, &[], FlushCompress::Full, chunk)?;
        // zlib has more to say only if it used up all the room.
        if !chunk.is_full() {
            return Ok(());
        }
        chunk.emit(out);
    }
}

/// One call of the compressor; returns how much of `text` it took.
fn step(zlib: &mut Compress, text: &[u8], flush: FlushCompress, chunk: &mut Chunk) -> Result<usize> {
    let (taken_before, given_before) = (zlib.total_in(), zlib.total_out());
    let status = zlib
        .compress(text, chunk.room(), flush)
        .map_err(|error| Error::internal("could not compress").detail(error.to_string()))?;
    let taken = (zlib.total_in() - taken_before) as usize;
    let given = (zlib.total_out() - given_before) as usize;
    chunk.filled(given);
    match status {
        Status::Ok => {}
        // Nothing left to do; for text it would mean standing still.
        Status::BufError if text.is_empty() || taken > 0 || given > 0 => {}
        Status::BufError | Status::StreamEnd => {
            return Err(Error::internal("could not compress").detail(format!("zlib returned {status:?}")));
        }
    }
    Ok(taken)
}
