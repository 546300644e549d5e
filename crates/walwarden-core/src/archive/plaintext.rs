//! The content of one block or large object, decompressed while it is read.

use std::io::Read;

use super::compression::Algorithm;
use super::inflate::Inflate;
use super::lz4_decoder::Lz4Decoder;
use super::reader::ArchiveReader;
use super::zstd_decoder::ZstdDecoder;
use crate::error::{Error, Result};

/// What stands between the stored bytes and the plaintext.
enum Decoder {
    None,
    Gzip(Box<Inflate>),
    Lz4(Box<Lz4Decoder>),
    Zstd(ZstdDecoder),
}

/// Decompresses one table or one large object.
///
/// The content is proven only when a read returned 0: then the compressed stream was complete, its checksums
/// were right, and nothing followed it.
pub struct BlockPlaintext<'r, R> {
    reader: &'r mut ArchiveReader<R>,
    decoder: Decoder,
    ended: bool,
}

impl<'r, R: Read> BlockPlaintext<'r, R> {
    pub(super) fn new(reader: &'r mut ArchiveReader<R>) -> Result<Self> {
        let decoder = match reader.algorithm() {
            Algorithm::None => Decoder::None,
            Algorithm::Gzip => Decoder::Gzip(Box::new(Inflate::new(reader.is_piece()))),
            Algorithm::Lz4 => Decoder::Lz4(Box::default()),
            Algorithm::Zstd => Decoder::Zstd(ZstdDecoder::new()?),
        };
        Ok(Self { reader, decoder, ended: false })
    }

    /// Reads some of the content; 0 is its end. `buffer` must not be empty.
    pub fn read_some(&mut self, buffer: &mut [u8]) -> Result<usize> {
        if buffer.is_empty() {
            return Err(Error::internal("could not read data into an empty buffer"));
        }
        if self.ended {
            return Ok(0);
        }
        let length = match &mut self.decoder {
            Decoder::None => self.reader.read_payload(buffer)?,
            Decoder::Gzip(inflate) => inflate.read(self.reader, buffer)?,
            Decoder::Lz4(lz4) => lz4.read(self.reader, buffer)?,
            Decoder::Zstd(zstd) => zstd.read(self.reader, buffer)?,
        };
        self.ended = length == 0;
        Ok(length)
    }

    /// Reads the whole content, refusing more than `limit` bytes.
    pub fn read_all(&mut self, limit: usize) -> Result<Vec<u8>> {
        let mut content = Vec::new();
        let mut buffer = [0; 8192];
        loop {
            match self.read_some(&mut buffer)? {
                0 => return Ok(content),
                length if length > limit - content.len() => {
                    return Err(self
                        .reader
                        .damaged(&format!("a block has more than {limit} bytes of content")));
                }
                length => content.extend_from_slice(&buffer[..length]),
            }
        }
    }
}

/// For `std::io`'s adapters; the errors are ours, wrapped.
impl<R: Read> Read for BlockPlaintext<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if buffer.is_empty() { Ok(0) } else { self.read_some(buffer).map_err(std::io::Error::other) }
    }
}
