//! A storage, opened: write-once objects and reads that say exactly what is there.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use walwarden_core::{Error, ErrorClass, Result};
use walwarden_reach::AllowList;

use crate::azure::Azure;
use crate::backend::{Backend, Head};
use crate::credentials::CredentialSource;
use crate::failure::Failure;
use crate::gcs::Gcs;
use crate::key::validate_key;
use crate::local::Local;
use crate::location::Location;
use crate::options::StorageOptions;
use crate::part_plan::PartLimits;
use crate::remote::connection::permitted;
use crate::retry::{Retry, RetryPolicy, retried};
use crate::s3::S3;
use crate::upload::Upload;

/// How long a check tries again what fails in passing. A misspelt host looks like one that is away.
const CHECK_BUDGET: Duration = Duration::from_secs(10);

/// The largest object [`Store::get`] reads into memory: 256 MiB, far above any manifest.
pub const MAX_GET_SIZE: u64 = 256 << 20;

/// An opened storage. Clones share one client.
///
/// Every method is bounded in time by the [`RetryPolicy`], and names the action, the object and the storage in its
/// error. The classes are those of storage: `StoragePermission`, `StorageNotFound`, `StorageUnreachable`,
/// `StorageConflict`, `StorageFull`, `StorageCorrupt`, `Storage`; and `InvalidInput` for a key that is not one.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
}

struct Shared {
    url: String,
    backend: Backend,
    policy: RetryPolicy,
}

impl Store {
    /// Opens a storage. Nothing is sent anywhere; a missing folder is made, its parent must exist. Reads the credentials
    /// file, so call it where blocking is allowed. `allow` says which hosts may be reached.
    ///
    /// # Errors
    /// `NotPermitted` where the storage's host may not be, `Configuration` for credentials that cannot be used, `InvalidInput` for options of another kind of storage, and
    /// the classes of storage for a folder.
    pub fn open(
        location: &Location,
        options: &StorageOptions,
        credentials: &CredentialSource,
        allow: &AllowList,
    ) -> Result<Self> {
        Self::open_with_policy(location, options, credentials, allow, RetryPolicy::of(options))
    }

