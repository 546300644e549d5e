//! Which objects a storage holds below a folder.

use walwarden_core::Result;

use crate::failure::Failure;
use crate::key::validate_key;
use crate::retry::retried;
use crate::store::Store;

/// An object as a listing names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ListedObject {
    /// Its key.
    pub key: String,
    /// Its size, bytes.
    pub size: u64,
}

/// What one request of a listing is about: a page of S3, a folder of the file system.
pub(crate) struct Place {
    /// Its objects' keys begin with this and a slash.
    pub(crate) folder: String,
    /// Where S3 goes on.
    pub(crate) token: Option<String>,
}

/// What lies at a [`Place`].
pub(crate) struct Page {
    pub(crate) objects: Vec<ListedObject>,
    /// Where the rest is.
    pub(crate) more: Vec<Place>,
}

impl Store {
    /// All objects whose keys begin with `folder` and a slash, in the order of their keys. A folder without objects has
    /// none, whether it exists or not. What has a name that no object of this storage can have is passed over: uploads
    /// that are not complete, links, what others put there.
    ///
    /// # Errors
    /// `StorageNotFound` for a missing bucket. Never a part of the objects: what cannot be listed in full is an error.
    pub async fn list(&self, folder: &str) -> Result<Vec<ListedObject>> {
        validate_key(folder)?;
        self.objects_below(folder).await.map_err(|failure| self.listing_error(failure, folder))
    }

    pub(crate) async fn objects_below(&self, folder: &str) -> Result<Vec<ListedObject>, Failure> {
        let limit = self.policy().attempt_timeout;
        let mut objects = Vec::new();
        let mut places = vec![Place { folder: folder.to_owned(), token: None }];
        while let Some(place) = places.pop() {
            let page = retried(self.policy(), || self.backend().list(&place, limit)).await?;
            objects.extend(page.objects.into_iter().filter(|object| validate_key(&object.key).is_ok()));
            places.extend(page.more);
        }
        objects.sort_unstable();
        Ok(objects)
    }
}
