//! Against a slow oracle that asks every minute whether it matches.

use chrono::{DateTime, Datelike, TimeDelta, Timelike, Utc};
use proptest::prelude::*;

use super::*;

/// One item of a field, as the grammar has it; text and meaning are made from it apart from the parser.
#[derive(Debug, Clone)]
enum Item {
    Star,
    StarStep(u32),
    Number(u32),
    Range(u32, u32),
    RangeStep(u32, u32, u32),
}

impl Item {
    fn text(&self) -> String {
        match self {
            Item::Star => "*".to_owned(),
            Item::StarStep(step) => format!("*/{step}"),
            Item::Number(number) => number.to_string(),
            Item::Range(first, last) => format!("{first}-{last}"),
            Item::RangeStep(first, last, step) => format!("{first}-{last}/{step}"),
        }
    }

    fn allows(&self, value: u32, min: u32) -> bool {
        match *self {
            Item::Star => true,
            Item::StarStep(step) => (value - min).is_multiple_of(step),
            Item::Number(number) => value == number,
            Item::Range(first, last) => (first..=last).contains(&value),
            Item::RangeStep(first, last, step) => {
                (first..=last).contains(&value) && (value - first).is_multiple_of(step)
            }
        }
    }
}

/// A field: its items and the smallest number it may hold.
#[derive(Debug, Clone)]
pub(super) struct Items(Vec<Item>, u32);

impl Items {
    fn text(&self) -> String {
        self.0.iter().map(Item::text).collect::<Vec<_>>().join(",")
    }

    fn allows(&self, value: u32) -> bool {
        self.0.iter().any(|item| item.allows(value, self.1))
    }

    /// Whether Vixie cron takes it for unrestricted.
    pub(super) fn starred(&self) -> bool {
        matches!(self.0[0], Item::Star | Item::StarStep(_))
    }
}

/// An expression and what it means, but for changes of the clock.
#[derive(Debug, Clone)]
pub(super) struct Oracle(pub(super) [Items; 5]);

impl Oracle {
    /// These times on every day.
    pub(super) fn daily(minute: Items, hour: Items) -> Self {
        let any = |min| Items(vec![Item::Star], min);
        Self([minute, hour, any(1), any(1), any(0)])
    }

    pub(super) fn text(&self) -> String {
        self.0.each_ref().map(Items::text).join(" ")
    }

    pub(super) fn allows(&self, time: impl Datelike + Timelike) -> bool {
        let [minute, hour, day, month, weekday] = &self.0;
        let number = time.weekday().num_days_from_sunday();
        let weekday_fits = weekday.allows(number) || number == 0 && weekday.0.iter().any(sunday_as_seven);
        let day_fits = day.allows(time.day());
        minute.allows(time.minute())
            && hour.allows(time.hour())
            && month.allows(time.month())
            && match (day.starred(), weekday.starred()) {
                (false, false) => day_fits || weekday_fits,
                _ => day_fits && weekday_fits,
            }
    }

    fn times_in(&self, after: DateTime<Utc>, until: DateTime<Utc>) -> Vec<DateTime<Utc>> {
        let first = after.with_second(0).unwrap().with_nanosecond(0).unwrap();
        let minutes = std::iter::successors(Some(first), |time| Some(*time + TimeDelta::minutes(1)));
        let window = minutes.take_while(|time| *time <= until).filter(|time| *time > after);
        window.filter(|time| self.allows(*time)).collect()
    }
}

fn sunday_as_seven(item: &Item) -> bool {
    !matches!(item, Item::Star | Item::StarStep(_)) && item.allows(7, 0)
}

fn arb_item(min: u32, max: u32, star_max: u32) -> impl Strategy<Value = Item> {
    let pair = (min..=max, min..=max).prop_map(|(a, b)| (a.min(b), a.max(b)));
    prop_oneof![
        2 => Just(Item::Star),
        2 => (1..=(star_max - min)).prop_map(Item::StarStep),
        4 => (min..=max).prop_map(Item::Number),
        2 => pair.clone().prop_map(|(first, last)| Item::Range(first, last)),
        2 => pair.prop_flat_map(|(first, last)| {
            (1..=(last - first).max(1)).prop_map(move |step| Item::RangeStep(first, last, step))
        }),
    ]
}

