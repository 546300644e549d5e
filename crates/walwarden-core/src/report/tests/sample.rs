//! Reports to draw.

use std::time::Duration;

use chrono::{DateTime, TimeDelta};
use uuid::Uuid;

use crate::job::JobKind;
use crate::report::*;
use crate::retention::Policy;

pub fn at(text: &str) -> Time {
    DateTime::parse_from_rfc3339(text).expect("a time")
}

fn id(number: u128) -> Uuid {
    Uuid::from_u128(0x0193_5000_0000_7000_8000_0000_0000_0000 + number)
}

/// Every text as it is.
pub fn rich() -> Report {
    with_texts(&mut str::to_owned)
}

fn head(text: &mut dyn FnMut(&str) -> String) -> Head {
    Head {
        database: text("shop"),
        database_id: id(0xdb),
        server_version: text("18.1 (Debian 18.1-1)"),
        walwarden_version: "0.1.0".to_owned(),
        made_at: at("2026-11-21T20:46:46.123456+01:00"),
        made_by: text("auditor"),
        time_zone: text("Europe/Berlin"),
        first_job: Some(at("2026-10-24T02:00:00+02:00")),
    }
}

/// A database without any history.
pub fn empty() -> Report {
    let text = &mut |text: &str| text.to_owned();
    Report {
        head: Head { first_job: None, ..head(text) },
        from: at("2026-10-22T21:46:46.123456+02:00"),
        to: at("2026-11-21T20:46:46.123456+01:00"),
        scheduler: "not preloaded".to_owned(),
        recovery_point: None,
        schedules: Listing::default(),
        backups: Backups::default(),
        damaged: Listing::default(),
        gaps: Gaps::default(),
        failures: Failures::default(),
        checks: Checks::default(),
        deletions: Deletions::default(),
        storages: Listing::whole(vec![Storage {
            name: "local".to_owned(),
            url: "file:///srv/pg/pg_walwarden/backups".to_owned(),
            stored: 0,
            bytes: 0,
            missing: 0,
            retained: 0,
            newest: None,
        }]),
        chain: Chain {
            checked: 1,
            entries: 1,
            is_whole: true,
            head: "5e".repeat(32),
            problems: Listing::default(),
        },
        keys: Keys::default(),
    }
}

fn backup(number: u128, outcome: Outcome, text: &mut dyn FnMut(&str) -> String) -> Backup {
    let ended_at = at("2026-10-24T02:07:00+02:00") + TimeDelta::days(number as i64);
    let good = matches!(outcome, Outcome::Completed | Outcome::Partial);
    Backup {
        job: id(number),
        schedule: (number % 9 != 4).then(|| text("nightly")),
        storage: text("offsite, local"),
        outcome,
        ended_at,
        snapshot_at: good.then(|| ended_at - TimeDelta::minutes(7)),
        took: Some(Duration::from_millis(312_400 + 9_171 * (number as u64 * 7 % 13))),
        size: good
            .then_some(41_000_000_000 + 173_000_000 * number as u64 + 911_000_000 * (number as u64 % 3)),
        rows: good.then_some(812_345_678 + 1_234_567 * number as u64),
        filtered: number == 4,
        deleted: number < 9 && good,
    }
}

