//! Which object keys this crate accepts: relative, plain, and never able to leave the storage's own root.

use walwarden_core::{Error, Result};

/// S3 allows 1,024 bytes for prefix and key together; 512 leaves room for any prefix.
const MAX_KEY_LENGTH: usize = 512;

/// File systems allow 255 bytes in a name; the staged file of an upload needs 50 of them.
const MAX_SEGMENT_LENGTH: usize = 200;

/// Whether `segment` can stand between two slashes of a key: 1 to 200 of `A-Z a-z 0-9 . _ -`, and neither `.` nor `..`.
pub(crate) fn is_plain_segment(segment: &str) -> bool {
    !segment.is_empty()
        && segment.len() <= MAX_SEGMENT_LENGTH
        && segment != "."
        && segment != ".."
        && segment.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

/// Refuses a key that is not made of plain segments, or whose last one begins with a dot (such names are staged files).
///
/// Keys may come from a manifest found in storage, so they are judged as foreign input.
pub(crate) fn validate_key(key: &str) -> Result<()> {
    let name = key.rsplit('/').next().unwrap_or_default();
    if key.len() <= MAX_KEY_LENGTH && key.split('/').all(is_plain_segment) && !name.starts_with('.') {
        return Ok(());
    }
    Err(Error::invalid("object key cannot be used").detail(format!(
        "The key {:?} is not a relative path of plain names.",
        key.chars().take(MAX_KEY_LENGTH).collect::<String>()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_stay_below_the_root() {
        for good in ["a", "org/x/db/y.dump", ".walwarden-check/b", "a..b/c"] {
            assert!(validate_key(good).is_ok(), "{good}");
        }
        let long = "x".repeat(201);
        for bad in [
            "", "/a", "a/", "a//b", "../a", "a/../b", "a/.", "a b", "a\nb", "a/.b", "a\\b", "ä", "a%2f",
            &long,
        ] {
            assert!(validate_key(bad).is_err(), "{bad:?}");
        }
    }
}
