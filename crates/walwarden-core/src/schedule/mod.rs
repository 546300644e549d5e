//! When the jobs of a schedule run: [`Timetable`] has its times, [`Check`] decides what a tick does about those that
//! passed, [`Retries`] when a failed job is tried again. This file reads five-field cron expressions in a time zone.
//!
//! The rules are those of POSIX crontab with Vixie cron's steps and names, which pg_cron follows too:
//! - `minute hour day-of-month month day-of-week`; lists `1,2`, ranges `1-5`, steps `*/5` and `10-50/5`,
//!   names `jan`-`dec` and `sun`-`sat`; Sunday is 0 and 7.
//! - A day must match **either** day field when both are restricted, else the restricted one. As in Vixie
//!   cron a field is restricted when it does not begin with `*`; so `*/2` in one day field narrows the other.
//! - What never fires, and what does not mean what it seems to (`*/90`), is refused when it is defined.
//!
//! When the clocks change, as in Vixie cron:
//! - *Fixed times* (neither the minute nor the hour begins with `*`) run exactly once: those in the hour that
//!   is left out run right after the gap, all of them as one run; those in the hour that is repeated run the
//!   first time.
//! - *Wildcard times* follow the wall clock: nothing in the hour left out, twice in the hour repeated. So
//!   `0 * * * *` runs once per hour of real time, and `*/30 2 * * *` not at all on the day without that hour.

mod calendar;
mod definition;
mod due;
mod field;
mod interval;
mod jitter;
mod occurrence;
mod retry;
mod timetable;

use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;

use crate::error::{Error, Result};
use calendar::Calendar;
pub use definition::Definition;
use field::Field;
use occurrence::ClockTimes;

pub use due::{CatchUp, Check, Due, LATEST_START, Missed, Overlap};
pub use retry::{LONGEST_DELAY_SECONDS, Retries};
pub use timetable::{Occurrence, Timetable};

/// The most missed times that are counted, here and by [`Timetable::latest_due`].
pub const MISSED_LIMIT: u64 = 10_000;

/// Longer expressions are refused unread; the longest that says anything new is shorter.
const MAX_LENGTH: usize = 512;

/// A checked cron expression in a time zone. It always fires again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cron {
    expression: String,
    zone: Tz,
    calendar: Calendar,
    times: ClockTimes,
}

impl Cron {
    /// Reads five fields, or one of `@hourly @daily @midnight @weekly @monthly @yearly @annually`, in a time
    /// zone of the IANA database. Names are read without regard to case.
    ///
    /// # Errors
    /// `InvalidInput`, with the field and the reason as detail, when the expression is not that, never fires,
    /// or the time zone is unknown.
    pub fn parse(expression: &str, time_zone: &str) -> Result<Self> {
        let zone = parse_zone(time_zone)?;
        if expression.len() > MAX_LENGTH {
            return Err(Error::invalid("could not read the cron expression")
                .detail(format!("It has {} bytes; at most {MAX_LENGTH} are read.", expression.len()))
                .hint(EXAMPLE));
        }
        let words: Vec<&str> = expression.split_ascii_whitespace().collect();
        let expression = words.join(" ");
        let refused = |why: String| {
            Error::invalid(format!("could not read cron expression \"{expression}\"")).detail(why)
        };

        let expanded: Vec<&str> = match words.as_slice() {
            [name] if name.starts_with('@') => expand_nickname(name)
                .ok_or_else(|| refused(format!("The nickname \"{name}\" is not known.")).hint(NICKNAMES))?
                .split(' ')
                .collect(),
            other => other.to_vec(),
        };
        let [minute, hour, day, month, weekday] = expanded.as_slice() else {
            let found = expanded.len();
            return Err(refused(format!(
                "Five fields are expected (minute, hour, day of month, month, day of week); it has {found}."
            ))
            .hint(EXAMPLE));
        };

        let read = |field: &Field, text: &str| {
            field.parse(text).map_err(|why| {
                refused(format!("The {} field \"{text}\" cannot be used: {why}.", field.name)).hint(EXAMPLE)
            })
        };
        let (minutes, hours) = (read(&field::MINUTE, minute)?, read(&field::HOUR, hour)?);
        let calendar = Calendar::new(
            read(&field::DAY_OF_MONTH, day)?,
            read(&field::MONTH, month)?,
            read(&field::DAY_OF_WEEK, weekday)?,
        );
        if !calendar.ever_matches() {
            return Err(refused(format!("It never fires: no month in \"{month}\" has a day in \"{day}\"."))
                .hint("Choose days that exist in at least one of the months."));
        }
        let times = ClockTimes::new(minutes, hours);
        Ok(Self { expression, zone, calendar, times })
    }

