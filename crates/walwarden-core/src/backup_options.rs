//! How a backup is made: what a schedule says and a job is given. As JSON in `job.options`, in a schedule's definition and in
//! the manifest; what is absent is left to walwarden.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::filter::Filter;
use crate::schedule::Retries;

/// The longest time limit and the longest pause between attempts, seconds: a week.
const LONGEST: u64 = 7 * 24 * 3600;
/// More attempts than anybody waits for.
const MOST_RETRIES: u32 = 100;
/// Seconds until the second attempt where nothing is said.
const DEFAULT_RETRY_DELAY: u32 = 60;

/// How a backup is made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BackupOptions {
    /// Copiers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jobs: Option<i32>,
    /// As [`crate::archive::Compression`] reads it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compression: Option<String>,
    /// Bytes a second that go to storage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_rate: Option<u64>,
    /// Seconds that one attempt may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<u64>,
    /// Further attempts after a failure that may pass by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retries: Option<u32>,
    /// Seconds until the first of them; each later one waits twice as long as the one before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_delay: Option<u32>,
    /// What is in it.
    #[serde(skip_serializing_if = "Filter::is_empty")]
    pub filter: Filter,
}

impl BackupOptions {
    /// How failed attempts are repeated.
    pub fn retries(&self) -> Retries {
        Retries {
            retries: self.retries.unwrap_or(0),
            delay_seconds: self.retry_delay.unwrap_or(DEFAULT_RETRY_DELAY),
        }
    }

    /// These, and where they leave it open, `others`. A filter is one choice: given any pattern, those of `others` do not
    /// count.
    #[must_use]
    pub fn or(self, others: Self) -> Self {
        Self {
            jobs: self.jobs.or(others.jobs),
            compression: self.compression.or(others.compression),
            max_rate: self.max_rate.or(others.max_rate),
            timeout: self.timeout.or(others.timeout),
            retries: self.retries.or(others.retries),
            retry_delay: self.retry_delay.or(others.retry_delay),
            filter: if self.filter.is_empty() { others.filter } else { self.filter },
        }
    }

    /// What can be told without a server.
    ///
    /// # Errors
    /// `InvalidInput` that names the option.
    pub fn validate(&self) -> Result<()> {
        if self.timeout.is_some_and(|seconds| !(1..=LONGEST).contains(&seconds)) {
            return Err(Error::invalid("timeout must be at least one second and at most a week"));
        }
        if self.retries.is_some_and(|retries| retries > MOST_RETRIES) {
            return Err(Error::invalid(format!("retries must be 0 to {MOST_RETRIES}")));
        }
        if self.retry_delay.is_some_and(|seconds| !(1..=LONGEST).contains(&u64::from(seconds))) {
            return Err(Error::invalid("retry_delay must be at least one second and at most a week"));
        }
        self.filter.validate()
    }
}
