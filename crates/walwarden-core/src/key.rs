//! The Ed25519 key that signs manifests and checkpoints, in the two file forms `openssl` reads and writes.
//!
//! Signatures are plain Ed25519 (RFC 8032, section 5.1): 64 bytes over the message itself, so
//! `openssl pkeyutl -verify -pubin -inkey KEY.pem -rawin -in FILE -sigfile FILE.sig` accepts them.

use std::fmt;

use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{
    DecodePrivateKey, DecodePublicKey, EncodePrivateKey, EncodePublicKey, KeypairBytes,
};
use ed25519_dalek::{Signature, Signer};
use sha2::{Digest, Sha256};

use crate::error::{Error, ErrorClass, Result};

/// A string whose memory is overwritten when it is dropped.
pub use ed25519_dalek::pkcs8::spki::der::zeroize::Zeroizing;

/// The length of a signature, bytes.
pub const SIGNATURE_LENGTH: usize = 64;

/// The secret half. Its memory is overwritten when it is dropped, and `Debug` shows the key id only.
#[derive(Clone)]
pub struct SigningKey(ed25519_dalek::SigningKey);

impl SigningKey {
    /// The key made from 32 bytes that the caller took from the operating system's random source.
    pub fn generate(seed: [u8; 32]) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(&Zeroizing::new(seed)))
    }

    /// Reads a PKCS#8 private key in PEM (RFC 5958, RFC 8410), as `openssl genpkey -algorithm ed25519` writes
    /// it.
    ///
    /// # Errors
    /// `Key` when the text is no such key, is encrypted, or carries a public half that does not belong to it.
    pub fn from_pem(pem: &str) -> Result<Self> {
        // The cause is left out: a parser's message may quote what it read.
        ed25519_dalek::SigningKey::from_pkcs8_pem(pem).map(Self).map_err(|_| {
            Error::new(ErrorClass::Key, "could not read the signing key")
                .detail("The text is not an unencrypted Ed25519 private key in PKCS#8 PEM form.")
                .hint("Restore the key file from a copy, or rotate the key.")
        })
    }

    /// The secret key as PKCS#8 PEM, for a file of mode 0600.
    ///
    /// It is the version 1 form without the public half: OpenSSL 3.0 refuses version 2 (RFC 5958).
    ///
    /// # Errors
    /// `Internal` when the encoder refuses, which a key of fixed length gives it no reason to.
    pub fn to_pem(&self) -> Result<Zeroizing<String>> {
        KeypairBytes { secret_key: self.0.to_bytes(), public_key: None }
            .to_pkcs8_pem(LineEnding::LF)
            .map_err(|_| Error::internal("could not encode the signing key"))
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    /// The signature over exactly these bytes. Ed25519 is deterministic: the same bytes give the same
    /// signature.
    pub fn sign(&self, message: &[u8]) -> [u8; SIGNATURE_LENGTH] {
        self.0.sign(message).to_bytes()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("key_id", &self.public().key_id()).finish_non_exhaustive()
    }
}

/// The public half: all that an auditor needs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(ed25519_dalek::VerifyingKey);

impl PublicKey {
    /// The key from its 32 raw bytes (RFC 8032, section 5.1.5).
    ///
    /// # Errors
    /// `Key` when they are no point of the curve, or one of small order, under which anything verifies.
    pub fn from_bytes(raw: &[u8; 32]) -> Result<Self> {
        let key = ed25519_dalek::VerifyingKey::from_bytes(raw).map_err(|_| unreadable_public_key())?;
        Self::unless_weak(key)
    }

    /// Reads a SubjectPublicKeyInfo in PEM (RFC 8410), as `openssl pkey -pubout` writes it, with blank lines around it or none:
    /// psql adds one.
    ///
    /// # Errors
    /// `Key` when the text is no such key or the key is weak, see [`PublicKey::from_bytes`].
    pub fn from_pem(pem: &str) -> Result<Self> {
        let key = ed25519_dalek::VerifyingKey::from_public_key_pem(pem.trim())
            .map_err(|_| unreadable_public_key())?;
        Self::unless_weak(key)
    }

    fn unless_weak(key: ed25519_dalek::VerifyingKey) -> Result<Self> {
        if key.is_weak() { Err(unreadable_public_key()) } else { Ok(Self(key)) }
    }

