//! Who decrypts: an identity file of age, as `age-keygen` writes it.

use std::fmt;
use std::io::{BufRead, Read};
use std::path::{Path, PathBuf};

use age::IdentityFile;
use walwarden_core::{Error, ErrorClass, Result};

use super::decrypted::Decrypted;
use super::file_key::FileKey;
use crate::failure::Failure;
use crate::private_file;

/// What the files of age begin with: an identity file that is itself encrypted, say.
const ENCRYPTED_MARKS: [&str; 2] = ["age-encryption.org/", "-----BEGIN AGE"];

/// The secret keys of one identity file. They leave it only into age's own arithmetic, and are overwritten in memory when this
/// is dropped.
pub struct Identities {
    file: PathBuf,
    keys: Vec<Box<dyn age::Identity + Send + Sync>>,
    /// The public keys that belong to them.
    recipients: Vec<String>,
}

impl Identities {
    /// Reads an identity file. Blocks.
    ///
    /// # Errors
    /// `InvalidInput` if the path is not absolute; `Key` if the file cannot be read, belongs to somebody else, is open to others,
    /// or is not an identity file. What the file holds is in none of them.
    pub fn read(file: &Path) -> Result<Self> {
        if !file.is_absolute() {
            return Err(Error::invalid("the path of an identity file must be absolute")
                .detail(format!("It is {file:?}.")));
        }
        let failed = |detail: &str, hint: &str| {
            Error::new(ErrorClass::Key, format!("could not use identity file {file:?}"))
                .detail(detail)
                .hint(hint)
        };
        let content = private_file::read(file).map_err(|refusal| failed(&refusal.detail, refusal.hint))?;
        if ENCRYPTED_MARKS.iter().any(|mark| content.starts_with(mark)) {
            return Err(failed(
                "The file is itself encrypted.",
                "Nobody is there to type a passphrase: decrypt it with age -d.",
            ));
        }
        let no_identities = |detail: &str| {
            failed(detail, "The file has lines AGE-SECRET-KEY-1..., as age-keygen writes them, and comments.")
        };
        // Its error names the line, and not what it holds.
        let read = IdentityFile::from_buffer(content.as_bytes())
            .map_err(|error| no_identities(&error.to_string()))?;
        let mut recipients = Vec::new();
        read.write_recipients_file(&mut recipients)
            .map_err(|_| no_identities("The file has no identity."))?;
        let recipients =
            String::from_utf8_lossy(&recipients).lines().map(str::to_owned).collect::<Vec<String>>();
        let keys = read.into_identities().map_err(|_| no_identities("An identity cannot be used."))?;
        Ok(Self { file: file.to_owned(), keys, recipients })
    }

    /// Fails unless one of these recipients is here.
    ///
    /// # Errors
    /// `Key`, with the public keys of both sides.
    pub fn require_one_of(&self, recipients: &[String]) -> Result<()> {
        if self.recipients.iter().any(|ours| recipients.contains(ours)) {
            return Ok(());
        }
        Err(Error::new(
            ErrorClass::Key,
            format!("identity file {:?} does not decrypt this backup", self.file),
        )
        .detail(format!(
            "The backup was encrypted for {}; the file has the identity of {}.",
            recipients.join(", "),
            self.recipients.join(", ")
        ))
        .hint("Give the identity file of one of these recipients."))
    }

    /// Decrypts an object that is in memory; `key` is its key in storage.
    ///
    /// # Errors
    /// `StorageCorrupt` if it is no whole age file for these identities: see [`Identities::require_one_of`].
    pub fn decrypt(&self, key: &str, object: &[u8]) -> Result<Vec<u8>> {
        let mut plain = Vec::new();
        let opened = self.find_key(object).and_then(|found| found.open(object));
        let opened = opened.map_err(|failure| failure.into_error(could_not_decrypt(key)))?;
        Decrypted::new(opened, key).read_to_end(&mut plain).map_err(Error::from_io)?;
        Ok(plain)
    }

    /// Reads header and nonce of an age file, and gives its key.
    pub(super) fn find_key(&self, file: impl BufRead) -> Result<FileKey, Failure> {
        FileKey::find(file, self.keys.iter().map(|key| key.as_ref() as &dyn age::Identity))
    }
}

pub(super) fn could_not_decrypt(key: &str) -> String {
    format!("could not decrypt object \"{key}\"")
}

/// Shows whose they are, and nothing secret.
impl fmt::Debug for Identities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identities").field("recipients", &self.recipients).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use age::secrecy::ExposeSecret;
    use age::x25519::Identity;

    use super::*;
    use crate::private_file::written;

    #[test]
    fn identities_are_read_and_known_by_their_public_keys() {
        let (one, other) = (Identity::generate(), Identity::generate());
        let file = format!(
            "# created: today\n# public key: {}\n{}\n\n{}\n",
            one.to_public(),
            one.to_string().expose_secret(),
            other.to_string().expose_secret()
        );
        let identities = Identities::read(written(&file, 0o600).path()).unwrap();
        assert_eq!(identities.recipients, [one.to_public().to_string(), other.to_public().to_string()]);
        assert!(identities.require_one_of(&["x".to_owned(), other.to_public().to_string()]).is_ok());
        let stranger = Identity::generate().to_public().to_string();
        let error = identities.require_one_of(std::slice::from_ref(&stranger)).unwrap_err();
        assert_eq!(error.class, ErrorClass::Key);
        assert!(error.detail.unwrap().contains(&stranger));
        let shown = format!("{identities:?}");
        assert!(!shown.contains("SECRET") && shown.contains(&one.to_public().to_string()), "{shown}");
    }

    #[test]
    fn files_that_cannot_be_used_are_refused_without_their_content() {
        let secret = Identity::generate().to_string();
        let secret = secret.expose_secret();
        for (content, mode) in [
            (format!("{secret}\n"), 0o640),
            (format!("{secret}x\n"), 0o600),
            (format!("x{secret}\n"), 0o600),
            (secret[..40].to_owned(), 0o600),
            (format!("{}\n", Identity::generate().to_public()), 0o600),
            ("# nothing\n".to_owned(), 0o600),
            (String::new(), 0o600),
            (format!("age-encryption.org/v1\n{secret}"), 0o600),
        ] {
            let error = Identities::read(written(&content, mode).path()).unwrap_err();
            assert_eq!(error.class, ErrorClass::Key, "{content}");
            assert!(error.hint.is_some());
            assert!(!format!("{error:?}").contains(&secret[20..30]), "{error:?}");
        }
        assert_eq!(Identities::read(Path::new("/does/not/exist")).unwrap_err().class, ErrorClass::Key);
        assert_eq!(Identities::read(Path::new("relative")).unwrap_err().class, ErrorClass::InvalidInput);
    }
}
