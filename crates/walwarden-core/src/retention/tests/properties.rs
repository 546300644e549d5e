//! What holds for every policy and every set of backups.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use chrono_tz::{America::New_York, Asia::Kolkata, Australia::Lord_Howe, Europe::Berlin};
use proptest::option::weighted;
use proptest::prelude::*;

use super::*;

/// The minute around which times are made: three hours before summer time ends in Berlin.
const BASE: &str = "2026-10-24 22:00";

fn minutes(minutes: i64) -> DateTime<Utc> {
    utc(BASE) + TimeDelta::minutes(minutes)
}

/// Crowded around the change of the clocks, sometimes at the same minute, or anywhere in five years before.
fn time() -> impl Strategy<Value = DateTime<Utc>> {
    prop_oneof![
        3 => (-6i64..60).prop_map(|step| minutes(step * 5)),
        3 => (-40i64..40).prop_map(|step| minutes(step * 177)),
        2 => (-60i64..2).prop_map(|step| minutes(step * 24 * 60 * 9)),
        1 => (-260i64..3).prop_map(|step| minutes(step * 24 * 60 * 7 + 13)),
    ]
}

fn now() -> impl Strategy<Value = DateTime<Utc>> {
    prop_oneof![2 => Just(minutes(24 * 60 * 60)), 1 => time()]
}

/// Any where no day and no hour is entered a second time after another one has begun: there restic counts it again.
fn zone() -> impl Strategy<Value = Tz> {
    let (usual, odd) =
        ([Tz::UTC, Berlin, New_York, Lord_Howe, Kolkata], ["Antarctica/", "Pacific/Chatham", "NZ-CHAT"]);
    let orderly = |zone: &Tz| !odd.iter().any(|odd| zone.name().starts_with(odd));
    let all: Vec<Tz> = chrono_tz::TZ_VARIANTS.into_iter().filter(orderly).collect();
    prop_oneof![prop::sample::select(usual.to_vec()), prop::sample::select(all)]
}

fn backups() -> impl Strategy<Value = Vec<Backup>> {
    let one = (
        time(),
        1u64..100,
        prop::bool::weighted(0.8),
        prop::bool::weighted(0.2),
        weighted(0.1, time()),
        prop::bool::weighted(0.05),
    );
    let numbers = Just((1..=40u128).collect::<Vec<_>>()).prop_shuffle();
    (prop::collection::vec(one, 0..40), numbers).prop_map(|(all, numbers)| {
        let made = all.into_iter().zip(numbers);
        made.map(|((snapshot_at, size, is_good, is_verified, locked_until, in_use), number)| Backup {
            size,
            is_good,
            is_verified,
            locked_until,
            in_use,
            ..backup(number, snapshot_at)
        })
        .collect()
    })
}

fn rules() -> impl Strategy<Value = Policy> {
    let keep = || weighted(0.4, 1u32..8);
    let span = prop_oneof![60u64..86_400, (1u64..60).prop_map(|days| days * 86_400)];
    (keep(), weighted(0.3, span), keep(), keep(), keep(), keep(), keep(), 1u32..5).prop_map(
        |(keep_last, keep_for, keep_hourly, keep_daily, keep_weekly, keep_monthly, keep_yearly, min_keep)| {
            Policy {
                keep_last,
                keep_for,
                keep_hourly,
                keep_daily,
                keep_weekly,
                keep_monthly,
                keep_yearly,
                max_total_size: None,
                min_keep,
            }
        },
    )
}

fn policy() -> impl Strategy<Value = Policy> {
    (rules(), weighted(0.4, 1u64..1500))
        .prop_map(|(rules, max_total_size)| Policy { max_total_size, ..rules })
}

fn kept(policy: &Policy, zone: Tz, backups: &[Backup], now: DateTime<Utc>) -> BTreeSet<Uuid> {
    kept_jobs(&plan(policy, zone, backups, now)).into_iter().collect()
}

