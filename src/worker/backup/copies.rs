//! The copies of a backup, one a storage: begun, proven, and given up one by one. The backup goes on while one is left.

use super::archive::Outcomes;
use super::fan::Fan;
use super::prepare::{Place, Prepared};
use super::proof::{self, PutObject, StoredArchive};
use crate::catalog::backup_copy::{self, StoredCopy};
use crate::catalog::job::Job;
use crate::pg::clock;
use crate::pg::segment::Segment;
use crate::pg::transaction::transaction;
use crate::worker::io::Io;
use crate::worker::remains::{self, Destination};
use std::time::Duration;
use uuid::Uuid;
use walwarden_core::memory::MemoryPlan;
use walwarden_core::signature::Signer;
use walwarden_core::{Error, ErrorClass, Result};
use walwarden_store::{BackupKeys, Plain, Recipients, Sent, Store, Upload};

/// How long the remains of a copy that failed may take to be removed before they are left to the reaper.
const CLEAN_UP: Duration = Duration::from_secs(30);

/// One copy.
pub struct Copy {
    /// Name of its storage.
    storage: String,
    /// The opened storage; None when that failed.
    store: Option<Store>,
    destination: Option<Destination>,
    upload_id: Option<String>,
    begun: Option<Upload>,
    part_size: Option<u64>,
    /// Where its objects are: encrypted ones have names of their own.
    keys: BackupKeys,
    /// Who can decrypt them, if they are encrypted.
    recipients: Option<Recipients>,
    /// Its archive.
    sent: Option<Sent>,
    /// Its globals.
    globals: Option<PutObject>,
    /// Its manifest and the signature of it.
    signed: Option<(Vec<u8>, [u8; 64])>,
    /// Why it was given up.
    trouble: Option<Error>,
}

/// How one copy is stored: what its manifest says besides what all of them do.
pub struct Form<'a> {
    /// Where its objects are.
    pub keys: &'a BackupKeys,
    /// Who can decrypt them, if they are encrypted.
    pub recipients: Option<&'a Recipients>,
    /// Its archive, before and after it was encrypted.
    pub sent: &'a Sent,
    /// Its globals as they are stored.
    pub globals: &'a PutObject,
}

/// All of them.
pub struct Copies {
    backup: Uuid,
    all: Vec<Copy>,
}

impl Copies {
    /// Open the storages of a backup and begin an upload in each. The storages are asked before any table is locked: a wrong
    /// key or a missing bucket is told at once.
    pub fn begin(io: &Io, job: &Job, prepared: &Prepared, kept: &mut Option<Self>) -> Result<()> {
        let copies = kept.insert(Self { backup: job.id, all: Vec::new() });
        let keys = prepared.layout.backup_keys(job.id, job.queued_at.date_naive());
        for place in &prepared.places {
            copies.all.push(Copy {
                storage: place.storage.name.clone(),
                store: None,
                destination: None,
                upload_id: None,
                begun: None,
                part_size: place.part_size,
                keys: if place.recipients.is_some() { keys.clone().encrypted() } else { keys.clone() },
                recipients: place.recipients.clone(),
                sent: None,
                globals: None,
                signed: None,
                trouble: None,
            });
            let index = copies.all.len() - 1;
            let begun = copies.begin_one(io, index, place);
            copies.settle(io, index, begun)?;
        }
        copies.require_one()
    }

