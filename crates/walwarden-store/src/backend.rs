//! The one difference between kinds of storage: each method is a single attempt, bounded in time, with its failure
//! judged. What to do about a failure is decided above, in the store and the upload.

use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;

use crate::failure::Failure;
use crate::listing::{Page, Place};
use crate::local::Local;
use crate::s3::S3;

/// What is known of an object without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) size: u64,
    /// S3 only.
    pub(crate) e_tag: Option<String>,
}

/// A kind of storage.
pub(crate) enum Backend {
    S3(S3),
    Local(Local),
}

impl Backend {
    /// Writes an object that must not exist; `StorageConflict` if it does.
    pub(crate) async fn create(&self, key: &str, bytes: Bytes, limit: Duration) -> Result<(), Failure> {
        match self {
            Self::S3(s3) => s3.create(key, bytes, limit).await,
            Self::Local(local) => local.create(key, bytes, limit).await,
        }
    }

    /// The size of an object, or `None` if there is none.
    pub(crate) async fn head(&self, key: &str, limit: Duration) -> Result<Option<Head>, Failure> {
        match self {
            Self::S3(s3) => s3.head(key, limit).await,
            Self::Local(local) => local.head(key, limit).await,
        }
    }

    /// Exactly the bytes of `range`, and the size of the whole object; `StorageCorrupt` if it ends before the range.
    pub(crate) async fn read(
        &self,
        key: &str,
        range: Range<u64>,
        limit: Duration,
    ) -> Result<(Bytes, u64), Failure> {
        match self {
            Self::S3(s3) => s3.read(key, range, limit).await,
            Self::Local(local) => local.read(key, range, limit).await,
        }
    }

    /// Deletes an object; one that does not exist is fine.
    pub(crate) async fn delete(&self, key: &str, limit: Duration) -> Result<(), Failure> {
        match self {
            Self::S3(s3) => s3.delete(key, limit).await,
            Self::Local(local) => local.delete(key, limit).await,
        }
    }

    /// What lies at one place of a listing.
    pub(crate) async fn list(&self, place: &Place, limit: Duration) -> Result<Page, Failure> {
        match self {
            Self::S3(s3) => s3.list(place, limit).await,
            Self::Local(local) => local.list(place, limit).await,
        }
    }

    /// Begins an upload and gives its id.
    pub(crate) async fn begin(&self, key: &str, limit: Duration) -> Result<String, Failure> {
        match self {
            Self::S3(s3) => s3.begin(key, limit).await,
            Self::Local(local) => local.begin(key, limit).await,
        }
    }

    /// Stores one part and gives the tag that completing needs. Storing the same part again replaces it.
    pub(crate) async fn put_part(
        &self,
        key: &str,
        id: &str,
        index: usize,
        offset: u64,
        bytes: Bytes,
        limit: Duration,
    ) -> Result<String, Failure> {
        match self {
            Self::S3(s3) => s3.put_part(key, id, index, bytes, limit).await,
            Self::Local(local) => local.put_part(key, id, offset, bytes, limit).await.map(|()| String::new()),
        }
    }

    /// Makes the object of `size` bytes out of the parts with these tags, in order.
    pub(crate) async fn complete(
        &self,
        key: &str,
        id: &str,
        tags: &[String],
        size: u64,
        limit: Duration,
    ) -> Result<(), Failure> {
        match self {
            Self::S3(s3) => s3.complete(key, id, tags, limit).await,
            Self::Local(local) => local.complete(key, id, size, limit).await,
        }
    }

    /// Gives an upload up and frees its parts; one that does not exist is fine.
    pub(crate) async fn abort(&self, key: &str, id: &str, limit: Duration) -> Result<(), Failure> {
        match self {
            Self::S3(s3) => s3.abort(key, id, limit).await,
            Self::Local(local) => local.abort(key, id, limit).await,
        }
    }

    /// How much of an object is asked for at once, bytes: over a network what makes the way worth it, of a file what stays
    /// in the processor's cache.
    pub(crate) fn window(&self) -> u64 {
        match self {
            Self::Local(_) => 1 << 20,
            Self::S3(_) => 8 << 20,
        }
    }

    /// The most parts an upload can have, where there is a limit.
    pub(crate) fn max_parts(&self) -> Option<usize> {
        match self {
            Self::S3(_) => Some(crate::part_plan::MAX_PARTS),
            Self::Local(_) => None,
        }
    }

    /// The smallest part but the last, in bytes.
    pub(crate) fn min_part_size(&self) -> u64 {
        match self {
            Self::S3(_) => crate::part_plan::MIN_PART_SIZE,
            Self::Local(_) => 1,
        }
    }
}
