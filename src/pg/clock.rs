//! The server's clock: microseconds since the Unix epoch.

use chrono::{DateTime, Utc};
use pgrx::pg_sys;

/// Seconds between the Unix epoch and PostgreSQL's, 2000-01-01 (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE days).
const POSTGRES_EPOCH_SECONDS: i64 = 946_684_800;

/// Now, by the clock that clock_timestamp() reads.
pub fn now() -> DateTime<Utc> {
    // SAFETY: has no preconditions.
    from_postgres(unsafe { pg_sys::GetCurrentTimestamp() })
}

/// A timestamptz as a time.
pub fn from_postgres(timestamp: pg_sys::TimestampTz) -> DateTime<Utc> {
    let micros = timestamp.saturating_add(POSTGRES_EPOCH_SECONDS * 1_000_000);
    DateTime::from_timestamp_micros(micros).unwrap_or(DateTime::UNIX_EPOCH)
}

/// The same, or None where our times do not reach.
pub fn from_postgres_checked(timestamp: pg_sys::TimestampTz) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_micros(timestamp.checked_add(POSTGRES_EPOCH_SECONDS * 1_000_000)?)
}

/// As text that casts to timestamptz whatever the session's settings: RFC 3339 with microseconds.
pub fn to_text(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

/// A time as a timestamptz result.
pub fn to_timestamptz(time: DateTime<Utc>) -> pgrx::datum::TimestampWithTimeZone {
    let micros = time.timestamp_micros().saturating_sub(POSTGRES_EPOCH_SECONDS * 1_000_000);
    pgrx::datum::TimestampWithTimeZone::try_from(micros)
        .unwrap_or_else(|_| pgrx::datum::TimestampWithTimeZone::positive_infinity())
}
