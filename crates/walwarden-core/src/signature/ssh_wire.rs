//! The data types of SSH (RFC 4251, section 5), and its Ed25519 keys and signatures (RFC 8709, sections 4 and 6).

use crate::key::{PublicKey, SIGNATURE_LENGTH};

const ED25519: &[u8] = b"ssh-ed25519";

/// `string`: a length of four bytes, and the bytes.
pub fn put_string(to: &mut Vec<u8>, bytes: &[u8]) {
    // Nothing that is signed comes near 4 GiB; where a length cannot be written, the reader refuses the rest.
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    to.extend_from_slice(&length.to_be_bytes());
    to.extend_from_slice(bytes);
}

/// The first `string` of some bytes, which then begin behind it.
pub fn take_string<'a>(from: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = take_u32(from)?;
    let (string, rest) = from.split_at_checked(usize::try_from(length).ok()?)?;
    *from = rest;
    Some(string)
}

/// The first `uint32`, in the same way.
pub fn take_u32(from: &mut &[u8]) -> Option<u32> {
    let (number, rest) = from.split_first_chunk::<4>()?;
    *from = rest;
    Some(u32::from_be_bytes(*number))
}

/// A public key as SSH writes it.
pub fn key_blob(key: &PublicKey) -> Vec<u8> {
    let mut blob = Vec::new();
    put_string(&mut blob, ED25519);
    put_string(&mut blob, &key.to_bytes());
    blob
}

/// The key of such a blob; None for any other kind of key.
pub fn key_of_blob(mut blob: &[u8]) -> Option<PublicKey> {
    let (kind, raw) = (take_string(&mut blob)?, take_string(&mut blob)?);
    if kind != ED25519 || !blob.is_empty() {
        return None;
    }
    PublicKey::from_bytes(raw.try_into().ok()?).ok()
}

/// A signature as SSH writes it.
pub fn signature_blob(signature: &[u8; SIGNATURE_LENGTH]) -> Vec<u8> {
    let mut blob = Vec::new();
    put_string(&mut blob, ED25519);
    put_string(&mut blob, signature);
    blob
}

/// The raw signature of such a blob.
pub fn signature_of_blob(mut blob: &[u8]) -> Option<[u8; SIGNATURE_LENGTH]> {
    let (kind, raw) = (take_string(&mut blob)?, take_string(&mut blob)?);
    if kind == ED25519 && blob.is_empty() { raw.try_into().ok() } else { None }
}
