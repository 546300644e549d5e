//! What nobody asks about: the room that storages in folders have, once an hour, and the newest entries of the audit chain,
//! once a day. A tick makes these rounds; what is wrong becomes an alert.

use crate::catalog::notification::{Alert, alert};
use crate::catalog::storage::Storage;
use crate::catalog::watch::{self, Round};
use crate::catalog::{audit, storage};
use crate::worker::installed::while_installed;
use crate::worker::io::Io;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use std::time::Duration;
use walwarden_alert::Severity;
use walwarden_core::capacity::Space;
use walwarden_core::{Error, Result};
use walwarden_store::Location;

/// How often the room of storages is looked at.
const STORAGES_EVERY: TimeDelta = TimeDelta::hours(1);
/// How often the audit chain is.
const AUDIT_EVERY: TimeDelta = TimeDelta::days(1);
/// How long a file system may take to say what is free: one of a network may never.
const STATVFS: Duration = Duration::from_secs(5);
/// How many of the newest entries are checked: a fraction of a second.
const ENTRIES: u64 = 10_000;

/// Make the rounds that are due; gives when the next one is. What goes wrong with a round is logged: it is made again when
/// it is due again.
pub fn make_rounds(now: DateTime<Utc>) -> Result<DateTime<Utc>> {
    let storages = due(Round::Storages, STORAGES_EVERY, now)?;
    let audit = due(Round::Audit, AUDIT_EVERY, now)?;
    for (round, is_due, look) in [
        (Round::Storages, storages <= now, look_at_storages as fn() -> Result<()>),
        (Round::Audit, audit <= now, look_at_audit),
    ] {
        if is_due {
            // Before the look: one that brings the process down must not be tried at every tick.
            while_installed(|| watch::note(round, now))?;
            if let Err(error) = look() {
                crate::pg::interrupts::check()?;
                crate::error::log(&error, "rounds");
            }
        }
    }
    let next = |at: DateTime<Utc>, every: TimeDelta| if at <= now { now + every } else { at };
    Ok(next(storages, STORAGES_EVERY).min(next(audit, AUDIT_EVERY)))
}

fn due(round: Round, every: TimeDelta, now: DateTime<Utc>) -> Result<DateTime<Utc>> {
    let last = while_installed(|| watch::last(round))?.flatten();
    // After a clock that was ahead was put right, the last time lies in the future.
    Ok(last.filter(|last| *last <= now).map_or(now, |last| last + every))
}

fn look_at_storages() -> Result<()> {
    let storages = while_installed(storage::with_newest_backup)?.unwrap_or_default();
    let io = Io::start()?;
    for (storage, newest) in storages {
        match space(&io, &storage) {
            Ok(Some(space)) => {
                while_installed(|| tell_shortage(&storage.name, space, newest))?;
            }
            Ok(None) => {}
            Err(error) => crate::error::log(&error, &format!("storage \"{}\"", storage.name)),
        }
    }
    Ok(())
}

fn space(io: &Io, storage: &Storage) -> Result<Option<Space>> {
    let location = Location::parse(&storage.url)?;
    if !matches!(location, Location::File { .. }) {
        return Ok(None);
    }
    io.run_within(STATVFS, async move {
        tokio::task::spawn_blocking(move || location.space())
            .await
            .unwrap_or_else(|_| Err(Error::internal("a storage thread panicked")))
    })
}

fn tell_shortage(storage: &str, space: Space, newest: Option<u64>) -> Result<()> {
    let Some(shortage) = space.shortage(newest) else { return watch::forget_shortage(storage) };
    if !watch::note_shortage(storage)? {
        return Ok(());
    }
    alert(&Alert {
        event: "storage.nearly_full",
        schedule: None,
        severity: Severity::Warning,
        message: &format!("storage \"{storage}\" is nearly full: {shortage}"),
        detail: json!({ "storage": storage, "free_bytes": space.free, "total_bytes": space.total, "newest_backup_bytes": newest }),
    })
}

fn look_at_audit() -> Result<()> {
    while_installed(|| {
        let report = audit::verify_newest(ENTRIES)?;
        watch::note_problems(report.problems.len())?;
        let Some(first) = report.problems.first() else { return Ok(()) };
        let count = report.problems.len();
        alert(&Alert {
            event: "audit.problem",
            schedule: None,
            severity: Severity::Critical,
            message: &format!("the audit chain does not hold: entry {}: {}", first.seq, first.kind),
            detail: json!({ "entry": first.seq, "problems": count, "entries_checked": report.rows }),
        })
    })
    .map(drop)
}
