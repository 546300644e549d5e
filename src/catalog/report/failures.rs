//! Jobs of any kind that failed in the range.

use super::moment::{moment, time};
use super::{FIRST, LONGEST_TEXT, NEWEST, Range, total};
use crate::pg::sql;
use walwarden_core::Result;
use walwarden_core::report::{FailedClass, Failure, Failures, Listing};

const FAILED: &str = "kind IN ('backup', 'verify', 'restore', 'restore_test', 'copy') AND state = 'failed' \
                      AND finalized_at >= $1::timestamptz AND finalized_at < $2::timestamptz";

/// All of it.
pub fn of(range: &Range) -> Result<Failures> {
    let by_class = format!(
        "SELECT f.kind, f.error_class, f.jobs, {}, pg_catalog.count(*) OVER () \
           FROM (SELECT kind, error_class, pg_catalog.count(*) AS jobs, pg_catalog.max(finalized_at) AS last \
                   FROM walwarden.job WHERE {FAILED} GROUP BY kind, error_class) AS f \
          ORDER BY f.jobs DESC, f.kind, f.error_class LIMIT {FIRST}",
        moment("f.last")
    );
    let rows = sql::query_as_caller(&by_class, &range.parameters())?;
    let classes = rows.iter().map(|row| {
        Ok(FailedClass {
            kind: row.parse(0)?,
            class: row.text(1)?,
            count: row.parse(2)?,
            last: time(row, 3)?,
        })
    });
    let by_class: Listing<FailedClass> =
        Listing { rows: classes.collect::<Result<_>>()?, total: total(&rows, 4)? };
    let newest = Listing { rows: newest(range)?, total: by_class.rows.iter().map(|class| class.count).sum() };
    Ok(Failures { by_class, newest })
}

fn newest(range: &Range) -> Result<Vec<Failure>> {
    let statement = format!(
        "SELECT {}, id, kind, schedule, error_class, pg_catalog.\"left\"(error_message, {LONGEST_TEXT}), \
                pg_catalog.\"left\"(error_detail, {LONGEST_TEXT}) \
           FROM walwarden.job WHERE {FAILED} ORDER BY finalized_at DESC, id LIMIT {NEWEST}",
        moment("finalized_at")
    );
    sql::query_as_caller(&statement, &range.parameters())?
        .iter()
        .map(|row| {
            Ok(Failure {
                at: time(row, 0)?,
                job: row.parse(1)?,
                kind: row.parse(2)?,
                schedule: row.get(3).map(str::to_owned),
                class: row.text(4)?,
                message: row.get(5).unwrap_or_default().to_owned(),
                detail: row.get(6).map(str::to_owned),
            })
        })
        .collect()
}
