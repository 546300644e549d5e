//! C2SP signed notes: a text and lines of signatures over it, as checkpoints of the audit log are kept.
//!
//! The format is that of c2sp.org/signed-note. What is signed is the text, its last newline included, so
//! `openssl` can check a line once text and signature are cut apart.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use crate::error::{Error, ErrorClass, Result};
use crate::key::{PublicKey, SIGNATURE_LENGTH, SigningKey};

/// The name of walwarden's keys in notes.
pub const KEY_NAME: &str = "walwarden";

/// How many signatures a note may carry: as many as the format demands of a reader.
pub const MAX_SIGNATURES: usize = 16;

/// How long a note may be, bytes: much more than 16 signatures of any kind need.
pub const MAX_LENGTH: usize = 1 << 20;

/// Which kind of signature a key makes; here Ed25519 over the text.
const ED25519: u8 = 0x01;

/// A note. Its parts have the form that the format demands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedNote {
    /// What was signed: ends in a newline.
    pub text: String,
    /// The signatures, in their order; at least one.
    pub signatures: Vec<NoteSignature>,
}

/// One line of signature. Who made it is a claim until it was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoteSignature {
    /// The name of the key.
    pub name: String,
    /// Which key of that name, see [`key_hash`].
    pub key_hash: [u8; 4],
    /// The signature itself; 64 bytes if it is Ed25519.
    pub signature: Vec<u8>,
}

/// What tells keys apart in notes: the first four bytes of `SHA-256(name || "\n" || 0x01 || 32-byte key)`.
pub fn key_hash(name: &str, key: &PublicKey) -> [u8; 4] {
    let hash = Sha256::new()
        .chain_update(name)
        .chain_update([b'\n', ED25519])
        .chain_update(key.to_bytes())
        .finalize();
    [hash[0], hash[1], hash[2], hash[3]]
}

/// The key as programs for such notes take it: `name+hash+key`.
pub fn verifier_key(name: &str, key: &PublicKey) -> String {
    let raw = [&[ED25519][..], &key.to_bytes()].concat();
    format!("{name}+{}+{}", hex::encode(key_hash(name, key)), STANDARD.encode(raw))
}

/// The note of a text and its signature.
///
/// # Errors
/// `Internal` when text or name have no place in a note.
pub fn sign(text: &str, name: &str, key: &SigningKey) -> Result<SignedNote> {
    compose(text, name, &key.public(), key.sign(text.as_bytes()))
}

/// The note of a text that was signed elsewhere. Whether the signature is right is for
/// [`SignedNote::verify`] to say.
///
/// # Errors
/// `Internal` when text or name have no place in a note.
pub fn compose(
    text: &str,
    name: &str,
    key: &PublicKey,
    signature: [u8; SIGNATURE_LENGTH],
) -> Result<SignedNote> {
    let refused = |why: &str| Error::internal("could not write a signed note").detail(why);
    check_text(text).map_err(refused)?;
    check_name(name).map_err(refused)?;
    let line =
        NoteSignature { name: name.to_owned(), key_hash: key_hash(name, key), signature: signature.to_vec() };
    let note = SignedNote { text: text.to_owned(), signatures: vec![line] };
    if note.to_text().len() > MAX_LENGTH {
        return Err(refused("It is too long."));
    }
    Ok(note)
}

