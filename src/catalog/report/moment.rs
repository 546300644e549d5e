//! Times as the session's time zone has them.

use crate::pg::sql::Row;
use chrono::{DateTime, FixedOffset};
use std::time::Duration;
use walwarden_core::report::Time;
use walwarden_core::{Error, ErrorClass, Result};

/// SQL for a timestamptz as microseconds since the Unix epoch and, after a space, seconds east of Greenwich at that time.
pub fn moment(expression: &str) -> String {
    format!(
        "(extract(epoch FROM {expression}) * 1000000)::bigint || ' ' || extract(timezone FROM {expression})::integer"
    )
}

/// A column made by `moment`.
pub fn time(row: &Row, column: usize) -> Result<Time> {
    time_nullable(row, column)?
        .ok_or_else(|| Error::internal(format!("column {} of a query is unexpectedly null", column + 1)))
}

/// The same, or None for NULL.
pub fn time_nullable(row: &Row, column: usize) -> Result<Option<Time>> {
    row.get(column).map(read).transpose()
}

fn read(text: &str) -> Result<Time> {
    let wrong = || Error::internal(format!("a query gave \"{text}\" where a time was due"));
    let (micros, east) = text.split_once(' ').ok_or_else(wrong)?;
    let micros = micros.parse().ok().and_then(DateTime::from_timestamp_micros).ok_or_else(wrong)?;
    let zone = FixedOffset::east_opt(east.parse().map_err(|_| wrong())?).ok_or_else(|| {
        Error::new(ErrorClass::Configuration, "the session's time zone is more than a day from UTC")
            .hint("Choose another: SET TimeZone = 'UTC'.")
    })?;
    Ok(micros.with_timezone(&zone))
}

/// SQL for an interval as microseconds.
pub fn micros(expression: &str) -> String {
    format!("(extract(epoch FROM {expression}) * 1000000)::bigint")
}

/// A column made by `micros`; less than nothing, as after the clock was set back, is nothing.
pub fn span_nullable(row: &Row, column: usize) -> Result<Option<Duration>> {
    let micros: Option<i64> = row.parse_nullable(column)?;
    Ok(micros.map(|micros| Duration::from_micros(micros.max(0).unsigned_abs())))
}
