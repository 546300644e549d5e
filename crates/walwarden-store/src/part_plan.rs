//! How large the parts of an upload are.
//!
//! All parts but the last have one size, because Cloudflare R2 accepts nothing else.

const MIB: u64 = 1 << 20;

/// The smallest part S3 takes, the last one excepted: 5 MiB.
pub const MIN_PART_SIZE: u64 = 5 * MIB;

/// The largest part S3 takes: 5 GiB.
pub const MAX_PART_SIZE: u64 = 5 << 30;

/// The most parts an upload to S3 can have.
pub const MAX_PARTS: usize = 10_000;

/// The largest object in S3: 5 TiB.
pub const MAX_OBJECT_SIZE: u64 = 5 << 40;

/// The part size where nothing asks for more: 8 MiB.
pub const DEFAULT_PART_SIZE: u64 = 8 * MIB;

/// What a storage takes as parts of one upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartLimits {
    /// The smallest part but the last, bytes.
    pub min_size: u64,
    /// The largest part, bytes.
    pub max_size: u64,
    /// The most parts.
    pub max_parts: usize,
    /// The largest object, bytes.
    pub max_object_size: u64,
}

impl PartLimits {
    /// Amazon's ("Amazon S3 multipart upload limits"); compatible servers have the same or wider ones.
    pub const S3: Self = Self {
        min_size: MIN_PART_SIZE,
        max_size: MAX_PART_SIZE,
        max_parts: MAX_PARTS,
        max_object_size: MAX_OBJECT_SIZE,
    };

    /// Google's ("XML API multipart uploads": as Amazon's).
    pub const GCS: Self = Self::S3;

    /// Azure's ("Scalability and performance targets for Blob storage": 50,000 blocks of at most 4,000 MiB).
    pub const AZURE: Self =
        Self { min_size: MIB, max_size: 4_000 * MIB, max_parts: 50_000, max_object_size: 190 << 40 };

    /// A file has none that matter.
    pub(crate) const FILE: Self =
        Self { min_size: 1, max_size: MAX_PART_SIZE, max_parts: usize::MAX, max_object_size: u64::MAX };

    /// The part size in bytes for an object of about `estimated_bytes`: `option` (the storage's `part_size`) or 8 MiB,
    /// and more, in whole MiB, where the object would not fit into four fifths of the parts there can be: a fifth stays
    /// free for estimates that were too low.
    ///
    /// An uploader holds about `concurrency + 1` parts in memory; who has a memory limit lowers the concurrency to fit.
    pub fn plan(&self, estimated_bytes: u64, option: Option<u64>) -> u64 {
        let wanted = option.unwrap_or(DEFAULT_PART_SIZE).clamp(self.min_size, self.max_size);
        let planned_parts = (self.max_parts as u64 / 5 * 4).max(1);
        let needed = estimated_bytes.min(self.max_object_size).div_ceil(planned_parts);
        if needed <= wanted { wanted } else { needed.next_multiple_of(MIB).min(self.max_size) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn small_objects_get_the_default_and_large_ones_grow() {
        let plan = |size, option| PartLimits::S3.plan(size, option);
        assert_eq!(plan(0, None), DEFAULT_PART_SIZE);
        assert_eq!(plan(8_000 * DEFAULT_PART_SIZE, None), DEFAULT_PART_SIZE);
        assert_eq!(plan(8_000 * DEFAULT_PART_SIZE + 1, None), 9 * MIB);
        assert_eq!(plan(1 << 40, None), 132 * MIB);
        assert_eq!(plan(0, Some(16 * MIB)), 16 * MIB);
        assert_eq!(plan(u64::MAX, None), 656 * MIB);
        assert_eq!(PartLimits::FILE.plan(u64::MAX, None), DEFAULT_PART_SIZE);
        let few = PartLimits { max_parts: 1_000, ..PartLimits::S3 };
        assert_eq!(few.plan(8_000 * DEFAULT_PART_SIZE, None), 80 * MIB);
    }

    proptest! {
        #[test]
        fn plans_fit_the_limits(
            size in 0..=MAX_OBJECT_SIZE,
            option in proptest::option::of(MIN_PART_SIZE..=MAX_PART_SIZE),
            max_parts in 1_100_usize..=50_000,
        ) {
            let limits = PartLimits { max_parts, ..PartLimits::S3 };
            let part = limits.plan(size, option);
            prop_assert!((limits.min_size..=limits.max_size).contains(&part));
            if part < limits.max_size {
                prop_assert!(size.div_ceil(part) <= max_parts as u64 * 4 / 5);
            }
            prop_assert!(option.is_none_or(|option| part >= option));
        }
    }
}
