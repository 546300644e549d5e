//! Cases with their plan written out: one line for each backup, the newest first.

use chrono_tz::{America::St_Johns, Europe::Berlin};
use serde_json::json;

use super::*;

/// `2026-11-20 02:00 keep: last 2, ...`
fn lines(policy: &Policy, zone: Tz, backups: &[Backup], now: DateTime<Utc>) -> Vec<String> {
    let line = |decision: Decision| {
        let backup = backups.iter().find(|backup| backup.job == decision.job).expect("one of them");
        let local = backup.snapshot_at.with_timezone(&zone).format("%Y-%m-%d %H:%M");
        let verb = if decision.keep { "keep" } else { "delete" };
        let reasons: Vec<String> = decision.reasons.iter().map(Reason::to_string).collect();
        format!("{local} {verb}: {}", reasons.join(", "))
    };
    plan(policy, zone, backups, now).into_iter().map(line).collect()
}

/// One good backup for each of these times in UTC.
fn good(times: &[&str]) -> Vec<Backup> {
    (1..).zip(times).map(|(number, time)| backup(number, utc(time))).collect()
}

/// With the least of rails, so that the rules show.
fn rules() -> Policy {
    Policy { min_keep: 1, ..Policy::default() }
}

const NEWEST: &str = "the newest good backup, min_keep 1";

#[test]
fn nothing_set_keeps_everything() {
    let mut backups = good(&["2026-11-19 02:00", "2026-11-20 02:00"]);
    backups[0].is_good = false;
    assert_eq!(
        lines(&Policy::default(), Tz::UTC, &backups, utc("2030-01-01 00:00")),
        ["2026-11-20 02:00 keep: no retention is set", "2026-11-19 02:00 keep: no retention is set"]
    );
}

#[test]
fn no_backups_no_decisions() {
    assert!(plan(&rules(), Tz::UTC, &[], utc("2026-01-01 00:00")).is_empty());
    let policy = Policy { keep_daily: Some(1), max_total_size: Some(1), ..rules() };
    assert!(plan(&policy, Tz::UTC, &[], utc("2026-01-01 00:00")).is_empty());
}

#[test]
fn the_last_so_many() {
    let backups = good(&["2026-11-18 02:00", "2026-11-20 02:00", "2026-11-19 02:00"]);
    assert_eq!(
        lines(&Policy { keep_last: Some(2), ..rules() }, Tz::UTC, &backups, utc("2026-11-20 03:00")),
        [
            format!("2026-11-20 02:00 keep: {NEWEST}, last 2"),
            "2026-11-19 02:00 keep: last 2".to_owned(),
            "2026-11-18 02:00 delete: no rule keeps it".to_owned(),
        ]
    );
}

#[test]
fn of_two_at_the_same_moment_the_higher_job_is_the_newer() {
    let backups = good(&["2026-11-20 02:00", "2026-11-20 02:00"]);
    let decisions =
        plan(&Policy { keep_last: Some(1), ..rules() }, Tz::UTC, &backups, utc("2026-11-20 03:00"));
    assert_eq!(decisions.iter().map(|decision| decision.keep).collect::<Vec<_>>(), [true, false]);
    assert_eq!(decisions[0].job, Uuid::from_u128(2));
}

