//! `walwarden.backup_copy`: what each storage has of each backup.

use crate::pg::{clock, sql};
use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;
use walwarden_core::{Error, Result};

/// A copy that is in storage.
#[derive(Debug, Clone)]
pub struct StoredCopy<'a> {
    /// Key of the archive.
    pub archive: &'a str,
    /// Key of the globals.
    pub globals: Option<&'a str>,
    /// Key of the manifest.
    pub manifest: &'a str,
    /// Bytes of the archive as it is stored.
    pub size: u64,
}

/// What was left behind in a storage.
#[derive(Debug, Clone)]
pub struct Remains {
    /// The backup it was to be a copy of.
    pub backup: Uuid,
    /// The storage.
    pub storage: String,
    /// Where it is, JSON text (see `worker::remains`).
    pub cleanup: String,
    /// A multipart upload that was begun.
    pub upload_id: Option<String>,
    /// Whether its job had come to the step that ends with the manifest.
    pub finalizing: bool,
}

/// A copy is about to be written: what will have to be cleaned up if it is not completed is noted before the first byte.
pub fn begin(backup: Uuid, storage: &str, made_by: Uuid, cleanup: &str) -> Result<()> {
    sql::run(
        "INSERT INTO walwarden.backup_copy (backup, storage, state, made_by, cleanup) \
         VALUES ($1::uuid, $2, 'writing', $3::uuid, $4::jsonb) \
         ON CONFLICT (backup, storage) DO UPDATE SET state = 'writing', made_by = EXCLUDED.made_by, \
         cleanup = EXCLUDED.cleanup, upload_id = NULL, error_class = NULL, error_message = NULL, error_detail = NULL, \
         error_hint = NULL, try_again_at = NULL, retained_until = NULL, deleted_at = NULL",
        &[Some(&backup.to_string()), Some(storage), Some(&made_by.to_string()), Some(cleanup)],
    )?;
    Ok(())
}

/// The upload that was begun for it.
pub fn set_upload(backup: Uuid, storage: &str, upload_id: &str) -> Result<()> {
    change(backup, storage, "upload_id = $3", &[Some(upload_id)])
}

/// It was proven.
pub fn set_stored(backup: Uuid, storage: &str, copy: &StoredCopy<'_>) -> Result<()> {
    change(
        backup,
        storage,
        "state = 'stored', stored_at = pg_catalog.clock_timestamp(), object_key = $3, globals_key = $4, \
         manifest_key = $5, size_bytes = $6::bigint, cleanup = NULL, upload_id = NULL, tries = 0, try_again_at = NULL",
        &[Some(copy.archive), copy.globals, Some(copy.manifest), Some(&copy.size.to_string())],
    )
}

/// It could not be written while other storages have the backup: it is made from them later. What it left may still have to be
/// cleaned up.
pub fn set_missing(backup: Uuid, storage: &str, error: &Error, try_again_at: DateTime<Utc>) -> Result<()> {
    note_failure(backup, storage, "state = 'missing'", error, try_again_at)
}

/// What a job did not complete failed with it: of a backup nothing is anywhere; a later copy is still missing.
pub fn fail_unfinished_of(job: Uuid, error: &Error) -> Result<()> {
    let unfinished = sql::query(
        "UPDATE walwarden.backup_copy SET state = 'failed', error_class = $2, error_message = $3, error_detail = $4, \
         error_hint = $5, try_again_at = NULL WHERE made_by = $1::uuid AND state IN ('writing', 'missing') \
         RETURNING backup, storage, tries",
        &[
            Some(&job.to_string()),
            Some(error.class.name()),
            Some(&error.message),
            error.detail.as_deref(),
            error.hint.as_deref(),
        ],
    )?;
    for row in unfinished {
        let backup: Uuid = row.parse(0)?;
        if backup != job {
            set_missing(backup, &row.text(1)?, error, next_try(clock::now(), row.parse(2)?))?;
        }
    }
    Ok(())
}

/// What a storage has of a backup, if it ever was to have any.
pub fn state(backup: Uuid, storage: &str) -> Result<Option<String>> {
    let row = sql::query_one(
        "SELECT state FROM walwarden.backup_copy WHERE backup = $1::uuid AND storage = $2",
        &[Some(&backup.to_string()), Some(storage)],
    )?;
    row.map(|row| row.text(0)).transpose()
}

