//! Ids in canonical JSON: UUIDs in small letters with hyphens, and in no other form.

use serde::{Deserialize, Deserializer, de};
use uuid::Uuid;

use crate::exact_uuid::exact_uuid;

/// For `#[serde(deserialize_with)]`.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Uuid, D::Error> {
    let text = String::deserialize(deserializer)?;
    exact_uuid(&text)
        .ok_or_else(|| de::Error::custom(format!("\"{text}\" is not a UUID in small letters with hyphens")))
}
