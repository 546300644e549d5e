//! Bundles: sound ones, and every kind of damage, for the program and for `verify.sh` with the tools it calls.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test's support code fails by panicking"
)]

mod support;

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use support::{Log, files, key, tar_of};
use tempfile::TempDir;
use walwarden_core::audit::note::{KEY_NAME, sign};
use walwarden_core::evidence::FOLDER;

type Files = Vec<(String, Vec<u8>)>;

/// The exit code and what the program says as JSON.
fn verify(tar: &[u8], keys: &[u8]) -> (u8, Value) {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("bundle.tar");
    std::fs::write(&file, tar).unwrap();
    let mut arguments = vec!["bundle".into(), file.into_os_string(), "--json".into()];
    for seed in keys {
        let pem = folder.path().join(format!("{seed}.pem"));
        std::fs::write(&pem, key(*seed).public().to_pem().unwrap()).unwrap();
        arguments.extend(["--key".into(), pem.into_os_string()]);
    }
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = walwarden_verify::run(arguments, &mut out, &mut err);
    assert!(err.is_empty() || code == 2, "{}", String::from_utf8_lossy(&err));
    (code, serde_json::from_slice(&out).unwrap_or(Value::Null))
}

/// The exit code of verify.sh and what it says, in a folder of its own without environment.
fn script(files: &Files, key_seed: Option<u8>) -> (i32, String) {
    let folder = TempDir::new().unwrap();
    let bundle = folder.path().join(FOLDER);
    for (name, bytes) in files {
        let path = bundle.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    let mut arguments = vec![format!("{FOLDER}/verify.sh")];
    if let Some(seed) = key_seed {
        std::fs::write(folder.path().join("known.pem"), key(seed).public().to_pem().unwrap()).unwrap();
        arguments.push("known.pem".to_owned());
    }
    let output = Command::new("sh")
        .args(arguments)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .current_dir(folder.path())
        .output()
        .unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code().unwrap(), text)
}

fn problems(report: &Value) -> Vec<(String, String)> {
    let text = |problem: &Value, field: &str| problem[field].as_str().unwrap().to_owned();
    let problems = report["problems"].as_array().unwrap();
    problems.iter().map(|problem| (text(problem, "kind"), text(problem, "place"))).collect()
}

#[track_caller]
fn assert_found(files: &Files, kind: &str, place: &str) {
    let (code, report) = verify(&tar_of(files), &[1]);
    assert_eq!(code, 1, "{report:#}");
    let found = problems(&report);
    assert!(
        found.iter().any(|(k, p)| k == kind && p.starts_with(place)),
        "no {kind} at {place} in {found:#?}"
    );
}

fn change(files: &Files, name: &str, change: impl FnOnce(&mut Vec<u8>)) -> Files {
    let mut files = files.clone();
    let (_, bytes) = files.iter_mut().find(|(there, _)| there == name).unwrap();
    let before = bytes.clone();
    change(bytes);
    assert_ne!(*bytes, before);
    files
}

/// As whoever has the bundle's key would: sums and signatures are made anew.
fn signed_anew(mut files: Files) -> Files {
    use std::fmt::Write;
    use walwarden_core::manifest::Sha256Sum;
    use walwarden_core::signature::{minisign, sshsig};
    files.retain(|(name, _)| !name.starts_with("SHA256SUMS"));
    let mut sums = String::new();
    for (name, bytes) in &files {
        writeln!(sums, "{}  {name}", Sha256Sum::of(bytes)).unwrap();
    }
    let signer = key(2);
    let signature = signer.sign(sums.as_bytes());
    let minisig = minisign::signature_file(&signer, &signature, "SHA256SUMS").unwrap();
    let sshsig = sshsig::signature_file(&signer, sums.as_bytes()).unwrap();
    files.push(("SHA256SUMS".to_owned(), sums.into_bytes()));
    files.push(("SHA256SUMS.sig".to_owned(), signature.to_vec()));
    files.push(("SHA256SUMS.minisig".to_owned(), minisig.into_bytes()));
    files.push(("SHA256SUMS.sshsig".to_owned(), sshsig.into_bytes()));
    files
}

