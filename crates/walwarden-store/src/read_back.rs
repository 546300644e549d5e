//! The proof that storage holds what was written: every byte is read again and hashed.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use sha2::{Digest, Sha256};
use walwarden_core::{Error, Result};

use crate::failure::Failure;
use crate::key::validate_key;
use crate::store::Store;
use crate::upload::{Part, Uploaded};

/// A range of one part.
#[derive(Clone, Copy)]
struct Window {
    offset: u64,
    length: u64,
    /// The place of the part in the list.
    part: usize,
    is_last_of_part: bool,
}

impl Store {
    /// Reads a whole object back and compares its size, the SHA-256 of each part and that of the whole.
    ///
    /// `progress` is raised by the bytes that were compared. At most `concurrency` windows of 8 MiB (1 MiB of a file) are in memory.
    ///
    /// # Errors
    /// `StorageCorrupt`, naming the first bad part, if anything differs; a longer object is an error too.
    /// `InvalidInput` if the parts do not cover `size` bytes without gaps.
    pub async fn verify_object(
        &self,
        key: &str,
        size: u64,
        parts: &[Part],
        sha256: &[u8; 32],
        progress: &AtomicU64,
        concurrency: usize,
    ) -> Result<()> {
        validate_key(key)?;
        check_parts(parts, size)?;
        self.compare(key, size, parts, sha256, progress, concurrency.max(1))
            .await
            .map_err(|failure| self.error(failure, "verify", key))
    }

    /// Reads what was uploaded back, several parts side by side, and compares its size and the SHA-256 of each part. That of the
    /// whole was made of the same bytes as those of the parts, one part after the other.
    ///
    /// `progress` is raised by the bytes that were compared. At most `concurrency` windows of 8 MiB (1 MiB of a file) are in memory.
    ///
    /// # Errors
    /// As [`Self::verify_object`].
    pub async fn verify_uploaded(
        &self,
        key: &str,
        uploaded: &Uploaded,
        progress: &AtomicU64,
        concurrency: usize,
    ) -> Result<()> {
        check_parts(&uploaded.parts, uploaded.size)?;
        self.verify_parts(key, uploaded.size, &uploaded.parts, progress, concurrency).await
    }

    /// Reads some parts of an object back, several side by side, and compares the SHA-256 of each, and the size of the whole
    /// object.
    ///
    /// # Errors
    /// As [`Self::verify_object`].
    pub async fn verify_parts(
        &self,
        key: &str,
        size: u64,
        parts: &[Part],
        progress: &AtomicU64,
        concurrency: usize,
    ) -> Result<()> {
        validate_key(key)?;
        let compared = async {
            self.check_stored_size(key, size).await?;
            // By index: over references, the compiler does not see that the future can be sent to another thread.
            let each = (0..parts.len()).map(|index| self.compare_part(key, size, &parts[index], progress));
            // In their order, so that the first bad one is told.
            stream::iter(each).buffered(concurrency.max(1)).try_collect().await
        };
        compared.await.map_err(|failure| self.error(failure, "verify", key))
    }

    async fn compare_part(
        &self,
        key: &str,
        size: u64,
        part: &Part,
        progress: &AtomicU64,
    ) -> Result<(), Failure> {
        let mut hash = Sha256::new();
        for window in windows(std::slice::from_ref(part), self.backend().window()) {
            let bytes = self.read_window(key, size, window).await?;
            hash = hash_aside(hash, bytes).await?;
            progress.fetch_add(window.length, Ordering::Relaxed);
        }
        check_part(part, hash.finalize().into())
    }

    async fn compare(
        &self,
        key: &str,
        size: u64,
        parts: &[Part],
        sha256: &[u8; 32],
        progress: &AtomicU64,
        concurrency: usize,
    ) -> Result<(), Failure> {
        self.check_stored_size(key, size).await?;
        let mut whole = Sha256::new();
        let mut of_part = Sha256::new();
        let reads = windows(parts, self.backend().window()).map(|window| async move {
            Ok::<_, Failure>((window, self.read_window(key, size, window).await?))
        });
        let mut reads = stream::iter(reads).buffered(concurrency);
        while let Some((window, bytes)) = reads.try_next().await? {
            let hashed = hash_aside(of_part, bytes.clone());
            whole.update(&bytes);
            of_part = hashed.await?;
            if window.is_last_of_part {
                check_part(&parts[window.part], of_part.finalize_reset().into())?;
            }
            progress.fetch_add(window.length, Ordering::Relaxed);
        }
        let digest: [u8; 32] = whole.finalize().into();
        if digest == *sha256 {
            return Ok(());
        }
        Err(Failure::corrupt(
            "the object has another SHA-256 than was written, although each part has its own",
        ))
    }

