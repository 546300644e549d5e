//! An object as a blocking stream, for code that is not asynchronous.

use std::io::{self, Read};
use std::ops::Range;

use bytes::{Buf, Bytes};
use futures::{StreamExt, stream};
use tokio::sync::mpsc;
use walwarden_core::{Error, ErrorClass, Result};

use crate::key::validate_key;
use crate::store::Store;

/// Reads a range of an object from its first byte to its last. Its errors are walwarden's own, inside `std::io`'s.
///
/// Belongs on a thread that may block. Dropping it stops the reading ahead.
#[derive(Debug)]
pub struct ObjectReader {
    windows: mpsc::Receiver<Result<Bytes>>,
    current: Bytes,
    /// Bytes of the range that `windows` has not given yet.
    left: u64,
}

impl Store {
    /// A reader of the bytes in `range`. Must be called on a tokio runtime, on which it reads ahead: besides what is being
    /// used, `ahead` windows of 8 MiB (1 MiB of a file) and one more are in memory.
    ///
    /// # Errors
    /// `InvalidInput` for a key that is none. All else comes from the reader: the classes of storage, `StorageCorrupt` when the
    /// object ends before the range does.
    pub fn reader(&self, key: &str, range: Range<u64>, ahead: usize) -> Result<ObjectReader> {
        validate_key(key)?;
        let left = range.end.saturating_sub(range.start);
        let (sender, windows) = mpsc::channel(1);
        let (store, key) = (self.clone(), key.to_owned());
        tokio::spawn(async move {
            let mut reads = stream::iter(cut(range, store.backend().window()))
                .map(|(offset, length)| store.get_range(&key, offset, length))
                .buffered(ahead.max(1));
            while let Some(window) = reads.next().await {
                let is_last = window.is_err();
                // Nobody listens any more when the reader was dropped.
                if sender.send(window).await.is_err() || is_last {
                    break;
                }
            }
        });
        Ok(ObjectReader { windows, current: Bytes::new(), left })
    }
}

impl Read for ObjectReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.current.is_empty() && self.left > 0 && !buffer.is_empty() {
            let window = self
                .windows
                .blocking_recv()
                .unwrap_or_else(|| Err(Error::new(ErrorClass::Canceled, "reading from storage was stopped")));
            self.current = window.map_err(io::Error::other)?;
            self.left = self.left.saturating_sub(self.current.len() as u64);
        }
        let length = buffer.len().min(self.current.len());
        self.current.copy_to_slice(&mut buffer[..length]);
        Ok(length)
    }
}

fn cut(range: Range<u64>, most: u64) -> impl Iterator<Item = (u64, u64)> {
    let count = range.end.saturating_sub(range.start).div_ceil(most);
    (0..count).map(move |number| {
        let offset = range.start + number * most;
        (offset, most.min(range.end - offset))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: u64 = 1 << 20;

    #[test]
    fn windows_cover_the_range() {
        for (start, end) in
            [(0, 0), (5, 5), (7, 3), (0, 1), (3, WINDOW), (3, 3 + 2 * WINDOW), (9, 5 * WINDOW)]
        {
            let mut next = start;
            for (offset, length) in cut(start..end, WINDOW) {
                assert_eq!(offset, next);
                assert!((1..=WINDOW).contains(&length));
                next += length;
            }
            assert_eq!(next, end.max(start));
        }
    }
}
