//! What must be kept, said in another way than the plan says it: slots by restic's loop over its buckets, the rest by
//! counting for each backup how many others come before it.

use std::collections::BTreeSet;

use chrono::{Datelike, Timelike};

use super::*;

/// The jobs whose backups stay.
pub fn kept(policy: &Policy, zone: Tz, backups: &[Backup], now: DateTime<Utc>) -> BTreeSet<Uuid> {
    if policy.is_empty() {
        return backups.iter().map(|backup| backup.job).collect();
    }
    let mut kept = rails(policy, backups, now);
    let rails = kept.clone();

    let mut present: Vec<&Backup> =
        backups.iter().filter(|backup| backup.is_good && backup.snapshot_at <= now).collect();
    present.sort_by(|a, b| b.snapshot_at.cmp(&a.snapshot_at).then(b.job.cmp(&a.job)));
    let newest = present.iter().map(|backup| backup.snapshot_at).max();
    let slots = restic(policy, zone, &present);
    let only_size = (Policy { max_total_size: None, ..policy.clone() }).is_empty();
    for (backup, in_slot) in present.iter().zip(slots) {
        let young = policy.keep_for.is_some_and(|seconds| {
            let limit = newest.unwrap().timestamp_millis() - i64::try_from(seconds * 1000).unwrap();
            backup.snapshot_at.timestamp_millis() > limit
        });
        if in_slot || young || only_size {
            kept.insert(backup.job);
        }
    }

    while let Some(limit) = policy.max_total_size {
        let stays = backups.iter().filter(|backup| kept.contains(&backup.job));
        let total: u64 = stays.clone().map(|backup| backup.size).sum();
        let may_go = stays.filter(|backup| !rails.contains(&backup.job));
        match may_go.min_by_key(|backup| (backup.snapshot_at, backup.job)) {
            Some(oldest) if total > limit => kept.remove(&oldest.job),
            _ => break,
        };
    }
    kept
}

/// The jobs whose backups may never be deleted.
pub fn rails(policy: &Policy, backups: &[Backup], now: DateTime<Utc>) -> BTreeSet<Uuid> {
    let good = |backup: &&Backup| backup.is_good && backup.snapshot_at <= now;
    let newer_than = |backup: &Backup, other: &Backup| {
        backup.snapshot_at > other.snapshot_at
            || backup.snapshot_at == other.snapshot_at && backup.job > other.job
    };
    let held = |backup: &&Backup| {
        let newer: Vec<&Backup> =
            backups.iter().filter(good).filter(|other| newer_than(other, backup)).collect();
        let among_newest = newer.len() < policy.min_keep as usize || newer.is_empty();
        let newest_verified = backup.is_verified && !newer.iter().any(|other| other.is_verified);
        let future = backup.is_good && backup.snapshot_at > now;
        let locked = backup.locked_until.is_some_and(|until| until > now);
        let hopeless = backups.iter().all(|other| !other.is_good);
        good(backup) && (among_newest || newest_verified) || future || locked || backup.in_use || hopeless
    };
    backups.iter().filter(held).map(|backup| backup.job).collect()
}

/// The loop of restic's ApplyPolicy over the buckets for the last n snapshots of each type; `list` is sorted, the
/// newest first.
pub fn restic(policy: &Policy, zone: Tz, list: &[&Backup]) -> Vec<bool> {
    type Bucker = fn(&DateTime<Tz>, i64) -> i64;
    let always: Bucker = |_, nr| nr;
    let ymdh: Bucker =
        |d, _| i64::from(d.year()) * 1_000_000 + i64::from(d.month() * 10_000 + d.day() * 100 + d.hour());
    let ymd: Bucker = |d, _| i64::from(d.year()) * 10_000 + i64::from(d.month() * 100 + d.day());
    let yw: Bucker = |d, _| i64::from(d.iso_week().year()) * 100 + i64::from(d.iso_week().week());
    let ym: Bucker = |d, _| i64::from(d.year()) * 100 + i64::from(d.month());
    let y: Bucker = |d, _| i64::from(d.year());
    let mut buckets = [
        (policy.keep_last.unwrap_or(0), always, -1),
        (policy.keep_hourly.unwrap_or(0), ymdh, -1),
        (policy.keep_daily.unwrap_or(0), ymd, -1),
        (policy.keep_weekly.unwrap_or(0), yw, -1),
        (policy.keep_monthly.unwrap_or(0), ym, -1),
        (policy.keep_yearly.unwrap_or(0), y, -1),
    ];
    let mut keep = Vec::new();
    for nr in 0..list.len() {
        let mut keep_snap = false;
        let time = list[nr].snapshot_at.with_timezone(&zone);
        for (count, bucker, last) in &mut buckets {
            if *count > 0 {
                let val = bucker(&time, nr as i64);
                if val != *last || nr == list.len() - 1 {
                    keep_snap = true;
                    *last = val;
                    *count -= 1;
                }
            }
        }
        keep.push(keep_snap);
    }
    keep
}
