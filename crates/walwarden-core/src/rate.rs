//! Keeping to a rate.

use std::time::Duration;

/// How much may go out at once after a pause: what the rate allows in this time.
const BURST: Duration = Duration::from_millis(500);

/// Says how long to wait so that no more than so many bytes a second go out.
#[derive(Debug, Clone)]
pub struct Rate {
    bytes_per_second: f64,
    /// Bytes that went out and that the rate has not allowed for yet.
    debt: f64,
    /// When `debt` was true, by the caller's clock.
    at: Duration,
}

impl Rate {
    /// So many bytes a second, at least 1.
    pub fn new(bytes_per_second: u64) -> Self {
        Self { bytes_per_second: bytes_per_second.max(1) as f64, debt: 0.0, at: Duration::ZERO }
    }

    /// `bytes` go out at `now`, a time that only grows: how long to wait before the next.
    pub fn after(&mut self, bytes: u64, now: Duration) -> Duration {
        let allowed = now.saturating_sub(self.at).as_secs_f64() * self.bytes_per_second;
        let burst = BURST.as_secs_f64() * self.bytes_per_second;
        self.at = self.at.max(now);
        self.debt = (self.debt - allowed).max(-burst) + bytes as f64;
        Duration::try_from_secs_f64(self.debt / self.bytes_per_second).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_long_pause_gives_no_more_than_a_burst() {
        let mut rate = Rate::new(1000);
        assert_eq!(rate.after(0, Duration::from_secs(3600)), Duration::ZERO);
        assert_eq!(rate.after(1500, Duration::from_secs(3600)), Duration::from_secs(1));
    }

    proptest! {
        #[test]
        fn the_rate_is_kept(
            rate in 1u64..1 << 40,
            sends in prop::collection::vec((0u64..1 << 30, 0u64..5_000), 1..60),
        ) {
            let mut keeper = Rate::new(rate);
            let (mut now, mut sent) = (Duration::ZERO, 0.0);
            for (bytes, pause) in sends {
                now += keeper.after(bytes, now) + Duration::from_millis(pause);
                sent += bytes as f64;
                let allowed = (now + BURST).as_secs_f64() * rate as f64;
                // Durations are whole nanoseconds.
                prop_assert!(sent <= allowed * 1.000_001 + rate as f64 * 1e-6 + 1.0, "{sent} of {allowed}");
            }
        }
    }
}
