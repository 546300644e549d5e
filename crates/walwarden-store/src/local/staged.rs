//! Files that are not objects yet. Each has the name of its object and the id of its upload, so that a later process
//! finds it, and a leading dot, so that it can never be taken for an object.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use uuid::Uuid;
use walwarden_core::ErrorClass;

use super::folder::Folder;
use super::no_links;
use crate::failure::Failure;

const SUFFIX: &str = ".staged";

/// The staged file of one upload.
pub(super) struct Staged {
    key: String,
    id: Uuid,
}

impl Staged {
    pub(super) fn new(key: &str, id: Uuid) -> Self {
        Self { key: key.to_owned(), id }
    }

    /// From an id as it was given out. It may come from a table, so it is not trusted to be one.
    pub(super) fn parse(key: &str, id: &str) -> Result<Self, Failure> {
        let id = Uuid::try_parse(id).map_err(|_| {
            Failure::new(ErrorClass::InvalidInput, "the upload id is not one of a file storage")
        })?;
        Ok(Self::new(key, id))
    }

    /// `folder/.name.<id>.staged` for the object `folder/name`.
    pub(super) fn path(&self, folder: &Folder) -> PathBuf {
        let object = folder.path(&self.key);
        object.with_file_name(format!("{}{}{SUFFIX}", prefix(&self.key), self.id.simple()))
    }

    /// Flushes the staged file and gives it the object's name, unless that is taken.
    pub(super) fn publish(&self, folder: &Folder, size: u64) -> Result<(), Failure> {
        let (staged, object) = (self.path(folder), folder.path(&self.key));
        let file = OpenOptions::new().write(true).open(&staged)?;
        let metadata = file.metadata()?;
        if metadata.len() != size {
            return Err(Failure::corrupt(format!(
                "the staged file has {} bytes instead of {size}",
                metadata.len()
            )));
        }
        if folder.fsync {
            file.sync_all()?;
        }
        match std::fs::hard_link(&staged, &object) {
            Ok(()) => {}
            // A network file system may do the work and lose the answer, then say so of its own repetition.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let is_ours = object.symlink_metadata().is_ok_and(|found| {
                    found.is_file() && (found.dev(), found.ino()) == (metadata.dev(), metadata.ino())
                });
                if !is_ours {
                    return Err(Failure::exists());
                }
            }
            Err(error) if is_unsupported(&error) => return Err(no_links()),
            Err(error) => return Err(error.into()),
        }
        std::fs::remove_file(&staged)?;
        folder.sync_parent(&object)?;
        Ok(())
    }

    /// Removes the staged file, which may be missing.
    pub(super) fn remove(&self, folder: &Folder) -> io::Result<()> {
        folder.remove(&self.path(folder))
    }
}

/// Removes all staged files of the object `key`.
pub(super) fn sweep(folder: &Folder, key: &str) -> io::Result<()> {
    let object = folder.path(key);
    let Some(parent) = object.parent() else { return Ok(()) };
    let entries = match parent.read_dir() {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    let prefix = prefix(key);
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let id = name.to_str().and_then(|name| name.strip_prefix(&prefix)?.strip_suffix(SUFFIX));
        // Only what has a whole id between the two: "x" must not sweep what belongs to "x.y".
        if let Some(id) = id.and_then(|id| Uuid::try_parse(id).ok()) {
            Staged::new(key, id).remove(folder)?;
        }
    }
    Ok(())
}

/// The last segment of the object's key and the id of the upload, if `name` is that of a staged file.
pub(super) fn parse_name(name: &str) -> Option<(&str, Uuid)> {
    let (object, id) = name.strip_prefix('.')?.strip_suffix(SUFFIX)?.rsplit_once('.')?;
    Some((object, Uuid::try_parse(id).ok()?))
}

fn prefix(key: &str) -> String {
    format!(".{}.", key.rsplit('/').next().unwrap_or_default())
}

/// EPERM and EOPNOTSUPP are what file systems without hard links answer.
fn is_unsupported(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EPERM | libc::EOPNOTSUPP | libc::ENOSYS))
}
