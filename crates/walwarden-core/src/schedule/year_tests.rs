//! A year of a schedule: ticks, downtimes, clocks that are set, jobs that take too long or fail, all of it irregular.
//! What the ticks decided is compared with a list of all occurrences of the year, made minute by minute apart from
//! the code under test.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, NaiveDateTime, TimeDelta, Timelike, Utc};
use chrono_tz::Tz;

use super::wall_clock::WallClock;
use super::*;
use crate::error::ErrorClass;

/// Seeded, so that a failure can be seen again (SplitMix64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: i64) -> i64 {
        i64::try_from(self.roll() % u64::try_from(end).unwrap()).unwrap()
    }

    fn one_in(&mut self, count: i64) -> bool {
        self.below(count) == 0
    }

    /// Between the two, each order of magnitude as likely as the others.
    fn duration(&mut self, least: TimeDelta, most: TimeDelta) -> TimeDelta {
        let doublings = (most.num_seconds() / least.num_seconds()).ilog2();
        let bound = least * (1 << self.below(i64::from(doublings) + 1));
        bound + TimeDelta::milliseconds(self.below(bound.num_milliseconds()))
    }
}

/// Which times an expression means.
enum Means {
    Fixed(fn(NaiveDateTime) -> bool),
    Wildcard(fn(NaiveDateTime) -> bool),
    /// Minutes since the epoch.
    Every(i64),
}

struct Case {
    expression: &'static str,
    zone: &'static str,
    jitter: u32,
    means: Means,
    /// The usual gap: jobs take up to three times as long.
    gap: TimeDelta,
}

const CASES: [Case; 5] = [
    Case {
        expression: "30 2 * * *",
        zone: "Europe/Berlin",
        jitter: 3600,
        means: Means::Fixed(|shown| (shown.hour(), shown.minute()) == (2, 30)),
        gap: TimeDelta::days(1),
    },
    Case {
        expression: "30 0-23/3 * * *",
        zone: "America/New_York",
        jitter: 0,
        means: Means::Fixed(|shown| shown.hour().is_multiple_of(3) && shown.minute() == 30),
        gap: TimeDelta::hours(3),
    },
    Case {
        expression: "*/20 1,2 * * *",
        zone: "Australia/Lord_Howe",
        jitter: 300,
        means: Means::Wildcard(|shown| matches!(shown.hour(), 1 | 2) && shown.minute().is_multiple_of(20)),
        gap: TimeDelta::minutes(20),
    },
    Case {
        expression: "@hourly",
        zone: "UTC",
        jitter: 3599,
        means: Means::Wildcard(|shown| shown.minute() == 0),
        gap: TimeDelta::hours(1),
    },
    Case {
        expression: "@every 7h",
        zone: "Europe/Berlin",
        jitter: 1800,
        means: Means::Every(420),
        gap: TimeDelta::hours(7),
    },
];

impl Case {
    fn timetable(&self) -> Timetable {
        let timetable = Timetable::parse(self.expression, self.zone).unwrap();
        timetable.with_jitter(self.jitter, "database/schedule/backup").unwrap()
    }

    /// Every scheduled time from a day before the year to far behind its end, where clocks set forward may lead.
    fn occurrences(&self) -> Vec<Occurrence> {
        let (start, length) = (start() - TimeDelta::days(1), TimeDelta::days(500));
        let clock = WallClock::new(self.zone.parse::<Tz>().unwrap(), start, length);
        let times = match self.means {
            Means::Fixed(allows) => clock.fixed(allows),
            Means::Wildcard(allows) => clock.wildcard(allows),
            Means::Every(minutes) => clock
                .wildcard(|_| true)
                .into_iter()
                .filter(|time| time.timestamp() % (minutes * 60) == 0)
                .collect(),
        };
        let timetable = self.timetable();
        let first = timetable.next_after(times[0] - TimeDelta::days(1));
        let followed = std::iter::successors(first, |last| timetable.next_after(last.fires_at));
        let found: Vec<_> = followed
            .skip_while(|found| found.scheduled_for < times[0])
            .take_while(|found| found.scheduled_for <= times[times.len() - 1])
            .collect();
        assert_eq!(found.iter().map(|found| found.scheduled_for).collect::<Vec<_>>(), times, "{timetable}");
        found
    }
}

