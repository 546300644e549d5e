//! The search for the next scheduled time, across changes of the clock.

use chrono::{DateTime, LocalResult, NaiveDate, NaiveDateTime, Offset, TimeDelta, TimeZone, Timelike, Utc};
use chrono_tz::{GapInfo, Tz};

use super::calendar::Calendar;
use super::field::NumberSet;

/// How far ahead the search looks: days. The rarest expression is 29 February on one weekday, which is at
/// most 40 years away (2072 to 2112, because 2100 is no leap year).
const HORIZON: i64 = 45 * 366;

/// The times of day of a cron expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ClockTimes {
    minutes: NumberSet,
    hours: NumberSet,
}

impl ClockTimes {
    pub(super) fn new(minutes: NumberSet, hours: NumberSet) -> Self {
        Self { minutes, hours }
    }

    /// Whether these are fixed times, each to run once a day whatever the clock does (Vixie cron's test).
    fn are_fixed(&self) -> bool {
        !self.minutes.starred && !self.hours.starred
    }
}

/// The first scheduled time strictly after `after`.
pub(super) fn next_after(
    calendar: &Calendar,
    times: &ClockTimes,
    zone: Tz,
    after: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    // Local times do not exist at the very edges of chrono's range; nothing of ours was scheduled before
    // 1970.
    let after = after.max(DateTime::UNIX_EPOCH);
    let until = after.checked_add_signed(TimeDelta::days(HORIZON))?;
    if times.are_fixed() {
        next_fixed(calendar, times, zone, after, until)
    } else {
        next_wildcard(calendar, times, zone, after, until)
    }
}

/// Walks the local calendar. [`instant_of`] never decreases with the local time, so the first one that is
/// late enough is the answer.
fn next_fixed(
    calendar: &Calendar,
    times: &ClockTimes,
    zone: Tz,
    after: DateTime<Utc>,
    until: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    // What the clock shows, it has not yet to show: only later times are worth the way to their instant.
    let shown = after.with_timezone(&zone).naive_local();
    let last = until.date_naive();
    let days = shown.date().iter_days().take_while(|day| *day <= last).filter(|day| calendar.matches(*day));
    let ahead = days.flat_map(|day| times_on(times, day)).filter(|local| *local > shown);
    ahead.filter_map(|local| instant_of(zone, local)).find(|time| *time > after)
}

fn times_on(times: &ClockTimes, day: NaiveDate) -> impl Iterator<Item = NaiveDateTime> {
    let minutes = times.minutes;
    times
        .hours
        .iter()
        .flat_map(move |hour| minutes.iter().filter_map(move |minute| day.and_hms_opt(hour, minute, 0)))
}

/// When a fixed local time happens: once. The first time if the clock shows it twice, and right after the gap
/// if it never does.
fn instant_of(zone: Tz, local: NaiveDateTime) -> Option<DateTime<Utc>> {
    let instant = match zone.from_local_datetime(&local) {
        LocalResult::Single(instant) | LocalResult::Ambiguous(instant, _) => instant,
        LocalResult::None => GapInfo::new(&local, &zone)?.end?,
    };
    Some(instant.with_timezone(&Utc))
}

/// Walks real time and asks what the wall clock shows, skipping what cannot match.
fn next_wildcard(
    calendar: &Calendar,
    times: &ClockTimes,
    zone: Tz,
    after: DateTime<Utc>,
    until: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    let offset_at = |time: DateTime<Utc>| zone.offset_from_utc_datetime(&time.naive_utc()).fix();
    let mut time = after.with_nanosecond(0)? + TimeDelta::seconds(1);
    while time <= until {
        let offset = offset_at(time);
        let local = time.naive_utc() + offset;
        let (hour, minute, second) = (local.hour(), local.minute(), local.second());
        if second != 0 {
            time += TimeDelta::seconds(i64::from(60 - second));
            continue;
        }
        let wait = if !calendar.matches(local.date()) {
            (24 - hour) * 60 - minute
        } else if !times.hours.contains(hour) {
            60 - minute
        } else {
            match times.minutes.at_least(minute) {
                Some(next) if next == minute => return Some(time),
                Some(next) => next - minute,
                None => 60 - minute,
            }
        };
        // A skip is right only while the clock runs on; where it is changed meanwhile, go minute by minute.
        let target = time + TimeDelta::minutes(i64::from(wait));
        time = if offset_at(target) == offset { target } else { time + TimeDelta::minutes(1) };
    }
    None
}
