//! Checking a bundle: everything that is in it against everything else, and all of it against keys that the reader brings.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::about::{About, Scope};
use super::consistency::ConsistencyProof;
use super::keys::{Keys, trusted_with};
use super::member::{Form, Member};
use super::report::Report;
use crate::audit::proof::verify_consistency;
use crate::audit::{Checkpoint, Entry, SignedNote, TlogProof, leaf_hash};
use crate::error::{Error, ErrorClass, Result};
use crate::key::PublicKey;
use crate::manifest::{self, Manifest, Sha256Sum};
use crate::signature::check;
use crate::signature::rotation::SignedRotation;

/// The largest file that is taken into memory, bytes. Entries are not.
const LARGEST: usize = 256 << 20;
/// All files together.
const MOST: usize = 2 << 30;
/// The longest entry, bytes.
const LONGEST_ENTRY: usize = 16 << 20;

/// The files of a bundle, as they were read.
#[derive(Debug, Default)]
pub struct Collected {
    files: BTreeMap<Member, Vec<u8>>,
    sums: BTreeMap<Member, Sha256Sum>,
    bytes: usize,
    entries: EntryFacts,
    report: Report,
}

/// What is kept of the entries.
#[derive(Debug, Default)]
pub struct EntryFacts {
    /// In the order of the file.
    links: Vec<Link>,
    /// What completed backups said of their archive, by the job.
    completed: BTreeMap<Uuid, Option<String>>,
    jobs: BTreeSet<Uuid>,
    hash: Sha256,
    rest: Vec<u8>,
    line: u64,
}

#[derive(Debug)]
struct Link {
    seq: u64,
    hash: Sha256Sum,
    /// Whether it names the line before it as the entry before it.
    follows: bool,
}

impl Collected {
    /// No file yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes note that something which is no file of a bundle was found.
    pub fn foreign(&mut self, name: &str, why: &str) {
        self.report.problem("unknown_file", name, why);
    }

    /// How large the next file may be, bytes; not for `entries.jsonl`.
    pub fn room(&self) -> usize {
        LARGEST.min(MOST.saturating_sub(self.bytes))
    }

    /// Takes a file by its name below the folder, other than `entries.jsonl`.
    pub fn file(&mut self, name: &str, bytes: Vec<u8>) {
        let Ok(member) = name.parse::<Member>() else {
            return self.foreign(name, "No bundle has a file of this name.");
        };
        if bytes.len() > self.room() {
            return self.report.problem("too_large", name, "It is larger than any file of a bundle.");
        }
        self.bytes += bytes.len();
        let sum = Sha256Sum::of(&bytes);
        if self.sums.insert(member.clone(), sum).is_some() {
            self.report.problem("twice", name, "It is in the bundle twice.");
        }
        self.files.insert(member, bytes);
    }

    /// Takes the next bytes of `entries.jsonl`.
    pub fn entries(&mut self, bytes: &[u8]) {
        let facts = &mut self.entries;
        facts.hash.update(bytes);
        let mut lines = bytes.split_inclusive(|byte| *byte == b'\n');
        for part in &mut lines {
            // One that is too long is cut, and no entry any more.
            let room = (LONGEST_ENTRY + 1).saturating_sub(facts.rest.len());
            facts.rest.extend_from_slice(&part[..part.len().min(room)]);
            if part.ends_with(b"\n") {
                let line = std::mem::take(&mut facts.rest);
                facts.take(line.strip_suffix(b"\n").unwrap_or(&line), &mut self.report);
            }
        }
    }

    /// Ends `entries.jsonl`.
    pub fn end_of_entries(&mut self) {
        let facts = &mut self.entries;
        if !facts.rest.is_empty() {
            let line = std::mem::take(&mut facts.rest);
            facts.take(&line, &mut self.report);
            self.report.problem("entries", Member::Entries, "It does not end in a newline.");
        }
        let sum = Sha256Sum(facts.hash.clone().finalize().into());
        if self.sums.insert(Member::Entries, sum).is_some() {
            self.report.problem("twice", Member::Entries, "It is in the bundle twice.");
        }
    }
}

