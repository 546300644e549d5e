//! `walwarden.watch`: when the rounds were last made; and `walwarden.storage_shortage`: what was told of full storages.

use crate::pg::{clock, sql};
use chrono::{DateTime, Utc};
use walwarden_core::{Error, Result};

/// What the rounds look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Round {
    /// The room that storages have.
    Storages,
    /// The newest entries of the audit chain.
    Audit,
}

impl Round {
    const fn column(self) -> &'static str {
        match self {
            Self::Storages => "storages_at",
            Self::Audit => "audit_at",
        }
    }
}

/// When it was looked at; None for never.
pub fn last(round: Round) -> Result<Option<DateTime<Utc>>> {
    let statement = format!(
        "SELECT CASE WHEN {0} > '-infinity' THEN (extract(epoch FROM {0}) * 1000000)::bigint END FROM walwarden.watch",
        round.column()
    );
    sql::query_one(&statement, &[])?
        .ok_or_else(|| Error::internal("walwarden.watch has no row"))?
        .time_nullable(0)
}

/// It is being looked at now.
pub fn note(round: Round, time: DateTime<Utc>) -> Result<()> {
    let statement = format!("UPDATE walwarden.watch SET {} = $1::timestamptz", round.column());
    sql::run(&statement, &[Some(&clock::to_text(time))])?;
    Ok(())
}

/// So many problems of the audit chain were found.
pub fn note_problems(count: usize) -> Result<()> {
    if super::objects_are_of_0_1_0()? {
        return Ok(());
    }
    sql::run("UPDATE walwarden.watch SET audit_problems = $1::bigint", &[Some(&count.to_string())])?;
    Ok(())
}

/// A storage is nearly full. True when that is to be told: it was not within the last day.
pub fn note_shortage(storage: &str) -> Result<bool> {
    let touched = sql::run(
        "INSERT INTO walwarden.storage_shortage AS s (storage, told_at) VALUES ($1, pg_catalog.clock_timestamp()) \
         ON CONFLICT (storage) DO UPDATE SET told_at = EXCLUDED.told_at \
         WHERE s.told_at < pg_catalog.clock_timestamp() - '1 day'::interval",
        &[Some(storage)],
    )?;
    Ok(touched > 0)
}

/// It has room again.
pub fn forget_shortage(storage: &str) -> Result<()> {
    sql::run("DELETE FROM walwarden.storage_shortage WHERE storage = $1", &[Some(storage)])?;
    Ok(())
}
