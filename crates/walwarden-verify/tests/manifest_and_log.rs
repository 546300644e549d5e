//! A manifest with its archive, and the audit log as it lies in storage.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test's support code fails by panicking"
)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use support::{Log, key};
use tempfile::TempDir;
use walwarden_core::audit::note::{KEY_NAME, sign};
use walwarden_core::audit::proof::Levels;
use walwarden_core::audit::{Checkpoint, Entry, SealedEntry};
use walwarden_core::manifest::{self, Part, Sha256Sum};

fn run(arguments: &[&str]) -> (u8, Value, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = walwarden_verify::run(arguments.iter().map(Into::into), &mut out, &mut err);
    let text = String::from_utf8(if out.is_empty() { err } else { out }).unwrap();
    (code, serde_json::from_str(&text).unwrap_or(Value::Null), text)
}

fn write_keys(folder: &Path) -> [PathBuf; 2] {
    [1, 2].map(|seed| {
        let path = folder.join(format!("{seed}.pem"));
        fs::write(&path, key(seed).public().to_pem().unwrap()).unwrap();
        path
    })
}

fn kinds(report: &Value) -> Vec<(String, String, Option<i64>)> {
    let problems = report["problems"].as_array().unwrap_or_else(|| panic!("{report}"));
    problems
        .iter()
        .map(|problem| {
            let text = |field: &str| problem[field].as_str().unwrap().to_owned();
            (text("kind"), text("place"), problem["seq"].as_i64())
        })
        .collect()
}

#[test]
fn a_manifest_and_its_archive() {
    let folder = TempDir::new().unwrap();
    let [pem, other_pem] = write_keys(folder.path());
    let archive: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
    let log = Log::new();
    let mut manifest = manifest::parse(&log.manifest).unwrap();
    let cut = 150_000;
    manifest.archive.size = archive.len() as u64;
    manifest.archive.sha256 = Sha256Sum::of(&archive);
    let part = |from: usize, to: usize| Part {
        offset: from as u64,
        size: (to - from) as u64,
        sha256: Sha256Sum::of(&archive[from..to]),
    };
    manifest.archive.parts = vec![part(0, cut), part(cut, archive.len())];
    manifest.tables.clear();
    manifest.totals = manifest::Totals { tables: 0, rows: 0, raw_bytes: 0 };
    let bytes = manifest::to_canonical_bytes(&manifest).unwrap();
    let path = folder.path().join("X.manifest.json");
    let (signature, dump) = (folder.path().join("X.manifest.json.sig"), folder.path().join("X.dump"));
    fs::write(&path, &bytes).unwrap();
    fs::write(&signature, key(1).sign(&bytes)).unwrap();
    fs::write(&dump, &archive).unwrap();
    let check = |pem: &Path| {
        let [path, pem, dump] = [&path, pem, &dump].map(|path| path.to_str().unwrap());
        run(&["manifest", path, "--key", pem, "--archive", dump, "--json"])
    };
    let (code, report, _) = check(&pem);
    assert_eq!((code, kinds(&report)), (0, vec![]));
    let (code, report, _) = check(&other_pem);
    assert_eq!((code, kinds(&report)[0].0.as_str()), (1, "signature"));

    let mut damaged = archive.clone();
    damaged[cut + 5] ^= 1;
    fs::write(&dump, &damaged).unwrap();
    let (code, report, text) = check(&pem);
    assert_eq!(code, 1);
    let found: Vec<_> = kinds(&report).into_iter().map(|(kind, ..)| kind).collect();
    assert_eq!(found, ["part_differs", "sum_differs"]);
    assert!(text.contains("bytes 150000 to 399999"), "{text}");
    fs::write(&dump, &archive[1..]).unwrap();
    assert_eq!(kinds(&check(&pem).1)[0].0, "size_differs");

    fs::write(&dump, &archive).unwrap();
    for place in [0, bytes.len() / 2, bytes.len() - 1] {
        let mut damaged = bytes.clone();
        damaged[place] ^= 1;
        fs::write(&path, &damaged).unwrap();
        assert_eq!(check(&pem).0, 1, "byte {place}");
    }
    fs::write(&path, &bytes).unwrap();
    fs::write(&signature, &key(1).sign(&bytes)[..63]).unwrap();
    assert_eq!(check(&pem).0, 1);
    fs::remove_file(&signature).unwrap();
    assert_eq!(check(&pem).0, 2, "what cannot be read is not checked");
}

