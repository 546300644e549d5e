//! The cleaner: a short-lived worker that removes from storage what lost jobs left, what has expired, and uploads that nobody knows.
//! Apart from ticks and leaders, so that a slow storage holds up no schedule and no job.

use crate::catalog::backup_copy::{self, Doomed};
use crate::catalog::job::{self, Expired};
use crate::catalog::retention::{self, WALWARDEN};
use crate::catalog::{audit, database, storage};
use crate::pg::bgworker::{self, Assignment};
use crate::pg::locks::Claim;
use crate::pg::shared::{self, Letter};
use crate::pg::transaction::transaction;
use crate::pg::{clock, interrupts};
use crate::worker::installed::is_installed;
use crate::worker::io::Io;
use crate::worker::remains::{self, Cleaned, open_stored};
use chrono::{DateTime, TimeDelta, Utc};
use std::collections::HashSet;
use std::time::Duration;
use uuid::Uuid;
use walwarden_core::{ErrorClass, Result};
use walwarden_store::{Layout, Removal, Retention};

/// An upload that nobody knows is given up when it is older: longer than any part of one takes.
const ORPHAN_AGE: Duration = Duration::from_secs(24 * 3600);
/// How long what one job left may take to be removed before it is left to the next cleaner.
const CLEAN_UP_LIMIT: Duration = Duration::from_secs(20);
/// How long a lock of which the storage does not say how long it lasts is left alone.
const ASK_LOCK_AGAIN: TimeDelta = TimeDelta::days(1);

/// Cleaners at a time in the cluster.
const MOST_CLEANERS: u32 = 2;
/// When one that found all places taken is wanted again.
const TRY_FOR_PLACE_AGAIN: TimeDelta = TimeDelta::minutes(1);

/// Main function, after the process was set up by `entry`.
pub fn main() {
    interrupts::install_orderly();
    match clean() {
        Ok(()) => {}
        Err(error) if error.class.is_request_to_stop() => {}
        Err(error) => crate::error::log(&error, "cleaner"),
    }
}

fn clean() -> Result<()> {
    let Assignment { database, .. } = bgworker::assignment()?;
    bgworker::connect(database)?;
    bgworker::settle_session()?;
    bgworker::set(c"lock_timeout", c"5s")?;
    if !is_installed()? || !Claim::Cleaner.try_take()? {
        return Ok(());
    }
    // Hundreds of databases may have something to clean up at once, and jobs need workers, too.
    if !Claim::try_take_one(MOST_CLEANERS, Claim::Cleaning)? {
        let later = clock::now() + TRY_FOR_PLACE_AGAIN;
        shared::post(Letter { database, due: Some(later.timestamp_micros()), ..Letter::default() });
        return Ok(());
    }
    let id = transaction(|| {
        let identity = database::identity()?;
        identity.require_this_database()?;
        Ok(identity.id)
    })?;
    let io = Io::start()?;
    clean_up_remains(&io)?;
    for expired in transaction(job::expired)? {
        delete(&io, id, &expired)?;
    }
    for name in transaction(storage::due_for_sweep)? {
        let swept = sweep(&io, id, &name);
        go_on(swept, &format!("looking for uploads in storage \"{name}\""))?;
        transaction(|| storage::note_swept(&name))?;
    }
    Claim::Cleaner.release()
}

/// What lost jobs left. A storage that does not answer is asked once.
fn clean_up_remains(io: &Io) -> Result<()> {
    let mut silent = HashSet::new();
    for one in transaction(backup_copy::with_remains)? {
        if silent.contains(&one.storage) {
            continue;
        }
        match remains::clean_up_lost(io, &one, CLEAN_UP_LIMIT) {
            Ok(Cleaned::Removed) => transaction(|| backup_copy::clear_remains(one.backup, &one.storage))?,
            Ok(Cleaned::Proven) => {
                pgrx::log!(
                    "walwarden: job {} was lost, but its backup is complete in storage and stays",
                    one.backup
                );
                transaction(|| backup_copy::clear_remains(one.backup, &one.storage))?;
            }
            // This server may be a copy of the one that runs the job: a later cleaner decides.
            Ok(Cleaned::NotYet) => {}
            Err(error) => {
                if error.class == ErrorClass::StorageUnreachable {
                    silent.insert(one.storage);
                }
                go_on(Err(error), &format!("job {}: cleaning up after it", one.backup))?;
            }
        }
    }
    Ok(())
}

