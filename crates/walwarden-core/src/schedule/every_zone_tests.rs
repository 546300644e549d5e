//! Every time zone there is, around the changes of its clocks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Timelike, Utc};
use chrono_tz::Tz;
use proptest::prelude::*;

use super::oracle_tests::{Oracle, arb_oracle};
use super::wall_clock::{WallClock, offset_at};
use super::*;

/// The clocks of a zone, changed at `at`.
#[derive(Debug, Clone, Copy)]
struct Change {
    zone: Tz,
    at: DateTime<Utc>,
}

fn start_of(year: i32) -> DateTime<Utc> {
    NaiveDate::from_ymd_opt(year, 1, 1).unwrap().and_time(NaiveTime::MIN).and_utc()
}

/// The changes of one year, to the second.
fn changes_in(zone: Tz, year: i32) -> Vec<Change> {
    let days = std::iter::successors(Some(start_of(year)), |day| Some(*day + TimeDelta::days(1)));
    let days = days.take_while(|day| *day < start_of(year + 1));
    days.filter_map(|day| {
        let (mut before, mut after) = (day, day + TimeDelta::days(1));
        let old = offset_at(zone, before);
        if offset_at(zone, after) == old {
            return None;
        }
        while after - before > TimeDelta::seconds(1) {
            let middle = before + TimeDelta::seconds((after - before).num_seconds() / 2);
            *(if offset_at(zone, middle) == old { &mut before } else { &mut after }) = middle;
        }
        Some(Change { zone, at: after })
    })
    .collect()
}

/// The changes of the latest year since 1970 that has two or more, forth and back; or else of the latest that has
/// any.
fn latest_changes(zone: Tz) -> Vec<Change> {
    let mut single = Vec::new();
    for year in (1970..=2026).rev() {
        let changes = changes_in(zone, year);
        if changes.len() > 1 {
            return changes;
        }
        if single.is_empty() {
            single = changes;
        }
    }
    single
}

/// Of every zone; those that have kept their time since 1970 have none.
static CHANGES: LazyLock<Vec<Change>> =
    LazyLock::new(|| chrono_tz::TZ_VARIANTS.into_iter().flat_map(latest_changes).collect());

/// Two days around a change, and all zones that made it: their clocks show the same in these days.
struct Window {
    zones: Vec<Tz>,
    clock: WallClock,
}

impl Window {
    fn around(change: Change) -> Self {
        let clock = WallClock::new(change.zone, change.at - TimeDelta::days(1), TimeDelta::days(2));
        Self { zones: vec![change.zone], clock }
    }

    /// All there are, each with the change.
    fn all() -> Vec<(DateTime<Utc>, Self)> {
        let mut zones = BTreeMap::<_, Vec<Tz>>::new();
        for Change { zone, at } in CHANGES.iter() {
            let offsets = [*at - TimeDelta::seconds(1), *at].map(|time| offset_at(*zone, time));
            zones.entry((*at, offsets)).or_default().push(*zone);
        }
        let around = |((at, _), zones): (_, Vec<Tz>)| {
            (at, Self { zones: zones.clone(), ..Self::around(Change { zone: zones[0], at }) })
        };
        zones.into_iter().map(around).collect()
    }

    /// What the module's documentation says of an expression that allows these times.
    fn expected(&self, are_fixed: bool, allows: impl Fn(NaiveDateTime) -> bool) -> Vec<DateTime<Utc>> {
        if are_fixed {
            return self.clock.fixed(allows);
        }
        let (start, _) = self.clock.ends();
        self.clock.wildcard(allows).into_iter().filter(|time| *time > start).collect()
    }

    fn assert_agrees(&self, expression: &str, allows: impl Fn(NaiveDateTime) -> bool) {
        let are_fixed = expression.split(' ').take(2).all(|field| !field.starts_with('*'));
        let expected = self.expected(are_fixed, allows);
        for zone in &self.zones {
            self.assert_follows(&Cron::parse(expression, zone.name()).unwrap(), &expected);
        }
    }

