//! The backup that a job is about: fetched, and proven to be what this server signed, or the server it was discovered of.

use crate::catalog::backup::{self, Backup};
use crate::catalog::job::{self, ArchiveFacts, Job, ObjectKeys};
use crate::catalog::storage::Storage;
use crate::identity::{self, Key};
use crate::pg::transaction::transaction;
use crate::worker::io::Io;
use crate::worker::remains;
use uuid::Uuid;
use walwarden_core::key::PublicKey;
use walwarden_core::manifest::{self, Manifest, Sha256Sum, StoredObject, Table};
use walwarden_core::message::Lock;
use walwarden_core::{Error, ErrorClass, Result};
use walwarden_store::{ArchiveSource, Store};

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
    /// How its archive is read; None for an encrypted one that was not unlocked.
    archive: Option<ArchiveSource>,
    /// What unlocked it.
    key: Option<Key>,
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
    let known = backup.public_key.as_deref().ok_or_else(|| unknown_key(job, &manifest))?;
    let key = PublicKey::from_pem(known)?;
    if manifest.key_id != key.key_id() {
        return Err(unknown_key(job, &manifest));
    }
    key.verify_strict(&body, &signature)
        .map_err(|_| wrong(&backup.manifest_key, "Its signature is not of these bytes."))?;
    let signature = signature
        .as_ref()
        .try_into()
        .map_err(|_| wrong(&backup.manifest_key, "Its signature is too long."))?;
    let archive = match &manifest.archive.encryption {
        None => Some(ArchiveSource::plain(store.clone(), manifest.archive.key.clone())),
        Some(_) => None,
    };
    Ok(Subject {
        store,
        storage: backup.storage,
        manifest,
        manifest_key: backup.manifest_key,
        body: backup.manifest,
        signature,
        public_key: key,
        archive,
        key: None,
    })
}

fn unknown_key(job: Uuid, manifest: &Manifest) -> Error {
    Error::new(ErrorClass::Key, format!("backup {job} was signed with a key that this database does not know"))
        .detail(format!("It was signed with key {}.", manifest.key_id))
        .hint("Verify it with openssl and that public key, or walwarden.discover() it with that key from another database.")
}

impl Subject {
    /// Make an encrypted backup readable, with the identity file that was given or else that of the setting. False where there
    /// is none.
    pub fn unlock(&mut self, io: &Io, given: Option<&str>) -> Result<bool> {
        if self.archive.is_some() {
            return Ok(true);
        }
        let Some(Key { file, identities }) = identity::of(&self.manifest, given)? else { return Ok(false) };
        let archive = &self.manifest.archive;
        let (store, key) = (self.store.clone(), archive.key.clone());
        let (size, stored_size) = (archive.size, archive.stored().size);
        let (archive, identities) = io.run(async move {
            let archive = ArchiveSource::encrypted(store, key, size, stored_size, &identities).await?;
            Ok((archive, identities))
        })?;
        self.archive = Some(archive);
        self.key = Some(Key { file, identities });
        Ok(true)
    }

    /// The same for whom nothing but its rows will do.
    pub fn require_unlocked(&mut self, io: &Io, given: Option<&str>) -> Result<()> {
        if self.unlock(io, given)? { Ok(()) } else { Err(identity::missing(&self.manifest)) }
    }

    /// How its archive is read.
    pub fn archive(&self) -> Result<&ArchiveSource> {
        self.archive.as_ref().ok_or_else(|| identity::missing(&self.manifest))
    }

    /// What another process needs to read it.
    pub fn lock(&self) -> Option<Lock> {
        let archive = &self.manifest.archive;
        self.key.as_ref().map(|key| Lock {
            identity_file: key.file.clone(),
            size: archive.size,
            stored_size: archive.stored().size,
        })
    }

    /// The globals as they lie in storage, compared with the manifest; None when the backup has none.
    pub fn stored_globals(&self, io: &Io) -> Result<Option<Vec<u8>>> {
        let Some(globals) = &self.manifest.globals else { return Ok(None) };
        let (store, key) = (self.store.clone(), globals.key.clone());
        let bytes = io.run(async move { store.get(&key).await })?;
        let stored = globals.stored();
        require_sum(&globals.key, &bytes, stored.size, stored.sha256)?;
        Ok(Some(bytes.to_vec()))
    }

    /// The globals, compared with the manifest; None when the backup has none.
    pub fn globals(&self, io: &Io) -> Result<Option<Vec<u8>>> {
        let (Some(bytes), Some(globals)) = (self.stored_globals(io)?, &self.manifest.globals) else {
            return Ok(None);
        };
        if globals.encryption.is_none() {
            return Ok(Some(bytes));
        }
        let key = self.key.as_ref().ok_or_else(|| identity::missing(&self.manifest))?;
        let StoredObject { key: name, size, sha256, .. } = globals;
        let plain = key.identities.decrypt(name, &bytes)?;
        require_sum(name, &plain, *size, *sha256)?;
        Ok(Some(plain))
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
            direct_tables: None,
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
        let (name, size) = (key.clone(), self.manifest.archive.stored().size);
        let found = io.run(async move { store.size(&key).await })?;
        if found == size {
            return Ok(());
        }
        Err(wrong(&name, format!("It has {found} bytes instead of {size}.")))
    }
}

fn require_sum(key: &str, bytes: &[u8], size: u64, sha256: Sha256Sum) -> Result<()> {
    if (bytes.len() as u64, Sha256Sum::of(bytes)) == (size, sha256) {
        return Ok(());
    }
    Err(wrong(key, format!("It has {} bytes, or another SHA-256.", bytes.len())))
}

/// An object is not what it must be.
fn wrong(key: &str, seen: impl Into<String>) -> Error {
    Error::new(ErrorClass::StorageCorrupt, format!("object \"{key}\" is not what was stored"))
        .detail(seen)
        .hint("The backup is damaged or was tampered with: do not rely on it, and make another one.")
}
