//! What went wrong in one attempt, and what that means: which class of error it is, whether trying again can help, and
//! whether the server may have done the work all the same.

use std::io;
use std::time::Duration;

use walwarden_core::{Error, ErrorClass};

/// The longest detail, in characters.
const MAX_DETAIL: usize = 500;

/// One failed attempt.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) class: ErrorClass,
    /// The server's status and code, or the system's text; one line, no secrets.
    pub(crate) detail: String,
    pub(crate) hint: Option<&'static str>,
    /// The object or the upload is not there, as far as the answer tells it from a missing storage.
    pub(crate) is_missing: bool,
    /// The same attempt may succeed a moment later.
    pub(crate) is_retriable: bool,
    /// The request may have been carried out although it failed.
    pub(crate) is_outcome_unknown: bool,
    /// A retention or a hold keeps the object, as far as the answer says so.
    pub(crate) is_locked: bool,
    /// The service does not know this kind of request.
    pub(crate) is_unsupported: bool,
}

impl Failure {
    pub(crate) fn new(class: ErrorClass, detail: impl AsRef<str>) -> Self {
        Self {
            class,
            detail: one_line(detail.as_ref()),
            hint: None,
            is_missing: false,
            is_retriable: false,
            is_outcome_unknown: false,
            is_locked: false,
            is_unsupported: false,
        }
    }

    /// A retention or a hold keeps the object.
    pub(crate) fn locked(detail: impl AsRef<str>) -> Self {
        Self { is_locked: true, ..Self::new(ErrorClass::StoragePermission, detail) }
            .hint("Wait until the object's retention ends, or have its legal hold lifted.")
    }

    /// The service does not know this kind of request.
    pub(crate) fn unsupported(detail: impl AsRef<str>) -> Self {
        Self { is_unsupported: true, ..Self::new(ErrorClass::Storage, detail) }
            .hint("The storage service lacks something a backup needs.")
    }

    pub(crate) fn hint(mut self, hint: &'static str) -> Self {
        self.hint = Some(hint);
        self
    }

    pub(crate) fn retriable(mut self) -> Self {
        self.is_retriable = true;
        self
    }

    pub(crate) fn outcome_unknown(mut self) -> Self {
        self.is_outcome_unknown = true;
        self
    }

    /// No answer within `limit`.
    pub(crate) fn timeout(limit: Duration) -> Self {
        Self::new(ErrorClass::StorageUnreachable, format!("no answer within {} s", limit.as_secs_f32()))
            .hint("Check the network and the storage; on a slow line, raise the storage option \"timeout\".")
            .retriable()
            .outcome_unknown()
    }

    /// A defect: of ours, or a panic in a library.
    pub(crate) fn internal(detail: &str) -> Self {
        Self::new(ErrorClass::Internal, detail).outcome_unknown()
    }

    /// The object is there already.
    pub(crate) fn exists() -> Self {
        Self::new(ErrorClass::StorageConflict, "the object exists already")
            .hint("Objects are write-once. See who else writes to this storage.")
    }

    /// The object is not there, seen by `detail`.
    pub(crate) fn missing(detail: impl AsRef<str>) -> Self {
        Self { is_missing: true, ..Self::new(ErrorClass::StorageNotFound, detail) }
    }

    /// The object that is to be read is not there.
    pub(crate) fn no_such_object() -> Self {
        Self::missing("there is no such object")
            .hint("If other objects are missing too, check the URL of the storage.")
    }

    /// Storage gave back something else than was written.
    pub(crate) fn corrupt(detail: impl AsRef<str>) -> Self {
        Self::new(ErrorClass::StorageCorrupt, detail)
            .hint("Keep the object for an investigation, check the storage, and make a new backup.")
    }

    /// The object has `size` bytes, and some before `end` were asked for.
    pub(crate) fn ends_early(size: u64, end: u64) -> Self {
        Self::corrupt(format!("the object ends at byte {size}, before byte {end}"))
    }

    /// Removes every occurrence of `secret` from what will be shown.
    pub(crate) fn redact(&mut self, secret: &str) {
        // Shorter ones are no secrets, and would be found in any text.
        if secret.len() >= 8 && self.detail.contains(secret) {
            self.detail = self.detail.replace(secret, "***");
        }
    }

    /// The error for the user; `action` is what could not be done, with the object and the storage.
    pub(crate) fn into_error(self, action: String) -> Error {
        let error = Error::new(self.class, action).detail(self.detail);
        match self.hint {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        use io::ErrorKind as Kind;
        let (class, hint) = match error.kind() {
            Kind::NotFound | Kind::NotADirectory => (ErrorClass::StorageNotFound, None),
            Kind::PermissionDenied | Kind::ReadOnlyFilesystem => (
                ErrorClass::StoragePermission,
                Some("The operating system user that runs the server must own the storage's folder."),
            ),
            Kind::StorageFull | Kind::QuotaExceeded | Kind::FileTooLarge => {
                (ErrorClass::StorageFull, Some("Free or add disk space, or delete old backups."))
            }
            Kind::AlreadyExists => (ErrorClass::StorageConflict, None),
            Kind::TimedOut
            | Kind::StaleNetworkFileHandle
            | Kind::HostUnreachable
            | Kind::NetworkUnreachable => {
                (ErrorClass::StorageUnreachable, Some("Check the mount of the storage's folder."))
            }
            _ => (ErrorClass::Storage, None),
        };
        let failure = Self { hint, ..Self::new(class, error.to_string()) };
        let is_passing = class == ErrorClass::StorageUnreachable || error.kind() == Kind::Interrupted;
        Self { is_retriable: is_passing, is_outcome_unknown: is_passing, ..failure }
    }
}

/// `text` as one line of at most 500 characters, without control characters.
pub(crate) fn one_line(text: &str) -> String {
    let words: Vec<&str> =
        text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|w| !w.is_empty()).collect();
    let line = words.join(" ");
    if line.chars().count() <= MAX_DETAIL {
        return line;
    }
    line.chars().take(MAX_DETAIL - 3).chain("...".chars()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn system_errors_have_their_class() {
        for (code, class) in [
            (libc::ENOSPC, ErrorClass::StorageFull),
            (libc::EDQUOT, ErrorClass::StorageFull),
            (libc::EFBIG, ErrorClass::StorageFull),
            (libc::EACCES, ErrorClass::StoragePermission),
            (libc::EPERM, ErrorClass::StoragePermission),
            (libc::EROFS, ErrorClass::StoragePermission),
            (libc::ENOENT, ErrorClass::StorageNotFound),
            (libc::ENOTDIR, ErrorClass::StorageNotFound),
            (libc::EEXIST, ErrorClass::StorageConflict),
            (libc::ESTALE, ErrorClass::StorageUnreachable),
            (libc::EIO, ErrorClass::Storage),
        ] {
            assert_eq!(Failure::from(io::Error::from_raw_os_error(code)).class, class, "{code}");
        }
    }

    proptest! {
        #[test]
        fn details_are_one_short_line(text in "(.|\\n|\\r|\\t|\\x1b){0,1200}") {
            let line = one_line(&text);
            prop_assert!(line.chars().count() <= MAX_DETAIL);
            prop_assert!(!line.chars().any(char::is_control));
        }
    }
}
