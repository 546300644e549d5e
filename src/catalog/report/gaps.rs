//! What could have been lost: from the moment that a good backup holds to the end of the next good one.

use super::moment::{micros, moment, time};
use super::{FIRST, NEWEST, Range, recovery, with};
use crate::catalog::report::chain::Entries;
use crate::pg::sql;
use std::collections::HashMap;
use std::time::Duration;
use uuid::Uuid;
use walwarden_core::report::{Gaps, Listing, PassedOver, Window};
use walwarden_core::{Error, Result};

/// How many of the longest are shown.
const LONGEST: usize = 5;

const GOOD: &str = "kind = 'backup' AND state IN ('completed', 'partial') AND snapshot_at IS NOT NULL AND id <> ALL ($3::uuid[])";

/// Verified or tested, and found damaged in every storage that had them: nobody could have restored these.
pub fn lost_backups() -> Result<Vec<Uuid>> {
    // The view is asked about these alone, each by itself: of a long history they are few.
    sql::query_as_caller(
        "SELECT f.backup \
           FROM (SELECT DISTINCT backup FROM walwarden.job \
                  WHERE kind IN ('verify', 'restore_test') AND state = 'failed' \
                    AND error_class IN ('storage_corrupt', 'storage_not_found')) AS f \
          CROSS JOIN LATERAL (SELECT pg_catalog.bool_and(c.damage IS NOT NULL) AS is_lost FROM walwarden.backup_copies AS c \
                               WHERE c.backup = f.backup AND c.state NOT IN ('writing', 'missing', 'failed') OFFSET 0) AS c \
          WHERE c.is_lost",
        &[],
    )?
    .iter()
    .map(|row| row.parse(0))
    .collect()
}

/// All of it.
pub fn of(range: &Range, audit: &Entries, lost: &[Uuid]) -> Result<Gaps> {
    let (skipped, missed, total) = passed_over_counts(range, audit)?;
    Ok(Gaps {
        windows: windows(range, lost)?,
        skipped,
        missed,
        passed_over: Listing { rows: passed_over(range, audit)?, total },
    })
}

fn windows(range: &Range, lost: &[Uuid]) -> Result<Vec<Window>> {
    let statement = format!(
        "WITH good AS ( \
             SELECT snapshot_at, finalized_at FROM walwarden.job \
              WHERE {GOOD} AND finalized_at >= $1::timestamptz AND finalized_at < $2::timestamptz \
             UNION ALL \
             (SELECT snapshot_at, finalized_at FROM walwarden.job WHERE {GOOD} AND finalized_at < $1::timestamptz \
               ORDER BY finalized_at DESC LIMIT 1)), \
         steps AS ( \
             SELECT pg_catalog.max(snapshot_at) OVER (ORDER BY finalized_at ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS since, \
                    finalized_at AS until, false AS is_open FROM good \
             UNION ALL \
             SELECT pg_catalog.max(snapshot_at), least($2::timestamptz, pg_catalog.clock_timestamp()), true FROM good) \
         SELECT {}, {}, is_open FROM steps WHERE until > since ORDER BY until - since DESC LIMIT {LONGEST}",
        moment("since"),
        moment("until")
    );
    sql::query_as_caller(&statement, &with(range, &[Some(&array(lost))]))?
        .iter()
        .map(|row| Ok(Window { since: time(row, 0)?, until: time(row, 1)?, is_open: row.flag(2)? }))
        .collect()
}

