//! Encodes one piece of a table: COPY rows in, framed chunks out.

use flate2::{Compress, FlushCompress, Status};
use sha2::{Digest, Sha256};
use simd_adler32::Adler32;

use super::compression::Compression;
use super::primitive::{INT_LENGTH, length};
use crate::error::{Error, Result};

/// Bytes of payload in every chunk of a piece but its last.
pub const CHUNK_LENGTH: usize = 256 * 1024;

/// Rows shorter than this are gathered before they are compressed: COPY gives one row at a time, and each
/// call of the compressor and the checksum has its price.
const BATCH_LENGTH: usize = 64 * 1024;

/// What a finished piece is, for the assembler and the manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PieceSummary {
    /// Bytes of COPY text.
    pub raw_length: u64,
    /// Rows in it.
    pub rows: u64,
    /// Adler-32 of the COPY text.
    pub adler32: u32,
    /// Bytes of the framed chunks: what the piece takes up in the archive.
    pub length: u64,
    /// SHA-256 over the framed chunks.
    pub sha256: [u8; 32],
}

/// Encodes pieces one after the other, reusing its buffers.
///
/// No piece knows whether it is the last one: it ends so that another one, or the end of the stream, may
/// follow.
pub struct PieceEncoder {
    codec: Codec,
    chunk: Chunk,
    raw_length: u64,
    adler32: Adler32,
}

enum Codec {
    None,
    Gzip {
        level: flate2::Compression,
        deflate: Compress,
        /// Rows not compressed yet, fewer than [`BATCH_LENGTH`].
        batch: Vec<u8>,
    },
}

impl PieceEncoder {
    /// An encoder at the begin of its first piece.
    pub fn new(compression: Compression) -> Self {
        let codec = match compression {
            Compression::None => Codec::None,
            Compression::Gzip { level } => {
                let level = flate2::Compression::new(level);
                Codec::Gzip { level, deflate: raw_deflate(level), batch: Vec::with_capacity(BATCH_LENGTH) }
            }
        };
        Self { codec, chunk: Chunk::new(), raw_length: 0, adler32: Adler32::new() }
    }

    /// Takes some of the piece's COPY text and appends the chunks that became full to `out`.
    pub fn write(&mut self, rows: &[u8], out: &mut Vec<u8>) -> Result<()> {
        self.raw_length += rows.len() as u64;
        match &mut self.codec {
            Codec::None => {
                self.adler32.write(rows);
                self.chunk.fill_from(rows, out);
                Ok(())
            }
            Codec::Gzip { deflate, batch, .. } => {
                if batch.len() + rows.len() < BATCH_LENGTH {
                    batch.extend_from_slice(rows);
                    return Ok(());
                }
                self.adler32.write(batch);
                self.chunk.deflate(deflate, batch, out)?;
                batch.clear();
                if rows.len() < BATCH_LENGTH {
                    batch.extend_from_slice(rows);
                    return Ok(());
                }
                self.adler32.write(rows);
                self.chunk.deflate(deflate, rows, out)
            }
        }
    }

    /// Ends the piece, which held so many rows: appends its last chunk to `out` and is ready for the next
    /// piece. A piece without text appends nothing.
    pub fn finish(&mut self, rows: u64, out: &mut Vec<u8>) -> Result<PieceSummary> {
        if let Codec::Gzip { deflate, batch, .. } = &mut self.codec
            && self.raw_length > 0
        {
            self.adler32.write(batch);
            self.chunk.deflate(deflate, batch, out)?;
            self.chunk.full_flush(deflate, out)?;
            batch.clear();
            deflate.reset();
        }
        self.chunk.emit(out);
        let (length, sha256) = self.chunk.finish();
        let adler32 = std::mem::take(&mut self.adler32).finish();
        Ok(PieceSummary { raw_length: std::mem::take(&mut self.raw_length), rows, adler32, length, sha256 })
    }

    /// Forgets an unfinished piece: what it appended so far is worthless.
    pub fn reset(&mut self) {
        if let Codec::Gzip { level, deflate, batch } = &mut self.codec {
            // A new one: zlib-rs 0.6.8 does not reset the open block of level 1, and the next piece would be
            // garbage. After a full flush, in finish(), no block is open.
            *deflate = raw_deflate(*level);
            batch.clear();
        }
        self.chunk.clear();
        self.raw_length = 0;
        self.adler32 = Adler32::new();
    }
}

