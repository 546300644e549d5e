//! What the report shows, from the tables: every list is cut, everything else is added up by PostgreSQL, so that a long history
//! costs time and no memory. All but the audit chain is read in one snapshot.

mod backups;
mod chain;
mod checks;
mod failures;
mod gaps;
mod keys;
mod moment;
mod recovery;
mod retention;
mod storages;

use crate::catalog::database;
use crate::pg::{clock, server, sql};
use chrono::{DateTime, Datelike, Utc};
use moment::{moment, time, time_nullable};
use walwarden_core::report::{Head, Report, Time};
use walwarden_core::{Error, Result, release};

/// Rows of a list of what happened.
const NEWEST: usize = 50;
/// Rows of a list of what there is: schedules, storages.
const FIRST: usize = 100;
/// Characters of a text that somebody else wrote; one more than the page shows.
const LONGEST_TEXT: usize = 501;

/// The time that a report is about.
#[derive(Debug, Clone)]
pub struct Range {
    from: String,
    to: String,
}

impl Range {
    /// Both as PostgreSQL has a timestamptz.
    ///
    /// # Errors
    /// `InvalidInput` where nothing lies between them, or a year has not four digits.
    pub fn new(from: i64, to: i64) -> Result<Self> {
        if from >= to {
            return Err(Error::invalid("from must be before to"));
        }
        let text = |moment: i64| {
            let moment = clock::from_postgres_checked(moment).filter(|at| (1..=9999).contains(&at.year()));
            moment
                .map(clock::to_text)
                .ok_or_else(|| Error::invalid("a report is about a time in the years 1 to 9999"))
        };
        Ok(Self { from: text(from)?, to: text(to)? })
    }

    /// As the first two parameters of a statement.
    fn parameters(&self) -> [Option<&str>; 2] {
        [Some(&self.from), Some(&self.to)]
    }
}

/// All of it.
pub fn collect(range: &Range) -> Result<Report> {
    let now = clock::now();
    let (head, from, to) = head(range, now)?;
    let (scheduler, recovery_point) = recovery::now()?;
    let lost = gaps::lost_backups()?;
    let audit = chain::entries_of(range)?;
    Ok(Report {
        head,
        from,
        to,
        scheduler,
        recovery_point,
        schedules: recovery::schedules(range, &lost)?,
        backups: backups::of(range)?,
        damaged: storages::damaged()?,
        gaps: gaps::of(range, &audit, &lost)?,
        failures: failures::of(range)?,
        checks: checks::of(range)?,
        deletions: retention::of(range)?,
        storages: storages::all()?,
        keys: keys::of(range, &audit)?,
        chain: chain::check()?,
    })
}

fn head(range: &Range, now: DateTime<Utc>) -> Result<(Head, Time, Time)> {
    let statement = format!(
        "SELECT {}, {}, {}, {}, pg_catalog.current_setting('TimeZone')",
        moment("$1::timestamptz"),
        moment("$2::timestamptz"),
        moment("$3::timestamptz"),
        moment("(SELECT pg_catalog.min(queued_at) FROM walwarden.job)")
    );
    let now = clock::to_text(now);
    let [from, to] = range.parameters();
    let rows = sql::query_as_caller(&statement, &[from, to, Some(&now)])?;
    let row = rows.first().ok_or_else(|| Error::internal("a query without a table gave no row"))?;
    let head = Head {
        database: server::database_name()?.1,
        database_id: database::identity()?.id,
        server_version: server::version(),
        walwarden_version: release::VERSION.to_owned(),
        made_at: time(row, 2)?,
        made_by: server::session_user(),
        time_zone: row.text(4)?,
        first_job: time_nullable(row, 3)?,
    };
    Ok((head, time(row, 0)?, time(row, 1)?))
}

/// The parameters of a range, and more.
fn with<'a>(range: &'a Range, more: &[Option<&'a str>]) -> Vec<Option<&'a str>> {
    range.parameters().into_iter().chain(more.iter().copied()).collect()
}

/// How long a list is, by the `count(*) OVER ()` at the end of each of its rows.
fn total(rows: &[sql::Row], column: usize) -> Result<u64> {
    rows.first().map_or(Ok(0), |row| row.parse(column))
}
