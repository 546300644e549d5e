//! The options of a storage: a JSON object, judged completely when the storage is defined, so that nothing surprising is
//! left for the night of the backup. No option can hold a secret.

mod byte_size;
mod endpoint;

use std::time::Duration;

use serde_json::{Map, Value};
use walwarden_core::{Error, Result};

use crate::location::Location;
use crate::part_plan::{MAX_PART_SIZE, MIN_PART_SIZE};

/// How long one request may take before its bytes are counted, unless the option `timeout` says otherwise.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);

/// Parts of option names under which people try to store secrets.
const SECRET_NAMES: [&str; 7] =
    ["secret", "password", "passphrase", "token", "access_key", "key_id", "credential"];

/// Storage classes whose objects cannot be read at once: the read-back after a backup would fail.
const OFFLINE_CLASSES: [&str; 2] = ["GLACIER", "DEEP_ARCHIVE"];

/// The validated options of one storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StorageOptions {
    /// Options of an `s3://` storage.
    S3(S3Options),
    /// Options of a `file://` storage.
    File(FileOptions),
}

/// Options of an `s3://` storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Options {
    /// `endpoint`: the URL of an S3-compatible server without a slash at its end; none means Amazon S3.
    pub endpoint: Option<String>,
    /// `allow_http`: whether the endpoint may be plain http.
    pub allow_http: bool,
    /// `region`: none means the environment's, or else `us-east-1`.
    pub region: Option<String>,
    /// `path_style`: the bucket stands in the path instead of the host name. By default true with an endpoint, and for
    /// bucket names with dots, which no wildcard certificate covers.
    pub path_style: bool,
    /// `profile`: the profile of the credentials file to use.
    pub profile: Option<String>,
    /// `part_size`: bytes of every part of an upload but the last, 5 MiB to 5 GiB.
    pub part_size: Option<u64>,
    /// `storage_class`: as the server names it.
    pub storage_class: Option<String>,
    /// `timeout`: how long one request may take, besides the time its bytes need at 128 KiB a second.
    pub timeout: Duration,
}

/// Options of a `file://` storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileOptions {
    /// `fsync`: whether files and folders are flushed to disk before a write counts as done.
    pub fsync: bool,
}

impl StorageOptions {
    /// Reads the options of a storage at `location`; JSON null means none.
    ///
    /// # Errors
    /// `InvalidInput` for anything but an object, an unknown or secret-looking name, a wrong type, a control character
    /// in a value, or a value that cannot be used. Values are not repeated in the error.
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
        match location {
            Location::S3 { bucket, .. } => Ok(Self::S3(S3Options::parse(bucket, object)?)),
            Location::File { .. } => Ok(Self::File(FileOptions::parse(object)?)),
        }
    }

    /// The option `part_size` in bytes, where it is given.
    pub fn part_size(&self) -> Option<u64> {
        match self {
            Self::S3(options) => options.part_size,
            Self::File(_) => None,
        }
    }
}

impl S3Options {
    fn parse(bucket: &str, object: &Map<String, Value>) -> Result<Self> {
        const NAMES: &[&str] = &[
            "endpoint",
            "allow_http",
            "region",
            "path_style",
            "profile",
            "part_size",
            "storage_class",
            "timeout",
        ];
        refuse_unknown(object, NAMES, "s3")?;
        let allow_http = boolean(object, "allow_http")?.unwrap_or(false);
        let endpoint = match text(object, "endpoint")? {
            Some(url) => Some(endpoint::normalize(url, allow_http)?),
            None => None,
        };
        let path_style =
            boolean(object, "path_style")?.unwrap_or_else(|| endpoint.is_some() || bucket.contains('.'));
        Ok(Self {
            allow_http,
            path_style,
            region: name(object, "region", "_-")?,
            profile: name(object, "profile", "_-.@+ ")?,
            part_size: part_size(object)?,
            storage_class: storage_class(object)?,
            timeout: timeout(object)?,
            endpoint,
        })
    }
}

impl FileOptions {
    fn parse(object: &Map<String, Value>) -> Result<Self> {
        refuse_unknown(object, &["fsync"], "file")?;
        Ok(Self { fsync: boolean(object, "fsync")?.unwrap_or(true) })
    }
}

