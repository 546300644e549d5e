//! How large the parts of an upload are.
//!
//! The limits are Amazon S3's ("Amazon S3 multipart upload limits"); every compatible server has the same or wider ones.
//! All parts but the last have one size, because Cloudflare R2 accepts nothing else.

const MIB: u64 = 1 << 20;

/// The smallest part S3 takes, the last one excepted: 5 MiB.
pub const MIN_PART_SIZE: u64 = 5 * MIB;

/// The largest part S3 takes: 5 GiB.
pub const MAX_PART_SIZE: u64 = 5 << 30;

/// The most parts an upload can have.
pub const MAX_PARTS: usize = 10_000;

/// The largest object: 5 TiB.
pub const MAX_OBJECT_SIZE: u64 = 5 << 40;

/// The part size where nothing asks for more: 8 MiB.
pub const DEFAULT_PART_SIZE: u64 = 8 * MIB;

/// How many parts are planned for: a fifth of [`MAX_PARTS`] stays free for estimates that were too low.
const PLANNED_PARTS: u64 = 8_000;

/// The part size in bytes for an object of about `estimated_bytes`: `option` (the storage's `part_size`) or 8 MiB, and
/// more, in whole MiB, where the object would not fit into 8,000 parts of it.
///
/// An uploader holds about `concurrency + 1` parts in memory; who has a memory limit lowers the concurrency to fit.
pub fn plan_part_size(estimated_bytes: u64, option: Option<u64>) -> u64 {
    let wanted = option.unwrap_or(DEFAULT_PART_SIZE).clamp(MIN_PART_SIZE, MAX_PART_SIZE);
    let needed = estimated_bytes.min(MAX_OBJECT_SIZE).div_ceil(PLANNED_PARTS);
    if needed <= wanted { wanted } else { needed.next_multiple_of(MIB).min(MAX_PART_SIZE) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn small_objects_get_the_default_and_large_ones_grow() {
        assert_eq!(plan_part_size(0, None), DEFAULT_PART_SIZE);
        assert_eq!(plan_part_size(8_000 * DEFAULT_PART_SIZE, None), DEFAULT_PART_SIZE);
        assert_eq!(plan_part_size(8_000 * DEFAULT_PART_SIZE + 1, None), 9 * MIB);
        assert_eq!(plan_part_size(1 << 40, None), 132 * MIB);
        assert_eq!(plan_part_size(0, Some(16 * MIB)), 16 * MIB);
        assert_eq!(plan_part_size(u64::MAX, None), 656 * MIB);
    }

    proptest! {
        #[test]
        fn plans_fit_the_limits(size in 0..=MAX_OBJECT_SIZE, option in proptest::option::of(MIN_PART_SIZE..=MAX_PART_SIZE)) {
            let part = plan_part_size(size, option);
            prop_assert!((MIN_PART_SIZE..=MAX_PART_SIZE).contains(&part));
            prop_assert!(part >= option.unwrap_or(DEFAULT_PART_SIZE));
            // A fifth more than estimated still fits.
            prop_assert!((size + size / 5).div_ceil(part) <= MAX_PARTS as u64);
        }
    }
}