#[test]
fn each_period_keeps_its_newest() {
    let backups = good(&[
        "2026-11-20 14:30",
        "2026-11-20 13:59",
        "2026-11-20 13:00",
        "2026-11-19 23:00",
        "2026-11-16 00:00",
        "2026-11-15 23:59",
        "2026-10-31 12:00",
        "2026-10-01 12:00",
        "2025-12-31 12:00",
        "2025-01-01 12:00",
    ]);
    let policy = Policy {
        keep_hourly: Some(2),
        keep_daily: Some(2),
        keep_weekly: Some(2),
        keep_monthly: Some(2),
        keep_yearly: Some(2),
        ..rules()
    };
    assert_eq!(
        lines(&policy, Tz::UTC, &backups, utc("2026-11-20 15:00")),
        [
            format!(
                "2026-11-20 14:30 keep: {NEWEST}, hourly 2026-11-20 14:00, daily 2026-11-20, weekly 2026-W47, \
                 monthly 2026-11, yearly 2026"
            ),
            "2026-11-20 13:59 keep: hourly 2026-11-20 13:00".to_owned(),
            "2026-11-20 13:00 delete: no rule keeps it".to_owned(),
            "2026-11-19 23:00 keep: daily 2026-11-19".to_owned(),
            "2026-11-16 00:00 delete: no rule keeps it".to_owned(),
            "2026-11-15 23:59 keep: weekly 2026-W46".to_owned(),
            "2026-10-31 12:00 keep: monthly 2026-10".to_owned(),
            "2026-10-01 12:00 delete: no rule keeps it".to_owned(),
            "2025-12-31 12:00 keep: yearly 2025".to_owned(),
            "2025-01-01 12:00 delete: no rule keeps it".to_owned(),
        ]
    );
}

#[test]
fn a_week_at_the_turn_of_the_year_is_one_week() {
    let backups = good(&["2027-01-03 12:00", "2026-12-28 12:00", "2026-12-27 12:00", "2026-12-21 12:00"]);
    assert_eq!(
        lines(&Policy { keep_weekly: Some(2), ..rules() }, Tz::UTC, &backups, utc("2027-01-04 00:00")),
        [
            format!("2027-01-03 12:00 keep: {NEWEST}, weekly 2026-W53"),
            "2026-12-28 12:00 delete: no rule keeps it".to_owned(),
            "2026-12-27 12:00 keep: weekly 2026-W52".to_owned(),
            "2026-12-21 12:00 delete: no rule keeps it".to_owned(),
        ]
    );
}

/// As restic's documentation has it: 12 Sundays, `--keep-daily 4`.
#[test]
fn only_days_with_a_backup_count() {
    let sundays = [
        "2019-11-17 11:00",
        "2019-11-10 11:00",
        "2019-11-03 11:00",
        "2019-10-27 11:00",
        "2019-10-20 11:00",
        "2019-10-13 11:00",
    ];
    let policy = Policy { keep_daily: Some(4), ..rules() };
    let plan = lines(&policy, Tz::UTC, &good(&sundays), utc("2019-11-18 00:00"));
    assert_eq!(plan[3], "2019-10-27 11:00 keep: daily 2019-10-27");
    assert_eq!(plan[4], "2019-10-20 11:00 delete: no rule keeps it");
    assert_eq!(plan[5], "2019-10-13 11:00 delete: no rule keeps it");
}

#[test]
fn the_oldest_is_kept_until_all_slots_are_filled() {
    let mut backups = good(&["2026-11-20 02:00", "2026-11-01 02:00", "2026-10-20 02:00", "2026-10-10 02:00"]);
    let policy = Policy { keep_monthly: Some(3), ..rules() };
    assert_eq!(
        lines(&policy, Tz::UTC, &backups, utc("2026-12-31 00:00")),
        [
            format!("2026-11-20 02:00 keep: {NEWEST}, monthly 2026-11"),
            "2026-11-01 02:00 delete: no rule keeps it".to_owned(),
            "2026-10-20 02:00 keep: monthly 2026-10".to_owned(),
            "2026-10-10 02:00 keep: the oldest, as monthly is not full yet".to_owned(),
        ]
    );
    backups.push(backup(9, utc("2026-12-01 02:00")));
    assert_eq!(
        lines(&policy, Tz::UTC, &backups, utc("2026-12-31 00:00"))[4],
        "2026-10-10 02:00 delete: no rule keeps it"
    );
}