#[test]
fn arguments_that_make_no_sense_are_told_apart() {
    for arguments in [
        &[][..],
        &["bundle"],
        &["bundle", "a", "b"],
        &["everything", "a"],
        &["bundle", "/nowhere/at/all"],
        &["bundle", "a", "--archive", "b"],
        &["manifest", "a"],
        &["log", "a"],
        &["log", "/nowhere/at/all", "--key", "/nowhere"],
        &["bundle", "a", "--verbose"],
        &["bundle", "a", "--key"],
    ] {
        let (code, _, text) = run(arguments);
        assert_eq!(code, 2, "{arguments:?}");
        assert!(text.starts_with("walwarden-verify: "), "{text}");
    }
    let (code, _, text) = run(&["--help"]);
    assert_eq!(code, 0);
    assert!(text.contains("walwarden-verify log FOLDER"), "{text}");
}

/// A bucket with the log of two epochs: the database was set back from entry 12 to entry 11.
struct Bucket {
    folder: TempDir,
    log: Log,
    /// Entry 12 of epoch 1, which the database has forgotten.
    forgotten: SealedEntry,
}

impl Bucket {
    fn new() -> Self {
        let log = Log::new();
        let head = log.entries[10].head();
        let event =
            walwarden_core::audit::Event::Schedule(walwarden_core::audit::event::ScheduleAction::Removed);
        let forgotten = Entry::following(&head, support::at(11), 1, event, "somebody").seal().unwrap();
        let bucket = Self { folder: TempDir::new().unwrap(), log, forgotten };
        let bodies =
            |range: std::ops::Range<usize>| bucket.log.entries[range].iter().map(|entry| entry.body.clone());
        bucket.put_entries(1, 1, 4, bodies(0..4));
        bucket.put_entries(1, 5, 12, bodies(4..11).chain([bucket.forgotten.body.clone()]));
        bucket.put_entries(2, 12, 13, bodies(11..13));
        for (checkpoint, note) in &bucket.log.checkpoints {
            bucket.put(
                &format!("checkpoint/{:010}/{:020}", checkpoint.epoch, checkpoint.size),
                &note.to_text(),
            );
        }
        let hashes = bucket.log.entries[..11].iter().map(|entry| entry.hash).chain([bucket.forgotten.hash]);
        let root = Levels::new(hashes).root(12).unwrap();
        bucket.put_checkpoint(Checkpoint { database: bucket.log.database, epoch: 1, size: 12, root }, 1);
        bucket
    }

    fn audit(&self) -> PathBuf {
        self.folder.path().join(format!("org/default/db/{}/audit", self.log.database))
    }

