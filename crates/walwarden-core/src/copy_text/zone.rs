//! Offsets from UTC that were asked for once, kept for as long as the server said that they hold.

use std::collections::BTreeMap;

/// Values of all times there are would ask for hundreds of thousands.
const MOST_PERIODS: usize = 10_000;

/// An offset and how long it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// Seconds east of Greenwich.
    pub offset: i32,
    /// The first second at which another one may hold, since 1970-01-01 00:00 UTC.
    pub until: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Period {
    from: i64,
    until: i64,
    offset: i32,
}

impl Period {
    fn holds(&self, time: i64) -> bool {
        self.from <= time && time < self.until
    }
}

/// The offsets of one time zone, as far as they are known.
#[derive(Debug, Default)]
pub struct UtcOffsets {
    /// By their ends.
    periods: BTreeMap<i64, Period>,
    last: Option<Period>,
}

impl UtcOffsets {
    /// The offset at a time; `ask` says what holds from that time on.
    #[inline]
    pub fn at(&mut self, time: i64, ask: impl FnOnce(i64) -> Option<Validity>) -> Option<i32> {
        match self.last {
            Some(last) if last.holds(time) => Some(last.offset),
            _ => self.find(time, ask),
        }
    }

    fn find(&mut self, time: i64, ask: impl FnOnce(i64) -> Option<Validity>) -> Option<i32> {
        let known = self.periods.range(time.saturating_add(1)..).next().map(|(_, period)| *period);
        let period = match known {
            Some(period) if period.holds(time) => period,
            _ => {
                let Validity { offset, until } = ask(time)?;
                // The same end is the same period, which begins earlier than was known.
                let period = Period { from: time, until, offset };
                if self.periods.len() >= MOST_PERIODS {
                    self.periods.clear();
                }
                self.periods.insert(until, period);
                period
            }
        };
        self.last = Some(period);
        Some(period.offset)
    }
}
