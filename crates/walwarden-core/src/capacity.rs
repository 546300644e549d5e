//! Whether a file system that backups go to is nearly full.

/// What a file system has, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// All that the server may use or has been used.
    pub total: u64,
    /// What the server may still write.
    pub free: u64,
}

/// Less than this part of the file system is little, in percent.
const LITTLE_PERCENT: u64 = 10;

impl Space {
    /// Why it is nearly full, as a sentence; None when it is not. `newest` is the size of the newest backup there, if there is
    /// one: the next will hardly be smaller.
    pub fn shortage(self, newest: Option<u64>) -> Option<String> {
        let (free, total) = (megabytes(self.free), megabytes(self.total));
        if let Some(size) = newest.filter(|size| *size > self.free) {
            return Some(format!(
                "{free} MB are free, less than the newest backup takes, which has {} MB.",
                megabytes(size)
            ));
        }
        (u128::from(self.free) * 100 < u128::from(self.total) * u128::from(LITTLE_PERCENT))
            .then(|| format!("{free} MB of {total} MB are free."))
    }
}

const fn megabytes(bytes: u64) -> u64 {
    bytes / 1_000_000
}

#[cfg(test)]
mod tests {
    use super::Space;

    #[test]
    fn a_tenth_or_room_for_the_next_backup_must_be_free() {
        let space = |free| Space { total: 1_000_000_000, free };
        assert_eq!(space(100_000_000).shortage(None), None);
        assert_eq!(space(99_999_999).shortage(None).unwrap(), "99 MB of 1000 MB are free.");
        assert_eq!(space(500_000_000).shortage(Some(500_000_000)), None);
        assert!(space(500_000_000).shortage(Some(500_000_001)).unwrap().contains("newest backup"));
        assert!(Space { total: u64::MAX, free: 0 }.shortage(None).is_some());
        assert_eq!(Space { total: u64::MAX, free: u64::MAX }.shortage(Some(1)), None);
    }
}
