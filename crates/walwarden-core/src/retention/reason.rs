//! Why a backup is kept or deleted.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use super::Period;

/// One reason. Its name is stable; its text, by `Display`, is for people. In JSON it is both:
/// `{"name": "daily", "text": "daily 2026-11-20"}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// Kept: the policy is empty.
    NoRetention,
    /// Kept, whatever the rules say: nothing good is newer.
    NewestGood,
    /// Kept, whatever the rules say: nothing good and verified is newer.
    NewestVerified,
    /// Kept, whatever the rules say: one of so many newest good ones.
    MinKeep(u32),
    /// Kept, whatever the rules say: a job restores, verifies or copies it.
    InUse,
    /// Kept, whatever the rules say: the storage does not let go of it before then.
    Locked(DateTime<Utc>),
    /// Kept, whatever the rules say: its snapshot is later than now.
    FromTheFuture,
    /// Kept, whatever the rules say: it is damaged, and so are all others.
    NothingBetter,
    /// Kept: there is a limit to the size and no rule besides.
    NoRuleButSize,
    /// Kept: one of so many newest.
    Last(u32),
    /// Kept: its snapshot is less than so many seconds before the newest.
    Within(u64),
    /// Kept: the newest of a period.
    Slot(Period, String),
    /// Kept: the oldest, and there are fewer periods of this kind than asked for.
    Oldest(Period),
    /// Deleted: it is good, and no rule keeps it.
    NoRule,
    /// Deleted: it is damaged, and a good one is kept.
    Damaged,
    /// Deleted: a rule keeps it, but there is too much.
    AboveMaxTotalSize,
}

impl Reason {
    /// The stable name.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::NoRetention => "no_retention",
            Self::NewestGood => "newest_good",
            Self::NewestVerified => "newest_verified",
            Self::MinKeep(_) => "min_keep",
            Self::InUse => "in_use",
            Self::Locked(_) => "locked",
            Self::FromTheFuture => "from_the_future",
            Self::NothingBetter => "nothing_better",
            Self::NoRuleButSize => "no_rule_but_size",
            Self::Last(_) => "last",
            Self::Within(_) => "within",
            Self::Slot(period, _) => period.name(),
            Self::Oldest(_) => "oldest",
            Self::NoRule => "no_rule",
            Self::Damaged => "damaged",
            Self::AboveMaxTotalSize => "above_max_total_size",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRetention => f.write_str("no retention is set"),
            Self::NewestGood => f.write_str("the newest good backup"),
            Self::NewestVerified => f.write_str("the newest verified backup"),
            Self::MinKeep(count) => write!(f, "min_keep {count}"),
            Self::InUse => f.write_str("in use"),
            Self::Locked(until) => write!(f, "locked until {}", until.format("%Y-%m-%d %H:%M:%S UTC")),
            Self::FromTheFuture => f.write_str("its snapshot lies in the future"),
            Self::NothingBetter => f.write_str("damaged, but nothing better"),
            Self::NoRuleButSize => f.write_str("no rule but max_total_size"),
            Self::Last(count) => write!(f, "last {count}"),
            Self::Within(seconds) => write!(f, "within {}", span(*seconds)),
            Self::Slot(period, which) => write!(f, "{period} {which}"),
            Self::Oldest(period) => write!(f, "the oldest, as {period} is not full yet"),
            Self::NoRule => f.write_str("no rule keeps it"),
            Self::Damaged => f.write_str("damaged"),
            Self::AboveMaxTotalSize => f.write_str("above max_total_size"),
        }
    }
}

/// So many seconds in the largest unit of which they are a whole number.
fn span(seconds: u64) -> String {
    let units = [("day", 86_400), ("hour", 3_600), ("minute", 60)];
    let whole = units.into_iter().find(|(_, unit)| seconds.is_multiple_of(*unit));
    let (name, unit) = whole.unwrap_or(("second", 1));
    let count = seconds / unit;
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {name}{plural}")
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut reason = serializer.serialize_struct("Reason", 2)?;
        reason.serialize_field("name", self.name())?;
        reason.serialize_field("text", &self.to_string())?;
        reason.end()
    }
}
