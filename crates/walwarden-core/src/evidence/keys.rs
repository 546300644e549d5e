//! The keys of a bundle, and which of them are to be believed.

use super::member::Member;
use crate::audit::note::{KEY_NAME, verifier_key};
use crate::error::Result;
use crate::key::PublicKey;
use crate::signature::rotation::SignedRotation;
use crate::signature::{minisign, sshsig};

/// The keys that a database has used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    /// The public keys, the oldest first.
    pub history: Vec<PublicKey>,
    /// The statements by which one handed over to another, in their order.
    pub rotations: Vec<SignedRotation>,
}

impl Keys {
    /// The files that hold them.
    ///
    /// # Errors
    /// `Internal` when a key cannot be written.
    pub fn files(&self) -> Result<Vec<(Member, Vec<u8>)>> {
        let all =
            |line: fn(&PublicKey) -> String| self.history.iter().map(line).collect::<String>().into_bytes();
        let mut files = vec![
            (Member::KeyHistory, all(|key| format!("{}\n", key.key_id()))),
            (Member::AllowedSigners, all(sshsig::allowed_signers_line)),
            (Member::VerifierKeys, all(|key| format!("{}\n", verifier_key(KEY_NAME, key)))),
        ];
        for key in &self.history {
            files.push((Member::Key(key.key_id()), key.to_pem()?.into_bytes()));
            files.push((Member::MinisignKey(key.key_id()), minisign::public_key_file(key).into_bytes()));
        }
        for (number, signed) in (1..).zip(&self.rotations) {
            files.push((Member::Rotation(number), signed.statement.clone().into_bytes()));
            files.push((Member::RotationSignature(number), signed.signature.to_vec()));
        }
        Ok(files)
    }
}

/// The keys that are to be believed by who believes these: each that one of them handed over to, and so on.
pub fn trusted_with(given: &[PublicKey], rotations: &[SignedRotation]) -> Vec<PublicKey> {
    let mut trusted = given.to_vec();
    loop {
        let next = rotations
            .iter()
            .map(|signed| &signed.rotation)
            .find(|rotation| trusted.contains(&rotation.old) && !trusted.contains(&rotation.new));
        match next {
            Some(rotation) => trusted.push(rotation.new),
            None => return trusted,
        }
    }
}