    async fn check_stored_size(&self, key: &str, size: u64) -> Result<(), Failure> {
        let head = self.head(key).await?.ok_or_else(Failure::no_such_object)?;
        check_size(head.size, size)
    }

    async fn read_window(&self, key: &str, size: u64, window: Window) -> Result<Bytes, Failure> {
        let (bytes, found) = self.read(key, window.offset..window.offset + window.length).await?;
        check_size(found, size)?;
        Ok(bytes)
    }
}

/// On another thread, which begins at once: it takes as long as reading.
fn hash_aside(mut hash: Sha256, bytes: Bytes) -> impl Future<Output = Result<Sha256, Failure>> {
    let hashed = tokio::task::spawn_blocking(move || {
        hash.update(&bytes);
        hash
    });
    async { hashed.await.map_err(|_| Failure::internal("hashing a part panicked")) }
}

fn check_size(found: u64, expected: u64) -> Result<(), Failure> {
    if found == expected {
        return Ok(());
    }
    Err(Failure::corrupt(format!("the object has {found} bytes instead of {expected}")))
}

fn check_part(part: &Part, found: [u8; 32]) -> Result<(), Failure> {
    if part.sha256 == found {
        return Ok(());
    }
    Err(Failure::corrupt(format!(
        "the part at bytes {} to {} has another SHA-256 than was written",
        part.offset,
        part.offset + part.size - 1
    )))
}

/// Parts may come from a manifest, so their sums may overflow.
fn check_parts(parts: &[Part], size: u64) -> Result<()> {
    let end = parts.iter().try_fold(0_u64, |end, part| {
        if part.offset == end && part.size > 0 { end.checked_add(part.size) } else { None }
    });
    if end == Some(size) {
        return Ok(());
    }
    Err(Error::invalid("part list does not cover the object")
        .detail(format!("The parts must follow each other without gaps and add up to {size} bytes.")))
}

fn windows(parts: &[Part], most: u64) -> impl Iterator<Item = Window> + '_ {
    parts.iter().enumerate().flat_map(move |(index, part)| {
        let count = part.size.div_ceil(most);
        (0..count).map(move |number| {
            let start = number * most;
            Window {
                offset: part.offset + start,
                length: most.min(part.size - start),
                part: index,
                is_last_of_part: number + 1 == count,
            }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parts(sizes: &[u64]) -> Vec<Part> {
        let mut offset = 0;
        sizes
            .iter()
            .map(|&size| {
                let part = Part { offset, size, sha256: [0; 32] };
                offset += size;
                part
            })
            .collect()
    }

    #[test]
    fn part_lists_must_cover_the_object() {
        assert!(check_parts(&[], 0).is_ok());
        assert!(check_parts(&parts(&[5, 5, 1]), 11).is_ok());
        assert!(check_parts(&parts(&[5, 5, 1]), 12).is_err());
        assert!(check_parts(&parts(&[5, 0]), 5).is_err());
        assert!(check_parts(&[], 1).is_err());
        let huge = [
            Part { offset: 0, size: u64::MAX, sha256: [0; 32] },
            Part { offset: u64::MAX, size: 1, sha256: [0; 32] },
        ];
        assert!(check_parts(&huge, 0).is_err());
    }

    const WINDOW: u64 = 1 << 20;

    proptest! {
        #[test]
        fn windows_cover_every_byte_once(sizes in proptest::collection::vec(1_u64..(3 * WINDOW), 0..6)) {
            let parts = parts(&sizes);
            let mut end = 0;
            let mut finished = 0;
            for window in windows(&parts, WINDOW) {
                prop_assert_eq!(window.offset, end);
                prop_assert!((1..=WINDOW).contains(&window.length));
                prop_assert_eq!(window.part, finished);
                end += window.length;
                if window.is_last_of_part {
                    prop_assert_eq!(end, parts[finished].offset + parts[finished].size);
                    finished += 1;
                }
            }
            prop_assert_eq!(end, sizes.iter().sum::<u64>());
            prop_assert_eq!(finished, parts.len());
        }
    }
}
