//! Complete means proven: what was written is fetched again and compared before the job may say so.

use crate::pg::interrupts;
use crate::worker::io::Io;
use crate::worker::pulse::Pulse;
use bytes::Bytes;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use walwarden_core::key::PublicKey;
use walwarden_core::{Error, ErrorClass, Result};
use walwarden_store::{BackupKeys, Store, Uploaded};

/// How much of the archive is read back at a time: windows of 8 MiB, of a file 1 MiB.
const WINDOWS: usize = 4;
/// How often onlookers are told how much that is.
const SHOW_VERIFIED: Duration = Duration::from_millis(500);

/// A small object as it went to storage.
#[derive(Debug, Clone)]
pub struct PutObject {
    /// Its key.
    pub key: String,
    /// Its bytes' count.
    pub size: u64,
    /// SHA-256 of its bytes.
    pub sha256: [u8; 32],
}

/// An archive that was written.
pub struct StoredArchive {
    /// Which copy it is of.
    pub copy: usize,
    /// Where it is.
    pub store: Store,
    /// Its key there.
    pub key: String,
    /// What it must be.
    pub uploaded: Uploaded,
}

/// Read archives back, side by side, and several parts of each; `verified` shows how many bytes of one agree so far. Gives
/// what became of each.
pub fn archives(
    io: &Io,
    archives: Vec<StoredArchive>,
    verified: &AtomicU64,
) -> Result<Vec<(usize, Result<()>)>> {
    // The threads outlive a leader that is told to stop, and its shared memory does not: they count by themselves.
    let read = Arc::new(AtomicU64::new(0));
    let copies = archives.len().max(1) as u64;
    let mut tasks = Vec::new();
    for StoredArchive { copy, store, key, uploaded } in archives {
        let reading = Arc::clone(&read);
        let task =
            io.spawn(async move { store.verify_uploaded(&key, &uploaded, &reading, WINDOWS).await })?;
        tasks.push((copy, task, None));
    }
    let mut pulse = Pulse::new();
    loop {
        for (_, task, outcome) in tasks.iter_mut().filter(|(_, _, outcome)| outcome.is_none()) {
            *outcome = task.try_take();
        }
        verified.store(read.load(Relaxed) / copies, Relaxed);
        if tasks.iter().all(|(_, _, outcome)| outcome.is_some()) {
            let outcomes = tasks.into_iter().filter_map(|(copy, _, outcome)| Some((copy, outcome?)));
            return Ok(outcomes.collect());
        }
        pulse.beat()?;
        interrupts::wait(Some(io.waker()), SHOW_VERIFIED)?;
    }
}

/// Put a small object, create-only, and read it back.
pub fn put(io: &Io, store: &Store, key: &str, bytes: Vec<u8>) -> Result<PutObject> {
    let object =
        PutObject { key: key.to_owned(), size: bytes.len() as u64, sha256: Sha256::digest(&bytes).into() };
    let (store, key, bytes) = (store.clone(), key.to_owned(), Bytes::from(bytes));
    io.run(async move {
        store.put_new(&key, bytes.clone()).await?;
        let read = store.get(&key).await?;
        if read == bytes { Ok(()) } else { Err(differs(&key)) }
    })?;
    Ok(object)
}

/// Put the manifest and its signature; read both back, and check the signature over what was read.
pub fn manifest(
    io: &Io,
    store: &Store,
    keys: &BackupKeys,
    manifest: &[u8],
    signature: [u8; 64],
    public_key: &PublicKey,
) -> Result<()> {
    // The signature first: the manifest is what makes a backup, and it comes last.
    put(io, store, &keys.signature, signature.to_vec())?;
    put(io, store, &keys.manifest, manifest.to_vec())?;
    let (manifest_key, signature_key) = (keys.manifest.clone(), keys.signature.clone());
    let store = store.clone();
    let (body, signature) =
        io.run(async move { Ok((store.get(&manifest_key).await?, store.get(&signature_key).await?)) })?;
    if body != manifest {
        return Err(differs(&keys.manifest));
    }
    public_key.verify_strict(&body, &signature)
}

fn differs(key: &str) -> Error {
    Error::new(
        ErrorClass::StorageCorrupt,
        format!("object \"{key}\" reads back differently from what was written"),
    )
    .hint("The storage cannot be trusted with backups; check it with walwarden.check_storage().")
}
