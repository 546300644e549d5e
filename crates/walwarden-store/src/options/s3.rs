//! Options of Amazon S3 and compatible services.

use std::time::Duration;

use serde_json::{Map, Value};
use url::Url;
use walwarden_core::{Error, Result};

use super::encryption::{self, Encryption};
use super::object_lock::{self, ObjectLock};
use super::provider::{Address, Preset, Provider, UNKNOWN};
use super::tags::{self, Tags};
use super::values::{
    boolean, choice, impossible, invalid, is_given, name, profile, refuse_unknown, text, timeout,
};
use super::{endpoint, part_limits};
use crate::part_plan::PartLimits;

/// Storage classes whose objects cannot be read at once: the read-back after a backup would fail.
const OFFLINE_CLASSES: [&str; 2] = ["GLACIER", "DEEP_ARCHIVE"];

const NAMES: &[&str] = &[
    "provider",
    "account",
    "endpoint",
    "allow_http",
    "region",
    "path_style",
    "profile",
    "storage_class",
    "tags",
    "sse",
    "sse_kms_key_id",
    "sse_bucket_key",
    "checksum",
    "lock_mode",
    "lock_days",
    "conditional_writes",
    "part_size",
    "min_part_size",
    "max_part_size",
    "max_parts",
    "timeout",
];

/// Options of an `s3://` storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Options {
    /// `provider`: whose service it is.
    pub provider: Option<Provider>,
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
    /// `storage_class`: as the server names it.
    pub storage_class: Option<String>,
    /// `tags`: of every object.
    pub tags: Tags,
    /// `sse`, `sse_kms_key_id`, `sse_bucket_key`: none means what the bucket says.
    pub encryption: Option<Encryption>,
    /// `checksum`: what the server compares every upload with, and keeps.
    pub checksum: Option<Checksum>,
    /// `lock_mode`, `lock_days`: none means what the bucket says.
    pub lock: Option<ObjectLock>,
    /// `conditional_writes`: whether the server refuses to overwrite an object when it is told to.
    pub conditional_writes: bool,
    /// `part_size`: bytes of every part of an upload but the last.
    pub part_size: Option<u64>,
    /// `min_part_size`, `max_part_size`, `max_parts`.
    pub parts: PartLimits,
    /// `timeout`: how long one request may take, besides the time its bytes need at 128 KiB a second.
    pub timeout: Duration,
}

/// A checksum that goes along with every upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checksum {
    /// SHA-256; of an upload in parts, the SHA-256 of those of the parts.
    Sha256,
    /// CRC-64/NVME of the whole.
    Crc64Nvme,
}

impl S3Options {
    pub(super) fn parse(bucket: &str, object: &Map<String, Value>) -> Result<Self> {
        refuse_unknown(object, NAMES, "s3")?;
        let provider = choice(object, "provider", &Provider::NAMES)?;
        let preset = provider.map_or(UNKNOWN, Provider::preset);
        refuse_unsupported(object, provider, &preset)?;
        let given_region = name(object, "region", "_-")?;
        let (given_endpoint, allow_http) = endpoint::parse(object)?;
        let endpoint = match given_endpoint {
            Some(url) => Some(url),
            None => preset_endpoint(object, provider, &preset, given_region.as_deref())?,
        };
        let path_style = boolean(object, "path_style")?.unwrap_or_else(|| {
            let usual = preset.path_style.unwrap_or(endpoint.is_some());
            usual || bucket.contains('.')
        });
        let lock = object_lock::parse(object)?;
        let encryption = encryption::parse(object)?;
        if encryption == Some(Encryption::Customer) && endpoint.as_deref().is_some_and(is_open_line) {
            return Err(impossible("sse", "The customer's key would travel over plain http.")
                .hint("Use an https endpoint, or another value of \"sse\"."));
        }
        let (parts, part_size) = part_limits::parse(object, PartLimits::S3)?;
        Ok(Self {
            provider,
            allow_http,
            path_style,
            encryption,
            lock,
            parts,
            part_size,
            region: given_region.or_else(|| preset.region.map(str::to_owned)),
            profile: profile(object)?,
            storage_class: storage_class(object)?,
            tags: tags::parse(object)?,
            checksum: checksum(object, &preset, lock.is_some())?,
            conditional_writes: boolean(object, "conditional_writes")?.unwrap_or(preset.conditional_writes),
            timeout: timeout(object)?,
            endpoint,
        })
    }
}

