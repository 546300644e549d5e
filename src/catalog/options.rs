//! How a backup copies: the options that a schedule has and a job is given.

use crate::pg::sql::Row;
use walwarden_core::Result;

/// None leaves it to walwarden.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BackupOptions {
    /// Copiers.
    pub jobs: Option<i32>,
    /// As `walwarden_core::archive::Compression` reads it.
    pub compression: Option<String>,
    /// Bytes a second that go to storage.
    pub max_rate: Option<u64>,
}

impl BackupOptions {
    /// From the columns `jobs, compression, max_rate`, which begin at `index`.
    pub fn from_row(row: &Row, index: usize) -> Result<Self> {
        Ok(Self {
            jobs: row.parse_nullable(index)?,
            compression: row.get(index + 1).map(str::to_owned),
            max_rate: row.parse_nullable(index + 2)?,
        })
    }

    /// For the same columns, as parameters of a statement.
    pub fn to_texts(&self) -> [Option<String>; 3] {
        [
            self.jobs.map(|jobs| jobs.to_string()),
            self.compression.clone(),
            self.max_rate.map(|rate| rate.to_string()),
        ]
    }

    /// These, and where they leave it open, `others`.
    pub fn or(self, others: Self) -> Self {
        Self {
            jobs: self.jobs.or(others.jobs),
            compression: self.compression.or(others.compression),
            max_rate: self.max_rate.or(others.max_rate),
        }
    }
}
