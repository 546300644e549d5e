//! The root folder and the folders below it: made when a file needs them, removed when the last file is gone.

use std::fs::{DirBuilder, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::sync_folder;

/// How often a file is tried again because its folder was removed between being made and being used.
const RACE_ATTEMPTS: u32 = 5;

/// The root folder.
pub(super) struct Folder {
    pub(super) root: PathBuf,
    pub(super) fsync: bool,
}

impl Folder {
    /// Where the object `key` stands. Keys are validated: relative, without dots.
    pub(super) fn path(&self, key: &str) -> PathBuf {
        self.root.join(key)
    }

    /// Makes the root folder if it is missing, but not its parents.
    pub(super) fn make_root(&self) -> io::Result<()> {
        self.make(&self.root)?;
        if self.root.metadata()?.is_dir() { Ok(()) } else { Err(io::ErrorKind::NotADirectory.into()) }
    }

    /// Opens a new file of mode 0600 for writing and makes the folders it needs.
    pub(super) fn create_private(&self, path: &Path) -> io::Result<File> {
        let mut attempt = 1;
        loop {
            let open = || OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
            match self.make_parents(path).and_then(|()| open()) {
                // Someone removed the last file of the folder, and the folder with it.
                Err(error) if error.kind() == io::ErrorKind::NotFound && attempt < RACE_ATTEMPTS => {
                    attempt += 1
                }
                result => return result,
            }
        }
    }

    /// Removes a file, which may be missing, and the folders that are empty then.
    pub(super) fn remove(&self, path: &Path) -> io::Result<()> {
        match std::fs::remove_file(path) {
            Ok(()) => self.sync_parent(path)?,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
            Err(error) => return Err(error),
        }
        self.remove_empty_parents(path);
        Ok(())
    }

    /// The names in a folder, which may be missing, and what they are themselves: links are not followed. A name that is no
    /// text belongs to nobody here.
    pub(super) fn entries(&self, path: &Path) -> io::Result<Vec<(String, Metadata)>> {
        let is_gone = |error: &io::Error| {
            matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
        };
        let listing = match path.symlink_metadata().and_then(|metadata| {
            if metadata.is_dir() { path.read_dir() } else { Err(io::ErrorKind::NotADirectory.into()) }
        }) {
            Ok(listing) => listing,
            Err(error) if is_gone(&error) => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut entries = Vec::new();
        for entry in listing {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            match entry.metadata() {
                Ok(metadata) => entries.push((name, metadata)),
                // Removed since it was listed.
                Err(error) if is_gone(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(entries)
    }

    /// Flushes the folder `path` stands in, where flushing is wanted.
    pub(super) fn sync_parent(&self, path: &Path) -> io::Result<()> {
        match path.parent() {
            Some(parent) if self.fsync => sync_folder(parent),
            _ => Ok(()),
        }
    }

    fn make_parents(&self, path: &Path) -> io::Result<()> {
        let Ok(below) = path.strip_prefix(&self.root) else { return Ok(()) };
        let mut current = self.root.clone();
        for name in below.parent().into_iter().flat_map(Path::components) {
            current.push(name);
            self.make(&current)?;
        }
        Ok(())
    }

    fn make(&self, path: &Path) -> io::Result<()> {
        match DirBuilder::new().mode(0o700).create(path) {
            Ok(()) => self.sync_parent(path),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Tidies up; a folder that is not empty, or cannot be removed, stays.
    fn remove_empty_parents(&self, path: &Path) {
        let below = path.ancestors().skip(1).take_while(|folder| *folder != self.root);
        for folder in below {
            if std::fs::remove_dir(folder).is_err() {
                break;
            }
        }
    }
}