impl EntryFacts {
    fn take(&mut self, body: &[u8], report: &mut Report) {
        self.line += 1;
        let place = format!("{} line {}", Member::Entries, self.line);
        let entry = match Entry::from_body(body) {
            Ok(entry) => entry,
            Err(error) => return report.problem("malformed_entry", place, error),
        };
        let (seq, hash) = (entry.seq, leaf_hash(body));
        let numbered = i64::try_from(seq).unwrap_or(i64::MAX);
        let before = self.links.last();
        if before.is_some_and(|before| seq <= before.seq) {
            return report.entry_problem(
                "out_of_order",
                place,
                numbered,
                "its number is not above the one before",
            );
        }
        let is_next = before.is_some_and(|before| before.seq + 1 == seq);
        let follows = is_next && before.is_some_and(|before| entry.prev == before.hash.to_string());
        if is_next && !follows {
            let text = "it does not follow the entry before it: \"prev\" names another";
            report.entry_problem("wrong_prev", place, numbered, text);
        }
        self.links.push(Link { seq, hash, follows });
        if let Some(job) = entry.job {
            self.jobs.insert(job);
            if entry.event == "backup.completed" || entry.event == "backup.partial" {
                let sha256 = entry.detail.get("sha256").and_then(Value::as_str).map(str::to_owned);
                self.completed.insert(job, sha256);
            }
        }
    }

    fn find(&self, seq: u64) -> Option<&Link> {
        self.links.binary_search_by_key(&seq, |link| link.seq).ok().map(|at| &self.links[at])
    }
}

/// Checks a bundle. With no key of the reader's own, it is checked against the keys it brings, which the report says.
pub fn examine(collected: Collected, given: &[PublicKey]) -> Report {
    let Collected { files, sums, entries, report, .. } = collected;
    let mut examination = Examination {
        files,
        sums,
        entries,
        report,
        keys: Vec::new(),
        checkpoints: BTreeMap::new(),
        about: None,
    };
    examination.keys(given);
    examination.sums();
    examination.about();
    examination.manifests();
    examination.checkpoints();
    let proven = examination.inclusion();
    examination.consistency();
    examination.coverage(&proven);
    examination.report.problems.sort();
    examination.report
}

struct Examination {
    files: BTreeMap<Member, Vec<u8>>,
    sums: BTreeMap<Member, Sha256Sum>,
    entries: EntryFacts,
    report: Report,
    /// Those that are believed.
    keys: Vec<PublicKey>,
    /// By size and epoch: in the order in which they were made.
    checkpoints: BTreeMap<(u64, u64), (Checkpoint, SignedNote)>,
    about: Option<About>,
}

impl Examination {
    /// A file, or a problem.
    fn file(&mut self, member: &Member) -> Option<Vec<u8>> {
        let found = self.files.get(member).cloned();
        if found.is_none() {
            self.report.problem("missing", member, "It is missing.");
        }
        found
    }

    /// A file that can be read, or a problem.
    fn parsed<T>(&mut self, member: &Member, parse: impl FnOnce(&[u8]) -> Result<T>) -> Option<T> {
        let bytes = self.file(member)?;
        let parsed = parse(&bytes);
        self.noted("malformed", member, parsed)
    }

    fn noted<T>(&mut self, kind: &'static str, member: &Member, outcome: Result<T>) -> Option<T> {
        outcome.map_err(|error| self.report.problem(kind, member, error)).ok()
    }

    fn members(&self, wanted: impl Fn(&Member) -> bool) -> Vec<Member> {
        self.files.keys().filter(|member| wanted(member)).cloned().collect()
    }

