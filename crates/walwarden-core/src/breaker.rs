//! How long to wait before the next try of something that fails again and again.

use std::time::Duration;

/// Counts failures in a row; each one doubles the wait, up to the longest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Breaker {
    first: Duration,
    longest: Duration,
    failures: u32,
}

/// What follows from a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Failures in a row so far.
    pub failures: u32,
    /// How long to wait before the next try.
    pub wait: Duration,
    /// Whether that is longer than after the failure before: worth a line in the log.
    pub is_new: bool,
}

impl Breaker {
    /// Nothing has failed yet; after the first failure it waits for `first`.
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, failures: 0 }
    }

    /// The same after this many failures, counted elsewhere.
    #[must_use]
    pub const fn after(self, failures: u32) -> Self {
        Self { failures, ..self }
    }

    /// It failed once more.
    pub fn failed(&mut self) -> Step {
        let before = self.wait();
        self.failures = self.failures.saturating_add(1);
        let wait = self.wait();
        Step { failures: self.failures, wait, is_new: wait != before }
    }

    /// How long to wait before the next try, as things are.
    pub fn wait(&self) -> Duration {
        match self.failures.checked_sub(1) {
            None => Duration::ZERO,
            Some(doublings) => self.first.saturating_mul(1 << doublings.min(30)).min(self.longest),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);
    const TEN_MINUTES: Duration = Duration::from_secs(600);

    #[test]
    fn waits_double_up_to_the_longest_and_each_length_is_told_once() {
        let mut breaker = Breaker::new(MINUTE, TEN_MINUTES);
        assert_eq!(breaker.wait(), Duration::ZERO);
        let steps: Vec<(u64, bool)> =
            (0..7).map(|_| breaker.failed()).map(|step| (step.wait.as_secs(), step.is_new)).collect();
        assert_eq!(
            steps,
            [(60, true), (120, true), (240, true), (480, true), (600, true), (600, false), (600, false)]
        );
    }

    #[test]
    fn a_count_without_end_overflows_nowhere() {
        let mut breaker = Breaker::new(MINUTE, TEN_MINUTES).after(u32::MAX);
        assert_eq!(breaker.failed(), Step { failures: u32::MAX, wait: TEN_MINUTES, is_new: false });
    }
}
