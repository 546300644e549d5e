//! Encodes one piece of a table: COPY rows in, framed chunks out.

use super::chunk::Chunk;
use super::compression::Compression;
use super::deflate::Deflate;
use super::lz4_encoder::Lz4Encoder;
use super::zstd_encoder::ZstdEncoder;
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
/// on how its text was cut into writes.
pub struct PieceEncoder {
    codec: Codec,
    chunk: Chunk,
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
        let codec = match compression {
            Compression::None => Codec::None,
            Compression::Gzip { level } => Codec::Gzip(Deflate::new(level)),
            Compression::Lz4 => Codec::Lz4(Lz4Encoder::new()),
            Compression::Zstd { level } => Codec::Zstd(ZstdEncoder::new(level)),
        };
        Self { codec, chunk: Chunk::new(), raw_length: 0 }
    }

    /// Takes some of the piece's COPY text and appends the chunks that became full to `out`. Single rows are
    /// taken, many at once are cheaper.
    pub fn write(&mut self, rows: &[u8], out: &mut Vec<u8>) -> Result<()> {
        self.raw_length += rows.len() as u64;
        match &mut self.codec {
            Codec::None => {
                self.chunk.fill_from(rows, out);
                Ok(())
            }
            Codec::Gzip(deflate) => deflate.write(rows, &mut self.chunk, out),
            Codec::Lz4(lz4) => lz4.write(rows, &mut self.chunk, out),
            Codec::Zstd(zstd) => zstd.write(rows, &mut self.chunk, out),
        }
    }

    /// Ends the piece, which held so many rows: appends its last chunk to `out` and is ready for the next
    /// piece. A piece without text appends nothing.
    pub fn finish(&mut self, rows: u64, out: &mut Vec<u8>) -> Result<PieceSummary> {
        let mut adler32 = ADLER32_OF_NOTHING;
        if self.raw_length > 0 {
            match &mut self.codec {
                Codec::None => {}
                Codec::Gzip(deflate) => adler32 = deflate.finish(&mut self.chunk, out)?,
                Codec::Lz4(lz4) => lz4.finish(&mut self.chunk, out)?,
                Codec::Zstd(zstd) => zstd.finish(&mut self.chunk, out)?,
            }
        }
        self.chunk.emit(out);
        let (length, sha256) = self.chunk.finish();
        Ok(PieceSummary { raw_length: std::mem::take(&mut self.raw_length), rows, adler32, length, sha256 })
    }

    /// Forgets an unfinished piece: what it appended so far is worthless. It is needed after an error too.
    pub fn reset(&mut self) {
        match &mut self.codec {
            Codec::None => {}
            Codec::Gzip(deflate) => deflate.reset(),
            Codec::Lz4(lz4) => lz4.reset(),
            Codec::Zstd(zstd) => zstd.reset(),
        }
        self.chunk.clear();
        self.raw_length = 0;
    }
}