/// Everything that a report can have, with every text through `text`.
pub fn with_texts(text: &mut dyn FnMut(&str) -> String) -> Report {
    let outcomes = |number| match number {
        6 | 17 => Outcome::Failed,
        20 => Outcome::Partial,
        25 => Outcome::Canceled,
        _ => Outcome::Completed,
    };
    let all: Vec<Backup> = (0..29).map(|number| backup(number, outcomes(number), text)).collect();
    Report {
        head: head(text),
        scheduler: text("running"),
        recovery_point: Some(RecoveryPoint {
            job: id(28),
            at: at("2026-11-21T01:00:00+01:00"),
            size: Some(47_666_000_000),
            filtered: false,
            storage: text("offsite, local"),
            verified: Some((at("2026-11-21T05:41:00+01:00"), text("full"))),
            tested_at: None,
            wal_since: Some(3_221_225_472),
            changed_rows: Some(1_904_221),
        }),
        schedules: Listing::whole(vec![
            Schedule {
                name: text("nightly"),
                cron: Some(text("0 2 * * *")),
                time_zone: text("Europe/Berlin"),
                enabled: true,
                storage: text("offsite, local"),
                next_run: Some(at("2026-11-22T02:00:00+01:00")),
                recovery_point: Some(at("2026-11-21T01:00:00+01:00")),
                rpo: Some(Duration::from_secs(26 * 3600)),
                rpo_met: Some(true),
                largest_window: Some(Duration::from_secs(48 * 3600 + 512)),
                retention: Policy {
                    keep_daily: Some(7),
                    keep_weekly: Some(4),
                    keep_monthly: Some(12),
                    ..Policy::default()
                },
                kept: 19,
                oldest_kept: Some(at("2026-11-02T02:00:00+01:00")),
            },
            Schedule {
                name: text("by hand"),
                cron: None,
                time_zone: text("UTC"),
                enabled: false,
                storage: text("local"),
                next_run: None,
                recovery_point: None,
                rpo: None,
                rpo_met: None,
                largest_window: None,
                retention: Policy::default(),
                kept: 0,
                oldest_kept: None,
            },
        ]),
        backups: Backups {
            completed: 25,
            partial: 1,
            failed: 2,
            canceled: 1,
            filtered: 1,
            newest_failed: None,
            series: Series::Each(all),
        },
        damaged: Listing::whole(vec![Damaged {
            job: id(12),
            snapshot_at: Some(at("2026-11-05T02:00:00+01:00")),
            storage: text("local"),
            damage: text("the archive differs from its manifest: part 3 has another SHA-256"),
        }]),
        gaps: Gaps {
            windows: vec![
                Window {
                    since: at("2026-11-09T01:00:00+01:00"),
                    until: at("2026-11-11T01:08:32+01:00"),
                    is_open: false,
                },
                Window {
                    since: at("2026-10-29T01:00:00+01:00"),
                    until: at("2026-10-31T01:07:00+01:00"),
                    is_open: false,
                },
                Window {
                    since: at("2026-11-21T01:00:00+01:00"),
                    until: at("2026-11-21T20:46:46+01:00"),
                    is_open: true,
                },
            ],
            skipped: 1,
            missed: 3,
            passed_over: Listing::whole(vec![PassedOver {
                at: at("2026-11-18T04:00:12+01:00"),
                event: text("backup.missed"),
                schedule: text("nightly"),
                scheduled_for: text("2026-11-18T01:00:00Z"),
                count: 3,
            }]),
        },
        failures: Failures {
            by_class: Listing::whole(vec![FailedClass {
                kind: JobKind::Backup,
                class: text("storage_unreachable"),
                count: 2,
                last: at("2026-11-10T02:07:00+01:00"),
            }]),
            newest: Listing {
                total: 4321,
                rows: vec![
                    Failure {
                        at: at("2026-11-10T02:07:00+01:00"),
                        job: id(17),
                        kind: JobKind::Backup,
                        schedule: Some(text("nightly")),
                        class: text("storage_unreachable"),
                        message: text("could not write the archive to storage \"offsite\""),
                        detail: Some(text("No answer within 30 s from s3.eu-central-1.example.com.")),
                    },
                    Failure {
                        at: at("2026-10-30T02:07:00+01:00"),
                        job: id(6),
                        kind: JobKind::RestoreTest,
                        schedule: None,
                        class: text("lock_timeout"),
                        message: text("could not lock table \"public\".\"orders\" in time"),
                        detail: None,
                    },
                ],
            },
        },
        checks: Checks {
            tests: Tally {
                passed: 3,
                failed: 1,
                last_passed: Some(at("2026-11-15T06:21:00+01:00")),
                last_failed: Some(at("2026-11-08T06:21:00+01:00")),
            },
            verifications: Tally {
                passed: 4,
                failed: 1,
                last_passed: Some(at("2026-11-21T05:41:00+01:00")),
                last_failed: Some(at("2026-11-14T05:41:00+01:00")),
            },
            newest: Listing::whole(vec![
                Check {
                    at: at("2026-11-21T05:41:00+01:00"),
                    kind: JobKind::Verify,
                    depth: Some(text("full")),
                    outcome: Outcome::Completed,
                    backup: id(28),
                    snapshot_at: Some(at("2026-11-21T01:00:00+01:00")),
                    storage: text("offsite"),
                    rows: Some(846_913_554),
                    smoke: false,
                    unchecked: None,
                    message: None,
                    took: Some(Duration::from_secs(2460)),
                },
                Check {
                    at: at("2026-11-15T06:21:00+01:00"),
                    kind: JobKind::RestoreTest,
                    depth: None,
                    outcome: Outcome::Completed,
                    backup: id(22),
                    snapshot_at: Some(at("2026-11-15T01:00:00+01:00")),
                    storage: text("offsite"),
                    rows: Some(839_506_152),
                    smoke: true,
                    unchecked: Some(text("the blocks, which are encrypted")),
                    message: None,
                    took: Some(Duration::from_secs(4860)),
                },
                Check {
                    at: at("2026-11-08T06:21:00+01:00"),
                    kind: JobKind::RestoreTest,
                    depth: None,
                    outcome: Outcome::Failed,
                    backup: id(15),
                    snapshot_at: None,
                    storage: text("local"),
                    rows: None,
                    smoke: true,
                    unchecked: None,
                    message: Some(text("the smoke query did not answer as it must")),
                    took: None,
                },
            ]),
        },
        deletions: Deletions {
            by_reason: Listing::whole(vec![
                DeletedFor { by: text("walwarden"), reason: text("no rule keeps it"), count: 8 },
                DeletedFor { by: text("alice"), reason: text("holds what must be forgotten"), count: 1 },
            ]),
            newest: Listing::whole(vec![
                Deletion {
                    decided_at: at("2026-11-20T09:14:00+01:00"),
                    job: id(8),
                    schedule: Some(text("nightly")),
                    snapshot_at: Some(at("2026-11-01T02:00:00+01:00")),
                    reason: text("no rule keeps it"),
                    by: text("walwarden"),
                    deleted_at: Some(at("2026-11-20T09:14:03+01:00")),
                },
                Deletion {
                    decided_at: at("2026-11-19T16:02:00+01:00"),
                    job: id(4),
                    schedule: None,
                    snapshot_at: None,
                    reason: text("holds what must be forgotten"),
                    by: text("alice"),
                    deleted_at: None,
                },
            ]),
            pending: 1,
            kept_without_schedule: 2,
        },
        storages: Listing::whole(vec![
            Storage {
                name: text("offsite"),
                url: text("s3://company-backups/postgres"),
                stored: 19,
                bytes: 861_000_000_000,
                missing: 1,
                retained: 2,
                newest: Some(at("2026-11-21T02:07:00+01:00")),
            },
            Storage {
                name: text("attic"),
                url: text("file:///mnt/attic"),
                stored: 0,
                bytes: 0,
                missing: 0,
                retained: 0,
                newest: None,
            },
        ]),
        chain: Chain {
            checked: 1000,
            entries: 4096,
            is_whole: false,
            head: "7d".repeat(32),
            problems: Listing::whole(vec![(4017, text("its column \"actor\" disagrees with its body"))]),
        },
        keys: Keys {
            current: Some("5e3b1c0f9a7d2e44".to_owned()),
            problem: None,
            used: Listing::whole(vec![
                KeyUse {
                    id: Some(text("09ab44e1c2d3f5a6")),
                    first: at("2026-10-24T02:07:00+02:00"),
                    last: at("2026-11-02T02:07:00+01:00"),
                    backups: 9,
                },
                KeyUse {
                    id: None,
                    first: at("2026-11-03T02:07:00+01:00"),
                    last: at("2026-11-03T02:07:00+01:00"),
                    backups: 1,
                },
            ]),
            manifests: 26,
            events: Listing::whole(vec![KeyEvent {
                at: at("2026-11-02T12:00:00+01:00"),
                event: text("key.rotated"),
                actor: text("alice"),
            }]),
        },
        ..empty()
    }
}