/// The longest of each of the first schedules, with nothing but its backups; before its first backup it is counted from the
/// moment the schedule was made, as its target is.
pub fn largest_of_schedules(range: &Range, lost: &[Uuid]) -> Result<HashMap<String, Duration>> {
    let statement = format!(
        "WITH listed AS (SELECT name, created_at FROM walwarden.schedule ORDER BY name LIMIT {FIRST}), \
         good AS ( \
             SELECT schedule, snapshot_at, finalized_at FROM walwarden.job \
              WHERE {GOOD} AND finalized_at >= $1::timestamptz AND finalized_at < $2::timestamptz \
                AND schedule IN (SELECT name FROM listed) \
             UNION ALL \
             SELECT before.schedule, before.snapshot_at, before.finalized_at FROM listed AS s \
              CROSS JOIN LATERAL (SELECT schedule, snapshot_at, finalized_at FROM walwarden.job \
                                   WHERE schedule = s.name AND {GOOD} AND finalized_at < $1::timestamptz \
                                   ORDER BY queued_at DESC LIMIT 1) AS before), \
         steps AS ( \
             SELECT schedule, finalized_at AS until, \
                    pg_catalog.max(snapshot_at) OVER (PARTITION BY schedule ORDER BY finalized_at \
                                                      ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS since \
               FROM good \
             UNION ALL \
             SELECT s.name, least($2::timestamptz, pg_catalog.clock_timestamp()), pg_catalog.max(g.snapshot_at) \
               FROM listed AS s LEFT JOIN good AS g ON g.schedule = s.name GROUP BY s.name) \
         SELECT s.name, {} FROM steps AS t JOIN listed AS s ON s.name = t.schedule \
          WHERE t.until > coalesce(t.since, s.created_at) AND t.until >= $1::timestamptz GROUP BY s.name",
        micros("pg_catalog.max(t.until - coalesce(t.since, s.created_at))")
    );
    recovery::by_name(&statement, range, &array(lost))
}

/// As a parameter.
fn array(jobs: &[Uuid]) -> String {
    format!("{{{}}}", jobs.iter().map(Uuid::to_string).collect::<Vec<_>>().join(","))
}

const PASSED_OVER: &str = "seq >= $3::bigint AND seq < $4::bigint AND at >= $1::timestamptz AND at < $2::timestamptz \
     AND (event LIKE '%.missed' OR event LIKE '%.skipped')";

/// Skipped times, missed times, entries. Bodies are not read as JSON: whoever tampers with the chain must not keep the report from
/// saying so. The quotes of a name that would look like this are escaped.
fn passed_over_counts(range: &Range, audit: &Entries) -> Result<(u64, u64, u64)> {
    let count = "coalesce(pg_catalog.substring(body, '\"count\":([0-9]{1,9})[,}]')::bigint, 1)";
    let statement = format!(
        "SELECT coalesce(pg_catalog.sum({count}) FILTER (WHERE event LIKE '%.skipped'), 0), \
                coalesce(pg_catalog.sum({count}) FILTER (WHERE event LIKE '%.missed'), 0), pg_catalog.count(*) \
           FROM walwarden.audit WHERE {PASSED_OVER}"
    );
    let rows = sql::query_as_caller(&statement, &with(range, &audit.parameters()))?;
    let row = rows.first().ok_or_else(|| Error::internal("a sum has no row"))?;
    Ok((row.parse(0)?, row.parse(1)?, row.parse(2)?))
}

fn passed_over(range: &Range, audit: &Entries) -> Result<Vec<PassedOver>> {
    let statement = format!(
        "SELECT {}, event, body FROM walwarden.audit WHERE {PASSED_OVER} ORDER BY seq DESC LIMIT {NEWEST}",
        moment("at")
    );
    sql::query_as_caller(&statement, &with(range, &audit.parameters()))?
        .iter()
        .map(|row| {
            let body: serde_json::Value = serde_json::from_str(&row.text(2)?).unwrap_or_default();
            let text = |name: &str| body["detail"][name].as_str().unwrap_or_default().to_owned();
            Ok(PassedOver {
                at: time(row, 0)?,
                event: row.text(1)?,
                schedule: text("schedule"),
                scheduled_for: text("scheduled_for"),
                count: body["detail"]["count"].as_u64().unwrap_or(1),
            })
        })
        .collect()
}
