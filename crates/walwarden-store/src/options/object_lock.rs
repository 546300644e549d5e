//! Objects that nobody can delete before a date ("Locking objects with Object Lock", Amazon S3 User Guide).

use serde_json::{Map, Value};
use walwarden_core::Result;

use super::values::{choice, impossible, number};

/// Amazon's limit: a hundred years.
const MAX_DAYS: u64 = 36_500;

/// The retention that every object is written with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObjectLock {
    /// `lock_mode`.
    pub mode: LockMode,
    /// `lock_days`: days from the moment an object's upload begins.
    pub days: u32,
}

/// Who can lift a retention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockMode {
    /// Who has the permission `s3:BypassGovernanceRetention`. walwarden never uses it.
    Governance,
    /// Nobody.
    Compliance,
}

impl LockMode {
    /// As S3 calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Governance => "GOVERNANCE",
            Self::Compliance => "COMPLIANCE",
        }
    }
}

pub(super) fn parse(object: &Map<String, Value>) -> Result<Option<ObjectLock>> {
    const MODES: [(&str, LockMode); 2] =
        [("governance", LockMode::Governance), ("compliance", LockMode::Compliance)];
    let mode = choice(object, "lock_mode", &MODES)?;
    let days = number(object, "lock_days", 1, MAX_DAYS)?.and_then(|days| u32::try_from(days).ok());
    match (mode, days) {
        (Some(mode), Some(days)) => Ok(Some(ObjectLock { mode, days })),
        (None, None) => Ok(None),
        (Some(_), None) => Err(impossible("lock_mode", "It needs the option \"lock_days\".")),
        (None, Some(_)) => Err(impossible("lock_days", "It needs the option \"lock_mode\".")),
    }
}
