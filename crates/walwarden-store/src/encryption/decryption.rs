//! What it takes to read any range of an encrypted object: its header, its sizes, and identities that open it.

use std::fmt;
use std::io::{self, BufReader, Read};
use std::ops::Range;

use bytes::Bytes;
use walwarden_core::Result;

use super::chunks::{CHUNK_SIZE, Chunks};
use super::decrypted::Decrypted;
use super::file_key::FileKey;
use super::identities::{Identities, could_not_decrypt};
use super::spliced::Spliced;
use crate::failure::Failure;

/// The headers we write are smaller, with as many recipients as a storage may have.
pub(crate) const MAX_HEADER_SIZE: u64 = 16 << 10;

/// An encrypted object that can be read.
pub(crate) struct Decryption {
    /// Header and nonce, as they are in the object.
    header: Bytes,
    chunks: Chunks,
    file_key: FileKey,
}

impl Decryption {
    /// From the object's first bytes, [`MAX_HEADER_SIZE`] or all of them, and its sizes.
    pub(crate) fn open(
        beginning: Bytes,
        plain: u64,
        stored: u64,
        identities: &Identities,
    ) -> Result<Self, Failure> {
        let mut rest = io::Cursor::new(&beginning);
        let file_key = identities.find_key(&mut rest)?;
        let start = rest.position();
        let chunks = Chunks { start, plain };
        if chunks.file_size() != stored {
            return Err(Failure::corrupt(format!(
                "its header of {start} bytes does not go with {plain} bytes that became {stored}"
            )));
        }
        let header = beginning.slice(..usize::try_from(start).unwrap_or(beginning.len()));
        Ok(Self { header, chunks, file_key })
    }

    /// The bytes of the object that these of the plain text lie in.
    pub(crate) fn sealed(&self, plain: &Range<u64>) -> Range<u64> {
        self.chunks.sealed(plain)
    }

    /// Decrypts these bytes of the plain text, one at least, from a reader of [`Decryption::sealed`] of them, which is not
    /// read before the first byte is asked for.
    pub(crate) fn range<R: Read>(
        &self,
        key: &str,
        plain: Range<u64>,
        sealed: R,
    ) -> Result<DecryptedRange<R>> {
        let failed = |failure: Failure| failure.into_error(could_not_decrypt(key));
        if plain.end > self.chunks.plain {
            return Err(failed(Failure::ends_early(self.chunks.plain, plain.end)));
        }
        let first = self.chunks.sealed(&plain).start;
        let file = self.file_key.open(Spliced::new(self.header.clone(), sealed, first)).map_err(failed)?;
        Ok(DecryptedRange {
            file: Decrypted::new(file, key),
            start: Some(plain.start),
            left: plain.end - plain.start,
        })
    }

    /// Decrypts a reader of the whole object, from its first byte on.
    pub(crate) fn whole<R: Read>(&self, key: &str, object: R) -> Result<Decrypted<BufReader<R>>> {
        let opened = self.file_key.open(BufReader::new(object));
        let file = opened.map_err(|failure| failure.into_error(could_not_decrypt(key)))?;
        Ok(Decrypted::new(file, key))
    }
}

impl fmt::Debug for Decryption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decryption").field("chunks", &self.chunks).finish_non_exhaustive()
    }
}

/// Some of the plain text of an encrypted object, as a blocking stream; its errors are those of [`Decrypted`].
pub(crate) struct DecryptedRange<R> {
    file: Decrypted<Spliced<R>>,
    /// Where to go before the first read.
    start: Option<u64>,
    left: u64,
}

impl<R: Read> Read for DecryptedRange<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        if wanted == 0 {
            return Ok(0);
        }
        if let Some(start) = self.start.take() {
            // Asked for the first byte of a chunk, age would look at the file's last one, to see whether it is its end.
            if start > 0 && start.is_multiple_of(CHUNK_SIZE) {
                self.file.seek(start + 1)?;
            }
            self.file.seek(start)?;
        }
        let length = self.file.read(&mut buffer[..wanted])?;
        if length == 0 {
            return Err(io::Error::other(self.file.ends_early()));
        }
        self.left -= length as u64;
        Ok(length)
    }
}