    /// The keys that the bundle brings, and which of them are believed.
    fn keys(&mut self, given: &[PublicKey]) {
        let history = self.file(&Member::KeyHistory).unwrap_or_default();
        let mut brought = Vec::new();
        for id in String::from_utf8_lossy(&history).lines() {
            let member = Member::Key(id.to_owned());
            let parse = |bytes: &[u8]| PublicKey::from_pem(&String::from_utf8_lossy(bytes));
            match self.parsed(&member, parse) {
                Some(key) if key.key_id() == id => brought.push(key),
                Some(key) => {
                    let text = format!("It is key {}.", key.key_id());
                    self.report.problem("key_id", member, text);
                }
                None => {}
            }
        }
        let mut rotations = Vec::new();
        for member in self.members(|member| matches!(member, Member::Rotation(_))) {
            let Member::Rotation(number) = member else { continue };
            let Some(signature) = self.file(&Member::RotationSignature(number)) else { continue };
            rotations.extend(self.parsed(&member, |bytes| SignedRotation::read(bytes, &signature)));
        }
        // What is written of these keys elsewhere must be of the same ones.
        let keys = Keys { history: brought.clone(), rotations: rotations.clone() };
        for (member, bytes) in keys.files().unwrap_or_default() {
            if self.file(&member).is_some_and(|there| there != bytes) {
                self.report.problem("key_form", &member, "It does not hold the keys of the bundle.");
            }
        }
        let start = if given.is_empty() { &brought[..brought.len().min(1)] } else { given };
        self.keys = trusted_with(start, &rotations);
        for key in &self.keys {
            self.report.fact(format!("key {} is believed", key.key_id()));
        }
        if given.is_empty() {
            self.report.fact(
                "no public key was given: the bundle is checked against the first key it brings itself; \
                 compare that key's id with one you know",
            );
        }
        for key in brought.iter().filter(|key| !self.keys.contains(key)) {
            self.report.fact(format!(
                "key {} is not believed, nor what it signed: no key that is believed handed over to it",
                key.key_id()
            ));
        }
    }

    /// Whether one of the believed keys signed, in one of the forms.
    fn signed(&mut self, form: Form, message: &[u8], signature: &Member) -> Option<PublicKey> {
        let bytes = self.file(signature)?;
        let outcome = match form {
            Form::Raw => raw_signature(&bytes, message, &self.keys),
            Form::Minisign => check::minisign(&bytes, message, &self.keys),
            Form::Ssh => check::sshsig(&bytes, message, &self.keys),
        };
        let outcome = outcome.copied();
        self.noted("signature", signature, outcome)
    }

    fn sums(&mut self) {
        let Some(bytes) = self.file(&Member::Sums) else { return };
        for form in Form::ALL {
            self.signed(form, &bytes, &Member::SumsSignature(form));
        }
        let mut listed = BTreeMap::new();
        for (number, line) in (1..).zip(String::from_utf8_lossy(&bytes).split_terminator('\n')) {
            let read = line
                .split_once("  ")
                .and_then(|(sum, name)| Some((name.parse::<Member>().ok()?, sum.parse::<Sha256Sum>().ok()?)));
            let is_new = read.is_some_and(|(member, sum)| listed.insert(member, sum).is_none());
            if !is_new {
                self.report.problem("malformed", Member::Sums, format!("Line {number} is no sum of a file."));
            }
        }
        let of_sums = |member: &Member| matches!(member, Member::Sums | Member::SumsSignature(_));
        for (member, sum) in &listed {
            match self.sums.get(member) {
                Some(there) if there == sum => {}
                Some(_) => self.report.problem("sum_differs", member, "It is not what SHA256SUMS says."),
                None => self.report.problem("missing", member, "SHA256SUMS names it, and it is missing."),
            }
        }
        for member in self.sums.keys().filter(|member| !of_sums(member) && !listed.contains_key(member)) {
            self.report.problem("not_listed", member, "SHA256SUMS does not name it.");
        }
    }

    fn about(&mut self) {
        self.about = self.parsed(&Member::About, About::parse);
        if let Some(about) = &self.about {
            self.report.fact(format!("database {}", about.database));
            match &about.scope {
                Scope::Job(job) => self.report.fact(format!("the entries of job {job}")),
                Scope::Time { from, to } => self.report.fact(format!("the entries from {from} to {to}")),
            }
        }
    }

