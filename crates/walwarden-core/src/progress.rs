//! How far a step is and how long it will take, by what is done, what is expected, and the time it took. What is expected may
//! be an estimate, and wrong: nothing here is ever over 100 % or in the past.

use std::time::Duration;

/// As far as a step gets that has not ended.
const MOST_PERCENT: u64 = 99;
/// A step that would take longer tells nothing.
const LONGEST_LEFT: Duration = Duration::from_secs(10_000 * 24 * 60 * 60);
/// Characters of a bar; one is five per cent.
const BAR_WIDTH: usize = 20;

/// A moment of a step that goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// How much of what is expected is done, from 0 to 99: a step that goes on is not done.
    pub percent: u8,
    /// Bytes a second, on average since it began; None before anything can be said.
    pub rate: Option<u64>,
    /// Until all that is expected is done, if it goes on like this. None before anything can be said, and when more is done
    /// than was expected.
    pub left: Option<Duration>,
}

impl Moment {
    /// Of a step that has done so many bytes of those that are expected, in the time since it began.
    pub fn of(done: u64, expected: u64, elapsed: Duration) -> Self {
        Self {
            percent: percent(done, expected),
            rate: rate(done, elapsed),
            left: left(done, expected, elapsed),
        }
    }
}

fn percent(done: u64, expected: u64) -> u8 {
    let reached = match (done, expected) {
        (0, _) => 0,
        (_, 0) => MOST_PERCENT,
        _ => u64::try_from(u128::from(done) * 100 / u128::from(expected)).unwrap_or(MOST_PERCENT),
    };
    reached.min(MOST_PERCENT) as u8
}

fn rate(done: u64, elapsed: Duration) -> Option<u64> {
    let bytes = (u128::from(done) * 1_000_000).checked_div(elapsed.as_micros())?;
    (done > 0).then(|| u64::try_from(bytes).unwrap_or(u64::MAX))
}

fn left(done: u64, expected: u64, elapsed: Duration) -> Option<Duration> {
    let to_do = expected.checked_sub(done).filter(|bytes| *bytes > 0)?;
    let micros = u128::from(to_do).checked_mul(elapsed.as_micros())?.checked_div(u128::from(done))?;
    let left = Duration::from_micros(u64::try_from(micros).ok()?);
    (!elapsed.is_zero() && left <= LONGEST_LEFT).then_some(left)
}

/// A bar of text, such as `[#########           ] 45 %`.
pub fn bar(percent: u8) -> String {
    let percent = percent.min(100);
    let done = "#".repeat(usize::from(percent) * BAR_WIDTH / 100);
    format!("[{done:<BAR_WIDTH$}] {percent} %")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn half_way() {
        let moment = Moment::of(500, 1000, 5 * SECOND);
        assert_eq!(moment, Moment { percent: 50, rate: Some(100), left: Some(5 * SECOND) });
    }

    #[test]
    fn nothing_done_tells_nothing() {
        let nothing = Moment { percent: 0, rate: None, left: None };
        assert_eq!(Moment::of(0, 1000, SECOND), nothing);
        assert_eq!(Moment::of(0, 0, SECOND), nothing);
        assert_eq!(Moment::of(0, 0, Duration::ZERO), nothing);
    }

    #[test]
    fn no_time_gone_by_tells_no_rate() {
        assert_eq!(Moment::of(10, 1000, Duration::ZERO), Moment { percent: 1, rate: None, left: None });
    }

    #[test]
    fn more_than_expected_is_nearly_done_and_nobody_knows_until_when() {
        for (done, expected) in [(1000, 1000), (1001, 1000), (u64::MAX, 1), (1, 0)] {
            let moment = Moment::of(done, expected, SECOND);
            assert_eq!((moment.percent, moment.left), (99, None), "{done} of {expected}");
            assert_eq!(moment.rate, Some(done));
        }
    }

    #[test]
    fn a_time_beyond_all_measure_is_not_told() {
        assert_eq!(Moment::of(1, u64::MAX, SECOND).left, None);
    }

    #[test]
    fn bars() {
        assert_eq!(bar(0), "[                    ] 0 %");
        assert_eq!(bar(4), "[                    ] 4 %");
        assert_eq!(bar(45), "[#########           ] 45 %");
        assert_eq!(bar(99), "[################### ] 99 %");
        assert_eq!(bar(100), "[####################] 100 %");
        assert_eq!(bar(255), bar(100));
    }

    proptest! {
        #[test]
        fn whatever_the_estimate(done: u64, expected: u64, micros: u64) {
            let moment = Moment::of(done, expected, Duration::from_micros(micros));
            prop_assert!(moment.percent <= 99);
            prop_assert!(moment.left.is_none_or(|left| left <= LONGEST_LEFT && done < expected));
        }

        #[test]
        fn more_done_is_never_less_far(done: u64, more: u64, expected: u64) {
            prop_assert!(percent(done, expected) <= percent(done.saturating_add(more), expected));
        }
    }
}