    /// The key as SubjectPublicKeyInfo PEM, which `openssl pkey -pubin` reads.
    ///
    /// # Errors
    /// `Internal` when the encoder refuses, which a key of fixed length gives it no reason to.
    pub fn to_pem(&self) -> Result<String> {
        self.0
            .to_public_key_pem(LineEnding::LF)
            .map_err(|_| Error::internal("could not encode the public key"))
    }

    /// The 32 raw bytes (RFC 8032, section 5.1.5).
    pub fn to_bytes(&self) -> [u8; 32] {
        self.0.to_bytes()
    }

    /// The name of the key in manifests and in the audit log: the first 16 hexadecimal digits of the SHA-256
    /// of the 32 raw bytes. It tells keys apart; it is no proof of anything.
    pub fn key_id(&self) -> String {
        hex::encode(self.key_number())
    }

    /// The eight bytes that [`PublicKey::key_id`] writes, first to last.
    pub fn key_number(&self) -> [u8; 8] {
        let digest: [u8; 32] = Sha256::digest(self.0.as_bytes()).into();
        let mut number = [0; 8];
        number.copy_from_slice(&digest[..8]);
        number
    }

    /// Checks a signature over exactly these bytes, refusing the malleable and small-order forms that RFC
    /// 8032 leaves to the implementation.
    ///
    /// # Errors
    /// `StorageCorrupt` when the signature is not 64 bytes, or is not by this key over these bytes.
    pub fn verify_strict(&self, message: &[u8], signature: &[u8]) -> Result<()> {
        let refused = || {
            Error::new(ErrorClass::StorageCorrupt, "could not verify the signature").hint(
                "The signed bytes were changed, or another key signed them: compare the key id they name.",
            )
        };
        let signature = Signature::from_slice(signature).map_err(|_| {
            refused().detail(format!("A signature has 64 bytes; this one has {}.", signature.len()))
        })?;
        self.0
            .verify_strict(message, &signature)
            .map_err(|_| refused().detail(format!("It is not a signature by key {}.", self.key_id())))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", hex::encode(self.0.as_bytes()))
    }
}

