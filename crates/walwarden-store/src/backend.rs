//! The one difference between kinds of storage: each method is a single attempt, bounded in time, with its failure
//! judged. What to do about a failure is decided above, in the store and the upload.

use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use walwarden_core::{Error, Result as CoreResult};

use crate::azure::Azure;
use crate::failure::Failure;
use crate::gcs::Gcs;
use crate::listing::{Page, Place};
use crate::local::Local;
use crate::options::Encryption;
use crate::part_plan::PartLimits;
use crate::removal::{Seen, Version};
use crate::s3::{BucketState, S3};
use crate::uploads_found::{UploadPage, UploadPlace};

/// What is known of an object without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) size: u64,
    /// Not of files.
    pub(crate) e_tag: Option<String>,
}

/// A kind of storage.
pub(crate) enum Backend {
    S3(S3),
    Gcs(Gcs),
    Azure(Azure),
    Local(Local),
}

impl Backend {
    /// Writes an object that must not exist; `StorageConflict` if it does.
    pub(crate) async fn create(&self, key: &str, bytes: Bytes, limit: Duration) -> Result<(), Failure> {
        match self {
            Self::S3(s3) => s3.create(key, bytes, limit).await,
            Self::Gcs(gcs) => gcs.create(key, bytes, limit).await,
            Self::Azure(azure) => azure.create(key, bytes, limit).await,
            Self::Local(local) => local.create(key, bytes, limit).await,
        }
    }

    /// The size of an object, or `None` if there is none.
    pub(crate) async fn head(&self, key: &str, limit: Duration) -> Result<Option<Head>, Failure> {
        match self {
            Self::S3(s3) => s3.head(key, limit).await,
            Self::Gcs(gcs) => gcs.remote.head(key, limit).await,
            Self::Azure(azure) => azure.remote.head(key, limit).await,
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
            Self::Gcs(gcs) => gcs.remote.read(key, range, limit).await,
            Self::Azure(azure) => azure.remote.read(key, range, limit).await,
            Self::Local(local) => local.read(key, range, limit).await,
        }
    }

    /// Deletes an object; one that does not exist is fine.
    pub(crate) async fn delete(&self, key: &str, limit: Duration) -> Result<(), Failure> {
        match self {
            Self::S3(s3) => s3.delete(key, limit).await,
            Self::Gcs(gcs) => gcs.remote.delete(key, limit).await,
            Self::Azure(azure) => azure.remote.delete(key, limit).await,
            Self::Local(local) => local.delete(key, limit).await,
        }
    }

    /// What lies at one place of a listing.
    pub(crate) async fn list(&self, place: &Place, limit: Duration) -> Result<Page, Failure> {
        match self {
            Self::S3(s3) => s3.list(place, limit).await,
            Self::Gcs(gcs) => gcs.remote.list(place, limit).await,
            Self::Azure(azure) => azure.remote.list(place, limit).await,
            Self::Local(local) => local.list(place, limit).await,
        }
    }

    /// Begins an upload and gives its id.
    pub(crate) async fn begin(&self, key: &str, limit: Duration) -> Result<String, Failure> {
        match self {
            Self::S3(s3) => s3.begin(key, limit).await,
            Self::Gcs(gcs) => gcs.begin(key, limit).await,
            Self::Azure(_) => Ok(Azure::begin()),
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
            Self::Gcs(gcs) => gcs.remote.put_part(key, id, index, bytes, limit).await,
            Self::Azure(azure) => azure.remote.put_part(key, id, index, bytes, limit).await,
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
            Self::Gcs(gcs) => gcs.remote.complete(&gcs.remote.client, key, id, tags, limit).await,
            Self::Azure(azure) => azure.remote.complete(&azure.remote.client, key, id, tags, limit).await,
            Self::Local(local) => local.complete(key, id, size, limit).await,
        }
    }

    /// Gives an upload up and frees its parts; one that does not exist is fine.
    pub(crate) async fn abort(&self, key: &str, id: &str, limit: Duration) -> Result<(), Failure> {
        match self {
            Self::S3(s3) => s3.abort(key, id, limit).await,
            Self::Gcs(gcs) => gcs.remote.abort(key, id, limit).await,
            Self::Azure(azure) => azure.remote.abort(key, id, limit).await,
            Self::Local(local) => local.abort(key, id, limit).await,
        }
    }

