//! The files of minisign (<https://jedisct1.github.io/minisign/>, "Signature format" and "Public key format").
//!
//! The algorithm is the older `Ed`, not the prehashed `ED`: it signs the file itself, so its signature is the raw one that
//! lies beside the file anyway. Only the trusted comment takes a second one.
//!
//! minisign names a key by a number of 64 bits, in the file little-endian and to people as hexadecimal digits. Ours is the
//! number that [`PublicKey::key_id`] writes, so both show the same name, minisign in capitals.

use base64::prelude::{BASE64_STANDARD, Engine};

use super::Signer;
use crate::error::{Error, Result};
use crate::key::{PublicKey, SIGNATURE_LENGTH};

/// Ed25519 over the message itself.
const ALGORITHM: &[u8; 2] = b"Ed";
/// minisign reads no longer trusted comment (TRUSTEDCOMMENTMAXBYTES in minisign.h, with its end).
const LONGEST_TRUSTED_COMMENT: usize = 8192 - 32;

/// The public key as a file for `minisign -V -p`.
pub fn public_key_file(key: &PublicKey) -> String {
    let body = [&ALGORITHM[..], &key_number(key), &key.to_bytes()].concat();
    let name = key.key_id().to_ascii_uppercase();
    format!("untrusted comment: minisign public key {name}\n{}\n", BASE64_STANDARD.encode(body))
}

/// The `.minisig` file of a message whose raw signature is there: the signer signs the trusted comment only.
///
/// # Errors
/// `InvalidInput` when the comment is longer than minisign reads, or is not one line; `Key` as [`Signer::sign`].
pub fn signature_file(
    signer: &dyn Signer,
    signature: &[u8; SIGNATURE_LENGTH],
    trusted_comment: &str,
) -> Result<String> {
    let is_too_long = trusted_comment.len() > LONGEST_TRUSTED_COMMENT;
    if is_too_long || trusted_comment.contains(|c: char| c.is_control()) {
        return Err(Error::invalid("the trusted comment of a signature must be one line").detail(format!(
            "It must have no control characters and at most {LONGEST_TRUSTED_COMMENT} bytes."
        )));
    }
    let of_comment = signer.sign(&[&signature[..], trusted_comment.as_bytes()].concat())?;
    let body = [&ALGORITHM[..], &key_number(&signer.public()), &signature[..]].concat();
    Ok(format!(
        "untrusted comment: signature by walwarden\n{}\ntrusted comment: {trusted_comment}\n{}\n",
        BASE64_STANDARD.encode(body),
        BASE64_STANDARD.encode(of_comment)
    ))
}

/// The number that `key_id` writes, little-endian.
fn key_number(key: &PublicKey) -> [u8; 8] {
    let mut number = key.key_number();
    number.reverse();
    number
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorClass;
    use crate::signature::key_of_vectors;

    /// By minisign 0.11: `minisign -S -l -s KEY -m FILE -t "manifest of a backup" -c "signature by walwarden"` over
    /// "a manifest\n", and `minisign -R`.
    const SIGNATURE_FILE: &str = "\
        untrusted comment: signature by walwarden\n\
        RWRholSh3zH+Ie/vN9HJtF/bVqdTJLnmah4AVlEJpyQjewnUhsQWCdMhYllwu3t/iUWHZF4pvJfjRxUpV0tMQ1dDPUDoe2TTAgA=\n\
        trusted comment: manifest of a backup\n\
        esC4xaVYpLcnZRYH2LdkmkueFeqTLjN+SH2chJSd6HDEcssDdcQ/Rd24ymIWHLaAkiMVurKWFMFP78t1bf0DDA==\n";
    const PUBLIC_KEY_FILE: &str = "\
        untrusted comment: minisign public key 21FE31DFA154A261\n\
        RWRholSh3zH+IddamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea\n";

    #[test]
    fn the_files_are_those_of_minisign() {
        let key = key_of_vectors();
        let signature = key.sign(b"a manifest\n");
        assert_eq!(signature_file(&key, &signature, "manifest of a backup").unwrap(), SIGNATURE_FILE);
        assert_eq!(public_key_file(&key.public()), PUBLIC_KEY_FILE);
    }

    #[test]
    fn the_signature_in_it_is_the_raw_one() {
        let key = key_of_vectors();
        let signature = key.sign(b"a manifest\n");
        let file = signature_file(&key, &signature, "").unwrap();
        let body = BASE64_STANDARD.decode(file.lines().nth(1).unwrap()).unwrap();
        assert_eq!(body[10..], signature);
    }

    #[test]
    fn a_comment_cannot_bring_lines_of_its_own() {
        let key = key_of_vectors();
        for comment in ["one\ntwo", "one\r", "\0", &"x".repeat(LONGEST_TRUSTED_COMMENT + 1)] {
            let error = signature_file(&key, &[0; SIGNATURE_LENGTH], comment).unwrap_err();
            assert_eq!(error.class, ErrorClass::InvalidInput, "{comment:?}");
        }
    }
}
