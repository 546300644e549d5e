//! The one error type: a class that decides what happens next, and a text in PostgreSQL's message style.
//!
//! Rules: the message is lower case without a final stop and names the action that failed ("could not ..."); the
//! detail says what was seen; the hint is a full sentence that says what to do. No secret ever enters any of them.

mod explained;

use std::fmt;

/// What kind of failure it was. The name is stable: it stands in `jobs.error_class`, in the audit log and in the
/// documentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// A value the user gave cannot be used.
    InvalidInput,
    /// A named thing does not exist.
    NotFound,
    /// A named thing exists already.
    AlreadyExists,
    /// The caller may not do this.
    NotPermitted,
    /// The action does not fit the present state.
    WrongState,
    /// A setting of the server prevents the action.
    Configuration,
    /// The signing key is missing, damaged or readable by others.
    Key,
    /// Too few worker slots, memory or locks.
    Resources,
    /// A lock was not to be had in time.
    LockTimeout,
    /// PostgreSQL refused a statement.
    Database,
    /// pg_dump or pg_dumpall failed.
    ChildProcess,
    /// An archive is not what the format allows.
    Archive,
    /// Storage refused the credentials or the action.
    StoragePermission,
    /// The bucket, folder or object does not exist.
    StorageNotFound,
    /// Storage could not be reached, or answered too late.
    StorageUnreachable,
    /// An object that must be new exists already.
    StorageConflict,
    /// Storage has no room left.
    StorageFull,
    /// Storage gave back other bytes than were written.
    StorageCorrupt,
    /// Storage failed in another way.
    Storage,
    /// A restored database is not what it must be.
    TestFailed,
    /// An attempt took longer than its schedule allows.
    TimedOut,
    /// The user canceled the job.
    Canceled,
    /// An administrator or a shutdown ended the process.
    Terminated,
    /// The process that ran the job is gone without a word.
    Lost,
    /// A defect in walwarden.
    Internal,
}

impl ErrorClass {
    /// Every class, for documentation and tests.
    pub const ALL: [ErrorClass; 25] = [
        Self::InvalidInput,
        Self::NotFound,
        Self::AlreadyExists,
        Self::NotPermitted,
        Self::WrongState,
        Self::Configuration,
        Self::Key,
        Self::Resources,
        Self::LockTimeout,
        Self::Database,
        Self::ChildProcess,
        Self::Archive,
        Self::StoragePermission,
        Self::StorageNotFound,
        Self::StorageUnreachable,
        Self::StorageConflict,
        Self::StorageFull,
        Self::StorageCorrupt,
        Self::Storage,
        Self::TestFailed,
        Self::TimedOut,
        Self::Canceled,
        Self::Terminated,
        Self::Lost,
        Self::Internal,
    ];

    /// The stable name, as in `jobs.error_class`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::InvalidInput => "invalid_input",
            Self::NotFound => "not_found",
            Self::AlreadyExists => "already_exists",
            Self::NotPermitted => "not_permitted",
            Self::WrongState => "wrong_state",
            Self::Configuration => "configuration",
            Self::Key => "key",
            Self::Resources => "resources",
            Self::LockTimeout => "lock_timeout",
            Self::Database => "database",
            Self::ChildProcess => "child_process",
            Self::Archive => "archive",
            Self::StoragePermission => "storage_permission",
            Self::StorageNotFound => "storage_not_found",
            Self::StorageUnreachable => "storage_unreachable",
            Self::StorageConflict => "storage_conflict",
            Self::StorageFull => "storage_full",
            Self::StorageCorrupt => "storage_corrupt",
            Self::Storage => "storage",
            Self::TestFailed => "test_failed",
            Self::TimedOut => "timed_out",
            Self::Canceled => "canceled",
            Self::Terminated => "terminated",
            Self::Lost => "lost",
            Self::Internal => "internal",
        }
    }

    /// The class with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.name() == name)
    }

    /// The SQLSTATE an error of this class carries (PostgreSQL's errcodes.txt).
    pub const fn sqlstate(self) -> &'static str {
        match self {
            Self::InvalidInput => "22023",
            Self::NotFound => "42704",
            Self::AlreadyExists => "42710",
            Self::NotPermitted => "42501",
            Self::WrongState => "55000",
            Self::Configuration | Self::Key => "F0000",
            Self::Resources => "53000",
            Self::LockTimeout => "55P03",
            Self::Database | Self::ChildProcess => "38000",
            Self::Archive | Self::StorageCorrupt => "XX001",
            Self::StoragePermission | Self::StorageNotFound | Self::StorageConflict => "58030",
            Self::StorageUnreachable => "08000",
            Self::StorageFull => "53100",
            Self::Storage | Self::Lost => "58000",
            Self::TestFailed => "P0004",
            // The general code of the class in which PostgreSQL keeps what an operator's decision ended, its own
            // timeouts included. It has no code for a timeout of work as a whole; 57014, which
            // statement_timeout raises, is what a canceled job has, and is not caught by WHEN OTHERS.
            Self::TimedOut => "57000",
            Self::Canceled => "57014",
            Self::Terminated => "57P01",
            Self::Internal => "XX000",
        }
    }

    /// Whether somebody asked for the end of what failed.
    pub const fn is_request_to_stop(self) -> bool {
        matches!(self, Self::Canceled | Self::Terminated)
    }

    /// Whether the same action may succeed later with nothing changed by hand.
    pub const fn is_transient(self) -> bool {
        matches!(
            self,
            Self::Resources | Self::LockTimeout | Self::StorageUnreachable | Self::Terminated | Self::Lost
        )
    }
}

impl fmt::Display for ErrorClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A failure as a value: it is reported once, where it is handled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// What kind of failure it was.
    pub class: ErrorClass,
    /// What failed.
    pub message: String,
    /// What was seen.
    pub detail: Option<String>,
    /// What to do.
    pub hint: Option<String>,
}

/// The result of everything here that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error without detail or hint.
    pub fn new(class: ErrorClass, message: impl Into<String>) -> Self {
        Self { class, message: message.into(), detail: None, hint: None }
    }

    /// A value the user gave cannot be used.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorClass::InvalidInput, message)
    }

    /// A defect in walwarden: something that cannot be, was.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Internal, message)
    }

    /// What a reader of ours put into an error of `std::io` comes out as it went in; any other is `Internal`.
    pub fn from_io(cause: std::io::Error) -> Self {
        let text = cause.to_string();
        let inner = cause.into_inner().and_then(|inner| inner.downcast::<Self>().ok());
        inner.map_or_else(|| Self::internal(text), |error| *error)
    }

    /// The same error with what was seen.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// The same error with what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if let Some(detail) = &self.detail {
            write!(f, ": {detail}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_are_distinct_and_sqlstates_well_formed() {
        let names: HashSet<_> = ErrorClass::ALL.iter().map(|c| c.name()).collect();
        assert_eq!(names.len(), ErrorClass::ALL.len());
        for class in ErrorClass::ALL {
            let state = class.sqlstate();
            assert_eq!(state.len(), 5, "{class}");
            assert!(state.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_uppercase()), "{class}");
        }
    }
}
