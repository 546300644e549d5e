//! A stream of unknown length becomes one object: cut into equal parts, hashed in flight, stored a few parts at a time.

mod completion;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc::Receiver;
use tokio::task::{JoinError, JoinSet};
use walwarden_core::{Error, ErrorClass, Result};

use crate::failure::Failure;
use crate::retry::retried;
use crate::store::Store;

/// What a producer sends. Only `End` completes the object: a producer that dies drops its sender without it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UploadItem {
    /// The next bytes of the object.
    Bytes(Bytes),
    /// All bytes were sent.
    End,
}

/// A part of an object, as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The first byte's place in the object.
    pub offset: u64,
    /// Its length in bytes.
    pub size: u64,
    /// The SHA-256 of its bytes.
    pub sha256: [u8; 32],
}

/// A completed upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uploaded {
    /// The object's size in bytes.
    pub size: u64,
    /// The SHA-256 of the whole object.
    pub sha256: [u8; 32],
    /// Its parts in order, without gaps; all but the last have the same size. Empty if the object is.
    pub parts: Vec<Part>,
}

/// An upload that was begun. Dropped without [`Upload::run`], or with its future canceled, it stays in storage until
/// [`Store::abort_upload`] is called with its id.
#[derive(Debug)]
#[must_use = "an upload stays in storage until it is run or aborted"]
pub struct Upload {
    store: Store,
    key: String,
    id: String,
}

/// A part that is in storage.
struct StoredPart {
    index: usize,
    part: Part,
    tag: String,
}

impl Upload {
    pub(crate) fn new(store: Store, key: String, id: String) -> Self {
        Self { store, key, id }
    }

    /// What [`Store::abort_upload`] needs to clean up, in this process or a later one.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Stores everything that comes through `items` until `End`, and completes the object.
    ///
    /// At most `concurrency` parts are under way and one is being filled, so the upload holds `part_size *
    /// (concurrency + 1)` bytes, and the channel what its bound allows; a full channel holds its sender back. With a
    /// concurrency of 0 no part is filled while one is under way.
    /// `progress` is raised by the size of each part that is stored.
    ///
    /// On an error, the channel is closed and the upload is aborted, which may take as long as any other action; if
    /// even that fails, the error says so. Where completing failed as `StorageUnreachable`, the object may be there all
    /// the same: delete it.
    ///
    /// # Errors
    /// The classes of storage; `Lost` if the sender was dropped without `End`; `InvalidInput` for a part size the
    /// storage does not take; `Resources` if there is no memory for a part; `StorageConflict` if the object came into
    /// being meanwhile.
    pub async fn run(
        self,
        items: Receiver<UploadItem>,
        part_size: usize,
        concurrency: usize,
        progress: Arc<AtomicU64>,
    ) -> Result<Uploaded> {
        let result = self.transfer(items, part_size, concurrency, &progress).await;
        let Err(mut error) = result else { return result };
        if let Err(abort) = self.store.abort_upload(&self.key, &self.id).await {
            let detail = error.detail.get_or_insert_default();
            detail.push_str(&format!("; the upload could not be aborted either: {abort}"));
        }
        Err(error)
    }

    async fn transfer(
        &self,
        mut items: Receiver<UploadItem>,
        part_size: usize,
        concurrency: usize,
        progress: &Arc<AtomicU64>,
    ) -> Result<Uploaded> {
        self.check_part_size(part_size)?;
        let mut parts = PartWriter {
            upload: self,
            part_size,
            concurrency,
            progress,
            buffer: Vec::new(),
            size: 0,
            whole: Sha256::new(),
            next_index: 0,
            running: JoinSet::new(),
            stored: Vec::new(),
        };
        loop {
            let item = tokio::select! {
                item = items.recv() => item,
                // A part that failed ends the upload even while the producer is silent.
                Some(done) = parts.running.join_next() => {
                    parts.note(done)?;
                    continue;
                }
            };
            match item {
                Some(UploadItem::Bytes(bytes)) => parts.write(&bytes).await?,
                Some(UploadItem::End) => break,
                None => {
                    return Err(Error::new(
                        ErrorClass::Lost,
                        format!("data for object \"{}\" ended without its end mark", self.key),
                    )
                    .detail("The process that made the data is gone."));
                }
            }
        }
        let (parts, tags, sha256) = parts.finish().await?;
        let size = parts.last().map_or(0, |last| last.offset + last.size);
        completion::complete(&self.store, &self.key, &self.id, &tags, size)
            .await
            .map_err(|failure| self.store.error(failure, "complete the upload of", &self.key))?;
        Ok(Uploaded { size, sha256, parts })
    }

    fn check_part_size(&self, part_size: usize) -> Result<()> {
        let limits = self.store.part_limits();
        if (limits.min_size..=limits.max_size).contains(&(part_size as u64)) {
            return Ok(());
        }
        Err(Error::invalid("part size is not one the storage takes").detail(format!(
            "The size is {part_size} bytes; allowed are {} to {}.",
            limits.min_size, limits.max_size
        )))
    }
}

