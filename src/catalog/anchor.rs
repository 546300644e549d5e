//! `walwarden.anchor` and `walwarden.audit_fork`: what the storages have of the audit chain.

use crate::catalog::storage::Storage;
use crate::pg::{clock, server, sql};
use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use walwarden_core::audit::anchoring::Lost;
use walwarden_core::{Error, Result};

/// A storage and what it is known to have.
#[derive(Debug, Clone)]
pub struct Anchored {
    /// The storage.
    pub storage: Storage,
    /// Epoch and size of its newest checkpoint.
    pub newest: Option<(u64, u64)>,
    /// The last entry that it has.
    pub exported_to: u64,
    /// The timeline of the server when the chain was last compared with it.
    pub timeline: Option<u32>,
    /// How often it was tried in vain.
    pub tries: u32,
}

/// Which storages are anchored at all: those that have backups of this database, and those that were anchored once.
const USED: &str = "(a.size IS NOT NULL OR EXISTS (SELECT FROM walwarden.backup_copy AS c \
                                                    WHERE c.storage = s.name AND c.state IN ('stored', 'retained_by_lock')))";

/// Whether a storage is due: it has no checkpoint, none since a backup was completed, none for a day, or was not compared with since
/// the server came to another timeline; and it is not to be left alone after a failure. A clock that was set back makes it due.
fn due_condition() -> String {
    format!(
        "(CASE WHEN a.try_again_at IS NOT NULL THEN a.try_again_at <= pg_catalog.clock_timestamp() \
               ELSE a.anchored_at IS NULL OR a.timeline IS DISTINCT FROM {}::bigint \
                    OR a.anchored_at <= pg_catalog.clock_timestamp() - interval '1 day' \
                    OR a.anchored_at > pg_catalog.clock_timestamp() \
                    OR EXISTS (SELECT FROM walwarden.job AS j \
                                WHERE j.finalized_at >= a.anchored_at AND j.kind IN ('backup', 'copy') \
                                  AND j.state IN ('completed', 'partial')) END)",
        server::timeline()
    )
}

/// The storages that are due.
pub fn due() -> Result<Vec<Anchored>> {
    // While a fork is open nothing is signed.
    select(
        &format!(
            "WHERE {USED} AND {} AND NOT EXISTS (SELECT FROM walwarden.audit_fork) ORDER BY s.name",
            due_condition()
        ),
        &[],
    )
}

/// One storage.
pub fn find(name: &str) -> Result<Option<Anchored>> {
    let found = select("WHERE s.name = $1", &[Some(name)])?;
    Ok(found.into_iter().next())
}

/// Every storage that may have checkpoints.
pub fn all() -> Result<Vec<Anchored>> {
    select(&format!("WHERE {USED} ORDER BY s.name"), &[])
}

fn select(conditions: &str, parameters: &[Option<&str>]) -> Result<Vec<Anchored>> {
    sql::query(
        &format!(
            "SELECT s.name, s.url, s.options::text, a.epoch, a.size, coalesce(a.exported_to, 0), coalesce(a.tries, 0), a.timeline \
               FROM walwarden.storage AS s LEFT JOIN walwarden.anchor AS a ON a.storage = s.name {conditions}"
        ),
        parameters,
    )?
    .iter()
    .map(|row| {
        Ok(Anchored {
            storage: Storage { name: row.text(0)?, url: row.text(1)?, options: row.text(2)? },
            newest: row.parse_nullable(3)?.zip(row.parse_nullable(4)?),
            exported_to: row.parse(5)?,
            tries: row.parse(6)?,
            timeline: row.parse_nullable(7)?,
        })
    })
    .collect()
}

/// When a storage is due next, long ago if one is; None when none is used.
pub fn next_due() -> Result<Option<DateTime<Utc>>> {
    let row = sql::query_one(
        &format!(
            "SELECT (extract(epoch FROM pg_catalog.min(CASE WHEN {} THEN 'epoch'::timestamptz \
                                                            ELSE coalesce(a.try_again_at, a.anchored_at + interval '1 day') END)) \
                     * 1000000)::bigint \
               FROM walwarden.storage AS s LEFT JOIN walwarden.anchor AS a ON a.storage = s.name \
              WHERE {USED} AND NOT EXISTS (SELECT FROM walwarden.audit_fork)",
            due_condition()
        ),
        &[],
    )?;
    row.map_or(Ok(None), |row| row.time_nullable(0))
}

/// The chain was compared with the storage on this timeline.
pub fn note_compared(storage: &str, timeline: u32) -> Result<()> {
    sql::run(
        "INSERT INTO walwarden.anchor (storage, timeline) VALUES ($1, $2::bigint) \
         ON CONFLICT (storage) DO UPDATE SET timeline = EXCLUDED.timeline",
        &[Some(storage), Some(&timeline.to_string())],
    )?;
    Ok(())
}