    fn manifests(&mut self) {
        let mut of_jobs = BTreeSet::new();
        for member in self.members(|member| matches!(member, Member::Manifest(..))) {
            let Member::Manifest(job, number) = member else { continue };
            let Some(bytes) = self.file(&member) else { continue };
            let by = self.signed(Form::Raw, &bytes, &Member::ManifestSignature(job, number, Form::Raw));
            for form in [Form::Minisign, Form::Ssh] {
                self.signed(form, &bytes, &Member::ManifestSignature(job, number, form));
            }
            let Some(manifest) = self.parsed(&member, manifest::parse) else { continue };
            of_jobs.insert(job);
            for (kind, text) in self.disagreements(&manifest, job, by) {
                self.report.problem(kind, &member, text);
            }
            self.report.fact(format!(
                "backup {job}: archive {} of {} bytes, SHA-256 {}",
                manifest.archive.key, manifest.archive.size, manifest.archive.sha256
            ));
        }
        for job in self.entries.completed.keys().filter(|job| !of_jobs.contains(job)) {
            let text = "A backup was completed, and its manifest is missing.";
            self.report.problem("missing", Member::Manifest(*job, 1), text);
        }
    }

    /// What a manifest says otherwise than its name, its signature, the bundle or the entries.
    fn disagreements(
        &self,
        manifest: &Manifest,
        job: Uuid,
        signed_by: Option<PublicKey>,
    ) -> Vec<(&'static str, String)> {
        let mut found = Vec::new();
        if manifest.job.id != job {
            found.push(("other_job", format!("It is the manifest of job {}.", manifest.job.id)));
        }
        if signed_by.is_some_and(|key| key.key_id() != manifest.key_id) {
            found.push(("key_id", format!("It names key {}, and another signed it.", manifest.key_id)));
        }
        if self.about.as_ref().is_some_and(|about| about.database != manifest.database.id) {
            found.push(("other_database", format!("It is of database {}.", manifest.database.id)));
        }
        match self.entries.completed.get(&manifest.job.id) {
            Some(sha256) if *sha256 != Some(manifest.archive.sha256.to_string()) => {
                let text = "Its archive is not the one that the entry of its completion names.";
                found.push(("archive_differs", text.to_owned()));
            }
            Some(_) => {}
            None => found.push(("no_entry", "No entry says that its backup was completed.".to_owned())),
        }
        let head = &manifest.audit_head;
        if self.entries.find(head.seq).is_some_and(|link| link.hash != head.hash) {
            found.push((
                "head_differs",
                format!("Entry {} is not the one that it names as the newest of its time.", head.seq),
            ));
        }
        found
    }

    fn checkpoints(&mut self) {
        for member in self.members(|member| matches!(member, Member::Checkpoint(..))) {
            let Some(note) = self.parsed(&member, SignedNote::parse) else { continue };
            let verified = note.verify(&self.keys).map(|_| ());
            if self.noted("signature", &member, verified).is_none() {
                continue;
            }
            let Some(checkpoint) = self.noted("malformed", &member, Checkpoint::parse(&note.text)) else {
                continue;
            };
            if member != Member::Checkpoint(checkpoint.epoch, checkpoint.size) {
                let text = format!(
                    "It is the checkpoint of {} entries in epoch {}.",
                    checkpoint.size, checkpoint.epoch
                );
                self.report.problem("other_checkpoint", &member, text);
                continue;
            }
            if self.about.as_ref().is_some_and(|about| about.database != checkpoint.database) {
                let text = format!("It is of database {}.", checkpoint.database);
                self.report.problem("other_database", &member, text);
                continue;
            }
            self.checkpoints.insert((checkpoint.size, checkpoint.epoch), (checkpoint, note));
        }
        match self.checkpoints.last_key_value() {
            Some((_, (newest, _))) => self.report.fact(format!(
                "the newest of {} checkpoints is over {} entries, epoch {}",
                self.checkpoints.len(),
                newest.size,
                newest.epoch
            )),
            None => self.report.problem(
                "missing",
                "checkpoints",
                "There is no checkpoint that could be believed.",
            ),
        }
    }

    /// Returns the numbers of the entries that a proof is there for.
    fn inclusion(&mut self) -> BTreeSet<u64> {
        let mut proven = BTreeSet::new();
        for member in self.members(|member| matches!(member, Member::Inclusion(_))) {
            let Member::Inclusion(seq) = member else { continue };
            let Some(proof) = self.parsed(&member, TlogProof::parse) else { continue };
            if proof.index.checked_add(1) != Some(seq) {
                let text = format!("It is the proof of entry {}.", proof.index.saturating_add(1));
                self.report.problem("other_entry", &member, text);
                continue;
            }
            let Some(hash) = self.entries.find(seq).map(|link| link.hash) else {
                self.report.problem("missing", &member, "The entry that it is to prove is missing.");
                continue;
            };
            let newest = self.checkpoints.last_key_value().map(|(_, (_, note))| note);
            if newest.is_some_and(|newest| *newest != proof.checkpoint) {
                let text = "It leads to another checkpoint than the newest of the bundle.";
                self.report.problem("other_checkpoint", &member, text);
                continue;
            }
            let verified = proof.verify(hash, &self.keys);
            if self.noted("proof", &member, verified).is_some() {
                proven.insert(seq);
            }
        }
        proven
    }

