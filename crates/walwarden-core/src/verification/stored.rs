//! The bytes of an encrypted archive as they lie in storage, compared with the manifest on their way to who decrypts them.

use std::io::{self, Read};

use sha2::{Digest, Sha256};

use super::damaged;
use super::ranges::{Range, Ranges};
use crate::error::Result;
use crate::manifest::{Sha256Sum, Stored};

/// Hands on what it reads, and hashes it. Whoever has got the last byte without an error knows that each part and the whole
/// are what the manifest says.
///
/// Its errors are walwarden's own, inside `std::io`'s: `StorageCorrupt` where anything differs.
pub struct StoredBytes<R> {
    inner: R,
    size: u64,
    sha256: Sha256Sum,
    position: u64,
    whole: Sha256,
    parts: Ranges,
}

impl<R: Read> StoredBytes<R> {
    /// Of an object that must be this; `inner` begins at its first byte.
    pub fn new(inner: R, stored: Stored<'_>) -> Self {
        let range = |part: &crate::manifest::Part| Range {
            offset: part.offset,
            length: part.size,
            sha256: part.sha256,
        };
        Self {
            inner,
            size: stored.size,
            sha256: stored.sha256,
            position: 0,
            whole: Sha256::new(),
            parts: Ranges::new(stored.parts.iter().map(range)),
        }
    }

    fn pass(&mut self, bytes: &[u8]) -> Result<()> {
        self.whole.update(bytes);
        self.parts.pass(self.position, bytes).map_err(|part| {
            let (first, last) = (part.offset, part.offset + part.length - 1);
            damaged(format!("The part at bytes {first} to {last} has another SHA-256."))
        })?;
        self.position += bytes.len() as u64;
        if self.position > self.size {
            return Err(damaged(format!("It has more than {} bytes in storage.", self.size)));
        }
        let is_complete = self.position == self.size && !bytes.is_empty();
        let found: [u8; 32] = if is_complete { self.whole.finalize_reset().into() } else { self.sha256.0 };
        if found != self.sha256.0 {
            return Err(damaged("The whole has another SHA-256, although each part has its own."));
        }
        Ok(())
    }
}

impl<R: Read> Read for StoredBytes<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        if length == 0 && !buffer.is_empty() && self.position < self.size {
            let seen = format!("It has {} bytes in storage instead of {}.", self.position, self.size);
            return Err(io::Error::other(damaged(seen)));
        }
        self.pass(&buffer[..length]).map_err(io::Error::other)?;
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Error, ErrorClass};
    use crate::manifest::Part;

    fn read(bytes: &[u8], size: u64, sha256: Sha256Sum, parts: &[Part]) -> Result<Vec<u8>> {
        let mut read = Vec::new();
        let mut stored = StoredBytes::new(bytes, Stored { size, sha256, parts });
        stored.read_to_end(&mut read).map(|_| read).map_err(Error::from_io)
    }

    fn parts(bytes: &[u8]) -> Vec<Part> {
        let part = |(index, bytes): (usize, &[u8])| Part {
            offset: index as u64 * 10,
            size: bytes.len() as u64,
            sha256: Sha256Sum::of(bytes),
        };
        bytes.chunks(10).enumerate().map(part).collect()
    }

    #[test]
    fn what_is_handed_on_is_what_the_manifest_says() {
        let bytes: Vec<u8> = (0..35).collect();
        let (sum, parts) = (Sha256Sum::of(&bytes), parts(&bytes));
        assert_eq!(read(&bytes, 35, sum, &parts).unwrap(), bytes);
        assert_eq!(read(&[], 0, Sha256Sum::of(b""), &[]).unwrap(), b"");
        let told = |outcome: Result<Vec<u8>>| {
            let error = outcome.unwrap_err();
            assert_eq!(error.class, ErrorClass::StorageCorrupt);
            error.detail.unwrap()
        };
        assert!(told(read(&bytes[..30], 35, sum, &parts)).contains("30 bytes in storage instead of 35"));
        assert!(told(read(&bytes, 30, sum, &parts)).contains("more than 30 bytes"));
        assert!(told(read(&bytes, 35, Sha256Sum::ZERO, &parts)).contains("The whole"));
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            let first = at / 10 * 10;
            assert!(told(read(&changed, 35, sum, &parts)).contains(&format!("bytes {first} to")));
            assert!(told(read(&changed, 35, sum, &[])).contains("The whole"));
        }
    }
}
