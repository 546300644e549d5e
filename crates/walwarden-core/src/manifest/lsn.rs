//! A position in the write-ahead log, written as PostgreSQL writes its type `pg_lsn`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::error::{Error, Result};

/// A position in the write-ahead log, bytes since its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(pub u64);

impl fmt::Display for Lsn {
    /// The two halves in upper-case hexadecimal without leading zeros, as `pg_lsn_out` does: `16/B374D848`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xffff_ffff)
    }
}

impl FromStr for Lsn {
    type Err = Error;

    /// Reads only the spelling that [`Lsn`] writes, so that one position has one text.
    fn from_str(text: &str) -> Result<Self> {
        let half = |digits: &str| u32::from_str_radix(digits, 16).ok();
        text.split_once('/')
            .and_then(|(high, low)| Some(Self(u64::from(half(high)?) << 32 | u64::from(half(low)?))))
            .filter(|lsn| lsn.to_string() == text)
            .ok_or_else(|| Error::invalid(format!("could not read log position \"{text}\"")))
    }
}

impl Serialize for Lsn {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Lsn {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn written_as_postgresql_does() {
        for (lsn, text) in [(0, "0/0"), (0x16B_3748, "0/16B3748"), (u64::MAX, "FFFFFFFF/FFFFFFFF")] {
            assert_eq!(Lsn(lsn).to_string(), text);
        }
    }

    #[test]
    fn one_spelling_only() {
        for text in ["", "0", "/", "0/", "00/1", "0/01", "0/16b3748", "+0/1", "0/1/2", "100000000/0", "0/ 1"]
        {
            assert!(text.parse::<Lsn>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn reads_back(lsn: u64) {
            prop_assert_eq!(Lsn(lsn).to_string().parse::<Lsn>().unwrap(), Lsn(lsn));
        }
    }
}
