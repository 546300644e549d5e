//! What one tick does about one schedule and one kind of its jobs.

use chrono::{DateTime, TimeDelta, Utc};

use super::{MISSED_LIMIT, Occurrence, Timetable};
use crate::named::named;

/// Noticed later than this, because the server was down or walwarden switched off, an occurrence is missed, unless
/// the schedule catches up: a nightly backup does not start in the middle of the morning.
pub const LATEST_START: TimeDelta = TimeDelta::minutes(10);

/// A clock that is behind by more than this was set back. NTP takes smaller steps, and waiting for the clock to
/// come there again is right for these.
const SMALL_STEP: TimeDelta = TimeDelta::minutes(1);

/// What is done about an occurrence that is noticed too late. The name is stable: it stands in
/// `schedules.catch_up`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CatchUp {
    /// It is missed.
    None,
    /// The latest one runs, however late; those before it are missed.
    Latest,
}

impl CatchUp {
    /// Every way.
    pub const ALL: [CatchUp; 2] = [Self::None, Self::Latest];

    /// The stable name, as in `schedules.catch_up`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Latest => "latest",
        }
    }
}

named!(CatchUp, "way to catch up");

/// What is done about an occurrence while a job of its schedule and kind is not finished. The name is stable: it
/// stands in `schedules.on_overlap`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Overlap {
    /// It is skipped.
    Skip,
    /// It waits until that job has ended. One at a time waits; others are skipped.
    Queue,
}

impl Overlap {
    /// Every way.
    pub const ALL: [Overlap; 2] = [Self::Skip, Self::Queue];

    /// The stable name, as in `schedules.on_overlap`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Skip => "skip",
            Self::Queue => "queue",
        }
    }
}

named!(Overlap, "way with overlapping jobs");

/// What a tick knows of a schedule and one kind of its jobs.
#[derive(Debug, Clone, Copy)]
pub struct Check<'a> {
    /// When these jobs run.
    pub timetable: &'a Timetable,
    /// What is done about what is noticed too late.
    pub catch_up: CatchUp,
    /// What is done while a job is not finished.
    pub overlap: Overlap,
    /// What was due until then is dealt with.
    pub checked_until: DateTime<Utc>,
    /// What the clock shows.
    pub now: DateTime<Utc>,
    /// Whether such a job is queued or running. Jobs whose process is gone must have been reaped before, or the
    /// first occurrence after a crash is skipped for a job that will never end.
    pub unfinished: bool,
    /// Whether such a job is queued: it, or another attempt of it, waits to be taken up.
    pub queued: bool,
}

/// Occurrences that will not run, by their scheduled times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Missed {
    /// The earliest.
    pub first: DateTime<Utc>,
    /// The latest.
    pub last: DateTime<Utc>,
    /// How many, both included; [`MISSED_LIMIT`] stands for that many or more.
    pub count: u64,
}

/// What is to be done. Every occurrence that became due is in exactly one of `run`, `missed` and `skipped`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// Queue a job for this one.
    pub run: Option<Occurrence>,
    /// These were noticed too late, or have a later one that takes their place.
    pub missed: Option<Missed>,
    /// This one does not run because a job before it is not finished.
    pub skipped: Option<Occurrence>,
    /// The new `checked_until`; the old one when there was nothing to do.
    pub checked_until: DateTime<Utc>,
    /// When the next one is due.
    pub next: Option<DateTime<Utc>>,
    /// Whether the clock was set back by more than a minute: worth an entry in the audit chain.
    pub clock_set_back: bool,
}

