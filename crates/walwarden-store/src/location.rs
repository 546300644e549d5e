//! Where a storage is: `s3://bucket/prefix`, `gs://bucket/prefix`, `az://account/container/prefix` or `file:///folder`. A
//! location never holds a secret.

use std::ffi::OsString;
use std::fmt;
use std::net::Ipv4Addr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, percent_encode};
use walwarden_core::capacity::Space;
use walwarden_core::{Error, ErrorClass, Result};

const SUPPORTED: &str = "Use s3://bucket/prefix, gs://bucket/prefix, az://account/container/prefix or \
                         file:///absolute/folder.";

/// What a path in a URL cannot hold as it is (RFC 3986, "pchar"), and `%` itself.
const ENCODED: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'%')
    .add(b'?')
    .add(b'#')
    .add(b'"')
    .add(b'<')
    .add(b'>')
    .add(b'`')
    .add(b'{')
    .add(b'}')
    .add(b'\\')
    .add(b'^')
    .add(b'|')
    .add(b'[')
    .add(b']');

/// A parsed storage URL. `Display` gives the URL back in its normal form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// A bucket of Amazon S3 or of a compatible server.
    S3 {
        /// The bucket's name.
        bucket: String,
        /// What stands before every key, without slashes at its ends; may be empty.
        prefix: String,
    },
    /// A bucket of Google Cloud Storage.
    Gcs {
        /// The bucket's name.
        bucket: String,
        /// What stands before every key, without slashes at its ends; may be empty.
        prefix: String,
    },
    /// A container of Azure Blob Storage.
    Azure {
        /// The storage account's name.
        account: String,
        /// The container's name.
        container: String,
        /// What stands before every key, without slashes at its ends; may be empty.
        prefix: String,
    },
    /// A folder of the server's file system.
    File {
        /// The absolute path of the folder.
        root: PathBuf,
    },
}

impl Location {
    /// Reads a storage URL.
    ///
    /// # Errors
    /// `InvalidInput` if the URL has another scheme, a part that does not belong there (credentials, port, query,
    /// fragment), a name the service does not allow, or a path that is relative or holds `.` or `..`. The error never
    /// repeats what may be a secret.
    pub fn parse(url: &str) -> Result<Self> {
        if url.chars().any(char::is_control) {
            return Err(Error::invalid("storage URL holds a control character").hint(SUPPORTED));
        }
        let Some((scheme, rest)) = url.split_once("://") else {
            return Err(Error::invalid("storage URL has no scheme").hint(SUPPORTED));
        };
        match scheme {
            "s3" => Self::parse_s3(rest),
            "gs" => Self::parse_gcs(rest),
            "az" => Self::parse_azure(rest),
            "file" => Self::parse_file(rest),
            _ => Err(Error::invalid("storage URL has a scheme that is not supported")
                .detail("Supported are \"s3\", \"gs\", \"az\" and \"file\".")
                .hint(SUPPORTED)),
        }
    }

    /// The location of a folder, whatever its name holds.
    ///
    /// # Errors
    /// `InvalidInput` if the path is not absolute, is `/`, or holds `..` or a control character.
    pub fn from_folder(folder: &Path) -> Result<Self> {
        Self::parse(&format!("file://{}", encode(folder)))
    }

    /// What the file system of a folder has left for this process; None for a storage that is no folder, or none yet. May wait
    /// as long as a network's file system does.
    ///
    /// # Errors
    /// `StorageUnreachable` if the system does not say.
    pub fn space(&self) -> Result<Option<Space>> {
        let Self::File { root } = self else { return Ok(None) };
        let of = match rustix::fs::statvfs(root) {
            Ok(of) => of,
            // The first backup makes it.
            Err(rustix::io::Errno::NOENT) => return Ok(None),
            Err(cause) => {
                return Err(Error::new(
                    ErrorClass::StorageUnreachable,
                    "could not ask for the free space of a storage",
                )
                .detail(cause.to_string()));
            }
        };
        let bytes = |blocks: u64| blocks.saturating_mul(of.f_frsize);
        // What is kept for root is none of it, as df(1) has it.
        let used = of.f_blocks.saturating_sub(of.f_bfree);
        Ok(Some(Space { total: bytes(used.saturating_add(of.f_bavail)), free: bytes(of.f_bavail) }))
    }

    fn parse_s3(rest: &str) -> Result<Self> {
        check_remote(rest)?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if !is_bucket_name(bucket, "") {
            return Err(Error::invalid("storage URL has an invalid bucket name")
                .detail("A bucket name is 3 to 63 lower-case letters, digits, dots and hyphens.")
                .hint(SUPPORTED));
        }
        Ok(Self::S3 { bucket: bucket.to_owned(), prefix: parse_prefix(prefix)? })
    }