#[test]
fn sound_bundles_are_good_for_both() {
    let log = Log::new();
    for scope in [log.of_job(), log.of_time()] {
        let bundle = log.bundle(&scope);
        assert_eq!(bundle, log.bundle(&scope), "the same contents, the same bytes");
        for keys in [&[1][..], &[], &[1, 2]] {
            let (code, report) = verify(&bundle, keys);
            assert_eq!((code, problems(&report)), (0, vec![]), "{report:#}");
        }
        for key in [Some(1), None] {
            let (code, text) = script(&files(&bundle), key);
            assert_eq!(code, 0, "{text}");
            assert!(!text.contains("not installed"), "{text}");
            assert_eq!(text.contains("no public key was given"), key.is_none());
            assert!(text.contains("ok       SHA256SUMS.minisig"), "{text}");
            assert!(text.contains("ok       SHA256SUMS.sshsig"), "{text}");
        }
    }
}

#[test]
fn tar_unpacks_it_the_same_for_everybody() {
    let log = Log::new();
    let mut archive_bytes = &log.bundle(&log.of_job())[..];
    let mut archive = tar::Archive::new(&mut archive_bytes);
    for entry in archive.entries().unwrap() {
        let entry = entry.unwrap();
        let header = entry.header();
        assert_eq!((header.uid().unwrap(), header.gid().unwrap(), header.mtime().unwrap()), (0, 0, 0));
        let path = entry.path().unwrap().to_str().unwrap().to_owned();
        let is_open = path.ends_with('/') || path.ends_with("verify.sh");
        assert_eq!(header.mode().unwrap(), if is_open { 0o755 } else { 0o644 }, "{path}");
    }
}

#[test]
fn another_key_is_not_believed() {
    let log = Log::new();
    let bundle = log.bundle(&log.of_job());
    for seed in [3, 2] {
        // The later key does not vouch for what the earlier one signed.
        let (code, report) = verify(&bundle, &[seed]);
        assert_eq!(code, 1);
        let found = problems(&report);
        assert!(
            found.iter().any(|(kind, place)| kind == "signature" && place.starts_with("manifests/")),
            "{found:?}"
        );
        assert_eq!(script(&files(&bundle), Some(seed)).0, 1);
    }
}

#[test]
fn a_flipped_bit_in_any_file_is_found_and_its_file_named() {
    let log = Log::new();
    for scope in [log.of_job(), log.of_time()] {
        let files = files(&log.bundle(&scope));
        for (name, bytes) in &files {
            for place in [0, bytes.len() / 2, bytes.len() - 1] {
                let damaged = change(&files, name, |bytes| bytes[place] ^= 1);
                let (code, report) = verify(&tar_of(&damaged), &[1]);
                let found = problems(&report);
                let is_named = found.iter().any(|(_, place)| place.starts_with(name.as_str()));
                assert!(code == 1 && is_named, "{name} byte {place}: {found:?}");
            }
        }
    }
}

#[test]
fn the_script_finds_a_flipped_bit_in_any_file() {
    let log = Log::new();
    let files = files(&log.bundle(&log.of_job()));
    // One of each kind.
    let mut kinds = std::collections::BTreeSet::new();
    let kind = |name: &str| name.replace(|c: char| c.is_ascii_hexdigit(), "");
    for (name, bytes) in files.iter().filter(|(name, _)| name != "verify.sh" && kinds.insert(kind(name))) {
        let damaged = change(&files, name, |there| there[bytes.len() / 2] ^= 1);
        let (code, text) = script(&damaged, Some(1));
        assert_eq!(code, 1, "{name}: {text}");
        let named = name.trim_end_matches(".sig").trim_end_matches(".minisig").trim_end_matches(".sshsig");
        assert!(text.contains("PROBLEM") && text.contains(named), "{name}: {text}");
    }
}

