//! A backup from one of its storages into another, proven there as a backup proves it: the bytes as they are, or encrypted on the
//! way for whom the other storage encrypts.

use crate::catalog::backup;
use crate::catalog::backup_copy::{self, StoredCopy};
use crate::catalog::job::{self, Job};
use crate::catalog::storage;
use crate::pg::segment::Segment;
use crate::pg::transaction::transaction;
use crate::pg::{clock, interrupts};
use crate::signer;
use crate::worker::backup::manifest::encryption;
use crate::worker::backup::proof::{self, PutObject, StoredArchive};
use crate::worker::io::Io;
use crate::worker::progress::{Phase, set_phase};
use crate::worker::pulse::Pulse;
use crate::worker::remains::{self, Destination};
use crate::worker::subject::{self, Subject};
use crate::worker::work::Work;
use bytes::Bytes;
use std::collections::BTreeSet;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::sync::mpsc;
use uuid::Uuid;
use walwarden_core::key::PublicKey;
use walwarden_core::manifest::{self, Manifest, Sha256Sum};
use walwarden_core::memory::MemoryPlan;
use walwarden_core::signature::Signer;
use walwarden_core::{Error, ErrorClass, Result};
use walwarden_store::{BackupKeys, ObjectReader, Recipients, Sent, Store, UploadItem};

/// Windows that are read ahead of what is written.
const WINDOWS_AHEAD: usize = 2;
/// How much is handed on at a time, bytes.
const SLICE: usize = 256 << 10;
/// Slices on their way to the upload.
const SLICES_IN_FLIGHT: usize = 32;
/// How often onlookers are told how much that is.
const SHOW_PROGRESS: Duration = Duration::from_millis(500);

/// The copy of one backup into one storage.
pub struct Copying {
    io: Io,
    backup: Uuid,
    target: String,
    destination: Option<Destination>,
    upload_id: Option<String>,
}

impl Copying {
    /// Of the backup that this job made.
    pub fn new(io: Io, backup: Uuid, target: String) -> Self {
        Self { io, backup, target, destination: None, upload_id: None }
    }

    /// Note what will have to be removed, and open the storage.
    fn begin(
        &mut self,
        job: &Job,
        url: &str,
        options: &serde_json::Value,
        keys: &BackupKeys,
    ) -> Result<Store> {
        let destination = Destination::of_backup(url, options, keys);
        let noted = destination.to_json()?;
        transaction(|| backup_copy::begin(self.backup, &self.target, job.id, &noted))?;
        self.destination.insert(destination).open()
    }

    /// The backup as some storage has it from which it can go where it is to go.
    fn source(&self, recipients: Option<&Recipients>) -> Result<Subject> {
        let names = transaction(|| backup::storages_of(self.backup))?;
        let mut refusal = None;
        for name in &names {
            let found = transaction(|| backup::find(self.backup, Some(name)))?;
            let subject = subject::prove(&self.io, self.backup, found)?;
            match &subject.manifest.archive.encryption {
                None => return Ok(subject),
                Some(encryption)
                    if recipients.is_some_and(|to| are_same(&to.names(), &encryption.recipients)) =>
                {
                    return Ok(subject);
                }
                Some(_) => {
                    refusal = Some(
                        Error::new(
                            ErrorClass::WrongState,
                            format!(
                                "backup {} is encrypted for others than storage \"{}\"",
                                self.backup, self.target
                            ),
                        )
                        .detail("This server has no secret keys, so it cannot encrypt it anew.")
                        .hint("Give both storages the same age_recipients."),
                    );
                }
            }
        }
        Err(refusal.unwrap_or_else(|| {
            Error::new(ErrorClass::WrongState, format!("no storage has backup {} any more", self.backup))
        }))
    }

