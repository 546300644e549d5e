//! The one map from walwarden's errors to PostgreSQL's: SQLSTATE, detail and hint.

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::PgLogLevel;
use pgrx::prelude::PgSqlErrorCode;
use walwarden_core::{Error, ErrorClass};

/// An error as a `#[pg_extern]` function returns it.
pub fn report(error: Error) -> ErrorReport {
    let mut report = ErrorReport::new(sqlstate(error.class), sayable(&error.message), "walwarden");
    if let Some(detail) = &error.detail {
        report = report.set_detail(sayable(detail));
    }
    if let Some(hint) = &error.hint {
        report = report.set_hint(sayable(hint));
    }
    report
}

/// Raise an error as PostgreSQL does.
pub fn raise(error: Error) -> ! {
    report(error).report(PgLogLevel::ERROR);
    unreachable!("an error is raised by unwinding")
}

/// Log an error where it is handled; the process goes on.
pub fn log(error: &Error, doing: &str) {
    let message = format!("walwarden: {doing}: {}", error.message);
    let mut report = ErrorReport::new(sqlstate(error.class), sayable(&message), "walwarden");
    if let Some(detail) = &error.detail {
        report = report.set_detail(sayable(detail));
    }
    if let Some(hint) = &error.hint {
        report = report.set_hint(sayable(hint));
    }
    report.report(PgLogLevel::LOG);
}

/// A message in the database's encoding: PostgreSQL takes its bytes as they are, so in a database that is not UTF-8
/// only ASCII is safe.
fn sayable(text: &str) -> String {
    if text.is_ascii() || crate::pg::server::encoding() == "UTF8" {
        return text.to_owned();
    }
    text.chars().map(|c| if c.is_ascii() { c } else { '?' }).collect()
}

fn sqlstate(class: ErrorClass) -> PgSqlErrorCode {
    match class {
        ErrorClass::InvalidInput => PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
        ErrorClass::NotFound => PgSqlErrorCode::ERRCODE_UNDEFINED_OBJECT,
        ErrorClass::AlreadyExists => PgSqlErrorCode::ERRCODE_DUPLICATE_OBJECT,
        ErrorClass::NotPermitted => PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE,
        ErrorClass::WrongState => PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
        ErrorClass::Configuration | ErrorClass::Key => PgSqlErrorCode::ERRCODE_CONFIG_FILE_ERROR,
        ErrorClass::Resources => PgSqlErrorCode::ERRCODE_INSUFFICIENT_RESOURCES,
        ErrorClass::LockTimeout => PgSqlErrorCode::ERRCODE_LOCK_NOT_AVAILABLE,
        ErrorClass::Database | ErrorClass::ChildProcess => PgSqlErrorCode::ERRCODE_EXTERNAL_ROUTINE_EXCEPTION,
        ErrorClass::Archive | ErrorClass::StorageCorrupt => PgSqlErrorCode::ERRCODE_DATA_CORRUPTED,
        ErrorClass::StoragePermission | ErrorClass::StorageNotFound | ErrorClass::StorageConflict => {
            PgSqlErrorCode::ERRCODE_IO_ERROR
        }
        ErrorClass::StorageUnreachable => PgSqlErrorCode::ERRCODE_CONNECTION_EXCEPTION,
        ErrorClass::StorageFull => PgSqlErrorCode::ERRCODE_DISK_FULL,
        ErrorClass::Storage | ErrorClass::Lost => PgSqlErrorCode::ERRCODE_SYSTEM_ERROR,
        ErrorClass::Canceled => PgSqlErrorCode::ERRCODE_QUERY_CANCELED,
        ErrorClass::Terminated => PgSqlErrorCode::ERRCODE_ADMIN_SHUTDOWN,
        ErrorClass::Internal => PgSqlErrorCode::ERRCODE_INTERNAL_ERROR,
    }
}
