//! Uploads that were begun and neither completed nor aborted: found in the storage itself, because of an upload whose id
//! was lost nobody else knows.

use std::collections::HashSet;
use std::time::Duration;

use chrono::{DateTime, Utc};
use walwarden_core::{Error, Result};

use crate::failure::Failure;
use crate::key::validate_key;
use crate::retry::retried;
use crate::store::Store;

/// An upload that is neither completed nor aborted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct UploadFound {
    /// The key of the object it is to become.
    pub key: String,
    /// What [`Store::abort_upload`] needs.
    pub id: String,
    /// When it was begun, by the storage's clock; in a folder, when it last grew.
    pub initiated: DateTime<Utc>,
}

/// What one request of a listing of uploads is about.
pub(crate) struct UploadPlace {
    /// Its keys begin with this and a slash.
    pub(crate) folder: String,
    /// Key and id behind which S3 goes on.
    pub(crate) after: Option<(String, String)>,
}

/// What lies at an [`UploadPlace`].
pub(crate) struct UploadPage {
    pub(crate) uploads: Vec<UploadFound>,
    /// Where the rest is.
    pub(crate) more: Vec<UploadPlace>,
}

impl Store {
    /// All uploads in progress or left behind whose keys begin with `folder` and a slash, in the order of their keys. In a
    /// folder of the file system these are the staged files. Azure has no such list: there it is empty, and blocks that
    /// were never committed go by themselves after a week.
    ///
    /// # Errors
    /// `Storage` where the service cannot list uploads; never a part of them.
    pub async fn list_uploads(&self, folder: &str) -> Result<Vec<UploadFound>> {
        validate_key(folder)?;
        self.uploads_below(folder).await.map_err(|failure| self.listing_error(failure, folder))
    }

    /// Aborts the uploads below `folder` that are none of `known_ids` and were begun more than `older_than` ago, and gives
    /// those that were aborted.
    ///
    /// `known_ids` must have been read before the call. An upload that another process begins meanwhile is protected by
    /// its age alone: `older_than` must be longer than the clocks differ and than it takes to write an id down.
    ///
    /// # Errors
    /// As [`Store::list_uploads`]. All are tried; if some cannot be aborted, the first of their errors says how many.
    pub async fn abort_orphans(
        &self,
        folder: &str,
        known_ids: &HashSet<String>,
        older_than: Duration,
    ) -> Result<Vec<UploadFound>> {
        let found = self.list_uploads(folder).await?;
        let orphans: Vec<UploadFound> = orphans(found, known_ids, older_than, Utc::now());
        let (mut aborted, mut failed) = (Vec::new(), Vec::new());
        for orphan in orphans {
            match self.abort_upload(&orphan.key, &orphan.id).await {
                Ok(()) => aborted.push(orphan),
                Err(error) => failed.push(error),
            }
        }
        let count = failed.len();
        match failed.into_iter().next() {
            None => Ok(aborted),
            Some(first) => Err(told_with_count(first, count, aborted.len())),
        }
    }

    pub(crate) async fn uploads_below(&self, folder: &str) -> Result<Vec<UploadFound>, Failure> {
        let limit = self.policy().attempt_timeout;
        let mut uploads = Vec::new();
        let mut places = vec![UploadPlace { folder: folder.to_owned(), after: None }];
        while let Some(place) = places.pop() {
            let page = retried(self.policy(), || self.backend().list_uploads(&place, limit)).await?;
            // What has another name is nobody's upload here.
            uploads.extend(page.uploads.into_iter().filter(|upload| validate_key(&upload.key).is_ok()));
            places.extend(page.more);
        }
        uploads.sort_unstable();
        Ok(uploads)
    }
}

fn orphans(
    found: Vec<UploadFound>,
    known_ids: &HashSet<String>,
    older_than: Duration,
    now: DateTime<Utc>,
) -> Vec<UploadFound> {
    // An age beyond all times is that of nothing.
    let Some(newest) =
        chrono::TimeDelta::from_std(older_than).ok().and_then(|age| now.checked_sub_signed(age))
    else {
        return Vec::new();
    };
    found.into_iter().filter(|upload| upload.initiated < newest && !known_ids.contains(&upload.id)).collect()
}

fn told_with_count(mut first: Error, failed: usize, aborted: usize) -> Error {
    let detail = first.detail.get_or_insert_default();
    detail.push_str(&format!("; {failed} uploads could not be aborted, {aborted} were"));
    first
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_old_ones_that_nobody_knows_are_orphans() {
        let now: DateTime<Utc> = "2026-03-07T12:00:00Z".parse().unwrap();
        let upload = |id: &str, minutes| UploadFound {
            key: "org/x".into(),
            id: id.into(),
            initiated: now - chrono::TimeDelta::minutes(minutes),
        };
        let found = vec![upload("old", 90), upload("known", 90), upload("new", 30), upload("future", -5)];
        let known = HashSet::from(["known".to_owned()]);
        let ids = |age| {
            let orphans = orphans(found.clone(), &known, age, now);
            orphans.into_iter().map(|upload| upload.id).collect::<Vec<_>>()
        };
        assert_eq!(ids(Duration::from_secs(3600)), ["old"]);
        assert_eq!(ids(Duration::ZERO), ["old", "new"]);
        assert!(ids(Duration::MAX).is_empty());
    }
}
