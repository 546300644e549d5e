//! For tests: the rules of the module's documentation, asked of every minute of a window of real time.

use chrono::{DateTime, NaiveDateTime, Offset, TimeDelta, TimeZone, Timelike, Utc};
use chrono_tz::Tz;

/// A window of real time with what a clock on the wall then shows.
pub(super) struct WallClock {
    /// Steps of real time that meet every full minute of the wall clock.
    steps: Vec<(DateTime<Utc>, NaiveDateTime)>,
    /// Every minute of local time that the window reaches, shown or left out, with when it or a later one is first
    /// shown. Without what falls on the window's start: the clock may have shown it before.
    local: Vec<(NaiveDateTime, DateTime<Utc>)>,
}

/// Seconds that the clocks of a zone are ahead of UTC.
pub(super) fn offset_at(zone: Tz, time: DateTime<Utc>) -> i32 {
    zone.offset_from_utc_datetime(&time.naive_utc()).fix().local_minus_utc()
}

impl WallClock {
    pub(super) fn new(zone: Tz, start: DateTime<Utc>, length: TimeDelta) -> Self {
        let end = start + length;
        // Liberia's clocks were 44 minutes and a half behind until 1972.
        let in_minutes = [start, end].into_iter().all(|time| offset_at(zone, time) % 60 == 0);
        let step = TimeDelta::seconds(if in_minutes { 60 } else { 30 });
        let steps: Vec<_> = std::iter::successors(Some(start), |time| Some(*time + step))
            .take_while(|time| *time < end)
            .map(|time| (time, time.with_timezone(&zone).naive_local()))
            .collect();
        let mut local = Vec::new();
        let mut minute = steps[0].1.with_second(0).unwrap();
        for (time, shown) in &steps {
            while minute <= *shown {
                if *time > start {
                    local.push((minute, *time));
                }
                minute += TimeDelta::minutes(1);
            }
        }
        Self { steps, local }
    }

    /// The first and the last step.
    pub(super) fn ends(&self) -> (DateTime<Utc>, DateTime<Utc>) {
        (self.steps[0].0, self.steps[self.steps.len() - 1].0)
    }

    /// Wildcard times happen whenever the clock shows them.
    pub(super) fn wildcard(&self, allows: impl Fn(NaiveDateTime) -> bool) -> Vec<DateTime<Utc>> {
        let matching = self.steps.iter().filter(|(_, shown)| shown.second() == 0 && allows(*shown));
        matching.map(|(time, _)| *time).collect()
    }

    /// Fixed times happen once: when the clock first shows them or a later time.
    pub(super) fn fixed(&self, allows: impl Fn(NaiveDateTime) -> bool) -> Vec<DateTime<Utc>> {
        let matching = self.local.iter().filter(|(minute, _)| allows(*minute));
        let mut times: Vec<_> = matching.map(|(_, time)| *time).collect();
        times.dedup();
        times
    }
}
