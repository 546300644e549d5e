//! Intervals and jitter.

use std::collections::HashSet;

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;

use super::*;
use crate::error::ErrorClass;

fn utc(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn timetable(expression: &str) -> Timetable {
    Timetable::parse(expression, "UTC").unwrap()
}

fn follow(timetable: &Timetable, after: DateTime<Utc>) -> impl Iterator<Item = Occurrence> {
    std::iter::successors(timetable.next_after(after), |last| timetable.next_after(last.fires_at))
}

/// The first times after the start of 2026, a Thursday.
fn first_times(expression: &str, count: usize) -> Vec<String> {
    let timetable = timetable(expression);
    let times = follow(&timetable, utc("2025-12-31T23:59:59Z"));
    let text = |found: Occurrence| found.fires_at.format("%Y-%m-%d %H:%M:%S").to_string();
    times.take(count).map(text).collect()
}

#[test]
fn cron_is_cron() {
    assert_eq!(first_times("0 2 * * *", 2), ["2026-01-01 02:00:00", "2026-01-02 02:00:00"]);
    assert_eq!(first_times("@weekly", 1), ["2026-01-04 00:00:00"]);
    let zoned = Timetable::parse(" 0  2 * * MON", "europe/berlin").unwrap();
    assert_eq!(zoned.to_string(), "0 2 * * MON (Europe/Berlin)");
    assert_eq!((zoned.expression(), zoned.time_zone()), ("0 2 * * MON", "Europe/Berlin"));
    let cron = Cron::parse("0 2 * * mon", "Europe/Berlin").unwrap();
    let (after, now) = (utc("2026-01-01T00:00:00Z"), utc("2026-12-01T00:00:00Z"));
    let due = zoned.latest_due(after, now).map(|(latest, missed)| (latest.fires_at, missed));
    assert_eq!(due, cron.latest_due(after, now));
}

#[test]
fn intervals_are_counted_from_the_epoch() {
    let at = ["2026-01-01 00:00:00", "2026-01-01 06:00:00", "2026-01-01 12:00:00", "2026-01-01 18:00:00"];
    for expression in
        ["@every 6h", " @EVERY\t6H ", "@every 360m", "@every 5h60m", "@every 0d6h", "@every 006h"]
    {
        assert_eq!(first_times(expression, 4), at, "{expression}");
    }
    assert_eq!(first_times("@every 1m", 2), ["2026-01-01 00:00:00", "2026-01-01 00:01:00"]);
    assert_eq!(first_times("@every 1h30m", 2), ["2026-01-01 00:00:00", "2026-01-01 01:30:00"]);
    // 2026-01-01 is day 20454 of the epoch, and a Thursday as its first day was.
    assert_eq!(first_times("@every 2d", 2), ["2026-01-01 00:00:00", "2026-01-03 00:00:00"]);
    assert_eq!(first_times("@every 5d", 1), ["2026-01-02 00:00:00"]);
    assert_eq!(first_times("@every 1w", 2), ["2026-01-01 00:00:00", "2026-01-08 00:00:00"]);
    assert_eq!(first_times("@every 2w1d", 1), ["2026-01-07 00:00:00"]);
    assert_eq!(first_times("@every 366d", 1), ["2026-02-12 00:00:00"]);
}

#[test]
fn an_interval_keeps_what_was_written() {
    let every = Timetable::parse("  @Every  1H30m ", "america/new_york").unwrap();
    assert_eq!(every.expression(), "@Every 1H30m");
    assert_eq!(every.time_zone(), "America/New_York");
    assert_eq!(every.to_string(), "@Every 1H30m", "the zone has no effect");
}

#[test]
fn what_is_no_interval_is_refused_with_the_reason() {
    for (expression, reason) in [
        ("@every", "One word is expected after @every; it has 0."),
        ("@every 1h 30m", "One word is expected after @every; it has 2."),
        ("@every 6", "The number 6 has no unit after it (w, d, h or m)."),
        ("@every 1h30", "The number 30 has no unit after it (w, d, h or m)."),
        ("@every 1.5h", "The number 1 has no unit after it (w, d, h or m)."),
        ("@every h", "A whole number is expected where \"h\" begins."),
        ("@every -6h", "A whole number is expected where \"-6h\" begins."),
        ("@every 1h-5m", "A whole number is expected where \"-5m\" begins."),
        ("@every ٣h", "A whole number is expected where \"٣h\" begins."),
        ("@every 90s", "The unit \"s\" is not one of w, d, h and m."),
        ("@every 6hours", "The unit \"hours\" is not one of w, d, h and m."),
        ("@every 5µ", "The unit \"µ\" is not one of w, d, h and m."),
        ("@every 30m1h", "The unit \"h\" is repeated, or stands after a smaller one."),
        ("@every 1h1h", "The unit \"h\" is repeated, or stands after a smaller one."),
        ("@every 0m", "The shortest interval is one minute."),
        ("@every 0w0d", "The shortest interval is one minute."),
        ("@every 367d", "The longest interval is 366 days."),
        ("@every 366d1m", "The longest interval is 366 days."),
        ("@every 53w", "The longest interval is 366 days."),
        ("@every 99999999999999999999m", "The longest interval is 366 days."),
        ("@every 4294967295w", "The longest interval is 366 days."),
    ] {
        let error = Timetable::parse(expression, "UTC").unwrap_err();
        assert_eq!(error.class, ErrorClass::InvalidInput, "{expression}");
        assert_eq!(error.message, format!("could not read the interval \"{expression}\""));
        assert_eq!(error.detail.as_deref(), Some(reason), "{expression}");
        assert!(error.hint.unwrap().contains("\"@every 1h30m\""));
    }
}

#[test]
fn other_refusals_are_those_of_cron() {
    let unglued = Timetable::parse("@every6h", "UTC").unwrap_err();
    assert!(unglued.hint.unwrap().contains("\"@every 6h\""));
    let zone = Timetable::parse("@every 6h", "Europe/Atlantis").unwrap_err();
    assert_eq!(zone.message, "unknown time zone \"Europe/Atlantis\"");
    let long = Timetable::parse(&format!("@every {}6h", "0".repeat(1000)), "UTC").unwrap_err();
    assert!(long.to_string().len() < 200, "{long}");
}

#[test]
fn edges_of_time_do_not_panic() {
    for expression in ["@every 1m", "@every 366d", "0 2 * * *"] {
        let plain = timetable(expression);
        let jittered = plain.clone().with_jitter(59, "a").unwrap();
        for timetable in [plain, jittered] {
            assert!(timetable.next_after(DateTime::<Utc>::MIN_UTC).is_some());
            assert_eq!(timetable.next_after(DateTime::<Utc>::MAX_UTC), None);
            assert_eq!(timetable.latest_due(DateTime::<Utc>::MAX_UTC, DateTime::<Utc>::MIN_UTC), None);
            assert!(timetable.next_after(utc("9999-12-31T23:59:59.999999Z")).is_some());
        }
    }
}

/// Were it to change, a new version would run some occurrences again, or at another time than it said.
#[test]
fn delays_are_the_same_for_ever() {
    let nightly = timetable("0 2 * * *").with_jitter(3600, "0198a5c2-7d00/nightly/backup").unwrap();
    let times = follow(&nightly, utc("2026-01-01T00:00:00Z")).take(3);
    let text: Vec<_> = times.map(|found| found.fires_at.format("%d %H:%M:%S").to_string()).collect();
    assert_eq!(text, ["01 02:42:18", "02 02:10:41", "03 02:29:30"]);
}

#[test]
fn no_jitter_is_no_delay() {
    let plain = timetable("0 2 * * *");
    assert_eq!(plain.clone().with_jitter(0, "a"), Ok(plain.clone()));
    // Not even where a jitter would be too long.
    let one_second = plain.with_jitter(1, "a").unwrap();
    let first = one_second.next_after(utc("2026-01-01T00:00:00Z")).unwrap();
    assert_eq!(first.fires_at, first.scheduled_for);
}

#[test]
fn other_seeds_and_other_days_are_spread() {
    let start = utc("2026-01-01T00:00:00Z");
    let nightly = timetable("0 2 * * *");
    let delay = |seed: u32, after: DateTime<Utc>| {
        let found = nightly
            .clone()
            .with_jitter(3600, &format!("database {seed}"))
            .unwrap()
            .next_after(after)
            .unwrap();
        (found.fires_at - found.scheduled_for).num_seconds()
    };
    // 600 databases over 60 minutes: ten each on average. Less than one minute in 20,000 would be empty.
    let mut by_minute = [0; 60];
    for seed in 0..600 {
        by_minute[usize::try_from(delay(seed, start) / 60).unwrap()] += 1;
    }
    assert!(by_minute.iter().all(|count| (1..30).contains(count)), "{by_minute:?}");
    let days = (0..50).map(|day| delay(1, start + TimeDelta::days(day)));
    assert!(days.collect::<HashSet<_>>().len() > 40);
}

#[test]
fn a_jitter_that_could_reach_the_next_time_is_refused() {
    for (expression, zone, gap) in [
        ("* * * * *", "UTC", 60),
        ("@every 1m", "UTC", 60),
        ("@every 6h", "UTC", 6 * 3600),
        ("@every 366d", "UTC", 366 * 86400),
        ("@hourly", "Europe/Berlin", 3600),
        ("0 2 * * *", "UTC", 86400),
        // The day on which the clocks go forward has 23 hours.
        ("0 4 * * *", "Europe/Berlin", 23 * 3600),
        // 02:30 runs at 03:00 on that day.
        ("30 2,3 * * *", "Europe/Berlin", 1800),
        ("0,20,59 * * * *", "UTC", 60),
        ("0,59 0,23 1,31 * *", "UTC", 60),
        ("0 0 1 * *", "UTC", 29 * 86400),
        ("0 0 29 2 *", "UTC", 1461 * 86400),
    ] {
        let timetable = Timetable::parse(expression, zone).unwrap();
        timetable.clone().with_jitter(gap - 1, "a").unwrap();
        let error = timetable.with_jitter(gap, "a").unwrap_err();
        assert_eq!(error.class, ErrorClass::InvalidInput);
        assert_eq!(error.message, format!("a jitter of {gap} seconds is too long for \"{expression}\""));
        let detail = error.detail.unwrap();
        assert!(detail.ends_with(&format!("are {gap} seconds apart.")), "{expression}: {detail}");
        assert!(error.hint.unwrap().contains(&format!("less than {gap} seconds")));
    }
    let error =
        Timetable::parse("30 2,3 * * *", "Europe/Berlin").unwrap().with_jitter(3000, "a").unwrap_err();
    assert_eq!(
        error.detail.as_deref(),
        Some("Two of its times, such as 2024-03-31 01:00 and 2024-03-31 01:30 UTC, are 1800 seconds apart.")
    );
}

/// On 29 March the clocks go forward in 2026, not in 2024.
#[test]
fn a_gap_that_nobody_looked_at_keeps_its_order_too() {
    let (first, second) = (utc("2026-03-29T01:00:00Z"), utc("2026-03-29T01:30:00Z"));
    let plain = Timetable::parse("30 2,3 29 3 *", "Europe/Berlin").unwrap();
    let mut held_back = 0;
    for seed in 0..100 {
        let jittered = plain.clone().with_jitter(3599, &seed.to_string()).unwrap();
        let found: Vec<_> = follow(&jittered, utc("2026-03-01T00:00:00Z")).take(2).collect();
        assert_eq!([found[0].scheduled_for, found[1].scheduled_for], [first, second]);
        assert!(found[0].fires_at < second, "{found:?}");
        assert_eq!(
            jittered.latest_due(first - TimeDelta::hours(1), second + TimeDelta::hours(1)),
            Some((found[1], 1))
        );
        held_back += u32::from(found[0].fires_at == second - TimeDelta::seconds(1));
    }
    assert!((20..80).contains(&held_back), "{held_back}");
}

/// Expressions with gaps from a minute to a month, and a jitter that fits.
fn arb_jittered() -> impl Strategy<Value = (Timetable, Timetable)> {
    let expressions = vec![
        "* * * * *",
        "@every 1m",
        "*/5 * * * *",
        "@hourly",
        "@every 90m",
        "0 2 * * *",
        "30 2,3 * * *",
        "*/20 8-18 * * mon-fri",
        "0 0 1,15 * *",
        "@every 2d",
    ];
    let zones = vec!["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"];
    (prop::sample::select(expressions), prop::sample::select(zones), 1_u32..40_000, any::<u64>()).prop_map(
        |(expression, zone, seconds, seed)| {
            let plain = Timetable::parse(expression, zone).unwrap();
            let halved = std::iter::successors(Some(seconds), |seconds| Some(seconds / 2));
            let jittered = halved.filter_map(|s| plain.clone().with_jitter(s, &seed.to_string()).ok()).next();
            (plain, jittered.unwrap())
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// What is due in an interval, against a list of all that fires around it.
    #[test]
    fn jittered_times_agree_with_their_list(
        (plain, jittered) in arb_jittered(),
        start in 1_767_225_600_i64..1_861_920_000,
        length in 0_i64..1_000_000,
        nanos in 0_u32..1_000_000_000,
    ) {
        let after = DateTime::from_timestamp(start, nanos).unwrap();
        // At most some hundreds of times.
        let first = plain.next_after(after).unwrap().scheduled_for;
        let gap = (plain.next_after(first).unwrap().scheduled_for - first).num_seconds();
        let now = after + TimeDelta::seconds(length.min(gap * 300));
        let before = after - TimeDelta::seconds(40_000);
        let all: Vec<_> = follow(&plain, before)
            .take_while(|found| found.scheduled_for <= now)
            .map(|found| jittered.next_after(found.scheduled_for - TimeDelta::nanoseconds(1)).map(|next| {
                // The occurrence before may fire later than this.
                if next.scheduled_for == found.scheduled_for { next }
                else { jittered.next_after(next.fires_at).unwrap() }
            }).unwrap())
            .collect();
        prop_assert!(all.windows(2).all(|pair| pair[0].fires_at < pair[1].fires_at));
        let inside: Vec<_> = all.into_iter().filter(|found| found.fires_at > after && found.fires_at <= now).collect();
        let expected = inside.split_last().map(|(latest, earlier)| (*latest, earlier.len() as u64));
        prop_assert_eq!(jittered.latest_due(after, now), expected);
        let followed: Vec<_> = follow(&jittered, after).take_while(|found| found.fires_at <= now).collect();
        prop_assert_eq!(followed, inside);
    }

    /// An interval that is asked step by step gives what it gives at once.
    #[test]
    fn intervals_agree_with_their_arithmetic(minutes in 1_i64..200_000, start: u32, steps in 0_i64..12_000) {
        let every = timetable(&format!("@every {minutes}m"));
        let after = DateTime::from_timestamp(i64::from(start), 1).unwrap();
        let interval = TimeDelta::minutes(minutes);
        let next = every.next_after(after).unwrap().fires_at;
        prop_assert_eq!(next.timestamp() % (minutes * 60), 0);
        prop_assert!(next > after && next - interval <= after);
        let last = next + interval * i32::try_from(steps).unwrap();
        let expected = u64::try_from(steps).unwrap().min(MISSED_LIMIT);
        for now in [last, last + interval - TimeDelta::nanoseconds(1)] {
            let (latest, earlier) = every.latest_due(after, now).unwrap();
            prop_assert_eq!((latest.fires_at, earlier), (last, expected));
        }
    }
}