/// The same with more backups than are shown one by one.
pub fn by_period() -> Report {
    let mut report = rich();
    let begins = at("2026-11-19T00:00:00+01:00");
    let day = |number: u64| Period {
        begins: begins + TimeDelta::days(number as i64),
        good: if number == 1 { 0 } else { 24 },
        failed: number,
        canceled: 0,
        size: (number != 1).then_some(Spread { low: 1 << 30, mean: 3 << 29, high: 1 << 31 }),
        took: (number != 1).then_some(Spread {
            low: Duration::from_secs(60),
            mean: Duration::from_secs(80),
            high: Duration::from_secs(200),
        }),
    };
    report.backups.series =
        Series::Periods(Unit::Day, Listing { rows: (0..3).map(day).collect(), total: 400 });
    report
}

/// A database of which nothing bad can be said.
pub fn good() -> Report {
    let mut report = rich();
    report.schedules.rows.truncate(1);
    report.schedules.total = 1;
    report.schedules.rows[0].largest_window = Some(Duration::from_secs(25 * 3600));
    report.backups = Backups { completed: 30, ..Backups::default() };
    report.damaged = Listing::default();
    (report.gaps.missed, report.gaps.skipped) = (0, 0);
    (report.checks.tests.failed, report.checks.verifications.failed) = (0, 0);
    report.checks.newest.rows[1].unchecked = None;
    report.storages.rows[0].missing = 0;
    report.deletions.pending = 0;
    report.chain = Chain {
        checked: 4096,
        entries: 4096,
        is_whole: true,
        head: "7d".repeat(32),
        problems: Listing::default(),
    };
    report
}
