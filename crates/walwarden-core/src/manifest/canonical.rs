//! The one byte encoding: RFC 8785 canonical JSON, narrowed to what every reader understands alike.
//!
//! Strings, integers within ±(2^53-1), booleans, arrays and objects; no fractions, no null, no U+0000
//! (PostgreSQL's `jsonb` has none) and no nesting deeper than [`MAX_DEPTH`]. Audit entries use the same
//! encoding.

use serde::Deserialize;
use serde_json::{Number, Value};

use super::integer::MAX_INTEGER;
use super::model::{Format, Manifest};
use crate::error::{Error, ErrorClass, Result};

/// How deep arrays and objects may be nested.
pub const MAX_DEPTH: usize = 32;

/// The bytes of a manifest: what is stored, hashed and signed.
///
/// # Errors
/// `Internal` when the manifest contradicts itself or holds a number or time that cannot be written.
pub fn to_canonical_bytes(manifest: &Manifest) -> Result<Vec<u8>> {
    let refused = |why: String| Error::internal("could not encode the manifest").detail(why);
    manifest.check_consistency().map_err(|why| refused(format!("It contradicts itself: {why}.")))?;
    let bytes = serde_json_canonicalizer::to_vec(manifest).map_err(|error| refused(format!("{error}.")))?;
    if may_hold_nul(&bytes) {
        decode(&bytes).map_err(|error| refused(error.detail.unwrap_or(error.message)))?;
    }
    Ok(bytes)
}

/// Whether text in these canonical bytes may hold U+0000: it is the only escape of that form, but a backslash
/// before it may be data.
fn may_hold_nul(bytes: &[u8]) -> bool {
    const ESCAPE: &[u8] = br"\u0000";
    bytes.windows(ESCAPE.len()).any(|window| window == ESCAPE)
}

/// Reads the bytes of a manifest, refusing any that [`to_canonical_bytes`] would not have written: other
/// spacing or order of keys, repeated keys, other spellings of numbers or strings. Fields it does not know
/// are passed over.
///
/// It proves nothing about who wrote them: check the signature over the same bytes first.
///
/// # Errors
/// `Archive` when the bytes are not a manifest, are of another format version, are not canonical, or
/// contradict themselves.
pub fn parse(bytes: &[u8]) -> Result<Manifest> {
    check_format(bytes)?;
    let manifest: Manifest = serde_json::from_slice(bytes).map_err(malformed)?;
    // A manifest without unknown fields encodes to the very same bytes; only others need the slow way.
    let encodes_alike = serde_json_canonicalizer::to_vec(&manifest).is_ok_and(|again| again == bytes);
    if !encodes_alike || may_hold_nul(bytes) {
        decode(bytes).map_err(|error| refused(error.detail.unwrap_or(error.message)))?;
    }
    manifest.check_consistency().map_err(|why| refused(format!("It contradicts itself: {why}.")))?;
    Ok(manifest)
}

/// Looks at the format alone, because another version may have nothing else in common.
fn check_format(bytes: &[u8]) -> Result<()> {
    #[derive(Deserialize)]
    struct Envelope {
        format: Format,
    }
    let Envelope { format } = serde_json::from_slice(bytes).map_err(malformed)?;
    if format.name != Format::NAME {
        return Err(refused(format!("Its format is \"{}\", not \"{}\".", format.name, Format::NAME)));
    }
    if format.version != Format::VERSION {
        let hint = "Use the version of walwarden that wrote the backup, or a newer one; pg_restore reads the \
                    archive itself in any case.";
        return Err(refused(format!(
            "It has format version {}; this version of walwarden reads version {}.",
            format.version,
            Format::VERSION
        ))
        .hint(hint));
    }
    Ok(())
}

fn refused(why: String) -> Error {
    Error::new(ErrorClass::Archive, "could not read the manifest").detail(why)
}

fn malformed(error: serde_json::Error) -> Error {
    refused(format!("It does not have the form of a manifest: {error}."))
}

/// The canonical text of a value.
///
/// # Errors
/// `Internal` when it holds something that the encoding excludes.
pub fn encode(value: &Value) -> Result<String> {
    let refused = |why: String| Error::internal("could not encode a value as canonical JSON").detail(why);
    check_allowed(value, 0).map_err(|why| refused(format!("It cannot be written: {why}.")))?;
    serde_json_canonicalizer::to_string(value).map_err(|error| refused(format!("{error}.")))
}

/// The value of a canonical text.
///
/// # Errors
/// `Archive` when the bytes are not JSON, hold something that the encoding excludes, or are not what
/// [`encode`] makes of their value. Repeated keys are found by that, because only one of them reaches the
/// value.
pub fn decode(bytes: &[u8]) -> Result<Value> {
    let refused = |why: String| Error::new(ErrorClass::Archive, "could not read canonical JSON").detail(why);
    let value: Value =
        serde_json::from_slice(bytes).map_err(|error| refused(format!("It is not JSON: {error}.")))?;
    check_allowed(&value, 0)
        .map_err(|why| refused(format!("It holds what the encoding excludes: {why}.")))?;
    let again = serde_json_canonicalizer::to_vec(&value).map_err(|error| refused(format!("{error}.")))?;
    if again != bytes {
        let at = again.iter().zip(bytes).take_while(|(one, other)| one == other).count();
        return Err(refused(format!("It is not in the canonical form of RFC 8785, from byte {at} on.")));
    }
    Ok(value)
}

/// Whether the encoding has this value; the reason names the place.
fn check_allowed(value: &Value, depth: usize) -> std::result::Result<(), String> {
    if depth > MAX_DEPTH {
        return Err(format!("it is nested deeper than {MAX_DEPTH} levels"));
    }
    match value {
        Value::Bool(_) => Ok(()),
        Value::Null => Err("it is null".to_owned()),
        Value::Number(number) if is_exact(number) => Ok(()),
        Value::Number(number) => Err(format!("the number {number} is not an integer within 2^53-1")),
        Value::String(text) => check_text(text),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .try_for_each(|(at, item)| check_allowed(item, depth + 1).map_err(|why| format!("[{at}] {why}"))),
        Value::Object(fields) => fields.iter().try_for_each(|(key, field)| {
            check_text(key)?;
            check_allowed(field, depth + 1).map_err(|why| format!("{key}: {why}"))
        }),
    }
}

fn is_exact(number: &Number) -> bool {
    // A fraction is neither, even one without digits after the point.
    number.as_u64().or_else(|| number.as_i64().map(i64::unsigned_abs)).is_some_and(|size| size <= MAX_INTEGER)
}

fn check_text(text: &str) -> std::result::Result<(), String> {
    if text.contains('\0') { Err("the text holds the character U+0000".to_owned()) } else { Ok(()) }
}
