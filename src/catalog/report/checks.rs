//! Verifications and restore tests.

use super::backups::{last, outcome};
use super::moment::{micros, moment, span_nullable, time, time_nullable};
use super::{LONGEST_TEXT, NEWEST, Range};
use crate::pg::sql;
use walwarden_core::report::{Check, Checks, Listing, Tally};
use walwarden_core::{Error, Result};

/// All of it.
pub fn of(range: &Range) -> Result<Checks> {
    let (tests, verifications) = (tally(range, "restore_test")?, tally(range, "verify")?);
    let total = tests.passed + tests.failed + verifications.passed + verifications.failed;
    Ok(Checks { tests, verifications, newest: Listing { rows: newest(range)?, total } })
}

fn tally(range: &Range, kind: &str) -> Result<Tally> {
    let statement = format!(
        "SELECT pg_catalog.count(*) FILTER (WHERE state = 'completed'), pg_catalog.count(*) FILTER (WHERE state = 'failed'), {}, {} \
           FROM walwarden.job WHERE kind = $3 AND state IN ('completed', 'failed') \
            AND finalized_at >= $1::timestamptz AND finalized_at < $2::timestamptz",
        moment(&last(kind, "completed")),
        moment(&last(kind, "failed"))
    );
    let rows = sql::query_as_caller(&statement, &super::with(range, &[Some(kind)]))?;
    let row = rows.first().ok_or_else(|| Error::internal("a sum has no row"))?;
    Ok(Tally {
        passed: row.parse(0)?,
        failed: row.parse(1)?,
        last_passed: time_nullable(row, 2)?,
        last_failed: time_nullable(row, 3)?,
    })
}

fn newest(range: &Range) -> Result<Vec<Check>> {
    let statement = format!(
        "SELECT {}, t.kind, t.depth, t.state, t.backup, {}, pg_catalog.array_to_string(t.storages, ', '), t.rows, \
                coalesce(t.options ? 'smoke', false), pg_catalog.\"left\"(t.unchecked, {LONGEST_TEXT}), \
                pg_catalog.\"left\"(pg_catalog.concat_ws(': ', t.error_message, t.error_detail), {LONGEST_TEXT}), {} \
           FROM (SELECT * FROM walwarden.job \
                  WHERE kind IN ('verify', 'restore_test') AND state IN ('completed', 'failed') \
                    AND finalized_at >= $1::timestamptz AND finalized_at < $2::timestamptz \
                  ORDER BY finalized_at DESC, id LIMIT {NEWEST}) AS t \
           LEFT JOIN walwarden.job AS b ON b.id = t.backup \
           LEFT JOIN walwarden.discovered AS d ON d.job = t.backup \
          ORDER BY t.finalized_at DESC, t.id",
        moment("t.finalized_at"),
        moment("coalesce(b.snapshot_at, d.snapshot_at)"),
        micros("(t.finalized_at - t.started_at)")
    );
    sql::query_as_caller(&statement, &range.parameters())?
        .iter()
        .map(|row| {
            let message = row.get(10).filter(|text| !text.is_empty());
            Ok(Check {
                at: time(row, 0)?,
                kind: row.parse(1)?,
                depth: row.get(2).map(str::to_owned),
                outcome: outcome(row, 3)?,
                backup: row.parse(4)?,
                snapshot_at: time_nullable(row, 5)?,
                storage: row.text(6)?,
                rows: row.parse_nullable(7)?,
                smoke: row.flag(8)?,
                unchecked: row.get(9).map(str::to_owned),
                message: message.map(str::to_owned),
                took: span_nullable(row, 11)?,
            })
        })
        .collect()
}