fn start() -> DateTime<Utc> {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

#[derive(Debug, Clone, Copy)]
struct Job {
    scheduled_for: DateTime<Utc>,
    attempt: u32,
    /// What the clock showed when it was taken up.
    began: DateTime<Utc>,
    stage: Stage,
}

impl Job {
    fn is_running(&self) -> bool {
        matches!(self.stage, Stage::Running(..))
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Stage {
    /// Not to be begun before the clock shows this.
    Queued(DateTime<Utc>),
    /// Ends at this real time, well or with an error.
    Running(DateTime<Utc>, Option<ErrorClass>),
}

const RETRIES: Retries = Retries { retries: 2, delay_seconds: 300 };

/// What became of one occurrence.
#[derive(Debug, Default, Clone)]
struct Fate {
    runs: u32,
    missed: u32,
    skipped: u32,
    attempts: Vec<Attempt>,
}

#[derive(Debug, Clone, Copy)]
struct Attempt {
    number: u32,
    began: DateTime<Utc>,
    ended: DateTime<Utc>,
    failure: Option<ErrorClass>,
}

/// How often things happened: a year in which they do not proves nothing.
#[derive(Debug, Default)]
struct Tally {
    runs: u32,
    missed: u32,
    skipped: u32,
    queued_behind: u32,
    refused: u32,
    retried: u32,
    given_up: u32,
    caught_up: u32,
    set_back: u32,
    small_steps: u32,
    lost: u32,
}

impl Tally {
    fn add(&mut self, other: &Self) {
        self.runs += other.runs;
        self.missed += other.missed;
        self.skipped += other.skipped;
        self.queued_behind += other.queued_behind;
        self.refused += other.refused;
        self.retried += other.retried;
        self.given_up += other.given_up;
        self.caught_up += other.caught_up;
        self.set_back += other.set_back;
        self.small_steps += other.small_steps;
        self.lost += other.lost;
    }
}

struct Year<'a> {
    timetable: &'a Timetable,
    all: &'a [Occurrence],
    gap: TimeDelta,
    catch_up: CatchUp,
    overlap: Overlap,
    dice: Dice,
    /// Real time; nobody but the test knows it.
    real: DateTime<Utc>,
    /// What the server's clock is ahead of it.
    ahead: TimeDelta,
    checked_until: DateTime<Utc>,
    next: DateTime<Utc>,
    /// How long the launcher will take to start the next tick.
    latency: TimeDelta,
    /// Whether the server was down or its clock was set since the last tick.
    disturbed: bool,
    jobs: Vec<Job>,
    /// The unique index of the jobs' table.
    inserted: BTreeSet<DateTime<Utc>>,
    fates: BTreeMap<DateTime<Utc>, Fate>,
    /// What the clock showed a second time, after which and until when.
    repeated: Vec<(DateTime<Utc>, DateTime<Utc>)>,
    furthest: DateTime<Utc>,
    tally: Tally,
}

impl Year<'_> {
    fn clock(&self) -> DateTime<Utc> {
        self.real + self.ahead
    }

    /// The occurrences that fire in `(after, until]`.
    fn between(&self, after: DateTime<Utc>, until: DateTime<Utc>) -> &[Occurrence] {
        let place = |time| self.all.partition_point(|occurrence| occurrence.fires_at <= time);
        assert!(until < self.all[self.all.len() - 1].fires_at, "the clock is behind the end of the list");
        // Empty after a clock was set back.
        self.all.get(place(after)..place(until)).unwrap_or_default()
    }

    fn live(&mut self) {
        let end = start() + TimeDelta::days(365);
        let mut trouble = self.real + TimeDelta::days(3);
        while self.real < end {
            let launcher = self.next - self.ahead + self.latency;
            let letter = self.real + self.dice.duration(TimeDelta::minutes(30), TimeDelta::days(20));
            let is_busy = self.jobs.iter().any(Job::is_running);
            let work = self.jobs.iter().filter_map(|job| match job.stage {
                Stage::Queued(not_before) => (!is_busy).then(|| (not_before - self.ahead).max(self.real)),
                Stage::Running(ends_at, _) => Some(ends_at),
            });
            let work = work.min().unwrap_or(letter);
            let event = launcher.min(letter).min(work).min(trouble).max(self.real);
            self.real = event;
            if event == trouble {
                self.trouble();
                // Often soon after a tick that had something to do.
                let soon = self.next - self.ahead + TimeDelta::seconds(5 + self.dice.below(20));
                let later = self.real + self.dice.duration(TimeDelta::minutes(5), TimeDelta::days(14));
                trouble = if self.dice.one_in(3) { soon.max(self.real) } else { later };
                continue;
            }
            self.end_jobs();
            if event != work {
                self.tick();
            }
            self.start_job();
        }
        // Nobody looks for an hour, then once more.
        self.disturbed = true;
        self.real = self.real.max(end) + TimeDelta::hours(1);
        self.tick();
    }

    fn trouble(&mut self) {
        self.disturbed = true;
        if self.dice.one_in(2) {
            self.set_clock();
            // Somebody changes a schedule: a tick at once.
            if self.dice.one_in(2) {
                self.tick();
            }
        } else {
            self.be_down();
        }
    }

    fn set_clock(&mut self) {
        let by = self.dice.duration(TimeDelta::seconds(1), TimeDelta::days(3));
        self.ahead = match self.dice.below(4) {
            // Set right, a little back, far back or forth.
            0 => TimeDelta::zero(),
            1 => self.ahead - TimeDelta::seconds(self.dice.below(60)),
            2 => self.ahead - by,
            _ => self.ahead + by,
        };
    }

    /// A job that ran is lost with the server. It is reaped before the first tick looks.
    fn be_down(&mut self) {
        self.real += self.dice.duration(TimeDelta::seconds(5), TimeDelta::days(21));
        let ends_at = self.real;
        for job in self.jobs.iter_mut().filter(|job| job.is_running()) {
            job.stage = Stage::Running(ends_at, Some(ErrorClass::Lost));
            self.tally.lost += 1;
        }
        self.end_jobs();

        let catches_up = self.catch_up == CatchUp::Latest
            && self.jobs.is_empty()
            && !self.between(self.checked_until, self.clock()).is_empty();
        let runs = self.tally.runs;
        self.tick();
        if catches_up {
            assert_eq!(self.tally.runs, runs + 1, "one occurrence makes up for the downtime");
            self.tally.caught_up += 1;
        }
        self.start_job();
    }

    fn end_jobs(&mut self) {
        let real = self.real;
        let is_over = |job: &Job| matches!(job.stage, Stage::Running(ends_at, _) if ends_at <= real);
        let Some(place) = self.jobs.iter().position(is_over) else { return };
        let job = self.jobs.remove(place);
        let Stage::Running(_, failure) = job.stage else { return };
        let clock = self.clock();
        self.fates.entry(job.scheduled_for).or_default().attempts.push(Attempt {
            number: job.attempt,
            began: job.began,
            ended: clock,
            failure,
        });
        let Some(class) = failure else { return };
        let Some(not_before) = RETRIES.next_attempt(job.attempt, class, clock) else {
            self.tally.given_up += u32::from(class.is_transient());
            return;
        };
        self.tally.retried += 1;
        self.jobs.push(Job { attempt: job.attempt + 1, stage: Stage::Queued(not_before), ..job });
    }

    /// One job at a time, as of backups.
    fn start_job(&mut self) {
        if self.jobs.iter().any(Job::is_running) {
            return;
        }
        let clock = self.clock();
        let may_start = |job: &Job| matches!(job.stage, Stage::Queued(not_before) if not_before <= clock);
        let Some(place) = self.jobs.iter().position(may_start) else { return };
        let duration = self.dice.duration(TimeDelta::minutes(1), self.gap * 3);
        let failure = self.dice.one_in(3).then(|| {
            let place = self.dice.below(i64::try_from(ErrorClass::ALL.len()).unwrap());
            // Half of them may pass.
            if self.dice.one_in(2) {
                ErrorClass::StorageUnreachable
            } else {
                ErrorClass::ALL[usize::try_from(place).unwrap()]
            }
        });
        self.jobs[place] =
            Job { began: clock, stage: Stage::Running(self.real + duration, failure), ..self.jobs[place] };
    }

    fn tick(&mut self) {
        let now = self.clock();
        let check = Check {
            timetable: self.timetable,
            catch_up: self.catch_up,
            overlap: self.overlap,
            checked_until: self.checked_until,
            now,
            unfinished: !self.jobs.is_empty(),
            queued: self.jobs.iter().any(|job| !job.is_running()),
        };
        let due = check.decide();

        let back = self.checked_until - now;
        assert_eq!(due.clock_set_back, back > TimeDelta::minutes(1));
        if due.clock_set_back {
            self.tally.set_back += 1;
            self.repeated.push((now, self.checked_until));
            assert_eq!(due.checked_until, now);
        }
        if due.clock_set_back || back >= TimeDelta::zero() {
            self.tally.small_steps += u32::from(!due.clock_set_back && back > TimeDelta::zero());
            assert_eq!((due.run, due.missed, due.skipped), (None, None, None));
        } else {
            self.examine(&check, &due);
        }

        if let Some(run) = due.run {
            self.tally.runs += 1;
            if self.inserted.insert(run.scheduled_for) {
                self.tally.queued_behind += u32::from(check.unfinished);
                self.jobs.push(Job {
                    scheduled_for: run.scheduled_for,
                    attempt: 1,
                    began: now,
                    stage: Stage::Queued(now),
                });
            } else {
                self.tally.refused += 1;
            }
        }
        self.checked_until = due.checked_until;
        self.furthest = self.furthest.max(self.checked_until);
        self.next = due.next.unwrap();
        self.latency = TimeDelta::milliseconds(self.dice.below(5000));
        assert!(self.next > now && self.next > self.checked_until);
        self.disturbed = false;
    }

    /// What is due is in exactly one of run, missed and skipped, by the rules.
    fn examine(&mut self, check: &Check<'_>, due: &Due) {
        let inside = self.between(self.checked_until, check.now).to_vec();
        let Some((latest, earlier)) = inside.split_last() else {
            assert_eq!((due.run, due.missed, due.skipped), (None, None, None));
            assert_eq!(due.checked_until, self.checked_until);
            return;
        };
        assert_eq!(due.checked_until, check.now);
        // The launcher comes when it is told to: nothing is late without a reason.
        assert!(self.disturbed || check.now - inside[0].fires_at < TimeDelta::seconds(5), "{inside:?}");

        let late = check.now - latest.fires_at > TimeDelta::minutes(10);
        let blocked = match self.overlap {
            Overlap::Skip => check.unfinished,
            Overlap::Queue => check.queued,
        };
        let is_missed = late && self.catch_up == CatchUp::None;
        let expected = match (is_missed, blocked) {
            (true, _) => (None, None),
            (false, true) => (None, Some(*latest)),
            (false, false) => (Some(*latest), None),
        };
        assert_eq!((due.run, due.skipped), expected, "at {}", check.now);

        let missed = if is_missed { inside.as_slice() } else { earlier };
        let expected = missed.first().zip(missed.last()).map(|(first, last)| Missed {
            first: first.scheduled_for,
            last: last.scheduled_for,
            count: missed.len() as u64,
        });
        assert_eq!(due.missed, expected);
        for occurrence in missed {
            self.fates.entry(occurrence.scheduled_for).or_default().missed += 1;
            self.tally.missed += 1;
        }
        if let Some(run) = due.run {
            self.fates.entry(run.scheduled_for).or_default().runs += 1;
        }
        if let Some(skipped) = due.skipped {
            self.fates.entry(skipped.scheduled_for).or_default().skipped += 1;
            self.tally.skipped += 1;
        }
    }

    /// The year in hindsight.
    fn judge(&self) {
        let occurrences = self.between(start(), self.furthest);
        for Occurrence { scheduled_for, fires_at } in occurrences {
            let fate = self.fates.get(scheduled_for).cloned().unwrap_or_default();
            let times = fate.runs + fate.missed + fate.skipped;
            let repeats = self.repeated.iter().filter(|(after, until)| after < fires_at && fires_at <= until);
            let most = 1 + u32::try_from(repeats.count()).unwrap();
            assert!((1..=most).contains(&times), "{scheduled_for} at {fires_at}: {fate:?}, at most {most}");

            let known = self.inserted.contains(scheduled_for);
            assert_eq!(fate.runs > 0, known, "{scheduled_for}");
            assert!(known || fate.attempts.is_empty(), "{scheduled_for}");
            self.judge_attempts(&fate.attempts);
        }
        assert_eq!(self.fates.len(), occurrences.len(), "nothing but occurrences has a fate");
    }

    fn judge_attempts(&self, attempts: &[Attempt]) {
        let Some(last) = attempts.last() else { return };
        assert!(attempts.len() <= RETRIES.retries as usize + 1, "{attempts:?}");
        for (attempt, number) in attempts.iter().zip(1..) {
            assert_eq!(attempt.number, number, "{attempts:?}");
        }
        for (pair, delay) in attempts.windows(2).zip([300, 600]) {
            assert!(pair[0].failure.is_some_and(ErrorClass::is_transient), "{attempts:?}");
            assert!(pair[1].began - pair[0].ended >= TimeDelta::seconds(delay), "{attempts:?}");
        }
        // The year may end before the next attempt does.
        let goes_on = self.jobs.iter().any(|job| job.attempt > 1);
        let may_pass = last.failure.is_some_and(ErrorClass::is_transient);
        assert!(!may_pass || last.number > RETRIES.retries || goes_on, "{attempts:?}");
    }
}

fn live_through(case: &Case, all: &[Occurrence], catch_up: CatchUp, overlap: Overlap, seed: u64) -> Tally {
    let timetable = case.timetable();
    let mut year = Year {
        timetable: &timetable,
        all,
        gap: case.gap,
        catch_up,
        overlap,
        dice: Dice(seed),
        real: start(),
        ahead: TimeDelta::zero(),
        checked_until: start(),
        next: start(),
        latency: TimeDelta::zero(),
        disturbed: false,
        jobs: Vec::new(),
        inserted: BTreeSet::new(),
        fates: BTreeMap::new(),
        repeated: Vec::new(),
        furthest: start(),
        tally: Tally::default(),
    };
    year.live();
    year.judge();
    year.tally
}

/// All ways, several seeds. What a test prints says which year it was that failed.
fn live_through_all(case: &Case) {
    let all = case.occurrences();
    for catch_up in CatchUp::ALL {
        for overlap in Overlap::ALL {
            let mut sum = Tally::default();
            for seed in 0..4 {
                println!("{} catch_up {catch_up} overlap {overlap} seed {seed}", case.expression);
                sum.add(&live_through(case, &all, catch_up, overlap, seed));
            }
            println!("{sum:?}");
            let always =
                [sum.runs, sum.missed, sum.skipped, sum.retried, sum.given_up, sum.lost, sum.set_back];
            assert!(always.iter().all(|count| *count > 3), "{sum:?}");
            assert!(sum.small_steps > 0 && sum.refused > 0, "{sum:?}");
            assert_eq!(sum.caught_up > 20, catch_up == CatchUp::Latest, "{sum:?}");
            assert_eq!(sum.queued_behind > 20, overlap == Overlap::Queue, "{sum:?}");
        }
    }
}

#[test]
fn once_a_day() {
    live_through_all(&CASES[0]);
}

#[test]
fn every_three_hours() {
    live_through_all(&CASES[1]);
}

#[test]
fn in_bursts_through_half_an_hour_of_change() {
    live_through_all(&CASES[2]);
}

#[test]
fn every_hour_at_any_minute() {
    live_through_all(&CASES[3]);
}

#[test]
fn in_an_interval() {
    live_through_all(&CASES[4]);
}
