//! What a backup must know before it begins, read in one short transaction.

use crate::catalog::database::{self, Identity};
use crate::catalog::job::Job;
use crate::catalog::schedule::{self, Schedule};
use crate::catalog::storage::{self, Storage};
use crate::pg::transaction::transaction;
use crate::pg::{server, sql};
use crate::worker::remains;
use walwarden_core::Result;
use walwarden_store::{Layout, Location, Recipients, StorageOptions};

/// Facts about the database and the job.
pub struct Prepared {
    /// Who this database is.
    pub identity: Identity,
    /// Name of the database, in its own encoding.
    pub database_bytes: Vec<u8>,
    /// Name of the database.
    pub database_name: String,
    /// Where the backup goes.
    pub places: Vec<Place>,
    /// Paths of this database's objects.
    pub layout: Layout,
    /// First part of the paths.
    pub organization: String,
    /// Name and version of every extension.
    pub extensions: Vec<(String, String)>,
    /// The schedules, for the manifest.
    pub schedules: Vec<Schedule>,
}

/// A storage that the backup goes to.
pub struct Place {
    /// The storage.
    pub storage: Storage,
    /// Its options.
    pub options: serde_json::Value,
    /// Size of the upload's parts, if they say.
    pub part_size: Option<u64>,
    /// Who can decrypt what is stored there, if it is encrypted.
    pub recipients: Option<Recipients>,
}

/// Read them.
pub fn prepare(job: &Job) -> Result<Prepared> {
    transaction(|| {
        let identity = database::identity()?;
        identity.require_this_database()?;
        let places = job.storages.iter().map(|name| place(name)).collect::<Result<Vec<Place>>>()?;
        let organization = crate::guc::organization();
        let layout = Layout::new(&organization, identity.id)?;
        let (database_bytes, database_name) = server::database_name()?;
        Ok(Prepared {
            identity,
            database_bytes,
            database_name,
            places,
            layout,
            organization,
            extensions: extensions()?,
            schedules: schedule::all()?,
        })
    })
}

fn place(name: &str) -> Result<Place> {
    let storage = storage::find(name)?;
    let options = remains::read_options(&storage.options)?;
    let part_size = StorageOptions::parse(&Location::parse(&storage.url)?, &options)?.part_size();
    let recipients = Recipients::of_options(&options)?;
    Ok(Place { storage, options, part_size, recipients })
}

fn extensions() -> Result<Vec<(String, String)>> {
    sql::query("SELECT extname, extversion FROM pg_catalog.pg_extension ORDER BY extname", &[])?
        .iter()
        .map(|row| Ok((row.text(0)?, row.text(1)?)))
        .collect()
}
