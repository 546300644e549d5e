//! `walwarden.storage`: where backups go.

use crate::catalog::backup_copy;
use crate::pg::sql;
use walwarden_core::{Error, ErrorClass, Result};

/// A row, not yet parsed: what was valid when it was added may need another look in a newer version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Storage {
    /// Its name.
    pub name: String,
    /// Its URL.
    pub url: String,
    /// Its options, JSON text.
    pub options: String,
}

/// The storage with this name.
pub fn find(name: &str) -> Result<Storage> {
    let row = sql::query_one(
        "SELECT name, url, options::text FROM walwarden.storage WHERE name = $1",
        &[Some(name)],
    )?
    .ok_or_else(|| unknown(name))?;
    Ok(Storage { name: row.text(0)?, url: row.text(1)?, options: row.text(2)? })
}

/// Every storage with the size of the newest backup in it, if that is one of the thousand newest.
pub fn with_newest_backup() -> Result<Vec<(Storage, Option<u64>)>> {
    let rows = sql::query(
        "WITH recent AS MATERIALIZED (SELECT j.id, j.snapshot_at FROM walwarden.job AS j \
                                       WHERE j.kind = 'backup' AND j.state IN ('completed', 'partial') AND j.expires_at IS NULL \
                                       ORDER BY j.snapshot_at DESC LIMIT 1000) \
         SELECT s.name, s.url, s.options::text, newest.size_bytes FROM walwarden.storage AS s \
           LEFT JOIN LATERAL (SELECT c.size_bytes FROM recent AS r JOIN walwarden.backup_copy AS c ON c.backup = r.id \
                               WHERE c.storage = s.name AND c.state = 'stored' \
                               ORDER BY r.snapshot_at DESC LIMIT 1) AS newest ON true \
          ORDER BY s.name",
        &[],
    )?;
    rows.iter()
        .map(|row| {
            let storage = Storage { name: row.text(0)?, url: row.text(1)?, options: row.text(2)? };
            Ok((storage, row.parse_nullable(3)?))
        })
        .collect()
}

/// Add a storage that was found valid.
pub fn insert(storage: &Storage) -> Result<()> {
    let added = sql::run(
        "INSERT INTO walwarden.storage (name, url, options) VALUES ($1, $2, $3::jsonb) ON CONFLICT (name) DO NOTHING",
        &[Some(&storage.name), Some(&storage.url), Some(&storage.options)],
    )?;
    if added == 0 {
        return Err(Error::new(
            ErrorClass::AlreadyExists,
            format!("storage \"{}\" exists already", storage.name),
        )
        .hint("Change it with walwarden.alter_storage()."));
    }
    Ok(())
}

/// Change a storage to what was found valid.
pub fn update(storage: &Storage) -> Result<()> {
    sql::run(
        "UPDATE walwarden.storage SET url = $2, options = $3::jsonb WHERE name = $1",
        &[Some(&storage.name), Some(&storage.url), Some(&storage.options)],
    )?;
    Ok(())
}

/// Remove a storage that no schedule and no unfinished job uses, and what was discovered in it. What was written there stays; gives
/// how many backups of this database that is.
pub fn delete(name: &str) -> Result<u64> {
    find(name)?;
    if let Some(row) = sql::query_one(
        "SELECT name FROM walwarden.schedule WHERE definition -> 'storages' ? $1 ORDER BY name LIMIT 1",
        &[Some(name)],
    )? {
        return Err(Error::new(
            ErrorClass::WrongState,
            format!("storage \"{name}\" is used by schedule \"{}\"", row.text(0)?),
        )
        .hint("Give the schedule another storage, or remove it with walwarden.unschedule()."));
    }
    if sql::query_one(
        "SELECT id FROM walwarden.job WHERE $1 = ANY (storages) AND finalized_at IS NULL LIMIT 1",
        &[Some(name)],
    )?
    .is_some()
    {
        return Err(Error::new(
            ErrorClass::WrongState,
            format!("storage \"{name}\" is used by a job that is not done"),
        )
        .hint("Wait for the job with walwarden.wait_for(), or stop it with walwarden.cancel()."));
    }
    sql::run("DELETE FROM walwarden.storage WHERE name = $1", &[Some(name)])?;
    backup_copy::forget_storage(name)
}

/// The storages in which nobody has looked for forgotten uploads for a day.
pub fn due_for_sweep() -> Result<Vec<String>> {
    sql::query(
        "SELECT name FROM walwarden.storage \
         WHERE swept_at IS NULL OR swept_at < pg_catalog.clock_timestamp() - interval '1 day' \
            OR swept_at > pg_catalog.clock_timestamp() ORDER BY name",
        &[],
    )?
    .iter()
    .map(|row| row.text(0))
    .collect()
}

/// Somebody has looked, whatever came of it.
pub fn note_swept(name: &str) -> Result<()> {
    sql::run(
        "UPDATE walwarden.storage SET swept_at = pg_catalog.clock_timestamp() WHERE name = $1",
        &[Some(name)],
    )?;
    Ok(())
}

fn unknown(name: &str) -> Error {
    Error::new(ErrorClass::NotFound, format!("storage \"{name}\" does not exist"))
        .hint("See walwarden.storages, or add one with walwarden.add_storage().")
}
