//! A profile of an AWS-style shared credentials file: `[profile]` sections of `key = value` lines, `#` and `;` comments.
//!
//! Errors name the file and a line number, never what a line holds.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use walwarden_core::{Error, ErrorClass, Result};

/// Far more than any real file holds.
const MAX_FILE_SIZE: u64 = 1 << 20;

/// The keys of one profile. Has no `Debug` on purpose.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct ProfileKeys {
    pub(crate) access_key_id: String,
    pub(crate) secret_access_key: String,
    pub(crate) session_token: Option<String>,
}

/// Reads `profile` from `file`, which must be a regular file of ours or of root that nobody else can read.
///
/// # Errors
/// `Configuration` in every case: the file cannot be read or is open to others, a line cannot be understood, or the
/// profile is missing or incomplete.
pub(super) fn read(file: &Path, profile: &str) -> Result<ProfileKeys> {
    let content = read_private(file).map_err(|error| {
        Error::new(ErrorClass::Configuration, format!("could not use credentials file {file:?}"))
            .detail(error.detail)
            .hint(error.hint)
    })?;
    parse(&content, profile).map_err(|detail| {
        Error::new(
            ErrorClass::Configuration,
            format!("could not take profile {profile:?} from credentials file {file:?}"),
        )
        .detail(detail)
        .hint("A profile needs aws_access_key_id and aws_secret_access_key, and may have aws_session_token.")
    })
}

struct Refusal {
    detail: String,
    hint: &'static str,
}

fn read_private(path: &Path) -> Result<String, Refusal> {
    const HINT: &str =
        "The file must exist and be readable by the operating system user that runs the server.";
    let failed = |error: std::io::Error| Refusal { detail: error.to_string(), hint: HINT };
    // Without O_NONBLOCK, opening a FIFO would wait for its writer.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path).map_err(failed)?;
    check_private(&file, rustix::process::geteuid().as_raw())?;
    let mut content = Vec::new();
    file.take(MAX_FILE_SIZE + 1).read_to_end(&mut content).map_err(failed)?;
    if content.len() as u64 > MAX_FILE_SIZE {
        return Err(Refusal { detail: "The file is larger than 1 MB.".into(), hint: HINT });
    }
    String::from_utf8(content)
        .map_err(|_| Refusal { detail: "The file is not UTF-8 text.".into(), hint: HINT })
}

/// Judges the opened file, not its path, so that nothing can be exchanged in between.
fn check_private(file: &File, euid: u32) -> Result<(), Refusal> {
    const HINT: &str = "Make the file readable by its owner alone: chmod 0600.";
    let refused = |detail: &str| Err(Refusal { detail: detail.into(), hint: HINT });
    let metadata = file.metadata().map_err(|error| Refusal { detail: error.to_string(), hint: HINT })?;
    if !metadata.is_file() {
        return refused("It is not a regular file.");
    }
    if metadata.uid() != euid && metadata.uid() != 0 {
        return refused("It belongs neither to the user that runs the server nor to root.");
    }
    if metadata.mode() & 0o077 != 0 {
        return refused("It is open to its group or to others.");
    }
    Ok(())
}

fn parse(content: &str, profile: &str) -> Result<ProfileKeys, String> {
    let mut inside = false;
    let mut found = false;
    let mut keys = ProfileKeys::default();
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
        match name.trim() {
            "aws_access_key_id" => keys.access_key_id = value.to_owned(),
            "aws_secret_access_key" => keys.secret_access_key = value.to_owned(),
            "aws_session_token" => {
                keys.session_token = Some(value.to_owned()).filter(|token| !token.is_empty())
            }
            _ => {}
        }
    }
    if !found {
        return Err("The file has no such profile.".into());
    }
    if keys.access_key_id.is_empty() || keys.secret_access_key.is_empty() {
        return Err("The profile has no complete pair of keys.".into());
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use proptest::prelude::*;

    use super::*;

    const FILE: &str = "# comment\n[default]\naws_access_key_id = other\naws_secret_access_key=other\n\n\
                        [ backup ] ; ours\naws_access_key_id=AKID\n; comment\naws_secret_access_key = se=cret/+\n\
                        region = eu-central-1\ns3 =\n    max_concurrent_requests = 20\n[third]\naws_session_token=x\n";

    fn written(content: &str, mode: u32) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), content).unwrap();
        std::fs::set_permissions(file.path(), PermissionsExt::from_mode(mode)).unwrap();
        file
    }

    #[test]
    fn the_named_profile_is_read() {
        let keys = read(written(FILE, 0o600).path(), "backup").unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(keys.access_key_id, "AKID");
        assert_eq!(keys.secret_access_key, "se=cret/+");
        assert_eq!(keys.session_token, None);
        let with_token = format!("{FILE}aws_access_key_id=a\naws_secret_access_key=b\n");
        assert_eq!(parse(&with_token, "third").unwrap_or_default().session_token.as_deref(), Some("x"));
    }

    #[test]
    fn incomplete_profiles_are_errors_without_content() {
        for (content, profile) in [
            (FILE, "missing"),
            (FILE, "third"),
            ("[p]\ncanary\n", "p"),
            ("[p]\naws_access_key_id = canary canary\n", "p"),
            ("[canary\n", "p"),
            ("[p]\naws_access_key_id=canary\naws_secret_access_key=\n", "p"),
            ("", "p"),
        ] {
            let error = read(written(content, 0o600).path(), profile).err().unwrap();
            assert_eq!(error.class, ErrorClass::Configuration);
            assert!(!format!("{error:?}").contains("canary"), "{error:?}");
        }
    }

    #[test]
    fn files_open_to_others_are_refused() {
        for mode in [0o640, 0o604, 0o660, 0o644, 0o620] {
            let error = read(written(FILE, mode).path(), "backup").err().unwrap();
            assert!(error.hint.unwrap().contains("chmod"), "{mode:o}");
        }
        let file = written(FILE, 0o400);
        assert!(read(file.path(), "backup").is_ok());
        assert!(
            check_private(&File::open(file.path()).unwrap(), u32::MAX).is_ok()
                == (rustix::process::geteuid().is_root())
        );
        assert!(read(Path::new("/does/not/exist"), "backup").is_err());
        assert!(read(Path::new("/"), "backup").is_err());
        let large = written(&"#".repeat(MAX_FILE_SIZE as usize + 1), 0o600);
        assert!(read(large.path(), "backup").is_err());
    }

    proptest! {
        #[test]
        fn parsing_never_panics(content in "(\\[|\\]|=|p|\\n|#|aws_access_key_id|.){0,40}") {
            let _ = parse(&content, "p");
        }
    }
}
