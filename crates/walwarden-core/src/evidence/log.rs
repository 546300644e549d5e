//! Checking the audit log as it lies in storage: checkpoints and entries of every epoch, nothing else.
//!
//! A new epoch begins after the database was set back: its log is that of the epoch before up to some entry, and goes on
//! differently. So the log of an epoch is its own objects, and before the first of these what the epochs before say. What
//! an earlier epoch has beyond that is not lost as long as its objects are there: it is checked as the log of its own epoch.

use std::collections::BTreeMap;
use std::fmt;

use base64::prelude::{BASE64_STANDARD, Engine};
use serde_json::Value;
use uuid::Uuid;

use super::report::Report;
use crate::audit::{Anchor, AuditObject, ChainVerifier, Checkpoint, Entry, Row, SignedNote, leaf_hash};
use crate::error::Result;
use crate::key::PublicKey;
use crate::manifest::Sha256Sum;
use crate::signature::rotation::SignedRotation;

/// An object with entries.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct EntriesName {
    /// The epoch.
    pub epoch: u64,
    /// The first entry.
    pub from: u64,
    /// The last one.
    pub to: u64,
}

impl fmt::Display for EntriesName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { epoch, from, to } = *self;
        AuditObject::Entries { epoch, from, to }.fmt(f)
    }
}

/// The rotation that an entry tells of, where it holds the statement as the old key signed it: the log itself leads from the
/// first key to its successors.
pub fn rotation_in(body: &[u8]) -> Option<SignedRotation> {
    let entry = Entry::from_body(body).ok().filter(|entry| entry.event == "key.rotated")?;
    let text = |field: &str| entry.detail.get(field).and_then(Value::as_str);
    let signature = BASE64_STANDARD.decode(text("signature")?).ok()?;
    SignedRotation::read(text("statement")?.as_bytes(), &signature).ok()
}

/// The checkpoints of a log, checked one by one.
#[derive(Debug, Default)]
pub struct Checkpoints {
    by_epoch: BTreeMap<u64, BTreeMap<u64, Checkpoint>>,
    database: Option<Uuid>,
}

impl Checkpoints {
    /// Takes the object of this name, and reports what is wrong with it alone.
    pub fn take(&mut self, epoch: u64, size: u64, bytes: &[u8], keys: &[PublicKey], report: &mut Report) {
        let place = AuditObject::Checkpoint { epoch, size };
        let checkpoint = match read_checkpoint(bytes, keys) {
            Ok(checkpoint) => checkpoint,
            Err(error) => return report.problem("checkpoint", place, error),
        };
        if (checkpoint.epoch, checkpoint.size) != (epoch, size) {
            let text =
                format!("It is the checkpoint of {} entries in epoch {}.", checkpoint.size, checkpoint.epoch);
            return report.problem("other_checkpoint", place, text);
        }
        if *self.database.get_or_insert(checkpoint.database) != checkpoint.database {
            return report.problem(
                "other_database",
                place,
                format!("It is of database {}.", checkpoint.database),
            );
        }
        self.by_epoch.entry(epoch).or_default().insert(size, checkpoint);
    }

    /// The database that they are of; that of the first, where they disagree.
    pub fn database(&self) -> Option<Uuid> {
        self.database
    }

    /// The epochs that have one.
    pub fn epochs(&self) -> impl Iterator<Item = u64> {
        self.by_epoch.keys().copied()
    }

    fn of(&self, epoch: u64) -> impl Iterator<Item = &Checkpoint> {
        self.by_epoch.get(&epoch).into_iter().flat_map(BTreeMap::values)
    }
}

fn read_checkpoint(bytes: &[u8], keys: &[PublicKey]) -> Result<Checkpoint> {
    let note = SignedNote::parse(bytes)?;
    note.verify(keys)?;
    Checkpoint::parse(&note.text)
}

