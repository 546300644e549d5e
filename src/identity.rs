//! Which identity file of age decrypts a backup: one that whoever asks names, or the one of the setting. Its path may stand in a
//! job and in a message to a loader; what is in it is read where it is needed, and goes nowhere.

use crate::guc;
use crate::pg::sql;
use std::path::PathBuf;
use walwarden_core::manifest::Manifest;
use walwarden_core::{Error, ErrorClass, Result};
use walwarden_store::Identities;

/// The identities for an encrypted backup, and where they are.
pub struct Key {
    /// The path of their file.
    pub file: String,
    /// What it holds.
    pub identities: Identities,
}

/// What decrypts this backup: the file that was given, or else that of the setting. None for a backup that is not encrypted,
/// and where there is no file.
///
/// # Errors
/// `Key` or `InvalidInput` for a file that cannot be used, or whose identities are not the backup's.
pub fn of(manifest: &Manifest, given: Option<&str>) -> Result<Option<Key>> {
    let Some(encryption) = &manifest.archive.encryption else { return Ok(None) };
    let Some(file) = given.map(str::to_owned).or_else(|| guc::text(&guc::IDENTITY_FILE)) else {
        return Ok(None);
    };
    let identities = Identities::read(&PathBuf::from(&file))?;
    identities.require_one_of(&encryption.recipients)?;
    Ok(Some(Key { file, identities }))
}

/// Fails where the rows of this backup could not be read, in the session that asks for them: an error there is worth more than
/// one of a job.
pub fn require(manifest: &Manifest, given: Option<&str>) -> Result<()> {
    require_may_name(given)?;
    if manifest.archive.encryption.is_some() && of(manifest, given)?.is_none() {
        return Err(missing(manifest));
    }
    Ok(())
}

/// Whoever names a file of the server learns whether it is there and what is wrong with it. It is the user of the session that
/// must have the right: functions of walwarden run with that of its owner.
pub fn require_may_name(given: Option<&str>) -> Result<()> {
    if given.is_none() {
        return Ok(());
    }
    let row = sql::query_one(
        "SELECT pg_catalog.pg_has_role(session_user, 'pg_read_server_files', 'USAGE'), session_user::text",
        &[],
    )?
    .ok_or_else(|| Error::internal("a privilege could not be looked up"))?;
    if row.flag(0)? {
        return Ok(());
    }
    Err(Error::new(ErrorClass::NotPermitted, "permission denied to name an identity file")
        .detail(format!(
            "Only a role with the privileges of pg_read_server_files may name a file of the server, and \"{}\" has not.",
            row.text(1)?
        ))
        .hint("Leave identity_file out to use the setting walwarden.identity_file."))
}

/// There is nothing to decrypt it with.
pub fn missing(manifest: &Manifest) -> Error {
    let recipients = manifest.archive.encryption.as_ref().map(|encryption| encryption.recipients.join(", "));
    Error::new(ErrorClass::Key, format!("backup {} is encrypted, and there is no identity file", manifest.job.id))
        .detail(format!("It was encrypted for {}.", recipients.unwrap_or_default()))
        .hint(
            "Put the identity file of one of these recipients on the server, readable by the server's user alone, and name it: \
             identity_file => '/path', or in the setting walwarden.identity_file.",
        )
}
