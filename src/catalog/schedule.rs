//! `walwarden.schedule`: when to back up, to verify, and to test restoring.

use crate::catalog::options::BackupOptions;
use crate::catalog::task::TestOrder;
use crate::pg::{clock, sql};
use chrono::{DateTime, Utc};
use walwarden_core::job::{Depth, JobKind};
use walwarden_core::{Error, ErrorClass, Result};

/// A row, not yet parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// Its name.
    pub name: String,
    /// Five fields; None runs by hand only.
    pub cron: Option<String>,
    /// When its newest backup is verified: five fields; None never.
    pub verify_cron: Option<String>,
    /// How deep.
    pub verify_depth: Depth,
    /// When its newest backup is restored to see that it can be done: five fields; None never.
    pub restore_test_cron: Option<String>,
    /// What is looked at then.
    pub test: TestOrder,
    /// An IANA zone.
    pub time_zone: String,
    /// Name of its storage.
    pub storage: String,
    /// How its jobs copy.
    pub options: BackupOptions,
    /// False while paused.
    pub enabled: bool,
    /// Scheduled times up to here are dealt with.
    pub checked_until: DateTime<Utc>,
}

impl Schedule {
    /// The kinds of jobs it queues, each with its cron expression.
    pub fn crons(&self) -> impl Iterator<Item = (JobKind, &str)> {
        [
            (JobKind::Backup, &self.cron),
            (JobKind::Verify, &self.verify_cron),
            (JobKind::RestoreTest, &self.restore_test_cron),
        ]
        .into_iter()
        .filter_map(|(kind, cron)| Some((kind, cron.as_deref()?)))
    }
}

/// What a schedule is defined by.
#[derive(Debug, Clone)]
pub struct Definition<'a> {
    /// Its name.
    pub name: &'a str,
    /// When to back up.
    pub cron: Option<&'a str>,
    /// When to verify.
    pub verify_cron: Option<&'a str>,
    /// How deep to verify.
    pub verify_depth: Depth,
    /// When to test restoring.
    pub restore_test_cron: Option<&'a str>,
    /// How.
    pub test: TestOrder,
    /// The zone of all three.
    pub time_zone: &'a str,
    /// Name of its storage.
    pub storage: &'a str,
    /// How its jobs copy.
    pub options: &'a BackupOptions,
}

const COLUMNS: &str = "name, cron, time_zone, storage, enabled, \
    (extract(epoch FROM checked_until) * 1000000)::bigint, jobs, compression, max_rate, verify_cron, verify_depth, \
    restore_test_cron, smoke, expect, smoke_role";

/// The schedule with this name.
pub fn find(name: &str) -> Result<Schedule> {
    let statement = format!("SELECT {COLUMNS} FROM walwarden.schedule WHERE name = $1");
    let row = sql::query_one(&statement, &[Some(name)])?.ok_or_else(|| unknown(name))?;
    from_row(&row)
}

/// Every schedule, by name.
pub fn all() -> Result<Vec<Schedule>> {
    let statement = format!("SELECT {COLUMNS} FROM walwarden.schedule ORDER BY name");
    sql::query(&statement, &[])?.iter().map(from_row).collect()
}

/// Every schedule that fires, locked against other ticks and against changes.
pub fn lock_enabled() -> Result<Vec<Schedule>> {
    let statement = format!(
        "SELECT {COLUMNS} FROM walwarden.schedule \
         WHERE enabled AND pg_catalog.num_nonnulls(cron, verify_cron, restore_test_cron) > 0 ORDER BY name FOR UPDATE"
    );
    sql::query(&statement, &[])?.iter().map(from_row).collect()
}

/// Add the schedule, or give the one of this name a new definition. Times before now never fire.
pub fn upsert(definition: &Definition<'_>) -> Result<()> {
    let [jobs, compression, max_rate] = definition.options.to_texts();
    sql::run(
        "INSERT INTO walwarden.schedule (name, cron, time_zone, storage, jobs, compression, max_rate, \
                                         verify_cron, verify_depth, restore_test_cron, smoke, expect, smoke_role) \
         VALUES ($1, $2, $3, $4, $5::integer, $6, $7::bigint, $8, $9, $10, $11, $12, $13) \
         ON CONFLICT (name) DO UPDATE SET cron = EXCLUDED.cron, time_zone = EXCLUDED.time_zone, \
         storage = EXCLUDED.storage, jobs = EXCLUDED.jobs, compression = EXCLUDED.compression, \
         max_rate = EXCLUDED.max_rate, verify_cron = EXCLUDED.verify_cron, verify_depth = EXCLUDED.verify_depth, \
         restore_test_cron = EXCLUDED.restore_test_cron, smoke = EXCLUDED.smoke, expect = EXCLUDED.expect, \
         smoke_role = EXCLUDED.smoke_role, checked_until = pg_catalog.clock_timestamp()",
        &[
            Some(definition.name),
            definition.cron,
            Some(definition.time_zone),
            Some(definition.storage),
            jobs.as_deref(),
            compression.as_deref(),
            max_rate.as_deref(),
            definition.verify_cron,
            Some(definition.verify_depth.name()),
            definition.restore_test_cron,
            definition.test.smoke.as_deref(),
            definition.test.expect.as_deref(),
            definition.test.role.as_deref(),
        ],
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

/// Remove it. Its jobs and backups stay.
pub fn delete(name: &str) -> Result<()> {
    let touched = sql::run("DELETE FROM walwarden.schedule WHERE name = $1", &[Some(name)])?;
    if touched == 0 { Err(unknown(name)) } else { Ok(()) }
}

fn from_row(row: &sql::Row) -> Result<Schedule> {
    let micros: i64 = row.parse(5)?;
    Ok(Schedule {
        name: row.text(0)?,
        cron: row.get(1).map(str::to_owned),
        verify_cron: row.get(9).map(str::to_owned),
        verify_depth: row.parse(10)?,
        restore_test_cron: row.get(11).map(str::to_owned),
        test: TestOrder {
            jobs: row.parse_nullable(6)?,
            smoke: row.get(12).map(str::to_owned),
            expect: row.get(13).map(str::to_owned),
            role: row.get(14).map(str::to_owned),
        },
        time_zone: row.text(2)?,
        storage: row.text(3)?,
        options: BackupOptions::from_row(row, 6)?,
        enabled: row.flag(4)?,
        checked_until: DateTime::from_timestamp_micros(micros)
            .ok_or_else(|| Error::internal("a schedule's time is out of range"))?,
    })
}

fn unknown(name: &str) -> Error {
    Error::new(ErrorClass::NotFound, format!("schedule \"{name}\" does not exist"))
        .hint("See walwarden.schedules, or add one with walwarden.schedule().")
}
