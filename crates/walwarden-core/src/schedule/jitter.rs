//! A delay for each scheduled time, so that many databases with the same schedule do not begin at once.

use chrono::{DateTime, TimeDelta, Utc};
use sha2::{Digest, Sha256};

/// Delays of 0 to `seconds - 1` seconds. A delay is a function of the seed and the time alone: every process
/// finds the same one, and a restart changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Jitter {
    seconds: u32,
    seed: String,
}

impl Jitter {
    /// None for no seconds: then nothing is delayed.
    pub(super) fn new(seconds: u32, seed: &str) -> Option<Self> {
        (seconds > 0).then(|| Self { seconds, seed: seed.to_owned() })
    }

    /// No delay reaches this.
    pub(super) fn bound(&self) -> TimeDelta {
        TimeDelta::seconds(i64::from(self.seconds))
    }

    /// The delay of one scheduled time: SHA-256 of the seed and the time's eight bytes, modulo the bound.
    pub(super) fn delay(&self, scheduled_for: DateTime<Utc>) -> TimeDelta {
        let mut hash = Sha256::new();
        hash.update(self.seed.as_bytes());
        hash.update(scheduled_for.timestamp().to_be_bytes());
        let [a, b, c, d, e, f, g, h, ..] = <[u8; 32]>::from(hash.finalize());
        let seconds = u64::from_be_bytes([a, b, c, d, e, f, g, h]) % u64::from(self.seconds);
        // Less than a u32: it fits.
        TimeDelta::seconds(i64::try_from(seconds).unwrap_or_default())
    }
}
