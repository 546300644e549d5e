//! What becomes of the backups of a schedule: what the plan is made of, and what it decides.

use crate::catalog::schedule::Schedule;
use crate::catalog::{database, job};
use crate::pg::{clock, sql};
use uuid::Uuid;
use walwarden_core::retention::{Backup, Decision};
use walwarden_core::{Error, ErrorClass, Result};

/// Who deletes by the plan.
pub const WALWARDEN: &str = "walwarden";

/// What the schedule's definition says of each of its backups, the newest first.
pub fn plan(schedule: &Schedule) -> Result<Vec<Decision>> {
    schedule.definition.plan_retention(&backups(&schedule.name)?, clock::now())
}

/// Expire what the plan does not keep; gives how many that are.
pub fn apply(schedule: &Schedule) -> Result<usize> {
    let mut expired = 0;
    for decision in plan(schedule)?.into_iter().filter(|decision| !decision.keep) {
        job::expire(decision.job, &reasons(&decision), WALWARDEN)?;
        expired += 1;
    }
    Ok(expired)
}

/// For people.
pub fn reasons(decision: &Decision) -> String {
    decision.reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Schedules whose plan may say something new: one of their backups ended, was verified or was tested since it was last made, or
/// an hour went by.
pub fn is_due(schedule: &str) -> Result<bool> {
    let row = sql::query_one(
        "SELECT s.definition ? 'retention' \
            AND (s.planned_at IS NULL OR s.planned_at < pg_catalog.clock_timestamp() - interval '1 hour' \
                 OR s.planned_at > pg_catalog.clock_timestamp() \
                 OR EXISTS (SELECT FROM walwarden.job AS j \
                             WHERE j.finalized_at >= s.planned_at AND j.kind IN ('backup', 'verify', 'restore_test', 'copy') \
                               AND j.state IN ('completed', 'partial', 'failed'))) \
           FROM walwarden.schedule AS s WHERE s.name = $1",
        &[Some(schedule)],
    )?;
    row.map_or(Ok(false), |row| row.flag(0))
}

/// The plan was made and applied.
pub fn note_planned(schedule: &str) -> Result<()> {
    sql::run(
        "UPDATE walwarden.schedule SET planned_at = pg_catalog.clock_timestamp() WHERE name = $1",
        &[Some(schedule)],
    )?;
    Ok(())
}

/// What the keys of all objects of this database have in them. What was written under another identity belongs to another
/// database, of which this one is a copy or a successor: it is read here, and never deleted.
pub fn own_place(database: Uuid) -> String {
    format!("/db/{database}/")
}

/// Why an object is not deleted.
pub fn not_ours(key: &str) -> Error {
    Error::new(ErrorClass::WrongState, format!("object \"{key}\" does not belong to this database"))
        .detail("It was written under another identity, of which this database is a copy or a successor.")
        .hint("Delete it from where it belongs, or by the storage's own means.")
}

fn backups(schedule: &str) -> Result<Vec<Backup>> {
    sql::query(
        "SELECT b.job, (extract(epoch FROM b.snapshot_at) * 1000000)::bigint, b.damage IS NULL, b.verified_at IS NOT NULL, \
                coalesce((SELECT sum(c.size_bytes) FROM walwarden.backup_copy AS c \
                           WHERE c.backup = b.job AND c.state = 'stored'), 0)::bigint, \
                EXISTS (SELECT FROM walwarden.job AS j WHERE j.backup = b.job AND j.finalized_at IS NULL) \
           FROM walwarden.backups AS b \
          WHERE b.schedule = $1 AND pg_catalog.strpos(b.manifest_key, $2) > 0",
        &[Some(schedule), Some(&own_place(database::identity()?.id))],
    )?
    .iter()
    .map(|row| {
        let is_good = row.flag(2)?;
        Ok(Backup {
            job: row.parse(0)?,
            snapshot_at: row.time(1)?,
            size: row.parse(4)?,
            is_good,
            is_verified: is_good && row.flag(3)?,
            // Storages are asked when it is deleted: what they refuse stays, and is known as retained.
            locked_until: None,
            in_use: row.flag(5)?,
        })
    })
    .collect()
}

/// Whether a job works with a backup right now, and which.
pub fn user_of(backup: Uuid) -> Result<Option<Uuid>> {
    let row = sql::query_one(
        "SELECT id FROM walwarden.job WHERE backup = $1::uuid AND finalized_at IS NULL ORDER BY queued_at LIMIT 1",
        &[Some(&backup.to_string())],
    )?;
    row.map(|row| row.parse(0)).transpose()
}
