//! Backups that are there: what becomes of them, deleting them, fetching them.

use super::job::{duration, require_jobs_run, require_reason, required, to_core, to_sql};
use crate::catalog::{backup, database, job, retention, schedule};
use crate::error::report;
use crate::pg::server;
use crate::pg::text::Text;
use crate::worker::io::Io;
use crate::worker::remains::open_stored;
use crate::worker::start;
use pgrx::datum::Interval;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use uuid::Uuid;
use walwarden_core::manifest;
use walwarden_core::{Error, ErrorClass, Result as CoreResult};

/// What the retention of a schedule keeps and deletes, and why, the newest first. Nothing is deleted by asking.
#[pg_extern(sql = false)]
pub fn _retention_plan(
    schedule: Option<Text>,
) -> Result<
    TableIterator<'static, (name!(job, pgrx::Uuid), name!(keep, bool), name!(reason, Text))>,
    ErrorReport,
> {
    let plan = required("schedule", schedule)
        .and_then(|name| retention::plan(&schedule::find(&name.0)?))
        .map_err(report)?;
    Ok(TableIterator::new(plan.into_iter().map(|decision| {
        let reasons = retention::reasons(&decision);
        (to_sql(decision.job), decision.keep, Text::from(reasons.as_str()))
    })))
}

/// Delete a backup from all of its storages; its job stays in the history.
#[pg_extern(sql = false)]
pub fn delete_backup(job: Option<pgrx::Uuid>, reason: Option<Text>) -> Result<(), ErrorReport> {
    let delete = || {
        let (job, reason) = (required("job", job)?, required("reason", reason)?);
        expire(to_core(job), reason.0.trim())
    };
    delete().map_err(report)
}

fn expire(id: Uuid, reason: &str) -> CoreResult<()> {
    require_jobs_run()?;
    require_reason(reason)?;
    let found = backup::find(id, None)?;
    if found.is_discovered {
        return Err(Error::new(ErrorClass::WrongState, format!("backup {id} was discovered, not made here"))
            .hint("Delete it in the database that made it, or by the storage's own means."));
    }
    if !found.manifest_key.contains(&retention::own_place(database::identity()?.id)) {
        return Err(retention::not_ours(&found.manifest_key));
    }
    if let Some(user) = retention::user_of(id)? {
        return Err(Error::new(ErrorClass::WrongState, format!("backup {id} is in use by job {user}"))
            .hint("Wait for the job with walwarden.wait_for(), or stop it with walwarden.cancel()."));
    }
    if backup::is_newest_good(id)? {
        pgrx::warning!(
            "backup {id} is the newest good one of this database: what has changed since the one before it would be lost with the database"
        );
    }
    if !job::expire(id, reason, &server::session_user())? {
        return Err(Error::new(ErrorClass::WrongState, format!("backup {id} is being deleted already")));
    }
    start::start_cleaner_at_commit();
    Ok(())
}

/// An address from which anybody can fetch the archive for a while.
#[pg_extern(sql = false)]
pub fn download_url(
    job: Option<pgrx::Uuid>,
    expires: Option<Interval>,
    storage: Option<Text>,
) -> Result<Text, ErrorReport> {
    let sign = || {
        let (job, expires) = (required("job", job)?, duration(required("expires", expires)?)?);
        let found = backup::find(to_core(job), storage.as_ref().map(|text| text.0.as_str()))?;
        let key = manifest::parse(&found.manifest)?.archive.key;
        let store = open_stored(&found.storage.url, &found.storage.options)?;
        Io::start_in_session()?.run(async move { store.download_url(&key, expires).await })
    };
    sign().map(|url| Text::from(url.expose())).map_err(report)
}
