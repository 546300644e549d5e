//! A small log with two epochs, two keys and one backup, and a bundle of it.
#![allow(dead_code, reason = "each test program uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test's support code fails by panicking")]

use std::io::Read;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use uuid::Uuid;
use walwarden_core::audit::event::{ChainAction, JobAction, ScheduleAction};
use walwarden_core::audit::note::{KEY_NAME, sign};
use walwarden_core::audit::proof::Levels;
use walwarden_core::audit::{Checkpoint, Entry, Event, Head, SealedEntry, SignedNote};
use walwarden_core::evidence::consistency::ConsistencyProof;
use walwarden_core::evidence::{About, Bundle, FOLDER, Keys, Scope};
use walwarden_core::job::JobKind;
use walwarden_core::key::SigningKey;
use walwarden_core::manifest::{self, Manifest};
use walwarden_core::signature::rotation::KeyRotation;

const MANIFEST: &[u8] = include_bytes!("../../../walwarden-core/src/manifest/golden/manifest-v1.json");

pub fn key(seed: u8) -> SigningKey {
    SigningKey::generate([seed; 32])
}

pub fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(1_786_672_800_000_000).unwrap() + TimeDelta::seconds(second)
}

/// Everything that a database and its storage know.
pub struct Log {
    pub database: Uuid,
    pub job: Uuid,
    pub entries: Vec<SealedEntry>,
    pub jobs: Vec<Option<Uuid>>,
    pub manifest: Vec<u8>,
    pub signature: [u8; 64],
    /// By epoch and size, in order.
    pub checkpoints: Vec<(Checkpoint, SignedNote)>,
    pub keys: Keys,
}

impl Log {
    /// Key 1 signs until it hands over to key 2, as epoch 2 begins.
    pub fn new() -> Self {
        let mut manifest: Manifest = manifest::parse(MANIFEST).unwrap();
        let (job, database) = (manifest.job.id, manifest.database.id);
        let other = Uuid::from_u128(0x0198_a5d2_7c00_7000_8000_0000_0000_0777);
        let backup = |action| Event::Job(JobKind::Backup, action);
        let schedule = Event::Schedule(ScheduleAction::Altered);
        let plan = [
            (Event::Chain(ChainAction::Heartbeat), None),
            (schedule, None),
            (backup(JobAction::Queued), Some(job)),
            (schedule, None),
            (backup(JobAction::Queued), Some(other)),
            (backup(JobAction::Claimed), Some(job)),
            (backup(JobAction::Running), Some(job)),
            (backup(JobAction::Canceled), Some(other)),
            (backup(JobAction::Finalizing), Some(job)),
            (backup(JobAction::Completed), Some(job)),
            (schedule, None),
            (Event::Chain(ChainAction::Rollback), None),
            (schedule, None),
            (schedule, None),
        ];
        let mut head = Head::EMPTY;
        let mut entries: Vec<SealedEntry> = Vec::new();
        let mut jobs = Vec::new();
        for (number, (event, of_job)) in plan.into_iter().enumerate() {
            let epoch = if number < 11 { 1 } else { 2 };
            let mut entry =
                Entry::following(&head, at(number as i64), epoch, event, "walwarden \\\"leader\u{e9}");
            entry.job = of_job;
            if event == backup(JobAction::Completed) {
                let sha256 = manifest.archive.sha256.to_string();
                entry.detail.insert("sha256".to_owned(), Value::from(sha256));
            }
            if event == backup(JobAction::Finalizing) {
                manifest.audit_head = Head { seq: head.seq, hash: head.hash };
            }
            let sealed = entry.seal().unwrap();
            head = sealed.head();
            entries.push(sealed);
            jobs.push(of_job);
        }
        manifest.key_id = key(1).public().key_id();
        let manifest = manifest::to_canonical_bytes(&manifest).unwrap();
        let signature = key(1).sign(&manifest);
        let tree = Levels::new(entries.iter().map(|entry| entry.hash));
        let checkpoint = |epoch, size, seed| {
            let checkpoint = Checkpoint { database, epoch, size, root: tree.root(size).unwrap() };
            (checkpoint, sign(&checkpoint.to_text(), KEY_NAME, &key(seed)).unwrap())
        };
        let checkpoints = vec![checkpoint(1, 4, 1), checkpoint(1, 10, 1), checkpoint(2, 13, 2)];
        let rotation = KeyRotation { old: key(1).public(), new: key(2).public(), at: at(11) };
        let keys = Keys {
            history: vec![key(1).public(), key(2).public()],
            rotations: vec![rotation.sign(&key(1)).unwrap()],
        };
        Self { database, job, entries, jobs, manifest, signature, checkpoints, keys }
    }

    pub fn tree(&self) -> Levels {
        Levels::new(self.entries.iter().map(|entry| entry.hash))
    }

    /// The bundle of the job, or of all entries that the newest checkpoint covers.
    pub fn bundle(&self, scope: &Scope) -> Vec<u8> {
        let signer = key(2);
        let about = About::new(self.database, "default", scope.clone(), signer.public().key_id());
        let mut bundle = Bundle::begin(Vec::new(), &about, &self.keys, &signer).unwrap();
        bundle.manifest(self.job, 1, &self.manifest, &self.signature).unwrap();
        let newest = &self.checkpoints.last().unwrap();
        let wanted: Vec<&SealedEntry> = match scope {
            Scope::Job(job) => {
                let of_job = |(_, of): &(&SealedEntry, &Option<Uuid>)| **of == Some(*job);
                self.entries.iter().zip(&self.jobs).filter(of_job).map(|(entry, _)| entry).collect()
            }
            Scope::Time { .. } => self.entries[1..newest.0.size as usize].iter().collect(),
        };
        let size = wanted.iter().map(|entry| entry.body.len() as u64 + 1).sum();
        let mut bodies = wanted.iter().map(|entry| entry.body.clone());
        bundle.entries(size, || Ok(bodies.next())).unwrap();
        for (_, note) in &self.checkpoints {
            bundle.checkpoint(note).unwrap();
        }
        let tree = self.tree();
        let proven = match scope {
            Scope::Job(_) => &wanted[..],
            Scope::Time { .. } => &wanted[wanted.len() - 1..],
        };
        for entry in proven {
            let hashes = tree.inclusion(entry.seq - 1, newest.0.size).unwrap();
            bundle.inclusion(entry.seq, hashes, &newest.1).unwrap();
        }
        for [(from, _), (to, _)] in self.checkpoints.array_windows::<2>() {
            let hashes = tree.consistency(from.size, to.size).unwrap();
            let proof = ConsistencyProof { from: (from.epoch, from.size), to: (to.epoch, to.size), hashes };
            bundle.consistency(&proof).unwrap();
        }
        bundle.finish().unwrap()
    }

    pub fn of_job(&self) -> Scope {
        Scope::Job(self.job)
    }

    pub fn of_time(&self) -> Scope {
        Scope::Time { from: at(1), to: at(1000) }
    }
}

/// The files of a bundle, in order, without the folder's name.
pub fn files(tar: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut archive = tar::Archive::new(tar);
    let mut files = Vec::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        if entry.header().entry_type().is_dir() {
            continue;
        }
        let path = entry.path().unwrap().to_str().unwrap().to_owned();
        let name = path.strip_prefix(&format!("{FOLDER}/")).unwrap().to_owned();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        files.push((name, bytes));
    }
    files
}

/// A tar file of these, as somebody else would make it.
pub fn tar_of(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, format!("{FOLDER}/{name}"), &bytes[..]).unwrap();
    }
    tar.into_inner().unwrap()
}
