//! What a bucket does by itself.

use std::time::Duration;

use object_store::signer::{HeaderMap, Method};
use serde::Deserialize;

use super::S3;
use crate::failure::Failure;
use crate::remote::document;

/// What a bucket does with every object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BucketState {
    /// Older versions of an object are kept.
    pub(crate) has_versions: bool,
    /// Objects can be locked.
    pub(crate) has_lock: bool,
    /// Every object is locked from the start.
    pub(crate) locks_by_default: bool,
}

/// "GetBucketVersioning", Amazon S3 API Reference.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Versioning {
    status: Option<String>,
}

/// "GetObjectLockConfiguration", Amazon S3 API Reference.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct LockConfiguration {
    object_lock_enabled: Option<String>,
    rule: Option<Rule>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Rule {
    default_retention: Option<serde::de::IgnoredAny>,
}

impl S3 {
    pub(crate) async fn bucket_state(&self, limit: Duration) -> Result<BucketState, Failure> {
        let versioning: Versioning = self.ask_bucket("versioning", "VersioningConfiguration", limit).await?;
        let lock = match self
            .ask_bucket::<LockConfiguration>("object-lock", "ObjectLockConfiguration", limit)
            .await
        {
            Ok(lock) => lock,
            // "ObjectLockConfigurationNotFoundError": the bucket has none.
            Err(failure) if failure.is_missing => LockConfiguration { object_lock_enabled: None, rule: None },
            Err(failure) => return Err(failure),
        };
        Ok(BucketState {
            has_versions: versioning.status.as_deref() == Some("Enabled"),
            has_lock: lock.object_lock_enabled.as_deref() == Some("Enabled"),
            locks_by_default: lock.rule.is_some_and(|rule| rule.default_retention.is_some()),
        })
    }

    async fn ask_bucket<T: serde::de::DeserializeOwned>(
        &self,
        question: &str,
        root: &str,
        limit: Duration,
    ) -> Result<T, Failure> {
        let answer = self.request(Method::GET, None, &[(question, "")], HeaderMap::new(), limit).await?;
        document::read(&answer.body, root)
    }
}
