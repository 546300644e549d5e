//! `walwarden.notification`: the outbox.

use crate::catalog::webhook;
use crate::pg::{clock, sql};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value};
use uuid::Uuid;
use walwarden_alert::Severity;
use walwarden_core::{Error, Result};

/// How many may wait for one webhook.
const MOST_WAITING: u32 = 100_000;
/// How long one is kept after it was settled.
const KEPT_DAYS: u32 = 30;
/// How many are removed at a time.
const REMOVED_AT_ONCE: u32 = 10_000;
/// How long a sender has one for itself. Longer than sending takes; if the sender dies, it is sent again after this.
const CLAIMED: TimeDelta = TimeDelta::seconds(60);

/// One that its sender has for itself.
#[derive(Debug, Clone)]
pub struct Claimed {
    /// The same in every attempt.
    pub id: Uuid,
    /// Name of its webhook.
    pub webhook: String,
    /// What happened.
    pub event: String,
    /// How bad it is.
    pub severity: Severity,
    /// The job it is about.
    pub job: Option<Uuid>,
    /// The schedule it is about.
    pub schedule: Option<String>,
    /// A sentence for people.
    pub message: String,
    /// What is known besides.
    pub detail: Map<String, Value>,
    /// When it happened.
    pub queued_at: DateTime<Utc>,
    /// Attempts so far, with the one that begins now.
    pub attempts: u32,
}

/// An event to tell.
#[derive(Debug, Clone)]
pub struct Alert<'a> {
    /// Its name.
    pub event: &'a str,
    /// The schedule it is about.
    pub schedule: Option<&'a str>,
    /// How bad it is.
    pub severity: Severity,
    /// A sentence for people.
    pub message: &'a str,
    /// What is known besides: an object.
    pub detail: Value,
}

/// Tell an event that is no state of a job: to whoever listens, and to the webhooks that chose it.
pub fn alert(alert: &Alert<'_>) -> Result<()> {
    sql::run(
        "SELECT walwarden._alert($1, NULL, $2, $3, $4, $5::jsonb)",
        &[
            Some(alert.event),
            alert.schedule,
            Some(alert.severity.name()),
            Some(alert.message),
            Some(&alert.detail.to_string()),
        ],
    )?;
    Ok(())
}

/// Take what is due: at most so many, one for each webhook, none for those that are being sent to. What was tried least comes
/// first, so that one that a receiver never takes holds up no other.
pub fn claim(busy: &[String], most: usize) -> Result<Vec<Claimed>> {
    let rows = sql::query(
        "UPDATE walwarden.notification AS n SET attempts = attempts + 1, next_attempt_at = $1::timestamptz \
           FROM (SELECT due.id FROM walwarden.webhook AS w \
                  CROSS JOIN LATERAL (SELECT d.id FROM walwarden.notification AS d \
                                       WHERE d.webhook = w.name AND d.delivered_at IS NULL AND d.given_up_at IS NULL \
                                         AND d.next_attempt_at <= pg_catalog.clock_timestamp() \
                                       ORDER BY d.attempts, d.seq LIMIT 1) AS due \
                  WHERE NOT EXISTS (SELECT FROM walwarden.webhook_pause AS p \
                                     WHERE p.webhook = w.name AND p.until > pg_catalog.clock_timestamp()) \
                    AND NOT w.name = ANY (ARRAY(SELECT b FROM pg_catalog.jsonb_array_elements_text($2::jsonb) AS b)) \
                  LIMIT $3::bigint) AS next \
          WHERE n.id = next.id \
         RETURNING n.id, n.webhook, n.event, n.severity, n.job, n.schedule, n.message, n.detail::text, \
                   (extract(epoch FROM n.queued_at) * 1000000)::bigint, n.attempts",
        &[
            Some(&clock::to_text(clock::now() + CLAIMED)),
            Some(&webhook::to_json(busy)),
            Some(&most.to_string()),
        ],
    )?;
    rows.iter().map(from_row).collect()
}

/// The receiver has it.
pub fn delivered(id: Uuid) -> Result<()> {
    settle("delivered_at = pg_catalog.clock_timestamp(), last_error = NULL", id, &[])
}

