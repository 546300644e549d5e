//! All the times of a schedule: a cron expression or an interval, with a jitter.

use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};

use super::interval::{EVERY, Interval};
use super::jitter::Jitter;
use super::{Cron, MAX_LENGTH, parse_zone};
use crate::error::{Error, Result};

/// How many scheduled times are looked at for the shortest gap between two. With many times a day it shows on the
/// first day; with few, these are months.
const GAPS_LOOKED_AT: usize = 400;

/// From when on the gaps are looked at: 1 January 2024, in seconds since the epoch. A fixed year, a leap year, of
/// which no time zone will change any more: what was accepted once is accepted always and everywhere.
const GAPS_LOOKED_AT_FROM: i64 = 1_704_067_200;

/// One time of a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Occurrence {
    /// The time by the expression alone. It identifies the occurrence, whatever the jitter.
    pub scheduled_for: DateTime<Utc>,
    /// When it is due: `scheduled_for` and its share of the jitter.
    pub fires_at: DateTime<Utc>,
}

/// When a schedule fires: a cron expression in a time zone, or an interval; each time delayed by a jitter. It
/// always fires again.
///
/// An interval, `@every 6h`, is counted from the Unix epoch, 00:00 UTC on a Thursday: `@every 6h` fires at 00:00,
/// 06:00, 12:00 and 18:00 UTC, `@every 1w` on Thursdays. It so fires at the same times on every server and after
/// every restart, however long the last run took. It follows real time, not the wall clock: the time zone and its
/// changes have no effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timetable {
    times: Times,
    jitter: Option<Jitter>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Times {
    Cron(Cron),
    Interval(Interval),
}

impl Timetable {
    /// Reads what [`Cron::parse`] reads, or `@every` and an interval of whole weeks, days, hours and minutes
    /// (`2d`, `1h30m`), from one minute to 366 days.
    ///
    /// # Errors
    /// `InvalidInput`, with the reason as detail, when the expression is neither, never fires, or the time zone is
    /// unknown.
    pub fn parse(expression: &str, time_zone: &str) -> Result<Self> {
        let first = expression.split_ascii_whitespace().next();
        let is_interval = first.is_some_and(|word| word.eq_ignore_ascii_case(EVERY));
        let times = if is_interval && expression.len() <= MAX_LENGTH {
            let words: Vec<&str> = expression.split_ascii_whitespace().collect();
            Times::Interval(Interval::parse(&words, parse_zone(time_zone)?)?)
        } else {
            Times::Cron(Cron::parse(expression, time_zone)?)
        };
        Ok(Self { times, jitter: None })
    }

    /// The same times, each delayed by less than `seconds`: by how much depends on `seed` and the time alone, so
    /// that all who ask agree, a restart changes nothing, and schedules with other seeds are spread. The seed
    /// should name the database, the schedule and the kind of its jobs.
    ///
    /// No time overtakes the next one: a jitter that is not shorter than the shortest gap between two times is
    /// refused. That gap is looked for in the year 2024 (in the first 400 times from its start, two at least).
    /// Where a change of the clocks makes another gap shorter, its first time fires a second before its second
    /// one at the latest.
    ///
    /// # Errors
    /// `InvalidInput`, naming the gap, when the jitter is too long.
    pub fn with_jitter(self, seconds: u32, seed: &str) -> Result<Self> {
        let jitter = Jitter::new(seconds, seed);
        if let (Some(jitter), Some((first, second))) = (&jitter, self.shortest_gap()) {
            let gap = second - first;
            if jitter.bound() >= gap {
                let gap = gap.num_seconds();
                return Err(Error::invalid(format!(
                    "a jitter of {seconds} seconds is too long for \"{}\"",
                    self.expression()
                ))
                .detail(format!(
                    "Two of its times, such as {} and {} UTC, are {gap} seconds apart.",
                    first.format("%Y-%m-%d %H:%M"),
                    second.format("%Y-%m-%d %H:%M"),
                ))
                .hint(format!("Choose a jitter of less than {gap} seconds, or no jitter.")));
            }
        }
        Ok(Self { jitter, ..self })
    }

