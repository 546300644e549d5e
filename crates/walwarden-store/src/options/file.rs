//! Options of a folder.

use serde_json::{Map, Value};
use walwarden_core::Result;

use super::values::{boolean, refuse_unknown};

/// Options of a `file://` storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileOptions {
    /// `fsync`: whether files and folders are flushed to disk before a write counts as done.
    pub fsync: bool,
}

impl FileOptions {
    pub(super) fn parse(object: &Map<String, Value>) -> Result<Self> {
        refuse_unknown(object, &["fsync"], "file")?;
        Ok(Self { fsync: boolean(object, "fsync")?.unwrap_or(true) })
    }
}
