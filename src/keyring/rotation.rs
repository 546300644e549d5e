//! One secret key follows another. Whenever the server dies, either the old or the new one is there and whole:
//!
//! 1. the new key is written as `next.pem`;
//! 2. the statement is written, the file with the signature first: from here on the new key is the one;
//! 3. the old key gets a second name, `old-<id>.pem`, and `next.pem` takes its first one, in one step;
//! 4. the old key is overwritten and removed.
//!
//! [`KeyFolder::settle`], which comes before every use, takes back what ended before the second step and brings to its end what
//! ended after it.

use super::file::{self, UNFINISHED};
use super::folder::{KeyFolder, new_key};
use crate::pg::clock;
use std::fs;
use std::os::unix::fs::MetadataExt;
use walwarden_core::Result;
use walwarden_core::key::{PublicKey, SigningKey};
use walwarden_core::signature::rotation::{KeyRotation, SignedRotation};

const NEXT: &str = "next.pem";
const OLD: &str = "old-";

impl KeyFolder {
    /// Make a new key that follows this one, which must be the one in the folder, and erase this one.
    pub fn rotate(&self, old: &SigningKey) -> Result<SignedRotation> {
        let new = new_key()?;
        self.keep_public(&old.public())?;
        file::put(self.path(), NEXT, new.to_pem()?.as_bytes())?;
        let signed = statement(old, &new.public())?;
        self.keep_statement(&signed)?;
        self.promote_next(old)?;
        self.keep_public(&new.public())?;
        Ok(signed)
    }

    /// Hand over to a key that is kept elsewhere, and erase the one in the folder, which must be this one.
    pub fn hand_over(&self, old: &SigningKey, new: &PublicKey) -> Result<SignedRotation> {
        self.keep_public(&old.public())?;
        self.keep_public(new)?;
        let signed = statement(old, new)?;
        self.keep_statement(&signed)?;
        let retired = self.at(&retired_name(old));
        file::rename(&self.signing_key_path(), &retired)?;
        file::sync_folder(self.path())?;
        file::erase(&retired)?;
        Ok(signed)
    }

    /// Leave no rotation half done.
    pub fn settle(&self) -> Result<()> {
        let names = self.names()?;
        for name in names.iter().filter(|name| name.starts_with(UNFINISHED)) {
            file::erase(&self.at(name))?;
        }
        if names.iter().any(|name| name == NEXT) {
            // Without a good key in place it is not to be touched: whoever wants to use the key is told what is wrong.
            let Ok(Some(current)) = self.signing_key() else { return Ok(()) };
            self.settle_next(&current)?;
        }
        for name in names.iter().filter(|name| name.starts_with(OLD)) {
            self.erase_old(name)?;
        }
        Ok(())
    }

    fn settle_next(&self, current: &SigningKey) -> Result<()> {
        let next = self.at(NEXT);
        let has_begun = |key: &SigningKey| {
            let statement = self.statement_for(&key.public());
            statement.is_ok_and(|found| found.is_some_and(|signed| signed.rotation.old == current.public()))
        };
        match file::read_key(&next) {
            Ok(Some(key)) if has_begun(&key) => self.promote_next(current),
            Ok(None) => Ok(()),
            Ok(Some(_)) | Err(_) => file::erase(&next),
        }
    }

    fn promote_next(&self, old: &SigningKey) -> Result<()> {
        let (current, name) = (self.signing_key_path(), retired_name(old));
        let retired = self.at(&name);
        match fs::hard_link(&current, &retired) {
            Ok(()) => {}
            // From before a crash: the same file.
            Err(cause) if cause.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(cause) => return Err(file::io_error("link", &retired, &cause)),
        }
        file::sync_folder(self.path())?;
        file::rename(&self.at(NEXT), &current)?;
        file::sync_folder(self.path())?;
        self.erase_old(&name)
    }

    /// A second name of the key that signs is only a name: the file must not be overwritten.
    fn erase_old(&self, name: &str) -> Result<()> {
        let path = self.at(name);
        let file_of =
            |path: &std::path::Path| fs::symlink_metadata(path).ok().map(|facts| (facts.dev(), facts.ino()));
        match file_of(&path) {
            None => Ok(()),
            found if found == file_of(&self.signing_key_path()) => {
                fs::remove_file(&path).map_err(|cause| file::io_error("remove", &path, &cause))?;
                file::sync_folder(self.path())
            }
            Some(_) => file::erase(&path),
        }
    }
}

fn statement(old: &SigningKey, new: &PublicKey) -> Result<SignedRotation> {
    KeyRotation { old: old.public(), new: *new, at: clock::now() }.sign(old)
}

fn retired_name(key: &SigningKey) -> String {
    format!("{OLD}{}.pem", key.public().key_id())
}
