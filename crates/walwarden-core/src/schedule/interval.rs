//! `@every 6h`: a fixed interval, counted from the Unix epoch.

use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;

use super::MISSED_LIMIT;
use crate::error::{Error, Result};

/// The word before an interval.
pub(super) const EVERY: &str = "@every";

/// Minutes of each unit, from large to small.
const UNITS: [(&str, u32); 4] = [("w", 7 * 24 * 60), ("d", 24 * 60), ("h", 60), ("m", 1)];

const LONGEST_MINUTES: u32 = 366 * 24 * 60;

const EXAMPLE: &str = "Write whole weeks, days, hours and minutes, large before small, for example \"@every 6h\", \
                       \"@every 1h30m\" or \"@every 2d\".";

/// A checked interval. It follows real time, not the wall clock: the time zone changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Interval {
    expression: String,
    zone: Tz,
    minutes: u32,
}

impl Interval {
    /// Reads what was split at its spaces, the first word being [`EVERY`].
    pub(super) fn parse(words: &[&str], zone: Tz) -> Result<Self> {
        let expression = words.join(" ");
        let refused = |why: String| {
            Error::invalid(format!("could not read the interval \"{expression}\"")).detail(why).hint(EXAMPLE)
        };
        let [_, text] = words else {
            let found = words.len().saturating_sub(1);
            return Err(refused(format!("One word is expected after {EVERY}; it has {found}.")));
        };
        let minutes = parse_minutes(text).map_err(|why| refused(format!("{why}.")))?;
        Ok(Self { expression, zone, minutes })
    }

    pub(super) fn expression(&self) -> &str {
        &self.expression
    }

    pub(super) fn time_zone(&self) -> &'static str {
        self.zone.name()
    }

    /// The first time strictly after `after`, and after the epoch itself.
    pub(super) fn next_after(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.time(self.number_until(after).checked_add(1)?)
    }

    /// The latest time in `(after, now]` and how many earlier ones the same interval holds, up to
    /// [`MISSED_LIMIT`].
    pub(super) fn latest_due(
        &self,
        after: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Option<(DateTime<Utc>, u64)> {
        let latest = self.number_until(now);
        let earlier = latest.checked_sub(self.number_until(after))?.checked_sub(1)?;
        let missed = u64::try_from(earlier).ok()?;
        Some((self.time(latest)?, missed.min(MISSED_LIMIT)))
    }

    /// The number of the latest time until `time`; the epoch has number 0, and nothing is before it.
    fn number_until(&self, time: DateTime<Utc>) -> i64 {
        time.max(DateTime::UNIX_EPOCH).timestamp() / (i64::from(self.minutes) * 60)
    }

    fn time(&self, number: i64) -> Option<DateTime<Utc>> {
        let since_epoch = TimeDelta::try_minutes(number.checked_mul(i64::from(self.minutes))?)?;
        DateTime::UNIX_EPOCH.checked_add_signed(since_epoch)
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.expression)
    }
}

/// `1h30m` as minutes, or why it is none (a clause without a final stop).
fn parse_minutes(text: &str) -> Result<u32, String> {
    let mut minutes: Option<u32> = Some(0);
    let mut allowed = UNITS.as_slice();
    let mut rest = text;
    while !rest.is_empty() {
        let (number, after_number) = split_while(rest, |c| c.is_ascii_digit());
        if number.is_empty() {
            return Err(format!("A whole number is expected where \"{rest}\" begins"));
        }
        let (unit, after_unit) = split_while(after_number, char::is_alphabetic);
        if unit.is_empty() {
            return Err(format!("The number {number} has no unit after it (w, d, h or m)"));
        }
        let same = |(name, _): &(&str, u32)| name.eq_ignore_ascii_case(unit);
        let Some(place) = allowed.iter().position(same) else {
            return Err(if UNITS.iter().any(same) {
                format!("The unit \"{unit}\" is repeated, or stands after a smaller one")
            } else {
                format!("The unit \"{unit}\" is not one of w, d, h and m")
            });
        };
        // None once it is longer than anything allowed.
        minutes = minutes.zip(number.parse().ok()).and_then(|(sum, number): (u32, u32)| {
            let more = number.checked_mul(allowed[place].1)?;
            sum.checked_add(more).filter(|sum| *sum <= LONGEST_MINUTES)
        });
        allowed = &allowed[place + 1..];
        rest = after_unit;
    }
    match minutes {
        Some(0) => Err("The shortest interval is one minute".to_owned()),
        Some(minutes) => Ok(minutes),
        None => Err("The longest interval is 366 days".to_owned()),
    }
}

fn split_while(text: &str, belongs: impl Fn(char) -> bool) -> (&str, &str) {
    let end = text.find(|c| !belongs(c)).unwrap_or(text.len());
    text.split_at(end)
}
