//! The statement by which a key hands over to its successor: canonical JSON, signed by the old key. Whoever believes the old
//! key believes the new one by it, and nobody needs the old secret any more.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorClass, Result};
use crate::key::{PublicKey, SIGNATURE_LENGTH};
use crate::manifest::{canonical, timestamp};
use crate::signature::Signer;

const NAME: &str = "walwarden-key-rotation";
const VERSION: u64 = 1;

/// That one key takes the place of another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRotation {
    /// The key that hands over, and signs this.
    pub old: PublicKey,
    /// The key that signs from then on.
    pub new: PublicKey,
    /// When, by the clock of the server.
    pub at: DateTime<Utc>,
}

/// A rotation with the bytes that were signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedRotation {
    /// What the statement says.
    pub rotation: KeyRotation,
    /// Its canonical JSON.
    pub statement: String,
    /// The raw signature of the old key over exactly these bytes.
    pub signature: [u8; SIGNATURE_LENGTH],
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Statement {
    format: Format,
    old: NamedKey,
    new: NamedKey,
    #[serde(with = "timestamp")]
    at: DateTime<Utc>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Format {
    name: String,
    version: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NamedKey {
    key_id: String,
    public_key: String,
}

impl NamedKey {
    fn of(key: &PublicKey) -> Result<Self> {
        Ok(Self { key_id: key.key_id(), public_key: key.to_pem()? })
    }

    fn read(&self) -> Result<PublicKey> {
        let key =
            PublicKey::from_pem(&self.public_key).map_err(|_| refused("It holds what is no public key."))?;
        if key.key_id() == self.key_id && key.to_pem()? == self.public_key {
            return Ok(key);
        }
        Err(refused("It gives a key another key's id, or another spelling."))
    }
}

impl KeyRotation {
    /// The statement, signed by the old key.
    ///
    /// # Errors
    /// `Internal` when both keys are the same, the signer is not the old one, or the time cannot be written; `Key` as
    /// [`Signer::sign`].
    pub fn sign(&self, signer: &dyn Signer) -> Result<SignedRotation> {
        if self.old == self.new || signer.public() != self.old {
            return Err(Error::internal("a key rotation is to be signed by another key than the old one"));
        }
        let statement = Statement {
            format: Format { name: NAME.to_owned(), version: VERSION },
            old: NamedKey::of(&self.old)?,
            new: NamedKey::of(&self.new)?,
            at: self.at,
        };
        let value = serde_json::to_value(statement)
            .map_err(|cause| Error::internal("could not encode a key rotation").detail(cause.to_string()))?;
        let statement = canonical::encode(&value)?;
        let signature = signer.sign(statement.as_bytes())?;
        SignedRotation::read(statement.as_bytes(), &signature)
    }
}

impl SignedRotation {
    /// Reads a statement and believes it only if the old key that it names has signed it. Whether that key is to be believed is
    /// for the caller to know.
    ///
    /// # Errors
    /// `Key` when it is not exactly what [`KeyRotation::sign`] makes, or the signature is not of these bytes.
    pub fn read(statement: &[u8], signature: &[u8]) -> Result<Self> {
        let value = canonical::decode(statement)
            .map_err(|error| refused(error.detail.as_deref().unwrap_or(&error.message)))?;
        let parsed: Statement =
            serde_json::from_value(value).map_err(|cause| refused(&format!("{cause}.")))?;
        if parsed.format.name != NAME || parsed.format.version != VERSION {
            return Err(refused("It has another format."));
        }
        let rotation = KeyRotation { old: parsed.old.read()?, new: parsed.new.read()?, at: parsed.at };
        if rotation.old == rotation.new {
            return Err(refused("It names the same key twice."));
        }
        rotation
            .old
            .verify_strict(statement, signature)
            .map_err(|_| refused(&format!("Key {} has not signed it.", rotation.old.key_id())))?;
        let signature = signature.try_into().map_err(|_| refused("Its signature does not have 64 bytes."))?;
        let statement = std::str::from_utf8(statement).map_err(|_| refused("It is not text."))?.to_owned();
        Ok(Self { rotation, statement, signature })
    }
}

fn refused(why: &str) -> Error {
    Error::new(ErrorClass::Key, "could not believe the statement of a key rotation").detail(why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::SigningKey;
    use proptest::prelude::*;

    fn key(seed: u8) -> SigningKey {
        SigningKey::generate([seed; 32])
    }

    fn signed() -> SignedRotation {
        let at = timestamp::parse("2027-01-15T08:00:00.000120Z").unwrap();
        KeyRotation { old: key(1).public(), new: key(2).public(), at }.sign(&key(1)).unwrap()
    }

    #[test]
    fn it_reads_back() {
        let signed = signed();
        assert_eq!(SignedRotation::read(signed.statement.as_bytes(), &signed.signature).unwrap(), signed);
        assert_eq!(
            signed.statement,
            "{\"at\":\"2027-01-15T08:00:00.000120Z\",\
             \"format\":{\"name\":\"walwarden-key-rotation\",\"version\":1},\
             \"new\":{\"key_id\":\"6a3803d5f059902a\",\"public_key\":\"-----BEGIN PUBLIC KEY-----\\n\
             MCowBQYDK2VwAyEAgTl3Dqh9F19Wo1Rmw0x+zMuNipG07jeiXfYPW4/Js5Q=\\n-----END PUBLIC KEY-----\\n\"},\
             \"old\":{\"key_id\":\"34750f98bd59fcfc\",\"public_key\":\"-----BEGIN PUBLIC KEY-----\\n\
             MCowBQYDK2VwAyEAiojj3XQJ8ZX9UtstPLpdcspnCb8dlBIb83SIAbQPb1w=\\n-----END PUBLIC KEY-----\\n\"}}"
        );
    }

    #[test]
    fn only_the_old_key_signs() {
        let SignedRotation { rotation, statement, .. } = signed();
        assert!(rotation.sign(&key(2)).is_err());
        for other in [key(2), key(3)] {
            let signature = other.sign(statement.as_bytes());
            assert_eq!(
                SignedRotation::read(statement.as_bytes(), &signature).unwrap_err().class,
                ErrorClass::Key
            );
        }
    }

    #[test]
    fn a_key_does_not_follow_itself() {
        let rotation = KeyRotation { old: key(1).public(), new: key(1).public(), at: DateTime::UNIX_EPOCH };
        assert!(rotation.sign(&key(1)).is_err());
    }

    /// Signed by the old key all the same.
    #[test]
    fn every_other_form_is_refused() {
        let good = signed().statement;
        let pem_of_other = key(3).public().to_pem().unwrap().replace('\n', "\\n");
        let pem_of_new = key(2).public().to_pem().unwrap().replace('\n', "\\n");
        for bad in [
            good.replace("\"version\":1", "\"version\":2"),
            good.replace("key-rotation", "manifest"),
            good.replace("\"at\"", "\"a\":1,\"at\""),
            good.replace("{\"at\"", "{ \"at\""),
            good.replace("6a3803d5f059902a", "6a3803d5f059902b"),
            good.replace(&pem_of_new, &pem_of_other),
            good.replace("000120Z", "00012Z"),
            good.replace("-----\\n\"}}", "-----\"}}"),
            String::new(),
            "null".to_owned(),
        ] {
            assert_ne!(bad, good);
            let signature = key(1).sign(bad.as_bytes());
            let error = SignedRotation::read(bad.as_bytes(), &signature).unwrap_err();
            assert_eq!(error.class, ErrorClass::Key, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_flipped_bit_is_found(at: prop::sample::Index, bit in 0..8_u32) {
            let SignedRotation { statement, mut signature, .. } = signed();
            let mut bytes = statement.clone().into_bytes();
            let place = at.index(bytes.len());
            bytes[place] ^= 1 << bit;
            prop_assert!(SignedRotation::read(&bytes, &signature).is_err());
            let place = at.index(SIGNATURE_LENGTH);
            signature[place] ^= 1 << bit;
            prop_assert!(SignedRotation::read(statement.as_bytes(), &signature).is_err());
        }
    }
}