    /// The expression as it was given, with single spaces.
    pub fn expression(&self) -> &str {
        &self.expression
    }

    /// The IANA name of the time zone, in its usual spelling.
    pub fn time_zone(&self) -> &'static str {
        self.zone.name()
    }

    /// The first scheduled time strictly after `after`. `None` only where the calendar itself ends, some
    /// thousands of years from now.
    pub fn next_after(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        occurrence::next_after(&self.calendar, &self.times, self.zone, after)
    }

    /// The latest scheduled time in `(after, now]`, and how many earlier ones the same interval holds: those
    /// were missed. The count stops at [`MISSED_LIMIT`]; the latest time is exact however many there are.
    pub fn latest_due(&self, after: DateTime<Utc>, now: DateTime<Utc>) -> Option<(DateTime<Utc>, u64)> {
        let due_after = |time| self.next_after(time).filter(|next| *next <= now);
        let mut latest = due_after(after)?;
        let mut missed = 0;
        while let Some(next) = due_after(latest) {
            if missed == MISSED_LIMIT {
                return Some((self.last_until(latest, now), missed));
            }
            latest = next;
            missed += 1;
        }
        Some((latest, missed))
    }

    /// The last scheduled time until `now`, `known` being an earlier one. Bisects, because there may be
    /// millions between them.
    fn last_until(&self, known: DateTime<Utc>, now: DateTime<Utc>) -> DateTime<Utc> {
        let (mut last, mut before, mut none_after) = (known, known, now);
        while none_after - before > TimeDelta::seconds(1) {
            let middle = before + (none_after - before) / 2;
            match self.next_after(middle).filter(|next| *next <= now) {
                Some(next) => (last, before) = (next, next),
                None => none_after = middle,
            }
        }
        last
    }
}

impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.expression, self.zone.name())
    }
}

const EXAMPLE: &str = "Write five fields without seconds or years, for example \"0 2 * * *\" for every day \
                       at 02:00 or \"30 3 * * mon-fri\" for working days at 03:30.";

const NICKNAMES: &str = "Known are @hourly, @daily, @midnight, @weekly, @monthly, @yearly and @annually, and @every \
                         with an interval, such as \"@every 6h\"; \
                         a schedule has no @reboot, because it follows the clock only.";

/// The five fields a nickname stands for, as in Vixie cron.
fn expand_nickname(name: &str) -> Option<&'static str> {
    match name.to_ascii_lowercase().as_str() {
        "@hourly" => Some("0 * * * *"),
        "@daily" | "@midnight" => Some("0 0 * * *"),
        "@weekly" => Some("0 0 * * 0"),
        "@monthly" => Some("0 0 1 * *"),
        "@yearly" | "@annually" => Some("0 0 1 1 *"),
        _ => None,
    }
}

fn parse_zone(name: &str) -> Result<Tz> {
    // PostgreSQL reads time zone names without regard to case, so users do not mind it either.
    let mut known = chrono_tz::TZ_VARIANTS.into_iter();
    known.find(|zone| zone.name().eq_ignore_ascii_case(name.trim())).ok_or_else(|| {
        let shown: String = name.chars().take(64).collect();
        Error::invalid(format!("unknown time zone \"{shown}\"")).hint(
            "Use a name of the IANA time zone database, for example Europe/Berlin or America/New_York, or UTC, \
             which is the default.",
        )
    })
}

#[cfg(test)]
mod clock_change_tests;
#[cfg(test)]
mod every_zone_tests;
#[cfg(test)]
mod oracle_tests;
#[cfg(test)]
mod parse_tests;
#[cfg(test)]
mod timetable_tests;
#[cfg(test)]
mod wall_clock;
#[cfg(test)]
mod year_tests;
