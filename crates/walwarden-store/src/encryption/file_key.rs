//! The key of one file. Which of its recipients somebody is, is found out by trying, one multiplication on a curve after the
//! other: once for a file, not once for each range of it.

use std::cell::OnceCell;
use std::io::BufRead;

use age::secrecy::ExposeSecret;
use age::stream::StreamReader;
use age::{DecryptError, Decryptor, Identity};
use age_core::format::{FileKey as Key, Stanza};

use super::refusal;
use crate::failure::Failure;

/// A file's own key. It opens that file alone, and is overwritten in memory when it is dropped.
pub(super) struct FileKey(Key);

impl FileKey {
    /// Reads header and nonce of a file, and gives its key if one of the identities has it.
    pub(super) fn find<'a>(
        file: impl BufRead,
        identities: impl Iterator<Item = &'a dyn Identity>,
    ) -> Result<Self, Failure> {
        let found = OnceCell::new();
        let finders: Vec<_> = identities.map(|identity| Finder { identity, found: &found }).collect();
        let finders = finders.iter().map(|finder| finder as &dyn Identity);
        Decryptor::new_buffered(file)
            .and_then(|file| file.decrypt(finders).map(drop))
            .map_err(refusal::of)?;
        found.into_inner().map(Self).ok_or_else(|| Failure::internal("a file was opened without its key"))
    }

    /// Reads header and nonce of the same file, and gives what decrypts the rest.
    pub(super) fn open<R: BufRead>(&self, file: R) -> Result<StreamReader<R>, Failure> {
        let this: &dyn Identity = self;
        Decryptor::new_buffered(file)
            .and_then(|file| file.decrypt(std::iter::once(this)))
            .map_err(refusal::of)
    }
}

/// Whether it is the right one is told by the authentication of the header.
impl Identity for FileKey {
    fn unwrap_stanza(&self, _stanza: &Stanza) -> Option<Result<Key, DecryptError>> {
        Some(Ok(copy(&self.0)))
    }
}

/// An identity, and the place for what it finds.
struct Finder<'a> {
    identity: &'a dyn Identity,
    found: &'a OnceCell<Key>,
}

impl Identity for Finder<'_> {
    fn unwrap_stanza(&self, stanza: &Stanza) -> Option<Result<Key, DecryptError>> {
        self.identity.unwrap_stanza(stanza)
    }

    fn unwrap_stanzas(&self, stanzas: &[Stanza]) -> Option<Result<Key, DecryptError>> {
        let outcome = self.identity.unwrap_stanzas(stanzas);
        if let Some(Ok(key)) = &outcome {
            self.found.get_or_init(|| copy(key));
        }
        outcome
    }
}

fn copy(key: &Key) -> Key {
    Key::init_with_mut(|copy| copy.copy_from_slice(key.expose_secret()))
}
