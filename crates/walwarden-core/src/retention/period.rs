//! The periods of the calendar of which the newest backup is kept.

use std::fmt;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

/// A kind of period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Period {
    /// From a full hour to the next.
    Hour,
    /// From midnight to midnight, which is 23 or 25 hours when the clock is changed.
    Day,
    /// From Monday to Sunday, as in ISO 8601.
    Week,
    /// A month of the calendar.
    Month,
    /// A year of the calendar.
    Year,
}

impl Period {
    /// Every kind, the shortest first.
    pub const ALL: [Period; 5] = [Self::Hour, Self::Day, Self::Week, Self::Month, Self::Year];

    /// The stable name of a backup that is kept for one, as in `keep_daily`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hour => "hourly",
            Self::Day => "daily",
            Self::Week => "weekly",
            Self::Month => "monthly",
            Self::Year => "yearly",
        }
    }

    /// The period of this kind that the clock of `zone` shows at `time`: `2026-11-20 13:00`, `2026-11-20`, `2026-W47`,
    /// `2026-11`, `2026`. Different ones read differently.
    pub(super) fn at(self, time: DateTime<Utc>, zone: Tz) -> String {
        let form = match self {
            Self::Hour => "%Y-%m-%d %H:00",
            Self::Day => "%Y-%m-%d",
            Self::Week => "%G-W%V",
            Self::Month => "%Y-%m",
            Self::Year => "%Y",
        };
        time.with_timezone(&zone).format(form).to_string()
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
