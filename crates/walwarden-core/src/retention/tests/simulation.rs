//! A year of a schedule, with all that goes wrong in one.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use chrono_tz::{America::New_York, Australia::Lord_Howe, Europe::Berlin};

use super::*;

/// Numbers that look random: Steele, Lea and Flood's SplitMix64.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }

    fn one_in(&mut self, chance: u64) -> bool {
        self.below(chance) == 0
    }

    fn one_of<'a, T>(&mut self, things: &'a mut [T]) -> Option<&'a mut T> {
        let limit = u64::try_from(things.len()).unwrap().max(1);
        things.get_mut(usize::try_from(self.below(limit)).unwrap())
    }

    fn minutes(&mut self, limit: u64) -> TimeDelta {
        TimeDelta::minutes(i64::try_from(self.below(limit)).unwrap())
    }
}

/// A server with one schedule, and its storage.
struct World {
    dice: Dice,
    policy: Policy,
    zone: Tz,
    /// What a right clock would show.
    true_time: DateTime<Utc>,
    /// How far the server's clock is ahead of it.
    ahead: TimeDelta,
    /// How often the clock has been set.
    clock_changes: usize,
    stored: Vec<Backup>,
    made: u128,
}

impl World {
    fn new(seed: u64, policy: Policy, zone: Tz) -> Self {
        Self {
            dice: Dice(seed),
            policy,
            zone,
            true_time: utc("2026-01-15 09:17"),
            ahead: TimeDelta::zero(),
            clock_changes: 0,
            stored: Vec::new(),
            made: 0,
        }
    }

    fn clock(&self) -> DateTime<Utc> {
        self.true_time + self.ahead
    }

    fn set_clock(&mut self, ahead: TimeDelta) {
        self.ahead = ahead;
        self.clock_changes += 1;
    }

    /// An hour or so passes, and perhaps an outage of up to a week.
    fn pass_time(&mut self) {
        self.true_time += TimeDelta::minutes(20) + self.dice.minutes(80);
        if self.dice.one_in(400) {
            self.true_time += self.dice.minutes(7 * 24 * 60);
        }
    }

    /// Now and then the clock jumps by hours, days, or up to a year, in either direction; later it is put right.
    fn disturb_clock(&mut self) {
        if self.ahead.is_zero() && self.dice.one_in(250) {
            let limit = [5 * 60, 5 * 24 * 60, 365 * 24 * 60][usize::try_from(self.dice.below(3)).unwrap()];
            let jump = self.dice.minutes(limit);
            let jump = if self.dice.one_in(2) { jump } else { -jump };
            self.set_clock(jump);
        } else if !self.ahead.is_zero() && self.dice.one_in(40) {
            self.set_clock(TimeDelta::zero());
        }
    }

    /// A run of the schedule: one in ten fails and leaves nothing. The job of the backup it makes.
    fn run(&mut self) -> Option<Uuid> {
        if self.dice.one_in(10) {
            return None;
        }
        self.made += 1;
        let number = self.made + (u128::from(self.dice.below(1000)) << 64);
        let locked_until = self.dice.one_in(30).then(|| self.clock() + TimeDelta::days(7));
        let is_verified = self.dice.one_in(3);
        let size = 50 + self.dice.below(100);
        self.stored.push(Backup {
            size,
            is_verified,
            locked_until,
            ..backup(number, self.clock() - TimeDelta::seconds(30))
        });
        Some(Uuid::from_u128(number))
    }

    /// Backups are verified, found damaged, and used.
    fn look_at_storage(&mut self) {
        self.stored.iter_mut().for_each(|backup| backup.in_use = false);
        if let Some(backup) = self.dice.one_of(&mut self.stored).filter(|backup| backup.is_good) {
            backup.is_verified = true;
        }
        if self.dice.one_in(50)
            && let Some(backup) = self.dice.one_of(&mut self.stored)
        {
            backup.is_good = false;
        }
        if self.dice.one_in(3000) {
            self.stored.iter_mut().for_each(|backup| backup.is_good = false);
        }
        if self.dice.one_in(10)
            && let Some(backup) = self.dice.one_of(&mut self.stored)
        {
            backup.in_use = true;
        }
    }

    /// Plans, checks the plan, and carries it out; one time in ten the server dies at it.
    fn expire(&mut self, seed: u64) {
        let now = self.clock();
        let kept: BTreeSet<Uuid> =
            kept_jobs(&plan(&self.policy, self.zone, &self.stored, now)).into_iter().collect();
        let context = format!("seed {seed}, {now}, {:?}", self.policy);

        assert_eq!(kept, model::kept(&self.policy, self.zone, &self.stored, now), "{context}");
        let good = |backup: &&Backup| backup.is_good;
        let newest = self.stored.iter().filter(good).max_by_key(|backup| backup.snapshot_at);
        assert!(newest.is_none_or(|newest| kept.contains(&newest.job)), "the last good backup: {context}");
        let present = self.stored.iter().filter(good).filter(|backup| backup.snapshot_at <= now);
        let newest = present.max_by_key(|backup| backup.snapshot_at);
        assert!(
            newest.is_none_or(|newest| kept.contains(&newest.job)),
            "the last that is not ahead: {context}"
        );
        let had = self.stored.iter().filter(good).count();
        let has = self.stored.iter().filter(good).filter(|backup| kept.contains(&backup.job)).count();
        assert!(has >= had.min(self.policy.min_keep as usize), "{has} of {had}: {context}");
        assert!(had > 0 || kept.len() == self.stored.len(), "nothing is good: {context}");
        let held = self
            .stored
            .iter()
            .filter(|backup| backup.in_use || backup.locked_until.is_some_and(|until| until > now));
        assert!(held.clone().all(|backup| kept.contains(&backup.job)), "in use or locked: {context}");
        // Each time the clock is set, what it showed before may be left behind in the future.
        if had > 0 {
            let bound = self.bound() * (self.clock_changes + 1) + held.count();
            assert!(kept.len() <= bound, "{} are kept, {bound} may be: {context}", kept.len());
        }

        let dies = self.dice.one_in(10);
        let dice = &mut self.dice;
        self.stored.retain(|backup| kept.contains(&backup.job) || dies && dice.one_in(2));
    }

