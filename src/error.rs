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

/// Log an error where it is handled; the process goes on. What is about a job begins with it: `job <id>: ...`.
pub fn log(error: &Error, doing: &str) {
    log_with(error, doing, "");
}

/// The same with more to know than its class, as `name=value name=value`.
pub fn log_with(error: &Error, doing: &str, fields: &str) {
    let space = if fields.is_empty() { "" } else { " " };
    let message =
        format!("walwarden: {doing}: {} [{fields}{space}class={}]", error.message, error.class.name());
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
pub fn sayable(text: &str) -> String {
    if text.is_ascii() || crate::pg::server::encoding() == "UTF8" {
        return text.to_owned();
    }
    text.chars().map(|c| if c.is_ascii() { c } else { '?' }).collect()
}

/// PostgreSQL packs the five characters of a SQLSTATE six bits each (MAKE_SQLSTATE in elog.h).
fn sqlstate(class: ErrorClass) -> PgSqlErrorCode {
    let packed = class
        .sqlstate()
        .bytes()
        .rev()
        .fold(0, |code, byte| code << 6 | i32::from(byte.wrapping_sub(b'0') & 0x3f));
    PgSqlErrorCode::from(packed)
}
