//! A folder of the file system as a storage. Every object is a file that appears at once and complete: it is written to
//! a staged file beside its place, flushed, and then linked to its name, which fails if the name is taken.
//!
//! Folders are made with mode 0700 and files with 0600. The work is done on blocking threads; canceling stops waiting
//! for them, and what one of them is doing at that moment still ends.

mod folder;
mod staged;

use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;
use walwarden_core::{ErrorClass, Result};

use crate::backend::Head;
use crate::failure::Failure;
use crate::listing::{ListedObject, Page, Place};
use crate::uploads_found::{UploadFound, UploadPage, UploadPlace};
use folder::Folder;
use staged::Staged;

/// A part is written in slices of this many bytes. In one go the kernel takes huge pages for it, which in virtual machines are
/// often memory that the host has to fetch first: measured ten times as dear as small ones.
const WRITE_LENGTH: usize = 64 << 10;

/// One folder.
pub(crate) struct Local {
    folder: Arc<Folder>,
}

impl Local {
    /// Opens the folder `root` and makes it if only it is missing. Its parent must exist: a whole tree made anew would
    /// hide that a disk is not mounted.
    pub(crate) fn open(root: PathBuf, fsync: bool) -> Result<Self> {
        let folder = Folder { root, fsync };
        folder.make_root().map_err(|error| {
            let is_missing = error.kind() == io::ErrorKind::NotFound;
            let action = format!("could not open storage folder {:?}", folder.root);
            let error = Failure::from(error).into_error(action);
            if is_missing {
                error.hint("Create its parent folder, or mount the disk it is on.")
            } else {
                error
            }
        })?;
        Ok(Self { folder: Arc::new(folder) })
    }

    pub(crate) async fn create(&self, key: &str, bytes: Bytes, limit: Duration) -> Result<(), Failure> {
        let staged = Staged::new(key, Uuid::new_v4());
        self.blocking(limit, move |folder| {
            let written = folder
                .create_private(&staged.path(folder))
                .and_then(|file| file.write_all_at(&bytes, 0))
                .map_err(Failure::from)
                .and_then(|()| staged.publish(folder, bytes.len() as u64));
            if written.is_err() {
                // The first error is the one to report.
                let _ = staged.remove(folder);
            }
            written
        })
        .await
    }

