//! What a job that does not complete must not leave behind: its upload and its objects. Written down in the job's
//! row before the first byte goes out, so that whoever comes next can clean up after a process that was killed.

use crate::catalog::backup_copy::Remains;
use crate::guc;
use crate::pg::{clock, server};
use crate::worker::io::Io;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;
use walwarden_core::remains::{Removal, Server};
use walwarden_core::{Error, Result};
use walwarden_reach::{AllowList, Purpose};
use walwarden_store::{BackupKeys, CredentialSource, Location, StorageOptions, Store};

/// Where a job writes, complete enough to clean up even after the storage was altered or dropped. No secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Destination {
    /// The storage's URL.
    pub url: String,
    /// The storage's options.
    pub options: serde_json::Value,
    /// The manifest's key: with it there is a backup.
    pub manifest_key: String,
    /// Every other key the job may write.
    pub keys: Vec<String>,
    /// The key that a multipart upload writes to.
    pub upload_key: String,
    /// The server that wrote there.
    pub server: Server,
    /// When this was noted.
    pub noted_at: DateTime<Utc>,
}

impl Destination {
    /// Of a backup's copy with these keys, written by this server from now on.
    pub fn of_backup(url: &str, options: &serde_json::Value, keys: &BackupKeys) -> Self {
        Self {
            url: url.to_owned(),
            options: options.clone(),
            manifest_key: keys.manifest.clone(),
            keys: vec![keys.signature.clone(), keys.globals.clone(), keys.archive.clone()],
            upload_key: keys.archive.clone(),
            server: server::running(),
            noted_at: clock::now(),
        }
    }

    /// As it stands in `backup_copy.cleanup`.
    pub fn to_json(&self) -> Result<String> {
        serde_json::to_string(self)
            .map_err(|cause| Error::internal(format!("could not write a destination: {cause}")))
    }

    /// Read it back.
    pub fn from_json(text: &str) -> Result<Self> {
        serde_json::from_str(text)
            .map_err(|cause| Error::internal(format!("could not read a destination: {cause}")))
    }

    /// Open the storage.
    pub fn open(&self) -> Result<Store> {
        open_store(&self.url, &self.options)
    }
}

/// Open a storage by its URL and options, with credentials by reference.
pub fn open_store(url: &str, options: &serde_json::Value) -> Result<Store> {
    let location = Location::parse(url)?;
    let options = StorageOptions::parse(&location, options)?;
    Store::open(&location, &options, &credentials(), &allowed()?)
}

/// Open a storage as it stands in a table, for a check that a session waits for.
pub fn open_for_check(url: &str, options: &str) -> Result<Store> {
    let location = Location::parse(url)?;
    let options = StorageOptions::parse(&location, &read_options(options)?)?;
    Store::open_for_check(&location, &options, &credentials(), &allowed()?)
}

/// Where storages may be.
pub fn allowed() -> Result<AllowList> {
    AllowList::parse(Purpose::Storage, &guc::text(&guc::STORAGE_ALLOW).unwrap_or_default())
}

/// The same with the options as they stand in a table, JSON text.
pub fn open_stored(url: &str, options: &str) -> Result<Store> {
    open_store(url, &read_options(options)?)
}

/// A storage's options as they stand in a table.
pub fn read_options(options: &str) -> Result<serde_json::Value> {
    serde_json::from_str(options)
        .map_err(|cause| Error::internal(format!("a storage's options are not JSON: {cause}")))
}

/// Whose keys are used.
pub fn credentials() -> CredentialSource {
    CredentialSource::from_environment(guc::text(&guc::CREDENTIALS_FILE).map(PathBuf::from))
}

/// What became of the remains of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cleaned {
    /// Nothing is left.
    Removed,
    /// They are a backup: whatever the job's row says, its manifest is there.
    Proven,
    /// They may be those of a job that runs on another server, of which this one is a copy.
    NotYet,
}

/// Remove what a lost job left, within a time, unless it is not ours to remove.
pub fn clean_up_lost(io: &Io, remains: &Remains, limit: Duration) -> Result<Cleaned> {
    let destination = Destination::from_json(&remains.cleanup)?;
    let Destination { server: writer, noted_at, .. } = &destination;
    match Removal::of(writer, *noted_at, remains.finalizing, &server::running(), clock::now()) {
        Removal::NotYet => return Ok(Cleaned::NotYet),
        Removal::UnlessProven => {
            let (store, key) = (destination.open()?, destination.manifest_key.clone());
            if io.run_within(limit, async move { store.exists(&key).await })? {
                return Ok(Cleaned::Proven);
            }
        }
        Removal::Now => {}
    }
    clean_up(io, &destination, remains.upload_id.as_deref(), limit)?;
    Ok(Cleaned::Removed)
}

/// Abort the upload and delete the objects, within a time. Ok means that nothing is left.
pub fn clean_up(io: &Io, destination: &Destination, upload_id: Option<&str>, limit: Duration) -> Result<()> {
    let store = destination.open()?;
    let destination = destination.clone();
    let upload_id = upload_id.map(str::to_owned);
    io.run_within(limit, async move {
        // Each is tried whatever became of the others; the first failure is told.
        let mut outcomes = Vec::new();
        if let Some(id) = &upload_id {
            outcomes.push(store.abort_upload(&destination.upload_key, id).await);
        }
        // The manifest first: without it there is no backup.
        for key in std::iter::once(&destination.manifest_key).chain(&destination.keys) {
            outcomes.push(store.delete(key).await);
        }
        outcomes.into_iter().collect()
    })
}
