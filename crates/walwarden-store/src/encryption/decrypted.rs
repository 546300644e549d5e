//! The plain text of an age file, as a blocking stream.

use std::io::{self, Read, Seek, SeekFrom};

use age::stream::StreamReader;
use walwarden_core::Error;

use super::chunks::CHUNK_SIZE;
use super::identities::could_not_decrypt;
use crate::failure::Failure;

/// Decrypts what it reads. Its errors are walwarden's own, inside `std::io`'s: `StorageCorrupt` where a byte was changed or the
/// file ends too early, and those of the reader below as they are.
pub struct Decrypted<R> {
    inner: StreamReader<R>,
    key: String,
    /// The next byte of the plain text.
    position: u64,
}

impl<R> Decrypted<R> {
    /// `key` is the object's key in storage.
    pub(super) fn new(inner: StreamReader<R>, key: &str) -> Self {
        Self { inner, key: key.to_owned(), position: 0 }
    }

    /// The error of a file whose last bytes are missing.
    pub(super) fn ends_early(&self) -> Error {
        let seen = format!("it ends after byte {} of what was encrypted", self.position);
        Failure::corrupt(seen).into_error(could_not_decrypt(&self.key))
    }

    /// What the crate or the reader below says, as an error of ours.
    fn explained(&self, cause: io::Error) -> io::Error {
        if cause.get_ref().is_some_and(|inner| inner.is::<Error>()) {
            return cause;
        }
        if cause.kind() == io::ErrorKind::UnexpectedEof {
            return io::Error::other(self.ends_early());
        }
        let seen = format!(
            "the {} bytes from byte {} of what was encrypted on are not what was written",
            CHUNK_SIZE,
            self.position / CHUNK_SIZE * CHUNK_SIZE
        );
        io::Error::other(Failure::corrupt(seen).into_error(could_not_decrypt(&self.key)))
    }
}

impl<R: Read + Seek> Decrypted<R> {
    /// Go to this byte of the plain text.
    pub(super) fn seek(&mut self, to: u64) -> io::Result<()> {
        self.position = to;
        self.inner.seek(SeekFrom::Start(to)).map(drop).map_err(|cause| self.explained(cause))
    }
}

impl<R: Read> Read for Decrypted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer).map_err(|cause| self.explained(cause))?;
        self.position += length as u64;
        Ok(length)
    }
}