/// A copy that is to be deleted.
#[derive(Debug, Clone)]
pub struct Doomed {
    /// Its storage.
    pub storage: String,
    /// URL and options of the storage; None when it is not known any more.
    pub place: Option<(String, String)>,
    /// Every key of it, the manifest first.
    pub keys: Vec<String>,
    /// Whether a lock was met before.
    pub was_retained: bool,
    /// How often it was tried in vain.
    pub tries: u32,
}

/// The copies of an expired backup whose deletion is due. What was never made needs none.
pub fn to_delete(backup: Uuid) -> Result<Vec<Doomed>> {
    sql::run(
        "UPDATE walwarden.backup_copy SET state = 'deleted', deleted_at = pg_catalog.clock_timestamp(), try_again_at = NULL \
         WHERE backup = $1::uuid AND state = 'missing'",
        &[Some(&backup.to_string())],
    )?;
    sql::query(
        "SELECT c.storage, s.url, s.options::text, c.manifest_key, c.globals_key, c.object_key, \
                c.state = 'retained_by_lock', c.tries \
           FROM walwarden.backup_copy AS c LEFT JOIN walwarden.storage AS s ON s.name = c.storage \
          WHERE c.backup = $1::uuid AND c.state IN ('stored', 'retained_by_lock') \
            AND (c.try_again_at IS NULL OR c.try_again_at <= pg_catalog.clock_timestamp()) ORDER BY c.storage",
        &[Some(&backup.to_string())],
    )?
    .iter()
    .map(|row| {
        let manifest = row.text(3)?;
        let signature = format!("{manifest}.sig");
        let keys = [Some(manifest), Some(signature), row.get(4).map(str::to_owned), row.get(5).map(str::to_owned)];
        Ok(Doomed {
            storage: row.text(0)?,
            place: row.get(1).zip(row.get(2)).map(|(url, options)| (url.to_owned(), options.to_owned())),
            keys: keys.into_iter().flatten().collect(),
            was_retained: row.flag(6)?,
            tries: row.parse(7)?,
        })
    })
    .collect()
}

/// Whether anything of a backup is still in a storage that is known.
pub fn any_left(backup: Uuid) -> Result<bool> {
    let row = sql::query_one(
        "SELECT EXISTS (SELECT FROM walwarden.backup_copy \
                         WHERE backup = $1::uuid AND state IN ('writing', 'stored', 'retained_by_lock'))",
        &[Some(&backup.to_string())],
    )?;
    row.map_or(Ok(false), |row| row.flag(0))
}

/// Its objects are gone.
pub fn set_deleted(backup: Uuid, storage: &str) -> Result<()> {
    change(
        backup,
        storage,
        "state = 'deleted', deleted_at = pg_catalog.clock_timestamp(), try_again_at = NULL, retained_until = NULL",
        &[],
    )
}

/// The storage refuses to delete it, until then as far as it says.
pub fn set_retained(
    backup: Uuid,
    storage: &str,
    until: Option<DateTime<Utc>>,
    try_again_at: DateTime<Utc>,
) -> Result<()> {
    change(
        backup,
        storage,
        "state = 'retained_by_lock', retained_until = $3::timestamptz, try_again_at = $4::timestamptz",
        &[until.map(clock::to_text).as_deref(), Some(&clock::to_text(try_again_at))],
    )
}

/// It could not be deleted now.
pub fn put_off_deletion(
    backup: Uuid,
    storage: &str,
    error: &Error,
    try_again_at: DateTime<Utc>,
) -> Result<()> {
    note_failure(backup, storage, "state = state", error, try_again_at)
}

fn note_failure(
    backup: Uuid,
    storage: &str,
    state: &str,
    error: &Error,
    try_again_at: DateTime<Utc>,
) -> Result<()> {
    let assignments = format!(
        "{state}, error_class = $3, error_message = $4, error_detail = $5, error_hint = $6, tries = tries + 1, \
         try_again_at = $7::timestamptz"
    );
    change(
        backup,
        storage,
        &assignments,
        &[
            Some(error.class.name()),
            Some(&error.message),
            error.detail.as_deref(),
            error.hint.as_deref(),
            Some(&clock::to_text(try_again_at)),
        ],
    )
}