/// Only to be told to stop ends the cleaner; all else is logged, and tried again later.
fn go_on(outcome: Result<()>, doing: &str) -> Result<()> {
    match outcome {
        Err(error) if !error.class.is_request_to_stop() => {
            crate::error::log(&error, doing);
            Ok(())
        }
        outcome => outcome,
    }
}

fn delete(io: &Io, database: Uuid, expired: &Expired) -> Result<()> {
    for copy in transaction(|| backup_copy::to_delete(expired.id))? {
        match delete_copy(io, database, &copy) {
            Ok(Removal::Gone) => transaction(|| backup_copy::set_deleted(expired.id, &copy.storage))?,
            Ok(Removal::Retained { until }) => transaction(|| retain(expired, &copy, until))?,
            Err(stop) if stop.class.is_request_to_stop() => {
                return Err(stop);
            }
            Err(error) => {
                crate::error::log(&error, &format!("job {}: deleting its backup", expired.id));
                let again = backup_copy::next_try(clock::now(), copy.tries);
                transaction(|| backup_copy::put_off_deletion(expired.id, &copy.storage, &error, again))?;
            }
        }
    }
    transaction(|| {
        if backup_copy::any_left(expired.id)? {
            return Ok(());
        }
        job::set_deleted(expired.id)?;
        let event = if expired.by == WALWARDEN { "backup.expired" } else { "backup.deleted" };
        audit::append(event, Some(expired.id), &expired.by, &detail(expired, &[])).map(drop)
    })
}

/// The manifest first: without it there is no backup. But before it, every object is asked for its lock: a manifest that goes while
/// its archive stays would leave what nobody can read.
fn delete_copy(io: &Io, database: Uuid, copy: &Doomed) -> Result<Removal> {
    let Some((url, options)) = &copy.place else {
        // The storage was dropped meanwhile, and its copies forgotten with it.
        return Ok(Removal::Gone);
    };
    let ours = retention::own_place(database);
    if let Some(key) = copy.keys.iter().find(|key| !key.contains(&ours)) {
        return Err(retention::not_ours(key));
    }
    let store = open_stored(url, options)?;
    let keys = copy.keys.clone();
    io.run(async move {
        for key in &keys {
            if let Some(Retention { until }) = store.retained(key).await? {
                return Ok(Removal::Retained { until });
            }
        }
        for key in &keys {
            if let Removal::Retained { until } = store.remove(key).await? {
                return Ok(Removal::Retained { until });
            }
        }
        Ok(Removal::Gone)
    })
}

fn retain(expired: &Expired, copy: &Doomed, until: Option<DateTime<Utc>>) -> Result<()> {
    let again =
        until.unwrap_or_else(|| clock::now() + ASK_LOCK_AGAIN).max(clock::now() + TimeDelta::minutes(1));
    backup_copy::set_retained(expired.id, &copy.storage, until, again)?;
    if copy.was_retained {
        return Ok(());
    }
    let until = until.map(clock::to_text).unwrap_or_default();
    let detail = detail(expired, &[("storage", &copy.storage), ("until", &until)]);
    audit::append("backup.retained", Some(expired.id), &expired.by, &detail).map(drop)
}

fn detail(expired: &Expired, more: &[(&str, &str)]) -> String {
    let mut detail = serde_json::Map::new();
    detail.insert("reason".to_owned(), expired.reason.clone().into());
    for (name, value) in more.iter().filter(|(_, value)| !value.is_empty()) {
        detail.insert((*name).to_owned(), (*value).into());
    }
    serde_json::Value::Object(detail).to_string()
}

/// Give up the uploads below our own folder that no job knows and that are old.
fn sweep(io: &Io, database: Uuid, name: &str) -> Result<()> {
    let (place, known) = transaction(|| Ok((storage::find(name)?, backup_copy::known_uploads()?)))?;
    let folder = Layout::new(&crate::guc::organization(), database)?.folder();
    let store = open_stored(&place.url, &place.options)?;
    let known: HashSet<String> = known.into_iter().collect();
    let aborted = io.run(async move { store.abort_orphans(&folder, &known, ORPHAN_AGE).await })?;
    if aborted.is_empty() {
        return Ok(());
    }
    let detail = serde_json::json!({ "storage": name, "count": aborted.len() });
    transaction(|| {
        audit::append("storage.uploads_aborted", None, &audit::actor(), &detail.to_string()).map(drop)
    })
}
