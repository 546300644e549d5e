//! Axes: where marks stand, and which values and moments are named.

use std::time::Duration;

use chrono::TimeDelta;

use super::model::Time;
use super::quantity::{size_text, span_text};

/// What the values of an axis are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// Sizes.
    Bytes,
    /// Spans of time.
    Seconds,
}

impl Measure {
    /// A value as people read it.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "values are not negative; as saturates"
    )]
    pub fn text(self, value: f64) -> String {
        match self {
            Self::Bytes => size_text(value as u64),
            Self::Seconds => span_text(Duration::try_from_secs_f64(value).unwrap_or_default()),
        }
    }

    /// The name of a line at such a step: in whole units, where `text` has two.
    pub fn tick_text(self, value: f64) -> String {
        match self {
            _ if value == 0.0 => "0".to_owned(),
            Self::Bytes => self.text(value).replace(".0 ", " "),
            Self::Seconds => {
                let units = [(86_400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s")];
                match units.into_iter().find(|(seconds, _)| value >= *seconds && value % seconds == 0.0) {
                    Some((seconds, unit)) => format!("{} {unit}", value / seconds),
                    None if value < 1.0 => format!("{value:.2} s"),
                    None => self.text(value),
                }
            }
        }
    }

    /// Steps that people count in, ascending.
    fn steps(self) -> Vec<f64> {
        match self {
            Self::Bytes => (0..60).map(|power| 2f64.powi(power)).collect(),
            Self::Seconds => {
                let fractions = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5];
                let minutes = [1, 2, 5, 10, 15, 30].map(f64::from);
                let hours = [1, 2, 3, 6, 12].map(f64::from);
                let days = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000].map(f64::from);
                let seconds = minutes;
                fractions
                    .into_iter()
                    .chain(seconds)
                    .chain(minutes.map(|step| step * 60.0))
                    .chain(hours.map(|step| step * 3600.0))
                    .chain(days.map(|step| step * 86_400.0))
                    .collect()
            }
        }
    }

    /// The values to be named: zero, and so many equal steps that the last one is not below the highest.
    pub fn ticks(self, highest: f64) -> Vec<f64> {
        let steps = self.steps();
        let last = steps.last().copied().unwrap_or(1.0);
        let step = steps
            .into_iter()
            .find(|step| step * MOST_STEPS >= highest)
            .unwrap_or(last.max(highest / MOST_STEPS));
        let mut ticks = vec![0.0];
        while let Some(tick) = ticks.last().map(|tick| tick + step) {
            ticks.push(tick);
            if tick >= highest {
                break;
            }
        }
        ticks
    }
}

/// More lines than these are no help.
const MOST_STEPS: f64 = 4.0;

/// The moments to be named, evenly from the first to the last, and what they are called.
pub fn moments(from: &Time, to: &Time, count: i32) -> Vec<(Time, String)> {
    let span = *to - *from;
    let form = if span < TimeDelta::days(3) {
        "%b %-d %H:%M"
    } else if span < TimeDelta::days(300) {
        "%b %-d"
    } else {
        "%Y-%m"
    };
    (0..=count)
        .map(|place| {
            let moment = *from + span / count.max(1) * place;
            (moment, moment.format(form).to_string())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ticks_are_what_people_count_in() {
        let mb = 1_048_576.0;
        assert_eq!(Measure::Bytes.ticks(70.0 * mb), [0.0, 32.0 * mb, 64.0 * mb, 96.0 * mb]);
        assert_eq!(Measure::Seconds.ticks(100.0), [0.0, 30.0, 60.0, 90.0, 120.0]);
        assert_eq!(Measure::Seconds.ticks(0.0), [0.0, 0.01]);
        let names = |measure: Measure, values: &[f64]| {
            values.iter().map(|v| measure.tick_text(*v)).collect::<Vec<_>>()
        };
        assert_eq!(names(Measure::Bytes, &[0.0, 32.0 * mb, 1024.0 * mb]), ["0", "32 MB", "1 GB"]);
        assert_eq!(
            names(Measure::Seconds, &[0.02, 30.0, 90.0, 120.0, 7200.0]),
            ["0.02 s", "30 s", "90 s", "2 min", "2 h"]
        );
    }

    proptest! {
        #[test]
        fn ticks_reach_the_highest_and_are_few(highest in 0.0..1e18f64) {
            for measure in [Measure::Bytes, Measure::Seconds] {
                let ticks = measure.ticks(highest);
                prop_assert!(ticks.last().is_some_and(|last| *last >= highest));
                prop_assert!(ticks.len() <= 6, "{ticks:?}");
            }
        }
    }
}
