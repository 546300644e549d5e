//! Files of the key folder: read with suspicion, written so that a crash leaves them whole or absent, erased.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use uuid::Uuid;
use walwarden_core::key::{SigningKey, Zeroizing};
use walwarden_core::{Error, ErrorClass, Result};

/// No file of the folder is larger.
const LARGEST: u64 = 16 * 1024;
/// What a file that is being written is called until it is whole.
pub const UNFINISHED: &str = "tmp-";

/// The secret key in a file; None when there is no file.
///
/// # Errors
/// `Key` for anything that is not a whole key in a plain file which the server's user owns and nobody else can read.
pub fn read_key(path: &Path) -> Result<Option<SigningKey>> {
    // O_NOFOLLOW: a link could lead to a file that somebody else controls. O_NONBLOCK: a pipe would be waited for.
    let flags = libc::O_NOFOLLOW | libc::O_CLOEXEC | libc::O_NONBLOCK;
    let mut file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(file) => file,
        Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(None),
        Err(cause) if cause.raw_os_error() == Some(libc::ELOOP) => {
            return Err(key_error("is a symbolic link", path).hint(
                "Put the key itself there, as a plain file that the server's user owns, with mode 0600.",
            ));
        }
        Err(cause) => {
            return Err(io_error("open signing key", path, &cause)
                .hint("It must be a plain file that the server's user owns, with mode 0600."));
        }
    };
    let facts = file.metadata().map_err(|cause| io_error("examine signing key", path, &cause))?;
    let (server_user, _) = crate::pg::server::operating_system_user()?;
    if !facts.is_file() || facts.uid() != server_user {
        return Err(key_error("is not a plain file of the server's user", path)
            .hint("Make it a plain file that the user owns who runs the server, with mode 0600."));
    }
    if facts.mode() & 0o077 != 0 {
        return Err(key_error("can be read by others", path)
            .hint("Run chmod 0600 on it. If others may have read it, then SELECT walwarden.rotate_key()."));
    }
    if facts.len() > LARGEST {
        return Err(key_error("is too large to be a key", path).hint(FROM_ITS_COPY));
    }
    let mut pem = Zeroizing::new(String::new());
    file.read_to_string(&mut pem)
        .map_err(|cause| io_error("read signing key", path, &cause).hint(FROM_ITS_COPY))?;
    if pem.trim_ascii().is_empty() {
        return Err(key_error("is empty", path).hint(FROM_ITS_COPY));
    }
    SigningKey::from_pem(&pem)
        .map(Some)
        .map_err(|_| key_error("is not a whole Ed25519 key in PKCS#8 PEM form", path).hint(FROM_ITS_COPY))
}

/// What to do when the key is gone.
pub const FROM_ITS_COPY: &str = "Put the key back from its copy. If there is none, SELECT walwarden.rotate_key(lost => true) \
     begins with a new key; old backups stay verifiable either way.";

/// The bytes of a file that is no secret; None when there is none.
pub fn read_public(path: &Path) -> Result<Option<Vec<u8>>> {
    let flags = libc::O_NOFOLLOW | libc::O_CLOEXEC | libc::O_NONBLOCK;
    let mut bytes = Vec::new();
    let read = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)
        .and_then(|file| file.take(LARGEST).read_to_end(&mut bytes));
    match read {
        Ok(_) => Ok(Some(bytes)),
        Err(cause) if cause.kind() == ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(io_error("read", path, &cause)),
    }
}

/// Put a file in place, whole and lasting, instead of any that is there.
pub fn put(folder: &Path, name: &str, bytes: &[u8]) -> Result<()> {
    let aside = folder.join(format!("{UNFINISHED}{}", Uuid::new_v4()));
    let target = folder.join(name);
    let written = || -> std::io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&aside)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    written().map_err(|cause| io_error("write", &aside, &cause))?;
    rename(&aside, &target)?;
    sync_folder(folder)
}

/// Rename within a folder; the caller makes it last.
pub fn rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).map_err(|cause| io_error("rename", from, &cause))
}

/// Overwrite a secret and remove its file. What a file system or disk has kept of it elsewhere stays.
pub fn erase(path: &Path) -> Result<()> {
    let failed = |cause: std::io::Error| io_error("erase", path, &cause);
    let facts = fs::symlink_metadata(path).map_err(failed)?;
    // With another name it is another key file: that one is not to be harmed.
    if facts.is_file() && facts.nlink() == 1 {
        let mut file =
            OpenOptions::new().write(true).custom_flags(libc::O_NOFOLLOW).open(path).map_err(failed)?;
        let length = usize::try_from(facts.len().min(LARGEST)).unwrap_or_default();
        file.write_all(&vec![0; length]).and_then(|()| file.sync_all()).map_err(failed)?;
    }
    fs::remove_file(path).map_err(failed)?;
    sync_folder(path.parent().unwrap_or(path))
}

/// Make what was created, renamed or removed in a folder last.
pub fn sync_folder(path: &Path) -> Result<()> {
    File::open(path)
        .and_then(|folder| folder.sync_all())
        .map_err(|cause| io_error("sync folder", path, &cause))
}

/// Something is wrong with a key file.
pub fn key_error(what: &str, path: &Path) -> Error {
    Error::new(ErrorClass::Key, format!("signing key \"{}\" {what}", path.display()))
}

/// The system refused.
pub fn io_error(doing: &str, path: &Path, cause: &std::io::Error) -> Error {
    Error::new(ErrorClass::Key, format!("could not {doing} \"{}\"", path.display())).detail(cause.to_string())
}
