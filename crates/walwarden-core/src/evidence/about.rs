//! What a bundle is about: `bundle.json`.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::{Error, ErrorClass, Result};
use crate::manifest::{canonical, timestamp};

const NAME: &str = "walwarden-evidence";
const VERSION: u32 = 1;

/// The statement of a bundle about itself; canonical JSON. It holds no time and no name of a machine, so that the same
/// contents make the same bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct About {
    format: Format,
    /// walwarden's id of the database.
    pub database: Uuid,
    /// The organization.
    pub organization: String,
    /// What was asked for.
    pub scope: Scope,
    /// The key that signed the bundle.
    pub key_id: String,
}

/// What a bundle was asked to hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum Scope {
    /// The entries of one job, and its manifests.
    Job(Uuid),
    /// All entries of a time, and the manifests of backups completed in it.
    Time {
        /// From then on.
        #[serde(with = "timestamp")]
        from: DateTime<Utc>,
        /// Until before then.
        #[serde(with = "timestamp")]
        to: DateTime<Utc>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Format {
    name: String,
    version: u32,
}

impl About {
    /// What a bundle of this version says.
    pub fn new(database: Uuid, organization: &str, scope: Scope, key_id: String) -> Self {
        let format = Format { name: NAME.to_owned(), version: VERSION };
        Self { format, database, organization: organization.to_owned(), scope, key_id }
    }

    /// The bytes of `bundle.json`.
    ///
    /// # Errors
    /// `Internal` when a time cannot be written.
    pub fn to_text(&self) -> Result<String> {
        let value = serde_json::to_value(self)
            .map_err(|cause| Error::internal("could not describe a bundle").detail(cause.to_string()))?;
        canonical::encode(&value)
    }

    /// Reads them.
    ///
    /// # Errors
    /// `Archive` when they are not what [`About::to_text`] writes.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let refused = |why: String| {
            Error::new(ErrorClass::Archive, "could not read the description of a bundle").detail(why)
        };
        let value =
            canonical::decode(bytes).map_err(|error| refused(error.detail.unwrap_or(error.message)))?;
        let about: Self = serde_json::from_value(value).map_err(|cause| refused(format!("{cause}.")))?;
        if about.format.name != NAME || about.format.version != VERSION {
            return Err(refused(format!("Its format is {} {}.", about.format.name, about.format.version)));
        }
        Ok(about)
    }
}
