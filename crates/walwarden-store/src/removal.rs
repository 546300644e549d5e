//! Removal for good: of every version of an object, unless something keeps it.

use chrono::{DateTime, Utc};
use walwarden_core::{ErrorClass, Result};

use crate::failure::Failure;
use crate::key::validate_key;
use crate::retry::retried;
use crate::store::Store;

/// What keeps an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// When it ends; none for a legal hold, and where storage does not say.
    pub until: Option<DateTime<Utc>>,
}

/// What became of an object that was to be removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// Nothing is left of it. Perhaps nothing was there.
    Gone,
    /// Storage keeps it.
    Retained {
        /// When that ends; none for a legal hold, and where storage does not say.
        until: Option<DateTime<Utc>>,
    },
}

/// One version of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Version {
    /// None where storage has no versions, or does not tell.
    pub(crate) id: Option<String>,
    /// It has no bytes and hides the versions before it.
    pub(crate) is_delete_marker: bool,
}

/// An object, looked at.
pub(crate) struct Seen {
    pub(crate) version: Option<String>,
    pub(crate) retention: Option<Retention>,
}

impl Store {
    /// What keeps the object, if anything does: a retention that has not ended, a legal hold. Ask for each object of a
    /// backup before the first one is removed.
    ///
    /// Known for S3 alone: Google and Azure tell when an object is to be deleted, and a folder keeps nothing. Amazon tells
    /// whoever has the permissions `s3:GetObjectRetention` and `s3:GetObjectLegalHold`, and others nothing.
    ///
    /// # Errors
    /// The classes of storage.
    pub async fn retained(&self, key: &str) -> Result<Option<Retention>> {
        validate_key(key)?;
        let asked = async {
            let versions = self.versions(key).await?;
            self.longest_retention(key, &versions).await
        };
        asked.await.map_err(|failure| self.error(failure, "look for the retention of", key))
    }

    /// Removes an object with all of its versions, unless one of them is kept: then nothing is touched.
    ///
    /// Where versions cannot be listed (the service has none, or we have no permission), the newest one is removed as
    /// any client would.
    ///
    /// # Errors
    /// The classes of storage; then some versions may be gone and some not. `StoragePermission` is an error only where
    /// no lock can be the reason.
    pub async fn remove(&self, key: &str) -> Result<Removal> {
        validate_key(key)?;
        self.take_away(key).await.map_err(|failure| self.error(failure, "remove", key))
    }

    async fn take_away(&self, key: &str) -> Result<Removal, Failure> {
        let mut versions = self.versions(key).await?;
        if let Some(Retention { until }) = self.longest_retention(key, &versions).await? {
            return Ok(Removal::Retained { until });
        }
        // What a marker hides would come to light again.
        versions.sort_by_key(|version| version.is_delete_marker);
        for version in &versions {
            if let Err(refusal) = self.delete_version(key, version).await {
                return self.judge_refusal(key, version, refusal).await;
            }
        }
        Ok(Removal::Gone)
    }

    /// All versions there are; where they cannot be listed, the newest.
    async fn versions(&self, key: &str) -> Result<Vec<Version>, Failure> {
        match self.list_versions(key).await {
            Ok(versions) if !versions.is_empty() => return Ok(versions),
            Ok(_) => {}
            Err(failure) if failure.is_unsupported || failure.class == ErrorClass::StoragePermission => {}
            Err(failure) => return Err(failure),
        }
        let newest = self.look(key, None).await?;
        Ok(newest.into_iter().map(|seen| Version { id: seen.version, is_delete_marker: false }).collect())
    }

    async fn list_versions(&self, key: &str) -> Result<Vec<Version>, Failure> {
        let limit = self.policy().attempt_timeout;
        let mut all = Vec::new();
        let mut after = None;
        loop {
            let (versions, next) =
                retried(self.policy(), || self.backend().list_versions(key, after.as_ref(), limit)).await?;
            all.extend(versions);
            match next {
                Some(next) => after = Some(next),
                None => return Ok(all),
            }
        }
    }

    async fn longest_retention(&self, key: &str, versions: &[Version]) -> Result<Option<Retention>, Failure> {
        let mut longest: Option<Retention> = None;
        for version in versions.iter().filter(|version| !version.is_delete_marker) {
            let Some(Seen { retention: Some(found), .. }) = self.look(key, version.id.as_deref()).await?
            else {
                continue;
            };
            // One without an end is the longest.
            longest = match (longest, found.until) {
                (Some(Retention { until: Some(known) }), Some(until)) => {
                    Some(Retention { until: Some(known.max(until)) })
                }
                (Some(Retention { until: None }), _) => longest,
                _ => Some(found),
            };
        }
        Ok(longest)
    }

    async fn look(&self, key: &str, version: Option<&str>) -> Result<Option<Seen>, Failure> {
        let limit = self.policy().attempt_timeout;
        retried(self.policy(), || self.backend().look(key, version, Utc::now(), limit)).await
    }

    async fn delete_version(&self, key: &str, version: &Version) -> Result<(), Failure> {
        let limit = self.policy().attempt_timeout;
        retried(self.policy(), || self.backend().delete_version(key, version.id.as_deref(), limit)).await
    }

    /// A refusal is a lock where storage says so, or where there is one and it does not say.
    async fn judge_refusal(
        &self,
        key: &str,
        version: &Version,
        refusal: Failure,
    ) -> Result<Removal, Failure> {
        if refusal.is_locked {
            return Ok(Removal::Retained { until: None });
        }
        if refusal.class != ErrorClass::StoragePermission {
            return Err(refusal);
        }
        // It may have been locked since it was looked at.
        if let Ok(Some(Seen { retention: Some(Retention { until }), .. })) =
            self.look(key, version.id.as_deref()).await
        {
            return Ok(Removal::Retained { until });
        }
        // Whoever may not read a retention sees none: in a bucket with object lock, that is the likeliest reason.
        let limit = self.policy().attempt_timeout;
        match self.backend().bucket_state(limit).await {
            Ok(Some(state)) if state.has_lock => Ok(Removal::Retained { until: None }),
            _ => Err(refusal.hint(
                "Allow to delete objects and, where the bucket has versions, their versions (s3:DeleteObjectVersion).",
            )),
        }
    }
}