#[test]
fn a_file_that_is_gone_or_too_many_is_found() {
    let log = Log::new();
    let files = files(&log.bundle(&log.of_job()));
    for (name, _) in &files {
        let mut without = files.clone();
        without.retain(|(there, _)| there != name);
        let (code, report) = verify(&tar_of(&without), &[1]);
        let found = problems(&report);
        assert!(
            code == 1 && found.iter().any(|(_, place)| place.starts_with(name.as_str())),
            "{name}: {found:?}"
        );
    }
    for (name, kind) in [
        ("surplus", "unknown_file"),
        ("keys/0123456789abcdef.pem", "not_listed"),
        ("manifests/00000000-0000-0000-0000-000000000001.manifest.json", "not_listed"),
    ] {
        let mut more = files.clone();
        more.push((name.to_owned(), b"surplus".to_vec()));
        assert_found(&more, kind, name);
        assert_eq!(script(&more, Some(1)).0, 1);
    }
    let mut twice = files.clone();
    twice.push(files[2].clone());
    assert_found(&twice, "twice", &files[2].0);
}

/// What somebody who has the bundle's key can make of it: the sums are right, and still it is found.
#[test]
fn forgeries_with_the_bundles_own_key_are_found() {
    let log = Log::new();
    let of_job = files(&log.bundle(&log.of_job()));
    let of_time = files(&log.bundle(&log.of_time()));
    let entries = |files: &Files, lines: &dyn Fn(Vec<String>) -> Vec<String>| {
        signed_anew(change(files, "entries.jsonl", |bytes| {
            let text = String::from_utf8(bytes.clone()).unwrap();
            let changed = lines(text.lines().map(str::to_owned).collect());
            *bytes = changed.iter().map(|line| format!("{line}\n")).collect::<String>().into_bytes();
        }))
    };
    let manifest = format!("manifests/{}.manifest.json", log.job);
    let other_job = format!("{:020}", 5);

    let removed = |mut lines: Vec<String>| {
        lines.remove(1);
        lines
    };
    let cases: Vec<(&str, Files, &str, &str)> = vec![
        ("an entry is gone", entries(&of_job, &removed), "missing", "proofs/00000000000000000006.tlog-proof"),
        ("an entry is gone", entries(&of_time, &removed), "gap", "entries.jsonl"),
        (
            "two entries are swapped",
            entries(&of_time, &|mut lines| {
                lines.swap(2, 3);
                lines
            }),
            "out_of_order",
            "entries.jsonl",
        ),
        (
            "an entry says something else",
            entries(&of_time, &|mut lines| {
                lines[5] = lines[5].replacen("leader", "nobody", 1);
                lines
            }),
            "wrong_prev",
            "entries.jsonl",
        ),
        (
            "an entry says something else",
            entries(&of_job, &|mut lines| {
                lines[3] = lines[3].replacen("leader", "nobody", 1);
                lines
            }),
            "proof",
            "proofs/00000000000000000009.tlog-proof",
        ),
        (
            "an entry was made up",
            entries(&of_time, &|mut lines| {
                lines.push(log.entries[13].body.clone());
                lines
            }),
            "unproven",
            "entries.jsonl",
        ),
        (
            "an entry of another job",
            entries(&of_job, &|mut lines| {
                lines.insert(1, log.entries[4].body.clone());
                lines
            }),
            "other_job",
            "entries.jsonl",
        ),
        (
            "the manifest of another job",
            signed_anew(change(&of_job, &manifest, |bytes| {
                let text = String::from_utf8(bytes.clone()).unwrap();
                *bytes =
                    text.replace(&log.job.to_string(), "0198a5d2-7c00-7000-8000-000000000777").into_bytes();
            })),
            "other_job",
            &manifest,
        ),
        (
            "an older checkpoint in the place of the newest",
            signed_anew({
                let old = of_job
                    .iter()
                    .find(|(name, _)| name.starts_with("checkpoints/0000000001"))
                    .unwrap()
                    .1
                    .clone();
                change(&of_job, "checkpoints/0000000002-00000000000000000013", |bytes| *bytes = old)
            }),
            "other_checkpoint",
            "checkpoints/0000000002-00000000000000000013",
        ),
        (
            "the newest checkpoint is left out",
            signed_anew(of_job.iter().filter(|(name, _)| !name.contains("13")).cloned().collect()),
            "other_checkpoint",
            "proofs/00000000000000000003.tlog-proof",
        ),
        (
            "proofs in each other's place",
            signed_anew({
                let other = of_job
                    .iter()
                    .find(|(name, _)| name.contains("/00000000000000000006.tlog"))
                    .unwrap()
                    .1
                    .clone();
                change(&of_job, "proofs/00000000000000000007.tlog-proof", |bytes| *bytes = other)
            }),
            "other_entry",
            "proofs/00000000000000000007.tlog-proof",
        ),
        (
            "a checkpoint over another log, by the right key",
            signed_anew(change(&of_job, "checkpoints/0000000001-00000000000000000010", |bytes| {
                let mut forged = log.checkpoints[1].0;
                forged.root.0[0] ^= 1;
                *bytes = sign(&forged.to_text(), KEY_NAME, &key(1)).unwrap().to_text().into_bytes();
            })),
            "proof",
            "proofs/0000000001-00000000000000000004.0000000001-00000000000000000010.consistency",
        ),
    ];
    assert!(!of_job.iter().any(|(name, _)| name.contains(&other_job)));
    for (what, files, kind, place) in cases {
        println!("{what}");
        assert_found(&files, kind, place);
        let (code, text) = script(&files, Some(1));
        assert_eq!(code, 1, "{what}: {text}");
        assert!(text.contains("ok       SHA256SUMS: all files"), "{what}: {text}");
    }
}

