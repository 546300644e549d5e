//! An archive in storage as whoever restores or verifies it sees it: ranges of plain bytes, encrypted or not.

use std::fmt;
use std::io::{self, BufReader, Read};
use std::ops::Range;
use std::sync::Arc;

use walwarden_core::{Error, Result};

use crate::encryption::{Decrypted, DecryptedRange, Decryption, Identities, MAX_HEADER_SIZE};
use crate::object_reader::ObjectReader;
use crate::store::Store;

/// Where an archive is, and what it takes to read it. Clones share it.
#[derive(Debug, Clone)]
pub struct ArchiveSource {
    store: Store,
    key: String,
    decryption: Option<Arc<Decryption>>,
}

/// A range of an archive as a blocking stream. Its errors are walwarden's own, inside `std::io`'s.
///
/// Belongs on a thread that may block. Dropping it stops the reading ahead.
pub struct SourceReader(Form);

enum Form {
    Stored(ObjectReader),
    Encrypted(Box<DecryptedRange<ObjectReader>>),
}

impl ArchiveSource {
    /// An archive that is stored as it is.
    pub fn plain(store: Store, key: String) -> Self {
        Self { store, key, decryption: None }
    }

    /// An archive of `plain` bytes that became `stored` bytes when it was encrypted. Its header is fetched.
    ///
    /// # Errors
    /// The classes of storage; `StorageCorrupt` if it is no age file of these sizes for these identities.
    pub async fn encrypted(
        store: Store,
        key: String,
        plain: u64,
        stored: u64,
        identities: &Identities,
    ) -> Result<Self> {
        let beginning = store.get_range(&key, 0, stored.min(MAX_HEADER_SIZE)).await?;
        let decryption = Decryption::open(beginning, plain, stored, identities)
            .map_err(|failure| store.error(failure, "decrypt", &key))?;
        Ok(Self { store, key, decryption: Some(Arc::new(decryption)) })
    }

    /// Its key in storage.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The bytes of the object that these of the archive lie in.
    pub fn stored_range(&self, range: &Range<u64>) -> Range<u64> {
        match &self.decryption {
            Some(decryption) => decryption.sealed(range),
            None => range.clone(),
        }
    }

    /// A reader of these bytes of the archive. As [`Store::reader`], on a tokio runtime and with as much in memory, besides 128 KiB
    /// for what is being decrypted.
    ///
    /// # Errors
    /// Those of [`Store::reader`]; `StorageCorrupt`, also from the reader, where the object does not decrypt.
    pub fn reader(&self, range: Range<u64>, ahead: usize) -> Result<SourceReader> {
        let stored = self.store.reader(&self.key, self.stored_range(&range), ahead)?;
        Ok(SourceReader(match &self.decryption {
            Some(decryption) if !range.is_empty() => {
                Form::Encrypted(Box::new(decryption.range(&self.key, range, stored)?))
            }
            Some(_) | None => Form::Stored(stored),
        }))
    }

    /// The archive from a reader of all its bytes in storage, if it is encrypted.
    ///
    /// # Errors
    /// As [`ArchiveSource::reader`]. Blocks.
    pub fn decrypt<R: Read>(&self, stored: R) -> Result<Decrypted<BufReader<R>>> {
        let decryption = self
            .decryption
            .as_ref()
            .ok_or_else(|| Error::internal("an archive that is not encrypted was decrypted"))?;
        decryption.whole(&self.key, stored)
    }
}

impl Read for SourceReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.0 {
            Form::Stored(reader) => reader.read(buffer),
            Form::Encrypted(reader) => reader.read(buffer),
        }
    }
}

impl fmt::Debug for SourceReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_encrypted = matches!(self.0, Form::Encrypted(_));
        f.debug_struct("SourceReader").field("is_encrypted", &is_encrypted).finish_non_exhaustive()
    }
}
