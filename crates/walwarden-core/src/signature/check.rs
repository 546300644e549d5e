//! Reading what [`minisign`](super::minisign) and [`sshsig`](super::sshsig) write, and checking it.

use base64::prelude::{BASE64_STANDARD, Engine};

use super::ssh_wire::{key_of_blob, signature_of_blob, take_string, take_u32};
use super::sshsig::{NAMESPACE, bytes_to_sign};
use crate::error::{Error, ErrorClass, Result};
use crate::key::{PublicKey, SIGNATURE_LENGTH};

/// Checks a `.minisig` file over a message, its trusted comment included, and returns which of the keys made it.
///
/// # Errors
/// `Archive` when it is no such file of the form that walwarden writes; `Key` when none of the keys is named in it;
/// `StorageCorrupt` when the signatures are not by that key.
pub fn minisign<'a>(file: &[u8], message: &[u8], keys: &'a [PublicKey]) -> Result<&'a PublicKey> {
    let malformed = || Error::new(ErrorClass::Archive, "could not read a signature of minisign");
    let lines: Vec<&str> = str::from_utf8(file)
        .map_err(|_| malformed())?
        .strip_suffix('\n')
        .ok_or_else(malformed)?
        .split('\n')
        .collect();
    let [untrusted, signature, comment, of_comment] = lines[..] else { return Err(malformed()) };
    let comment = comment.strip_prefix("trusted comment: ").ok_or_else(malformed)?;
    if untrusted != "untrusted comment: signature by walwarden" {
        return Err(malformed());
    }
    let raw = BASE64_STANDARD.decode(signature).map_err(|_| malformed())?;
    let (b"Ed", rest) = raw.split_first_chunk::<2>().ok_or_else(malformed)? else { return Err(malformed()) };
    let (number, signature) = rest.split_first_chunk::<8>().ok_or_else(malformed)?;
    let signature: &[u8; SIGNATURE_LENGTH] = signature.try_into().map_err(|_| malformed())?;
    let of_comment = BASE64_STANDARD.decode(of_comment).map_err(|_| malformed())?;
    let is_named = |key: &&PublicKey| key.key_number().iter().rev().eq(number);
    let key = keys.iter().find(is_named).ok_or_else(unknown_key)?;
    key.verify_strict(message, signature)?;
    key.verify_strict(&[&signature[..], comment.as_bytes()].concat(), &of_comment)?;
    Ok(key)
}

/// Checks an `.sshsig` file over a message and returns which of the keys made it.
///
/// # Errors
/// `Archive` when it is no such file of the form that walwarden writes; `Key` when it is of none of the keys;
/// `StorageCorrupt` when the signature is not by that key.
pub fn sshsig<'a>(file: &[u8], message: &[u8], keys: &'a [PublicKey]) -> Result<&'a PublicKey> {
    let malformed = || Error::new(ErrorClass::Archive, "could not read a signature of OpenSSH");
    let text = str::from_utf8(file).map_err(|_| malformed())?;
    let armored = text
        .strip_prefix("-----BEGIN SSH SIGNATURE-----\n")
        .and_then(|text| text.strip_suffix("\n-----END SSH SIGNATURE-----\n"))
        .ok_or_else(malformed)?;
    let blob = BASE64_STANDARD.decode(armored.replace('\n', "")).map_err(|_| malformed())?;
    let (key, signature) = read_sshsig(&blob).ok_or_else(malformed)?;
    let key = keys.iter().find(|known| **known == key).ok_or_else(unknown_key)?;
    key.verify_strict(&bytes_to_sign(message), &signature)?;
    Ok(key)
}

fn read_sshsig(blob: &[u8]) -> Option<(PublicKey, [u8; SIGNATURE_LENGTH])> {
    let mut rest = blob.strip_prefix(b"SSHSIG")?;
    let version = take_u32(&mut rest)?;
    let key = key_of_blob(take_string(&mut rest)?)?;
    let purpose = [take_string(&mut rest)?, take_string(&mut rest)?, take_string(&mut rest)?];
    let signature = signature_of_blob(take_string(&mut rest)?)?;
    let is_ours = version == 1 && purpose == [NAMESPACE.as_bytes(), b"", b"sha512"] && rest.is_empty();
    is_ours.then_some((key, signature))
}

fn unknown_key() -> Error {
    Error::new(ErrorClass::Key, "could not verify the signature")
        .detail("It is by none of the keys that are known.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::SigningKey;
    use crate::signature;

    const MESSAGE: &[u8] = b"a manifest\n";

    fn key(seed: u8) -> SigningKey {
        SigningKey::generate([seed; 32])
    }

    fn files() -> [String; 2] {
        let key = key(1);
        let minisig = signature::minisign::signature_file(&key, &key.sign(MESSAGE), "a comment").unwrap();
        [minisig, signature::sshsig::signature_file(&key, MESSAGE).unwrap()]
    }

    type Check = for<'a> fn(&[u8], &[u8], &'a [PublicKey]) -> Result<&'a PublicKey>;

    #[test]
    fn what_is_written_is_verified() {
        let keys = [key(2).public(), key(1).public()];
        for (file, check) in files().iter().zip([minisign as Check, sshsig as Check]) {
            assert_eq!(check(file.as_bytes(), MESSAGE, &keys).unwrap(), &keys[1]);
            assert_eq!(
                check(file.as_bytes(), b"another", &keys).unwrap_err().class,
                ErrorClass::StorageCorrupt
            );
            assert_eq!(check(file.as_bytes(), MESSAGE, &keys[..1]).unwrap_err().class, ErrorClass::Key);
        }
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_found() {
        let keys = [key(1).public()];
        for (file, check) in files().iter().zip([minisign as Check, sshsig as Check]) {
            for at in 0..file.len() * 8 {
                let mut bytes = file.clone().into_bytes();
                bytes[at / 8] ^= 1 << (at % 8);
                // Where OpenSSH breaks lines is open to it.
                let is_newline = bytes[at / 8] == b'\n' || file.as_bytes()[at / 8] == b'\n';
                assert!(check(&bytes, MESSAGE, &keys).is_err() || is_newline, "bit {at}");
            }
            for end in 0..file.len() {
                assert!(check(&file.as_bytes()[..end], MESSAGE, &keys).is_err());
            }
            assert!(check(format!("{file}\n").as_bytes(), MESSAGE, &keys).is_err());
        }
    }
}