/// Fills parts and keeps a bounded number of them under way. Dropping it stops them.
struct PartWriter<'a> {
    upload: &'a Upload,
    part_size: usize,
    concurrency: usize,
    progress: &'a Arc<AtomicU64>,
    buffer: Vec<u8>,
    /// Bytes in all parts that were started.
    size: u64,
    /// Of all bytes as they lie in the parts, so that it stands for what the parts' own hashes stand for.
    whole: Sha256,
    next_index: usize,
    running: JoinSet<Result<StoredPart, Failure>>,
    stored: Vec<StoredPart>,
}

impl PartWriter<'_> {
    async fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            if self.buffer.capacity() == 0 {
                self.allocate()?;
            }
            let room = self.part_size - self.buffer.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            let filled = self.buffer.len();
            self.buffer.extend_from_slice(now);
            self.whole.update(&self.buffer[filled..]);
            bytes = later;
            if self.buffer.len() == self.part_size {
                self.start_part().await?;
            }
        }
        Ok(())
    }

    /// An allocation that fails must not abort the process, which would restart the whole database server.
    fn allocate(&mut self) -> Result<()> {
        self.buffer.try_reserve_exact(self.part_size).map_err(|_| {
            Error::new(
                ErrorClass::Resources,
                format!("could not get memory for a part of {} bytes", self.part_size),
            )
            .hint("Lower the number of concurrent parts, or the storage option \"part_size\".")
        })
    }

    /// Sends the filled part on its way, as soon as fewer than `concurrency` are.
    async fn start_part(&mut self) -> Result<()> {
        self.check_limits()?;
        while self.running.len() >= self.concurrency.max(1) {
            self.wait_for_one().await?;
        }
        let bytes = Bytes::from(std::mem::take(&mut self.buffer));
        let (index, offset) = (self.next_index, self.size);
        self.next_index += 1;
        self.size += bytes.len() as u64;
        let (store, key, id) = (self.upload.store.clone(), self.upload.key.clone(), self.upload.id.clone());
        let progress = Arc::clone(self.progress);
        self.running.spawn(async move {
            let size = bytes.len() as u64;
            let part = Part { offset, size, sha256: Sha256::digest(&bytes).into() };
            let limit = store.policy().attempt_timeout_for(size);
            let tag = retried(store.policy(), || {
                store.backend().put_part(&key, &id, index, offset, bytes.clone(), limit)
            })
            .await?;
            progress.fetch_add(size, Ordering::Relaxed);
            Ok(StoredPart { index, part, tag })
        });
        if self.concurrency == 0 { self.wait_for_one().await } else { Ok(()) }
    }

    fn check_limits(&self) -> Result<()> {
        let limits = self.upload.store.part_limits();
        let too_large = |detail: String| {
            let action = format!("could not upload object \"{}\"", self.upload.key);
            Err(Error::new(ErrorClass::Storage, action).detail(detail))
        };
        if self.next_index >= limits.max_parts {
            let told = format!("It has more than {} parts of {} bytes.", limits.max_parts, self.part_size);
            return too_large(told).map_err(|error| error.hint("Raise the storage option \"part_size\"."));
        }
        if self.size + self.buffer.len() as u64 > limits.max_object_size {
            return too_large(format!("It is larger than {} bytes.", limits.max_object_size));
        }
        Ok(())
    }

    async fn wait_for_one(&mut self) -> Result<()> {
        match self.running.join_next().await {
            Some(done) => self.note(done),
            None => Ok(()),
        }
    }

    fn note(&mut self, done: Result<Result<StoredPart, Failure>, JoinError>) -> Result<()> {
        let result = done.unwrap_or_else(|_| Err(Failure::internal("a part's task panicked or was stopped")));
        match result {
            Ok(part) => {
                self.stored.push(part);
                Ok(())
            }
            Err(failure) => Err(self.upload.store.error(failure, "store a part of", &self.upload.key)),
        }
    }

    /// Stores the rest and gives all parts and their tags, in order, and the SHA-256 of the whole.
    async fn finish(mut self) -> Result<(Vec<Part>, Vec<String>, [u8; 32])> {
        // S3 completes nothing without a part, so an empty object has one that is empty.
        if !self.buffer.is_empty() || self.next_index == 0 {
            self.start_part().await?;
        }
        while !self.running.is_empty() {
            self.wait_for_one().await?;
        }
        self.stored.sort_unstable_by_key(|stored| stored.index);
        let tags = self.stored.iter().map(|stored| stored.tag.clone()).collect();
        let parts = self.stored.into_iter().map(|stored| stored.part).filter(|part| part.size > 0).collect();
        Ok((parts, tags, self.whole.finalize().into()))
    }
}