    fn put(&self, name: &str, text: &str) {
        let path = self.audit().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn put_entries(&self, epoch: u64, from: u64, to: u64, bodies: impl Iterator<Item = String>) {
        let text: String = bodies.map(|body| body + "\n").collect();
        self.put(&format!("entries/{epoch:010}/{from:020}-{to:020}.jsonl"), &text);
    }

    fn put_checkpoint(&self, checkpoint: Checkpoint, seed: u8) {
        let note = sign(&checkpoint.to_text(), KEY_NAME, &key(seed)).unwrap();
        self.put(&format!("checkpoint/{:010}/{:020}", checkpoint.epoch, checkpoint.size), &note.to_text());
    }

    fn check(&self) -> (u8, Value) {
        let keys = write_keys(self.folder.path());
        let [one, two] = keys.each_ref().map(|path| path.to_str().unwrap());
        let folder = self.folder.path().to_str().unwrap();
        let (code, report, _) = run(&["log", folder, "--key", one, "--key", two, "--json"]);
        (code, report)
    }

    #[track_caller]
    fn assert_found(&self, kind: &str, place: &str, seq: Option<i64>) {
        let (code, report) = self.check();
        assert_eq!(code, 1);
        let found = kinds(&report);
        let is_it = |(k, p, s): &(String, String, Option<i64>)| k == kind && p.contains(place) && *s == seq;
        assert!(found.iter().any(is_it), "no {kind} at {place}, entry {seq:?}, in {found:#?}");
    }
}

#[test]
fn a_log_with_a_rollback_is_sound() {
    let bucket = Bucket::new();
    let (code, report) = bucket.check();
    assert_eq!((code, kinds(&report)), (0, vec![]), "{report:#}");
    let facts = report["facts"].to_string();
    assert!(facts.contains("epoch 1: 12 entries") && facts.contains("epoch 2: 13 entries"), "{facts}");
    // An object that was put again with more in it.
    let bodies = bucket.log.entries[4..10].iter().map(|entry| entry.body.clone());
    bucket.put_entries(1, 5, 10, bodies);
    assert_eq!(bucket.check().0, 0);
}

#[test]
fn every_flipped_bit_of_a_log_is_found() {
    let bucket = Bucket::new();
    let folders =
        ["checkpoint/0000000001", "entries/0000000001", "checkpoint/0000000002", "entries/0000000002"];
    for folder in folders {
        for path in fs::read_dir(bucket.audit().join(folder)).unwrap().map(|entry| entry.unwrap().path()) {
            let sound = fs::read(&path).unwrap();
            for at in (0..sound.len() * 8).step_by(37) {
                let mut damaged = sound.clone();
                damaged[at / 8] ^= 1 << (at % 8);
                fs::write(&path, &damaged).unwrap();
                assert_eq!(bucket.check().0, 1, "{} bit {at}", path.display());
            }
            fs::write(&path, &sound).unwrap();
        }
    }
    assert_eq!(bucket.check().0, 0);
}

#[test]
fn each_way_to_rewrite_a_log_is_named() {
    let bodies = |bucket: &Bucket, range: std::ops::Range<usize>| -> Vec<String> {
        bucket.log.entries[range].iter().map(|entry| entry.body.clone()).collect()
    };
    // An entry is gone.
    let bucket = Bucket::new();
    let mut lines = bodies(&bucket, 0..4);
    lines.remove(1);
    bucket.put_entries(1, 1, 4, lines.into_iter());
    bucket.assert_found("gap", "epoch 1, audit/entries/0000000001", Some(3));

    // The end is gone, with and without its checkpoint.
    let bucket = Bucket::new();
    bucket.put_entries(2, 12, 13, bodies(&bucket, 11..12).into_iter());
    bucket.assert_found("cut", "epoch 2", Some(13));
    bucket.assert_found("anchor_missing", "epoch 2", Some(13));

    // All entries from one on were made anew, with hashes that agree: only the checkpoint tells.
    let bucket = Bucket::new();
    let mut head = bucket.log.entries[5].head();
    let mut lines = bodies(&bucket, 4..6);
    for body in bodies(&bucket, 6..11) {
        let mut entry = Entry::from_body(body.as_bytes()).unwrap();
        entry.actor = "nobody".to_owned();
        entry.prev = head.hash.to_string();
        let sealed = entry.seal().unwrap();
        head = sealed.head();
        lines.push(sealed.body);
    }
    bucket.put_entries(1, 5, 11, lines.into_iter());
    fs::remove_file(bucket.audit().join(format!("entries/0000000001/{:020}-{:020}.jsonl", 5, 12))).unwrap();
    bucket.assert_found("root_differs", "epoch 1", Some(10));
    bucket.assert_found("root_differs", "epoch 2", Some(13));

    // Two objects disagree.
    let bucket = Bucket::new();
    bucket.put_entries(1, 5, 10, bodies(&bucket, 4..9).into_iter().chain([bucket.forgotten.body.clone()]));
    bucket.assert_found("other_object", "entries", Some(12));
    bucket.assert_found("cut", "entries", Some(10));
    let bucket = Bucket::new();
    let other = bucket.log.entries[11].body.clone();
    bucket.put_entries(1, 12, 12, std::iter::once(other));
    bucket.assert_found("overlap_differs", "entries", Some(12));
    bucket.assert_found("other_epoch", "entries", Some(12));

    // Checkpoints: an older one in the place of another, one of another database, one by another key.
    let bucket = Bucket::new();
    bucket.put(&format!("checkpoint/0000000001/{:020}", 10), &bucket.log.checkpoints[0].1.to_text());
    bucket.assert_found("other_checkpoint", "checkpoint/0000000001/00000000000000000010", None);
    let bucket = Bucket::new();
    let foreign = Checkpoint { database: uuid::Uuid::from_u128(5), ..bucket.log.checkpoints[2].0 };
    bucket.put_checkpoint(foreign, 2);
    bucket.assert_found("other_database", "checkpoint/0000000002/00000000000000000013", None);
    let bucket = Bucket::new();
    bucket.put_checkpoint(bucket.log.checkpoints[2].0, 3);
    bucket.assert_found("checkpoint", "checkpoint/0000000002/00000000000000000013", None);

    // What has no business there.
    let bucket = Bucket::new();
    bucket.put("entries/0000000001/1-4.jsonl", "{}\n");
    bucket.assert_found("unknown_file", "entries/0000000001/1-4.jsonl", None);
}