#[test]
fn ages_are_measured_from_the_newest_and_not_from_now() {
    let backups = good(&["2026-11-20 02:00", "2026-11-13 02:01", "2026-11-13 02:00"]);
    let policy = Policy { keep_for: Some(7 * 86_400), ..rules() };
    let expected = [
        format!("2026-11-20 02:00 keep: {NEWEST}, within 7 days"),
        "2026-11-13 02:01 keep: within 7 days".to_owned(),
        "2026-11-13 02:00 delete: no rule keeps it".to_owned(),
    ];
    assert_eq!(lines(&policy, Tz::UTC, &backups, utc("2026-11-20 02:00")), expected);
    assert_eq!(lines(&policy, Tz::UTC, &backups, utc("2126-11-20 02:00")), expected, "a century later");
}

#[test]
fn a_span_longer_than_time_keeps_all() {
    let backups = good(&["2026-11-20 02:00", "1926-11-13 02:01"]);
    let policy = Policy { keep_for: Some(u64::MAX), ..rules() };
    assert!(plan(&policy, Tz::UTC, &backups, utc("2026-11-20 02:00")).iter().all(|decision| decision.keep));
}

#[test]
fn days_are_those_of_the_time_zone() {
    let backups = good(&["2026-11-20 22:30", "2026-11-20 23:30", "2026-11-20 00:30"]);
    let policy = Policy { keep_daily: Some(2), ..rules() };
    let now = utc("2026-11-22 00:00");
    assert_eq!(
        lines(&policy, Berlin, &backups, now),
        [
            format!("2026-11-21 00:30 keep: {NEWEST}, daily 2026-11-21"),
            "2026-11-20 23:30 keep: daily 2026-11-20".to_owned(),
            "2026-11-20 01:30 delete: no rule keeps it".to_owned(),
        ]
    );
    assert_eq!(
        lines(&policy, Tz::UTC, &backups, now),
        [
            format!("2026-11-20 23:30 keep: {NEWEST}, daily 2026-11-20"),
            "2026-11-20 22:30 delete: no rule keeps it".to_owned(),
            "2026-11-20 00:30 keep: the oldest, as daily is not full yet".to_owned(),
        ]
    );
}

#[test]
fn a_day_has_23_or_25_hours_when_the_clock_changes() {
    // Summer time ends on 2026-10-25 at 01:00 UTC, and begins on 2026-03-29 at 01:00 UTC.
    let policy = Policy { keep_daily: Some(2), ..rules() };
    let long = good(&["2026-10-25 22:59", "2026-10-24 22:00", "2026-10-24 21:59"]);
    assert_eq!(
        lines(&policy, Berlin, &long, utc("2026-10-26 00:00")),
        [
            format!("2026-10-25 23:59 keep: {NEWEST}, daily 2026-10-25"),
            "2026-10-25 00:00 delete: no rule keeps it".to_owned(),
            "2026-10-24 23:59 keep: daily 2026-10-24".to_owned(),
        ]
    );
    let short = good(&["2026-03-29 22:00", "2026-03-29 21:59", "2026-03-28 23:00", "2026-03-28 22:59"]);
    assert_eq!(
        lines(&Policy { keep_daily: Some(3), ..rules() }, Berlin, &short, utc("2026-03-30 00:00")),
        [
            format!("2026-03-30 00:00 keep: {NEWEST}, daily 2026-03-30"),
            "2026-03-29 23:59 keep: daily 2026-03-29".to_owned(),
            "2026-03-29 00:00 delete: no rule keeps it".to_owned(),
            "2026-03-28 23:59 keep: daily 2026-03-28".to_owned(),
        ]
    );
}

#[test]
fn the_hour_shown_twice_is_one_hour() {
    let backups = good(&["2026-10-25 02:30", "2026-10-25 01:30", "2026-10-25 00:30", "2026-10-24 23:30"]);
    assert_eq!(
        lines(&Policy { keep_hourly: Some(3), ..rules() }, Berlin, &backups, utc("2026-10-25 03:00")),
        [
            format!("2026-10-25 03:30 keep: {NEWEST}, hourly 2026-10-25 03:00"),
            "2026-10-25 02:30 keep: hourly 2026-10-25 02:00".to_owned(),
            "2026-10-25 02:30 delete: no rule keeps it".to_owned(),
            "2026-10-25 01:30 keep: hourly 2026-10-25 01:00".to_owned(),
        ]
    );
}

