//! Backups: those that jobs of this database completed, as `walwarden.job` and `walwarden.manifest` have them, and those that
//! were discovered in storage.

use crate::catalog::discovered;
use crate::catalog::storage::{self, Storage};
use crate::pg::{server, sql};
use uuid::Uuid;
use walwarden_core::job::{JobKind, JobState};
use walwarden_core::manifest::{self, ServerVersion};
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
    /// The key, PEM, by which it was believed when it was discovered; None for this server's own.
    pub public_key: Option<String>,
}

/// The backup that a job made, in this database or elsewhere.
///
/// # Errors
/// `NotFound` for a job that does not exist; `WrongState` for one that is no completed backup, or whose backup was deleted.
pub fn find(job: Uuid) -> Result<Backup> {
    match find_own(job) {
        // A job that failed here may have left a backup all the same, if the server was set back in time since.
        Err(error) if matches!(error.class, ErrorClass::NotFound | ErrorClass::WrongState) => {
            discovered::find(job)?.ok_or(error)
        }
        found => found,
    }
}

/// The backup that a job of this database made.
fn find_own(job: Uuid) -> Result<Backup> {
    let row = sql::query_one(
        "SELECT j.kind, j.state, j.deleted_at IS NOT NULL, j.storage, j.manifest_key, m.body \
           FROM walwarden.job AS j LEFT JOIN walwarden.manifest AS m ON m.job_id = j.id WHERE j.id = $1::uuid",
        &[Some(&job.to_string())],
    )?
    .ok_or_else(|| {
        Error::new(ErrorClass::NotFound, format!("job {job} does not exist")).hint("See walwarden.backups and walwarden.discovered_backups.")
    })?;
    let (kind, state): (JobKind, JobState) = (row.parse(0)?, row.parse(1)?);
    let why = if kind != JobKind::Backup {
        Some(format!("It is a job of kind {kind}."))
    } else if state != JobState::Completed {
        Some(format!("It is {state}; only a completed backup is in storage."))
    } else if row.flag(2)? {
        Some("It was deleted from storage.".to_owned())
    } else {
        None
    };
    if let Some(why) = why {
        return Err(Error::new(ErrorClass::WrongState, format!("job {job} has no backup in storage"))
            .detail(why)
            .hint("See walwarden.backups."));
    }
    Ok(Backup {
        storage: storage::find(&row.text(3)?)?,
        manifest_key: row.text(4)?,
        manifest: row.text(5)?.into_bytes(),
        public_key: None,
    })
}

/// The same of a backup that this server can restore.
pub fn find_restorable(job: Uuid) -> Result<Backup> {
    let backup = find(job)?;
    require_restorable(&manifest::parse(&backup.manifest)?.server_version)?;
    Ok(backup)
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

/// The job that made the newest backup of a schedule that is in storage, and the name of that storage.
pub fn newest_of(schedule: &str) -> Result<Option<(Uuid, String)>> {
    let row = sql::query_one(
        "SELECT id, storage FROM walwarden.job \
          WHERE schedule = $1 AND kind = 'backup' AND state = 'completed' AND deleted_at IS NULL \
          ORDER BY snapshot_at DESC LIMIT 1",
        &[Some(schedule)],
    )?;
    row.map(|row| Ok((row.parse(0)?, row.text(1)?))).transpose()
}
