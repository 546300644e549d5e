//! UUIDs in the one form that walwarden writes.

use uuid::Uuid;

/// A UUID in small letters with hyphens. The crate's own reader takes other forms too, so that two texts would mean the same.
pub(crate) fn exact_uuid(text: &str) -> Option<Uuid> {
    Uuid::try_parse(text).ok().filter(|id| id.to_string() == text)
}
