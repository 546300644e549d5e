//! Encryption on the way to storage: what is stored is an ordinary age file (<https://age-encryption.org/v1>, binary), which
//! `age -d` reads without us. Writing needs public keys alone; whoever reads has an identity.
//!
//! Backups are read by ranges, and so is an encrypted one: behind its header it is a row of chunks that are sealed one by
//! one. The cryptography is the `age` crate's, here is only which bytes it gets.

mod chunks;
mod decrypted;
mod decryption;
mod file_key;
mod identities;
mod outlet;
mod recipients;
mod refusal;
mod spliced;
mod stage;

pub use decrypted::Decrypted;
pub(crate) use decryption::{DecryptedRange, Decryption, MAX_HEADER_SIZE};
pub use identities::Identities;
pub use recipients::Recipients;
pub use stage::{Encrypting, Plain, Sent};
