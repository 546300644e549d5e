//! The signing key on disk: `<data directory>/pg_walwarden/keys/signing.pem`, made at first use, readable by the
//! server's user alone, and checked at every use.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use uuid::Uuid;
use walwarden_core::key::{PublicKey, SigningKey};
use walwarden_core::{Error, ErrorClass, Result};

/// No key file is larger.
const LARGEST_KEY_FILE: u64 = 4096;

/// Where walwarden keeps its own files.
pub fn home() -> PathBuf {
    crate::pg::server::data_directory().join("pg_walwarden")
}

/// The cluster's signing key; made now if there is none.
pub fn signing_key() -> Result<SigningKey> {
    let folder = home().join("keys");
    make_folder(&home())?;
    make_folder(&folder)?;
    let path = folder.join("signing.pem");
    match read(&path) {
        Ok(Some(key)) => Ok(key),
        Ok(None) => {
            create(&folder, &path)?;
            read(&path)?.ok_or_else(|| key_error("is not there right after it was made", &path))
        }
        Err(error) => Err(error),
    }
}

/// The public half of the cluster's signing key, if there is a key: none is made.
pub fn existing_public_key() -> Result<Option<PublicKey>> {
    Ok(read(&home().join("keys").join("signing.pem"))?.map(|key| key.public()))
}

/// Make a folder that only the server's user can enter, if it is not there.
pub fn make_folder(path: &Path) -> Result<()> {
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => sync_folder(path.parent().unwrap_or(path)),
        Err(cause) if cause.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(cause) => Err(io_error("create folder", path, &cause)),
    }
}

fn read(path: &Path) -> Result<Option<SigningKey>> {
    // O_NOFOLLOW: a link could lead to a file that somebody else controls.
    let mut file =
        match OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC).open(path) {
            Ok(file) => file,
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(cause) => return Err(io_error("open signing key", path, &cause)),
        };
    let facts = file.metadata().map_err(|cause| io_error("examine signing key", path, &cause))?;
    let (server_user, _) = crate::pg::server::operating_system_user()?;
    if !facts.is_file() || facts.uid() != server_user {
        return Err(key_error("does not belong to the server's user", path)
            .hint("Make it a plain file owned by the user the server runs as."));
    }
    if facts.mode() & 0o077 != 0 {
        return Err(key_error("can be read by others", path)
            .hint("Run chmod 0600 on it; if others may have read it, make a new key."));
    }
    if facts.len() > LARGEST_KEY_FILE {
        return Err(key_error("is too large to be a key", path));
    }
    let mut pem = String::new();
    file.read_to_string(&mut pem).map_err(|cause| io_error("read signing key", path, &cause))?;
    SigningKey::from_pem(&pem).map(Some).map_err(|_| {
        key_error("is not an Ed25519 key in PKCS#8 PEM form", path)
            .hint("Put the key back from its copy. Without it new backups cannot be signed; old ones stay verifiable.")
    })
}

/// Written aside and linked into place, so that a crash leaves no half key and two processes agree on one.
fn create(folder: &Path, path: &Path) -> Result<()> {
    let pem = SigningKey::generate(crate::pg::random::bytes()?).to_pem()?;
    let aside = folder.join(format!("new-{}", Uuid::new_v4()));
    let written = write_new(&aside, pem.as_bytes()).and_then(|()| match fs::hard_link(&aside, path) {
        Ok(()) => Ok(()),
        Err(cause) if cause.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(cause) => Err(io_error("create signing key", path, &cause)),
    });
    let removed = fs::remove_file(&aside).map_err(|cause| io_error("remove", &aside, &cause));
    written?;
    removed?;
    sync_folder(folder)
}

fn write_new(path: &Path, bytes: &[u8]) -> Result<()> {
    let written = || -> std::io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    written().map_err(|cause| io_error("write signing key", path, &cause))
}

fn sync_folder(path: &Path) -> Result<()> {
    File::open(path)
        .and_then(|folder| folder.sync_all())
        .map_err(|cause| io_error("sync folder", path, &cause))
}

fn key_error(what: &str, path: &Path) -> Error {
    Error::new(ErrorClass::Key, format!("signing key \"{}\" {what}", path.display()))
}

fn io_error(doing: &str, path: &Path, cause: &std::io::Error) -> Error {
    Error::new(ErrorClass::Key, format!("could not {doing} \"{}\"", path.display())).detail(cause.to_string())
}