/// Until 2011 the clocks of Newfoundland went from 00:01 back to 23:01 of the day before.
#[test]
fn a_day_entered_twice_is_one_day() {
    let backups = good(&["2010-11-07 04:00", "2010-11-07 03:00", "2010-11-07 02:30", "2010-11-05 12:00"]);
    assert_eq!(
        lines(&Policy { keep_daily: Some(3), ..rules() }, St_Johns, &backups, utc("2010-11-08 00:00")),
        [
            format!("2010-11-07 00:30 keep: {NEWEST}, daily 2010-11-07"),
            "2010-11-06 23:30 keep: daily 2010-11-06".to_owned(),
            "2010-11-07 00:00 delete: no rule keeps it".to_owned(),
            "2010-11-05 09:30 keep: daily 2010-11-05".to_owned(),
        ]
    );
}

#[test]
fn damaged_ones_take_no_slot_and_go() {
    let mut backups = good(&["2026-11-20 12:00", "2026-11-20 02:00", "2026-11-19 02:00", "2026-11-18 02:00"]);
    backups[0].is_good = false;
    assert_eq!(
        lines(&Policy { keep_daily: Some(2), ..rules() }, Tz::UTC, &backups, utc("2026-11-20 13:00")),
        [
            "2026-11-20 12:00 delete: damaged".to_owned(),
            format!("2026-11-20 02:00 keep: {NEWEST}, daily 2026-11-20"),
            "2026-11-19 02:00 keep: daily 2026-11-19".to_owned(),
            "2026-11-18 02:00 delete: no rule keeps it".to_owned(),
        ]
    );
}

#[test]
fn where_all_are_damaged_nothing_goes() {
    let mut backups = good(&["2026-11-20 02:00", "2026-11-19 02:00"]);
    backups.iter_mut().for_each(|backup| backup.is_good = false);
    let policy = Policy { keep_last: Some(1), max_total_size: Some(1), ..rules() };
    assert_eq!(
        lines(&policy, Tz::UTC, &backups, utc("2026-11-20 03:00")),
        [
            "2026-11-20 02:00 keep: damaged, but nothing better",
            "2026-11-19 02:00 keep: damaged, but nothing better"
        ]
    );
}

#[test]
fn the_last_that_was_verified_stays() {
    let mut backups = good(&["2026-11-20 02:00", "2026-11-19 02:00", "2026-11-18 02:00", "2026-11-17 02:00"]);
    backups[2].is_verified = true;
    backups[3].is_verified = true;
    assert_eq!(
        lines(&Policy { keep_last: Some(1), ..rules() }, Tz::UTC, &backups, utc("2026-11-20 03:00")),
        [
            format!("2026-11-20 02:00 keep: {NEWEST}, last 1"),
            "2026-11-19 02:00 delete: no rule keeps it".to_owned(),
            "2026-11-18 02:00 keep: the newest verified backup".to_owned(),
            "2026-11-17 02:00 delete: no rule keeps it".to_owned(),
        ]
    );
    // It was found good once and damaged later.
    backups[2].is_good = false;
    let plan = lines(&Policy { keep_last: Some(1), ..rules() }, Tz::UTC, &backups, utc("2026-11-20 03:00"));
    assert_eq!(plan[2], "2026-11-18 02:00 delete: damaged");
    assert_eq!(plan[3], "2026-11-17 02:00 keep: the newest verified backup");
}

#[test]
fn min_keep_holds_however_old_they_are() {
    let mut backups = good(&["2026-11-20 02:00", "2026-11-19 02:00", "2025-01-01 02:00", "2020-01-01 02:00"]);
    backups[1].is_good = false;
    let policy = Policy { keep_for: Some(3600), ..Policy::default() };
    assert_eq!(
        lines(&policy, Tz::UTC, &backups, utc("2026-11-20 03:00")),
        [
            "2026-11-20 02:00 keep: the newest good backup, min_keep 3, within 1 hour",
            "2026-11-19 02:00 delete: damaged",
            "2025-01-01 02:00 keep: min_keep 3",
            "2020-01-01 02:00 keep: min_keep 3",
        ]
    );
}

