//! Backups: those that jobs of this database completed, as `walwarden.job` and `walwarden.manifest` have them, and those that
//! were discovered in storage.

use crate::catalog::discovered;
use crate::catalog::storage::{self, Storage};
use crate::pg::{server, sql};
use uuid::Uuid;
use walwarden_core::job::{JobKind, JobState};
use walwarden_core::manifest::{self, Manifest, ServerVersion};
use walwarden_core::{Error, ErrorClass, Result};

/// A backup whose objects are in storage.
#[derive(Debug, Clone)]
pub struct Backup {
    /// Where it is.
    pub storage: Storage,
    /// The manifest's key there.
    pub manifest_key: String,
    /// The manifest as it was signed.
    pub manifest: Vec<u8>,
    /// The key, PEM, by which it is believed: the one that it was discovered with, or of one of this database's own, the one that
    /// its manifest names. None where the database does not know that.
    pub public_key: Option<String>,
    /// Whether it was discovered, and is none that this database made.
    pub is_discovered: bool,
}

/// The backup that a job made, in this database or elsewhere: as this storage has it, or else the first of its storages whose
/// copy is not known to be damaged.
///
/// # Errors
/// `NotFound` for a job that does not exist; `WrongState` for one that is no proven backup, whose backup was deleted, or that the
/// storage does not have.
pub fn find(job: Uuid, storage: Option<&str>) -> Result<Backup> {
    match find_own(job, storage) {
        // A job that failed here may have left a backup all the same, if the server was set back in time since.
        Err(error) if matches!(error.class, ErrorClass::NotFound | ErrorClass::WrongState) => {
            let discovered = discovered::find(job)?;
            discovered.filter(|found| storage.is_none_or(|name| name == found.storage.name)).ok_or(error)
        }
        found => found,
    }
}

/// The backup that a job of this database made.
fn find_own(job: Uuid, storage: Option<&str>) -> Result<Backup> {
    let row = sql::query_one(
        "SELECT kind, state, expires_at IS NOT NULL FROM walwarden.job WHERE id = $1::uuid",
        &[Some(&job.to_string())],
    )?
    .ok_or_else(|| {
        Error::new(ErrorClass::NotFound, format!("job {job} does not exist"))
            .hint("See walwarden.backups and walwarden.discovered_backups.")
    })?;
    let (kind, state): (JobKind, JobState) = (row.parse(0)?, row.parse(1)?);
    let no_backup = |why: String| {
        Error::new(ErrorClass::WrongState, format!("job {job} has no backup in storage"))
            .detail(why)
            .hint("See walwarden.backups.")
    };
    if kind != JobKind::Backup {
        return Err(no_backup(format!("It is a job of kind {kind}.")));
    }
    if !matches!(state, JobState::Completed | JobState::Partial) {
        return Err(no_backup(format!("It is {state}; only a completed backup is in storage.")));
    }
    if row.flag(2)? {
        return Err(no_backup("It was deleted from storage.".to_owned()));
    }
    let copy = sql::query_one(
        "SELECT c.storage, c.manifest_key, m.body, k.public_key \
           FROM walwarden.backup_copies AS c \
           JOIN walwarden.job AS j ON j.id = c.backup \
           JOIN walwarden.manifest AS m ON m.job_id = c.backup AND m.storage = c.storage \
           LEFT JOIN walwarden.key AS k ON k.id = m.key_id \
          WHERE c.backup = $1::uuid AND c.state = 'stored' AND ($2::text IS NULL OR c.storage = $2) \
          ORDER BY c.damage IS NOT NULL, pg_catalog.array_position(j.storages, c.storage), c.storage LIMIT 1",
        &[Some(&job.to_string()), storage],
    )?;
    let copy = copy.ok_or_else(|| match storage {
        Some(name) => {
            no_backup(format!("Storage \"{name}\" does not have it.")).hint("See walwarden.backup_copies.")
        }
        None => no_backup("No storage has it any more.".to_owned()),
    })?;
    Ok(Backup {
        storage: storage::find(&copy.text(0)?)?,
        manifest_key: copy.text(1)?,
        manifest: copy.text(2)?.into_bytes(),
        public_key: copy.get(3).map(str::to_owned),
        is_discovered: false,
    })
}

/// The same of a backup that this server can restore, with what its manifest says.
pub fn find_restorable(job: Uuid) -> Result<(Backup, Manifest)> {
    let backup = find(job, None)?;
    let manifest = manifest::parse(&backup.manifest)?;
    require_restorable(&manifest.server_version)?;
    Ok((backup, manifest))
}

/// Fails for a backup of a newer server: its archive may hold what this one does not know.
pub fn require_restorable(made_by: &ServerVersion) -> Result<()> {
    let (theirs, ours) = (made_by.number / 10_000, server::version_number() / 10_000);
    if theirs <= ours {
        return Ok(());
    }
    Err(Error::new(
        ErrorClass::WrongState,
        format!("a backup of PostgreSQL {theirs} cannot be restored into PostgreSQL {ours}"),
    )
    .hint("Restore it on a server of the same major version or a newer one."))
}

/// The job that made the newest backup of a schedule that is in storage.
pub fn newest_of(schedule: &str) -> Result<Option<Uuid>> {
    let row = sql::query_one(
        "SELECT job FROM walwarden.backups WHERE schedule = $1 ORDER BY snapshot_at DESC LIMIT 1",
        &[Some(schedule)],
    )?;
    row.map(|row| row.parse(0)).transpose()
}

/// Whether this is the backup that the recovery point is of.
pub fn is_newest_good(backup: Uuid) -> Result<bool> {
    let row = sql::query_one(
        "SELECT job = $1::uuid FROM walwarden.backups WHERE damage IS NULL ORDER BY snapshot_at DESC LIMIT 1",
        &[Some(&backup.to_string())],
    )?;
    row.map_or(Ok(false), |row| row.flag(0))
}

/// The storages that have a backup.
pub fn storages_of(backup: Uuid) -> Result<Vec<String>> {
    sql::query(
        "SELECT storage FROM walwarden.backup_copy WHERE backup = $1::uuid AND state = 'stored' ORDER BY storage",
        &[Some(&backup.to_string())],
    )?
    .iter()
    .map(|row| row.text(0))
    .collect()
}
