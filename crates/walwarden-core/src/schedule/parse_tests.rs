//! What is read, what is refused, and what the refusal says.

use chrono::{DateTime, Utc};

use super::*;
use crate::error::ErrorClass;

fn utc(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// The first times after the start of 2026, a Thursday.
fn first_times(expression: &str, count: usize) -> Vec<String> {
    let cron = Cron::parse(expression, "UTC").unwrap();
    let start = utc("2025-12-31T23:59:59Z");
    let times = std::iter::successors(cron.next_after(start), |last| cron.next_after(*last));
    times.take(count).map(|time| time.format("%Y-%m-%d %H:%M").to_string()).collect()
}

#[test]
fn reads_the_usual_forms() {
    assert_eq!(first_times("0 2 * * *", 2), ["2026-01-01 02:00", "2026-01-02 02:00"]);
    assert_eq!(first_times("  05\t2 *  * * \n", 1), ["2026-01-01 02:05"]);
    assert_eq!(first_times("*/20 23 * * *", 3), ["2026-01-01 23:00", "2026-01-01 23:20", "2026-01-01 23:40"]);
    assert_eq!(first_times("10-30/10 1,3 * * *", 4)[2..], ["2026-01-01 01:30", "2026-01-01 03:10"]);
    assert_eq!(first_times("0 0 1 jan,JUL *", 2), ["2026-01-01 00:00", "2026-07-01 00:00"]);
    assert_eq!(first_times("0 0 29 2 *", 2), ["2028-02-29 00:00", "2032-02-29 00:00"]);
    assert_eq!(first_times("59 23 31 12 *", 1), ["2026-12-31 23:59"]);
}

#[test]
fn sunday_is_zero_and_seven_and_a_name() {
    let sundays = ["2026-01-04 00:00", "2026-01-11 00:00"];
    for weekday in ["0", "7", "sun", "Sun", "0,7", "7-7", "sun-sun", "7,sun"] {
        assert_eq!(first_times(&format!("0 0 * * {weekday}"), 2), sundays, "{weekday}");
    }
    let weekend = ["2026-01-03 00:00", "2026-01-04 00:00", "2026-01-10 00:00"];
    for weekday in ["6-7", "sat-sun", "0,6", "6,7"] {
        assert_eq!(first_times(&format!("0 0 * * {weekday}"), 3), weekend, "{weekday}");
    }
    let every_day = ["2026-01-01 00:00", "2026-01-02 00:00", "2026-01-03 00:00", "2026-01-04 00:00"];
    for weekday in ["*", "0-7", "0-6", "1-7", "mon-sun", "sun-sat"] {
        assert_eq!(first_times(&format!("0 0 * * {weekday}"), 4), every_day, "{weekday}");
    }
    // Not counted from 1, as some crons do: 1 is Monday.
    assert_eq!(first_times("0 2 * * 1", 1), ["2026-01-05 02:00"]);
}

#[test]
fn either_day_field_is_enough_when_both_are_restricted() {
    assert_eq!(
        first_times("0 0 13 * fri", 4),
        ["2026-01-02 00:00", "2026-01-09 00:00", "2026-01-13 00:00", "2026-01-16 00:00"]
    );
    // A field that begins with a star narrows the other: the first Monday that is an odd day.
    assert_eq!(first_times("0 0 */2 * mon", 2), ["2026-01-05 00:00", "2026-01-19 00:00"]);
    assert_eq!(first_times("0 0 1-7 * */6", 2), ["2026-01-03 00:00", "2026-01-04 00:00"]);
}

#[test]
fn nicknames_stand_for_five_fields() {
    for (nickname, fields) in [
        ("@hourly", "0 * * * *"),
        ("@daily", "0 0 * * *"),
        ("@midnight", "0 0 * * *"),
        ("@weekly", "0 0 * * 0"),
        ("@monthly", "0 0 1 * *"),
        ("@yearly", "0 0 1 1 *"),
        ("@annually", "0 0 1 1 *"),
        ("@Daily", "0 0 * * *"),
    ] {
        assert_eq!(first_times(nickname, 5), first_times(fields, 5), "{nickname}");
    }
}

#[test]
fn keeps_what_was_written() {
    let cron = Cron::parse(" 0  2 * * MON ", "europe/berlin").unwrap();
    assert_eq!(cron.expression(), "0 2 * * MON");
    assert_eq!(cron.time_zone(), "Europe/Berlin");
    assert_eq!(cron.to_string(), "0 2 * * MON (Europe/Berlin)");
    assert_eq!(Cron::parse("@daily", "utc").unwrap().to_string(), "@daily (UTC)");
}

/// The detail of the refusal, checking what every refusal has.
fn refusal(expression: &str) -> String {
    let error = match Cron::parse(expression, "UTC") {
        Ok(cron) => panic!("{cron} should be refused"),
        Err(error) => error,
    };
    assert_eq!(error.class, ErrorClass::InvalidInput, "{expression}");
    assert!(error.message.starts_with("could not read "), "{error}");
    assert!(error.hint.is_some_and(|hint| hint.ends_with('.')), "{expression}");
    error.detail.unwrap()
}

#[test]
fn anything_but_five_fields_is_refused() {
    for (expression, found) in
        [("", 0), ("*", 1), ("0 2 * *", 4), ("0 0 2 * * *", 6), ("0 0 2 * * * 2026", 7)]
    {
        let detail = refusal(expression);
        assert!(detail.starts_with("Five fields are expected"), "{detail}");
        assert!(detail.ends_with(&format!("it has {found}.")), "{detail}");
    }
    let hint = Cron::parse("0 0 2 * * *", "UTC").unwrap_err().hint.unwrap();
    assert!(hint.contains("\"0 2 * * *\""), "{hint}");
}

#[test]
fn the_refusal_names_the_field_and_the_reason() {
    for (expression, field, reason) in [
        ("60 2 * * *", "minute", "60 is not in 0-59"),
        ("-1 2 * * *", "minute", "a number is missing"),
        ("0 24 * * *", "hour", "24 is not in 0-23"),
        ("0 2 0 * *", "day of month", "0 is not in 1-31"),
        ("0 2 32 * *", "day of month", "32 is not in 1-31"),
        ("0 2 * 13 *", "month", "13 is not in 1-12"),
        ("0 2 * 0 *", "month", "0 is not in 1-12"),
        ("0 2 * * 8", "day of week", "8 is not in 0-7"),
        ("99999999999999999999 2 * * *", "minute", "is not in 0-59"),
        ("0 22-2 * * *", "hour", "runs backwards"),
        ("0 2 * * fri-mon", "day of week", "runs backwards"),
        ("*/0 2 * * *", "minute", "the step is zero"),
        ("*/90 * * * *", "minute", "the step 90 is larger than the range 0-59"),
        ("*/60 * * * *", "minute", "the step 60 is larger"),
        ("0 */24 * * *", "hour", "the step 24 is larger than the range 0-23"),
        ("0 0 */31 * *", "day of month", "the step 31 is larger"),
        ("0 0 * */12 *", "month", "the step 12 is larger"),
        ("0 0 * * */7", "day of week", "the step 7 is larger than the range 0-6"),
        ("1-5/9 * * * *", "minute", "the step 9 is larger than the range 1-5"),
        ("*/300 * * * *", "minute", "the step 300 is larger"),
        ("*/x * * * *", "minute", "the step \"x\" is not a number"),
        ("*/ * * * *", "minute", "the step \"\" is not a number"),
        ("*/5/5 * * * *", "minute", "the step \"5/5\" is not a number"),
        ("*/-5 * * * *", "minute", "the step \"-5\" is not a number"),
        ("/5 * * * *", "minute", "a number is missing"),
        ("5/15 * * * *", "minute", "a step needs a range before it, such as 5-59/15"),
        ("1, * * * *", "minute", "a number is missing"),
        (",1 * * * *", "minute", "a number is missing"),
        ("1,,2 * * * *", "minute", "a number is missing"),
        ("1- * * * *", "minute", "a number is missing"),
        ("1-2-3 * * * *", "minute", "\"2-3\" is not a number"),
        ("1.5 * * * *", "minute", "\"1.5\" is not a number"),
        ("** * * * *", "minute", "\"**\" is not a number"),
        ("jan * * * *", "minute", "\"jan\" is not a number"),
        ("0 0 * mon *", "month", "neither a number nor one of the names jan to dec"),
        ("0 0 * * monday", "day of week", "neither a number nor one of the names sun to sat"),
        ("٣ * * * *", "minute", "is not a number"),
    ] {
        let detail = refusal(expression);
        assert!(detail.starts_with(&format!("The {field} field \"")), "{expression}: {detail}");
        assert!(detail.contains(reason), "{expression}: {detail}");
    }
}

#[test]
fn steps_up_to_their_range_are_read() {
    for (expression, times) in [
        ("*/59 0 * * *", ["2026-01-01 00:00", "2026-01-01 00:59"]),
        ("1-5/4 0 * * *", ["2026-01-01 00:01", "2026-01-01 00:05"]),
        ("7-7/1 0 * * *", ["2026-01-01 00:07", "2026-01-02 00:07"]),
        ("0 */23 * * *", ["2026-01-01 00:00", "2026-01-01 23:00"]),
        ("0 0 */30 * *", ["2026-01-01 00:00", "2026-01-31 00:00"]),
        ("0 0 * * */6", ["2026-01-03 00:00", "2026-01-04 00:00"]),
    ] {
        assert_eq!(first_times(expression, 2), times, "{expression}");
    }
}

#[test]
fn extensions_of_other_crons_are_refused() {
    for expression in [
        "0 2 L * *",
        "0 2 l * *",
        "0 2 15W * *",
        "0 2 LW * *",
        "0 2 * * 5#2",
        "0 2 * * 5L",
        "0 2 * * mon#1",
        "0 2 ? * 1",
        "0 2 * * ?",
        "0 2 1 * +1",
        "H 2 * * *",
        "0~30 2 * * *",
    ] {
        let detail = refusal(expression);
        assert!(detail.contains("standard cron lacks"), "{expression}: {detail}");
    }
}

#[test]
fn what_never_fires_is_refused() {
    for expression in ["0 2 31 2 *", "0 0 30 2 *", "0 0 31 4,6,9,11 *", "0 0 30-31 feb *", "0 0 31 2 */2"] {
        let detail = refusal(expression);
        assert!(detail.starts_with("It never fires"), "{expression}: {detail}");
    }
    // The weekday alone is enough here, as in every cron.
    assert_eq!(first_times("0 0 31 2 1", 1), ["2026-02-02 00:00"]);
    // 29 February on a Monday, by the star rule: rare, not never.
    assert_eq!(first_times("0 0 */28 2 1", 1), ["2027-02-01 00:00"]);
    assert_eq!(first_times("0 0 29 2 */6", 2), ["2032-02-29 00:00", "2048-02-29 00:00"]);
}

#[test]
fn other_nicknames_are_refused() {
    for expression in ["@reboot", "@every 5m", "@", "@dailyy", "@daily 2"] {
        let error = Cron::parse(expression, "UTC").unwrap_err();
        assert_eq!(error.class, ErrorClass::InvalidInput, "{expression}");
    }
    let error = Cron::parse("@reboot", "UTC").unwrap_err();
    assert!(error.hint.unwrap().contains("@reboot"));
}

#[test]
fn unknown_time_zones_are_refused() {
    for zone in ["", "Berlin", "Europe/Atlantis", "+02", "CEST", "UTC+2", "Europe/Berlin\0"] {
        let error = Cron::parse("0 2 * * *", zone).unwrap_err();
        assert_eq!(error.class, ErrorClass::InvalidInput, "{zone}");
        assert!(error.hint.unwrap().contains("Europe/Berlin"));
    }
}

#[test]
fn an_endless_expression_is_not_repeated_in_the_error() {
    let error = Cron::parse(&"1,".repeat(1000), "UTC").unwrap_err();
    assert!(error.to_string().len() < 200, "{error}");
    let error = Cron::parse("0 2 * * *", &"x".repeat(1000)).unwrap_err();
    assert!(error.to_string().len() < 200, "{error}");
}

#[test]
fn edges_of_time_do_not_panic() {
    for (expression, zone) in
        [("0 2 * * *", "America/New_York"), ("* * * * *", "Asia/Tokyo"), ("0 0 29 2 */6", "UTC")]
    {
        let cron = Cron::parse(expression, zone).unwrap();
        assert!(cron.next_after(DateTime::<Utc>::MIN_UTC).is_some());
        assert_eq!(cron.next_after(DateTime::<Utc>::MAX_UTC), None);
        assert_eq!(cron.latest_due(DateTime::<Utc>::MAX_UTC, DateTime::<Utc>::MIN_UTC), None);
        assert!(cron.next_after(utc("9999-12-31T23:59:59.999999Z")).is_some());
    }
}

#[test]
fn latest_due_is_the_last_of_the_interval() {
    let cron = Cron::parse("0 * * * *", "UTC").unwrap();
    let due =
        |after, now| cron.latest_due(utc(after), utc(now)).map(|(at, missed)| (at.to_rfc3339(), missed));

    assert_eq!(due("2026-01-01T00:00:00Z", "2026-01-01T00:59:59.999Z"), None);
    // The interval is open at its start and closed at its end.
    let one = Some(("2026-01-01T01:00:00+00:00".to_owned(), 0));
    assert_eq!(due("2026-01-01T00:00:00Z", "2026-01-01T01:00:00Z"), one);
    assert_eq!(due("2026-01-01T00:59:59.999Z", "2026-01-01T01:59:00Z"), one);
    assert_eq!(due("2026-01-01T00:30:00Z", "2026-01-01T04:10:00Z"), {
        Some(("2026-01-01T04:00:00+00:00".to_owned(), 3))
    });
    assert_eq!(due("2026-01-02T00:00:00Z", "2026-01-01T00:00:00Z"), None, "a clock set back");
    assert_eq!(due("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"), None);
}

#[test]
fn latest_due_stays_exact_where_the_count_stops() {
    let every_minute = Cron::parse("* * * * *", "Europe/Berlin").unwrap();
    let (at, missed) =
        every_minute.latest_due(utc("1990-01-01T00:00:00Z"), utc("2026-08-01T12:34:56Z")).unwrap();
    assert_eq!(at, utc("2026-08-01T12:34:00Z"));
    assert_eq!(missed, MISSED_LIMIT);

    let burst = Cron::parse("* * 1 * *", "UTC").unwrap();
    let (at, missed) = burst.latest_due(utc("2020-01-01T00:00:00Z"), utc("2026-07-31T00:00:00Z")).unwrap();
    assert_eq!(at, utc("2026-07-01T23:59:00Z"));
    assert_eq!(missed, MISSED_LIMIT);

    // 10,001 times: the limit exactly. One more changes the count no further.
    let start = utc("2026-01-01T00:00:00Z");
    for (minutes, expected) in [(10_000, 9_999), (10_001, 10_000), (10_002, 10_000)] {
        let now = start + TimeDelta::minutes(minutes);
        assert_eq!(every_minute.latest_due(start, now), Some((now, expected)));
    }
}
