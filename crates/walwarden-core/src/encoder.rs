//! Who writes the text of a table's rows: COPY, or we ourselves from the heap's pages.

use crate::archive::Blocks;
use serde::{Deserialize, Serialize};

/// Who wrote the rows of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoder {
    /// We, from the pages of the heap ([`crate::copy_text`]).
    Direct,
    /// PostgreSQL's COPY.
    Copy,
}

impl Encoder {
    /// In SQL and in the manifest.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Copy => "copy",
        }
    }

    /// As a byte of a message.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Direct => b'D',
            Self::Copy => b'C',
        }
    }

    /// Back from a byte.
    pub(crate) const fn from_code(code: u8) -> Option<Self> {
        match code {
            b'D' => Some(Self::Direct),
            b'C' => Some(Self::Copy),
            _ => None,
        }
    }
}

/// Of so many blocks of what was written directly one is written by COPY too, and compared.
const SAMPLED: u32 = 64;

/// Which of these blocks are compared: a run of at least one at a place that `random` decides; None if there is no block.
pub fn sample(blocks: Blocks, random: u64) -> Option<Blocks> {
    let count = blocks.end.checked_sub(blocks.first).filter(|count| *count > 0)?;
    let length = count.div_ceil(SAMPLED);
    let places = u64::from(count - length) + 1;
    let first = blocks.first + u32::try_from(random % places).ok()?;
    Some(Blocks { first, end: first + length })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_sample_lies_within(first in 0_u32..1000, count in 1_u32..100_000, random: u64) {
            let blocks = Blocks { first, end: first + count };
            let sample = sample(blocks, random).unwrap();
            prop_assert!(blocks.first <= sample.first && sample.first < sample.end && sample.end <= blocks.end);
            prop_assert_eq!(sample.end - sample.first, count.div_ceil(SAMPLED));
        }

        #[test]
        fn every_block_may_be_in_a_sample(count in 1_u32..1000, block: u32) {
            let block = block % count;
            let blocks = Blocks { first: 0, end: count };
            prop_assert!((0..u64::from(count)).any(|random| {
                let sample = sample(blocks, random).unwrap();
                (sample.first..sample.end).contains(&block)
            }));
        }
    }

    #[test]
    fn nothing_is_sampled_of_nothing() {
        assert_eq!(sample(Blocks { first: 7, end: 7 }, 0), None);
    }
}
