//! What a job that does not complete must not leave behind: its upload and its objects. Written down in the job's
//! row before the first byte goes out, so that whoever comes next can clean up after a process that was killed.

use crate::worker::io::Io;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;
use walwarden_core::{Error, Result};
use walwarden_store::{CredentialSource, Location, StorageOptions, Store};

/// Where a job writes, complete enough to clean up even after the storage was altered or dropped. No secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Destination {
    /// The storage's URL.
    pub url: String,
    /// The storage's options.
    pub options: serde_json::Value,
    /// Every key the job may write, the manifest first: without it there is no backup.
    pub keys: Vec<String>,
    /// The key that a multipart upload writes to.
    pub upload_key: String,
}

impl Destination {
    /// As it stands in `job.cleanup_storage`.
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
    Store::open(&location, &options, &credentials())
}

fn credentials() -> CredentialSource {
    CredentialSource::from_environment(crate::guc::text(&crate::guc::CREDENTIALS_FILE).map(PathBuf::from))
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
        for key in &destination.keys {
            outcomes.push(store.delete(key).await);
        }
        outcomes.into_iter().collect()
    })
}
