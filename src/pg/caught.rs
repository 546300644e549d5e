//! PostgreSQL's errors as values.

use pgrx::PgTryBuilder;
use pgrx::pg_sys::panic::{CaughtError, ErrorReportWithLevel};
use pgrx::prelude::PgSqlErrorCode;
use std::panic::AssertUnwindSafe;
use walwarden_core::{Error, ErrorClass, Result};

/// Run something that may raise a PostgreSQL error, and give that error back as a value.
///
/// The caller must bring the transaction to an end when an error comes back: whatever the code was doing inside it
/// is half done (see `transaction`).
pub fn caught<T>(body: impl FnOnce() -> Result<T>) -> Result<T> {
    PgTryBuilder::new(AssertUnwindSafe(body))
        .catch_others(|cause| Err(from_caught(&cause)))
        .catch_rust_panic(|cause| Err(from_caught(&cause)))
        .execute()
}

fn from_caught(cause: &CaughtError) -> Error {
    match cause {
        CaughtError::PostgresError(report) | CaughtError::ErrorReport(report) => from_report(report),
        CaughtError::RustPanic { ereport, .. } => Error::internal(ereport.message().to_owned())
            .detail(format!("{}:{}", ereport.file(), ereport.line_number())),
    }
}

fn from_report(report: &ErrorReportWithLevel) -> Error {
    let code = report.sql_error_code();
    let class = match code {
        PgSqlErrorCode::ERRCODE_LOCK_NOT_AVAILABLE => ErrorClass::LockTimeout,
        PgSqlErrorCode::ERRCODE_QUERY_CANCELED => ErrorClass::Canceled,
        PgSqlErrorCode::ERRCODE_ADMIN_SHUTDOWN => ErrorClass::Terminated,
        PgSqlErrorCode::ERRCODE_OUT_OF_MEMORY
        | PgSqlErrorCode::ERRCODE_INSUFFICIENT_RESOURCES
        | PgSqlErrorCode::ERRCODE_TOO_MANY_CONNECTIONS
        | PgSqlErrorCode::ERRCODE_CONFIGURATION_LIMIT_EXCEEDED => ErrorClass::Resources,
        _ => ErrorClass::Database,
    };
    let mut error = Error::new(class, report.message().to_owned());
    let state = format!("SQLSTATE {}", sqlstate_text(code));
    error.detail = Some(match report.detail() {
        Some(detail) => format!("{detail} ({state})"),
        None => state,
    });
    error.hint = report.hint().map(str::to_owned);
    error
}

/// The five characters of a SQLSTATE (`MAKE_SQLSTATE` of src/include/utils/elog.h packs six bits each).
fn sqlstate_text(code: PgSqlErrorCode) -> String {
    let packed = code as i32 as u32;
    (0..5).map(|i| char::from((((packed >> (6 * i)) & 0x3f) as u8).wrapping_add(b'0'))).collect()
}
