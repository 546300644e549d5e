//! The key folder, locked: whoever holds it is the only one in the cluster who looks at it or changes it. It is held for no
//! longer than its files are touched, and never while a lock of the database is waited for.

use super::file;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;
use walwarden_core::key::{PublicKey, SigningKey};
use walwarden_core::signature::rotation::SignedRotation;
use walwarden_core::{Error, ErrorClass, Result};

const SIGNING_KEY: &str = "signing.pem";
const STATEMENT: &str = ".rotation.json";
/// How often a folder that somebody else has is asked for.
const PATIENCE: Duration = Duration::from_millis(10);

/// The folder, until it is dropped.
pub struct KeyFolder {
    path: PathBuf,
    /// Its lock goes with the descriptor, however this process ends.
    _lock: File,
}

impl KeyFolder {
    /// Wait until nobody else has the folder, make it if it is not there, and settle what a crash has left in it.
    pub fn lock() -> Result<Self> {
        let path = super::home().join("keys");
        super::make_folder(&super::home())?;
        super::make_folder(&path)?;
        require_private(&path)?;
        let name = path.join("lock");
        let failed = |cause: &std::io::Error| file::io_error("lock", &name, cause);
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC)
            .open(&name)
            .map_err(|cause| failed(&cause))?;
        loop {
            match lock.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) => crate::worker::wait(None, PATIENCE)?,
                Err(TryLockError::Error(cause)) => return Err(failed(&cause)),
            }
        }
        let folder = Self { path, _lock: lock };
        folder.settle()?;
        Ok(folder)
    }

    /// The secret key that signs; None when there is no file for it.
    pub fn signing_key(&self) -> Result<Option<SigningKey>> {
        file::read_key(&self.signing_key_path())
    }

    /// Where it is.
    pub fn signing_key_path(&self) -> PathBuf {
        self.at(SIGNING_KEY)
    }

    /// Whether a key ever signed here.
    pub fn knows_a_key(&self) -> Result<bool> {
        Ok(self.names()?.iter().any(|name| name.ends_with(".pub")))
    }

    /// Make the first key, or one that takes the place of a lost one.
    pub fn make_key(&self) -> Result<SigningKey> {
        let key = new_key()?;
        self.keep_public(&key.public())?;
        file::put(&self.path, SIGNING_KEY, key.to_pem()?.as_bytes())?;
        self.signing_key()?
            .ok_or_else(|| file::key_error("is not there right after it was made", &self.signing_key_path()))
    }

    /// Move what stands in the place of the key out of the way, if anything does.
    pub fn set_aside(&self) -> Result<()> {
        let path = self.signing_key_path();
        if fs::symlink_metadata(&path).is_ok() {
            file::rename(&path, &self.at(&format!("unusable-{}", uuid::Uuid::new_v4())))?;
            file::sync_folder(&self.path)?;
        }
        Ok(())
    }

    /// Keep a public key for ever.
    pub fn keep_public(&self, key: &PublicKey) -> Result<()> {
        let (name, pem) = (format!("{}.pub", key.key_id()), key.to_pem()?);
        if file::read_public(&self.at(&name))?.is_some_and(|kept| kept == pem.as_bytes()) {
            return Ok(());
        }
        file::put(&self.path, &name, pem.as_bytes())
    }

    /// Keep a statement for ever: from here on the rotation has happened.
    pub fn keep_statement(&self, signed: &SignedRotation) -> Result<()> {
        let name = statement_of(&signed.rotation.new);
        file::put(&self.path, &format!("{name}.sig"), &signed.signature)?;
        file::put(&self.path, &name, signed.statement.as_bytes())
    }

    /// Every statement that its old key has signed. Others are told to the log: without them a key has followed another unsigned,
    /// which is noticed.
    pub fn statements(&self) -> Result<Vec<SignedRotation>> {
        let mut statements = Vec::new();
        for name in self.names()?.iter().filter(|name| name.ends_with(STATEMENT)) {
            match self.read_statement(name) {
                Ok(statement) => statements.extend(statement),
                Err(error) => crate::error::log(&error, &format!("key folder, {name}")),
            }
        }
        Ok(statements)
    }

    /// The statement by which a key came, if there is a good one.
    pub fn statement_for(&self, key: &PublicKey) -> Result<Option<SignedRotation>> {
        self.read_statement(&statement_of(key))
    }

    fn read_statement(&self, name: &str) -> Result<Option<SignedRotation>> {
        let statement = file::read_public(&self.at(name))?;
        let signature = file::read_public(&self.at(&format!("{name}.sig")))?;
        let (Some(statement), Some(signature)) = (statement, signature) else { return Ok(None) };
        SignedRotation::read(&statement, &signature).map(Some)
    }

    /// The files in it.
    pub fn names(&self) -> Result<Vec<String>> {
        let failed = |cause: std::io::Error| file::io_error("list", &self.path, &cause);
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(failed)? {
            names.extend(entry.map_err(failed)?.file_name().into_string());
        }
        names.sort();
        Ok(names)
    }

    /// A file in it.
    pub fn at(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// A key from the server's source of random bytes.
pub fn new_key() -> Result<SigningKey> {
    crate::pg::random::bytes().map(SigningKey::generate)
}

fn statement_of(key: &PublicKey) -> String {
    format!("{}{STATEMENT}", key.key_id())
}

/// In a folder that others can write to, any file may be another's.
fn require_private(path: &Path) -> Result<()> {
    let facts = fs::symlink_metadata(path).map_err(|cause| file::io_error("examine", path, &cause))?;
    let (server_user, _) = crate::pg::server::operating_system_user()?;
    if facts.is_dir() && facts.uid() == server_user && facts.mode() & 0o022 == 0 {
        return Ok(());
    }
    Err(Error::new(ErrorClass::Key, format!("key folder \"{}\" is not the server's own", path.display()))
        .hint("Make it a folder that the user owns who runs the server, and run chmod 0700 on it."))
}
