//! Which database of a cluster may start the next job, when more jobs wait than may run at once.
//!
//! A database that has not started a job for longest comes first, then the one that waits longest: however many jobs one of
//! them queues, each other one has its turn before that one has another. A turn that comes to nothing costs the database
//! nothing but a wait that doubles, so that nobody tries without end.
//!
//! Databases are oids. Times are microseconds of any one clock.

use crate::breaker::Breaker;
use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

/// How long a database waits after a turn that came to nothing; it doubles from one to the next.
const AFTER_NOTHING: Breaker = Breaker::new(Duration::from_secs(1), Duration::from_secs(600));

/// The databases that wait, those whose turn it is, and when each had its last.
#[derive(Debug, Clone, Default)]
pub struct Turns {
    /// Since when a job waits for nothing but a turn.
    waiting: BTreeMap<u32, i64>,
    /// Given out, and nothing heard since.
    given: BTreeMap<u32, Given>,
    /// When it last started a job.
    last: BTreeMap<u32, i64>,
    /// Turns that came to nothing since, and when the next one may be given.
    trouble: BTreeMap<u32, (Breaker, i64)>,
}

#[derive(Debug, Clone, Copy)]
struct Given {
    since: i64,
    /// Jobs wait there besides the one that the turn is for, as was said meanwhile.
    more: Option<i64>,
}

impl Turns {
    /// A job of this database waits for nothing but a turn, since then.
    pub fn wait(&mut self, database: u32, since: i64) {
        match self.given.get_mut(&database) {
            Some(given) => given.more = Some(since),
            None => {
                self.waiting.insert(database, since);
            }
        }
    }

    /// No job of this database waits for a turn.
    pub fn rest(&mut self, database: u32) {
        self.waiting.remove(&database);
        if let Some(given) = self.given.get_mut(&database) {
            given.more = None;
        }
    }

    /// A job of this database has started, by its turn or by itself.
    pub fn started(&mut self, database: u32, now: i64) {
        self.last.insert(database, now);
        self.trouble.remove(&database);
        if let Some(Given { more: Some(since), .. }) = self.given.remove(&database) {
            self.waiting.insert(database, since);
        }
    }

    /// The turn of this database is over and started nothing. It waits on if `waits`, as from the beginning, but is not
    /// asked again at once.
    pub fn came_to_nothing(&mut self, database: u32, waits: bool, now: i64) {
        let Some(given) = self.given.remove(&database) else { return };
        if !waits && given.more.is_none() {
            self.trouble.remove(&database);
            return;
        }
        self.waiting.insert(database, given.since);
        let (breaker, not_before) = self.trouble.entry(database).or_insert((AFTER_NOTHING, now));
        *not_before = now.saturating_add(micros(breaker.failed().wait));
    }

    /// Gives the next turn.
    pub fn give(&mut self, now: i64) -> Option<u32> {
        let database = *self
            .waiting
            .iter()
            .filter(|(database, _)| self.not_before(**database) <= now)
            .min_by_key(|(database, since)| (self.last.get(database), **since, **database))?
            .0;
        let since = self.waiting.remove(&database)?;
        self.given.insert(database, Given { since, more: None });
        Some(database)
    }

    /// It could not be given after all, for a reason that has nothing to do with the database.
    pub fn take_back(&mut self, database: u32) {
        if let Some(given) = self.given.remove(&database) {
            self.waiting.insert(database, given.since);
        }
    }

    /// How many databases wait.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// When somebody who waits may be asked again at the earliest; None when nobody waits.
    pub fn earliest(&self) -> Option<i64> {
        self.waiting.keys().map(|database| self.not_before(*database)).min()
    }

    /// Only these databases are there any more.
    pub fn keep(&mut self, present: &HashSet<u32>) {
        self.waiting.retain(|database, _| present.contains(database));
        self.given.retain(|database, _| present.contains(database));
        self.last.retain(|database, _| present.contains(database));
        self.trouble.retain(|database, _| present.contains(database));
    }

