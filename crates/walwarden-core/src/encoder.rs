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

/// Which blocks of a piece are compared: a run at a place that `random` decides, as long as there are on average, which may
/// be nothing, but not shorter than `at_least`.
pub fn sample(blocks: Blocks, at_least: u32, random: u64) -> Option<Blocks> {
    let count = blocks.end.checked_sub(blocks.first).filter(|count| *count > 0)?;
    let (whole, left) = (count / SAMPLED, count % SAMPLED);
    let (random, die) = (random / u64::from(SAMPLED), random % u64::from(SAMPLED));
    let length = (whole + u32::from(die < u64::from(left))).max(at_least).min(count);
    let places = u64::from(count - length) + 1;
    let first = blocks.first + u32::try_from(random % places).ok()?;
    (length > 0).then_some(Blocks { first, end: first + length })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_sample_lies_within(first in 0_u32..1000, count in 1_u32..100_000, at_least in 0_u32..2, random: u64) {
            let blocks = Blocks { first, end: first + count };
            match sample(blocks, at_least, random) {
                Some(sample) => {
                    prop_assert!(blocks.first <= sample.first && sample.first < sample.end && sample.end <= blocks.end);
                    let length = sample.end - sample.first;
                    prop_assert!(length.abs_diff(count / SAMPLED) <= 1);
                }
                None => prop_assert!(at_least == 0 && count < SAMPLED),
            }
        }

        #[test]
        fn every_block_may_be_in_a_sample(count in 1_u32..1000, at_least in 0_u32..2, block: u32) {
            let block = block % count;
            let blocks = Blocks { first: 0, end: count };
            let is_found = (0..u64::from(count * SAMPLED)).any(|random| {
                sample(blocks, at_least, random).is_some_and(|sample| (sample.first..sample.end).contains(&block))
            });
            prop_assert!(is_found);
        }

        #[test]
        fn samples_are_a_fixed_part_on_average(first in 1_u32..1000, count in 1_u32..200) {
            let blocks = Blocks { first, end: first + count };
            let sampled: u32 = (0..u64::from(SAMPLED))
                .filter_map(|random| sample(blocks, 0, random))
                .map(|sample| sample.end - sample.first)
                .sum();
            prop_assert_eq!(sampled, count);
        }
    }

    #[test]
    fn nothing_is_sampled_of_nothing() {
        assert_eq!(sample(Blocks { first: 7, end: 7 }, 1, 0), None);
    }
}
