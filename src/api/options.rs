//! The options of a backup as users give them.

use crate::catalog::options::BackupOptions;
use crate::pg::caught::caught;
use crate::pg::segment::MOST_COPIERS;
use crate::pg::sql;
use crate::worker::compression;
use walwarden_core::{Error, ErrorClass, Result};

/// Far above what any storage takes, and a number that JSON holds exactly.
const HIGHEST_RATE: u64 = 1 << 50;

/// Check them, at the moment they are given.
pub fn read(
    jobs: Option<i32>,
    compression: Option<String>,
    max_rate: Option<String>,
) -> Result<BackupOptions> {
    check_jobs(jobs)?;
    let compression = match compression.as_deref().map(str::trim) {
        Some(wanted) => Some(compression::choose(Some(wanted))?.name()),
        None => None,
    };
    Ok(BackupOptions { jobs, compression, max_rate: max_rate.map(|text| rate(&text)).transpose()? })
}

/// How many copiers or loaders.
pub fn check_jobs(jobs: Option<i32>) -> Result<()> {
    match jobs {
        Some(jobs) if !usize::try_from(jobs).is_ok_and(|jobs| (1..=MOST_COPIERS).contains(&jobs)) => {
            Err(Error::invalid(format!("jobs must be 1 to {MOST_COPIERS}, not {jobs}"))
                .hint("It is the number of copiers; NULL is one a processor."))
        }
        _ => Ok(()),
    }
}

/// Bytes a second, in any form that pg_size_bytes takes.
fn rate(text: &str) -> Result<u64> {
    let wrong = || {
        Error::invalid(format!("max_rate must be above zero and at most 1 PB, not \"{text}\""))
            .hint("It is bytes a second that go to storage, such as '50MB'; NULL is no limit.")
    };
    let bytes: i64 = caught(|| sql::query_one("SELECT pg_catalog.pg_size_bytes($1)", &[Some(text)]))
        .map_err(|cause| match cause.class {
            ErrorClass::Database => wrong().detail(cause.message),
            _ => cause,
        })?
        .ok_or_else(|| Error::internal("pg_size_bytes gave nothing"))?
        .parse(0)?;
    u64::try_from(bytes).ok().filter(|bytes| (1..=HIGHEST_RATE).contains(bytes)).ok_or_else(wrong)
}
