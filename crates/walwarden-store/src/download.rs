//! Addresses from which anybody can fetch one object for a while.

use std::fmt;
use std::time::Duration;

use walwarden_core::{Error, Result};

use crate::failure::Failure;
use crate::key::validate_key;
use crate::retry::retried;
use crate::store::Store;

/// The longest time all services sign for ("Authenticating Requests: Using Query Parameters", Amazon S3 API Reference: seven
/// days; Google and Azure the same).
const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);

/// An address that is as good as the key to one object. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct DownloadUrl(String);

impl DownloadUrl {
    /// The address, to be handed to nobody but who asked for it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for DownloadUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DownloadUrl(***)")
    }
}

impl Store {
    /// An address from which anybody can fetch the object with a plain GET until `expires` is over; or, with temporary
    /// credentials, until these expire.
    ///
    /// # Errors
    /// `InvalidInput` for a time that is zero or longer than seven days, for a folder, and for objects that are encrypted
    /// with a customer's key, which a plain GET cannot send. `StorageNotFound` if there is no object. `Storage` where the
    /// credentials cannot sign addresses.
    pub async fn download_url(&self, key: &str, expires: Duration) -> Result<DownloadUrl> {
        validate_key(key)?;
        if expires.as_secs() == 0 || expires > LONGEST {
            return Err(Error::invalid("a download address cannot be valid for this long")
                .detail("The time must be from 1 second to 7 days."));
        }
        self.backend().may_be_downloaded()?;
        self.sign_download(key, expires)
            .await
            .map(DownloadUrl)
            .map_err(|failure| self.error(failure, "make a download address of", key))
    }

    async fn sign_download(&self, key: &str, expires: Duration) -> Result<String, Failure> {
        if self.head(key).await?.is_none() {
            return Err(Failure::no_such_object());
        }
        let limit = self.policy().attempt_timeout;
        retried(self.policy(), || self.backend().signed_url(key, expires, limit)).await
    }
}