fn unreadable_public_key() -> Error {
    Error::new(ErrorClass::Key, "could not read the public key")
        .detail("It is not a usable Ed25519 public key in SubjectPublicKeyInfo PEM form.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// RFC 8032, section 7.1, tests 1, 2, 3 and SHA(abc): secret, public, message, signature.
    const RFC_8032: [[&str; 4]; 4] = [
        [
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        ],
        [
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        ],
        [
            "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
            "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
            "af82",
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
        ],
        [
            "833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
            "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
            "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
            "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17ad9bef1177331a704",
        ],
    ];

    fn key(secret: &str) -> SigningKey {
        SigningKey::generate(hex::decode(secret).unwrap().try_into().unwrap())
    }

    #[test]
    fn rfc_8032_vectors() {
        for [secret, public, message, signature] in RFC_8032 {
            let key = key(secret);
            let message = hex::decode(message).unwrap();
            assert_eq!(hex::encode(key.public().to_bytes()), public);
            assert_eq!(hex::encode(key.sign(&message)), signature);
            key.public().verify_strict(&message, &hex::decode(signature).unwrap()).unwrap();
        }
    }

    #[test]
    fn public_pem_is_the_one_of_rfc_8410() {
        // RFC 8410, sections 10.1 and 10.3: the same key pair.
        let secret = "-----BEGIN PRIVATE KEY-----\n\
            MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
            -----END PRIVATE KEY-----\n";
        let public = "-----BEGIN PUBLIC KEY-----\n\
            MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n\
            -----END PUBLIC KEY-----\n";
        let key = SigningKey::from_pem(secret).unwrap();
        assert_eq!(key.public().to_pem().unwrap(), public);
        assert_eq!(*key.to_pem().unwrap(), secret, "version 1, without the public half");
        assert_eq!(PublicKey::from_pem(public).unwrap(), key.public());
    }

    #[test]
    fn a_public_key_is_read_as_psql_prints_it() {
        let key = key(RFC_8032[0][0]).public();
        let pem = key.to_pem().unwrap();
        for text in [format!("{pem}\n"), format!("\n{pem}\r\n"), pem.trim_end().to_owned()] {
            assert_eq!(PublicKey::from_pem(&text).unwrap(), key, "{text:?}");
        }
        assert!(PublicKey::from_pem(&format!("{pem}{pem}")).is_err());
    }

    #[test]
    fn a_key_with_a_public_half_is_read_and_checked() {
        let key = key(RFC_8032[0][0]);
        let pem = key.0.to_pkcs8_pem(LineEnding::LF).unwrap();
        assert_eq!(SigningKey::from_pem(&pem).unwrap().public(), key.public());

        let foreign = KeypairBytes {
            secret_key: key.0.to_bytes(),
            public_key: KeypairBytes::from(&self::key(RFC_8032[1][0]).0).public_key,
        };
        let error = SigningKey::from_pem(&foreign.to_pkcs8_pem(LineEnding::LF).unwrap()).unwrap_err();
        assert_eq!(error.class, ErrorClass::Key);
    }

    #[test]
    fn key_id_is_sixteen_digits_of_the_hash() {
        // printf '\xd7\x5a...' | sha256sum
        assert_eq!(key(RFC_8032[0][0]).public().key_id(), "21fe31dfa154a261");
    }

    #[test]
    fn nothing_printable_shows_the_secret() {
        let [secret, ..] = RFC_8032[0];
        let key = key(secret);
        let shown = format!("{key:?} {key:#?}");
        assert!(shown.contains(&key.public().key_id()));
        assert!(!shown.contains(&secret[..8]), "{shown}");
        assert!(!shown.contains("157, 97"), "{shown}");

        // A damaged key must not be quoted in the error.
        let damaged = key.to_pem().unwrap().replace("PRIVATE", "PRIVATF");
        let error = format!("{:?}", SigningKey::from_pem(&damaged).unwrap_err());
        assert!(!error.contains("MC4CAQAw"), "{error}");
    }

    #[test]
    fn unusable_keys_are_refused() {
        let small_order = [0u8; 32]; // y = 0: a point of order 4
        let mut off_curve = [0u8; 32]; // y = 2: no x belongs to it
        off_curve[0] = 2;
        for raw in [small_order, off_curve] {
            assert_eq!(PublicKey::from_bytes(&raw).unwrap_err().class, ErrorClass::Key);
        }
        for pem in ["", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"] {
            assert_eq!(PublicKey::from_pem(pem).unwrap_err().class, ErrorClass::Key);
            assert_eq!(SigningKey::from_pem(pem).unwrap_err().class, ErrorClass::Key);
        }
        // An RSA or X25519 key in the right wrapping is still not a signing key (RFC 8410, X25519 is
        // 1.3.101.110).
        let x25519 = "-----BEGIN PUBLIC KEY-----\n\
            MCowBQYDK2VuAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n\
            -----END PUBLIC KEY-----\n";
        assert_eq!(PublicKey::from_pem(x25519).unwrap_err().class, ErrorClass::Key);
    }

    #[test]
    fn signatures_of_the_wrong_length_are_refused() {
        let key = key(RFC_8032[0][0]);
        let signature = key.sign(b"manifest");
        for wrong in [&signature[..63], &[&signature[..], b"\n"].concat(), b""] {
            let error = key.public().verify_strict(b"manifest", wrong).unwrap_err();
            assert_eq!(error.class, ErrorClass::StorageCorrupt);
        }
    }

    proptest! {
        #[test]
        fn pem_reads_back(seed: [u8; 32]) {
            let key = SigningKey::generate(seed);
            let again = SigningKey::from_pem(&key.to_pem().unwrap()).unwrap();
            prop_assert_eq!(again.0.to_bytes(), seed);
            let public = PublicKey::from_pem(&key.public().to_pem().unwrap()).unwrap();
            prop_assert_eq!(public, key.public());
            prop_assert_eq!(PublicKey::from_bytes(&public.to_bytes()).unwrap(), public);
        }

        #[test]
        fn any_flipped_bit_is_found(
            seed: [u8; 32], message in prop::collection::vec(any::<u8>(), 1..64), at: prop::sample::Index,
        ) {
            let key = SigningKey::generate(seed);
            let mut signature = key.sign(&message);
            key.public().verify_strict(&message, &signature).unwrap();

            let mut other = message.clone();
            other[at.index(message.len())] ^= 1;
            prop_assert!(key.public().verify_strict(&other, &signature).is_err());

            signature[at.index(SIGNATURE_LENGTH)] ^= 0x10;
            prop_assert!(key.public().verify_strict(&message, &signature).is_err());
        }
    }
}