    /// The same for a check that somebody waits for: what cannot be reached is given up soon.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_for_check(
        location: &Location,
        options: &StorageOptions,
        credentials: &CredentialSource,
        allow: &AllowList,
    ) -> Result<Self> {
        let mut policy = RetryPolicy::of(options);
        policy.budget = policy.budget.min(CHECK_BUDGET);
        Self::open_with_policy(location, options, credentials, allow, policy)
    }

    /// The same with other bounds, which go before the storage option `timeout`.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_with_policy(
        location: &Location,
        options: &StorageOptions,
        credentials: &CredentialSource,
        allow: &AllowList,
        policy: RetryPolicy,
    ) -> Result<Self> {
        let backend = match (location, options) {
            (Location::S3 { bucket, prefix }, StorageOptions::S3(options)) => {
                let identity = credentials.identity(options.profile.as_deref())?;
                Backend::S3(S3::open(bucket, prefix, options, credentials.region(), identity, allow)?)
            }
            (Location::Gcs { bucket, prefix }, StorageOptions::Gcs(options)) => {
                let identity = credentials.google_identity(options.profile.as_deref())?;
                Backend::Gcs(Gcs::open(bucket, prefix, options, identity, allow)?)
            }
            (Location::Azure { account, container, prefix }, StorageOptions::Azure(options)) => {
                let identity = credentials.azure_identity(options.profile.as_deref())?;
                Backend::Azure(Azure::open(account, container, prefix, options, identity, allow)?)
            }
            (Location::File { root }, StorageOptions::File(options)) => {
                Backend::Local(Local::open(root.clone(), options.fsync)?)
            }
            _ => return Err(foreign_options()),
        };
        Ok(Self { shared: Arc::new(Shared { url: location.to_string(), backend, policy }) })
    }

    /// That a storage may be where it is, as far as that is known before names are looked up; folders may be anywhere.
    ///
    /// # Errors
    /// `NotPermitted`; `InvalidInput` for options of another kind of storage.
    pub fn permit(
        location: &Location,
        options: &StorageOptions,
        credentials: &CredentialSource,
        allow: &AllowList,
    ) -> Result<()> {
        let base = match (location, options) {
            (Location::S3 { bucket, .. }, StorageOptions::S3(options)) => {
                S3::address(bucket, options, credentials.region())?
            }
            (Location::Gcs { .. }, StorageOptions::Gcs(options)) => Gcs::address(options).to_owned(),
            (Location::Azure { account, .. }, StorageOptions::Azure(options)) => {
                Azure::address(account, options)
            }
            (Location::File { .. }, StorageOptions::File(_)) => return Ok(()),
            _ => return Err(foreign_options()),
        };
        permitted(&base, allow).map(|_| ())
    }

    /// The storage's URL in its normal form; holds no secret.
    pub fn url(&self) -> &str {
        &self.shared.url
    }

    /// Writes an object that must not exist yet.
    ///
    /// If a reply is lost, the object is read back and compared: the same bytes mean success.
    ///
    /// # Errors
    /// `StorageConflict` if the object exists.
    pub async fn put_new(&self, key: &str, bytes: Bytes) -> Result<()> {
        validate_key(key)?;
        self.create(key, bytes).await.map_err(|failure| self.error(failure, "write", key))
    }

    /// Reads a whole object of at most [`MAX_GET_SIZE`] bytes.
    ///
    /// # Errors
    /// `StorageNotFound` if there is none, `Storage` if it is larger.
    pub async fn get(&self, key: &str) -> Result<Bytes> {
        self.get_at_most(key, MAX_GET_SIZE).await
    }

    /// The same with another limit, for objects that are small if they are what they should be.
    ///
    /// # Errors
    /// As [`Store::get`].
    pub async fn get_at_most(&self, key: &str, most: u64) -> Result<Bytes> {
        validate_key(key)?;
        self.read_all(key, most).await.map_err(|failure| self.error(failure, "read", key))
    }

    /// Reads exactly `length` bytes from `offset` on.
    ///
    /// # Errors
    /// `StorageCorrupt` if the object ends before, `StorageNotFound` if there is none.
    pub async fn get_range(&self, key: &str, offset: u64, length: u64) -> Result<Bytes> {
        validate_key(key)?;
        let Some(end) = offset.checked_add(length) else {
            return Err(Error::invalid("byte range is larger than any object"));
        };
        self.read(key, offset..end)
            .await
            .map(|(bytes, _)| bytes)
            .map_err(|failure| self.error(failure, "read", key))
    }

    /// The size of an object in bytes.
    ///
    /// # Errors
    /// `StorageNotFound` if there is none.
    pub async fn size(&self, key: &str) -> Result<u64> {
        validate_key(key)?;
        let head = self.head(key).await.map_err(|failure| self.error(failure, "find", key))?;
        head.map(|head| head.size).ok_or_else(|| self.error(Failure::no_such_object(), "find", key))
    }

    /// Whether an object exists.
    ///
    /// # Errors
    /// When that cannot be found out. In a missing bucket nothing exists.
    pub async fn exists(&self, key: &str) -> Result<bool> {
        validate_key(key)?;
        let head = self.head(key).await.map_err(|failure| self.error(failure, "find", key))?;
        Ok(head.is_some())
    }

    /// Deletes an object; one that does not exist is fine. In a folder, what crashed uploads of this object left
    /// behind goes with it, and so do folders that are empty then.
    ///
    /// # Errors
    /// When the object may still be there.
    pub async fn delete(&self, key: &str) -> Result<()> {
        validate_key(key)?;
        let limit = self.policy().attempt_timeout;
        retried(self.policy(), || self.backend().delete(key, limit))
            .await
            .map_err(|failure| self.error(failure, "delete", key))
    }

    /// The part size in bytes for an object of about `estimated_bytes`: `option` (the storage's `part_size`) or 8 MiB, and
    /// more, in whole MiB, where the storage limits the number of parts and the object would need too many.
    pub fn plan_part_size(&self, estimated_bytes: u64, option: Option<u64>) -> u64 {
        self.part_limits().plan(estimated_bytes, option)
    }

    /// What the storage takes as parts of one upload.
    pub fn part_limits(&self) -> PartLimits {
        self.backend().part_limits()
    }

    /// Begins the upload of an object that must not exist yet. Record [`Upload::id`] before running it, so that
    /// [`Store::abort_upload`] can clean up after a crash.
    ///
    /// If the reply of S3 is lost, a second upload is begun and the first, empty one stays, until
    /// [`Store::abort_orphans`] finds it.
    ///
    /// # Errors
    /// `StorageConflict` if the object exists.
    pub async fn begin_upload(&self, key: &str) -> Result<Upload> {
        validate_key(key)?;
        self.begin(key).await.map_err(|failure| self.error(failure, "begin the upload of", key))
    }

    /// Gives an upload up and frees what it stored; one that is completed, aborted or unknown is fine. A completed
    /// object stays. In Azure nothing can be freed: blocks that were never committed go by themselves after a week.
    ///
    /// # Errors
    /// When parts may still be there.
    pub async fn abort_upload(&self, key: &str, id: &str) -> Result<()> {
        validate_key(key)?;
        let limit = self.policy().attempt_timeout;
        retried(self.policy(), || self.backend().abort(key, id, limit))
            .await
            .map_err(|failure| self.error(failure, "abort the upload of", key))
    }

    async fn create(&self, key: &str, bytes: Bytes) -> Result<(), Failure> {
        let limit = self.policy().attempt_timeout_for(bytes.len() as u64);
        let mut retry = Retry::new(self.policy());
        let mut may_be_ours = false;
        loop {
            let failure = match self.backend().create(key, bytes.clone(), limit).await {
                Ok(()) => return Ok(()),
                Err(failure) => failure,
            };
            may_be_ours |= failure.is_outcome_unknown;
            if may_be_ours {
                match self.holds(key, &bytes).await {
                    Ok(Some(true)) => return Ok(()),
                    Ok(Some(false)) => return Err(Failure::exists()),
                    Ok(None) => {}
                    // Not even that is known: an answer that was final alone ("exists already") is not final here.
                    Err(_) if !failure.is_retriable => {
                        retry.pause(failure.retriable()).await?;
                        continue;
                    }
                    Err(_) => {}
                }
            }
            retry.pause(failure).await?;
        }
    }

    /// Whether the object holds exactly `bytes`; `None` if there is no object. One attempt.
    async fn holds(&self, key: &str, bytes: &Bytes) -> Result<Option<bool>, Failure> {
        let policy = self.policy();
        let Some(head) = self.backend().head(key, policy.attempt_timeout).await? else { return Ok(None) };
        let length = bytes.len() as u64;
        if head.size != length || length == 0 {
            return Ok(Some(head.size == length));
        }
        let (found, size) = self.backend().read(key, 0..length, policy.attempt_timeout_for(length)).await?;
        Ok(Some(size == length && found == *bytes))
    }

    async fn read_all(&self, key: &str, most: u64) -> Result<Bytes, Failure> {
        let Some(head) = self.head(key).await? else { return Err(Failure::no_such_object()) };
        if head.size > most {
            let detail = format!("the object has {} bytes, more than {most}", head.size);
            return Err(Failure::new(ErrorClass::Storage, detail));
        }
        let (bytes, size) = self.read(key, 0..head.size).await?;
        if size == head.size {
            Ok(bytes)
        } else {
            Err(Failure::corrupt("the object changed while it was read"))
        }
    }

    async fn begin(&self, key: &str) -> Result<Upload, Failure> {
        if self.head(key).await?.is_some() {
            return Err(Failure::exists());
        }
        let limit = self.policy().attempt_timeout;
        let id = retried(self.policy(), || self.backend().begin(key, limit)).await?;
        Ok(Upload::new(self.clone(), key.to_owned(), id))
    }

    /// The bytes of a range and the size of the whole object.
    pub(crate) async fn read(&self, key: &str, range: Range<u64>) -> Result<(Bytes, u64), Failure> {
        if range.is_empty() {
            // S3 has no way to ask for nothing.
            let Some(head) = self.head(key).await? else { return Err(Failure::no_such_object()) };
            return if range.end <= head.size {
                Ok((Bytes::new(), head.size))
            } else {
                Err(Failure::ends_early(head.size, range.end))
            };
        }
        let limit = self.policy().attempt_timeout_for(range.end - range.start);
        retried(self.policy(), || self.backend().read(key, range.clone(), limit)).await
    }

    pub(crate) async fn head(&self, key: &str) -> Result<Option<Head>, Failure> {
        let limit = self.policy().attempt_timeout;
        retried(self.policy(), || self.backend().head(key, limit)).await
    }

    /// The same storage, in which nothing is locked by us: for probes, which must go again.
    pub(crate) fn without_lock(&self) -> Self {
        let Shared { url, backend, policy } = &*self.shared;
        match backend {
            Backend::S3(s3) => {
                let backend = Backend::S3(s3.without_lock());
                Self { shared: Arc::new(Shared { url: url.clone(), backend, policy: policy.clone() }) }
            }
            _ => self.clone(),
        }
    }

    pub(crate) fn backend(&self) -> &Backend {
        &self.shared.backend
    }

    pub(crate) fn policy(&self) -> &RetryPolicy {
        &self.shared.policy
    }

    /// The error of a failure to `verb` the object `key`.
    pub(crate) fn error(&self, failure: Failure, verb: &str, key: &str) -> Error {
        failure.into_error(format!("could not {verb} object \"{key}\" in storage \"{}\"", self.shared.url))
    }

    /// The error of a failure to list what is below `folder`.
    pub(crate) fn listing_error(&self, failure: Failure, folder: &str) -> Error {
        failure.into_error(format!("could not list folder \"{folder}\" of storage \"{}\"", self.shared.url))
    }
}

fn foreign_options() -> Error {
    Error::invalid("storage options do not belong to this storage URL")
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("url", &self.shared.url).finish_non_exhaustive()
    }
}