    fn transfer(
        &mut self,
        subject: &Subject,
        keys: &BackupKeys,
        recipients: Option<&Recipients>,
        target: &Store,
        segment: &Segment,
    ) -> Result<Sent> {
        let stored_there = subject.manifest.archive.stored();
        let begun = {
            let (store, key) = (target.clone(), keys.archive.clone());
            self.io.run(async move { store.begin_upload(&key).await })?
        };
        self.upload_id = Some(begun.id().to_owned());
        transaction(|| backup_copy::set_upload(self.backup, &self.target, begun.id()))?;
        let part_size =
            target.plan_part_size(stored_there.size, stored_there.parts.first().map(|part| part.size));
        let memory = MemoryPlan::of(crate::guc::max_memory(), part_size, 1)?;
        let part_size =
            usize::try_from(part_size).map_err(|_| Error::internal("a part is larger than memory"))?;
        let (items, receiver) = mpsc::channel(SLICES_IN_FLIGHT);
        let stored = Arc::new(AtomicU64::new(0));
        let (counting, recipients) = (Arc::clone(&stored), recipients.cloned());
        let mut upload = self.io.spawn(async move {
            let parts_in_flight = memory.parts_in_flight as usize;
            begun.run_for(recipients.as_ref(), receiver, part_size, parts_in_flight, counting).await
        })?;
        let (source, key, size) =
            (subject.store.clone(), subject.manifest.archive.key.clone(), stored_there.size);
        let mut feed = self.io.spawn(async move {
            let reader = source.reader(&key, 0..size, WINDOWS_AHEAD)?;
            let fed = tokio::task::spawn_blocking(move || feed(reader, &items));
            fed.await.unwrap_or_else(|_| Err(Error::internal("reading an archive panicked")))
        })?;
        let mut fed = false;
        let mut pulse = Pulse::new();
        loop {
            segment.counters().stored_bytes.store(stored.load(Relaxed), Relaxed);
            // A source that fails is the reason, and the upload that ends for lack of bytes the consequence.
            if !fed && let Some(outcome) = feed.try_take() {
                outcome?;
                fed = true;
            }
            if let Some(outcome) = upload.try_take() {
                return outcome;
            }
            pulse.beat()?;
            interrupts::wait(Some(self.io.waker()), SHOW_PROGRESS)?;
        }
    }
}

/// Hand a stream on, slice by slice.
fn feed(mut reader: ObjectReader, items: &mpsc::Sender<UploadItem>) -> Result<()> {
    loop {
        let mut slice = vec![0; SLICE];
        let length = reader.read(&mut slice).map_err(Error::from_io)?;
        let item = if length == 0 {
            UploadItem::End
        } else {
            slice.truncate(length);
            UploadItem::Bytes(Bytes::from(slice))
        };
        let is_end = item == UploadItem::End;
        // An upload that has ended tells its own reason.
        if items.blocking_send(item).is_err() || is_end {
            return Ok(());
        }
    }
}

/// In whatever order.
fn are_same(one: &[String], other: &[String]) -> bool {
    one.iter().collect::<BTreeSet<_>>() == other.iter().collect::<BTreeSet<_>>()
}

/// A manifest that names another form of the same archive, and the signature of it.
fn sign_anew(
    manifest: &Manifest,
    keys: &BackupKeys,
    recipients: &Recipients,
    sent: &Sent,
    globals: Option<&PutObject>,
) -> Result<(Vec<u8>, [u8; 64], PublicKey)> {
    let signer = signer::take()?;
    let mut manifest = manifest.clone();
    let parts = sent.uploaded.parts.iter();
    let parts = parts
        .map(|part| manifest::Part { offset: part.offset, size: part.size, sha256: Sha256Sum(part.sha256) })
        .collect();
    manifest.archive.key.clone_from(&keys.archive);
    manifest.archive.parts = Vec::new();
    manifest.archive.encryption =
        encryption(Some(recipients), sent.uploaded.size, sent.uploaded.sha256, parts);
    if let (Some(told), Some(put)) = (&mut manifest.globals, globals) {
        told.key.clone_from(&put.key);
        told.encryption = encryption(Some(recipients), put.size, put.sha256, Vec::new());
    }
    manifest.key_id = signer.public().key_id();
    let body = manifest::to_canonical_bytes(&manifest)?;
    let signature = signer.sign(&body)?;
    Ok((body, signature, signer.public()))
}