#[test]
fn what_is_used_or_locked_stays_even_if_damaged() {
    let mut backups = good(&["2026-11-20 02:00", "2026-11-19 02:00", "2026-11-18 02:00", "2026-11-17 02:00"]);
    let now = utc("2026-11-20 03:00");
    backups[1].in_use = true;
    backups[2].locked_until = Some(utc("2026-11-20 03:01"));
    backups[2].is_good = false;
    backups[3].locked_until = Some(now);
    assert_eq!(
        lines(&Policy { keep_last: Some(1), max_total_size: Some(1), ..rules() }, Tz::UTC, &backups, now),
        [
            format!("2026-11-20 02:00 keep: {NEWEST}, last 1"),
            "2026-11-19 02:00 keep: in use".to_owned(),
            "2026-11-18 02:00 keep: locked until 2026-11-20 03:01:00 UTC".to_owned(),
            "2026-11-17 02:00 delete: no rule keeps it".to_owned(),
        ]
    );
}

#[test]
fn too_much_goes_from_the_oldest_on() {
    let mut backups = good(&["2026-11-20 02:00", "2026-11-19 02:00", "2026-11-18 02:00", "2026-11-17 02:00"]);
    for (backup, size) in backups.iter_mut().zip([10, 20, 30, 40]) {
        backup.size = size;
    }
    let policy = |limit| Policy { keep_last: Some(3), max_total_size: Some(limit), ..rules() };
    let kept = |limit, backups: &[Backup]| {
        kept_jobs(&plan(&policy(limit), Tz::UTC, backups, utc("2026-11-21 00:00"))).len()
    };
    assert_eq!(kept(60, &backups), 3, "what no rule keeps is not counted");
    assert_eq!(kept(59, &backups), 2);
    assert_eq!(kept(29, &backups), 1);
    assert_eq!(kept(1, &backups), 1, "the newest is never deleted");
    // What is held counts, though it is not deleted.
    backups[2].in_use = true;
    assert_eq!(
        lines(&policy(59), Tz::UTC, &backups, utc("2026-11-21 00:00")),
        [
            format!("2026-11-20 02:00 keep: {NEWEST}, last 3"),
            "2026-11-19 02:00 delete: above max_total_size".to_owned(),
            "2026-11-18 02:00 keep: in use, last 3".to_owned(),
            "2026-11-17 02:00 delete: no rule keeps it".to_owned(),
        ]
    );
    // Sizes whose sum has no place in 64 bits.
    backups.iter_mut().for_each(|backup| backup.size = u64::MAX);
    assert_eq!(kept(u64::MAX, &backups), 2, "the newest and the one in use");
}

#[test]
fn a_limit_to_the_size_alone_keeps_all_that_fits() {
    let backups = good(&["2026-11-20 02:00", "2025-11-19 02:00", "2024-11-18 02:00"]);
    let policy = Policy { max_total_size: Some(2), ..rules() };
    assert_eq!(
        lines(&policy, Tz::UTC, &backups, utc("2026-11-20 03:00")),
        [
            format!("2026-11-20 02:00 keep: {NEWEST}, no rule but max_total_size"),
            "2025-11-19 02:00 keep: no rule but max_total_size".to_owned(),
            "2024-11-18 02:00 delete: above max_total_size".to_owned(),
        ]
    );
}

