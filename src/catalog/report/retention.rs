//! What was deleted in the range, and what is still to go.

use super::moment::{moment, time, time_nullable};
use super::{FIRST, LONGEST_TEXT, NEWEST, Range, total};
use crate::pg::sql;
use walwarden_core::report::{DeletedFor, Deletion, Deletions, Listing};
use walwarden_core::{Error, Result};

const EXPIRED: &str = "expires_at >= $1::timestamptz AND expires_at < $2::timestamptz";

/// All of it.
pub fn of(range: &Range) -> Result<Deletions> {
    let by_reason = by_reason(range)?;
    let rows = sql::query_as_caller(
        "SELECT (SELECT pg_catalog.count(*) FROM walwarden.job AS j \
                  WHERE j.expires_at IS NOT NULL AND j.deleted_at IS NULL \
                    AND j.expires_at < pg_catalog.clock_timestamp() - interval '1 hour' \
                    AND NOT EXISTS (SELECT FROM walwarden.backup_copy AS c WHERE c.backup = j.id AND c.state = 'retained_by_lock')), \
                (SELECT pg_catalog.count(*) FROM walwarden.job AS j \
                  WHERE j.kind = 'backup' AND j.state IN ('completed', 'partial') AND j.expires_at IS NULL \
                    AND NOT EXISTS (SELECT FROM walwarden.schedule AS s WHERE s.name = j.schedule) \
                    AND EXISTS (SELECT FROM walwarden.backup_copy AS c WHERE c.backup = j.id AND c.state = 'stored'))",
        &[],
    )?;
    let row = rows.first().ok_or_else(|| Error::internal("a query without a table gave no row"))?;
    Ok(Deletions {
        by_reason,
        newest: newest(range)?,
        pending: row.parse(0)?,
        kept_without_schedule: row.parse(1)?,
    })
}

fn by_reason(range: &Range) -> Result<Listing<DeletedFor>> {
    let statement = format!(
        "SELECT coalesce(deleted_by, ''), pg_catalog.\"left\"(delete_reason, {LONGEST_TEXT}), pg_catalog.count(*), \
                pg_catalog.count(*) OVER () \
           FROM walwarden.job WHERE {EXPIRED} GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2 LIMIT {FIRST}"
    );
    let rows = sql::query_as_caller(&statement, &range.parameters())?;
    let deleted = rows
        .iter()
        .map(|row| Ok(DeletedFor { by: row.text(0)?, reason: row.text(1)?, count: row.parse(2)? }));
    Ok(Listing { rows: deleted.collect::<Result<_>>()?, total: total(&rows, 3)? })
}

fn newest(range: &Range) -> Result<Listing<Deletion>> {
    let statement = format!(
        "SELECT {}, id, schedule, {}, pg_catalog.\"left\"(delete_reason, {LONGEST_TEXT}), coalesce(deleted_by, ''), {}, \
                pg_catalog.count(*) OVER () \
           FROM walwarden.job WHERE {EXPIRED} ORDER BY expires_at DESC, id LIMIT {NEWEST}",
        moment("expires_at"),
        moment("snapshot_at"),
        moment("deleted_at")
    );
    let rows = sql::query_as_caller(&statement, &range.parameters())?;
    let deletions = rows.iter().map(|row| {
        Ok(Deletion {
            decided_at: time(row, 0)?,
            job: row.parse(1)?,
            schedule: row.get(2).map(str::to_owned),
            snapshot_at: time_nullable(row, 3)?,
            reason: row.text(4)?,
            by: row.text(5)?,
            deleted_at: time_nullable(row, 6)?,
        })
    });
    Ok(Listing { rows: deletions.collect::<Result<_>>()?, total: total(&rows, 7)? })
}
