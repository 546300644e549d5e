//! Cases to read, a model that shares nothing with the plan, and a simulated year.

mod cases;
mod model;
mod policy_cases;
mod properties;
mod simulation;

use chrono::{DateTime, NaiveDateTime, TimeZone, Utc};
use chrono_tz::Tz;
use uuid::Uuid;

use super::*;

/// `2026-11-20 02:00` by the clock of `zone`.
fn at(zone: Tz, text: &str) -> DateTime<Utc> {
    let local = NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M").expect("a time");
    zone.from_local_datetime(&local).single().expect("a time that is there once").to_utc()
}

fn utc(text: &str) -> DateTime<Utc> {
    at(Tz::UTC, text)
}

/// A good one of one byte.
fn backup(number: u128, snapshot_at: DateTime<Utc>) -> Backup {
    Backup {
        job: Uuid::from_u128(number),
        snapshot_at,
        size: 1,
        is_good: true,
        is_verified: false,
        locked_until: None,
        in_use: false,
    }
}

fn kept_jobs(decisions: &[Decision]) -> Vec<Uuid> {
    decisions.iter().filter(|decision| decision.keep).map(|decision| decision.job).collect()
}
