//! The recovery point as of now, and the schedules with theirs.

use super::moment::{micros, moment, span_nullable, time, time_nullable};
use super::{FIRST, Range, gaps, total, with};
use crate::pg::sql;
use std::collections::HashMap;
use std::time::Duration;
use uuid::Uuid;
use walwarden_core::report::{Listing, RecoveryPoint, Schedule, Time};
use walwarden_core::retention::Policy;
use walwarden_core::{Error, Result};

/// Whether schedules fire, and the newest backup that is not known to be damaged.
pub fn now() -> Result<(String, Option<RecoveryPoint>)> {
    let statement = format!(
        "SELECT s.scheduler, s.last_backup, {}, s.wal_since, s.changed_rows, b.size_bytes, b.filtered, b.storage, {}, b.verified, {} \
           FROM walwarden.status AS s LEFT JOIN walwarden.backups AS b ON b.job = s.last_backup",
        moment("s.recovery_point"),
        moment("b.verified_at"),
        moment("b.tested_at")
    );
    let rows = sql::query_as_caller(&statement, &[])?;
    let row = rows.first().ok_or_else(|| Error::internal("walwarden.status has no row"))?;
    let scheduler = row.text(0)?;
    if row.get(1).is_none() {
        return Ok((scheduler, None));
    }
    // Less than nothing was written since where the log was reset.
    let wal_since: Option<i64> = row.parse_nullable(3)?;
    let verified_at = time_nullable(row, 8)?;
    let point = RecoveryPoint {
        job: row.parse(1)?,
        at: time(row, 2)?,
        wal_since: wal_since.and_then(|bytes| u64::try_from(bytes).ok()),
        changed_rows: row.parse_nullable(4)?,
        size: row.parse_nullable(5)?,
        filtered: row.flag(6)?,
        storage: row.text(7)?,
        verified: verified_at.zip(row.get(9).map(str::to_owned)),
        tested_at: time_nullable(row, 10)?,
    };
    Ok((scheduler, Some(point)))
}

/// The first schedules by name, with what could have been lost in the range.
pub fn schedules(range: &Range, lost: &[Uuid]) -> Result<Listing<Schedule>> {
    let statement = format!(
        "SELECT name, cron, time_zone, enabled, storage, {}, {}, {}, rpo_met, retention::text, pg_catalog.count(*) OVER () \
           FROM walwarden.schedules ORDER BY name LIMIT {FIRST}",
        moment("next_run"),
        moment("recovery_point"),
        micros("rpo")
    );
    let rows = sql::query_as_caller(&statement, &[])?;
    let windows = gaps::largest_of_schedules(range, lost)?;
    let kept = kept()?;
    let schedules = rows.iter().map(|row| {
        let name = row.text(0)?;
        let (kept, oldest_kept) = kept.get(&name).copied().unwrap_or_default();
        Ok(Schedule {
            cron: row.get(1).map(str::to_owned),
            time_zone: row.get(2).unwrap_or("UTC").to_owned(),
            enabled: row.flag(3)?,
            storage: row.get(4).unwrap_or_default().to_owned(),
            next_run: time_nullable(row, 5)?,
            recovery_point: time_nullable(row, 6)?,
            rpo: span_nullable(row, 7)?,
            rpo_met: row.get(8).map(|flag| flag == "t"),
            largest_window: windows.get(&name).copied(),
            retention: row.get(9).map_or_else(|| Ok(Policy::default()), policy)?,
            kept,
            oldest_kept,
            name,
        })
    });
    Ok(Listing { rows: schedules.collect::<Result<_>>()?, total: total(&rows, 10)? })
}

fn policy(json: &str) -> Result<Policy> {
    serde_json::from_str(json)
        .map_err(|cause| Error::internal(format!("the retention of a schedule cannot be read: {cause}")))
}

/// How many backups of a schedule are in storage, and the moment that the oldest holds.
type Kept = (u64, Option<Time>);

fn kept() -> Result<HashMap<String, Kept>> {
    let statement = format!(
        "SELECT k.name, k.backups, {} FROM (\
             SELECT s.name, pg_catalog.count(*) AS backups, pg_catalog.min(j.snapshot_at) AS oldest \
               FROM (SELECT name FROM walwarden.schedule ORDER BY name LIMIT {FIRST}) AS s \
               JOIN walwarden.job AS j ON j.schedule = s.name \
              WHERE j.kind = 'backup' AND j.state IN ('completed', 'partial') AND j.expires_at IS NULL \
                AND EXISTS (SELECT FROM walwarden.backup_copy AS c WHERE c.backup = j.id AND c.state = 'stored') \
              GROUP BY s.name) AS k",
        moment("k.oldest")
    );
    sql::query_as_caller(&statement, &[])?
        .iter()
        .map(|row| Ok((row.text(0)?, (row.parse(1)?, time_nullable(row, 2)?))))
        .collect()
}

/// For `gaps`: by schedule.
pub(super) fn by_name(statement: &str, range: &Range, lost: &str) -> Result<HashMap<String, Duration>> {
    sql::query_as_caller(statement, &with(range, &[Some(lost)]))?
        .iter()
        .map(|row| Ok((row.text(0)?, span_nullable(row, 1)?.unwrap_or_default())))
        .collect()
}
