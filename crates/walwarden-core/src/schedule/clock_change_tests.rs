//! What happens when the clocks are changed.

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Timelike, Utc};
use chrono_tz::Tz;

use super::wall_clock::WallClock;
use super::*;

/// The times in a window, as local time with offset.
fn local_times(expression: &str, zone: &str, after: &str, until: &str) -> Vec<String> {
    let cron = Cron::parse(expression, zone).unwrap();
    let tz: Tz = zone.parse().unwrap();
    let until: DateTime<Utc> = until.parse().unwrap();
    let times = std::iter::successors(cron.next_after(after.parse().unwrap()), |last| cron.next_after(*last));
    let window = times.take_while(|time| *time <= until);
    window.map(|time| time.with_timezone(&tz).format("%d %H:%M%:::z").to_string()).collect()
}

/// Berlin: 02:00 +01 becomes 03:00 +02 on 29 March 2026, at 01:00 UTC.
fn berlin_spring(expression: &str) -> Vec<String> {
    local_times(expression, "Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-30T06:00:00Z")
}

/// Berlin: 03:00 +02 becomes 02:00 +01 on 25 October 2026, at 01:00 UTC.
fn berlin_autumn(expression: &str) -> Vec<String> {
    local_times(expression, "Europe/Berlin", "2026-10-24T12:00:00Z", "2026-10-26T06:00:00Z")
}

/// New York: 02:00 -05 becomes 03:00 -04 on 8 March 2026.
fn new_york_spring(expression: &str) -> Vec<String> {
    local_times(expression, "America/New_York", "2026-03-07T18:00:00Z", "2026-03-09T12:00:00Z")
}

/// New York: 02:00 -04 becomes 01:00 -05 on 1 November 2026.
fn new_york_autumn(expression: &str) -> Vec<String> {
    local_times(expression, "America/New_York", "2026-10-31T18:00:00Z", "2026-11-02T12:00:00Z")
}

#[test]
fn a_fixed_time_in_the_gap_runs_right_after_it() {
    assert_eq!(berlin_spring("30 2 * * *"), ["29 03:00+02", "30 02:30+02"]);
    assert_eq!(berlin_spring("0 2 * * *"), ["29 03:00+02", "30 02:00+02"]);
    assert_eq!(new_york_spring("30 2 * * *"), ["08 03:00-04", "09 02:30-04"]);
}

#[test]
fn fixed_times_around_the_gap_are_untouched() {
    assert_eq!(berlin_spring("59 1 * * *"), ["29 01:59+01", "30 01:59+02"]);
    assert_eq!(berlin_spring("0 3 * * *"), ["29 03:00+02", "30 03:00+02"]);
    assert_eq!(new_york_spring("15 4 * * *"), ["08 04:15-04", "09 04:15-04"]);
}

#[test]
fn lists_and_ranges_of_hours_are_fixed_times_too() {
    assert_eq!(berlin_spring("0 2,14 * * *"), ["28 14:00+01", "29 03:00+02", "29 14:00+02", "30 02:00+02"]);
    assert_eq!(berlin_autumn("30 2,14 * * *"), ["24 14:30+02", "25 02:30+02", "25 14:30+01", "26 02:30+01"]);
    // Several in the gap, and one right after it, are one run.
    assert_eq!(
        berlin_spring("0,20,40 2-3 * * *"),
        ["29 03:00+02", "29 03:20+02", "29 03:40+02"]
            .into_iter()
            .chain(["30 02:00+02", "30 02:20+02", "30 02:40+02", "30 03:00+02", "30 03:20+02", "30 03:40+02"])
            .collect::<Vec<_>>()
    );
}

#[test]
fn a_fixed_time_in_the_repeated_hour_runs_once_the_first_time() {
    assert_eq!(berlin_autumn("30 2 * * *"), ["25 02:30+02", "26 02:30+01"]);
    assert_eq!(berlin_autumn("0 3 * * *"), ["25 03:00+01", "26 03:00+01"]);
    assert_eq!(new_york_autumn("30 1 * * *"), ["01 01:30-04", "02 01:30-05"]);
    assert_eq!(new_york_autumn("0 2 * * *"), ["01 02:00-05", "02 02:00-05"]);
}

#[test]
fn it_does_not_run_again_seen_from_within_the_repeat() {
    let cron = Cron::parse("30 2 * * *", "Europe/Berlin").unwrap();
    let next_day: DateTime<Utc> = "2026-10-26T01:30:00Z".parse().unwrap();
    // 02:30 +02 itself, 02:45 +02, 02:00 +01, 02:29 +01, 02:30 +01.
    for after in ["00:30:00", "00:45:00", "01:00:00", "01:29:00", "01:30:00"] {
        let after = format!("2026-10-25T{after}Z").parse().unwrap();
        assert_eq!(cron.next_after(after), Some(next_day), "{after}");
    }
}