fn only(backups: &[Backup], jobs: &BTreeSet<Uuid>) -> Vec<Backup> {
    backups.iter().filter(|backup| jobs.contains(&backup.job)).cloned().collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(768))]

    #[test]
    fn the_plan_keeps_what_the_model_keeps(
        policy in policy(), zone in zone(), backups in backups(), now in now(),
    ) {
        prop_assert_eq!(kept(&policy, zone, &backups, now), model::kept(&policy, zone, &backups, now));
    }

    #[test]
    fn every_backup_has_one_decision_with_reasons_and_the_newest_comes_first(
        policy in policy(), zone in zone(), backups in backups(), now in now(),
    ) {
        let decisions = plan(&policy, zone, &backups, now);
        let mut expected: Vec<_> = backups.iter().map(|backup| (backup.snapshot_at, backup.job)).collect();
        expected.sort();
        expected.reverse();
        let jobs: Vec<Uuid> = decisions.iter().map(|decision| decision.job).collect();
        prop_assert_eq!(jobs, expected.into_iter().map(|(_, job)| job).collect::<Vec<_>>());
        for decision in decisions {
            prop_assert!(!decision.reasons.is_empty());
            let deletes = ["no_rule", "damaged", "above_max_total_size"];
            for reason in &decision.reasons {
                prop_assert_eq!(decision.keep, !deletes.contains(&reason.name()), "{:?}", &decision);
            }
        }
    }

    #[test]
    fn rails_hold_whatever_the_policy(
        policy in policy(), zone in zone(), backups in backups(), now in now(),
    ) {
        let kept = kept(&policy, zone, &backups, now);
        prop_assert!(model::rails(&policy, &backups, now).is_subset(&kept));
        let good = |backup: &&Backup| backup.is_good;
        let had = backups.iter().filter(good).count();
        let has = only(&backups, &kept).iter().filter(good).count();
        prop_assert!(has >= had.min(policy.min_keep as usize));
    }

    #[test]
    fn the_order_of_the_backups_changes_nothing(
        policy in policy(),
        zone in zone(),
        (backups, shuffled) in backups().prop_flat_map(|all| (Just(all.clone()), Just(all).prop_shuffle())),
        now in now(),
    ) {
        prop_assert_eq!(plan(&policy, zone, &backups, now), plan(&policy, zone, &shuffled, now));
    }

    #[test]
    fn a_plan_carried_out_leaves_nothing_to_do(
        policy in policy(), zone in zone(), backups in backups(), now in now(),
    ) {
        let stays = only(&backups, &kept(&policy, zone, &backups, now));
        prop_assert_eq!(kept(&policy, zone, &stays, now).len(), stays.len());
    }

    #[test]
    fn a_plan_carried_out_in_part_deletes_nothing_else_later(
        policy in policy(),
        zone in zone(),
        backups in backups(),
        now in now(),
        done in prop::collection::vec(any::<bool>(), 40),
    ) {
        let first = kept(&policy, zone, &backups, now);
        let left: Vec<Backup> = backups
            .iter()
            .zip(done)
            .filter(|(backup, done)| first.contains(&backup.job) || !done)
            .map(|(backup, _)| backup.clone())
            .collect();
        let second = kept(&policy, zone, &left, now);
        prop_assert!(first.is_subset(&second));
        if policy.max_total_size.is_none() {
            prop_assert_eq!(first, second);
        }
    }

    #[test]
    fn a_more_generous_policy_keeps_no_less(
        rules in rules(),
        more in prop::collection::vec(0u32..4, 8),
        zone in zone(),
        backups in backups(),
        now in now(),
    ) {
        prop_assume!(!rules.is_empty());
        let raised = |count: Option<u32>, by: u32| count.map(|count| count + by);
        let generous = Policy {
            keep_last: raised(rules.keep_last, more[0]),
            keep_for: rules.keep_for.map(|seconds| seconds + u64::from(more[1]) * 40_000),
            keep_hourly: raised(rules.keep_hourly, more[2]),
            keep_daily: raised(rules.keep_daily, more[3]),
            keep_weekly: raised(rules.keep_weekly, more[4]),
            keep_monthly: raised(rules.keep_monthly, more[5]),
            keep_yearly: raised(rules.keep_yearly, more[6]),
            max_total_size: None,
            min_keep: rules.min_keep + more[7],
        };
        let kept_by = |policy: &Policy| kept(policy, zone, &backups, now);
        prop_assert!(kept_by(&rules).is_subset(&kept_by(&generous)));
        // One rule more keeps no less either.
        let with_last = Policy { keep_last: rules.keep_last.or(Some(more[0] + 1)), ..rules.clone() };
        prop_assert!(kept_by(&rules).is_subset(&kept_by(&with_last)));
    }

    #[test]
    fn more_room_keeps_no_less(
        policy in policy(), more in 0u64..500, zone in zone(), backups in backups(), now in now(),
    ) {
        let roomy = Policy { max_total_size: policy.max_total_size.map(|size| size + more), ..policy.clone() };
        prop_assert!(kept(&policy, zone, &backups, now).is_subset(&kept(&roomy, zone, &backups, now)));
        if !(Policy { max_total_size: None, ..policy.clone() }).is_empty() {
            let endless = Policy { max_total_size: None, ..policy };
            prop_assert!(kept(&roomy, zone, &backups, now).is_subset(&kept(&endless, zone, &backups, now)));
        }
    }

    #[test]
    fn what_stays_fits_unless_rails_alone_are_too_large(
        rules in rules(), limit in 1u64..1500, zone in zone(), backups in backups(), now in now(),
    ) {
        let policy = Policy { max_total_size: Some(limit), ..rules };
        let kept = kept(&policy, zone, &backups, now);
        let total: u64 = only(&backups, &kept).iter().map(|backup| backup.size).sum();
        prop_assert!(total <= limit || kept == model::rails(&policy, &backups, now));
    }

    #[test]
    fn time_alone_expires_nothing(
        policy in policy(), zone in zone(), backups in backups(), seconds in 0i64..4_000_000_000,
    ) {
        // Later than any backup, so that none is from the future; no lock ends.
        let now = minutes(24 * 60 * 60);
        let backups: Vec<Backup> =
            backups.into_iter().map(|backup| Backup { locked_until: None, ..backup }).collect();
        let later = now + TimeDelta::seconds(seconds);
        prop_assert_eq!(plan(&policy, zone, &backups, now), plan(&policy, zone, &backups, later));
    }

    #[test]
    fn a_clock_set_back_expires_nothing(
        policy in policy(), zone in zone(), backups in backups(), now in now(), back in 0i64..5_000_000,
    ) {
        let stays = only(&backups, &kept(&policy, zone, &backups, now));
        let earlier = now - TimeDelta::seconds(back);
        prop_assert_eq!(kept(&policy, zone, &stays, earlier).len(), stays.len());
    }

    #[test]
    fn a_backup_from_the_future_changes_nothing_for_the_others(
        rules in rules(), zone in zone(), backups in backups(), now in now(), ahead in 1i64..400_000_000,
    ) {
        prop_assume!(backups.iter().any(|backup| backup.is_good));
        let mut with_one = backups.clone();
        with_one.push(Backup { is_verified: true, ..backup(99, now + TimeDelta::seconds(ahead)) });
        let mut expected = kept(&rules, zone, &backups, now);
        expected.insert(Uuid::from_u128(99));
        prop_assert_eq!(kept(&rules, zone, &with_one, now), expected);
    }

    #[test]
    fn a_damaged_backup_changes_nothing_for_the_others(
        policy in policy(), zone in zone(), backups in backups(), now in now(), when in time(),
    ) {
        prop_assume!(!policy.is_empty() && backups.iter().any(|backup| backup.is_good));
        let mut with_one = backups.clone();
        with_one.push(Backup { is_good: false, is_verified: true, ..backup(99, when) });
        prop_assert_eq!(kept(&policy, zone, &with_one, now), kept(&policy, zone, &backups, now));
    }
}
