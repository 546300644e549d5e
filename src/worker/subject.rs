//! The backup that a job is about: fetched, and proven to be what this server signed, or the server it was discovered of.

use crate::catalog::backup::{self, Backup};
use crate::catalog::job::{self, ArchiveFacts, Job, ObjectKeys};
use crate::catalog::storage::Storage;
use crate::keyring;
use crate::pg::transaction::transaction;
use crate::worker::io::Io;
use crate::worker::remains;
use sha2::{Digest, Sha256};
use uuid::Uuid;
use walwarden_core::key::PublicKey;
use walwarden_core::manifest::{self, Manifest, StoredObject, Table};
use walwarden_core::{Error, ErrorClass, Result};
use walwarden_store::Store;

/// A backup with a good manifest.
pub struct Subject {
    /// Where it is, opened.
    pub store: Store,
    /// Where it is.
    pub storage: Storage,
    /// What it says of itself, and a known key has signed.
    pub manifest: Manifest,
    /// The manifest's key.
    pub manifest_key: String,
    /// The manifest as it was signed.
    pub body: Vec<u8>,
    /// Its signature.
    pub signature: [u8; 64],
    /// The key that signed it.
    pub public_key: PublicKey,
}

/// Fetch the manifest and its signature from the storage of the job that is about it, and believe it only if everything about it
/// is right.
///
/// # Errors
/// `StorageCorrupt` where it is not what was signed, or not this backup's; `StorageNotFound` where it is missing; `Key`
/// where the key that signed it is not known here.
pub fn fetch(io: &Io, job: &Job, backup: Uuid) -> Result<Subject> {
    let found = transaction(|| backup::find(backup, job.storages.first().map(String::as_str)))?;
    prove(io, backup, found)
}

/// The same of a backup that was found.
pub fn prove(io: &Io, job: Uuid, backup: Backup) -> Result<Subject> {
    let store = remains::open_stored(&backup.storage.url, &backup.storage.options)?;
    let (body, signature) = {
        let (store, key) = (store.clone(), backup.manifest_key.clone());
        io.run(async move { Ok((store.get(&key).await?, store.get(&format!("{key}.sig")).await?)) })?
    };
    if body != backup.manifest {
        return Err(wrong(&backup.manifest_key, "It is not the one that the database has kept."));
    }
    let manifest = manifest::parse(&body)?;
    if manifest.job.id != job {
        return Err(wrong(&backup.manifest_key, format!("It is of job {}.", manifest.job.id)));
    }
    let key = match &backup.public_key {
        Some(pem) => PublicKey::from_pem(pem)?,
        None => keyring::signing_key()?.public(),
    };
    if manifest.key_id != key.key_id() {
        return Err(Error::new(
            ErrorClass::Key,
            format!("backup {job} was signed with another key than this server has"),
        )
        .detail(format!("It was signed with key {}; this server\'s is {}.", manifest.key_id, key.key_id()))
        .hint("Put the old signing key back to verify it here, or verify it with openssl and the old public key."));
    }
    key.verify_strict(&body, &signature)
        .map_err(|_| wrong(&backup.manifest_key, "Its signature is not of these bytes."))?;
    let signature = signature
        .as_ref()
        .try_into()
        .map_err(|_| wrong(&backup.manifest_key, "Its signature is too long."))?;
    Ok(Subject {
        store,
        storage: backup.storage,
        manifest,
        manifest_key: backup.manifest_key,
        body: backup.manifest,
        signature,
        public_key: key,
    })
}

impl Subject {
    /// The globals, compared with the manifest; None when the backup has none.
    pub fn globals(&self, io: &Io) -> Result<Option<Vec<u8>>> {
        let Some(StoredObject { key, size, sha256 }) = self.manifest.globals.clone() else { return Ok(None) };
        let store = self.store.clone();
        let name = key.clone();
        let bytes = io.run(async move { store.get(&key).await })?;
        let found: [u8; 32] = Sha256::digest(&bytes).into();
        if (bytes.len() as u64, found) != (size, sha256.0) {
            return Err(wrong(&name, format!("It has {} bytes, or another SHA-256.", bytes.len())));
        }
        Ok(Some(bytes.to_vec()))
    }

    /// running → finalizing of a job about this backup, with what it did of it.
    pub fn start_finalizing(&self, job: Uuid, facts: &ArchiveFacts) -> Result<()> {
        let manifest = &self.manifest;
        let keys = ObjectKeys {
            archive: &manifest.archive.key,
            globals: manifest.globals.as_ref().map(|globals| globals.key.as_str()),
            manifest: &self.manifest_key,
        };
        job::start_finalizing(job, &keys, facts)
    }

    /// finalizing and completed at once, for a job that leaves nothing to be put in place.
    pub fn complete(&self, job: Uuid, facts: &ArchiveFacts) -> Result<()> {
        transaction(|| {
            self.start_finalizing(job, facts)?;
            job::complete(job)
        })
    }

    /// What the manifest says of the archive.
    pub fn facts(&self) -> ArchiveFacts {
        self.facts_of(|_| true, true)
    }

    /// The same with these of its tables alone, and with or without its large objects.
    pub fn facts_of(&self, wanted: impl Fn(&Table) -> bool, with_large_objects: bool) -> ArchiveFacts {
        let manifest = &self.manifest;
        let mut facts = ArchiveFacts {
            size: manifest.archive.size,
            raw_bytes: if with_large_objects { manifest.large_objects.raw_bytes } else { 0 },
            tables: 0,
            rows: 0,
            sha256: manifest.archive.sha256.to_string(),
        };
        for table in manifest.tables.iter().filter(|table| wanted(table)) {
            facts.tables += 1;
            facts.rows += table.rows;
            facts.raw_bytes += table.raw_bytes;
        }
        facts
    }

    /// That the archive is there, with its size.
    pub fn require_archive(&self, io: &Io) -> Result<()> {
        let (store, key) = (self.store.clone(), self.manifest.archive.key.clone());
        let (name, size) = (key.clone(), self.manifest.archive.size);
        let found = io.run(async move { store.size(&key).await })?;
        if found == size {
            return Ok(());
        }
        Err(wrong(&name, format!("It has {found} bytes instead of {size}.")))
    }
}

/// An object is not what it must be.
fn wrong(key: &str, seen: impl Into<String>) -> Error {
    Error::new(ErrorClass::StorageCorrupt, format!("object \"{key}\" is not what was stored"))
        .detail(seen)
        .hint("The backup is damaged or was tampered with: do not rely on it, and make another one.")
}