    fn parse_gcs(rest: &str) -> Result<Self> {
        check_remote(rest)?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if !is_bucket_name(bucket, "_") {
            return Err(Error::invalid("storage URL has an invalid bucket name")
                .detail("A bucket name is 3 to 63 lower-case letters, digits, dots, hyphens and underscores.")
                .hint(SUPPORTED));
        }
        Ok(Self::Gcs { bucket: bucket.to_owned(), prefix: parse_prefix(prefix)? })
    }

    fn parse_azure(rest: &str) -> Result<Self> {
        check_remote(rest)?;
        let (account, rest) = rest.split_once('/').unwrap_or((rest, ""));
        let (container, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if !is_account_name(account) {
            return Err(Error::invalid("storage URL has an invalid account name")
                .detail("A storage account's name is 3 to 24 lower-case letters and digits.")
                .hint(SUPPORTED));
        }
        if !is_container_name(container) {
            return Err(Error::invalid("storage URL has an invalid container name")
                .detail("A container name is 3 to 63 lower-case letters, digits and single hyphens.")
                .hint(SUPPORTED));
        }
        Ok(Self::Azure {
            account: account.to_owned(),
            container: container.to_owned(),
            prefix: parse_prefix(prefix)?,
        })
    }

    fn parse_file(rest: &str) -> Result<Self> {
        if rest.contains(['?', '#']) {
            return Err(Error::invalid("storage URL holds a query or a fragment")
                .hint("In a folder's name, write ? as %3F and # as %23."));
        }
        if !rest.starts_with('/') {
            return Err(Error::invalid("storage URL does not name an absolute folder")
                .hint("A file URL has no host and three slashes: file:///absolute/folder."));
        }
        let path = rest.strip_suffix('/').unwrap_or(rest);
        let bytes: Vec<u8> = percent_decode_str(path).collect();
        let plain = |segment: &[u8]| {
            !segment.is_empty()
                && segment != b"."
                && segment != b".."
                && !segment.iter().any(u8::is_ascii_control)
        };
        if bytes.len() < 2 || !bytes[1..].split(|b| *b == b'/').all(plain) {
            return Err(Error::invalid("storage URL has an invalid folder").detail(
                "The folder must not be the root folder, nor hold \".\", \"..\", empty names or control characters.",
            ));
        }
        Ok(Self::File { root: PathBuf::from(OsString::from_vec(bytes)) })
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::S3 { bucket, prefix } => write!(f, "s3://{bucket}{}", Below(prefix)),
            Self::Gcs { bucket, prefix } => write!(f, "gs://{bucket}{}", Below(prefix)),
            Self::Azure { account, container, prefix } => {
                write!(f, "az://{account}/{container}{}", Below(prefix))
            }
            Self::File { root } => write!(f, "file://{}", encode(root)),
        }
    }
}

/// A prefix with its slash.
struct Below<'a>(&'a str);

impl fmt::Display for Below<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, "/{}", self.0) }
    }
}

fn encode(path: &Path) -> String {
    percent_encode(path.as_os_str().as_bytes(), ENCODED).to_string()
}

/// Refuses what belongs into options or into the credentials file.
fn check_remote(rest: &str) -> Result<()> {
    if rest.contains(['?', '#']) {
        return Err(Error::invalid("storage URL holds a query or a fragment")
            .hint("Give region, endpoint and the like as storage options."));
    }
    let host = rest.split('/').next().unwrap_or_default();
    // Not echoed: what stands before an at-sign or behind a colon may be a secret key.
    if rest.contains('@') || host.contains(':') {
        return Err(Error::invalid("storage URL holds credentials or a port").hint(
            "Credentials come from the environment or from a profile of the credentials file, a server's address \
             from the option \"endpoint\".",
        ));
    }
    Ok(())
}

fn parse_prefix(prefix: &str) -> Result<String> {
    let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
    if !prefix.is_empty() && !is_prefix(prefix) {
        return Err(Error::invalid("storage URL has an invalid prefix").detail(
            "A prefix is at most 500 bytes of letters, digits and _ . - = + ~ between single slashes.",
        ));
    }
    Ok(prefix.to_owned())
}

/// Amazon's rules for general purpose buckets, as far as they concern the form. Google's are the same, with underscores.
fn is_bucket_name(name: &str, others: &str) -> bool {
    let is_edge = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    (3..=63).contains(&name.len())
        && name.chars().all(|c| {
            c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '-') || others.contains(c)
        })
        && is_edge(name.bytes().next())
        && is_edge(name.bytes().last())
        && !name.contains("..")
        && name.parse::<Ipv4Addr>().is_err()
}

/// "Storage account overview", Azure Storage documentation.
fn is_account_name(name: &str) -> bool {
    (3..=24).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
}

