//! The backups that ended in the range: one by one where they are few, else by calendar.

use super::moment::{micros, moment, span_nullable, time, time_nullable};
use super::{Range, total, with};
use crate::pg::sql::{self, Row};
use std::time::Duration;
use walwarden_core::report::{Backup, Backups, Listing, Outcome, Period, Series, Spread, Unit};
use walwarden_core::{Error, Result};

/// More than these are shown by calendar.
const EACH: u64 = 120;
/// More hours, days or longer than these are not shown.
const PERIODS: usize = 400;

const ENDED: &str = "kind = 'backup' AND state IN ('completed', 'partial', 'failed', 'canceled') \
                     AND finalized_at >= $1::timestamptz AND finalized_at < $2::timestamptz";

/// All of it.
pub fn of(range: &Range) -> Result<Backups> {
    let statement = format!(
        "SELECT pg_catalog.count(*) FILTER (WHERE state = 'completed'), pg_catalog.count(*) FILTER (WHERE state = 'partial'), \
                pg_catalog.count(*) FILTER (WHERE state = 'failed'), pg_catalog.count(*) FILTER (WHERE state = 'canceled'), \
                pg_catalog.count(*) FILTER (WHERE state IN ('completed', 'partial') AND options ? 'filter'), {} \
           FROM walwarden.job WHERE {ENDED}",
        micros("(pg_catalog.max(finalized_at) - pg_catalog.min(finalized_at))")
    );
    let rows = sql::query_as_caller(&statement, &range.parameters())?;
    let row = rows.first().ok_or_else(|| Error::internal("a sum has no row"))?;
    let [completed, partial, failed, canceled, filtered] = [0, 1, 2, 3, 4].map(|column| row.parse(column));
    let (completed, partial, failed, canceled): (u64, u64, u64, u64) =
        (completed?, partial?, failed?, canceled?);
    let series = if completed + partial + failed + canceled <= EACH {
        Series::Each(each(range)?)
    } else {
        let unit = Unit::for_span(span_nullable(row, 5)?.unwrap_or_default());
        Series::Periods(unit, periods(range, unit)?)
    };
    Ok(Backups {
        completed,
        partial,
        failed,
        canceled,
        filtered: filtered?,
        newest_failed: newest_failed()?,
        series,
    })
}

fn newest_failed() -> Result<Option<walwarden_core::report::Time>> {
    let statement = format!(
        "SELECT {} FROM (SELECT {} AS at) AS failed \
          WHERE failed.at > greatest({}, {}, '-infinity'::timestamptz)",
        moment("failed.at"),
        last("backup", "failed"),
        last("backup", "completed"),
        last("backup", "partial")
    );
    sql::query_as_caller(&statement, &[])?.first().map_or(Ok(None), |row| time_nullable(row, 0))
}

/// SQL for when the last job of a kind ended so.
pub fn last(kind: &str, state: &str) -> String {
    format!(
        "(SELECT pg_catalog.max(finalized_at) FROM walwarden.job WHERE kind = '{kind}' AND state = '{state}')"
    )
}

fn each(range: &Range) -> Result<Vec<Backup>> {
    let statement = format!(
        "SELECT id, schedule, pg_catalog.array_to_string(storages, ', '), state, {}, {}, {}, \
                CASE WHEN state IN ('completed', 'partial') THEN size_bytes END, \
                CASE WHEN state IN ('completed', 'partial') THEN rows END, coalesce(options ? 'filter', false), expires_at IS NOT NULL \
           FROM walwarden.job WHERE {ENDED} ORDER BY finalized_at, id LIMIT {EACH}",
        moment("finalized_at"),
        moment("CASE WHEN state IN ('completed', 'partial') THEN snapshot_at END"),
        micros("(finalized_at - started_at)")
    );
    let rows = sql::query_as_caller(&statement, &range.parameters())?;
    let backup = |row: &Row| {
        Ok(Backup {
            job: row.parse(0)?,
            schedule: row.get(1).map(str::to_owned),
            storage: row.text(2)?,
            outcome: outcome(row, 3)?,
            ended_at: time(row, 4)?,
            snapshot_at: time_nullable(row, 5)?,
            took: span_nullable(row, 6)?,
            size: row.parse_nullable(7)?,
            rows: row.parse_nullable(8)?,
            filtered: row.flag(9)?,
            deleted: row.flag(10)?,
        })
    };
    rows.iter().map(backup).collect()
}

/// A column with the state of a job that has ended.
pub fn outcome(row: &Row, column: usize) -> Result<Outcome> {
    match row.text(column)?.as_str() {
        "completed" => Ok(Outcome::Completed),
        "partial" => Ok(Outcome::Partial),
        "failed" => Ok(Outcome::Failed),
        "canceled" => Ok(Outcome::Canceled),
        other => Err(Error::internal(format!("a job that has ended is {other}"))),
    }
}

fn periods(range: &Range, unit: Unit) -> Result<Listing<Period>> {
    let statement = format!(
        "SELECT {}, p.good, p.failed, p.canceled, p.smallest, p.mean_size, p.largest, {}, {}, {}, pg_catalog.count(*) OVER () \
           FROM (SELECT pg_catalog.date_trunc($3, finalized_at) AS begins, \
                        pg_catalog.count(*) FILTER (WHERE good) AS good, pg_catalog.count(*) FILTER (WHERE state = 'failed') AS failed, \
                        pg_catalog.count(*) FILTER (WHERE state = 'canceled') AS canceled, \
                        pg_catalog.min(size_bytes) FILTER (WHERE good) AS smallest, \
                        (pg_catalog.avg(size_bytes) FILTER (WHERE good))::bigint AS mean_size, \
                        pg_catalog.max(size_bytes) FILTER (WHERE good) AS largest, \
                        pg_catalog.min(took) FILTER (WHERE good) AS shortest, pg_catalog.avg(took) FILTER (WHERE good) AS mean_time, \
                        pg_catalog.max(took) FILTER (WHERE good) AS longest \
                   FROM (SELECT finalized_at, state, size_bytes, finalized_at - started_at AS took, \
                                state IN ('completed', 'partial') AS good \
                           FROM walwarden.job WHERE {ENDED}) AS j \
                  GROUP BY 1) AS p \
          ORDER BY p.begins DESC LIMIT {PERIODS}",
        moment("p.begins"),
        micros("p.shortest"),
        micros("p.mean_time"),
        micros("p.longest")
    );
    let rows = sql::query_as_caller(&statement, &with(range, &[Some(unit.name())]))?;
    let periods = rows.iter().rev().map(|row| {
        let size: [Option<u64>; 3] = [row.parse_nullable(4)?, row.parse_nullable(5)?, row.parse_nullable(6)?];
        let took = [span_nullable(row, 7)?, span_nullable(row, 8)?, span_nullable(row, 9)?];
        Ok(Period {
            begins: time(row, 0)?,
            good: row.parse(1)?,
            failed: row.parse(2)?,
            canceled: row.parse(3)?,
            size: spread(size),
            took: spread::<Duration>(took),
        })
    });
    Ok(Listing { rows: periods.collect::<Result<_>>()?, total: total(&rows, 10)? })
}

fn spread<T: Copy>([low, mean, high]: [Option<T>; 3]) -> Option<Spread<T>> {
    Some(Spread { low: low?, mean: mean?, high: high? })
}
