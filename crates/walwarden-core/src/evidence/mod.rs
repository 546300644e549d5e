//! Evidence bundles: what an auditor takes away to check, without the server and without walwarden, what was backed up and
//! when.
//!
//! A bundle is a tar file in one folder, the same bytes for the same contents wherever it is made. [`Bundle`] writes one,
//! [`examine`] checks one; `verify.sh` inside checks it with `openssl` and `sha256sum`. [`log`] checks the audit log as it
//! lies in storage.

mod about;
mod bundle;
pub mod consistency;
mod examine;
mod keys;
pub mod log;
mod member;
mod report;
mod tape;

pub use about::{About, Scope};
pub use bundle::Bundle;
pub use examine::{Collected, EntryFacts, examine};
pub use keys::{Keys, trusted_with};
pub use member::{FOLDER, Member};
pub use report::{Problem, Report};

#[cfg(test)]
mod tests;
