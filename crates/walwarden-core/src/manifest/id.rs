//! Ids in canonical JSON: UUIDs in small letters with hyphens, and in no other form.

use serde::{Deserialize, Deserializer, de};
use uuid::Uuid;

/// For `#[serde(deserialize_with)]`. The crate's own reader takes other forms too, so that two texts would mean the same.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Uuid, D::Error> {
    let text = String::deserialize(deserializer)?;
    Uuid::parse_str(&text)
        .ok()
        .filter(|id| id.to_string() == text)
        .ok_or_else(|| de::Error::custom(format!("\"{text}\" is not a UUID in small letters with hyphens")))
}
