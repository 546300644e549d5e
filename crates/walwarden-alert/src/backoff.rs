//! When a notification that was not taken is tried again.

use chrono::{DateTime, TimeDelta, Utc};
use std::time::Duration;

/// The first pause; each next one is twice as long.
const FIRST: TimeDelta = TimeDelta::seconds(10);
/// The longest pause.
const LONGEST: TimeDelta = TimeDelta::hours(1);
/// Nobody wants to hear of it after that.
const GIVEN_UP_AFTER: TimeDelta = TimeDelta::days(3);

/// What a failure says something about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The receiver: whatever else waits for it waits too.
    Receiver,
    /// This one notification, which the receiver does not want: others may pass.
    Notification,
}

/// What becomes of a notification that was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// It is tried again, not before this.
    At(DateTime<Utc>),
    /// It is not tried any more.
    GivenUp,
}

/// The pause after so many failures in a row, of which there was at least one.
pub fn pause(failures: u32) -> TimeDelta {
    let doublings = failures.saturating_sub(1).min(16);
    LONGEST.min(FIRST * (1 << doublings))
}

/// What becomes of a notification that was queued at one time and was not taken at another.
///
/// `failures` in a row there were, this one among them; `wanted` is the pause that the receiver asked for.
pub fn after_failure(
    queued_at: DateTime<Utc>,
    now: DateTime<Utc>,
    failures: u32,
    wanted: Option<Duration>,
) -> Next {
    if now - queued_at >= GIVEN_UP_AFTER {
        return Next::GivenUp;
    }
    let wanted = wanted.and_then(|pause| TimeDelta::from_std(pause).ok()).unwrap_or_default();
    Next::At(now + pause(failures).max(wanted.min(LONGEST)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_an_hour() {
        let seconds: Vec<i64> = (0..13).map(|failures| pause(failures).num_seconds()).collect();
        assert_eq!(seconds, [10, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600, 3600]);
        assert_eq!(pause(u32::MAX), LONGEST);
    }

    #[test]
    fn after_three_days_it_is_given_up() {
        let queued = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let mut now = queued;
        let mut failures = 0;
        while let Next::At(next) = after_failure(queued, now, failures + 1, None) {
            assert!(next > now);
            now = next;
            failures += 1;
        }
        assert_eq!(failures, 80, "attempts in three days");
        assert!(now - queued >= GIVEN_UP_AFTER && now - queued < GIVEN_UP_AFTER + LONGEST);
    }

    #[test]
    fn a_receiver_may_ask_for_a_longer_pause_but_not_for_a_shorter_one() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let next = |failures, wanted| match after_failure(now, now, failures, Some(wanted)) {
            Next::At(next) => (next - now).num_seconds(),
            Next::GivenUp => panic!("given up"),
        };
        assert_eq!(next(1, Duration::from_secs(90)), 90);
        assert_eq!(next(5, Duration::from_secs(1)), 160);
        assert_eq!(next(1, Duration::MAX), 10, "nonsense");
        assert_eq!(next(1, Duration::from_secs(1_000_000)), 3600);
    }
}