    /// Uploads that are neither completed nor aborted, at one place of a listing.
    pub(crate) async fn list_uploads(
        &self,
        place: &UploadPlace,
        limit: Duration,
    ) -> Result<UploadPage, Failure> {
        match self {
            Self::S3(s3) => s3.list_uploads(place, limit).await,
            Self::Local(local) => local.list_uploads(place, limit).await,
            Self::Azure(_) => Ok(UploadPage { uploads: Vec::new(), more: Vec::new() }),
            Self::Gcs(gcs) => gcs.list_uploads(place, limit).await,
        }
    }

    /// One page of the versions of an object, and where the next begins. What has no versions has none.
    pub(crate) async fn list_versions(
        &self,
        key: &str,
        after: Option<&(String, Option<String>)>,
        limit: Duration,
    ) -> Result<(Vec<Version>, Option<(String, Option<String>)>), Failure> {
        match self {
            Self::S3(s3) => s3.list_versions(key, after, limit).await,
            Self::Gcs(_) | Self::Azure(_) | Self::Local(_) => Ok((Vec::new(), None)),
        }
    }

    /// Looks whether an object exists, and what keeps it as far as storage tells.
    pub(crate) async fn look(
        &self,
        key: &str,
        version: Option<&str>,
        now: DateTime<Utc>,
        limit: Duration,
    ) -> Result<Option<Seen>, Failure> {
        match self {
            Self::S3(s3) => s3.look(key, version, now, limit).await,
            _ => {
                let head = self.head(key, limit).await?;
                Ok(head.map(|_| Seen { version: None, retention: None }))
            }
        }
    }

    /// Deletes a version; one that does not exist is fine.
    pub(crate) async fn delete_version(
        &self,
        key: &str,
        version: Option<&str>,
        limit: Duration,
    ) -> Result<(), Failure> {
        match self {
            Self::S3(s3) => s3.delete_version(key, version, limit).await,
            _ => self.delete(key, limit).await,
        }
    }

    /// What the bucket does with every object, where that can be asked.
    pub(crate) async fn bucket_state(&self, limit: Duration) -> Result<Option<BucketState>, Failure> {
        match self {
            Self::S3(s3) => s3.bucket_state(limit).await.map(Some),
            _ => Ok(None),
        }
    }

    /// Whether an address alone is enough to read objects.
    pub(crate) fn may_be_downloaded(&self) -> CoreResult<()> {
        match self {
            Self::S3(s3) if s3.options().encryption == Some(Encryption::Customer) => {
                Err(Error::invalid("objects of this storage cannot be fetched by their address")
                    .detail(
                        "They are encrypted with a customer's key, which must go along with every request.",
                    )
                    .hint("Fetch the object with a client that has the key."))
            }
            Self::Local(_) => Err(Error::invalid("objects in a folder have no address")
                .hint("Copy the file from the server, or use a storage that others can reach.")),
            _ => Ok(()),
        }
    }

    /// An address from which anybody can read the object for a while.
    pub(crate) async fn signed_url(
        &self,
        key: &str,
        expires: Duration,
        limit: Duration,
    ) -> Result<String, Failure> {
        match self {
            Self::S3(s3) => s3.signed_url(key, expires, limit).await,
            Self::Gcs(gcs) => gcs.remote.signed_url(key, expires, limit).await,
            Self::Azure(azure) => azure.remote.signed_url(key, expires, limit).await,
            Self::Local(_) => Err(Failure::unsupported("a file has no address")),
        }
    }

    /// Fetches such an address as anybody would.
    pub(crate) async fn fetch(&self, url: &str, limit: Duration) -> Result<Bytes, Failure> {
        match self {
            Self::S3(s3) => s3.fetch(url, limit).await,
            Self::Gcs(gcs) => gcs.remote.fetch(url, limit).await,
            Self::Azure(azure) => azure.remote.fetch(url, limit).await,
            Self::Local(_) => Err(Failure::unsupported("a file has no address")),
        }
    }

    /// How much of an object is asked for at once, bytes: over a network what makes the way worth it, of a file what stays
    /// in the processor's cache.
    pub(crate) fn window(&self) -> u64 {
        match self {
            Self::Local(_) => 1 << 20,
            _ => 8 << 20,
        }
    }

    /// What it takes as parts of one upload.
    pub(crate) fn part_limits(&self) -> PartLimits {
        match self {
            Self::S3(s3) => s3.options().parts,
            Self::Gcs(gcs) => gcs.options.parts,
            Self::Azure(azure) => azure.options.parts,
            Self::Local(_) => PartLimits::FILE,
        }
    }
}
