//! What a user asks to be kept.

use serde::{Deserialize, Serialize};

use super::Period;
use crate::error::{Error, Result};

/// A hundred years of 365.25 days: who asks for more means something else.
const LONGEST_KEEP_FOR: u64 = 100 * 31_557_600;

/// What is kept of a schedule's backups. What each means stands in [the module](super).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// So many of the newest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_last: Option<u32>,
    /// Those of the last so many seconds before the newest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_for: Option<u64>,
    /// The newest of each of so many hours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_hourly: Option<u32>,
    /// The newest of each of so many days.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_daily: Option<u32>,
    /// The newest of each of so many weeks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_weekly: Option<u32>,
    /// The newest of each of so many months.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_monthly: Option<u32>,
    /// The newest of each of so many years.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_yearly: Option<u32>,
    /// No more bytes in storage than this, as far as the rails allow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_total_size: Option<u64>,
    /// Never fewer good backups than this, if there are so many.
    pub min_keep: u32,
}

impl Policy {
    /// `min_keep` where nothing is said.
    pub const DEFAULT_MIN_KEEP: u32 = 3;

    /// Whether nothing is asked for: everything is kept for ever. `min_keep` alone asks for nothing.
    pub fn is_empty(&self) -> bool {
        !self.has_rule() && self.max_total_size.is_none()
    }

    /// Whether there is a rule that says what is kept, other than by size.
    pub(super) fn has_rule(&self) -> bool {
        self.keep_last.is_some()
            || self.keep_for.is_some()
            || Period::ALL.into_iter().any(|period| self.keep_each(period).is_some())
    }

    /// Of how many periods of this kind the newest backup is kept.
    pub fn keep_each(&self, period: Period) -> Option<u32> {
        match period {
            Period::Hour => self.keep_hourly,
            Period::Day => self.keep_daily,
            Period::Week => self.keep_weekly,
            Period::Month => self.keep_monthly,
            Period::Year => self.keep_yearly,
        }
    }

    /// Whether the numbers make sense.
    ///
    /// # Errors
    /// `InvalidInput`, with the first that does not.
    pub fn validate(&self) -> Result<()> {
        let periods = Period::ALL.map(|period| (format!("keep_{period}"), self.keep_each(period)));
        let counts = [("keep_last".to_owned(), self.keep_last)].into_iter().chain(periods);
        for (name, count) in counts {
            at_least_one(&name, count.map(u64::from), LEAVE_OUT)?;
        }
        at_least_one("keep_for", self.keep_for, LEAVE_OUT)?;
        if let Some(seconds) = self.keep_for.filter(|seconds| *seconds > LONGEST_KEEP_FOR) {
            return Err(Error::invalid("keep_for must be at most 100 years")
                .detail(format!("It is {seconds} seconds; a hundred years are {LONGEST_KEEP_FOR} seconds."))
                .hint("Give it in seconds, or leave all of retention out to keep every backup for ever."));
        }
        at_least_one(
            "max_total_size",
            self.max_total_size,
            "Give it in bytes, or leave it out to have no limit.",
        )?;
        at_least_one(
            "min_keep",
            Some(self.min_keep.into()),
            "The newest good backup is never deleted, so 1 is the least.",
        )
    }
}

const LEAVE_OUT: &str = "Leave it out if it is not to keep anything.";

fn at_least_one(name: &str, value: Option<u64>, hint: &str) -> Result<()> {
    if value == Some(0) {
        return Err(Error::invalid(format!("{name} must be greater than zero")).hint(hint));
    }
    Ok(())
}

impl Default for Policy {
    /// The empty one.
    fn default() -> Self {
        Self {
            keep_last: None,
            keep_for: None,
            keep_hourly: None,
            keep_daily: None,
            keep_weekly: None,
            keep_monthly: None,
            keep_yearly: None,
            max_total_size: None,
            min_keep: Self::DEFAULT_MIN_KEEP,
        }
    }
}
