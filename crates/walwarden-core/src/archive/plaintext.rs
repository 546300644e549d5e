//! The content of one block or large object, decompressed while it is read.

use std::io::Read;

use flate2::{Decompress, FlushDecompress, Status};

use super::compression::Algorithm;
use super::reader::ArchiveReader;
use crate::error::{Error, ErrorClass, Result};

/// How many compressed bytes are taken at once.
const INPUT_LENGTH: usize = 64 * 1024;

/// What stands between the stored bytes and the plaintext.
enum Decoder {
    None,
    Gzip(Box<Inflate>),
}

/// Decompresses one table or one large object.
///
/// The content is proven only when a read returned 0: then the compressed stream was complete, its checksum
/// was right, and nothing followed it.
pub struct BlockPlaintext<'r, R> {
    reader: &'r mut ArchiveReader<R>,
    decoder: Decoder,
    ended: bool,
}

impl<'r, R: Read> BlockPlaintext<'r, R> {
    pub(super) fn new(reader: &'r mut ArchiveReader<R>) -> Result<Self> {
        let decoder = match reader.algorithm() {
            Algorithm::None => Decoder::None,
            Algorithm::Gzip => Decoder::Gzip(Box::new(Inflate::new())),
            other @ (Algorithm::Lz4 | Algorithm::Zstd) => {
                return Err(Error::new(ErrorClass::Archive, "could not decompress the archive")
                    .detail(format!("{} is not supported", other.name())));
            }
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

/// A zlib stream being decompressed.
struct Inflate {
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
    fn new() -> Self {
        Self {
            zlib: Decompress::new(true),
            input: vec![0; INPUT_LENGTH],
            unused: 0..0,
            input_ended: false,
            complete: false,
        }
    }

    fn read<R: Read>(&mut self, reader: &mut ArchiveReader<R>, buffer: &mut [u8]) -> Result<usize> {
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
