//! Integers in canonical JSON: numbers within what every JSON reader keeps exactly, decimal text beyond.

use serde::{Deserialize, Deserializer, Serializer, de, ser};

/// The largest integer a JSON number may stand for, 2^53-1 (RFC 7493, section 2.2; RFC 8785, appendix D):
/// readers that keep numbers as doubles would change larger ones.
pub(crate) const MAX_INTEGER: u64 = (1 << 53) - 1;

/// A `u64` as a JSON number, for `#[serde(with)]`. Sizes, offsets and counts: 2^53-1 bytes are 8 PiB.
pub(super) mod exact {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(number: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        if *number > MAX_INTEGER {
            return Err(ser::Error::custom(format!("the integer {number} is larger than 2^53-1")));
        }
        serializer.serialize_u64(*number)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        let number = u64::deserialize(deserializer)?;
        if number > MAX_INTEGER {
            return Err(de::Error::custom(format!("the integer {number} is larger than 2^53-1")));
        }
        Ok(number)
    }
}

/// A `u64` as decimal text, for `#[serde(with)]`: for numbers that use all 64 bits.
pub(super) mod decimal_text {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(number: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(number)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse::<u64>()
            .ok()
            .filter(|number| number.to_string() == text)
            .ok_or_else(|| de::Error::custom(format!("\"{text}\" is not an integer of 64 bits in decimal")))
    }
}
