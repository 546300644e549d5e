//! Where in an age file which bytes of the plain text are: behind the header and a nonce come chunks of 64 KiB, the last one
//! shorter, each with a tag of 16 bytes. A plain text without a byte is one empty chunk.

use std::ops::Range;

/// Plain bytes of every chunk but the last.
pub(crate) const CHUNK_SIZE: u64 = 64 << 10;
/// What a chunk has besides.
const TAG_SIZE: u64 = 16;
/// A whole chunk in the file.
const SEALED_SIZE: u64 = CHUNK_SIZE + TAG_SIZE;

/// The chunks of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Chunks {
    /// Where the first one begins: the size of header and nonce, bytes.
    pub(crate) start: u64,
    /// The size of the plain text, bytes.
    pub(crate) plain: u64,
}

impl Chunks {
    /// The size of the whole file, bytes.
    pub(crate) fn file_size(self) -> u64 {
        let count = self.plain.div_ceil(CHUNK_SIZE).max(1);
        self.start.saturating_add(self.plain).saturating_add(count.saturating_mul(TAG_SIZE))
    }

    /// The bytes of the file, whole chunks, that hold these of the plain text; none for none.
    pub(crate) fn sealed(self, plain: &Range<u64>) -> Range<u64> {
        let first = plain.start / CHUNK_SIZE;
        if plain.is_empty() {
            return self.offset(first)..self.offset(first);
        }
        let end = plain.end.min(self.plain).div_ceil(CHUNK_SIZE).max(first);
        self.offset(first)..self.offset(end).min(self.file_size())
    }

    fn offset(self, chunk: u64) -> u64 {
        self.start.saturating_add(chunk.saturating_mul(SEALED_SIZE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes_are_those_of_the_format() {
        for (plain, size) in
            [(0, 16), (1, 17), (65_535, 65_551), (65_536, 65_552), (65_537, 65_569), (131_072, 131_104)]
        {
            assert_eq!(Chunks { start: 200, plain }.file_size(), 200 + size, "{plain}");
        }
        assert_eq!(Chunks { start: u64::MAX, plain: u64::MAX }.file_size(), u64::MAX);
    }

    proptest! {
        #[test]
        fn a_range_lies_in_whole_chunks(start in 100_u64..500, plain in 1_u64..1_000_000, ends: (u64, u64)) {
            let chunks = Chunks { start, plain };
            let (one, other) = (ends.0 % plain, ends.1 % plain);
            let range = one.min(other)..one.max(other) + 1;
            let sealed = chunks.sealed(&range);
            prop_assert_eq!((sealed.start - start) % SEALED_SIZE, 0);
            prop_assert!(sealed.end <= chunks.file_size());
            prop_assert!(sealed.end == chunks.file_size() || (sealed.end - start).is_multiple_of(SEALED_SIZE));
            let first_plain = (sealed.start - start) / SEALED_SIZE * CHUNK_SIZE;
            let last_sealed = (sealed.end - start).div_ceil(SEALED_SIZE);
            prop_assert!(first_plain <= range.start && range.start - first_plain < CHUNK_SIZE);
            prop_assert!(range.end <= last_sealed * CHUNK_SIZE && last_sealed * CHUNK_SIZE - range.end < CHUNK_SIZE);
        }
    }
}