impl Check<'_> {
    /// Decides. The latest due occurrence may run; earlier ones are missed.
    ///
    /// When the clock was set back, checking goes on from now, and what lies between now and the old
    /// `checked_until` comes a second time. It does not run a second time only because the jobs' table admits a
    /// schedule, kind and scheduled time once; whoever queues the job must take a refusal there as done.
    pub fn decide(&self) -> Due {
        let clock_set_back = self.checked_until - self.now > SMALL_STEP;
        let after = if clock_set_back { self.now } else { self.checked_until };
        let mut due = Due {
            run: None,
            missed: None,
            skipped: None,
            checked_until: after,
            // Not what is dealt with already, after a small step back.
            next: self.timetable.next_after(after.max(self.now)).map(|next| next.fires_at),
            clock_set_back,
        };
        let Some((latest, earlier)) = self.timetable.latest_due(after, self.now) else { return due };
        due.checked_until = self.now;

        let late = self.catch_up == CatchUp::None && self.now - latest.fires_at > LATEST_START;
        due.missed = self.missed(after, latest, earlier, late);
        if late {
            return due;
        }
        let in_the_way = match self.overlap {
            Overlap::Skip => self.unfinished || self.queued,
            Overlap::Queue => self.queued,
        };
        *(if in_the_way { &mut due.skipped } else { &mut due.run }) = Some(latest);
        due
    }

    /// The `earlier` ones before the latest, and the latest too if it is late.
    fn missed(&self, after: DateTime<Utc>, latest: Occurrence, earlier: u64, late: bool) -> Option<Missed> {
        let last = if late {
            latest
        } else {
            self.timetable.latest_due(after, latest.fires_at - TimeDelta::nanoseconds(1))?.0
        };
        let first = self.timetable.next_after(after)?;
        let count = (earlier + u64::from(late)).min(MISSED_LIMIT);
        Some(Missed { first: first.scheduled_for, last: last.scheduled_for, count })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utc(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn at(scheduled_for: &str) -> Occurrence {
        let scheduled_for = utc(scheduled_for);
        Occurrence { scheduled_for, fires_at: scheduled_for }
    }

    fn every(interval: &str) -> Timetable {
        Timetable::parse(&format!("@every {interval}"), "UTC").unwrap()
    }

    /// Checked until midnight, nothing unfinished.
    fn check<'a>(timetable: &'a Timetable, now: &str) -> Check<'a> {
        Check {
            timetable,
            catch_up: CatchUp::None,
            overlap: Overlap::Skip,
            checked_until: utc("2026-08-01T00:00:00Z"),
            now: utc(now),
            unfinished: false,
            queued: false,
        }
    }

    #[test]
    fn nothing_due_changes_nothing() {
        let timetable = every("1h");
        let due = check(&timetable, "2026-08-01T00:59:59.999999Z").decide();
        assert_eq!(
            due,
            Due {
                run: None,
                missed: None,
                skipped: None,
                checked_until: utc("2026-08-01T00:00:00Z"),
                next: Some(utc("2026-08-01T01:00:00Z")),
                clock_set_back: false,
            }
        );
    }

    #[test]
    fn the_latest_runs_and_earlier_ones_are_missed() {
        let timetable = every("1h");
        let now = "2026-08-01T04:10:00Z";
        let due = check(&timetable, now).decide();
        assert_eq!(due.run, Some(at("2026-08-01T04:00:00Z")));
        let (first, last) = (utc("2026-08-01T01:00:00Z"), utc("2026-08-01T03:00:00Z"));
        assert_eq!(due.missed, Some(Missed { first, last, count: 3 }));
        assert_eq!(due.skipped, None);
        assert_eq!(due.checked_until, utc(now));
        assert_eq!(due.next, Some(utc("2026-08-01T05:00:00Z")));
    }

    #[test]
    fn too_late_is_missed_unless_it_catches_up() {
        let timetable = every("1h");
        let late = check(&timetable, "2026-08-01T02:10:00.000001Z");
        let due = late.decide();
        assert_eq!((due.run, due.skipped), (None, None));
        let (first, last) = (utc("2026-08-01T01:00:00Z"), utc("2026-08-01T02:00:00Z"));
        assert_eq!(due.missed, Some(Missed { first, last, count: 2 }));
        assert_eq!(due.checked_until, late.now);

        let due = Check { catch_up: CatchUp::Latest, ..late }.decide();
        assert_eq!(due.run, Some(at("2026-08-01T02:00:00Z")));
        assert_eq!(due.missed, Some(Missed { first, last: first, count: 1 }));

        // It is late, not skipped, whatever is unfinished.
        let due = Check { unfinished: true, queued: true, ..late }.decide();
        assert_eq!((due.run, due.skipped, due.missed.unwrap().count), (None, None, 2));
    }

    #[test]
    fn lateness_counts_from_the_jittered_time() {
        let timetable = Timetable::parse("0 2 * * *", "UTC").unwrap().with_jitter(3 * 3600, "a").unwrap();
        let fires_at = timetable.next_after(utc("2026-08-01T00:00:00Z")).unwrap().fires_at;
        assert!(fires_at > utc("2026-08-01T02:10:00Z"), "choose another seed");
        let mut check = check(&timetable, "2026-08-01T02:00:00Z");
        for (now, runs) in [
            (fires_at - TimeDelta::microseconds(1), false),
            (fires_at, true),
            (fires_at + LATEST_START, true),
            (fires_at + LATEST_START + TimeDelta::microseconds(1), false),
        ] {
            check.now = now;
            let due = check.decide();
            let scheduled_for = utc("2026-08-01T02:00:00Z");
            assert_eq!(due.run, runs.then_some(Occurrence { scheduled_for, fires_at }), "{now}");
            assert_eq!(due.missed.is_some(), now > fires_at + LATEST_START, "{now}");
        }
    }

    #[test]
    fn what_is_unfinished_is_in_the_way() {
        let timetable = every("1h");
        let one = Some(at("2026-08-01T01:00:00Z"));
        for (overlap, unfinished, queued, runs) in [
            (Overlap::Skip, false, false, true),
            (Overlap::Skip, true, false, false),
            (Overlap::Skip, true, true, false),
            (Overlap::Queue, false, false, true),
            (Overlap::Queue, true, false, true),
            (Overlap::Queue, true, true, false),
        ] {
            let check = check(&timetable, "2026-08-01T01:00:03Z");
            let due = Check { overlap, unfinished, queued, ..check }.decide();
            let expected = if runs { (one, None) } else { (None, one) };
            assert_eq!((due.run, due.skipped), expected, "{overlap} {unfinished} {queued}");
            assert_eq!(due.missed, None);
            assert_eq!(due.checked_until, check.now);
        }
    }

    #[test]
    fn a_clock_set_back_is_said_and_checked_from() {
        let timetable = every("1h");
        let now = "2026-07-31T20:30:00Z";
        let due = check(&timetable, now).decide();
        assert!(due.clock_set_back);
        assert_eq!(due.checked_until, utc(now));
        assert_eq!((due.run, due.missed, due.skipped), (None, None, None));
        assert_eq!(due.next, Some(utc("2026-07-31T21:00:00Z")));
    }

    #[test]
    fn a_small_step_back_does_nothing() {
        let timetable = every("1h");
        let check = check(&timetable, "2026-07-31T23:59:00Z");
        let due = check.decide();
        assert!(!due.clock_set_back);
        assert_eq!(due.checked_until, check.checked_until);
        assert_eq!((due.run, due.missed, due.skipped), (None, None, None));
        // Midnight is dealt with, though the clock will show it again.
        assert_eq!(due.next, Some(utc("2026-08-01T01:00:00Z")));
        let further = Check { now: check.now - TimeDelta::microseconds(1), ..check };
        assert!(further.decide().clock_set_back);
    }

    #[test]
    fn a_clock_far_ahead_ends_in_a_limit() {
        let timetable = Timetable::parse("* * * * *", "Europe/Berlin").unwrap();
        let check = check(&timetable, "2062-08-01T12:34:56Z");
        let due = Check { catch_up: CatchUp::Latest, ..check }.decide();
        assert_eq!(due.run, Some(at("2062-08-01T12:34:00Z")));
        let (first, last) = (utc("2026-08-01T00:01:00Z"), utc("2062-08-01T12:33:00Z"));
        assert_eq!(due.missed, Some(Missed { first, last, count: MISSED_LIMIT }));
        let frequent = every("1m");
        let check = Check { timetable: &frequent, now: utc("9999-12-31T23:59:59Z"), ..check };
        let due = check.decide();
        assert_eq!(due.missed.unwrap().count, MISSED_LIMIT);
        assert_eq!(due.run, Some(at("9999-12-31T23:59:00Z")));
    }

    #[test]
    fn the_ends_of_time_do_not_panic() {
        let timetable = Timetable::parse("0 2 * * *", "Asia/Tokyo").unwrap().with_jitter(600, "a").unwrap();
        let (min, max) = (DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC);
        for (checked_until, now) in [(min, max), (max, min), (min, min), (max, max)] {
            let check = Check { checked_until, now, ..check(&timetable, "2026-08-01T00:00:00Z") };
            assert_eq!(check.decide().clock_set_back, checked_until > now);
        }
    }

    #[test]
    fn names_read_back() {
        assert_eq!(CatchUp::ALL.map(CatchUp::name), ["none", "latest"]);
        assert_eq!(Overlap::ALL.map(Overlap::name), ["skip", "queue"]);
        assert_eq!("latest".parse(), Ok(CatchUp::Latest));
        assert_eq!("queue".parse(), Ok(Overlap::Queue));
        let error = "wait".parse::<Overlap>().unwrap_err();
        assert_eq!(error.message, "unknown way with overlapping jobs \"wait\"");
        assert_eq!(error.hint.as_deref(), Some("Known are: skip, queue."));
    }
}