/// A compressor without the zlib header: the pieces of a stream share one, written by the assembler.
fn raw_deflate(level: flate2::Compression) -> Compress {
    Compress::new(level, false)
}

/// The chunk being filled, behind room for its length, and the digest of all before it.
struct Chunk {
    bytes: Box<[u8]>,
    /// Payload bytes so far.
    filled: usize,
    /// Bytes of all chunks given away.
    length: u64,
    digest: Sha256,
}

impl Chunk {
    fn new() -> Self {
        Self {
            bytes: vec![0; INT_LENGTH + CHUNK_LENGTH].into_boxed_slice(),
            filled: 0,
            length: 0,
            digest: Sha256::new(),
        }
    }

    fn is_full(&self) -> bool {
        self.filled == CHUNK_LENGTH
    }

    /// Where payload goes next.
    fn room(&mut self) -> &mut [u8] {
        &mut self.bytes[INT_LENGTH + self.filled..]
    }

    /// Gives the chunk away, unless it is empty: a chunk of length 0 would end the block.
    fn emit(&mut self, out: &mut Vec<u8>) {
        if self.filled == 0 {
            return;
        }
        self.bytes[..INT_LENGTH].copy_from_slice(&length(self.filled));
        let framed = &self.bytes[..INT_LENGTH + self.filled];
        self.digest.update(framed);
        self.length += framed.len() as u64;
        out.extend_from_slice(framed);
        self.filled = 0;
    }

    fn emit_if_full(&mut self, out: &mut Vec<u8>) {
        if self.is_full() {
            self.emit(out);
        }
    }

    /// Takes `payload` as it is.
    fn fill_from(&mut self, mut payload: &[u8], out: &mut Vec<u8>) {
        while !payload.is_empty() {
            let taken = payload.len().min(CHUNK_LENGTH - self.filled);
            let (now, later) = payload.split_at(taken);
            self.room()[..taken].copy_from_slice(now);
            self.filled += taken;
            payload = later;
            self.emit_if_full(out);
        }
    }

    /// Takes `plaintext` compressed; some of it stays inside the compressor.
    fn deflate(&mut self, deflate: &mut Compress, mut plaintext: &[u8], out: &mut Vec<u8>) -> Result<()> {
        while !plaintext.is_empty() {
            let taken = self.step(deflate, plaintext, FlushCompress::None)?;
            plaintext = &plaintext[taken..];
            self.emit_if_full(out);
        }
        Ok(())
    }

    /// Gets everything out of the compressor, up to a byte boundary, and makes it forget what it has seen
    /// (Z_FULL_FLUSH), so that the pieces of a stream do not depend on each other.
    fn full_flush(&mut self, deflate: &mut Compress, out: &mut Vec<u8>) -> Result<()> {
        loop {
            self.step(deflate, &[], FlushCompress::Full)?;
            // zlib has more to say only if it used up all the room.
            if !self.is_full() {
                return Ok(());
            }
            self.emit(out);
        }
    }

    /// One call of the compressor; returns how much of `plaintext` it took.
    fn step(&mut self, deflate: &mut Compress, plaintext: &[u8], flush: FlushCompress) -> Result<usize> {
        let (taken_before, given_before) = (deflate.total_in(), deflate.total_out());
        let status = deflate
            .compress(plaintext, self.room(), flush)
            .map_err(|error| Error::internal("could not compress").detail(error.to_string()))?;
        let taken = (deflate.total_in() - taken_before) as usize;
        let given = (deflate.total_out() - given_before) as usize;
        self.filled += given;
        match status {
            Status::Ok => {}
            // Nothing left to do; for text it would mean standing still.
            Status::BufError if plaintext.is_empty() || taken > 0 || given > 0 => {}
            Status::BufError | Status::StreamEnd => {
                return Err(Error::internal("could not compress").detail(format!("zlib returned {status:?}")));
            }
        }
        Ok(taken)
    }

    /// The length and digest of all that was given away; starts anew.
    fn finish(&mut self) -> (u64, [u8; 32]) {
        let sha256 = self.digest.finalize_reset().into();
        (std::mem::take(&mut self.length), sha256)
    }

    fn clear(&mut self) {
        self.filled = 0;
        self.length = 0;
        self.digest.reset();
    }
}
