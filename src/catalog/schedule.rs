//! `walwarden.schedule`: when to back up, to verify, and to test restoring.

use crate::catalog::task::TestOrder;
use crate::pg::{clock, sql};
use chrono::{DateTime, TimeDelta, Utc};
use walwarden_core::schedule::Definition;
use walwarden_core::{Error, ErrorClass, Result};

/// A row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// Its name.
    pub name: String,
    /// What it was defined by.
    pub definition: Definition,
    /// The role that asks the smoke query.
    pub smoke_role: Option<String>,
    /// False while paused.
    pub enabled: bool,
    /// Scheduled times up to here are dealt with.
    pub checked_until: DateTime<Utc>,
}

impl Schedule {
    /// What is looked at when its newest backup is restored for a test.
    pub fn test(&self) -> TestOrder {
        TestOrder {
            jobs: self.definition.backup.jobs,
            role: self.smoke_role.clone(),
            smoke: self.definition.smoke.clone(),
            expect: self.definition.expect.clone(),
            identity_file: None,
        }
    }
}

const COLUMNS: &str = "name, definition::text, smoke_role, enabled, \
    (extract(epoch FROM checked_until) * 1000000)::bigint";

/// The schedule with this name.
pub fn find(name: &str) -> Result<Schedule> {
    look_up(name)?.ok_or_else(|| unknown(name))
}

/// The schedule with this name, where there is one.
pub fn look_up(name: &str) -> Result<Option<Schedule>> {
    let statement = format!("SELECT {COLUMNS} FROM walwarden.schedule WHERE name = $1");
    sql::query_one(&statement, &[Some(name)])?.as_ref().map(from_row).transpose()
}

/// Every schedule, by name.
pub fn all() -> Result<Vec<Schedule>> {
    let statement = format!("SELECT {COLUMNS} FROM walwarden.schedule ORDER BY name");
    sql::query(&statement, &[])?.iter().map(from_row).collect()
}

/// Every schedule that is not paused, locked against other ticks and against changes.
pub fn lock_enabled() -> Result<Vec<Schedule>> {
    let statement =
        format!("SELECT {COLUMNS} FROM walwarden.schedule WHERE enabled ORDER BY name FOR UPDATE");
    sql::query(&statement, &[])?.iter().map(from_row).collect()
}

/// Add the schedule, or give the one of this name a new definition. Times before now never fire.
pub fn upsert(name: &str, definition: &Definition, smoke_role: Option<&str>) -> Result<()> {
    let definition = serde_json::to_string(definition)
        .map_err(|cause| Error::internal(format!("a schedule cannot be written: {cause}")))?;
    sql::run(
        "INSERT INTO walwarden.schedule (name, definition, smoke_role) VALUES ($1, $2::jsonb, $3) \
         ON CONFLICT (name) DO UPDATE SET definition = EXCLUDED.definition, smoke_role = EXCLUDED.smoke_role, \
         checked_until = pg_catalog.clock_timestamp(), planned_at = NULL",
        &[Some(name), Some(&definition), smoke_role],
    )?;
    Ok(())
}

/// Pause or resume. Times that pass while paused never fire.
pub fn set_enabled(name: &str, enabled: bool) -> Result<()> {
    let touched = sql::run(
        "UPDATE walwarden.schedule SET enabled = $2::boolean, checked_until = pg_catalog.clock_timestamp() \
         WHERE name = $1",
        &[Some(name), Some(if enabled { "true" } else { "false" })],
    )?;
    if touched == 0 { Err(unknown(name)) } else { Ok(()) }
}

/// No schedule fires for a time before now.
pub fn forget_the_past() -> Result<()> {
    sql::run("UPDATE walwarden.schedule SET checked_until = pg_catalog.clock_timestamp()", &[])?;
    Ok(())
}

/// Remember up to when scheduled times are dealt with.
pub fn set_checked_until(name: &str, time: DateTime<Utc>) -> Result<()> {
    sql::run(
        "UPDATE walwarden.schedule SET checked_until = $2::timestamptz WHERE name = $1",
        &[Some(name), Some(&clock::to_text(time))],
    )?;
    Ok(())
}

/// How a schedule that is not paused stands to its target.
#[derive(Debug, Clone)]
pub struct RecoveryPoint {
    /// The schedule.
    pub schedule: String,
    /// The moment whose data its newest good backup holds; None before the first.
    pub at: Option<DateTime<Utc>>,
    /// The target, and when the loss window will be above it, or is since; None when the schedule has none any more.
    pub target: Option<(TimeDelta, DateTime<Utc>)>,
    /// Whether it was told that the target is exceeded.
    pub told: bool,
}

/// Those that have a target, or of which it was told that they exceed one.
pub fn recovery_points() -> Result<Vec<RecoveryPoint>> {
    sql::query(
        "SELECT v.name, (extract(epoch FROM v.recovery_point) * 1000000)::bigint, extract(epoch FROM v.rpo)::bigint, \
                (extract(epoch FROM coalesce(v.recovery_point, v.created_at) + v.rpo) * 1000000)::bigint, s.rpo_exceeded \
           FROM walwarden.schedules AS v JOIN walwarden.schedule AS s ON s.name = v.name \
          WHERE s.enabled AND (v.rpo IS NOT NULL OR s.rpo_exceeded) ORDER BY v.name",
        &[],
    )?
    .iter()
    .map(|row| {
        let target = row.parse_nullable(2)?.and_then(TimeDelta::try_seconds);
        Ok(RecoveryPoint {
            schedule: row.text(0)?,
            at: row.time_nullable(1)?,
            target: target.zip(row.time_nullable(3)?),
            told: row.flag(4)?,
        })
    })
    .collect()
}

/// Remember what is told of its target. False when that was told before, or the schedule is gone.
pub fn note_rpo(name: &str, exceeded: bool) -> Result<bool> {
    let touched = sql::run(
        "UPDATE walwarden.schedule SET rpo_exceeded = $2::boolean WHERE name = $1 AND rpo_exceeded <> $2::boolean",
        &[Some(name), Some(if exceeded { "true" } else { "false" })],
    )?;
    Ok(touched > 0)
}

/// Remove it. Its jobs and backups stay.
pub fn delete(name: &str) -> Result<()> {
    let touched = sql::run("DELETE FROM walwarden.schedule WHERE name = $1", &[Some(name)])?;
    if touched == 0 { Err(unknown(name)) } else { Ok(()) }
}

fn from_row(row: &sql::Row) -> Result<Schedule> {
    let name = row.text(0)?;
    let definition = serde_json::from_str(&row.text(1)?)
        .map_err(|cause| Error::internal(format!("schedule \"{name}\" cannot be read: {cause}")))?;
    Ok(Schedule {
        name,
        definition,
        smoke_role: row.get(2).map(str::to_owned),
        enabled: row.flag(3)?,
        checked_until: row.time(4)?,
    })
}

fn unknown(name: &str) -> Error {
    Error::new(ErrorClass::NotFound, format!("schedule \"{name}\" does not exist"))
        .hint("See walwarden.schedules, or add one with walwarden.schedule().")
}