/// Entries up to this one are in the storage.
pub fn note_exported(storage: &str, to: u64) -> Result<()> {
    sql::run(
        "INSERT INTO walwarden.anchor (storage, exported_to) VALUES ($1, $2::bigint) \
         ON CONFLICT (storage) DO UPDATE SET exported_to = EXCLUDED.exported_to",
        &[Some(storage), Some(&to.to_string())],
    )?;
    Ok(())
}

/// Entries from this one on are others than were exported.
pub fn export_again_from(first: u64) -> Result<()> {
    sql::run(
        "UPDATE walwarden.anchor SET exported_to = $1::bigint - 1 WHERE exported_to >= $1::bigint",
        &[Some(&first.to_string())],
    )?;
    Ok(())
}

/// A checkpoint is in the storage, over what was there at that time.
pub fn note_anchored(storage: &str, epoch: u64, size: u64, as_of: DateTime<Utc>) -> Result<()> {
    sql::run(
        "INSERT INTO walwarden.anchor (storage, epoch, size, anchored_at) \
         VALUES ($1, $2::bigint, $3::bigint, $4::timestamptz) \
         ON CONFLICT (storage) DO UPDATE SET epoch = EXCLUDED.epoch, size = EXCLUDED.size, anchored_at = EXCLUDED.anchored_at, \
         tries = 0, try_again_at = NULL, error_class = NULL, error_message = NULL, error_detail = NULL, error_hint = NULL",
        &[Some(storage), Some(&epoch.to_string()), Some(&size.to_string()), Some(&clock::to_text(as_of))],
    )?;
    Ok(())
}

/// It could not be anchored now.
pub fn note_failed(storage: &str, error: &Error, try_again_at: DateTime<Utc>) -> Result<()> {
    sql::run(
        "INSERT INTO walwarden.anchor (storage, tries, try_again_at, error_class, error_message, error_detail, error_hint) \
         VALUES ($1, 1, $2::timestamptz, $3, $4, $5, $6) \
         ON CONFLICT (storage) DO UPDATE SET tries = walwarden.anchor.tries + 1, try_again_at = EXCLUDED.try_again_at, \
         error_class = EXCLUDED.error_class, error_message = EXCLUDED.error_message, error_detail = EXCLUDED.error_detail, \
         error_hint = EXCLUDED.error_hint",
        &[
            Some(storage),
            Some(&clock::to_text(try_again_at)),
            Some(error.class.name()),
            Some(&error.message),
            error.detail.as_deref(),
            error.hint.as_deref(),
        ],
    )?;
    Ok(())
}

/// What was known of the storages was of another identity of this database.
pub fn forget_all() -> Result<()> {
    sql::run("DELETE FROM walwarden.anchor", &[])?;
    sql::run("DELETE FROM walwarden.audit_fork", &[])?;
    Ok(())
}

/// A storage's checkpoints that the chain does not continue.
#[derive(Debug, Clone)]
pub struct Fork {
    /// The storage.
    pub storage: String,
    /// What of them is not in the chain.
    pub lost: Lost,
    /// The newest of them.
    pub note: String,
}

impl Fork {
    /// As it stands in the entries and alerts that tell it.
    pub fn to_detail(&self) -> Map<String, Value> {
        let mut detail = self.lost.to_detail();
        detail.insert("storage".to_owned(), self.storage.as_str().into());
        detail.insert("checkpoint".to_owned(), self.note.as_str().into());
        detail
    }
}

/// The forks that nobody has settled.
pub fn forks() -> Result<Vec<Fork>> {
    sql::query(
        "SELECT storage, from_epoch, to_epoch, first_entry, last_entry, note FROM walwarden.audit_fork ORDER BY storage",
        &[],
    )?
    .iter()
    .map(|row| {
        let lost = Lost { from_epoch: row.parse(1)?, to_epoch: row.parse(2)?, first: row.parse(3)?, last: row.parse(4)? };
        Ok(Fork { storage: row.text(0)?, lost, note: row.text(5)? })
    })
    .collect()
}

/// Note one; true if it was not known.
pub fn note_fork(fork: &Fork) -> Result<bool> {
    let Lost { from_epoch, to_epoch, first, last } = fork.lost;
    let numbers = [from_epoch, to_epoch, first, last].map(|number| number.to_string());
    let [from_epoch, to_epoch, first, last] = numbers.each_ref().map(|number| Some(number.as_str()));
    let added = sql::run(
        "INSERT INTO walwarden.audit_fork (storage, from_epoch, to_epoch, first_entry, last_entry, note) \
         VALUES ($1, $2::bigint, $3::bigint, $4::bigint, $5::bigint, $6) ON CONFLICT (storage) DO NOTHING",
        &[Some(&fork.storage), from_epoch, to_epoch, first, last, Some(&fork.note)],
    )?;
    Ok(added > 0)
}

/// They are settled.
pub fn forget_forks() -> Result<()> {
    sql::run("DELETE FROM walwarden.audit_fork", &[])?;
    Ok(())
}
