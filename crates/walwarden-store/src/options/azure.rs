//! Options of Azure Blob Storage. There are none for access tier and tags: the client library does not send them with the
//! request that makes a blob of its blocks, so the archive would not have them.

use std::time::Duration;

use serde_json::{Map, Value};
use walwarden_core::Result;

use super::values::{profile, refuse_unknown, timeout};
use super::{endpoint, part_limits};
use crate::part_plan::PartLimits;

const NAMES: &[&str] = &[
    "endpoint",
    "allow_http",
    "profile",
    "part_size",
    "min_part_size",
    "max_part_size",
    "max_parts",
    "timeout",
];

/// Options of an `az://` storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AzureOptions {
    /// `endpoint`: of another cloud than the public one, or of a compatible server; none means
    /// `https://<account>.blob.core.windows.net`.
    pub endpoint: Option<String>,
    /// `allow_http`: whether the endpoint may be plain http.
    pub allow_http: bool,
    /// `profile`: the profile of the credentials file to use.
    pub profile: Option<String>,
    /// `part_size`: bytes of every block but the last.
    pub part_size: Option<u64>,
    /// `min_part_size`, `max_part_size`, `max_parts`.
    pub parts: PartLimits,
    /// `timeout`: how long one request may take, besides the time its bytes need at 128 KiB a second.
    pub timeout: Duration,
}

impl AzureOptions {
    pub(super) fn parse(object: &Map<String, Value>) -> Result<Self> {
        refuse_unknown(object, NAMES, "az")?;
        let (endpoint, allow_http) = endpoint::parse(object)?;
        let (parts, part_size) = part_limits::parse(object, PartLimits::AZURE)?;
        Ok(Self {
            endpoint,
            allow_http,
            profile: profile(object)?,
            part_size,
            parts,
            timeout: timeout(object)?,
        })
    }
}
