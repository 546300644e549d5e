//! A profile of an AWS-style shared credentials file: `[profile]` sections of `key = value` lines, `#` and `;` comments.
//!
//! Errors name the file and a line number, never what a line holds.

use std::collections::BTreeMap;
use std::path::Path;

use walwarden_core::{Error, ErrorClass, Result};

use crate::private_file;

/// The keys that walwarden looks for; a profile may have others, for others.
const KNOWN: [&str; 9] = [
    "aws_access_key_id",
    "aws_secret_access_key",
    "aws_session_token",
    "sse_customer_key",
    "google_service_account",
    "azure_account_key",
    "azure_sas_token",
    "webhook_url",
    "webhook_secret",
];

/// The values of one profile. Has no `Debug` on purpose.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Profile(BTreeMap<&'static str, String>);

impl Profile {
    /// A value that is there and not empty.
    pub(super) fn get(&self, name: &str) -> Option<String> {
        self.0.get(name).filter(|value| !value.is_empty()).cloned()
    }
}

/// Reads `profile` from `file`, which must be a regular file of ours or of root that nobody else can read.
///
/// # Errors
/// `Configuration` in every case: the file cannot be read or is open to others, a line cannot be understood, or the
/// profile is missing.
pub(super) fn read(file: &Path, profile: &str) -> Result<Profile> {
    let content = private_file::read(file).map_err(|error| {
        Error::new(ErrorClass::Configuration, format!("could not use credentials file {file:?}"))
            .detail(error.detail)
            .hint(error.hint)
    })?;
    parse(&content, profile).map_err(|detail| refused(file, profile, &detail))
}

/// The error for a profile that lacks what a storage needs.
pub(super) fn refused(file: &Path, profile: &str, detail: &str) -> Error {
    Error::new(
        ErrorClass::Configuration,
        format!("could not take profile {profile:?} from credentials file {file:?}"),
    )
    .detail(detail)
    .hint(
        "A profile needs aws_access_key_id and aws_secret_access_key for S3, google_service_account (the path of a \
         file) for Google, azure_account_key or azure_sas_token for Azure, webhook_url \
         and webhook_secret for a webhook.",
    )
}

fn parse(content: &str, profile: &str) -> Result<Profile, String> {
    let mut inside = false;
    let mut found = false;
    let mut keys = Profile::default();
    for (number, line) in (1..).zip(content.lines()) {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
            continue;
        }
        if let Some(rest) = trimmed.strip_prefix('[') {
            let Some((name, _)) = rest.split_once(']') else {
                return Err(format!("Line {number} is not a section."));
            };
            inside = name.trim() == profile;
            found |= inside;
            continue;
        }
        // Indented lines belong to a nested setting, which is none of ours.
        if !inside || line.starts_with([' ', '\t']) {
            continue;
        }
        let Some((name, value)) = trimmed.split_once('=') else {
            return Err(format!("Line {number} is not of the form \"key = value\"."));
        };
        let value = value.trim();
        if value.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(format!("Line {number} has a value with white space or a control character in it."));
        }
        if let Some(known) = KNOWN.into_iter().find(|known| *known == name.trim()) {
            keys.0.insert(known, value.to_owned());
        }
    }
    if !found {
        return Err("The file has no such profile.".into());
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::credentials::{WebhookKeys, webhook_keys};
    use crate::private_file::written;

    const FILE: &str = "# comment\n[default]\naws_access_key_id = other\naws_secret_access_key=other\n\n\
                        [ backup ] ; ours\naws_access_key_id=AKID\n; comment\naws_secret_access_key = se=cret/+\n\
                        region = eu-central-1\ns3 =\n    max_concurrent_requests = 20\n[third]\naws_session_token=x\n";

    #[test]
    fn the_named_profile_is_read() {
        let keys = read(written(FILE, 0o600).path(), "backup").unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(keys.get("aws_access_key_id").as_deref(), Some("AKID"));
        assert_eq!(keys.get("aws_secret_access_key").as_deref(), Some("se=cret/+"));
        assert_eq!(keys.get("aws_session_token"), None);
        assert_eq!(keys.get("region"), None);
        let with_token = format!("{FILE}aws_access_key_id=a\naws_secret_access_key=b\n");
        assert_eq!(
            parse(&with_token, "third").unwrap_or_default().get("aws_session_token").as_deref(),
            Some("x")
        );
    }

    #[test]
    fn a_webhook_has_keys_of_its_own() {
        let content = "[hook]\nwebhook_url = https://h/a?sig=b=c\nwebhook_secret=s\n[empty]\nwebhook_url =\n";
        let keys = webhook_keys(written(content, 0o600).path(), "hook").unwrap_or_else(|e| panic!("{e}"));
        assert_eq!((keys.url.as_deref(), keys.secret.as_deref()), (Some("https://h/a?sig=b=c"), Some("s")));
        assert!(
            webhook_keys(written(content, 0o600).path(), "empty")
                .is_ok_and(|keys| keys == WebhookKeys::default())
        );
        assert!(webhook_keys(written(content, 0o600).path(), "missing").is_err());
        assert!(webhook_keys(written(content, 0o640).path(), "hook").is_err());
    }

    #[test]
    fn unreadable_profiles_are_errors_without_content() {
        for (content, profile) in [
            (FILE, "missing"),
            ("[p]\ncanary\n", "p"),
            ("[p]\naws_access_key_id = canary canary\n", "p"),
            ("[canary\n", "p"),
            ("", "p"),
        ] {
            let error = read(written(content, 0o600).path(), profile).err().unwrap();
            assert_eq!(error.class, ErrorClass::Configuration);
            assert!(!format!("{error:?}").contains("canary"), "{error:?}");
        }
    }

    proptest! {
        #[test]
        fn parsing_never_panics(content in "(\\[|\\]|=|p|\\n|#|aws_access_key_id|.){0,40}") {
            let _ = parse(&content, "p");
        }
    }
}