    /// Each checkpoint must add to the one before.
    fn consistency(&mut self) {
        let mut pairs = BTreeSet::new();
        let checkpoints: Vec<Checkpoint> =
            self.checkpoints.values().map(|(checkpoint, _)| *checkpoint).collect();
        for [earlier, later] in checkpoints.array_windows::<2>() {
            let member = Member::Consistency((earlier.epoch, earlier.size), (later.epoch, later.size));
            pairs.insert(member.clone());
            let Some(proof) = self.parsed(&member, ConsistencyProof::parse) else { continue };
            if (proof.from, proof.to) != ((earlier.epoch, earlier.size), (later.epoch, later.size)) {
                self.report.problem("other_checkpoint", &member, "It is the proof for other checkpoints.");
                continue;
            }
            let verified =
                verify_consistency(earlier.size, earlier.root, later.size, later.root, &proof.hashes);
            self.noted("proof", &member, verified);
        }
        for member in
            self.members(|member| matches!(member, Member::Consistency(..)) && !pairs.contains(member))
        {
            let text = "It is not between one checkpoint of the bundle and the next.";
            self.report.problem("other_checkpoint", member, text);
        }
    }

    /// Every entry must be proven: by a proof of its own, or because the next one names it and is proven.
    fn coverage(&mut self, proven: &BTreeSet<u64>) {
        if !self.sums.contains_key(&Member::Entries) {
            self.report.problem("missing", Member::Entries, "It is missing.");
        }
        let mut next_proves = false;
        let mut unproven = Vec::new();
        for link in self.entries.links.iter().rev() {
            let is_proven = next_proves || proven.contains(&link.seq);
            if !is_proven {
                unproven.push(link.seq);
            }
            next_proves = is_proven && link.follows;
        }
        for seq in unproven.iter().rev() {
            let text = "no proof shows that a signed checkpoint covers it";
            let seq = i64::try_from(*seq).unwrap_or(i64::MAX);
            self.report.entry_problem("unproven", Member::Entries, seq, text);
        }
        match self.about.as_ref().map(|about| &about.scope) {
            Some(Scope::Job(job)) => {
                if !self.entries.jobs.contains(job) {
                    let text = format!("There is no entry of job {job}.");
                    self.report.problem("missing", Member::Entries, text);
                }
                if self.entries.jobs.iter().any(|other| other != job) {
                    self.report.problem("other_job", Member::Entries, "There are entries of other jobs.");
                }
            }
            Some(Scope::Time { .. }) => {
                let breaks: Vec<[u64; 2]> = self
                    .entries
                    .links
                    .array_windows::<2>()
                    .map(|[one, next]| [one.seq, next.seq])
                    .filter(|[one, next]| one + 1 != *next)
                    .collect();
                for [one, next] in breaks {
                    let text = format!("entries {} to {} before it are missing", one + 1, next - 1);
                    let seq = i64::try_from(next).unwrap_or(i64::MAX);
                    self.report.entry_problem("gap", Member::Entries, seq, text);
                }
            }
            None => {}
        }
        self.report.fact(format!(
            "{} of {} entries are proven to be in the signed log",
            self.entries.links.len() - unproven.len(),
            self.entries.links.len()
        ));
    }
}

/// Which of the keys made a raw signature.
fn raw_signature<'a>(signature: &[u8], message: &[u8], keys: &'a [PublicKey]) -> Result<&'a PublicKey> {
    keys.iter().find(|key| key.verify_strict(message, signature).is_ok()).ok_or_else(|| {
        Error::new(ErrorClass::StorageCorrupt, "could not verify the signature")
            .detail("It is by none of the keys that are believed.")
    })
}