    /// How many are kept at most while the clock is right and none is held. Between two runs there are 20 minutes.
    fn bound(&self) -> usize {
        let policy = &self.policy;
        let slots = Period::ALL.into_iter().filter_map(|period| policy.keep_each(period));
        let counts: u32 = slots.chain(policy.keep_last).chain([policy.min_keep]).sum();
        let young = policy.keep_for.map_or(0, |seconds| seconds / (20 * 60) + 1);
        // The least size is 50.
        let fitting = policy.max_total_size.map_or(0, |size| size / 50);
        // The oldest, the newest verified.
        counts as usize + usize::try_from(young + fitting).unwrap() + 2
    }
}

fn policies() -> [Policy; 5] {
    let none = Policy::default();
    [
        Policy {
            keep_last: Some(3),
            keep_hourly: Some(24),
            keep_daily: Some(7),
            keep_weekly: Some(5),
            keep_monthly: Some(12),
            keep_yearly: Some(3),
            ..none.clone()
        },
        Policy { keep_for: Some(2 * 86_400), keep_weekly: Some(4), min_keep: 5, ..none.clone() },
        Policy { max_total_size: Some(2_000), ..none.clone() },
        Policy { keep_last: Some(5), min_keep: 10, ..none.clone() },
        Policy {
            keep_daily: Some(30),
            keep_monthly: Some(6),
            max_total_size: Some(1_000),
            min_keep: 1,
            ..none
        },
    ]
}

#[test]
fn a_year_in_which_everything_happens() {
    for (seed, policy) in (1..).zip(policies()) {
        let zone = [Berlin, New_York, Lord_Howe][usize::try_from(seed % 3).unwrap()];
        let mut world = World::new(seed, policy, zone);
        let end = world.true_time + TimeDelta::days(365);
        while world.true_time < end {
            world.pass_time();
            world.disturb_clock();
            let made = world.run();
            world.look_at_storage();
            let good =
                made.filter(|made| world.stored.iter().any(|backup| backup.job == *made && backup.is_good));
            world.expire(seed);
            let is_there = |job: Uuid| world.stored.iter().any(|backup| backup.job == job);
            assert!(good.is_none_or(is_there), "seed {seed}: the backup just made was deleted");
        }
        assert!(world.made > 5_000 && world.clock_changes > 10, "seed {seed}: {} backups", world.made);

        // Years later the clock is right and has passed everything; no lock holds and nothing is used.
        world.set_clock(TimeDelta::zero());
        world.true_time += TimeDelta::days(3 * 366);
        world.stored.iter_mut().for_each(|backup| backup.in_use = false);
        world.run();
        let now = world.clock();
        let kept = model::kept(&world.policy, zone, &world.stored, now);
        world.stored.retain(|backup| kept.contains(&backup.job));
        assert!(world.stored.len() <= world.bound(), "seed {seed}: {} are left", world.stored.len());
        let again = plan(&world.policy, zone, &world.stored, now);
        assert!(again.iter().all(|decision| decision.keep), "seed {seed}: {again:?}");
    }
}

/// Expiring after each of a year's runs leaves what restic would leave of all of them at once at the end.
#[test]
fn expiring_step_by_step_or_once_is_the_same() {
    for (seed, zone) in (1..).zip([Berlin, New_York, Lord_Howe, Tz::UTC]) {
        let policy = Policy { min_keep: 1, ..policies()[0].clone() };
        let mut world = World::new(seed, policy.clone(), zone);
        let end = world.true_time + TimeDelta::days(400);
        let mut ever_made = Vec::new();
        while world.true_time < end {
            world.pass_time();
            if world.run().is_some() {
                let newest = world.stored.last_mut().unwrap();
                (newest.is_verified, newest.locked_until) = (false, None);
                ever_made.push(newest.clone());
                let kept = kept_jobs(&plan(&policy, zone, &world.stored, world.clock()));
                world.stored.retain(|backup| kept.contains(&backup.job));
            }
        }
        let newest_first: Vec<&Backup> = ever_made.iter().rev().collect();
        let slots = model::restic(&policy, zone, &newest_first);
        let expected: Vec<Uuid> =
            newest_first.iter().zip(slots).filter(|(_, keep)| *keep).map(|(backup, _)| backup.job).collect();
        let stored: Vec<Uuid> = world.stored.iter().rev().map(|backup| backup.job).collect();
        assert_eq!(stored, expected, "seed {seed}");
        assert!(expected.len() > 40 && ever_made.len() > 5_000, "{} of {}", expected.len(), ever_made.len());
    }
}