    fn assert_follows(&self, cron: &Cron, expected: &[DateTime<Utc>]) {
        let (start, end) = self.clock.ends();
        let followed = std::iter::successors(cron.next_after(start), |last| cron.next_after(*last));
        let found: Vec<_> = followed.take_while(|time| *time <= end).collect();
        assert_eq!(found, expected, "{cron} around a change in the middle of {start} to {end}");
        // Seen from anywhere around the change, within what is repeated too.
        let change = start + TimeDelta::days(1);
        for minutes in (-120..=120).step_by(19) {
            let seen_from = change + TimeDelta::minutes(minutes);
            let next = expected.get(expected.partition_point(|time| *time <= seen_from));
            let found = cron.next_after(seen_from).filter(|time| *time <= end);
            assert_eq!(found.as_ref(), next, "{cron} after {seen_from}");
        }
        let due = expected.split_last().map(|(last, earlier)| (*last, earlier.len() as u64));
        assert_eq!(cron.latest_due(start, end), due, "{cron}");
    }

    /// The date on which the clocks are changed, and the hours they show from two hours before to two hours after.
    fn day_and_hours(&self, change: DateTime<Utc>) -> (NaiveDate, BTreeSet<u32>) {
        let shown =
            |minutes| (change + TimeDelta::minutes(minutes)).with_timezone(&self.zones[0]).naive_local();
        let hours = (-120..=120).step_by(15).map(|minutes| shown(minutes).hour());
        let (first, last) = (shown(-15), shown(0));
        // What is left out or repeated.
        let between =
            std::iter::successors(Some(first.min(last)), |time| Some(*time + TimeDelta::minutes(15)))
                .take_while(|time| *time <= first.max(last))
                .map(|time| time.hour());
        (last.date(), hours.chain(between).collect())
    }
}

#[test]
fn nearly_every_zone_has_changed_its_clocks() {
    let mut changes = BTreeMap::<&str, u32>::new();
    for Change { zone, at } in CHANGES.iter() {
        *changes.entry(zone.name()).or_default() += 1;
        assert_ne!(offset_at(*zone, *at - TimeDelta::seconds(1)), offset_at(*zone, *at), "{zone} {at}");
    }
    let in_pairs = changes.values().filter(|count| **count > 1).count();
    let zones = (chrono_tz::TZ_VARIANTS.len(), changes.len(), in_pairs);
    assert!(zones.0 > 590 && zones.1 > 400 && zones.2 > 350, "{zones:?}");
    assert_eq!(Window::all().iter().map(|(_, window)| window.zones.len()).sum::<usize>(), CHANGES.len());
}

#[test]
fn fixed_times_run_once_in_every_zone() {
    for (change, window) in Window::all() {
        let (day, hours) = window.day_and_hours(change);
        window.assert_agrees("30 0-23 * * *", |shown| shown.minute() == 30);
        for hour in &hours {
            for minute in [0, 30, 59] {
                let is_it = |shown: NaiveDateTime| (shown.hour(), shown.minute()) == (*hour, minute);
                window.assert_agrees(&format!("{minute} {hour} * * *"), is_it);
            }
        }
        let list = hours.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
        let in_list = |shown: NaiveDateTime| hours.contains(&shown.hour()) && shown.minute() % 59 <= 1;
        window.assert_agrees(&format!("0,1,59 {list} * * *"), in_list);
        // On the day of the change alone, by its date and by its weekday.
        let on_the_day = |shown: NaiveDateTime| shown.date() == day && in_list(shown);
        window.assert_agrees(&format!("0,1,59 {list} {} {} *", day.day(), day.month()), on_the_day);
        let weekday = day.weekday().num_days_from_sunday();
        window.assert_agrees(&format!("0,1,59 {list} * * {weekday}"), on_the_day);
    }
}