/// A completed backup with its own manifest, of another database: everything fits but the name.
#[test]
fn a_bundle_of_another_database_is_not_this_one() {
    let mut log = Log::new();
    log.database = uuid::Uuid::from_u128(99);
    let files = files(&log.bundle(&log.of_job()));
    let manifest = format!("manifests/{}.manifest.json", log.job);
    assert_found(&files, "other_database", &manifest);
    assert_found(&files, "other_database", "checkpoints/");
    assert_eq!(script(&files, Some(1)).0, 1);
}

#[test]
fn hostile_tar_files_are_refused_without_panic() {
    let log = Log::new();
    let bundle = log.bundle(&log.of_job());
    let (code, _) = verify(b"", &[1]);
    assert_eq!(code, 1, "an empty tar file is a bundle without files");
    assert_eq!(verify(&[0x41; 2048], &[1]).0, 2);
    // The end of a tar file is two blocks of zeros, and what fills the last block of a file.
    for length in (0..bundle.len() - 3 * 512).step_by(499) {
        assert_ne!(verify(&bundle[..length], &[1]).0, 0, "cut at {length}");
    }
    let with = |path: &str, kind: tar::EntryType| {
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        // As a hostile writer would: the crate refuses such names.
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_size(0);
        header.set_cksum();
        tar.append(&header, std::io::empty()).unwrap();
        tar.into_inner().unwrap()
    };
    for (path, kind) in [
        ("../escape", tar::EntryType::Regular),
        ("/etc/passwd", tar::EntryType::Regular),
        ("walwarden-evidence/../escape", tar::EntryType::Regular),
        ("walwarden-evidence/README.txt", tar::EntryType::Symlink),
        ("walwarden-evidence/README.txt", tar::EntryType::Link),
        ("walwarden-evidence/README.txt", tar::EntryType::Fifo),
    ] {
        let (code, report) = verify(&with(path, kind), &[1]);
        assert_eq!(code, 1, "{path}");
        let is_named =
            |(kind, place): &(String, String)| kind == "unknown_file" && path.ends_with(place.as_str());
        assert!(problems(&report).iter().any(is_named), "{path} {report:#}");
    }
    assert!(!Path::new("../escape").exists());
}
