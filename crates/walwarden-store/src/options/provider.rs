//! What is known of a service before anyone asks it: presets for the options of `s3://` storages. An option that is
//! given wins over its preset; what a preset cannot know is asked for when the storage is defined.

use super::s3::Checksum;

/// A service that speaks S3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provider {
    /// Amazon S3.
    Aws,
    /// Cloudflare R2.
    R2,
    /// MinIO.
    MinIo,
    /// DigitalOcean Spaces.
    Spaces,
    /// Backblaze B2.
    B2,
    /// Wasabi.
    Wasabi,
    /// Garage.
    Garage,
    /// Ceph's object gateway.
    Ceph,
}

/// Where the service is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Address {
    /// The client library knows.
    Amazon,
    /// Where the option `endpoint` says.
    Endpoint,
    /// In front of this and behind `https://` stands the option `account`.
    Account(&'static str),
    /// Between these two stands the option `region`.
    Region(&'static str, &'static str),
}

/// What a service needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Preset {
    pub(super) address: Address,
    /// The region that requests are signed for; none means the environment's.
    pub(super) region: Option<&'static str>,
    /// The bucket in the path; none means where an endpoint is given.
    pub(super) path_style: Option<bool>,
    pub(super) checksum: Option<Checksum>,
    /// Whether create-only puts work.
    pub(super) conditional_writes: bool,
    /// Options the service refuses, or takes and forgets, which is worse.
    pub(super) unsupported: &'static [&'static str],
    /// Values of `sse` it knows.
    pub(super) encryption: &'static [&'static str],
}

const LOCK: [&str; 2] = ["lock_mode", "lock_days"];
const ALL_ENCRYPTION: &[&str] = &["AES256", "aws:kms", "aws:kms:dsse", "customer"];

impl Provider {
    /// The values of the option `provider`.
    pub(super) const NAMES: [(&'static str, Self); 8] = [
        ("aws", Self::Aws),
        ("r2", Self::R2),
        ("minio", Self::MinIo),
        ("spaces", Self::Spaces),
        ("b2", Self::B2),
        ("wasabi", Self::Wasabi),
        ("garage", Self::Garage),
        ("ceph", Self::Ceph),
    ];

    /// Its name as the option has it.
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, provider)| *provider == self).map_or("", |(name, _)| name)
    }

    pub(super) fn preset(self) -> Preset {
        match self {
            // "Checking object integrity for data uploads in Amazon S3": SHA-256 of each part is computed here anyway, for
            // the signature of the request.
            Self::Aws => Preset {
                address: Address::Amazon,
                region: None,
                path_style: None,
                checksum: Some(Checksum::Sha256),
                conditional_writes: true,
                unsupported: &["account"],
                encryption: ALL_ENCRYPTION,
            },
            // developers.cloudflare.com/r2/api/s3/api: the endpoint, region "auto"; x-amz-tagging, object lock headers and
            // encryption but SSE-C are not implemented (bucket locks have an API of their own). "Conditional operations in
            // PutObject": If-None-Match works.
            Self::R2 => Preset {
                address: Address::Account(".r2.cloudflarestorage.com"),
                region: Some("auto"),
                path_style: Some(true),
                checksum: None,
                conditional_writes: true,
                unsupported: &["tags", LOCK[0], LOCK[1]],
                encryption: &["customer"],
            },
            // By min.io/docs, "S3 API compatibility", not tried: as Amazon's; DSSE-KMS is not known.
            Self::MinIo => Preset {
                address: Address::Endpoint,
                region: Some("us-east-1"),
                path_style: Some(true),
                checksum: Some(Checksum::Sha256),
                conditional_writes: true,
                unsupported: &["account"],
                encryption: &["AES256", "aws:kms", "customer"],
            },
            // docs.digitalocean.com/products/spaces/reference/s3-compatibility: SSE-C is the only encryption, object lock
            // and checksums are not listed; docs.digitalocean.com/reference/api/spaces: the endpoint, whose region is also
            // the signature's.
            Self::Spaces => Preset {
                address: Address::Region("https://", ".digitaloceanspaces.com"),
                region: None,
                path_style: Some(false),
                checksum: None,
                conditional_writes: true,
                unsupported: &["account", LOCK[0], LOCK[1]],
                encryption: &["customer"],
            },
            // backblaze.com/docs/cloud-storage-s3-compatible-api: the endpoint; x-amz-checksum-* and tags among the
            // unsupported features, SSE-B2 and SSE-C supported. Users report that conditional puts are answered with 501
            // NotImplemented. Not tried: check_storage() finds out.
            Self::B2 => Preset {
                address: Address::Region("https://s3.", ".backblazeb2.com"),
                region: None,
                path_style: Some(false),
                checksum: None,
                conditional_writes: false,
                unsupported: &["account", "tags"],
                encryption: &["AES256", "customer"],
            },
            // docs.wasabi.com, "Service URLs for Wasabi's storage regions": the endpoint. One storage class; SSE-S3 is always
            // on. That SSE-C is known and KMS is not is by its documents, not tried: check_storage() finds out.
            Self::Wasabi => Preset {
                address: Address::Region("https://s3.", ".wasabisys.com"),
                region: None,
                path_style: Some(false),
                checksum: None,
                conditional_writes: true,
                unsupported: &["account", "storage_class"],
                encryption: &["AES256", "customer"],
            },
            // garagehq.deuxfleurs.fr/documentation/reference-manual/s3-compatibility: no versions, tags or object lock; SSE-C is
            // the only encryption. Measured with 2.5: checksums are verified, If-None-Match, tags, storage class and
            // encryption headers are ignored.
            Self::Garage => Preset {
                address: Address::Endpoint,
                region: Some("garage"),
                path_style: Some(true),
                checksum: Some(Checksum::Sha256),
                conditional_writes: false,
                unsupported: &["account", "tags", "storage_class", LOCK[0], LOCK[1]],
                encryption: &["customer"],
            },
            // docs.ceph.com/en/latest/radosgw/s3: as Amazon's; DSSE-KMS is not known. Measured with 16.2: checksums are not
            // verified, and tags and object lock are forgotten on uploads in parts.
            Self::Ceph => Preset {
                address: Address::Endpoint,
                region: Some("us-east-1"),
                path_style: Some(true),
                checksum: None,
                conditional_writes: true,
                unsupported: &["account"],
                encryption: &["AES256", "aws:kms", "customer"],
            },
        }
    }
}

/// Where no provider is named: nothing is known, so nothing is assumed beyond the oldest form of S3.
pub(super) const UNKNOWN: Preset = Preset {
    address: Address::Amazon,
    region: None,
    path_style: None,
    checksum: None,
    conditional_writes: true,
    unsupported: &["account"],
    encryption: ALL_ENCRYPTION,
};
