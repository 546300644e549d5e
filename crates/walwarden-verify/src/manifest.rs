//! A manifest, and the archive that it describes.

use std::io::Read;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use walwarden_core::Result;
use walwarden_core::evidence::Report;
use walwarden_core::key::PublicKey;
use walwarden_core::manifest::{self, Manifest, Part, Sha256Sum};

use crate::{open, read, unreadable};

pub fn check(
    file: &Path,
    signature: Option<&Path>,
    archive: Option<&Path>,
    keys: &[PublicKey],
) -> Result<Report> {
    let mut report = Report::default();
    let bytes = read(file)?;
    let beside = || PathBuf::from([file.as_os_str(), ".sig".as_ref()].join("".as_ref()));
    let signature = read(&signature.map_or_else(beside, Path::to_owned))?;
    let signed_by = keys.iter().find(|key| key.verify_strict(&bytes, &signature).is_ok());
    let place = file.display();
    match signed_by {
        Some(key) => report.fact(format!("signed by key {}", key.key_id())),
        None => report.problem("signature", &place, "none of the given keys signed it"),
    }
    let manifest = match manifest::parse(&bytes) {
        Ok(manifest) => manifest,
        Err(error) => {
            report.problem("malformed", &place, error);
            return Ok(report);
        }
    };
    if signed_by.is_some_and(|key| key.key_id() != manifest.key_id) {
        report.problem("key_id", &place, format!("it names key {}, and another signed it", manifest.key_id));
    }
    report.fact(format!("backup {} of database {}", manifest.job.id, manifest.database.id));
    report.fact(format!(
        "archive {}: {} bytes, SHA-256 {}",
        manifest.archive.key, manifest.archive.size, manifest.archive.sha256
    ));
    if let Some(archive) = archive {
        check_archive(archive, &manifest, &mut report)?;
    }
    Ok(report)
}

/// Compares a file with the archive, plain or as it lies in storage, and names the parts that differ.
fn check_archive(path: &Path, manifest: &Manifest, report: &mut Report) -> Result<()> {
    let archive = &manifest.archive;
    let size = open(path)?.metadata().map_err(|cause| unreadable(path, &cause))?.len();
    // An encrypted archive is longer than the plain one.
    let encrypted = archive.encryption.as_ref().filter(|encryption| size == encryption.size);
    let (what, expected, sum, parts) = match encrypted {
        Some(encryption) => ("encrypted archive", encryption.size, encryption.sha256, &encryption.parts),
        None => ("archive", archive.size, archive.sha256, &archive.parts),
    };
    let place = path.display();
    if size != expected {
        report.problem("size_differs", &place, format!("it has {size} bytes; the {what} has {expected}"));
        return Ok(());
    }
    let mut file = open(path)?;
    let mut whole = Sha256::new();
    // Parts cover the archive without a gap; a manifest in which they do not is refused when it is read.
    let everything = [Part { offset: 0, size, sha256: sum }];
    let parts = if parts.is_empty() { &everything[..] } else { &parts[..] };
    let mut buffer = vec![0; 1 << 20];
    for part in parts {
        let mut hash = Sha256::new();
        let mut rest = part.size;
        while rest > 0 {
            let length = usize::try_from(rest).unwrap_or(usize::MAX).min(buffer.len());
            file.read_exact(&mut buffer[..length]).map_err(|cause| unreadable(path, &cause))?;
            hash.update(&buffer[..length]);
            whole.update(&buffer[..length]);
            rest -= length as u64;
        }
        if Sha256Sum(hash.finalize().into()) != part.sha256 {
            let last = part.offset + part.size.saturating_sub(1);
            let text = format!("bytes {} to {last} are not those of the {what}", part.offset);
            report.problem("part_differs", &place, text);
        }
    }
    if Sha256Sum(whole.finalize().into()) == sum {
        report.fact(format!("{place} is the {what}"));
    } else {
        report.problem("sum_differs", &place, format!("it is not the {what}: its SHA-256 is another"));
    }
    Ok(())
}