fn refuse_secrets(name: &str, value: &Value) -> Result<()> {
    const HINT: &str = "Put keys into the server's environment, or into a credentials file and name its profile in the \
                        option \"profile\".";
    let lower = name.to_ascii_lowercase();
    if SECRET_NAMES.iter().any(|secret| lower.contains(secret)) {
        return Err(Error::invalid("storage options must not hold credentials").hint(HINT));
    }
    let Value::String(value) = value else { return Ok(()) };
    if value.chars().any(char::is_control) {
        return Err(invalid(name, "The value holds a control character."));
    }
    // An access key id of Amazon: AKIA or ASIA and 16 more.
    let is_key_id = |word: &str| word.len() == 20 && (word.starts_with("AKIA") || word.starts_with("ASIA"));
    if value.split(|c: char| !c.is_ascii_alphanumeric()).any(is_key_id) {
        return Err(Error::invalid("storage options must not hold credentials").hint(HINT));
    }
    Ok(())
}

fn refuse_unknown(object: &Map<String, Value>, known: &[&str], scheme: &str) -> Result<()> {
    match object.keys().find(|name| !known.contains(&name.as_str())) {
        None => Ok(()),
        Some(unknown) => Err(Error::invalid(format!("storage option {:?} is unknown", shortened(unknown)))
            .hint(format!("Options of {scheme} storages are: {}.", known.join(", ")))),
    }
}

fn shortened(name: &str) -> String {
    name.chars().take(64).collect()
}

fn invalid(name: &str, detail: &str) -> Error {
    Error::invalid(format!("storage option {:?} has an invalid value", shortened(name))).detail(detail)
}

fn text<'a>(object: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>> {
    match object.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(value)) => Ok(Some(value)),
        Some(_) => Err(invalid(name, "The value must be a string.")),
    }
}

fn boolean(object: &Map<String, Value>, name: &str) -> Result<Option<bool>> {
    match object.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(value)) => Ok(Some(*value)),
        Some(_) => Err(invalid(name, "The value must be true or false.")),
    }
}

/// A string of 1 to 128 ASCII letters, digits and `others`.
fn name(object: &Map<String, Value>, option: &str, others: &str) -> Result<Option<String>> {
    let Some(value) = text(object, option)? else { return Ok(None) };
    let usable = (1..=128).contains(&value.len())
        && value.trim() == value
        && value.chars().all(|c| c.is_ascii_alphanumeric() || others.contains(c));
    if usable {
        Ok(Some(value.to_owned()))
    } else {
        Err(invalid(option, &format!("The value must be 1 to 128 letters, digits or any of \"{others}\".")))
    }
}

fn part_size(object: &Map<String, Value>) -> Result<Option<u64>> {
    const OPTION: &str = "part_size";
    let bytes = match object.get(OPTION) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Number(number)) => number.as_u64(),
        Some(Value::String(value)) => byte_size::parse(value),
        Some(_) => None,
    };
    match bytes {
        Some(bytes) if (MIN_PART_SIZE..=MAX_PART_SIZE).contains(&bytes) => Ok(Some(bytes)),
        _ => Err(invalid(OPTION, "The value must be a size such as \"16MB\", from 5MB to 5GB.")),
    }
}

fn storage_class(object: &Map<String, Value>) -> Result<Option<String>> {
    const OPTION: &str = "storage_class";
    let class = name(object, OPTION, "_-")?;
    if class.as_deref().is_some_and(|class| OFFLINE_CLASSES.contains(&class)) {
        return Err(invalid(OPTION, "Objects of this class cannot be read back at once.")
            .hint("Let a lifecycle rule of the bucket move old backups to that class."));
    }
    Ok(class)
}

fn timeout(object: &Map<String, Value>) -> Result<Duration> {
    const OPTION: &str = "timeout";
    match object.get(OPTION) {
        None | Some(Value::Null) => Ok(DEFAULT_TIMEOUT),
        Some(value) => match value.as_u64() {
            Some(seconds @ 1..=3600) => Ok(Duration::from_secs(seconds)),
            _ => Err(invalid(OPTION, "The value must be a whole number of seconds from 1 to 3600.")),
        },
    }
}

#[cfg(test)]
mod tests;