    fn not_before(&self, database: u32) -> i64 {
        self.trouble.get(&database).map_or(i64::MIN, |(_, not_before)| *not_before)
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: i64 = 1_000_000;

    #[test]
    fn who_never_had_a_turn_comes_first_then_who_waits_longest() {
        let mut turns = Turns::default();
        turns.started(1, 5);
        turns.wait(1, 0);
        turns.wait(2, 20);
        turns.wait(3, 10);
        let order: Vec<u32> = std::iter::from_fn(|| turns.give(30)).collect();
        assert_eq!(order, [3, 2, 1]);
        assert_eq!(turns.waiting(), 0);
        turns.take_back(3);
        assert_eq!(turns.give(30), Some(3));
    }

    #[test]
    fn a_turn_that_comes_to_nothing_keeps_its_place_and_waits_longer_each_time() {
        let mut turns = Turns::default();
        turns.wait(1, 0);
        assert_eq!(turns.give(0), Some(1));
        assert_eq!(turns.give(0), None, "one turn at a time");
        turns.came_to_nothing(1, true, 0);
        assert_eq!((turns.earliest(), turns.give(SECOND - 1)), (Some(SECOND), None));
        assert_eq!(turns.give(SECOND), Some(1));
        turns.came_to_nothing(1, true, SECOND);
        assert_eq!(turns.earliest(), Some(3 * SECOND));
        assert_eq!(turns.give(3 * SECOND), Some(1));
        turns.started(1, 3 * SECOND);
        turns.wait(1, 4 * SECOND);
        assert_eq!(turns.give(4 * SECOND), Some(1), "what has passed is forgotten");
        turns.came_to_nothing(1, false, 4 * SECOND);
        assert_eq!((turns.waiting(), turns.earliest()), (0, None));
    }

    #[test]
    fn what_is_said_while_a_turn_is_out_counts_when_it_has_started() {
        let mut turns = Turns::default();
        turns.wait(1, 0);
        turns.give(0);
        turns.wait(1, 7);
        assert_eq!(turns.waiting(), 0);
        turns.started(1, 8);
        assert_eq!(turns.give(8), Some(1));
        turns.wait(1, 9);
        turns.rest(1);
        turns.started(1, 10);
        assert_eq!(turns.waiting(), 0);
    }

    #[test]
    fn dropped_databases_are_forgotten() {
        let mut turns = Turns::default();
        turns.wait(1, 0);
        turns.wait(2, 0);
        turns.give(0);
        turns.keep(&HashSet::new());
        turns.take_back(1);
        assert_eq!((turns.waiting(), turns.give(0)), (0, None));
    }

    proptest! {
        /// However many jobs each database has, between two jobs of one of them every other one that waited all the while
        /// has started one; and no more run at once than may.
        #[test]
        fn nobody_has_two_turns_while_another_waits(
            jobs in prop::collection::vec(0..20u32, 1..12),
            limit in 1..5usize,
            ends in prop::collection::vec(0..100usize, 300),
        ) {
            let mut left: BTreeMap<u32, u32> = (0..).zip(jobs).filter(|(_, jobs)| *jobs > 0).collect();
            let all: u32 = left.values().sum();
            let mut turns = Turns::default();
            for database in left.keys() {
                turns.wait(*database, i64::from(*database));
            }
            let mut running: Vec<u32> = Vec::new();
            let mut history: Vec<u32> = Vec::new();
            let mut ends = ends.into_iter();
            let mut now = 1000;
            while !left.is_empty() || !running.is_empty() {
                now += 1;
                while running.len() < limit {
                    let Some(database) = turns.give(now) else { break };
                    turns.started(database, now);
                    running.push(database);
                    now += 1;
                    // All that wait have waited since the beginning: whoever started less often comes first.
                    let had = |database: &u32| history.iter().filter(|d| *d == database).count();
                    for other in left.keys().filter(|other| **other != database) {
                        prop_assert!(had(&database) <= had(other), "{database} before {other}: {history:?}");
                    }
                    history.push(database);
                    let jobs = left.get_mut(&database).expect("it waits");
                    *jobs -= 1;
                    if *jobs == 0 {
                        left.remove(&database);
                    } else {
                        turns.wait(database, now);
                    }
                }
                prop_assert!(running.len() <= limit);
                if !running.is_empty() {
                    running.remove(ends.next().unwrap_or(0) % running.len());
                }
            }
            prop_assert_eq!(history.len(), all as usize);
        }
    }
}
