//! Encryption by the storage service itself, "at rest".

use serde_json::{Map, Value};
use walwarden_core::Result;

use super::values::{boolean, choice, impossible, invalid, is_given, text};

/// The longest id of a KMS key: of an alias in an ARN.
const MAX_KEY_ID: usize = 512;

/// How S3 encrypts what it stores ("Protecting data with server-side encryption", Amazon S3 User Guide).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Encryption {
    /// SSE-S3: with a key that the service keeps.
    Service,
    /// SSE-KMS: with a key of the Key Management Service.
    Kms {
        /// Id, alias or ARN of the key; none means the account's own.
        key_id: Option<String>,
        /// Whether KMS is asked once for a bucket instead of once for an object; none means what the bucket says.
        bucket_key: Option<bool>,
    },
    /// DSSE-KMS: twice, with a key of the Key Management Service.
    DoubleKms {
        /// Id, alias or ARN of the key; none means the account's own.
        key_id: Option<String>,
    },
    /// SSE-C: with a key that goes along with every request. It is in the profile, as `sse_customer_key`.
    Customer,
}

#[derive(Clone, Copy)]
enum Kind {
    Service,
    Kms,
    DoubleKms,
    Customer,
}

pub(super) fn parse(object: &Map<String, Value>) -> Result<Option<Encryption>> {
    const KINDS: [(&str, Kind); 4] = [
        ("AES256", Kind::Service),
        ("aws:kms", Kind::Kms),
        ("aws:kms:dsse", Kind::DoubleKms),
        ("customer", Kind::Customer),
    ];
    let kind = choice(object, "sse", &KINDS)?;
    let key_id = key_id(object)?;
    let bucket_key = boolean(object, "sse_bucket_key")?;
    if key_id.is_some() && !matches!(kind, Some(Kind::Kms | Kind::DoubleKms)) {
        return Err(impossible("sse_kms_key_id", "It belongs to \"sse\" = \"aws:kms\" or \"aws:kms:dsse\"."));
    }
    // Amazon: "S3 Bucket Keys aren't supported for DSSE-KMS".
    if bucket_key.is_some() && !matches!(kind, Some(Kind::Kms)) {
        return Err(impossible("sse_bucket_key", "It belongs to \"sse\" = \"aws:kms\"."));
    }
    if matches!(kind, Some(Kind::Customer)) && !is_given(object, "profile") {
        return Err(impossible("sse", "The customer's key comes from a profile, and no profile is named.").hint(
            "Put the key, 32 bytes in base64, into the credentials file as sse_customer_key, and name its profile in \
             the option \"profile\".",
        ));
    }
    Ok(kind.map(|kind| match kind {
        Kind::Service => Encryption::Service,
        Kind::Kms => Encryption::Kms { key_id, bucket_key },
        Kind::DoubleKms => Encryption::DoubleKms { key_id },
        Kind::Customer => Encryption::Customer,
    }))
}

fn key_id(object: &Map<String, Value>) -> Result<Option<String>> {
    const OPTION: &str = "sse_kms_key_id";
    let Some(id) = text(object, OPTION)? else { return Ok(None) };
    let usable = (1..=MAX_KEY_ID).contains(&id.len())
        && id.chars().all(|c| c.is_ascii_alphanumeric() || "-_:/.".contains(c));
    if usable {
        Ok(Some(id.to_owned()))
    } else {
        Err(invalid(OPTION, "The value must be the id, the alias or the ARN of a KMS key."))
    }
}
