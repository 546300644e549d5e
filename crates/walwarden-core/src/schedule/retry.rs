//! When a failed job is tried again.

use chrono::{DateTime, TimeDelta, Utc};

use crate::error::ErrorClass;

/// No doubled delay is longer, unless the delay that the schedule gives is.
pub const LONGEST_DELAY_SECONDS: u32 = 3600;

/// How often a job of a schedule is tried again after a failure that may pass, and after how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retries {
    /// The most attempts after the first one.
    pub retries: u32,
    /// From the end of the first attempt to the second one. It doubles with each attempt, up to
    /// [`LONGEST_DELAY_SECONDS`].
    pub delay_seconds: u32,
}

impl Retries {
    /// When the next attempt may begin, after `attempt` (the first one is 1) failed with `class` at `ended_at`.
    /// None when there is none: the class is not transient, or it was the last one.
    pub fn next_attempt(
        self,
        attempt: u32,
        class: ErrorClass,
        ended_at: DateTime<Utc>,
    ) -> Option<DateTime<Utc>> {
        if !class.is_transient() || attempt > self.retries {
            return None;
        }
        ended_at.checked_add_signed(self.delay_after(attempt))
    }

    fn delay_after(self, attempt: u32) -> TimeDelta {
        let factor = 1_u32.checked_shl(attempt.saturating_sub(1)).unwrap_or(u32::MAX);
        let longest = self.delay_seconds.max(LONGEST_DELAY_SECONDS);
        TimeDelta::seconds(i64::from(self.delay_seconds.saturating_mul(factor).min(longest)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ended_at() -> DateTime<Utc> {
        "2026-08-01T02:00:00Z".parse().unwrap()
    }

    /// The delays in seconds of a job that fails until it is given up.
    fn delays(retries: u32, delay_seconds: u32) -> Vec<i64> {
        let rule = Retries { retries, delay_seconds };
        (1..)
            .map_while(|n| rule.next_attempt(n, ErrorClass::Lost, ended_at()))
            .map(|time| (time - ended_at()).num_seconds())
            .collect()
    }

    #[test]
    fn delays_double_up_to_an_hour() {
        assert_eq!(delays(0, 60), [0_i64; 0]);
        assert_eq!(delays(1, 60), [60]);
        assert_eq!(delays(8, 60), [60, 120, 240, 480, 960, 1920, 3600, 3600]);
        assert_eq!(delays(3, 3600), [3600, 3600, 3600]);
        assert_eq!(delays(3, 7200), [7200, 7200, 7200]);
        assert_eq!(delays(2, 0), [0, 0]);
        assert_eq!(delays(40, 1)[10..13], [1024, 2048, 3600]);
        assert_eq!(delays(40, 1)[39], 3600);
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        use ErrorClass::*;
        let rule = Retries { retries: 3, delay_seconds: 60 };
        let retried: Vec<_> = ErrorClass::ALL
            .into_iter()
            .filter(|class| rule.next_attempt(1, *class, ended_at()).is_some())
            .collect();
        assert_eq!(retried, [Resources, LockTimeout, StorageUnreachable, Terminated, Lost]);
    }

    #[test]
    fn the_end_of_time_is_no_attempt() {
        let rule = Retries { retries: 3, delay_seconds: 60 };
        assert_eq!(rule.next_attempt(1, ErrorClass::Lost, DateTime::<Utc>::MAX_UTC), None);
    }

    proptest! {
        #[test]
        fn attempts_are_as_many_as_allowed_and_never_closer(retries in 0_u32..200, delay: u32) {
            let delays = delays(retries, delay);
            prop_assert_eq!(delays.len(), retries as usize);
            prop_assert!(delays.is_sorted());
            let longest = i64::from(delay.max(LONGEST_DELAY_SECONDS));
            prop_assert!(delays.iter().all(|seconds| (i64::from(delay)..=longest).contains(seconds)));
        }

        #[test]
        fn no_attempt_panics(retries: u32, delay_seconds: u32, attempt: u32) {
            let rule = Retries { retries, delay_seconds };
            let next = rule.next_attempt(attempt, ErrorClass::Lost, ended_at());
            prop_assert_eq!(next.is_some(), attempt <= retries);
        }
    }
}
