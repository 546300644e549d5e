//! A backup from one of its storages into another: the bytes as they are, proven there as a backup proves them.

use crate::catalog::backup;
use crate::catalog::backup_copy::{self, StoredCopy};
use crate::catalog::job::{self, Job};
use crate::catalog::storage;
use crate::pg::segment::Segment;
use crate::pg::transaction::transaction;
use crate::pg::{clock, interrupts, server};
use crate::worker::backup::proof;
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
use walwarden_core::manifest::Manifest;
use walwarden_core::memory::MemoryPlan;
use walwarden_core::{Error, ErrorClass, Result};
use walwarden_store::{BackupKeys, ObjectReader, Part, Recipients, Store, UploadItem, Uploaded};

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
    fn begin(&mut self, job: &Job, keys: &BackupKeys, manifest: &Manifest) -> Result<Store> {
        let place = transaction(|| storage::find(&self.target))?;
        let options = serde_json::from_str(&place.options)
            .map_err(|cause| Error::internal(format!("a storage's options are not JSON: {cause}")))?;
        require_same_recipients(manifest, &options, &self.target)?;
        let destination = Destination {
            url: place.url,
            options,
            manifest_key: keys.manifest.clone(),
            keys: vec![keys.signature.clone(), keys.globals.clone(), keys.archive.clone()],
            upload_key: keys.archive.clone(),
            server: server::running(),
            noted_at: clock::now(),
        };
        let noted = destination.to_json()?;
        transaction(|| backup_copy::begin(self.backup, &self.target, job.id, &noted))?;
        self.destination.insert(destination).open()
    }

    fn transfer(
        &mut self,
        subject: &Subject,
        keys: &BackupKeys,
        target: &Store,
        segment: &Segment,
    ) -> Result<Uploaded> {
        let archive = &subject.manifest.archive;
        let lies_there = archive.stored();
        let begun = {
            let (store, key) = (target.clone(), keys.archive.clone());
            self.io.run(async move { store.begin_upload(&key).await })?
        };
        self.upload_id = Some(begun.id().to_owned());
        transaction(|| backup_copy::set_upload(self.backup, &self.target, begun.id()))?;
        let part_size =
            target.plan_part_size(lies_there.size, lies_there.parts.first().map(|part| part.size));
        let memory = MemoryPlan::of(crate::guc::max_memory(), part_size, 1)?;
        let part_size =
            usize::try_from(part_size).map_err(|_| Error::internal("a part is larger than memory"))?;
        let (items, receiver) = mpsc::channel(SLICES_IN_FLIGHT);
        let stored = Arc::new(AtomicU64::new(0));
        let mut upload = self.io.spawn(begun.run(
            receiver,
            part_size,
            memory.parts_in_flight as usize,
            Arc::clone(&stored),
        ))?;
        let (source, key, size) = (subject.store.clone(), archive.key.clone(), lies_there.size);
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

/// The bytes are copied as they are: a storage that encrypts gets nothing that is not encrypted for its recipients.
fn require_same_recipients(manifest: &Manifest, options: &serde_json::Value, target: &str) -> Result<()> {
    let theirs: BTreeSet<String> =
        Recipients::of_options(options)?.into_iter().flat_map(|recipients| recipients.names()).collect();
    let encryption = manifest.archive.encryption.iter();
    let ours: BTreeSet<String> = encryption.flat_map(|encryption| encryption.recipients.clone()).collect();
    if theirs == ours {
        return Ok(());
    }
    Err(Error::new(
        ErrorClass::WrongState,
        format!("storage \"{target}\" encrypts for other recipients than the backup was stored for"),
    )
    .hint("A copy has the bytes of the original. Make another backup, or give both storages the same age_recipients."))
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

impl Work for Copying {
    fn run(&mut self, job: &Job) -> Result<()> {
        let segment = Segment::create(0)?;
        transaction(|| job::start_running(job.id, segment.handle()))?;
        set_phase(&segment, Phase::Fetching);
        let found = transaction(|| backup::find(self.backup, None))?;
        let subject = subject::prove(&self.io, self.backup, found)?;
        let manifest = subject.manifest.clone();
        let globals = subject.stored_globals(&self.io)?;
        let keys = BackupKeys {
            archive: manifest.archive.key.clone(),
            globals: manifest.globals.as_ref().map(|globals| globals.key.clone()).unwrap_or_default(),
            signature: format!("{}.sig", subject.manifest_key),
            manifest: subject.manifest_key.clone(),
        };
        let target = self.begin(job, &keys, &manifest)?;
        let uploaded = self.transfer(&subject, &keys, &target, &segment)?;
        let lies_there = manifest.archive.stored();
        if (uploaded.size, uploaded.sha256) != (lies_there.size, lies_there.sha256.0) {
            return Err(Error::new(
                ErrorClass::StorageCorrupt,
                format!("the archive in storage \"{}\" is not what was stored", subject.storage.name),
            )
            .hint("Verify it with walwarden.verify(), and copy from another storage."));
        }
        let counters = segment.counters();
        counters.stored_bytes.store(uploaded.size, Relaxed);
        counters.verifying_since.store(clock::now().timestamp_micros(), Relaxed);
        set_phase(&segment, Phase::Verifying);
        transaction(|| subject.start_finalizing(job.id, &subject.facts()))?;
        let parts = lies_there.parts.iter();
        let expected = Uploaded {
            parts: parts
                .map(|part| Part { offset: part.offset, size: part.size, sha256: part.sha256.0 })
                .collect(),
            ..uploaded
        };
        let proven =
            proof::archive(&self.io, &[(0, target.clone())], &keys, &expected, &counters.verified_bytes)?;
        proven.into_iter().try_for_each(|(_, outcome)| outcome)?;
        set_phase(&segment, Phase::Signing);
        if let Some(globals) = globals {
            proof::put(&self.io, &target, &keys.globals, globals)?;
        }
        proof::manifest(&self.io, &target, &keys, &subject.body, subject.signature, &subject.public_key)?;
        transaction(|| {
            let stored = StoredCopy {
                archive: &keys.archive,
                globals: manifest.globals.as_ref().map(|globals| globals.key.as_str()),
                manifest: &keys.manifest,
                size: expected.size,
            };
            backup_copy::set_stored(self.backup, &self.target, &stored)?;
            let body = String::from_utf8(subject.body.clone())
                .map_err(|_| Error::internal("a manifest is not text"))?;
            crate::catalog::manifest::insert(self.backup, &self.target, &body, &subject.signature)?;
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
