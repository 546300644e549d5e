//! The options of a storage: a JSON object, judged completely when the storage is defined, so that nothing surprising is
//! left for the night of the backup. No option can hold a secret.

mod azure;
mod byte_size;
mod encryption;
mod endpoint;
mod file;
mod gcs;
mod object_lock;
mod part_limits;
mod provider;
mod s3;
mod tags;
mod values;

use std::time::Duration;

use serde_json::{Map, Value};
use walwarden_core::{Error, Result};

use crate::encryption::Recipients;
use crate::location::Location;

pub use azure::AzureOptions;
pub use encryption::Encryption;
pub use file::FileOptions;
pub use gcs::GcsOptions;
pub use object_lock::{LockMode, ObjectLock};
pub use provider::Provider;
pub use s3::{Checksum, S3Options};
pub use tags::Tags;

/// Parts of option names under which people try to store secrets.
const SECRET_NAMES: [&str; 10] = [
    "secret",
    "password",
    "passphrase",
    "token",
    "access_key",
    "account_key",
    "customer_key",
    "sas_key",
    "key_id",
    "credential",
];

/// What has such a name and is none.
const NO_SECRETS: [&str; 1] = ["sse_kms_key_id"];

/// The validated options of one storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StorageOptions {
    /// Options of an `s3://` storage.
    S3(Box<S3Options>),
    /// Options of a `gs://` storage.
    Gcs(GcsOptions),
    /// Options of an `az://` storage.
    Azure(AzureOptions),
    /// Options of a `file://` storage.
    File(FileOptions),
}

impl StorageOptions {
    /// Reads the options of a storage at `location`; JSON null means none.
    ///
    /// # Errors
    /// `InvalidInput` for anything but an object, an unknown or secret-looking name, a wrong type, a control character
    /// in a value, a value that cannot be used, or options that exclude each other. Values are not repeated in the error.
    pub fn parse(location: &Location, options: &Value) -> Result<Self> {
        let empty = Map::new();
        let object = match options {
            Value::Object(object) => object,
            Value::Null => &empty,
            _ => return Err(Error::invalid("storage options are not a JSON object")),
        };
        for (name, value) in object {
            refuse_secrets(name, value)?;
        }
        // For storages of every kind, and not theirs to know of: what they store is encrypted before.
        Recipients::of_object(object)?;
        let mut object = object.clone();
        object.remove(Recipients::OPTION);
        let object = &object;
        match location {
            Location::S3 { bucket, .. } => Ok(Self::S3(Box::new(S3Options::parse(bucket, object)?))),
            Location::Gcs { .. } => Ok(Self::Gcs(GcsOptions::parse(object)?)),
            Location::Azure { .. } => Ok(Self::Azure(AzureOptions::parse(object)?)),
            Location::File { .. } => Ok(Self::File(FileOptions::parse(object)?)),
        }
    }

    /// The option `timeout`, where the storage has it.
    pub(crate) fn timeout(&self) -> Option<Duration> {
        match self {
            Self::S3(options) => Some(options.timeout),
            Self::Gcs(options) => Some(options.timeout),
            Self::Azure(options) => Some(options.timeout),
            Self::File(_) => None,
        }
    }

    /// The option `part_size` in bytes, where it is given.
    pub fn part_size(&self) -> Option<u64> {
        match self {
            Self::S3(options) => options.part_size,
            Self::Gcs(options) => options.part_size,
            Self::Azure(options) => options.part_size,
            Self::File(_) => None,
        }
    }
}

fn refuse_secrets(name: &str, value: &Value) -> Result<()> {
    const HINT: &str = "Put keys into the server's environment, or into a credentials file and name its profile in the \
                        option \"profile\".";
    let lower = name.to_ascii_lowercase();
    let is_secret = SECRET_NAMES.iter().any(|secret| lower.contains(secret));
    if is_secret && !NO_SECRETS.contains(&lower.as_str()) {
        return Err(Error::invalid("storage options must not hold credentials").hint(HINT));
    }
    // An access key id of Amazon: AKIA or ASIA and 16 more.
    let is_key_id = |word: &str| word.len() == 20 && (word.starts_with("AKIA") || word.starts_with("ASIA"));
    for text in texts(value) {
        if text.chars().any(char::is_control) {
            return Err(values::invalid(name, "The value holds a control character."));
        }
        if text.split(|c: char| !c.is_ascii_alphanumeric()).any(is_key_id) {
            return Err(Error::invalid("storage options must not hold credentials").hint(HINT));
        }
    }
    Ok(())
}

/// The texts in a value: itself, or those of an object, names included.
fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Object(object) => {
            object.iter().flat_map(|(name, value)| [Some(name.as_str()), value.as_str()]).flatten().collect()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests;
