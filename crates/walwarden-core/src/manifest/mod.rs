//! The manifest: the signed statement of what one backup is, where its bytes are and how to check them.
//!
//! It is stored as RFC 8785 canonical JSON, so that everyone who writes the same statement writes the same
//! bytes and a signature over the file is a signature over the statement. A backup exists when its signed
//! manifest does.

pub mod canonical;
pub mod lsn;
pub mod model;
pub mod sha256_sum;
pub mod timestamp;

mod consistency;
mod id;
mod integer;

pub use canonical::{parse, to_canonical_bytes};
pub use lsn::Lsn;
pub use model::{
    Archive, AuditHead, Database, Encryption, Extension, Format, LargeObjects, Manifest, ManifestJob, Part,
    Piece, ScheduleEntry, ServerVersion, Snapshot, Stored, StoredObject, Table, Tools, Totals,
};
pub use sha256_sum::Sha256Sum;

#[cfg(test)]
mod canonical_tests;
#[cfg(test)]
pub(crate) mod sample;
