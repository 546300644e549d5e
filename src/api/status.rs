//! What the views ask that no table can answer.

use crate::catalog::database;
use crate::error::report;
use crate::pg::text::Text;
use crate::pg::{locks, server, shared};
use crate::worker::progress;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use walwarden_core::Result as CoreResult;
use walwarden_core::job::{JobKind, Trigger, waits_for_slot};
use walwarden_core::progress::bar;
use walwarden_core::release;

/// Whether schedules fire, and if not, why: running, not preloaded, off, stopped, standby, suspended.
#[pg_extern(sql = false)]
pub fn _scheduler_state() -> Result<Text, ErrorReport> {
    let state = if server::in_recovery() {
        "standby"
    } else if !shared::available() {
        "not preloaded"
    } else if !crate::guc::ENABLED.get() {
        "off"
    } else if !database::identity().map_err(report)?.is_of_this_database() {
        "suspended"
    } else if shared::launcher().is_none() {
        "stopped"
    } else {
        "running"
    };
    Ok(Text::from(state))
}

/// The version of the library that this session has loaded.
#[pg_extern(sql = false)]
pub fn library_version() -> &'static str {
    release::VERSION
}

/// What a queued job waits for: turn, slot, worker; NULL when for nothing that is known.
#[pg_extern(sql = false)]
pub fn _waiting_for(kind: Text, trigger: Text) -> Result<Option<Text>, ErrorReport> {
    waiting_for(&kind.0, &trigger.0).map(|reason| reason.map(Text::from)).map_err(report)
}

fn waiting_for(kind: &str, trigger: &str) -> CoreResult<Option<&'static str>> {
    let (kind, trigger): (JobKind, Trigger) = (kind.parse()?, trigger.parse()?);
    let claimed = locks::claimed()?;
    Ok(if kind == JobKind::Backup && claimed.backup_here {
        Some("turn")
    } else if waits_for_slot(kind, trigger) && claimed.slots.len() >= crate::guc::max_concurrent_jobs() {
        Some("slot")
    } else if shared::notice().no_free_worker {
        Some("worker")
    } else {
        None
    })
}

/// How far a running backup is, by the handle in its job's row; no row when it is over.
#[pg_extern(sql = false)]
#[allow(clippy::type_complexity, reason = "the columns of a result")]
pub fn _progress(
    handle: i64,
) -> TableIterator<
    'static,
    (
        name!(phase, Text),
        name!(tables_done, i64),
        name!(tables_total, i64),
        name!(raw_bytes, i64),
        name!(estimated_bytes, i64),
        name!(stored_bytes, i64),
        name!(verified_bytes, i64),
        name!(rows, i64),
        name!(percent, i32),
        name!(bar, Text),
        name!(rate, Option<i64>),
        name!(seconds_left, Option<i64>),
        name!(first_copier, i32),
    ),
> {
    let progress = u32::try_from(handle).ok().and_then(progress::read);
    TableIterator::new(progress.into_iter().map(|p| {
        (
            Text::from(p.phase.name()),
            p.tables_done as i64,
            p.tables_total as i64,
            p.raw_bytes as i64,
            p.estimated_bytes as i64,
            p.stored_bytes as i64,
            p.verified_bytes as i64,
            p.rows as i64,
            i32::from(p.moment.percent),
            Text::from(bar(p.moment.percent).as_str()),
            p.moment.rate.map(|rate| rate as i64),
            p.moment.left.map(|left| left.as_secs() as i64),
            p.first_copier,
        )
    }))
}
