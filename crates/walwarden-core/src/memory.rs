//! How a leader divides the memory it may take.

use crate::error::{Error, ErrorClass, Result};

/// Bytes on their way between the leader and the upload, and what is too small to count.
const FIXED: u64 = 16 << 20;
/// More parts under way at a time make no upload faster.
const MOST_PARTS_IN_FLIGHT: u64 = 4;

/// What a leader may keep in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryPlan {
    /// Bytes of pieces that came before their turn.
    pub ahead: u64,
    /// Parts on their way to storage while the next is filled; 0: nothing is filled meanwhile.
    pub parts_in_flight: u64,
}

impl MemoryPlan {
    /// For so many bytes in all, when the archive goes out to so many storages at once in parts of this size.
    ///
    /// # Errors
    /// `Resources` if not even one part fits.
    pub fn of(max_memory: u64, part_size: u64, storages: u64) -> Result<Self> {
        let ahead = max_memory / 4;
        let for_parts = max_memory.saturating_sub(ahead + FIXED);
        match for_parts / part_size.saturating_mul(storages).max(1) {
            0 => Err(too_little(max_memory, part_size, storages)),
            parts => Ok(Self { ahead, parts_in_flight: (parts - 1).min(MOST_PARTS_IN_FLIGHT) }),
        }
    }
}

fn too_little(max_memory: u64, part_size: u64, storages: u64) -> Error {
    let mib = |bytes: u64| bytes.div_ceil(1 << 20);
    let needed = (part_size.saturating_mul(storages) + FIXED).saturating_mul(4).div_ceil(3);
    Error::new(ErrorClass::Resources, "walwarden.max_memory is too small for a backup of this size")
        .detail(format!(
            "The archive goes out in parts of {} MB: so large that storage's 10,000 parts hold it, or as the storage's option \
             part_size says. Of {} MB, what is left for parts holds none.",
            mib(part_size),
            mib(max_memory)
        ))
        .hint(format!("Set walwarden.max_memory to {} MB or more.", mib(needed)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn the_default_has_four_small_parts_under_way_or_one_large_one() {
        let of = |part_size| MemoryPlan::of(256 * MIB, part_size, 1).map(|plan| plan.parts_in_flight);
        assert_eq!(of(8 * MIB).unwrap(), 4);
        assert_eq!(of(88 * MIB).unwrap(), 1);
        assert_eq!(of(176 * MIB).unwrap(), 0);
        assert_eq!(MemoryPlan::of(256 * MIB, 8 * MIB, 8).unwrap().parts_in_flight, 1);
        let error = of(177 * MIB).unwrap_err();
        assert_eq!(error.class, ErrorClass::Resources);
        assert_eq!(error.hint.unwrap(), "Set walwarden.max_memory to 258 MB or more.");
    }

    proptest! {
        #[test]
        fn it_is_never_more_and_the_hint_helps(max_memory in 0..1u64 << 40, part_size in 1..1u64 << 33, storages in 1..9u64) {
            match MemoryPlan::of(max_memory, part_size, storages) {
                Ok(plan) => {
                    prop_assert!(plan.ahead + FIXED + (plan.parts_in_flight + 1) * part_size * storages <= max_memory);
                }
                Err(_) => {
                    let needed = (part_size * storages + FIXED).saturating_mul(4).div_ceil(3).next_multiple_of(MIB);
                    prop_assert!(MemoryPlan::of(needed, part_size, storages).is_ok());
                }
            }
        }
    }
}