/// The ids of all uploads that a job of this database may still be writing or that are noted for clean-up.
pub fn known_uploads() -> Result<Vec<String>> {
    sql::query(
        "SELECT upload_id FROM walwarden.backup_copy WHERE cleanup IS NOT NULL AND upload_id IS NOT NULL",
        &[],
    )?
    .iter()
    .map(|row| row.text(0))
    .collect()
}

/// The copies that are to be made now, and the schedules of their backups.
pub fn due_to_be_made() -> Result<Vec<(Uuid, String, Option<String>)>> {
    sql::query(
        "SELECT c.backup, c.storage, j.schedule FROM walwarden.backup_copy AS c \
           JOIN walwarden.job AS j ON j.id = c.backup JOIN walwarden.storage AS s ON s.name = c.storage \
          WHERE c.try_again_at <= pg_catalog.clock_timestamp() AND c.state = 'missing' AND j.finalized_at IS NOT NULL \
            AND j.expires_at IS NULL \
            AND NOT EXISTS (SELECT FROM walwarden.job AS k \
                             WHERE k.backup = c.backup AND k.kind = 'copy' AND k.storages[1] = c.storage \
                               AND k.finalized_at IS NULL) \
          ORDER BY c.backup, c.storage",
        &[],
    )?
    .iter()
    .map(|row| Ok((row.parse(0)?, row.text(1)?, row.get(2).map(str::to_owned))))
    .collect()
}

/// When something is to be tried again, if anything is: now at the earliest.
pub fn next_try_at() -> Result<Option<DateTime<Utc>>> {
    let row = sql::query_one(
        "SELECT (extract(epoch FROM pg_catalog.min(try_again_at)) * 1000000)::bigint FROM walwarden.backup_copy \
         WHERE try_again_at IS NOT NULL",
        &[],
    )?;
    row.map_or(Ok(None), |row| row.time_nullable(0))
}

/// When a storage is asked again after so many tries in vain: five minutes, doubled each time, six hours at most.
pub fn next_try(now: DateTime<Utc>, tries: u32) -> DateTime<Utc> {
    now + TimeDelta::minutes((5_i64 << tries.min(10)).min(360))
}

/// Nothing is left of it to clean up.
pub fn clear_remains(backup: Uuid, storage: &str) -> Result<()> {
    change(backup, storage, "cleanup = NULL, upload_id = NULL", &[])
}

/// Nothing is left to clean up of whatever a job wrote.
pub fn clear_remains_of(job: Uuid) -> Result<()> {
    sql::run(
        "UPDATE walwarden.backup_copy SET cleanup = NULL, upload_id = NULL \
         WHERE made_by = $1::uuid AND cleanup IS NOT NULL",
        &[Some(&job.to_string())],
    )?;
    Ok(())
}

/// What ended jobs have left behind.
pub fn with_remains() -> Result<Vec<Remains>> {
    sql::query(
        "SELECT c.backup, c.storage, c.cleanup::text, c.upload_id, j.finalizing_at IS NOT NULL \
           FROM walwarden.backup_copy AS c JOIN walwarden.job AS j ON j.id = c.made_by \
          WHERE c.cleanup IS NOT NULL AND j.finalized_at IS NOT NULL ORDER BY c.backup, c.storage",
        &[],
    )?
    .iter()
    .map(|row| {
        Ok(Remains {
            backup: row.parse(0)?,
            storage: row.text(1)?,
            cleanup: row.text(2)?,
            upload_id: row.get(3).map(str::to_owned),
            finalizing: row.flag(4)?,
        })
    })
    .collect()
}

/// A storage is not known here any more: what it has cannot be reached.
pub fn forget_storage(storage: &str) -> Result<u64> {
    sql::run(
        "UPDATE walwarden.backup_copy SET state = 'forgotten', try_again_at = NULL \
         WHERE storage = $1 AND state IN ('stored', 'missing', 'retained_by_lock')",
        &[Some(storage)],
    )
}

fn change(backup: Uuid, storage: &str, assignments: &str, parameters: &[Option<&str>]) -> Result<()> {
    let statement =
        format!("UPDATE walwarden.backup_copy SET {assignments} WHERE backup = $1::uuid AND storage = $2");
    let backup_text = backup.to_string();
    let mut all = vec![Some(backup_text.as_str()), Some(storage)];
    all.extend_from_slice(parameters);
    match sql::run(&statement, &all)? {
        1 => Ok(()),
        _ => Err(Error::internal(format!("backup {backup} has no copy in storage \"{storage}\""))),
    }
}