fn refuse_unsupported(
    object: &Map<String, Value>,
    provider: Option<Provider>,
    preset: &Preset,
) -> Result<()> {
    let told = provider.map_or("this storage", Provider::name);
    if let Some(option) = preset.unsupported.iter().find(|option| is_given(object, option)) {
        let error = impossible(option, format!("Storages of provider \"{told}\" do not have it."));
        return Err(if *option == "account" {
            impossible(option, "It belongs to \"provider\" = \"r2\".")
        } else {
            error.hint("Leave it out; or leave \"provider\" out and name the endpoint, if the service has it by now.")
        });
    }
    match text(object, "sse")? {
        Some(kind) if !preset.encryption.contains(&kind) && provider.is_some() => {
            let known: Vec<String> = preset.encryption.iter().map(|kind| format!("\"{kind}\"")).collect();
            Err(invalid(
                "sse",
                format!("Storages of provider \"{told}\" know {} and no other.", known.join(", ")),
            ))
        }
        _ => Ok(()),
    }
}

/// The endpoint that the preset makes out of account or region.
fn preset_endpoint(
    object: &Map<String, Value>,
    provider: Option<Provider>,
    preset: &Preset,
    region: Option<&str>,
) -> Result<Option<String>> {
    let needs = |option: &str, hint: &str| {
        let told = provider.map_or("", Provider::name);
        Err(Error::invalid(format!("storage option \"{option}\" is missing"))
            .detail(format!("Provider \"{told}\" cannot be found without it."))
            .hint(hint.to_owned()))
    };
    match preset.address {
        Address::Amazon => Ok(None),
        Address::Endpoint => {
            needs("endpoint", "Give the URL of the server, such as \"https://s3.example.com\".")
        }
        Address::Account(suffix) => match name(object, "account", "")? {
            Some(account) => Ok(Some(format!("https://{}{suffix}", account.to_ascii_lowercase()))),
            None => needs(
                "account",
                "Give the account id that the dashboard shows; or, for a bucket with a jurisdiction, the \"endpoint\".",
            ),
        },
        Address::Region(before, after) => match region {
            Some(region) => Ok(Some(format!("{before}{}{after}", region.to_ascii_lowercase()))),
            None => needs(
                "region",
                "Give the region of the bucket as the provider names it, or the \"endpoint\".",
            ),
        },
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

/// Amazon: "The Content-MD5 or x-amz-sdk-checksum-algorithm header is required for any request to upload an object with a
/// retention period configured using Amazon S3 Object Lock."
fn checksum(object: &Map<String, Value>, preset: &Preset, is_locked: bool) -> Result<Option<Checksum>> {
    const OPTION: &str = "checksum";
    const KINDS: [(&str, Option<Checksum>); 3] =
        [("sha256", Some(Checksum::Sha256)), ("crc64nvme", Some(Checksum::Crc64Nvme)), ("none", None)];
    match choice(object, OPTION, &KINDS)? {
        Some(None) if is_locked => {
            Err(impossible(OPTION, "With \"lock_mode\", S3 takes no object without a checksum."))
        }
        Some(kind) => Ok(kind),
        None if is_locked => Ok(preset.checksum.or(Some(Checksum::Sha256))),
        None => Ok(preset.checksum),
    }
}

/// Whether others can listen: http to another machine.
fn is_open_line(endpoint: &str) -> bool {
    let Ok(url) = Url::parse(endpoint) else { return true };
    let is_loopback = match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    };
    url.scheme() != "https" && !is_loopback
}
