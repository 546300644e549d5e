//! The audit log as it lies in storage.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use walwarden_core::audit::AuditObject;
use walwarden_core::evidence::Report;
use walwarden_core::evidence::log::{Checkpoints, EntriesName, EpochLog, pieces, rotation_in};
use walwarden_core::evidence::trusted_with;
use walwarden_core::key::PublicKey;
use walwarden_core::{Error, Result};

use crate::{open, read, unreadable};

/// The longest line that is taken into memory, bytes; the rest of it is passed over.
const LONGEST_LINE: u64 = 16 << 20;
/// How deep folders are looked through: a copied bucket is `org/<org>/db/<id>/audit/entries/<epoch>`.
const DEEPEST: u32 = 12;

/// What a log consists of.
const KINDS: [&str; 2] = ["checkpoint", "entries"];

/// Checks each log that is in a folder.
pub fn check(folder: &Path, keys: &[PublicKey]) -> Result<Report> {
    let mut logs = Vec::new();
    find(folder, 0, &mut logs)?;
    if logs.is_empty() {
        return Err(Error::invalid(format!("there is no audit log in {}", folder.display()))
            .detail("A log is a folder that has the folders checkpoint and entries, with a folder for each epoch in them."));
    }
    logs.sort();
    let mut report = Report::default();
    for log in logs {
        check_one(&log, keys, &mut report)?;
    }
    Ok(report)
}

/// Folders that hold a log.
fn find(folder: &Path, depth: u32, found: &mut Vec<PathBuf>) -> Result<()> {
    let is_log = KINDS.iter().any(|kind| is_kind(&folder.join(kind)));
    if is_log {
        found.push(folder.to_owned());
    } else if depth < DEEPEST {
        for inner in sorted(folder)?.into_iter().filter(|path| is_folder(path)) {
            find(&inner, depth + 1, found)?;
        }
    }
    Ok(())
}

/// Whether it is a folder that has the folder of an epoch.
fn is_kind(path: &Path) -> bool {
    let is_epoch = |name: &str| name.len() == 10 && name.bytes().all(|byte| byte.is_ascii_digit());
    let named = |path: &PathBuf| path.file_name().and_then(|name| name.to_str()).is_some_and(is_epoch);
    is_folder(path) && sorted(path).is_ok_and(|inside| inside.iter().any(named))
}

/// Folders themselves, not what points at one: no way leads in circles.
fn is_folder(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|about| about.is_dir())
}

fn sorted(folder: &Path) -> Result<Vec<PathBuf>> {
    let read = fs::read_dir(folder).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect());
    let mut paths: Vec<PathBuf> = read.map_err(|cause| unreadable(folder, &cause))?;
    paths.sort();
    Ok(paths)
}

fn check_one(log: &Path, keys: &[PublicKey], report: &mut Report) -> Result<()> {
    let mut checkpoints = Checkpoints::default();
    let mut objects = Vec::new();
    let mut notes = Vec::new();
    for path in files(log)? {
        let name = path.strip_prefix(log).unwrap_or(&path).to_string_lossy().into_owned();
        match AuditObject::parse(&format!("audit/{name}")) {
            Some(AuditObject::Checkpoint { epoch, size }) => notes.push((epoch, size, path)),
            Some(AuditObject::Entries { epoch, from, to }) => objects.push(EntriesName { epoch, from, to }),
            None => report.problem("unknown_file", &name, "no object of an audit log has this name"),
        }
    }
    let path_of = |object: &EntriesName| {
        let name = object.to_string();
        log.join(name.strip_prefix("audit/").unwrap_or(&name))
    };
    let mut rotations = Vec::new();
    for object in &objects {
        lines(&path_of(object), |line| rotations.extend(rotation_in(line)))?;
    }
    let keys = trusted_with(keys, &rotations);
    let count = notes.len();
    for (epoch, size, path) in notes {
        checkpoints.take(epoch, size, &read(&path)?, &keys, report);
    }
    if let Some(database) = checkpoints.database() {
        report.fact(format!("{}: the audit log of database {database}, {count} checkpoints", log.display()));
        if log.components().any(|part| part.as_os_str() == "db")
            && !log.components().any(|part| part.as_os_str().to_str() == Some(&database.to_string()))
        {
            let text = format!("its checkpoints are of database {database}, whose folder this is not");
            report.problem("other_database", log.display(), text);
        }
    } else {
        report.problem("missing", log.display(), "there is no checkpoint that could be believed");
    }
    let mut epochs: Vec<u64> =
        checkpoints.epochs().chain(objects.iter().map(|object| object.epoch)).collect();
    epochs.sort_unstable();
    epochs.dedup();
    for epoch in epochs {
        let mut chain = EpochLog::new(epoch, &checkpoints);
        for (object, until) in pieces(&objects, epoch) {
            lines(&path_of(&object), |line| chain.line(&object, until, line, report))?;
            chain.end_of_object(&object, until, report);
        }
        chain.finish(report);
    }
    Ok(())
}

/// All files below the folders of epochs, and whatever stands where such a folder should.
fn files(log: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for kind in KINDS.iter().map(|kind| log.join(kind)).filter(|kind| is_folder(kind)) {
        for epoch in sorted(&kind)? {
            if is_folder(&epoch) { found.extend(sorted(&epoch)?) } else { found.push(epoch) }
        }
    }
    Ok(found)
}

/// Each line without its newline. One without a newline at the end is a line as well: the chain shows if it was cut.
fn lines(path: &Path, mut each: impl FnMut(&[u8])) -> Result<()> {
    let mut reader = BufReader::with_capacity(1 << 16, open(path)?);
    let mut line = Vec::new();
    loop {
        line.clear();
        // What is longer comes in pieces, none of which is an entry.
        let mut limited = reader.by_ref().take(LONGEST_LINE);
        let count = limited.read_until(b'\n', &mut line).map_err(|cause| unreadable(path, &cause))?;
        if count == 0 {
            return Ok(());
        }
        each(line.strip_suffix(b"\n").unwrap_or(&line));
    }
}
