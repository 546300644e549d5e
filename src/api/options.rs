//! The options of a backup as users give them.

use crate::pg::segment::MOST_COPIERS;
use crate::worker::compression;
use serde::de::DeserializeOwned;
use walwarden_core::backup_options::BackupOptions;
use walwarden_core::{Error, Result};

/// What the SQL functions put together.
pub fn read<T: DeserializeOwned>(json: &str) -> Result<T> {
    serde_json::from_str(json).map_err(|cause| Error::invalid(format!("an argument cannot be used: {cause}")))
}

/// Check them, at the moment they are given; what they mean is spelled out.
pub fn checked(given: BackupOptions) -> Result<BackupOptions> {
    given.validate()?;
    check_jobs(given.jobs)?;
    let compression = match given.compression.as_deref().map(str::trim) {
        Some(wanted) => Some(compression::choose(Some(wanted))?.name()),
        None => None,
    };
    Ok(BackupOptions { compression, ..given })
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
