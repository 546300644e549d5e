//! A SHA-256 digest (FIPS 180-4), written as 64 lower-case hexadecimal digits like `sha256sum` does.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

/// A SHA-256 digest.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sha256Sum(pub [u8; 32]);

impl Sha256Sum {
    /// 32 zero bytes: what stands where there is nothing yet to point to.
    pub const ZERO: Self = Self([0; 32]);

    /// The digest of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The digest from its raw bytes, if there are 32.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

impl fmt::Display for Sha256Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Sha256Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Sha256Sum {
    type Err = Error;

    /// Reads exactly 64 lower-case hexadecimal digits; anything else is `InvalidInput`.
    fn from_str(text: &str) -> Result<Self> {
        let mut sum = Self::ZERO;
        match hex::decode_to_slice(text, &mut sum.0) {
            Ok(()) if !text.bytes().any(|byte| byte.is_ascii_uppercase()) => Ok(sum),
            _ => Err(Error::invalid("could not read a SHA-256 digest")
                .detail("It is not 64 lower-case hexadecimal digits.")),
        }
    }
}

impl Serialize for Sha256Sum {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Sha256Sum {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fips_180_4_example() {
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Sha256Sum::of(b"abc").to_string(), abc);
        assert_eq!(abc.parse::<Sha256Sum>().unwrap(), Sha256Sum::of(b"abc"));
        assert_eq!(Sha256Sum::from_slice(&Sha256Sum::of(b"abc").0), Some(Sha256Sum::of(b"abc")));
        assert_eq!(Sha256Sum::from_slice(&[0; 31]), None);
    }

    #[test]
    fn one_spelling_only() {
        let good = Sha256Sum::of(b"abc").to_string();
        for bad in
            [good.to_uppercase(), good[..63].to_owned(), format!("{good}0"), format!("{}g", &good[..63])]
        {
            assert!(bad.parse::<Sha256Sum>().is_err(), "{bad}");
        }
    }
}
