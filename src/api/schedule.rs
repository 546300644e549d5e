//! Schedules: define, remove, pause, resume.

use super::options;
use super::restore::check_smoke;
use crate::catalog::schedule::{self, Definition};
use crate::catalog::storage;
use crate::catalog::task::TestOrder;
use crate::error::report;
use crate::pg::shared::{self, Letter};
use crate::pg::text::Text;
use crate::pg::{clock, server};
use pgrx::datum::TimestampWithTimeZone;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use walwarden_core::schedule::Cron;
use walwarden_core::{Error, Result as CoreResult};

/// Longest name of a schedule or storage, in bytes: as long as PostgreSQL's own names.
pub const LONGEST_NAME: usize = 63;

/// Define a schedule, or give an existing one a new definition. Gives the next backup, NULL when it runs by hand only.
#[pg_extern(sql = false)]
#[allow(clippy::too_many_arguments, reason = "the arguments of the SQL function")]
pub fn define_schedule(
    name: Text,
    cron: Option<Text>,
    time_zone: Text,
    storage: Text,
    jobs: Option<i32>,
    compression: Option<Text>,
    max_rate: Option<Text>,
    verify_cron: Option<Text>,
    verify_depth: Text,
    restore_test_cron: Option<Text>,
    smoke: Option<Text>,
    expect: Option<Text>,
) -> Result<Option<TimestampWithTimeZone>, ErrorReport> {
    options::read(jobs, compression.map(|text| text.0), max_rate.map(|text| text.0))
        .and_then(|options| {
            define(&Definition {
                name: &name.0,
                cron: expression(cron.as_ref()),
                verify_cron: expression(verify_cron.as_ref()),
                verify_depth: verify_depth.0.parse()?,
                restore_test_cron: expression(restore_test_cron.as_ref()),
                test: TestOrder {
                    jobs: None,
                    role: smoke.as_ref().map(|_| server::session_user()),
                    smoke: smoke.map(|text| text.0),
                    expect: expect.map(|text| text.0),
                },
                time_zone: time_zone.0.trim(),
                storage: &storage.0,
                options: &options,
            })
        })
        .map_err(report)
}

/// A blank one is none.
fn expression(cron: Option<&Text>) -> Option<&str> {
    cron.map(|text| text.0.trim()).filter(|expression| !expression.is_empty())
}

fn define(wanted: &Definition<'_>) -> CoreResult<Option<TimestampWithTimeZone>> {
    check_name("schedule", wanted.name)?;
    // The zone is checked also when nothing fires: resumed with a cron later, it must be right.
    let parsed = Cron::parse(wanted.cron.unwrap_or("0 0 * * *"), wanted.time_zone)?;
    for (name, expression) in
        [("verify_cron", wanted.verify_cron), ("restore_test_cron", wanted.restore_test_cron)]
    {
        if let Some(expression) = expression {
            Cron::parse(expression, wanted.time_zone)
                .map_err(|error| Error { message: format!("{name}: {}", error.message), ..error })?;
        }
    }
    check_smoke(wanted.test.smoke.as_deref(), wanted.test.expect.as_deref())?;
    storage::find(wanted.storage)?;
    schedule::upsert(&Definition { time_zone: parsed.time_zone(), ..wanted.clone() })?;
    wake_launcher_at_commit();
    Ok(wanted.cron.and_then(|_| parsed.next_after(clock::now())).map(clock::to_timestamptz))
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

/// When a schedule runs next, by the present clock; NULL when never.
#[pg_extern(sql = false)]
pub fn _next_run(cron: Option<Text>, time_zone: Text) -> Option<TimestampWithTimeZone> {
    let parsed = Cron::parse(&cron?.0, &time_zone.0).ok()?;
    parsed.next_after(clock::now()).map(clock::to_timestamptz)
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
        shared::post(Letter { database, due: 0 });
    });
}