    /// The expression as it was given, with single spaces.
    pub fn expression(&self) -> &str {
        match &self.times {
            Times::Cron(cron) => cron.expression(),
            Times::Interval(interval) => interval.expression(),
        }
    }

    /// The IANA name of the time zone, in its usual spelling. An interval has one too, and ignores it.
    pub fn time_zone(&self) -> &'static str {
        match &self.times {
            Times::Cron(cron) => cron.time_zone(),
            Times::Interval(interval) => interval.time_zone(),
        }
    }

    /// The first occurrence that fires strictly after `after`. `None` only where the calendar itself ends.
    pub fn next_after(&self, after: DateTime<Utc>) -> Option<Occurrence> {
        // What was scheduled before this has fired before `after`.
        let mut before = match &self.jitter {
            Some(jitter) => after.max(DateTime::UNIX_EPOCH) - jitter.bound(),
            None => after,
        };
        loop {
            let occurrence = self.occurrence(self.times.next_after(before)?);
            if occurrence.fires_at > after {
                return Some(occurrence);
            }
            before = occurrence.scheduled_for;
        }
    }

    /// The latest occurrence that fires in `(after, now]`, and how many earlier ones do. The count stops at
    /// [`MISSED_LIMIT`](super::MISSED_LIMIT); the latest one is exact however many there are.
    pub fn latest_due(&self, after: DateTime<Utc>, now: DateTime<Utc>) -> Option<(Occurrence, u64)> {
        let first = self.next_after(after).filter(|first| first.fires_at <= now)?;
        // Occurrences fire in the order of their scheduled times, so these are counted: from the first one on,
        // to the last or the last but one, which is scheduled by now and fires later.
        let instant = TimeDelta::nanoseconds(1);
        let before_first = first.scheduled_for - instant;
        let (time, earlier) = self.times.latest_due(before_first, now)?;
        let latest = self.occurrence(time);
        if latest.fires_at <= now {
            return Some((latest, earlier));
        }
        let (time, earlier) = self.times.latest_due(before_first, time - instant)?;
        Some((self.occurrence(time), earlier))
    }

    /// The occurrence that is scheduled for this time.
    fn occurrence(&self, scheduled_for: DateTime<Utc>) -> Occurrence {
        let mut fires_at = scheduled_for;
        if let Some(jitter) = &self.jitter {
            let delayed = scheduled_for.checked_add_signed(jitter.delay(scheduled_for));
            let latest = self.times.next_after(scheduled_for).map(|next| next - TimeDelta::seconds(1));
            fires_at = delayed.into_iter().chain(latest).min().unwrap_or(scheduled_for);
        }
        Occurrence { scheduled_for, fires_at }
    }

    /// The two neighbors with the shortest gap, of the times [`with_jitter`](Self::with_jitter) looks at.
    fn shortest_gap(&self) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
        let start = DateTime::from_timestamp(GAPS_LOOKED_AT_FROM, 0)?;
        let end = start + TimeDelta::days(366);
        let followed =
            std::iter::successors(self.times.next_after(start), |time| self.times.next_after(*time));
        let wanted =
            |(place, time): &(usize, DateTime<Utc>)| *place < 2 || *place < GAPS_LOOKED_AT && *time <= end;
        let times: Vec<_> = followed.enumerate().take_while(wanted).map(|(_, time)| time).collect();
        let pairs = times.windows(2).filter_map(|pair| Some((*pair.first()?, *pair.last()?)));
        pairs.min_by_key(|(first, second)| *second - *first)
    }
}

impl fmt::Display for Timetable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.times {
            Times::Cron(cron) => cron.fmt(f),
            Times::Interval(interval) => interval.fmt(f),
        }
    }
}

impl Times {
    fn next_after(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self {
            Times::Cron(cron) => cron.next_after(after),
            Times::Interval(interval) => interval.next_after(after),
        }
    }

    fn latest_due(&self, after: DateTime<Utc>, now: DateTime<Utc>) -> Option<(DateTime<Utc>, u64)> {
        match self {
            Times::Cron(cron) => cron.latest_due(after, now),
            Times::Interval(interval) => interval.latest_due(after, now),
        }
    }
}
