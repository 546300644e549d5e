//! Whether an archive is what its manifest says: every byte, every block, every row.
//!
//! The archive is read once, as a stream, with bounded memory. What is wrong is an error of class `StorageCorrupt` that
//! names the place.

mod archive;
mod ranges;
mod rows;
mod seen;
mod stored;

pub use archive::verify_archive;
pub use seen::Seen;
pub use stored::StoredBytes;

use crate::error::{Error, ErrorClass};

/// The bytes are not those of the manifest.
fn damaged(seen: impl Into<String>) -> Error {
    Error::new(ErrorClass::StorageCorrupt, "the archive is not what its manifest says").detail(seen)
}

#[cfg(test)]
mod tests;
