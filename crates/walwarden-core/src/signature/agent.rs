//! What is said to an ssh-agent, and what it answers (draft-miller-ssh-agent, "Protocol Messages"): each message is a length
//! of four bytes, and so many bytes of which the first says what it is. A signature that an agent makes with an Ed25519 key is
//! a raw one over the data itself.

use super::ssh_wire::{key_blob, key_of_blob, put_string, signature_of_blob, take_string, take_u32};
use crate::error::{Error, ErrorClass, Result};
use crate::key::{PublicKey, SIGNATURE_LENGTH};

const FAILURE: u8 = 5;
const REQUEST_IDENTITIES: u8 = 11;
const IDENTITIES_ANSWER: u8 = 12;
const SIGN_REQUEST: u8 = 13;
const SIGN_RESPONSE: u8 = 14;

/// An agent takes and gives no longer message (AGENT_MAX_LEN in OpenSSH's authfd.h), its length not counted.
pub const LONGEST_MESSAGE: usize = 256 * 1024;
/// What a request to sign takes besides the data: its kind, the key, two lengths and the flags.
const AROUND_DATA: usize = 1 + 4 + 51 + 4 + 4;
/// The most that an agent can sign, bytes.
pub const LONGEST_DATA: usize = LONGEST_MESSAGE - AROUND_DATA;

/// The request for the keys that it has.
pub fn request_keys() -> Vec<u8> {
    framed(&[REQUEST_IDENTITIES])
}

/// The Ed25519 keys of its answer; others are passed over.
///
/// # Errors
/// `Key` when it is no such answer.
pub fn keys(answer: &[u8]) -> Result<Vec<PublicKey>> {
    let mut rest = body(answer, IDENTITIES_ANSWER)?;
    let count = take_u32(&mut rest).ok_or_else(malformed)?;
    let mut keys = Vec::new();
    for _ in 0..count {
        let blob = take_string(&mut rest).ok_or_else(malformed)?;
        take_string(&mut rest).ok_or_else(malformed)?;
        keys.extend(key_of_blob(blob));
    }
    Ok(keys)
}

/// The request for a signature by this key over the data.
///
/// # Errors
/// `Key` when an agent does not take so much.
pub fn request_signature(key: &PublicKey, data: &[u8]) -> Result<Vec<u8>> {
    require_signable(data.len())?;
    let mut request = vec![SIGN_REQUEST];
    put_string(&mut request, &key_blob(key));
    put_string(&mut request, data);
    // No flags: they are for RSA.
    request.extend_from_slice(&0_u32.to_be_bytes());
    Ok(framed(&request))
}

/// The signature of its answer; whether it is one of the data is for the caller to check.
///
/// # Errors
/// `Key` when it is no such answer.
pub fn signature(answer: &[u8]) -> Result<[u8; SIGNATURE_LENGTH]> {
    let mut rest = body(answer, SIGN_RESPONSE)?;
    take_string(&mut rest).and_then(signature_of_blob).ok_or_else(malformed)
}

/// That an agent takes so many bytes to sign.
///
/// # Errors
/// `Key` when it does not.
pub fn require_signable(length: usize) -> Result<()> {
    if length <= LONGEST_DATA {
        return Ok(());
    }
    Err(Error::new(ErrorClass::Key, "what is to be signed is too long for an ssh-agent")
        .detail(format!("It has {length} bytes or more, and an agent takes {LONGEST_DATA}."))
        .hint("Use a command as walwarden.signer: it may sign any length."))
}

fn framed(message: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(4 + message.len());
    put_string(&mut frame, message);
    frame
}

/// What comes behind the kind of an answer, whose length was read already.
fn body(answer: &[u8], kind: u8) -> Result<&[u8]> {
    match answer.split_first() {
        Some((found, rest)) if *found == kind => Ok(rest),
        Some((&FAILURE, _)) => Err(Error::new(ErrorClass::Key, "the ssh-agent refused")
            .hint("Look whether it still has the key, is locked, or asks somebody to confirm.")),
        _ => Err(malformed()),
    }
}

fn malformed() -> Error {
    Error::new(ErrorClass::Key, "the ssh-agent gave an answer that makes no sense")
        .hint("Look whether the socket of walwarden.signer is that of an ssh-agent.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signature::key_of_vectors;
    use proptest::prelude::*;

    fn identities(blobs: &[&[u8]]) -> Vec<u8> {
        let mut answer = vec![IDENTITIES_ANSWER];
        answer.extend_from_slice(&u32::try_from(blobs.len()).unwrap().to_be_bytes());
        for blob in blobs {
            put_string(&mut answer, blob);
            put_string(&mut answer, b"a comment");
        }
        answer
    }

    #[test]
    fn keys_of_other_kinds_are_passed_over() {
        let key = key_of_vectors().public();
        let mut rsa = Vec::new();
        put_string(&mut rsa, b"ssh-rsa");
        put_string(&mut rsa, &[1, 0, 1]);
        assert_eq!(keys(&identities(&[&rsa, &key_blob(&key)])).unwrap(), [key]);
        assert_eq!(keys(&identities(&[])).unwrap(), []);
        assert_eq!(request_keys(), [0, 0, 0, 1, 11]);
    }

    #[test]
    fn a_signature_is_asked_for_and_read() {
        let key = key_of_vectors();
        let request = request_signature(&key.public(), b"data").unwrap();
        assert_eq!(request.len(), 4 + AROUND_DATA + 4);
        let mut answer = vec![SIGN_RESPONSE];
        put_string(&mut answer, &crate::signature::ssh_wire::signature_blob(&key.sign(b"data")));
        assert_eq!(signature(&answer).unwrap(), key.sign(b"data"));
    }

    #[test]
    fn a_refusal_is_told_from_nonsense() {
        assert!(signature(&[FAILURE]).unwrap_err().message.contains("refused"));
        assert!(signature(&[]).unwrap_err().message.contains("no sense"));
        assert!(keys(b"HTTP/1.1 400 Bad Request").unwrap_err().message.contains("no sense"));
    }

    #[test]
    fn what_an_agent_does_not_take_is_refused_before_it_is_sent() {
        let key = key_of_vectors().public();
        let longest = request_signature(&key, &vec![0; LONGEST_DATA]).unwrap();
        assert_eq!(longest.len(), 4 + LONGEST_MESSAGE);
        assert!(request_signature(&key, &vec![0; LONGEST_DATA + 1]).is_err());
    }

    proptest! {
        #[test]
        fn any_answer_is_read_or_refused(answer in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = keys(&answer);
            let _ = signature(&answer);
        }

        #[test]
        fn an_answer_that_ends_early_is_refused(cut in any::<prop::sample::Index>()) {
            let whole = identities(&[&key_blob(&key_of_vectors().public())]);
            prop_assert!(keys(&whole[..cut.index(whole.len())]).is_err());
        }
    }
}