/// Two backups were made while the clock was ten years ahead.
#[test]
fn backups_from_the_future_stay_and_push_nothing_out() {
    let backups = good(&[
        "2036-11-20 02:00",
        "2036-11-19 02:00",
        "2026-11-20 02:00",
        "2026-11-19 02:00",
        "2026-11-18 02:00",
    ]);
    let policy = Policy { keep_for: Some(86_401), max_total_size: Some(1), ..rules() };
    let unlimited = Policy { max_total_size: None, ..policy.clone() };
    let expected = [
        "2036-11-20 02:00 keep: its snapshot lies in the future".to_owned(),
        "2036-11-19 02:00 keep: its snapshot lies in the future".to_owned(),
        format!("2026-11-20 02:00 keep: {NEWEST}, within 86401 seconds"),
        "2026-11-19 02:00 keep: within 86401 seconds".to_owned(),
        "2026-11-18 02:00 delete: no rule keeps it".to_owned(),
    ];
    assert_eq!(lines(&unlimited, Tz::UTC, &backups, utc("2026-11-20 03:00")), expected);
    let limited = lines(&policy, Tz::UTC, &backups, utc("2026-11-20 03:00"));
    assert_eq!(limited[..3], expected[..3]);
    assert_eq!(limited[3], "2026-11-19 02:00 delete: above max_total_size");

    // Ten years later they are as any other.
    assert_eq!(kept_jobs(&plan(&unlimited, Tz::UTC, &backups, utc("2036-11-20 02:00"))).len(), 2);
}

/// The clock is behind: all that was ever made seems to lie in the future.
#[test]
fn a_clock_that_is_behind_deletes_nothing() {
    let mut backups = good(&["2026-11-20 02:00", "2026-11-19 02:00", "2026-11-18 02:00"]);
    let policy = Policy { keep_last: Some(1), keep_for: Some(1), max_total_size: Some(1), ..rules() };
    let now = utc("2016-01-01 00:00");
    assert_eq!(kept_jobs(&plan(&policy, Tz::UTC, &backups, now)).len(), 3);
    // A backup made now is held as the newest, besides them.
    backups.push(backup(9, now));
    assert_eq!(kept_jobs(&plan(&policy, Tz::UTC, &backups, now)).len(), 4);
}

/// A backup made while the clock is ahead makes all others look old: `min_keep` stands for them.
#[test]
fn a_backup_under_a_clock_that_is_ahead_leaves_min_keep() {
    let backups = good(&["2036-11-20 02:00", "2026-11-20 02:00", "2026-11-19 02:00", "2026-11-18 02:00"]);
    let policy = Policy { keep_for: Some(7 * 86_400), ..Policy::default() };
    assert_eq!(
        lines(&policy, Tz::UTC, &backups, utc("2036-11-20 03:00")),
        [
            "2036-11-20 02:00 keep: the newest good backup, min_keep 3, within 7 days",
            "2026-11-20 02:00 keep: min_keep 3",
            "2026-11-19 02:00 keep: min_keep 3",
            "2026-11-18 02:00 delete: no rule keeps it",
        ]
    );
}

#[test]
fn spans_read_in_their_largest_whole_unit() {
    let text = |seconds| Reason::Within(seconds).to_string();
    assert_eq!(text(1), "within 1 second");
    assert_eq!(text(59), "within 59 seconds");
    assert_eq!(text(60), "within 1 minute");
    assert_eq!(text(5400), "within 90 minutes");
    assert_eq!(text(7200), "within 2 hours");
    assert_eq!(text(86_400), "within 1 day");
    assert_eq!(text(86_460), "within 1441 minutes");
}

#[test]
fn a_plan_is_json_with_stable_names() {
    let backups = good(&["2026-11-20 02:00", "2026-11-19 02:00"]);
    let policy = Policy { keep_daily: Some(1), ..rules() };
    assert_eq!(
        serde_json::to_value(plan(&policy, Tz::UTC, &backups, utc("2026-11-20 03:00"))).unwrap(),
        json!([
            {"job": "00000000-0000-0000-0000-000000000001", "keep": true, "reasons": [
                {"name": "newest_good", "text": "the newest good backup"},
                {"name": "min_keep", "text": "min_keep 1"},
                {"name": "daily", "text": "daily 2026-11-20"},
            ]},
            {"job": "00000000-0000-0000-0000-000000000002", "keep": false, "reasons": [
                {"name": "no_rule", "text": "no rule keeps it"},
            ]},
        ])
    );
}
