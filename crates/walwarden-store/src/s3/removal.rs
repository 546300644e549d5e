//! What keeps an object, and the removal of one version.

use std::time::Duration;

use chrono::{DateTime, Utc};
use object_store::signer::{HeaderMap, Method};

use super::requests::Answer;
use super::{S3, unbuildable};
use crate::failure::Failure;
use crate::remote::unless_missing;
use crate::removal::{Retention, Seen};

impl S3 {
    /// Looks at a version, or at the newest one.
    pub(crate) async fn look(
        &self,
        key: &str,
        version: Option<&str>,
        now: DateTime<Utc>,
        limit: Duration,
    ) -> Result<Option<Seen>, Failure> {
        let path = self.remote.path(key)?;
        let headers = self.access.customer_key_headers().map_err(unbuildable)?;
        match self.request(Method::HEAD, Some(&path), &by_version(version), headers, limit).await {
            Ok(answer) => Ok(Some(Seen {
                version: answer.header("x-amz-version-id").map(str::to_owned),
                retention: retention(&answer, now),
            })),
            Err(failure) if failure.is_missing => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// Deletes a version for good, or, without one, the object as any client would.
    pub(crate) async fn delete_version(
        &self,
        key: &str,
        version: Option<&str>,
        limit: Duration,
    ) -> Result<(), Failure> {
        let path = self.remote.path(key)?;
        let answer =
            self.request(Method::DELETE, Some(&path), &by_version(version), HeaderMap::new(), limit).await;
        unless_missing(answer.map(|_| ()))
    }
}

fn by_version(version: Option<&str>) -> Vec<(&str, &str)> {
    version.map(|version| ("versionId", version)).into_iter().collect()
}

/// Amazon gives these headers to whoever may read them: `s3:GetObjectRetention`, `s3:GetObjectLegalHold`.
fn retention(answer: &Answer, now: DateTime<Utc>) -> Option<Retention> {
    if answer.header("x-amz-object-lock-legal-hold").is_some_and(|held| held.eq_ignore_ascii_case("ON")) {
        return Some(Retention { until: None });
    }
    let until = answer.header("x-amz-object-lock-retain-until-date").filter(|date| !date.is_empty())?;
    match until.parse::<DateTime<Utc>>() {
        Ok(until) => (until > now).then_some(Retention { until: Some(until) }),
        // What cannot be read must not pass for "may be deleted".
        Err(_) => Some(Retention { until: None }),
    }
}
