//! What a manifest says, format version 1.
//!
//! Field names are the JSON keys. Absent values are left out, never null. Times are as in
//! [`super::timestamp`]; counts, sizes and offsets are integers up to 2^53-1; what may be larger is text:
//! `system_identifier` (decimal) and `lsn` (as `pg_lsn`). A reader of version 1 passes over fields it does
//! not know and refuses another version.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::id;
use super::integer::{decimal_text, exact};
use super::lsn::Lsn;
use super::sha256_sum::Sha256Sum;
use super::timestamp;
use crate::archive::TableName;
use crate::encoder::Encoder;
use crate::filter::Filter;
use crate::job::Trigger;
use crate::schedule::Definition;

/// The signed statement of one backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Name and version of this format.
    pub format: Format,
    /// The version of walwarden that wrote it.
    pub walwarden_version: String,
    /// The job that made the backup.
    pub job: ManifestJob,
    /// The value of `walwarden.organization`.
    pub organization: String,
    /// The database that was backed up.
    pub database: Database,
    /// The server it was in.
    pub server_version: ServerVersion,
    /// The programs that took part.
    pub tools: Tools,
    /// The extensions installed in the database, walwarden included.
    pub extensions: Vec<Extension>,
    /// The moment the backup shows.
    pub snapshot: Snapshot,
    /// The archive with all data.
    pub archive: Archive,
    /// Roles and tablespaces as SQL; absent when they were not exported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub globals: Option<StoredObject>,
    /// The tables whose data the archive holds, in the order of the archive.
    pub tables: Vec<Table>,
    /// What of the database the archive holds; absent when all of it. With `schemas` or `tables` it holds nothing that is
    /// in no schema, such as extensions, publications and large objects.
    #[serde(default, skip_serializing_if = "Filter::is_empty")]
    pub filter: Filter,
    /// The tables whose rows the filter left out, and whose definition the archive holds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tables_without_data: Vec<TableName>,
    /// The large objects the archive holds.
    pub large_objects: LargeObjects,
    /// Sums over `tables`.
    pub totals: Totals,
    /// The schedules of the database at that time, so that they can be brought back. No secrets.
    pub schedules: Vec<ScheduleEntry>,
    /// The newest audit entry when the manifest was made: the history up to it is part of what is signed.
    pub audit_head: AuditHead,
    /// Which key signed it, see [`crate::key::PublicKey::key_id`].
    pub key_id: String,
    /// When the manifest was made, all data being stored.
    #[serde(with = "timestamp")]
    pub finished_at: DateTime<Utc>,
}

/// Name and version of the format.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Format {
    /// Always [`Format::NAME`].
    pub name: String,
    /// Goes up when a reader of the version before would misunderstand; new fields alone do not raise it.
    pub version: u32,
}

impl Format {
    /// The name of the format.
    pub const NAME: &str = "walwarden-manifest";
    /// The version this code writes and reads.
    pub const VERSION: u32 = 1;

    /// What this code writes.
    pub fn current() -> Self {
        Self { name: Self::NAME.to_owned(), version: Self::VERSION }
    }
}

/// The job that made the backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestJob {
    /// The job's id, a UUIDv7.
    #[serde(deserialize_with = "id::deserialize")]
    pub id: Uuid,
    /// The schedule's name; absent when there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
    /// What made the job exist.
    pub trigger: Trigger,
    /// The role that asked for it.
    pub requested_by: String,
    /// When it was queued.
    #[serde(with = "timestamp")]
    pub queued_at: DateTime<Utc>,
    /// When its work began.
    #[serde(with = "timestamp")]
    pub started_at: DateTime<Utc>,
}

/// The database that was backed up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Database {
    /// Walwarden's own id of the database, as in the object keys.
    #[serde(deserialize_with = "id::deserialize")]
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// Its oid.
    pub oid: u32,
    /// The cluster's system identifier, all 64 bits; decimal text in JSON.
    #[serde(with = "decimal_text")]
    pub system_identifier: u64,
    /// Its encoding, which is also the archive's, by PostgreSQL's name: `UTF8`.
    pub encoding: String,
}

/// The server's version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerVersion {
    /// As in `server_version`: `17.6 (Debian 17.6-1)`.
    pub text: String,
    /// As in `server_version_num`: 170006.
    pub number: u32,
}

/// The programs that took part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tools {
    /// What `pg_dump --version` printed.
    pub pg_dump: String,
}

/// An installed extension.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extension {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// The moment the backup shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The log position at which the snapshot was taken; text in JSON.
    pub lsn: Lsn,
    /// When it was taken.
    #[serde(with = "timestamp")]
    pub taken_at: DateTime<Utc>,
}

/// An object in storage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredObject {
    /// Its key below the storage's URL.
    pub key: String,
    /// Its size before it was encrypted, bytes.
    #[serde(with = "exact")]
    pub size: u64,
    /// The SHA-256 of the whole before it was encrypted.
    pub sha256: Sha256Sum,
    /// What lies in storage instead; absent when it is stored as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption: Option<Encryption>,
}