/// Which objects make up the log of an epoch, in order, and from which entry on each counts up to which, both included.
pub fn pieces(objects: &[EntriesName], epoch: u64) -> Vec<(EntriesName, u64)> {
    let mut own: Vec<&EntriesName> = objects.iter().filter(|name| name.epoch == epoch).collect();
    own.sort();
    let first = own.first().map_or(u64::MAX, |name| name.from);
    let before = objects.iter().map(|name| name.epoch).filter(|other| *other < epoch).max();
    let mut all = match before {
        Some(before) if first > 1 => pieces(objects, before),
        _ => Vec::new(),
    };
    all.retain(|(name, _)| name.from < first);
    for (_, to) in &mut all {
        *to = (*to).min(first.saturating_sub(1));
    }
    all.extend(own.into_iter().map(|name| (name.clone(), name.to)));
    all
}

/// The check of one epoch's log: its lines in order, against its checkpoints.
#[derive(Debug)]
pub struct EpochLog {
    epoch: u64,
    chain: ChainVerifier,
    /// The hashes of the entries so far, by number from 1.
    hashes: BTreeMap<u64, Sha256Sum>,
    next: u64,
}

impl EpochLog {
    /// Begins the log of an epoch.
    pub fn new(epoch: u64, checkpoints: &Checkpoints) -> Self {
        let root = |checkpoint: &Checkpoint| Anchor::Root { size: checkpoint.size, root: checkpoint.root };
        Self {
            epoch,
            chain: ChainVerifier::new(checkpoints.of(epoch).map(root)),
            hashes: BTreeMap::new(),
            next: 1,
        }
    }

    /// Takes the next line of an object; those above `until` belong to an epoch that was given up there.
    pub fn line(&mut self, object: &EntriesName, until: u64, body: &[u8], report: &mut Report) {
        // What cannot be read stands for the entry whose turn it is.
        let entry = Entry::from_body(body);
        let seq = entry.as_ref().map_or(self.next, |entry| entry.seq);
        if until < object.to && seq > until {
            return;
        }
        let place = format!("epoch {}, {object}", self.epoch);
        let numbered = i64::try_from(seq).unwrap_or(i64::MAX);
        if !(object.from..=object.to).contains(&seq) {
            return report.entry_problem(
                "other_object",
                &place,
                numbered,
                "it does not belong into this object",
            );
        }
        if entry.is_ok_and(|entry| entry.epoch > object.epoch) {
            report.entry_problem("other_epoch", &place, numbered, "it is of a later epoch");
        }
        // Objects may overlap, when one was put twice with more in it; then they must agree.
        if let Some(hash) = self.hashes.get(&seq) {
            if *hash != leaf_hash(body) {
                report.entry_problem(
                    "overlap_differs",
                    &place,
                    numbered,
                    "another object has another entry here",
                );
            }
            return;
        }
        for problem in self.chain.push(&Row { seq: numbered, body, hash: None, columns: None }) {
            report.entry_problem(problem.kind.name(), &place, problem.seq, &problem.kind);
        }
        self.hashes.insert(seq, leaf_hash(body));
        self.next = seq.saturating_add(1);
    }

    /// Ends an object: it must have had all entries that its name says.
    pub fn end_of_object(&self, object: &EntriesName, until: u64, report: &mut Report) {
        let last = object.to.min(until);
        if self.next <= last {
            let place = format!("epoch {}, {object}", self.epoch);
            let seq = i64::try_from(self.next).unwrap_or(i64::MAX);
            report.entry_problem("cut", place, seq, format!("the entries from it to {last} are missing"));
        }
    }

    /// Ends the log.
    pub fn finish(self, report: &mut Report) {
        let (epoch, place) = (self.epoch, format!("epoch {}", self.epoch));
        let end = self.chain.finish(None);
        for problem in end.problems {
            report.entry_problem(problem.kind.name(), &place, problem.seq, &problem.kind);
        }
        report.fact(format!("epoch {epoch}: {} entries, tree head {}", end.rows, end.root));
    }
}
