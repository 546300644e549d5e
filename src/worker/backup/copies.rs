//! The copies of a backup, one a storage: begun, proven, and given up one by one. The backup goes on while one is left.

use super::fan::Fan;
use super::prepare::{Place, Prepared};
use super::proof::{self, PutObject};
use crate::catalog::backup_copy::{self, StoredCopy};
use crate::catalog::job::Job;
use crate::pg::segment::Segment;
use crate::pg::transaction::transaction;
use crate::pg::{clock, server};
use crate::worker::io::Io;
use crate::worker::remains::{self, Destination};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use uuid::Uuid;
use walwarden_core::key::PublicKey;
use walwarden_core::memory::MemoryPlan;
use walwarden_core::{Error, ErrorClass, Result};
use walwarden_store::{BackupKeys, Recipients, Sent, Store, Upload, Uploaded};

/// How long the remains of a copy that failed may take to be removed before they are left to the reaper.
const CLEAN_UP: Duration = Duration::from_secs(30);

/// One copy.
pub struct Copy {
    /// Name of its storage.
    pub storage: String,
    /// The opened storage; None when that failed.
    pub store: Option<Store>,
    destination: Option<Destination>,
    upload_id: Option<String>,
    begun: Option<Upload>,
    part_size: Option<u64>,
    /// Why it was given up.
    pub trouble: Option<Error>,
}

/// All of them.
pub struct Copies {
    backup: Uuid,
    /// Where each storage has the objects.
    pub keys: BackupKeys,
    /// Who can decrypt them, if they are encrypted.
    recipients: Option<Recipients>,
    all: Vec<Copy>,
}

impl Copies {
    /// Open the storages of a backup and begin an upload in each. The storages are asked before any table is locked: a wrong
    /// key or a missing bucket is told at once.
    pub fn begin(io: &Io, job: &Job, prepared: &Prepared, kept: &mut Option<Self>) -> Result<()> {
        let copies = kept.insert(Self {
            backup: job.id,
            keys: match &prepared.recipients {
                Some(_) => prepared.layout.backup_keys(job.id, job.queued_at.date_naive()).encrypted(),
                None => prepared.layout.backup_keys(job.id, job.queued_at.date_naive()),
            },
            recipients: prepared.recipients.clone(),
            all: Vec::new(),
        });
        for place in &prepared.places {
            copies.all.push(Copy {
                storage: place.storage.name.clone(),
                store: None,
                destination: None,
                upload_id: None,
                begun: None,
                part_size: place.part_size,
                trouble: None,
            });
            let index = copies.all.len() - 1;
            let begun = copies.begin_one(io, index, place);
            copies.settle(io, index, begun)?;
        }
        copies.require_one()
    }

    fn begin_one(&mut self, io: &Io, index: usize, place: &Place) -> Result<()> {
        let destination = Destination {
            url: place.storage.url.clone(),
            options: place.options.clone(),
            manifest_key: self.keys.manifest.clone(),
            keys: vec![self.keys.signature.clone(), self.keys.globals.clone(), self.keys.archive.clone()],
            upload_key: self.keys.archive.clone(),
            server: server::running(),
            noted_at: clock::now(),
        };
        let noted = destination.to_json()?;
        let (backup, key) = (self.backup, self.keys.archive.clone());
        let Some(copy) = self.all.get_mut(index) else { return Err(no_such_copy()) };
        transaction(|| backup_copy::begin(backup, &copy.storage, backup, &noted))?;
        let store = destination.open();
        copy.destination = Some(destination);
        let store = match store {
            Ok(store) => copy.store.insert(store).clone(),
            Err(error) => {
                copy.destination = None;
                return Err(error);
            }
        };
        let begun = match io.run(async move { store.begin_upload(&key).await }) {
            Ok(begun) => begun,
            Err(error) => {
                if is_refusal(error.class) {
                    copy.destination = None;
                }
                return Err(error);
            }
        };
        copy.upload_id = Some(begun.id().to_owned());
        transaction(|| backup_copy::set_upload(backup, &copy.storage, begun.id()))?;
        copy.begun = Some(begun);
        Ok(())
    }

    /// The part size of all uploads, so that all copies are the same in parts too, and what memory allows.
    pub fn start(&mut self, io: &Io, estimate: u64) -> Result<(Fan, MemoryPlan)> {
        let wanted = |copy: &Copy| {
            let store = copy.store.as_ref()?;
            copy.begun.as_ref().map(|_| store.plan_part_size(estimate, copy.part_size))
        };
        let part_size = self.all.iter().filter_map(wanted).max().unwrap_or_default();
        let uploads = self.all.iter().filter(|copy| copy.begun.is_some()).count();
        let memory = MemoryPlan::of(crate::guc::max_memory(), part_size, uploads as u64)?;
        let mut fan = Fan::default();
        for (index, copy) in self.all.iter_mut().enumerate() {
            if let Some(begun) = copy.begun.take() {
                fan.add(io, index, begun, self.recipients.clone(), part_size, memory.parts_in_flight)?;
            }
        }
        Ok((fan, memory))
    }

    /// What became of each upload; gives what the archive is in all that are complete.
    pub fn note_uploads(&mut self, io: &Io, outcomes: Vec<(usize, Result<Sent>)>) -> Result<Sent> {
        let mut archive: Option<Sent> = None;
        for (index, outcome) in outcomes {
            let outcome = outcome.and_then(|uploaded| {
                let known = archive.get_or_insert_with(|| uploaded.clone());
                if *known == uploaded {
                    Ok(())
                } else {
                    Err(Error::internal("two uploads of one stream differ"))
                }
            });
            self.settle(io, index, outcome)?;
        }
        self.require_one()?;
        archive.ok_or_else(|| Error::internal("no upload was complete"))
    }