/// "Naming and Referencing Containers, Blobs, and Metadata", Azure Storage documentation.
fn is_container_name(name: &str) -> bool {
    is_bucket_name(name, "") && !name.contains('.') && !name.contains("--")
}

fn is_prefix(prefix: &str) -> bool {
    let plain = |segment: &str| {
        !segment.is_empty()
            && segment != "."
            && segment != ".."
            && segment.chars().all(|c| c.is_alphanumeric() || "_.-=+~".contains(c))
    };
    prefix.len() <= 500 && prefix.split('/').all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_folder_has_space() {
        let space = Location::parse("file:///tmp").unwrap().space().unwrap().unwrap();
        assert!(space.total > 0 && space.free <= space.total);
        assert_eq!(Location::parse("s3://bucket").unwrap().space().unwrap(), None);
        assert_eq!(Location::parse("file:///does/not/exist").unwrap().space().unwrap(), None);
        assert!(Location::parse("file:///dev/null/x").unwrap().space().is_err());
    }

    #[test]
    fn good_urls_come_back_in_their_normal_form() {
        for (url, normal) in [
            ("s3://backups", "s3://backups"),
            ("s3://backups/", "s3://backups"),
            ("s3://my.bucket-1/a/b=c/", "s3://my.bucket-1/a/b=c"),
            ("gs://my_bucket.x/a/", "gs://my_bucket.x/a"),
            ("az://account1/my-container", "az://account1/my-container"),
            ("az://account1/my-container/a/b/", "az://account1/my-container/a/b"),
            ("file:///var/backups", "file:///var/backups"),
            ("file:///var/backups/", "file:///var/backups"),
            ("file:///with%20space/100%25", "file:///with%20space/100%25"),
        ] {
            assert_eq!(Location::parse(url).unwrap().to_string(), normal);
        }
    }

    #[test]
    fn bad_urls_are_refused() {
        for url in [
            "",
            "backups",
            "/var/backups",
            "gs://_x",
            "gs://bucket?x",
            "az://container",
            "az://account1/",
            "az://Account/container",
            "az://my-account/container",
            "az://account1/con--tainer",
            "az://account1/con.tainer",
            "az://account1/container/a//b",
            "https://s3.amazonaws.com/bucket",
            "S3://bucket",
            "s3://",
            "s3:///prefix",
            "s3://ab",
            "s3://Bucket",
            "s3://under_score",
            "s3://-abc",
            "s3://abc.",
            "s3://a..b",
            "s3://192.168.0.1",
            "s3://bucket:9000/x",
            "s3://bucket/a//b",
            "s3://bucket/../b",
            "s3://bucket/a b",
            "s3://bucket?region=x",
            "s3://bucket/x#y",
            "s3://bucket/a\nb",
            "file://",
            "file:///",
            "file:////",
            "file://relative",
            "file://localhost/var",
            "file:///a/../b",
            "file:///a/%2e%2E/b",
            "file:///a/./b",
            "file:///a//b",
            "file:///a%00b",
            "file:///a?b",
        ] {
            let error = Location::parse(url).unwrap_err();
            assert_eq!(error.class, walwarden_core::ErrorClass::InvalidInput, "{url}");
        }
    }

    #[test]
    fn credentials_in_a_url_are_refused_and_not_repeated() {
        for url in [
            "s3://AKIAKEY:canary@bucket/x",
            "s3://AKIAKEY:canary/x",
            "s3://canary@bucket",
            "s3://bucket/canary@x",
            "gs://bucket:canary/x",
            "az://account1:canary/container",
            "az://account1/container@canary",
        ] {
            let error = Location::parse(url).unwrap_err();
            assert!(!format!("{error:?}").contains("canary"), "{error:?}");
            assert!(error.hint.is_some());
        }
    }

    proptest! {
        #[test]
        fn folders_survive_the_url(names in proptest::collection::vec("[^/\\x00-\\x1f\\x7f]{1,12}", 1..4)) {
            let folder = Path::new("/").join(names.join("/"));
            let location = Location::from_folder(&folder);
            prop_assume!(!names.iter().any(|n| n == "." || n == ".."));
            let location = location.unwrap();
            prop_assert_eq!(&Location::parse(&location.to_string()).unwrap(), &location);
            prop_assert_eq!(location, Location::File { root: folder });
        }

        #[test]
        fn parsing_never_panics(url in ".{0,64}") {
            let _ = Location::parse(&url);
            let _ = Location::parse(&format!("s3://{url}"));
            let _ = Location::parse(&format!("file:///{url}"));
            let _ = Location::parse(&format!("gs://{url}"));
            let _ = Location::parse(&format!("az://{url}"));
        }
    }
}