fn arb_items(min: u32, max: u32, star_max: u32) -> impl Strategy<Value = Items> {
    prop::collection::vec(arb_item(min, max, star_max), 1..4).prop_map(move |items| Items(items, min))
}

prop_compose! {
    pub(super) fn arb_oracle()(
        minute in arb_items(0, 59, 59), hour in arb_items(0, 23, 23), day in arb_items(1, 31, 31),
        month in arb_items(1, 12, 12), weekday in arb_items(0, 7, 6),
    ) -> Oracle {
        Oracle([minute, hour, day, month, weekday])
    }
}

/// Seconds from the start of 2026 to the end of 2028, a leap year among them.
fn arb_instant() -> impl Strategy<Value = DateTime<Utc>> {
    (1_767_225_600_i64..1_861_920_000, 0_u32..1_000_000_000)
        .prop_map(|(seconds, nanos)| DateTime::from_timestamp(seconds, nanos).unwrap())
}

/// Follows `next_after` through the window and compares with the oracle's list.
fn assert_agrees(cron: &Cron, oracle: &Oracle, after: DateTime<Utc>, days: i64) {
    let until = after + TimeDelta::days(days);
    let expected = oracle.times_in(after, until);
    let followed = std::iter::successors(cron.next_after(after), |last| cron.next_after(*last));
    let found: Vec<_> = followed.take_while(|time| *time <= until).collect();
    assert_eq!(found, expected, "{cron} after {after}");
    let due = expected.split_last().map(|(last, earlier)| (*last, (earlier.len() as u64).min(MISSED_LIMIT)));
    assert_eq!(cron.latest_due(after, until), due, "{cron} after {after}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn agrees_with_the_oracle(oracle in arb_oracle(), after in arb_instant()) {
        match Cron::parse(&oracle.text(), "UTC") {
            Ok(cron) => assert_agrees(&cron, &oracle, after, 14),
            Err(error) => {
                prop_assert!(error.detail.unwrap().starts_with("It never fires"), "{}", oracle.text());
                let leap_year = "2028-01-01T00:00:00Z".parse::<DateTime<Utc>>().unwrap();
                prop_assert!(oracle.times_in(leap_year, leap_year + TimeDelta::days(366)).is_empty());
            }
        }
    }

    #[test]
    fn next_is_late_and_as_early_as_can_be(oracle in arb_oracle(), after in arb_instant()) {
        let Ok(cron) = Cron::parse(&oracle.text(), "UTC") else { return Ok(()) };
        let next = cron.next_after(after).unwrap();
        prop_assert!(next > after);
        prop_assert!(oracle.allows(next));
        // Nothing in between, seen from any point in between.
        let middle = after + (next - after) / 2;
        prop_assert_eq!(cron.next_after(middle), Some(next));
    }
}

/// The shapes people write, over years: rare days need longer windows than the random test has.
#[test]
fn agrees_over_years() {
    use Item::*;
    let items = |min, items: &[Item]| Items(items.to_vec(), min);
    let any = |min| items(min, &[Star]);
    let two = || (items(0, &[Number(0)]), items(0, &[Number(2)]));
    let days: [(Items, Items, Items); 10] = [
        (any(1), any(1), any(0)),
        (items(1, &[Number(29)]), items(1, &[Number(2)]), any(0)),
        (items(1, &[Number(31)]), any(1), any(0)),
        (items(1, &[Number(31)]), items(1, &[Range(2, 6)]), any(0)),
        (any(1), any(1), items(0, &[Range(1, 5)])),
        (any(1), any(1), items(0, &[Number(7)])),
        (items(1, &[Number(1), Number(15)]), any(1), items(0, &[Number(3)])),
        (items(1, &[Number(31)]), items(1, &[Number(2)]), items(0, &[Number(3)])),
        (items(1, &[StarStep(10)]), items(1, &[StarStep(3)]), items(0, &[Number(1)])),
        (items(1, &[Range(1, 7)]), any(1), items(0, &[StarStep(5)])),
    ];
    let start = "2027-11-30T12:00:00.5Z".parse().unwrap();
    for (day, month, weekday) in days {
        let (minute, hour) = two();
        let oracle = Oracle([minute, hour, day, month, weekday]);
        let cron = Cron::parse(&oracle.text(), "UTC").unwrap();
        assert_agrees(&cron, &oracle, start, 500);
    }
}