    /// Read the archive back from each.
    pub fn prove_archive(&mut self, io: &Io, uploaded: &Uploaded, segment: &Segment) -> Result<()> {
        let stores: Vec<(usize, Store)> = self.open().map(|(index, store)| (index, store.clone())).collect();
        let counter = &segment.counters().verified_bytes;
        let outcomes = proof::archive(io, &stores, &self.keys, uploaded, counter)?;
        counter.store(uploaded.size, Relaxed);
        for (index, outcome) in outcomes {
            self.settle(io, index, outcome)?;
        }
        self.require_one()
    }

    /// Put the globals beside each.
    pub fn put_globals(&mut self, io: &Io, globals: &[u8]) -> Result<PutObject> {
        let key = self.keys.globals.clone();
        let encrypted = self.recipients.as_ref().map(|recipients| recipients.encrypt(globals)).transpose()?;
        let globals = encrypted.as_deref().unwrap_or(globals);
        let mut put = None;
        for (index, store) in self.open_stores() {
            let outcome = proof::put(io, &store, &key, globals.to_vec()).map(|object| {
                put.get_or_insert(object);
            });
            self.settle(io, index, outcome)?;
        }
        self.require_one()?;
        put.ok_or_else(|| Error::internal("the globals are nowhere"))
    }

    /// Put the signed manifest into each, last of all.
    pub fn put_manifest(
        &mut self,
        io: &Io,
        manifest: &[u8],
        signature: [u8; 64],
        public_key: &PublicKey,
    ) -> Result<()> {
        for (index, store) in self.open_stores() {
            let outcome = proof::manifest(io, &store, &self.keys, manifest, signature, public_key);
            self.settle(io, index, outcome)?;
        }
        self.require_one()
    }

    /// Write down which are there; true when all are. Runs in the transaction that completes the job.
    pub fn record(&self, size: u64, manifest: &str, signature: &[u8]) -> Result<bool> {
        let stored = StoredCopy {
            archive: &self.keys.archive,
            globals: Some(&self.keys.globals),
            manifest: &self.keys.manifest,
            size,
        };
        for copy in self.all.iter().filter(|copy| copy.trouble.is_none()) {
            backup_copy::set_stored(self.backup, &copy.storage, &stored)?;
            crate::catalog::manifest::insert(self.backup, &copy.storage, manifest, signature)?;
        }
        Ok(self.all.iter().all(|copy| copy.trouble.is_none()))
    }

    /// Remove what all of them wrote. Ok means that nothing is left.
    pub fn clean_up(&self, io: &Io, limit: Duration) -> Result<()> {
        let mut outcome = Ok(());
        for copy in &self.all {
            if let Some(destination) = &copy.destination {
                let cleaned = remains::clean_up(io, destination, copy.upload_id.as_deref(), limit);
                outcome = outcome.and(cleaned);
            }
        }
        outcome
    }

    fn open(&self) -> impl Iterator<Item = (usize, &Store)> {
        self.all
            .iter()
            .enumerate()
            .filter(|(_, copy)| copy.trouble.is_none())
            .filter_map(|(index, copy)| Some((index, copy.store.as_ref()?)))
    }

    fn open_stores(&self) -> Vec<(usize, Store)> {
        self.open().map(|(index, store)| (index, store.clone())).collect()
    }

    /// A copy that failed is given up, recorded and removed, and the others go on. To be told to stop is no trouble of one copy.
    fn settle(&mut self, io: &Io, index: usize, outcome: Result<()>) -> Result<()> {
        let Err(error) = outcome else { return Ok(()) };
        let alone = self.all.len() == 1;
        let Some(copy) = self.all.get_mut(index) else { return Err(no_such_copy()) };
        if alone || matches!(error.class, ErrorClass::Canceled | ErrorClass::Terminated) {
            return Err(error);
        }
        crate::error::log(&error, &format!("the copy in storage \"{}\"", copy.storage));
        let (backup, storage) = (self.backup, &copy.storage);
        let try_again_at = backup_copy::next_try(clock::now(), 0);
        transaction(|| backup_copy::set_missing(backup, storage, &error, try_again_at))?;
        copy.trouble = Some(error);
        let cleaned = match &copy.destination {
            Some(destination) => remains::clean_up(io, destination, copy.upload_id.as_deref(), CLEAN_UP),
            None => Ok(()),
        };
        match cleaned {
            Ok(()) => {
                copy.destination = None;
                transaction(|| backup_copy::clear_remains(backup, storage))
            }
            Err(stop) if matches!(stop.class, ErrorClass::Canceled | ErrorClass::Terminated) => Err(stop),
            // Stays noted; the reaper tries again when the job has ended.
            Err(trouble) => {
                crate::error::log(&trouble, &format!("cleaning up in storage \"{storage}\""));
                Ok(())
            }
        }
    }

    /// Without any copy there is no backup: the job fails with the first one's trouble.
    fn require_one(&self) -> Result<()> {
        if self.all.iter().any(|copy| copy.trouble.is_none()) {
            return Ok(());
        }
        let first = self.all.iter().find_map(|copy| copy.trouble.clone());
        Err(first.unwrap_or_else(|| Error::internal("a backup has no storage")))
    }
}

/// Whether storage answered with a clear no, so that nothing was begun there.
fn is_refusal(class: ErrorClass) -> bool {
    matches!(
        class,
        ErrorClass::StoragePermission
            | ErrorClass::StorageNotFound
            | ErrorClass::StorageConflict
            | ErrorClass::StorageFull
    )
}

fn no_such_copy() -> Error {
    Error::internal("a copy has no storage")
}
