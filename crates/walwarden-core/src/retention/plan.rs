//! The plan: rails, then rules, then size.

use std::cmp::Reverse;
use std::collections::HashSet;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use serde::Serialize;
use uuid::Uuid;

use super::{Period, Policy, Reason};

/// A backup whose objects are in storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    /// The job that made it.
    pub job: Uuid,
    /// The moment whose data it has, by the clock of the server then.
    pub snapshot_at: DateTime<Utc>,
    /// Its bytes in storage.
    pub size: u64,
    /// Whether it is not known to be damaged.
    pub is_good: bool,
    /// Whether it was verified after it was made, and found good.
    pub is_verified: bool,
    /// Until when the storage refuses to delete it.
    pub locked_until: Option<DateTime<Utc>>,
    /// Whether a job restores, verifies or copies it right now.
    pub in_use: bool,
}

/// What is to happen to a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Decision {
    /// The job that made it.
    pub job: Uuid,
    /// Whether it is kept; else it is deleted.
    pub keep: bool,
    /// Why. Never empty: if it is kept, all that keeps it, rails before rules.
    pub reasons: Vec<Reason>,
}

/// Decides about each of `backups`, all of one schedule, at the time `now`; the newest first. `zone` says what an hour
/// or a day is.
pub fn plan(policy: &Policy, zone: Tz, backups: &[Backup], now: DateTime<Utc>) -> Vec<Decision> {
    let mut candidates: Vec<Candidate> = backups.iter().map(Candidate::new).collect();
    candidates.sort_by_key(|candidate| Reverse((candidate.backup.snapshot_at, candidate.backup.job)));
    if policy.is_empty() {
        candidates.iter_mut().for_each(|candidate| candidate.kept_by.push(Reason::NoRetention));
    } else {
        apply_rails(policy, &mut candidates, now);
        apply_rules(policy, zone, &mut counted(&mut candidates, now));
        if let Some(limit) = policy.max_total_size {
            apply_size(limit, &mut candidates);
        }
    }
    candidates.into_iter().map(Candidate::decide).collect()
}

/// A backup, and what is known so far about its fate.
struct Candidate<'a> {
    backup: &'a Backup,
    kept_by: Vec<Reason>,
    on_rail: bool,
    too_much: bool,
}

impl<'a> Candidate<'a> {
    fn new(backup: &'a Backup) -> Self {
        Self { backup, kept_by: Vec::new(), on_rail: false, too_much: false }
    }

    fn hold(&mut self, rail: Reason) {
        self.kept_by.push(rail);
        self.on_rail = true;
    }

    fn decide(self) -> Decision {
        let keep = !self.kept_by.is_empty() && !self.too_much;
        let reasons = if keep {
            self.kept_by
        } else if self.too_much {
            vec![Reason::AboveMaxTotalSize]
        } else if self.backup.is_good {
            vec![Reason::NoRule]
        } else {
            vec![Reason::Damaged]
        };
        Decision { job: self.backup.job, keep, reasons }
    }
}

/// Those that rules and rails count: good, and not from the future.
fn counted<'c, 'a>(candidates: &'c mut [Candidate<'a>], now: DateTime<Utc>) -> Vec<&'c mut Candidate<'a>> {
    let counts = |backup: &Backup| backup.is_good && backup.snapshot_at <= now;
    candidates.iter_mut().filter(|candidate| counts(candidate.backup)).collect()
}

fn apply_rails(policy: &Policy, newest_first: &mut [Candidate], now: DateTime<Utc>) {
    let mut counted = counted(newest_first, now);
    if let Some(newest) = counted.first_mut() {
        newest.hold(Reason::NewestGood);
    }
    if let Some(newest) = counted.iter_mut().find(|candidate| candidate.backup.is_verified) {
        newest.hold(Reason::NewestVerified);
    }
    for candidate in counted.iter_mut().take(count(policy.min_keep)) {
        candidate.hold(Reason::MinKeep(policy.min_keep));
    }

    let any_good = newest_first.iter().any(|candidate| candidate.backup.is_good);
    for candidate in newest_first {
        if !any_good {
            candidate.hold(Reason::NothingBetter);
        }
        if candidate.backup.is_good && candidate.backup.snapshot_at > now {
            candidate.hold(Reason::FromTheFuture);
        }
        if candidate.backup.in_use {
            candidate.hold(Reason::InUse);
        }
        if let Some(until) = candidate.backup.locked_until.filter(|until| *until > now) {
            candidate.hold(Reason::Locked(until));
        }
    }
}

fn apply_rules(policy: &Policy, zone: Tz, newest_first: &mut [&mut Candidate]) {
    if !policy.has_rule() {
        newest_first.iter_mut().for_each(|candidate| candidate.kept_by.push(Reason::NoRuleButSize));
    }
    if let Some(last) = policy.keep_last {
        for candidate in newest_first.iter_mut().take(count(last)) {
            candidate.kept_by.push(Reason::Last(last));
        }
    }
    if let Some(seconds) = policy.keep_for {
        keep_within(seconds, newest_first);
    }
    for period in Period::ALL {
        if let Some(slots) = policy.keep_each(period) {
            fill_slots(period, count(slots), zone, newest_first);
        }
    }
}

fn keep_within(seconds: u64, newest_first: &mut [&mut Candidate]) {
    let Some(newest) = newest_first.first().map(|candidate| candidate.backup.snapshot_at) else {
        return;
    };
    // What is longer than any two times can be apart keeps all.
    let span = i64::try_from(seconds).ok().and_then(TimeDelta::try_seconds).unwrap_or(TimeDelta::MAX);
    for candidate in newest_first.iter_mut() {
        if newest.signed_duration_since(candidate.backup.snapshot_at) < span {
            candidate.kept_by.push(Reason::Within(seconds));
        }
    }
}

fn fill_slots(period: Period, slots: usize, zone: Tz, newest_first: &mut [&mut Candidate]) {
    let mut filled = HashSet::new();
    let oldest = newest_first.len().saturating_sub(1);
    for (position, candidate) in newest_first.iter_mut().enumerate() {
        if filled.len() == slots {
            return;
        }
        let which = period.at(candidate.backup.snapshot_at, zone);
        if filled.insert(which.clone()) {
            candidate.kept_by.push(Reason::Slot(period, which));
        } else if position == oldest {
            candidate.kept_by.push(Reason::Oldest(period));
        }
    }
}

fn apply_size(limit: u64, newest_first: &mut [Candidate]) {
    let kept = |candidate: &&mut Candidate| !candidate.kept_by.is_empty();
    // The sum of sizes that somebody made up may not fit into 64 bits.
    let mut total: u128 =
        newest_first.iter_mut().filter(kept).map(|candidate| u128::from(candidate.backup.size)).sum();
    for oldest in newest_first.iter_mut().rev().filter(kept).filter(|candidate| !candidate.on_rail) {
        if total <= u128::from(limit) {
            return;
        }
        oldest.too_much = true;
        total -= u128::from(oldest.backup.size);
    }
}

/// A count as one of things in memory, of which there can be no more.
fn count(wanted: u32) -> usize {
    usize::try_from(wanted).unwrap_or(usize::MAX)
}
