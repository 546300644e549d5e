//! Which days a cron expression means.

use chrono::{Datelike, NaiveDate};

use super::field::NumberSet;

/// The three day fields with the rule that joins them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Calendar {
    days: NumberSet,
    months: NumberSet,
    weekdays: NumberSet,
}

/// The most days each month can have.
const LONGEST: [u32; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

impl Calendar {
    pub(super) fn new(days: NumberSet, months: NumberSet, weekdays: NumberSet) -> Self {
        Self { days, months, weekdays }
    }

    /// Whether both day fields are restricted, so that either of them is enough (POSIX crontab).
    fn either_is_enough(&self) -> bool {
        !self.days.starred && !self.weekdays.starred
    }

    pub(super) fn matches(&self, date: NaiveDate) -> bool {
        let day = self.days.contains(date.day());
        let weekday = self.weekdays.contains(date.weekday().num_days_from_sunday());
        self.months.contains(date.month())
            && if self.either_is_enough() { day || weekday } else { day && weekday }
    }

    /// Whether any day of any year matches. Every date, 29 February included, falls on every weekday in the
    /// 400 years after which the calendar repeats, so weekdays can rule nothing out.
    pub(super) fn ever_matches(&self) -> bool {
        self.either_is_enough()
            || (1..).zip(LONGEST).any(|(month, longest)| {
                self.months.contains(month) && self.days.at_least(1).is_some_and(|first| first <= longest)
            })
    }
}