    pub(crate) async fn head(&self, key: &str, limit: Duration) -> Result<Option<Head>, Failure> {
        let key = key.to_owned();
        self.blocking(limit, move |folder| match folder.path(&key).metadata() {
            Ok(metadata) if metadata.is_file() => Ok(Some(Head { size: metadata.len(), e_tag: None })),
            Ok(_) => Err(Failure::new(ErrorClass::Storage, "it is not a regular file")),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                Ok(None)
            }
            Err(error) => Err(error.into()),
        })
        .await
    }

    pub(crate) async fn read(
        &self,
        key: &str,
        range: Range<u64>,
        limit: Duration,
    ) -> Result<(Bytes, u64), Failure> {
        let key = key.to_owned();
        self.blocking(limit, move |folder| {
            // Without O_NONBLOCK, opening a FIFO that someone put there would wait for its writer.
            let file =
                OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(folder.path(&key))?;
            let size = file.metadata()?.len();
            if size < range.end {
                return Err(Failure::ends_early(size, range.end));
            }
            let mut bytes = zeroed(range.end - range.start)?;
            file.read_exact_at(&mut bytes, range.start)?;
            Ok((Bytes::from(bytes), size))
        })
        .await
    }

    pub(crate) async fn list(&self, place: &Place, limit: Duration) -> Result<Page, Failure> {
        let key = place.folder.clone();
        self.blocking(limit, move |folder| {
            let mut page = Page { objects: Vec::new(), more: Vec::new() };
            for (name, metadata) in folder.entries(&folder.path(&key))? {
                let key = format!("{key}/{name}");
                if metadata.is_dir() {
                    page.more.push(Place { folder: key, token: None, after: None });
                } else if metadata.is_file() {
                    page.objects.push(ListedObject { key, size: metadata.len() });
                }
            }
            Ok(page)
        })
        .await
    }

    /// The staged files right in one folder; what is below it comes next.
    pub(crate) async fn list_uploads(
        &self,
        place: &UploadPlace,
        limit: Duration,
    ) -> Result<UploadPage, Failure> {
        let key = place.folder.clone();
        self.blocking(limit, move |folder| {
            let mut page = UploadPage { uploads: Vec::new(), more: Vec::new() };
            for (name, metadata) in folder.entries(&folder.path(&key))? {
                if metadata.is_dir() {
                    page.more.push(UploadPlace { folder: format!("{key}/{name}"), after: None });
                } else if let (true, Some((object, id))) = (metadata.is_file(), staged::parse_name(&name)) {
                    page.uploads.push(UploadFound {
                        key: format!("{key}/{object}"),
                        id: id.simple().to_string(),
                        initiated: metadata.modified()?.into(),
                    });
                }
            }
            Ok(page)
        })
        .await
    }

    pub(crate) async fn delete(&self, key: &str, limit: Duration) -> Result<(), Failure> {
        let key = key.to_owned();
        self.blocking(limit, move |folder| {
            // What a crash left of an earlier attempt to write this object goes with it.
            staged::sweep(folder, &key)?;
            Ok(folder.remove(&folder.path(&key))?)
        })
        .await
    }

    pub(crate) async fn begin(&self, key: &str, limit: Duration) -> Result<String, Failure> {
        let id = Uuid::new_v4();
        let staged = Staged::new(key, id);
        self.blocking(limit, move |folder| {
            folder.create_private(&staged.path(folder))?;
            Ok(id.simple().to_string())
        })
        .await
    }

    pub(crate) async fn put_part(
        &self,
        key: &str,
        id: &str,
        offset: u64,
        bytes: Bytes,
        limit: Duration,
    ) -> Result<(), Failure> {
        let staged = Staged::parse(key, id)?;
        self.blocking(limit, move |folder| {
            let file = OpenOptions::new().write(true).open(staged.path(folder))?;
            for (slice, at) in bytes.chunks(WRITE_LENGTH).zip((offset..).step_by(WRITE_LENGTH)) {
                file.write_all_at(slice, at)?;
            }
            Ok(())
        })
        .await
    }

    pub(crate) async fn complete(
        &self,
        key: &str,
        id: &str,
        size: u64,
        limit: Duration,
    ) -> Result<(), Failure> {
        let staged = Staged::parse(key, id)?;
        self.blocking(limit, move |folder| staged.publish(folder, size)).await
    }

    pub(crate) async fn abort(&self, key: &str, id: &str, limit: Duration) -> Result<(), Failure> {
        let staged = Staged::parse(key, id)?;
        self.blocking(limit, move |folder| Ok(staged.remove(folder)?)).await
    }

    /// Runs `work` on a blocking thread and waits for it no longer than `limit`: a dead network mount answers never.
    async fn blocking<T, W>(&self, limit: Duration, work: W) -> Result<T, Failure>
    where
        T: Send + 'static,
        W: FnOnce(&Folder) -> Result<T, Failure> + Send + 'static,
    {
        let folder = Arc::clone(&self.folder);
        match tokio::time::timeout(limit, tokio::task::spawn_blocking(move || work(&folder))).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(Failure::internal("a storage thread panicked or was stopped")),
            // Not to be repeated: each repetition would hold another thread.
            Err(_) => Err(Failure { is_retriable: false, ..Failure::timeout(limit) }),
        }
    }
}

/// Flushes a folder, so that the names in it survive a power cut.
fn sync_folder(path: &std::path::Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Memory for `length` bytes. An allocation that fails must not abort the process, which would restart the whole
/// database server.
fn zeroed(length: u64) -> Result<Vec<u8>, Failure> {
    let no_memory = || Failure::new(ErrorClass::Resources, format!("there is no memory for {length} bytes"));
    let length = usize::try_from(length).map_err(|_| no_memory())?;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(length).map_err(|_| no_memory())?;
    bytes.resize(length, 0);
    Ok(bytes)
}

/// The error for a file system on which an object cannot appear at once.
fn no_links() -> Failure {
    Failure::new(ErrorClass::Storage, "the file system has no hard links")
        .hint("Use a folder on a file system with hard links, such as ext4, XFS or NFS.")
}

#[cfg(test)]
mod tests;