impl SignedNote {
    /// Reads a note. It proves nothing until it was [verified](Self::verify).
    ///
    /// # Errors
    /// `Archive` when the bytes are not a note, the detail saying why.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        Self::read(bytes)
            .map_err(|why| Error::new(ErrorClass::Archive, "could not read a signed note").detail(why))
    }

    fn read(bytes: &[u8]) -> Result<Self, &'static str> {
        if bytes.len() > MAX_LENGTH {
            return Err("It is too long.");
        }
        let note = str::from_utf8(bytes).map_err(|_| "It is not UTF-8.")?;
        let end_of_text = note.rfind("\n\n").ok_or("No blank line ends its text.")? + 1;
        let (text, signatures) = (&note[..end_of_text], &note[end_of_text + 1..]);
        check_text(text)?;
        let signatures = signatures.strip_suffix('\n').ok_or("It does not end in a line of signature.")?;
        // One more than allowed is enough to know.
        let lines: Vec<&str> = signatures.split('\n').take(MAX_SIGNATURES + 1).collect();
        if lines.len() > MAX_SIGNATURES {
            return Err("It has more than 16 signatures.");
        }
        let signatures: Vec<NoteSignature> =
            lines.into_iter().map(NoteSignature::read).collect::<Result<_, _>>()?;
        let repeated = |at: usize| signatures[..at].contains(&signatures[at]);
        if (0..signatures.len()).any(repeated) {
            return Err("A signature stands in it twice.");
        }
        Ok(Self { text: text.to_owned(), signatures })
    }

    /// The bytes of the note.
    pub fn to_text(&self) -> String {
        let mut note = format!("{}\n", self.text);
        for line in &self.signatures {
            let raw = [&line.key_hash[..], &line.signature].concat();
            // Writing to a string cannot fail.
            let _ = writeln!(note, "\u{2014} {} {}", line.name, STANDARD.encode(raw));
        }
        note
    }

    /// Checks the signatures by keys named [`KEY_NAME`] and returns the key that signed, by the first line of
    /// one of these. Lines by other keys are passed over; they may be those of witnesses.
    ///
    /// # Errors
    /// `Key` when none of the keys signed; `StorageCorrupt` when one of them is named and the signature is not
    /// by it over this text, whatever other lines say.
    pub fn verify<'a>(&self, keys: &'a [PublicKey]) -> Result<&'a PublicKey> {
        let mut signed_by = None;
        for line in self.signatures.iter().filter(|line| line.name == KEY_NAME) {
            let known = keys.iter().filter(|key| key_hash(KEY_NAME, key) == line.key_hash);
            // Four bytes may be the same for two keys; then either may have signed.
            let mut outcome = None;
            for key in known {
                let verified = key.verify_strict(self.text.as_bytes(), &line.signature).map(|()| key);
                if outcome.as_ref().is_none_or(Result::is_err) {
                    outcome = Some(verified);
                }
            }
            let key = outcome.transpose()?;
            signed_by = signed_by.or(key);
        }
        signed_by.ok_or_else(|| {
            Error::new(ErrorClass::Key, "could not verify a signed note")
                .detail("None of the keys that are known signed it.")
                .hint("Give the public key of its time: keys that were rotated away still verify what they signed.")
        })
    }
}

impl NoteSignature {
    fn read(line: &str) -> Result<Self, &'static str> {
        let form = "A line of signature is not a dash, a name and a signature.";
        let (name, encoded) =
            line.strip_prefix("\u{2014} ").and_then(|line| line.split_once(' ')).ok_or(form)?;
        check_name(name)?;
        let raw = STANDARD.decode(encoded).map_err(|_| "A signature is not base64.")?;
        match raw.split_first_chunk::<4>() {
            Some((key_hash, signature @ [_, ..])) => {
                Ok(Self { name: name.to_owned(), key_hash: *key_hash, signature: signature.to_vec() })
            }
            _ => Err("A signature is too short."),
        }
    }
}

fn check_text(text: &str) -> Result<(), &'static str> {
    if !text.ends_with('\n') {
        return Err("Its text does not end in a newline.");
    }
    if text.bytes().any(|byte| byte < b' ' && byte != b'\n') {
        return Err("It holds a control character.");
    }
    Ok(())
}

fn check_name(name: &str) -> Result<(), &'static str> {
    let foreign = |c: char| c.is_whitespace() || c.is_control() || c == '+';
    if name.is_empty() || name.contains(foreign) { Err("The name of a key is none.") } else { Ok(()) }
}
