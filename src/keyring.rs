//! The signing key on disk: `<data directory>/pg_walwarden/keys`, one folder for the cluster.
//!
//! | file | |
//! |---|---|
//! | `signing.pem` | the secret key that signs; absent while an external signer has it |
//! | `<key id>.pub` | the public key of every key that ever signed here |
//! | `<key id>.rotation.json`, `.sig` | the statement by which this key follows the one before, and that one's signature |
//! | `lock` | who changes the folder has it locked |
//! | `next.pem`, `old-<key id>.pem`, `tmp-*` | a rotation under way; what a crash left of one is brought to its end, or taken back, at the next use |
//! | `unusable-*` | what stood in the place of the key when it was given up as lost |

mod file;
mod folder;
mod rotation;

pub use file::FROM_ITS_COPY;
pub use folder::KeyFolder;

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use walwarden_core::Result;

/// Where walwarden keeps its own files.
pub fn home() -> PathBuf {
    crate::pg::server::data_directory().join("pg_walwarden")
}

/// Make a folder that only the server's user can enter, if it is not there.
pub fn make_folder(path: &Path) -> Result<()> {
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => file::sync_folder(path.parent().unwrap_or(path)),
        Err(cause) if cause.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(cause) => Err(file::io_error("create folder", path, &cause)),
    }
}
