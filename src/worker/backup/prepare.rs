//! What a backup must know before it begins, read in one short transaction.

use crate::catalog::database::{self, Identity};
use crate::catalog::job::Job;
use crate::catalog::schedule::{self, Schedule};
use crate::catalog::storage::{self, Storage};
use crate::pg::transaction::transaction;
use crate::pg::{server, sql};
use walwarden_core::{Error, Result};
use walwarden_store::{Layout, Location, StorageOptions};

/// Facts about the database and the job.
pub struct Prepared {
    /// Who this database is.
    pub identity: Identity,
    /// Name of the database, in its own encoding.
    pub database_bytes: Vec<u8>,
    /// Name of the database.
    pub database_name: String,
    /// Where the backup goes.
    pub storage: Storage,
    /// The storage's options.
    pub options: serde_json::Value,
    /// Size of the upload's parts, if the storage's options say.
    pub part_size: Option<u64>,
    /// Paths of this database's objects.
    pub layout: Layout,
    /// First part of the paths.
    pub organization: String,
    /// Name and version of every extension.
    pub extensions: Vec<(String, String)>,
    /// The schedules, for the manifest.
    pub schedules: Vec<Schedule>,
}

/// Read them.
pub fn prepare(job: &Job) -> Result<Prepared> {
    transaction(|| {
        let identity = database::identity()?;
        identity.require_this_database()?;
        let storage = storage::find(&job.storage)?;
        let options = serde_json::from_str(&storage.options).map_err(|cause| {
            Error::internal(format!("options of storage \"{}\" are not JSON: {cause}", storage.name))
        })?;
        let part_size = StorageOptions::parse(&Location::parse(&storage.url)?, &options)?.part_size();
        let organization = crate::guc::organization();
        let layout = Layout::new(&organization, identity.id)?;
        let (database_bytes, database_name) = server::database_name()?;
        Ok(Prepared {
            identity,
            database_bytes,
            database_name,
            storage,
            options,
            part_size,
            layout,
            organization,
            extensions: extensions()?,
            schedules: schedule::all()?,
        })
    })
}

fn extensions() -> Result<Vec<(String, String)>> {
    sql::query("SELECT extname, extversion FROM pg_catalog.pg_extension ORDER BY extname", &[])?
        .iter()
        .map(|row| Ok((row.text(0)?, row.text(1)?)))
        .collect()
}
