//! Schedules: define, remove, pause, resume.

use super::job::required;
use super::options;
use super::restore::check_smoke;
use crate::catalog::{database, schedule, storage};
use crate::error::report;
use crate::pg::shared::{self, Letter};
use crate::pg::text::Text;
use crate::pg::{clock, server};
use pgrx::datum::TimestampWithTimeZone;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use walwarden_core::job::JobKind;
use walwarden_core::schedule::Definition;
use walwarden_core::{Error, Result as CoreResult};

/// Longest name of a schedule or storage, in bytes: as long as PostgreSQL's own names.
pub const LONGEST_NAME: usize = 63;

/// Define a schedule, or give an existing one a new definition. Gives the next backup, NULL when it runs by hand only.
#[pg_extern(sql = false)]
pub fn _schedule(name: Option<Text>, definition: Text) -> Result<Option<TimestampWithTimeZone>, ErrorReport> {
    required("name", name).and_then(|name| define(&name.0, options::read(&definition.0)?)).map_err(report)
}

fn define(name: &str, given: Definition) -> CoreResult<Option<TimestampWithTimeZone>> {
    check_name("schedule", name)?;
    let mut definition = given.normalized()?;
    definition.backup = options::checked(definition.backup)?;
    check_smoke(definition.smoke.as_deref(), definition.expect.as_deref())?;
    definition.storages.iter().try_for_each(|storage| storage::find(storage).map(drop))?;
    let smoke_role = definition.smoke.as_ref().map(|_| server::session_user());
    let before = schedule::look_up(name)?;
    schedule::upsert(name, &definition, smoke_role.as_deref())?;
    wake_launcher_at_commit();
    let lost = before.map(|before| before.definition.lost_in(&definition)).unwrap_or_default();
    if !lost.is_empty() {
        pgrx::notice!("schedule \"{name}\" was replaced and no longer has: {}", lost.join(", "));
    }
    if definition.crons().next().is_some() && !shared::available() {
        pgrx::notice!("schedule \"{name}\" does not fire before walwarden is in shared_preload_libraries");
    }
    let database = database::identity()?.id.to_string();
    next_run(&database, name, JobKind::Backup, &definition)
}

/// Remove a schedule. Its jobs and backups stay.
#[pg_extern(sql = false)]
pub fn unschedule(name: Text) -> Result<(), ErrorReport> {
    schedule::delete(&name.0).map_err(report)?;
    wake_launcher_at_commit();
    Ok(())
}

/// Stop a schedule from firing until it is resumed.
#[pg_extern(sql = false)]
pub fn pause(name: Text) -> Result<(), ErrorReport> {
    schedule::set_enabled(&name.0, false).map_err(report)?;
    wake_launcher_at_commit();
    Ok(())
}

/// Let a paused schedule fire again. Times that passed meanwhile do not fire.
#[pg_extern(sql = false)]
pub fn resume(name: Text) -> Result<(), ErrorReport> {
    schedule::set_enabled(&name.0, true).map_err(report)?;
    wake_launcher_at_commit();
    Ok(())
}

/// When jobs of a kind of a schedule run next, by the present clock; NULL when never.
#[pg_extern(sql = false)]
pub fn _next_run(
    database: Text,
    name: Text,
    kind: Text,
    definition: Text,
) -> Result<Option<TimestampWithTimeZone>, ErrorReport> {
    let next = || next_run(&database.0, &name.0, kind.0.parse()?, &options::read(&definition.0)?);
    next().map_err(report)
}

fn next_run(
    database: &str,
    name: &str,
    kind: JobKind,
    definition: &Definition,
) -> CoreResult<Option<TimestampWithTimeZone>> {
    let timetable = definition.timetable(kind, database, name)?;
    let next = timetable.and_then(|timetable| timetable.next_after(clock::now()));
    Ok(next.map(|occurrence| clock::to_timestamptz(occurrence.fires_at)))
}

/// A name that people can type and that fits where PostgreSQL's names fit.
pub fn check_name(what: &str, name: &str) -> CoreResult<()> {
    if name.trim().is_empty() {
        return Err(Error::invalid(format!("a {what} needs a name")));
    }
    if name.len() > LONGEST_NAME {
        return Err(Error::invalid(format!("the name of the {what} is too long"))
            .detail(format!("It has {} bytes; {LONGEST_NAME} are allowed.", name.len())));
    }
    if name.chars().any(char::is_control) {
        return Err(Error::invalid(format!("the name of the {what} has control characters")));
    }
    Ok(())
}

/// A change takes effect with the next tick, which comes at once.
pub fn wake_launcher_at_commit() {
    let database = server::database_oid();
    pgrx::register_xact_callback(pgrx::PgXactCallbackEvent::Commit, move || {
        shared::post(Letter::look(database));
    });
}
