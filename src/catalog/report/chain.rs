//! The audit chain: its check, and which entries are of the range.

use super::{NEWEST, Range};
use crate::catalog::audit;
use crate::pg::sql;
use walwarden_core::Result;
use walwarden_core::report::{Chain, Listing};

/// How many of the newest entries are checked: those of forty thousand jobs. The check is what a page of a long history waits for.
const ENTRIES: u64 = 200_000;

/// The entries of a time: from the first number on, before the second.
#[derive(Debug)]
pub struct Entries(String, String);

impl Entries {
    /// As the third and fourth parameter of a statement.
    pub fn parameters(&self) -> [Option<&str>; 2] {
        [Some(&self.0), Some(&self.1)]
    }
}

/// Which entries are of the range. Times in the chain do not go back, so they are found by halving; where somebody wrote other
/// times into it, the check says so.
pub fn entries_of(range: &Range) -> Result<Entries> {
    let head = audit::head()?.seq;
    let end = i64::try_from(head).unwrap_or(i64::MAX - 1) + 1;
    Ok(Entries(first_at(&range.from, end)?.to_string(), first_at(&range.to, end)?.to_string()))
}

fn first_at(time: &str, end: i64) -> Result<i64> {
    let (mut low, mut high) = (1, end);
    while low < high {
        let middle = low + (high - low) / 2;
        let rows = sql::query_as_caller(
            "SELECT at >= $2::timestamptz FROM walwarden.audit WHERE seq >= $1::bigint ORDER BY seq LIMIT 1",
            &[Some(&middle.to_string()), Some(time)],
        )?;
        match rows.first().map(|row| row.flag(0)).transpose()? {
            Some(false) => low = middle + 1,
            Some(true) | None => high = middle,
        }
    }
    Ok(low)
}

/// What the check finds, now.
pub fn check() -> Result<Chain> {
    let head = audit::head()?;
    let report = audit::verify_newest(ENTRIES)?;
    let total = report.problems.len() as u64;
    let problems = report.problems.iter().take(NEWEST).map(|problem| (problem.seq, problem.kind.to_string()));
    Ok(Chain {
        checked: report.rows,
        entries: head.seq,
        is_whole: head.seq <= ENTRIES,
        head: head.hash.to_string(),
        problems: Listing { rows: problems.collect(), total },
    })
}