    fn begin_one(&mut self, io: &Io, index: usize, place: &Place) -> Result<()> {
        let backup = self.backup;
        let Some(copy) = self.all.get_mut(index) else { return Err(no_such_copy()) };
        let keys = &copy.keys;
        let destination = Destination::of_backup(&place.storage.url, &place.options, keys);
        let noted = destination.to_json()?;
        let key = keys.archive.clone();
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
                fan.add(io, index, begun, copy.recipients.clone(), part_size, memory.parts_in_flight)?;
            }
        }
        Ok((fan, memory))
    }

    /// What became of each upload; gives what the archive is, before any encryption.
    pub fn note_uploads(&mut self, io: &Io, outcomes: Outcomes) -> Result<Plain> {
        let mut archive: Option<Plain> = None;
        for (index, outcome) in outcomes {
            let outcome = outcome.and_then(|sent| {
                if *archive.get_or_insert(sent.plain) != sent.plain {
                    return Err(Error::internal("two uploads of one stream differ"));
                }
                let Some(copy) = self.all.get_mut(index) else { return Err(no_such_copy()) };
                copy.sent = Some(sent);
                Ok(())
            });
            self.settle(io, index, outcome)?;
        }
        self.require_one()?;
        archive.ok_or_else(|| Error::internal("no upload was complete"))
    }

    /// The keys that the job's row names: those of the first copy that is left.
    pub fn first_keys(&self) -> Result<&BackupKeys> {
        let first = self.all.iter().find(|copy| copy.trouble.is_none());
        first.map(|copy| &copy.keys).ok_or_else(no_such_copy)
    }

    /// Read the archive back from each.
    pub fn prove_archive(&mut self, io: &Io, segment: &Segment) -> Result<()> {
        let counter = &segment.counters().verified_bytes;
        let archives = self
            .open()
            .filter_map(|(index, copy)| {
                Some(StoredArchive {
                    copy: index,
                    store: copy.store.clone()?,
                    key: copy.keys.archive.clone(),
                    uploaded: copy.sent.as_ref()?.uploaded.clone(),
                })
            })
            .collect();
        for (index, outcome) in proof::archives(io, archives, counter)? {
            self.settle(io, index, outcome)?;
        }
        self.require_one()
    }

    /// Put the globals beside each.
    pub fn put_globals(&mut self, io: &Io, globals: &[u8]) -> Result<()> {
        for index in self.open_ones() {
            let outcome = self.put_globals_of(io, index, globals);
            self.settle(io, index, outcome)?;
        }
        self.require_one()
    }

    fn put_globals_of(&mut self, io: &Io, index: usize, globals: &[u8]) -> Result<()> {
        let Some(copy) = self.all.get_mut(index) else { return Err(no_such_copy()) };
        let Some(store) = &copy.store else { return Err(no_such_copy()) };
        let stored = match &copy.recipients {
            Some(recipients) => recipients.encrypt(globals)?,
            None => globals.to_vec(),
        };
        copy.globals = Some(proof::put(io, store, &copy.keys.globals, stored)?);
        Ok(())
    }

    /// Put the signed manifest into each, last of all. Copies that are stored in the same way have the same one.
    pub fn put_manifests(
        &mut self,
        io: &Io,
        build: &dyn Fn(&Form<'_>) -> Result<Vec<u8>>,
        signer: &dyn Signer,
    ) -> Result<()> {
        let mut plain: Option<(Vec<u8>, [u8; 64])> = None;
        for index in self.open_ones() {
            let Some(copy) = self.all.get(index) else { return Err(no_such_copy()) };
            let signed = match (&copy.recipients, &plain) {
                (None, Some(signed)) => signed.clone(),
                _ => {
                    let manifest = build(&copy.form()?)?;
                    let signature = signer.sign(&manifest)?;
                    (manifest, signature)
                }
            };
            if copy.recipients.is_none() {
                plain = Some(signed.clone());
            }
            let Some(store) = &copy.store else { return Err(no_such_copy()) };
            let outcome = proof::manifest(io, store, &copy.keys, &signed.0, signed.1, &signer.public());
            if let Some(copy) = self.all.get_mut(index) {
                copy.signed = Some(signed);
            }
            self.settle(io, index, outcome)?;
        }
        self.require_one()
    }

    /// Write down which are there; true when all are. Runs in the transaction that completes the job.
    pub fn record(&self, key_id: &str) -> Result<bool> {
        for (_, copy) in self.open() {
            let (Some(sent), Some((manifest, signature))) = (&copy.sent, &copy.signed) else {
                return Err(no_such_copy());
            };
            let stored = StoredCopy {
                archive: &copy.keys.archive,
                globals: Some(&copy.keys.globals),
                manifest: &copy.keys.manifest,
                size: sent.uploaded.size,
            };
            let manifest =
                std::str::from_utf8(manifest).map_err(|_| Error::internal("a manifest is not text"))?;
            backup_copy::set_stored(self.backup, &copy.storage, &stored)?;
            crate::catalog::manifest::insert(self.backup, &copy.storage, manifest, signature, key_id)?;
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

    fn open(&self) -> impl Iterator<Item = (usize, &Copy)> {
        self.all.iter().enumerate().filter(|(_, copy)| copy.trouble.is_none())
    }

    fn open_ones(&self) -> Vec<usize> {
        self.open().map(|(index, _)| index).collect()
    }

    /// A copy that failed is given up, recorded and removed, and the others go on. To be told to stop is no trouble of one copy.
    fn settle(&mut self, io: &Io, index: usize, outcome: Result<()>) -> Result<()> {
        let Err(error) = outcome else { return Ok(()) };
        let alone = self.all.len() == 1;
        let Some(copy) = self.all.get_mut(index) else { return Err(no_such_copy()) };
        if alone || error.class.is_request_to_stop() {
            return Err(error);
        }
        crate::error::log(&error, &format!("job {}: the copy in storage \"{}\"", self.backup, copy.storage));
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
            Err(stop) if stop.class.is_request_to_stop() => Err(stop),
            // Stays noted; the reaper tries again when the job has ended.
            Err(trouble) => {
                crate::error::log(&trouble, &format!("job {backup}: cleaning up in storage \"{storage}\""));
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

impl Copy {
    fn form(&self) -> Result<Form<'_>> {
        let (Some(sent), Some(globals)) = (&self.sent, &self.globals) else { return Err(no_such_copy()) };
        Ok(Form { keys: &self.keys, recipients: self.recipients.as_ref(), sent, globals })
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
