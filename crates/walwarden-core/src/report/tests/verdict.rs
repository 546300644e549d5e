//! What is good, what is not, and that nothing that was not looked at is called good.

use std::time::Duration;

use super::sample::{self, at};
use crate::report::{Level, Report, judge};

/// Nothing wrong with it.
fn good() -> Report {
    let report = sample::good();
    let verdict = judge(&report);
    assert_eq!((verdict.level, verdict.reasons.len()), (Level::Good, 0), "{:#?}", verdict.reasons);
    report
}

/// One change makes it so, and says why.
fn becomes(level: Level, told: &str, change: impl FnOnce(&mut Report)) {
    let mut report = good();
    change(&mut report);
    let verdict = judge(&report);
    assert_eq!(verdict.level, level, "{told}: {:#?}", verdict.reasons);
    assert!(
        verdict.reasons.iter().any(|reason| reason.text.contains(told)),
        "{told}: {:#?}",
        verdict.reasons
    );
}

#[test]
fn what_was_not_looked_at_is_always_told() {
    let verdict = judge(&good());
    for told in
        ["nothing was read from it", "compared with itself only", "signatures of manifests", "other means"]
    {
        assert!(verdict.not_checked.iter().any(|text| text.contains(told)), "{told}");
    }
    assert!(!verdict.not_checked.iter().any(|text| text.contains("at the end of this time")));
    let mut past = good();
    past.to = at("2026-11-10T00:00:00+01:00");
    assert!(judge(&past).not_checked.iter().any(|text| text.contains("at the end of this time")));
}

#[test]
fn what_is_bad() {
    use Level::Bad;
    becomes(Bad, "no good backup", |r| r.recovery_point = None);
    becomes(Bad, "misses its target", |r| r.schedules.rows[0].rpo_met = Some(false));
    becomes(Bad, "has no good backup", |r| {
        r.schedules.rows[0].rpo_met = Some(false);
        r.schedules.rows[0].recovery_point = None;
    });
    // Nobody knows: not good.
    becomes(Bad, "misses its target", |r| r.schedules.rows[0].rpo_met = None);
    becomes(Bad, "do not fire", |r| r.scheduler = "stopped".to_owned());
    becomes(Bad, "No backup completed", |r| {
        r.backups.completed = 0;
        r.backups.failed = 3;
    });
    becomes(Bad, "latest restore test failed", |r| {
        r.checks.tests.last_failed = Some(at("2026-11-21T19:00:00+01:00"))
    });
    becomes(Bad, "known to be damaged", |r| r.damaged = sample::rich().damaged);
    becomes(Bad, "not what was written", |r| r.chain.problems.total = 1);
}

#[test]
fn what_somebody_should_look_at() {
    use Level::Attention;
    becomes(Attention, "2 of 32 backups failed", |r| r.backups.failed = 2);
    becomes(Attention, "The newest backup", |r| {
        r.backups.newest_failed = Some(at("2026-11-21T19:00:00+01:00"))
    });
    becomes(Attention, "did not reach all", |r| r.backups.partial = 1);
    becomes(Attention, "No backup ended", |r| r.backups.completed = 0);
    becomes(Attention, "while nothing could run", |r| r.gaps.missed = 1);
    becomes(Attention, "while the run before went on", |r| r.gaps.skipped = 2);
    becomes(Attention, "no restore test passed", |r| r.checks.tests.passed = 0);
    becomes(Attention, "1 restore test failed", |r| r.checks.tests.failed = 1);
    becomes(Attention, "2 verifications failed", |r| r.checks.verifications.failed = 2);
    becomes(Attention, "could not look at everything", |r| {
        r.checks.newest.rows[0].unchecked = Some("blocks".to_owned())
    });
    becomes(Attention, "has no target", |r| r.schedules.rows[0].rpo = None);
    becomes(Attention, "is paused", |r| r.schedules.rows[0].enabled = false);
    becomes(Attention, "could have been lost", |r| {
        r.schedules.rows[0].largest_window = Some(Duration::from_secs(200_000))
    });
    becomes(Attention, "There is no schedule", |r| r.schedules = Default::default());
    becomes(Attention, "7 more schedules are not on this page", |r| r.schedules.total = 8);
    becomes(Attention, "does not hold all", |r| r.recovery_point.as_mut().unwrap().filtered = true);
    becomes(Attention, "was not verified or tested since", |r| {
        let point = r.recovery_point.as_mut().unwrap();
        (point.verified, point.tested_at) = (None, None);
    });
    becomes(Attention, "1 copy is not where it should be", |r| r.storages.rows[0].missing = 1);
    becomes(Attention, "1 backup was to be deleted", |r| r.deletions.pending = 1);
    becomes(Attention, "Only the newest 100 of 5,000", |r| {
        (r.chain.checked, r.chain.entries, r.chain.is_whole) = (100, 5000, false)
    });
    becomes(Attention, "not usable", |r| r.keys.problem = Some("it is gone".to_owned()));
    becomes(Attention, "standby", |r| r.scheduler = "standby".to_owned());
}

/// A schedule that runs by hand does not need a scheduler.
#[test]
fn no_scheduler_is_needed_for_what_runs_by_hand() {
    let mut report = good();
    report.schedules.rows[0].next_run = None;
    report.scheduler = "not preloaded".to_owned();
    assert_eq!(judge(&report).level, Level::Good);
}

#[test]
fn the_worst_comes_first() {
    let mut report = good();
    report.gaps.missed = 1;
    report.chain.problems.total = 1;
    let levels: Vec<Level> = judge(&report).reasons.iter().map(|reason| reason.level).collect();
    assert_eq!(levels, [Level::Bad, Level::Attention]);
}
