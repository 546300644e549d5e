//! Options of Google Cloud Storage.

use std::time::Duration;

use serde_json::{Map, Value};
use walwarden_core::Result;

use super::values::{name, profile, refuse_unknown, timeout};
use super::{endpoint, part_limits};
use crate::part_plan::PartLimits;

const NAMES: &[&str] = &[
    "endpoint",
    "allow_http",
    "profile",
    "storage_class",
    "part_size",
    "min_part_size",
    "max_part_size",
    "max_parts",
    "timeout",
];

/// Options of a `gs://` storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GcsOptions {
    /// `endpoint`: of a compatible server or a private one of Google's; none means `https://storage.googleapis.com`.
    pub endpoint: Option<String>,
    /// `allow_http`: whether the endpoint may be plain http.
    pub allow_http: bool,
    /// `profile`: the profile of the credentials file to use.
    pub profile: Option<String>,
    /// `storage_class`: as Google names it. All of them can be read at once.
    pub storage_class: Option<String>,
    /// `part_size`: bytes of every part of an upload but the last.
    pub part_size: Option<u64>,
    /// `min_part_size`, `max_part_size`, `max_parts`.
    pub parts: PartLimits,
    /// `timeout`: how long one request may take, besides the time its bytes need at 128 KiB a second.
    pub timeout: Duration,
}

impl GcsOptions {
    pub(super) fn parse(object: &Map<String, Value>) -> Result<Self> {
        refuse_unknown(object, NAMES, "gs")?;
        let (endpoint, allow_http) = endpoint::parse(object)?;
        let (parts, part_size) = part_limits::parse(object, PartLimits::GCS)?;
        Ok(Self {
            endpoint,
            allow_http,
            profile: profile(object)?,
            storage_class: name(object, "storage_class", "_-")?,
            part_size,
            parts,
            timeout: timeout(object)?,
        })
    }
}
