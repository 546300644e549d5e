//! Signatures of the cluster's Ed25519 key, in the forms that stock programs check, and what follows when another key
//! takes its place.
//!
//! - raw: 64 bytes, for `openssl pkeyutl -verify -rawin`; what lies beside every manifest;
//! - [`minisign`]: the same 64 bytes in the form of `minisign -V`;
//! - [`sshsig`]: for `ssh-keygen -Y verify`; this form signs other bytes, so it takes a signature of its own.
//!
//! Who holds the key is left open: each form asks a [`Signer`] for signatures over bytes that it makes itself.

pub mod agent;
pub mod check;
pub mod minisign;
pub mod rotation;
pub mod signer_setting;
mod ssh_wire;
pub mod sshsig;
pub mod succession;

use crate::error::Result;
use crate::key::{PublicKey, SIGNATURE_LENGTH, SigningKey};

/// Whoever signs: a key in memory, or a program or agent that keeps the key for itself.
pub trait Signer {
    /// The public half.
    fn public(&self) -> PublicKey;

    /// The raw signature (RFC 8032) over exactly these bytes.
    ///
    /// # Errors
    /// `Key` when the key cannot be used, or what came back is not its signature over these bytes.
    fn sign(&self, message: &[u8]) -> Result<[u8; SIGNATURE_LENGTH]>;
}

impl Signer for SigningKey {
    fn public(&self) -> PublicKey {
        SigningKey::public(self)
    }

    fn sign(&self, message: &[u8]) -> Result<[u8; SIGNATURE_LENGTH]> {
        Ok(SigningKey::sign(self, message))
    }
}

/// The key of the vectors that were made with the real programs: the first of RFC 8032, section 7.1.
#[cfg(test)]
fn key_of_vectors() -> SigningKey {
    let mut seed = [0; 32];
    hex::decode_to_slice("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60", &mut seed)
        .unwrap();
    SigningKey::generate(seed)
}