/// It is tried no more.
pub fn give_up(id: Uuid, error: &str) -> Result<()> {
    settle("given_up_at = pg_catalog.clock_timestamp(), last_error = $2", id, &[Some(error)])
}

/// It is tried again, not before this.
pub fn try_again(id: Uuid, time: DateTime<Utc>, error: &str) -> Result<()> {
    settle(
        "last_error = $2, next_attempt_at = $3::timestamptz",
        id,
        &[Some(error), Some(&clock::to_text(time))],
    )
}

fn settle(what: &str, id: Uuid, parameters: &[Option<&str>]) -> Result<()> {
    let statement = format!(
        "UPDATE walwarden.notification SET {what} WHERE id = $1::uuid AND delivered_at IS NULL AND given_up_at IS NULL"
    );
    let id = id.to_string();
    let parameters: Vec<_> = std::iter::once(Some(id.as_str())).chain(parameters.iter().copied()).collect();
    sql::run(&statement, &parameters)?;
    Ok(())
}

/// Give up all that wait for a webhook.
pub fn give_up_all_of(webhook: &str, error: &str) -> Result<()> {
    sql::run(
        "UPDATE walwarden.notification SET given_up_at = pg_catalog.clock_timestamp(), last_error = $2 \
         WHERE webhook = $1 AND delivered_at IS NULL AND given_up_at IS NULL",
        &[Some(webhook), Some(error)],
    )?;
    Ok(())
}

/// When the next attempt of any is due; None when nothing waits.
pub fn next_attempt() -> Result<Option<DateTime<Utc>>> {
    let row = sql::query_one(
        "SELECT (extract(epoch FROM pg_catalog.min(greatest(first.next_attempt_at, p.until))) * 1000000)::bigint \
           FROM walwarden.webhook AS w \
          CROSS JOIN LATERAL (SELECT pg_catalog.min(n.next_attempt_at) AS next_attempt_at FROM walwarden.notification AS n \
                               WHERE n.webhook = w.name AND n.delivered_at IS NULL AND n.given_up_at IS NULL) AS first \
           LEFT JOIN walwarden.webhook_pause AS p ON p.webhook = w.name \
          WHERE first.next_attempt_at IS NOT NULL",
        &[],
    )?;
    row.map_or(Ok(None), |row| row.time_nullable(0))
}

/// Keep the outbox from growing without end: the oldest of a webhook for which too many wait are given up, and what was
/// settled long ago is removed.
pub fn tidy() -> Result<()> {
    let note = format!("{MOST_WAITING} newer notifications wait for this webhook");
    sql::run(
        "UPDATE walwarden.notification AS n SET given_up_at = pg_catalog.clock_timestamp(), last_error = $2 \
           FROM walwarden.webhook AS w \
          CROSS JOIN LATERAL (SELECT d.id FROM walwarden.notification AS d \
                               WHERE d.webhook = w.name AND d.delivered_at IS NULL AND d.given_up_at IS NULL \
                               ORDER BY d.seq DESC OFFSET $1::bigint) AS excess \
          WHERE n.id = excess.id",
        &[Some(&MOST_WAITING.to_string()), Some(&note)],
    )?;
    sql::run(
        "DELETE FROM walwarden.notification WHERE id IN \
         (SELECT n.id FROM walwarden.notification AS n \
           WHERE (n.delivered_at IS NOT NULL OR n.given_up_at IS NOT NULL) \
             AND coalesce(n.delivered_at, n.given_up_at) < pg_catalog.clock_timestamp() - $1::interval \
           LIMIT $2::bigint)",
        &[Some(&format!("{KEPT_DAYS} days")), Some(&REMOVED_AT_ONCE.to_string())],
    )?;
    Ok(())
}

fn from_row(row: &sql::Row) -> Result<Claimed> {
    let not_an_object = || Error::internal("the detail of a notification is no JSON object");
    Ok(Claimed {
        id: row.parse(0)?,
        webhook: row.text(1)?,
        event: row.text(2)?,
        severity: row.parse(3)?,
        job: row.parse_nullable(4)?,
        schedule: row.get(5).map(str::to_owned),
        message: row.text(6)?,
        detail: serde_json::from_str(&row.text(7)?).map_err(|_| not_an_object())?,
        queued_at: row.time(8)?,
        attempts: row.parse(9)?,
    })
}