#[test]
fn wildcard_times_follow_the_wall_clock_in_every_zone() {
    for (change, mut window) in Window::all() {
        let (day, hours) = window.day_and_hours(change);
        window.assert_agrees("15 * * * *", |shown| shown.minute() == 15);
        window.assert_agrees("*/25 */5 * * *", |shown| {
            shown.minute().is_multiple_of(25) && shown.hour().is_multiple_of(5)
        });
        for hour in &hours {
            window.assert_agrees(&format!("*/20 {hour} * * *"), |shown| {
                shown.hour() == *hour && shown.minute().is_multiple_of(20)
            });
        }
        let on_the_day = |shown: NaiveDateTime| shown.date() == day && shown.minute() == 59;
        window.assert_agrees(&format!("59 * {} {} *", day.day(), day.month()), on_the_day);
        let weekday = day.weekday().num_days_from_sunday();
        window.assert_agrees(&format!("59 */1 * * {weekday}"), on_the_day);
        // Hundreds of times: in one of the zones that are alike.
        window.zones.truncate(1);
        let list = hours.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
        window.assert_agrees(&format!("* {list} * * *"), |shown| hours.contains(&shown.hour()));
    }
}

#[test]
fn intervals_follow_real_time_in_every_zone() {
    for change in CHANGES.iter() {
        let every = Timetable::parse("@every 90m", change.zone.name()).unwrap();
        let start = change.at - TimeDelta::days(1);
        let times = std::iter::successors(every.next_after(start), |last| every.next_after(last.fires_at));
        for occurrence in times.take(32) {
            assert_eq!(occurrence.fires_at.timestamp() % (90 * 60), 0, "{change:?}");
        }
        assert_eq!(every.latest_due(start, change.at + TimeDelta::days(1)).unwrap().1, 31, "{change:?}");
    }
}

/// An expression of one of both kinds that fires on most days: others say nothing about two of them.
fn arb_daily() -> impl Strategy<Value = Oracle> {
    arb_oracle().prop_map(|Oracle([minute, hour, ..])| Oracle::daily(minute, hour))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_expression_agrees_around_any_change(
        oracle in prop_oneof![1 => arb_oracle(), 9 => arb_daily()],
        change in prop::sample::select(CHANGES.as_slice()),
    ) {
        let Ok(cron) = Cron::parse(&oracle.text(), change.zone.name()) else { return Ok(()) };
        let window = Window::around(change);
        let [minute, hour, ..] = &oracle.0;
        let are_fixed = !minute.starred() && !hour.starred();
        window.assert_follows(&cron, &window.expected(are_fixed, |shown| oracle.allows(shown)));
    }

    #[test]
    fn jitter_keeps_the_order_around_any_change(
        oracle in arb_daily(),
        change in prop::sample::select(CHANGES.as_slice()),
        jitter in 1_u32..7200,
        seed: u64,
    ) {
        let plain = Timetable::parse(&oracle.text(), change.zone.name()).unwrap();
        let Ok(timetable) = plain.clone().with_jitter(jitter, &seed.to_string()) else { return Ok(()) };
        let (start, end) = (change.at - TimeDelta::days(1), change.at + TimeDelta::days(1));
        let followed = |timetable: &Timetable, after: DateTime<Utc>| -> Vec<Occurrence> {
            std::iter::successors(timetable.next_after(after), |last| timetable.next_after(last.fires_at))
                .take_while(|occurrence| occurrence.scheduled_for <= end)
                .collect()
        };
        let found = followed(&timetable, start);
        for pair in found.windows(2) {
            prop_assert!(pair[0].fires_at < pair[1].scheduled_for, "{:?}", pair);
        }
        for Occurrence { scheduled_for, fires_at } in &found {
            let delay = (*fires_at - *scheduled_for).num_seconds();
            prop_assert!((0..i64::from(jitter)).contains(&delay), "{scheduled_for} {fires_at}");
        }
        // None is lost: but for the first one, which may have been scheduled before the start and fire after it.
        let times: Vec<_> = found.iter().map(|found| found.scheduled_for).filter(|time| *time > start).collect();
        let expected: Vec<_> = followed(&plain, start).iter().map(|found| found.scheduled_for).collect();
        prop_assert_eq!(times, expected);
    }
}
