//! Ranges of a stream, hashed as it passes by.

use sha2::{Digest, Sha256};

use crate::manifest::Sha256Sum;

/// A range and what it must be.
#[derive(Debug, Clone)]
pub(super) struct Range {
    /// Its first byte.
    pub offset: u64,
    /// Its length in bytes; never 0.
    pub length: u64,
    /// The SHA-256 of its bytes.
    pub sha256: Sha256Sum,
}

/// Ranges that follow each other, with gaps or without.
pub(super) struct Ranges {
    ranges: Vec<Range>,
    /// The one that the stream is in, or comes to next.
    next: usize,
    hash: Sha256,
}

impl Ranges {
    /// In order, and apart from each other: a manifest is checked for that.
    pub(super) fn new(ranges: impl Iterator<Item = Range>) -> Self {
        Self { ranges: ranges.filter(|range| range.length > 0).collect(), next: 0, hash: Sha256::new() }
    }

    /// Takes the bytes that begin at `position`; gives the first range that is not what it must be.
    pub(super) fn pass(&mut self, mut position: u64, mut bytes: &[u8]) -> Result<(), Range> {
        while let Some(range) = self.ranges.get(self.next) {
            let before = range.offset.saturating_sub(position).min(bytes.len() as u64);
            position += before;
            bytes = &bytes[before as usize..];
            if bytes.is_empty() {
                break;
            }
            let end = range.offset.saturating_add(range.length);
            if end <= position {
                // It overlaps the one before.
                return Err(range.clone());
            }
            let within = (end - position).min(bytes.len() as u64);
            let (now, later) = bytes.split_at(within as usize);
            self.hash.update(now);
            position += within;
            bytes = later;
            if position == end {
                let found: [u8; 32] = self.hash.finalize_reset().into();
                if found != range.sha256.0 {
                    return Err(range.clone());
                }
                self.next += 1;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn range(stream: &[u8], offset: usize, length: usize) -> Range {
        let sha256 = Sha256Sum::of(&stream[offset..offset + length]);
        Range { offset: offset as u64, length: length as u64, sha256 }
    }

    fn pass(ranges: &mut Ranges, stream: &[u8], step: usize) -> Result<(), Range> {
        let mut position = 0;
        for bytes in stream.chunks(step) {
            ranges.pass(position, bytes)?;
            position += bytes.len() as u64;
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn a_flipped_byte_is_found_in_its_range_and_nowhere_else(
            lengths in proptest::collection::vec((0_usize..20, 1_usize..20), 1..8),
            step in 1_usize..50,
            place in any::<prop::sample::Index>(),
        ) {
            let total: usize = lengths.iter().map(|(gap, length)| gap + length).sum();
            let mut stream: Vec<u8> = (0..total).map(|n| (n * 7) as u8).collect();
            let mut end = 0;
            let ranges: Vec<Range> = lengths.iter().map(|(gap, length)| {
                let offset = end + gap;
                end = offset + length;
                range(&stream, offset, *length)
            }).collect();
            prop_assert!(pass(&mut Ranges::new(ranges.iter().cloned()), &stream, step).is_ok());
            let flipped = place.index(total);
            stream[flipped] ^= 1;
            let within = ranges.iter().find(|range| {
                (range.offset..range.offset + range.length).contains(&(flipped as u64))
            });
            let found = pass(&mut Ranges::new(ranges.iter().cloned()), &stream, step);
            match within {
                Some(range) => prop_assert_eq!(found.unwrap_err().offset, range.offset),
                None => prop_assert!(found.is_ok()),
            }
        }
    }
}
