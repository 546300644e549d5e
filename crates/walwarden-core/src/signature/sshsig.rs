//! Signatures for `ssh-keygen -Y verify` (OpenSSH's PROTOCOL.sshsig).
//!
//! What is signed is not the file but a blob with its SHA-512 and a namespace, so a signature for one purpose is none for
//! another.

use base64::prelude::{BASE64_STANDARD, Engine};
use sha2::{Digest, Sha512};

use super::Signer;
use super::ssh_wire::{key_blob, put_string, signature_blob};
use crate::error::Result;
use crate::key::{PublicKey, SIGNATURE_LENGTH};

/// What signatures of manifests are for.
pub const NAMESPACE: &str = "walwarden-manifest";
/// Who signs, by the name that `ssh-keygen -Y verify -I` is given.
pub const PRINCIPAL: &str = "walwarden";

const MAGIC: &[u8] = b"SSHSIG";
const VERSION: u32 = 1;
const HASH: &[u8] = b"sha512";
/// As ssh-keygen breaks lines; 76 at most.
const LINE: usize = 70;

/// The bytes to be signed for a message.
pub fn bytes_to_sign(message: &[u8]) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    put_string(&mut bytes, NAMESPACE.as_bytes());
    put_string(&mut bytes, b"");
    put_string(&mut bytes, HASH);
    put_string(&mut bytes, &Sha512::digest(message));
    bytes
}

/// The `.sshsig` file of a message.
///
/// # Errors
/// `Key` as [`Signer::sign`].
pub fn signature_file(signer: &dyn Signer, message: &[u8]) -> Result<String> {
    let signature = signer.sign(&bytes_to_sign(message))?;
    Ok(armored(&signer.public(), &signature))
}

fn armored(key: &PublicKey, signature: &[u8; SIGNATURE_LENGTH]) -> String {
    let mut blob = MAGIC.to_vec();
    blob.extend_from_slice(&VERSION.to_be_bytes());
    put_string(&mut blob, &key_blob(key));
    put_string(&mut blob, NAMESPACE.as_bytes());
    put_string(&mut blob, b"");
    put_string(&mut blob, HASH);
    put_string(&mut blob, &signature_blob(signature));
    let mut file = "-----BEGIN SSH SIGNATURE-----\n".to_owned();
    for (place, digit) in BASE64_STANDARD.encode(blob).chars().enumerate() {
        if place > 0 && place % LINE == 0 {
            file.push('\n');
        }
        file.push(digit);
    }
    file.push_str("\n-----END SSH SIGNATURE-----\n");
    file
}

/// The line of this key in a file of allowed signers (ssh-keygen(1), ALLOWED SIGNERS).
pub fn allowed_signers_line(key: &PublicKey) -> String {
    let key = BASE64_STANDARD.encode(key_blob(key));
    format!("{PRINCIPAL} namespaces=\"{NAMESPACE}\" ssh-ed25519 {key}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signature::key_of_vectors;

    /// By OpenSSH 9.2: `ssh-keygen -Y sign -f KEY -n walwarden-manifest` over "a manifest\n".
    const SIGNATURE_FILE: &str = "\
        -----BEGIN SSH SIGNATURE-----\n\
        U1NIU0lHAAAAAQAAADMAAAALc3NoLWVkMjU1MTkAAAAg11qYAYKxCrfVS/7TyWQHOg7hcv\n\
        PapiMlrwIaaPcHURoAAAASd2Fsd2FyZGVuLW1hbmlmZXN0AAAAAAAAAAZzaGE1MTIAAABT\n\
        AAAAC3NzaC1lZDI1NTE5AAAAQOs1Tyo6aKDLJ5jhA875HNRwynmj0/zwEHBeOzUDqkVPBd\n\
        sMCUsdVVPAzD+cRxicpTw99khc5V1bqgd3EMPGWA4=\n\
        -----END SSH SIGNATURE-----\n";
    /// By `ssh-keygen -y`.
    const PUBLIC_KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea";

    #[test]
    fn the_file_is_that_of_ssh_keygen() {
        let key = key_of_vectors();
        assert_eq!(signature_file(&key, b"a manifest\n").unwrap(), SIGNATURE_FILE);
        let line = allowed_signers_line(&key.public());
        assert_eq!(line, format!("walwarden namespaces=\"walwarden-manifest\" {PUBLIC_KEY}\n"));
    }

    #[test]
    fn it_is_no_signature_of_the_message_itself() {
        let key = key_of_vectors();
        let signature = key.sign(&bytes_to_sign(b"a manifest\n"));
        assert!(key.public().verify_strict(b"a manifest\n", &signature).is_err());
    }
}
