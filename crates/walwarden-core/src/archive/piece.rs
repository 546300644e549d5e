//! Encodes one piece of a table: COPY rows in, framed chunks out.

use super::chunk::{CHUNK_LENGTH, Chunk};
use super::compression::Compression;
use super::deflate::{self, Deflate};
use super::lz4_encoder::Lz4Encoder;
use super::lz4_format::BLOCK_LENGTH;
use super::zstd_encoder::{self, ZstdEncoder};
use crate::error::Result;

/// The Adler-32 of nothing.
pub(super) const ADLER32_OF_NOTHING: u32 = 1;

/// What a finished piece is, for the assembler and the manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PieceSummary {
    /// Bytes of COPY text.
    pub raw_length: u64,
    /// Rows in it.
    pub rows: u64,
    /// Adler-32 of the COPY text with gzip, whose stream ends with it; 1 with every other compression.
    pub adler32: u32,
    /// Bytes of the framed chunks: what the piece takes up in the archive.
    pub length: u64,
    /// SHA-256 over the framed chunks.
    pub sha256: [u8; 32],
}

/// Encodes pieces one after the other, reusing its buffers.
///
/// No piece knows whether it is the last one: it ends so that another one, or the end of the stream, may
/// follow. A piece's bytes depend on its text and the compression alone: not on the pieces before it, and not
/// on how its text arrived.
pub struct PieceEncoder {
    codec: Codec,
    /// A compressor's output may depend on where its input was cut, so the text is cut into slices of this many bytes.
    slice: usize,
    /// Text that is not compressed yet, behind some that is.
    text: Vec<u8>,
    /// So much at the begin of `text` is compressed: 0 unless there is another slice behind it.
    taken: usize,
    chunk: Chunk,
    /// Bytes of the piece that are compressed.
    raw_length: u64,
}

enum Codec {
    None,
    Gzip(Deflate),
    Lz4(Lz4Encoder),
    Zstd(ZstdEncoder),
}

impl PieceEncoder {
    /// An encoder at the begin of its first piece.
    pub fn new(compression: Compression) -> Self {
        let (codec, slice) = match compression {
            Compression::None => (Codec::None, CHUNK_LENGTH),
            Compression::Gzip { level } => (Codec::Gzip(Deflate::new(level)), deflate::SLICE_LENGTH),
            Compression::Lz4 => (Codec::Lz4(Lz4Encoder::new()), BLOCK_LENGTH),
            Compression::Zstd { level } => (Codec::Zstd(ZstdEncoder::new(level)), zstd_encoder::FRAME_LENGTH),
        };
        Self { codec, slice, text: Vec::new(), taken: 0, chunk: Chunk::new(), raw_length: 0 }
    }

    /// Where the piece's COPY text is appended to, and only that.
    #[inline]
    pub fn text(&mut self) -> &mut Vec<u8> {
        &mut self.text
    }

    /// Whether there is enough text for [`Self::compress`] to do anything.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.text.len() - self.taken >= self.slice
    }

    /// Bytes of COPY text that the piece has so far.
    #[inline]
    pub fn raw_length(&self) -> u64 {
        self.raw_length + (self.text.len() - self.taken) as u64
    }

    /// Compresses a slice of the text if there is one, appends the chunks that became full to `out`, and tells the slice's
    /// length. To be called while the encoder [is full](Self::is_full).
    pub fn compress(&mut self, out: &mut Vec<u8>) -> Result<usize> {
        let Some(slice) = self.text.get(self.taken..self.taken + self.slice) else { return Ok(0) };
        self.codec.write(slice, &mut self.chunk, out)?;
        self.taken += self.slice;
        self.raw_length += self.slice as u64;
        if !self.is_full() {
            self.text.drain(..self.taken);
            self.taken = 0;
            // A value may have been of any width.
            self.text.shrink_to(2 * self.slice);
        }
        Ok(self.slice)
    }

    /// Takes some of the piece's COPY text and appends the chunks that became full to `out`. Single rows are
    /// taken, many at once are cheaper.
    pub fn write(&mut self, rows: &[u8], out: &mut Vec<u8>) -> Result<()> {
        for part in rows.chunks(self.slice) {
            self.text.extend_from_slice(part);
            while self.is_full() {
                self.compress(out)?;
            }
        }
        Ok(())
    }

    /// Ends the piece, which held so many rows: appends its last chunk to `out` and is ready for the next
    /// piece. A piece without text appends nothing.
    pub fn finish(&mut self, rows: u64, out: &mut Vec<u8>) -> Result<PieceSummary> {
        while self.is_full() {
            self.compress(out)?;
        }
        let raw_length = self.raw_length();
        let mut adler32 = ADLER32_OF_NOTHING;
        if raw_length > 0 {
            match &mut self.codec {
                Codec::None => self.chunk.fill_from(&self.text, out),
                Codec::Gzip(deflate) => adler32 = deflate.finish(&self.text, &mut self.chunk, out)?,
                Codec::Lz4(lz4) => lz4.finish(&self.text, &mut self.chunk, out)?,
                Codec::Zstd(zstd) => zstd.finish(&self.text, &mut self.chunk, out)?,
            }
        }
        self.chunk.emit(out);
        self.text.clear();
        self.raw_length = 0;
        let (length, sha256) = self.chunk.finish();
        Ok(PieceSummary { raw_length, rows, adler32, length, sha256 })
    }

    /// Forgets an unfinished piece: what it appended so far is worthless. It is needed after an error too.
    pub fn reset(&mut self) {
        match &mut self.codec {
            Codec::None | Codec::Zstd(_) => {}
            Codec::Gzip(deflate) => deflate.reset(),
            Codec::Lz4(lz4) => lz4.reset(),
        }
        self.text.clear();
        self.taken = 0;
        self.chunk.clear();
        self.raw_length = 0;
    }
}

impl Codec {
    fn write(&mut self, slice: &[u8], chunk: &mut Chunk, out: &mut Vec<u8>) -> Result<()> {
        match self {
            Self::None => {
                chunk.fill_from(slice, out);
                Ok(())
            }
            Self::Gzip(deflate) => deflate.write(slice, chunk, out),
            Self::Lz4(lz4) => lz4.write(slice, chunk, out),
            Self::Zstd(zstd) => zstd.write(slice, chunk, out),
        }
    }
}