impl Work for Copying {
    fn run(&mut self, job: &Job) -> Result<()> {
        let segment = Segment::create(0)?;
        transaction(|| job::start_running(job.id, segment.handle()))?;
        set_phase(&segment, Phase::Fetching);
        let place = transaction(|| storage::find(&self.target))?;
        let options = remains::read_options(&place.options)?;
        let wanted = Recipients::of_options(&options)?;
        let subject = self.source(wanted.as_ref())?;
        let manifest = &subject.manifest;
        // What is encrypted goes as it is.
        let recipients = wanted.filter(|_| manifest.archive.encryption.is_none());
        let keys = BackupKeys {
            archive: manifest.archive.key.clone(),
            globals: manifest.globals.as_ref().map(|globals| globals.key.clone()).unwrap_or_default(),
            signature: format!("{}.sig", subject.manifest_key),
            manifest: subject.manifest_key.clone(),
        };
        let keys = if recipients.is_some() { keys.encrypted() } else { keys };
        let globals = subject.stored_globals(&self.io)?;
        let target = self.begin(job, &place.url, &options, &keys)?;
        let sent = self.transfer(&subject, &keys, recipients.as_ref(), &target, &segment)?;
        let stored_there = manifest.archive.stored();
        if (sent.plain.size, sent.plain.sha256) != (stored_there.size, stored_there.sha256.0) {
            return Err(Error::new(
                ErrorClass::StorageCorrupt,
                format!("the archive in storage \"{}\" is not what was stored", subject.storage.name),
            )
            .hint("Verify it with walwarden.verify(), and copy from another storage."));
        }
        let counters = segment.counters();
        counters.stored_bytes.store(sent.uploaded.size, Relaxed);
        counters.verifying_since.store(clock::now().timestamp_micros(), Relaxed);
        set_phase(&segment, Phase::Verifying);
        transaction(|| subject.start_finalizing(job.id, &subject.facts()))?;
        let written = StoredArchive {
            copy: 0,
            store: target.clone(),
            key: keys.archive.clone(),
            uploaded: sent.uploaded.clone(),
        };
        let proven = proof::archives(&self.io, vec![written], &counters.verified_bytes)?;
        proven.into_iter().try_for_each(|(_, outcome)| outcome)?;
        set_phase(&segment, Phase::Signing);
        let globals = match (globals, &recipients) {
            (Some(plain), Some(recipients)) => Some(recipients.encrypt(&plain)?),
            (globals, _) => globals,
        };
        let put = globals.map(|bytes| proof::put(&self.io, &target, &keys.globals, bytes)).transpose()?;
        let (body, signature, public_key) = match &recipients {
            None => (subject.body.clone(), subject.signature, subject.public_key),
            Some(recipients) => sign_anew(manifest, &keys, recipients, &sent, put.as_ref())?,
        };
        proof::manifest(&self.io, &target, &keys, &body, signature, &public_key)?;
        transaction(|| {
            let stored = StoredCopy {
                archive: &keys.archive,
                globals: manifest.globals.as_ref().map(|_| keys.globals.as_str()),
                manifest: &keys.manifest,
                size: sent.uploaded.size,
            };
            backup_copy::set_stored(self.backup, &self.target, &stored)?;
            let body = std::str::from_utf8(&body).map_err(|_| Error::internal("a manifest is not text"))?;
            let key_id = public_key.key_id();
            crate::catalog::manifest::insert(self.backup, &self.target, body, &signature, &key_id)?;
            job::complete(job.id)
        })
    }

    fn stop(&mut self, error: Error) -> Error {
        error
    }

    fn clean_up(&self, limit: Duration) -> Result<()> {
        match &self.destination {
            Some(destination) => remains::clean_up(&self.io, destination, self.upload_id.as_deref(), limit),
            None => Ok(()),
        }
    }
}