#[test]
fn an_hourly_job_runs_every_hour_of_real_time() {
    for (zone, start) in
        [("Europe/Berlin", "2026-03-28T22:00:00Z"), ("Europe/Berlin", "2026-10-24T22:00:00Z")]
    {
        let cron = Cron::parse("0 * * * *", zone).unwrap();
        let start: DateTime<Utc> = start.parse().unwrap();
        for hour in 0..12 {
            let time = start + TimeDelta::hours(hour);
            assert_eq!(cron.next_after(time), Some(time + TimeDelta::hours(1)));
        }
    }
}

#[test]
fn a_wildcard_follows_the_wall_clock() {
    assert_eq!(berlin_spring("*/30 2 * * *"), ["30 02:00+02", "30 02:30+02"]);
    assert_eq!(
        berlin_autumn("*/30 2 * * *")[..4],
        ["25 02:00+02", "25 02:30+02", "25 02:00+01", "25 02:30+01"]
    );
    assert_eq!(new_york_autumn("0 */1 * * *")[10..13], ["01 01:00-04", "01 01:00-05", "01 02:00-05"]);
    assert_eq!(new_york_spring("0 */2 * * *")[5..8], ["08 00:00-05", "08 04:00-04", "08 06:00-04"]);
}

#[test]
fn missed_times_are_counted_through_a_change() {
    let cron = Cron::parse("30 2 * * *", "Europe/Berlin").unwrap();
    let after = "2026-03-27T12:00:00Z".parse().unwrap();
    let now: DateTime<Utc> = "2026-03-29T01:00:00Z".parse().unwrap();
    assert_eq!(cron.latest_due(after, now), Some((now, 1)));
}

/// Days around changes of every odd kind, from the tz database.
const CHANGES: [(&str, (i32, u32, u32)); 15] = [
    ("Europe/Berlin", (2026, 3, 29)),
    ("Europe/Berlin", (2026, 10, 25)),
    ("America/New_York", (2026, 3, 8)),
    ("America/New_York", (2026, 11, 1)),
    ("Australia/Lord_Howe", (2026, 4, 5)), // half an hour
    ("Australia/Lord_Howe", (2026, 10, 4)),
    ("America/Havana", (2026, 3, 8)), // at midnight
    ("America/Havana", (2026, 11, 1)),
    ("Africa/Cairo", (2026, 10, 29)),   // at the end of the day, back into it
    ("America/St_Johns", (2006, 4, 2)), // 00:01
    ("America/St_Johns", (2006, 10, 29)), // 00:01, back into the day before
    ("Pacific/Apia", (2011, 12, 30)),   // a day that never was
    ("Asia/Pyongyang", (2015, 8, 15)),  // half an hour back, for good
    ("Antarctica/Troll", (2026, 3, 29)), // two hours
    ("Pacific/Kwajalein", (1993, 8, 21)), // a day left out
];

#[test]
fn agrees_with_the_wall_clock_everywhere() {
    for (zone, (year, month, day)) in CHANGES {
        let tz: Tz = zone.parse().unwrap();
        let change = NaiveDate::from_ymd_opt(year, month, day).unwrap().and_time(NaiveTime::MIN).and_utc();
        let clock = WallClock::new(tz, change - TimeDelta::days(2), TimeDelta::days(6));
        let (start, end) = clock.ends();
        let follow = |expression: &str| -> Vec<DateTime<Utc>> {
            let cron = Cron::parse(expression, zone).unwrap();
            let times = std::iter::successors(cron.next_after(start), |last| cron.next_after(*last));
            times.take_while(|time| *time <= end).collect()
        };
        let inside = |times: Vec<DateTime<Utc>>| -> Vec<DateTime<Utc>> {
            times.into_iter().filter(|time| *time > start).collect()
        };

        for hour in 0..24 {
            for minute in [0, 1, 30, 59] {
                let allows = |shown: NaiveDateTime| (shown.hour(), shown.minute()) == (hour, minute);
                let expression = format!("{minute} {hour} * * *");
                assert_eq!(follow(&expression), clock.fixed(allows), "{zone} {expression}");
            }
            let allows = |shown: NaiveDateTime| shown.hour() == hour && shown.minute().is_multiple_of(7);
            let expression = format!("*/7 {hour} * * *");
            assert_eq!(follow(&expression), inside(clock.wildcard(allows)), "{zone} {expression}");
        }
        let quarter_past = |shown: NaiveDateTime| shown.minute() == 15;
        assert_eq!(follow("15 * * * *"), inside(clock.wildcard(quarter_past)), "{zone}");
        assert_eq!(follow("* * * * *"), inside(clock.wildcard(|_| true)), "{zone}");
    }
}

#[test]
fn clocks_are_still_changed_in_the_far_future() {
    let cron = Cron::parse("0 2 * * *", "Europe/Berlin").unwrap();
    for (after, next) in
        [("2061-01-10T12:00:00Z", "2061-01-11T01:00:00Z"), ("2061-07-10T12:00:00Z", "2061-07-11T00:00:00Z")]
    {
        assert_eq!(cron.next_after(after.parse().unwrap()), Some(next.parse().unwrap()));
    }
}