/// The archive: an object that stock pg_restore reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Archive {
    /// Its key below the storage's URL.
    pub key: String,
    /// Its size before it was encrypted, bytes.
    #[serde(with = "exact")]
    pub size: u64,
    /// The SHA-256 of the whole before it was encrypted: of what pg_restore reads.
    pub sha256: Sha256Sum,
    /// How its data is compressed, as pg_dump spells it: `gzip:6`, `zstd:1`, `lz4`, `none`.
    pub compression: String,
    /// The version of pg_dump's archive format: `1.16`.
    pub format_version: String,
    /// The pieces it was uploaded in, which cover it without a gap; none when it is encrypted, see [`Archive::stored`].
    pub parts: Vec<Part>,
    /// What lies in storage instead; absent when it is stored as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption: Option<Encryption>,
}

/// An object that is encrypted, as it lies in storage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Encryption {
    /// Always [`Encryption::AGE`].
    pub format: String,
    /// The public keys whose owners can decrypt it: `age1...`.
    pub recipients: Vec<String>,
    /// Its size in storage, bytes.
    #[serde(with = "exact")]
    pub size: u64,
    /// The SHA-256 of the whole object in storage.
    pub sha256: Sha256Sum,
    /// The pieces it was uploaded in, which cover it without a gap; absent for an object that was uploaded as a whole.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Part>,
}

impl Encryption {
    /// The format of <https://age-encryption.org/v1>, binary.
    pub const AGE: &str = "age";

    fn stored(&self) -> Stored<'_> {
        Stored { size: self.size, sha256: self.sha256, parts: &self.parts }
    }
}

/// The bytes of an object that lie in storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored<'a> {
    /// How many.
    pub size: u64,
    /// Their SHA-256.
    pub sha256: Sha256Sum,
    /// The pieces they were uploaded in.
    pub parts: &'a [Part],
}

impl Archive {
    /// Its bytes in storage.
    pub fn stored(&self) -> Stored<'_> {
        match &self.encryption {
            Some(encryption) => encryption.stored(),
            None => Stored { size: self.size, sha256: self.sha256, parts: &self.parts },
        }
    }
}

impl StoredObject {
    /// Its bytes in storage.
    pub fn stored(&self) -> Stored<'_> {
        match &self.encryption {
            Some(encryption) => encryption.stored(),
            None => Stored { size: self.size, sha256: self.sha256, parts: &[] },
        }
    }
}

/// A range of an object as it was uploaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Where it begins in the object, bytes.
    #[serde(with = "exact")]
    pub offset: u64,
    /// Its size, bytes.
    #[serde(with = "exact")]
    pub size: u64,
    /// The SHA-256 of the range.
    pub sha256: Sha256Sum,
}

/// A table and where its data is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// Its oid in the database that was backed up.
    pub oid: u32,
    /// The dump id of its data in the archive's table of contents, above 0.
    pub dump_id: i32,
    /// How many rows.
    #[serde(with = "exact")]
    pub rows: u64,
    /// The size of its COPY text before compression, bytes.
    #[serde(with = "exact")]
    pub raw_bytes: u64,
    /// Where its block begins in the archive, bytes.
    #[serde(with = "exact")]
    pub block_offset: u64,
    /// Who wrote its rows; not in manifests of version 0.1.0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoder: Option<Encoder>,
    /// The pieces its block is made of, in order; empty when it has no rows, and when the block was taken
    /// over from pg_dump as it was.
    pub pieces: Vec<Piece>,
}

/// A range of a table, compressed on its own, so that it can be fetched and loaded on its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    /// Where its first chunk begins in the archive, bytes.
    #[serde(with = "exact")]
    pub offset: u64,
    /// How many bytes of the archive it takes: whole chunks, their lengths included.
    #[serde(with = "exact")]
    pub length: u64,
    /// The size of its COPY text before compression, bytes.
    #[serde(with = "exact")]
    pub raw_length: u64,
    /// How many rows.
    #[serde(with = "exact")]
    pub rows: u64,
    /// The SHA-256 of those bytes of the archive.
    pub sha256: Sha256Sum,
}

/// The large objects of the database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LargeObjects {
    /// How many.
    #[serde(with = "exact")]
    pub count: u64,
    /// The size of their data before compression, bytes.
    #[serde(with = "exact")]
    pub raw_bytes: u64,
    /// The filter left out those that there were.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub left_out: bool,
}

/// Sums over the tables; large objects are not among them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// How many tables.
    #[serde(with = "exact")]
    pub tables: u64,
    /// How many rows.
    #[serde(with = "exact")]
    pub rows: u64,
    /// The size of the COPY text before compression, bytes.
    #[serde(with = "exact")]
    pub raw_bytes: u64,
}

/// A schedule as it was defined.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduleEntry {
    /// Its name.
    pub name: String,
    /// Whether it was in force, that is, not paused.
    pub enabled: bool,
    /// What it was defined by.
    #[serde(flatten)]
    pub definition: Definition,
}

/// The newest entry of an audit chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditHead {
    /// Its number; 0 for a chain without entries.
    #[serde(with = "exact")]
    pub seq: u64,
    /// Its hash, the RFC 6962 leaf hash of its body; zeros for a chain without entries.
    pub hash: Sha256Sum,
}

impl AuditHead {
    /// The head of a chain without entries.
    pub const EMPTY: Self = Self { seq: 0, hash: Sha256Sum::ZERO };
}
