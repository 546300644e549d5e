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
    /// Objects up to this key are not asked for, where the server can leave them out.
    pub(crate) after: Option<String>,
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
        self.objects_below(folder, None).await.map_err(|failure| self.listing_error(failure, folder))
    }

    /// The same for the objects whose keys come after this one. Asks for those alone, so that it costs little however many there
    /// are before.
    ///
    /// # Errors
    /// As [`Store::list`].
    pub async fn list_after(&self, folder: &str, key: &str) -> Result<Vec<ListedObject>> {
        validate_key(folder)?;
        validate_key(key)?;
        let mut objects = self
            .objects_below(folder, Some(key))
            .await
            .map_err(|failure| self.listing_error(failure, folder))?;
        objects.retain(|object| object.key.as_str() > key);
        Ok(objects)
    }

    pub(crate) async fn objects_below(
        &self,
        folder: &str,
        after: Option<&str>,
    ) -> Result<Vec<ListedObject>, Failure> {
        let limit = self.policy().attempt_timeout;
        let mut objects = Vec::new();
        let mut places =
            vec![Place { folder: folder.to_owned(), token: None, after: after.map(str::to_owned) }];
        while let Some(place) = places.pop() {
            let page = retried(self.policy(), || self.backend().list(&place, limit)).await?;
            objects.extend(page.objects.into_iter().filter(|object| validate_key(&object.key).is_ok()));
            places.extend(page.more);
        }
        objects.sort_unstable();
        Ok(objects)
    }
}
