//! `walwarden.webhook`: who is told of what; and `walwarden.webhook_pause`: whom not to ask again yet.

use crate::pg::{clock, sql};
use chrono::{DateTime, Utc};
use walwarden_core::{Error, ErrorClass, Result};

/// A row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Its name.
    pub name: String,
    /// Name of its format.
    pub format: String,
    /// Its URL, and the host in it, where it is no secret.
    pub url: Option<Url>,
    /// The profile of the credentials file with its secrets.
    pub profile: Option<String>,
    /// The events it is told of.
    pub events: Vec<String>,
    /// The schedules whose events it is told of; None is all.
    pub schedules: Option<Vec<String>>,
}

/// A URL that is no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    /// All of it.
    pub text: String,
    /// Host and port.
    pub host: String,
}

const COLUMNS: &str = "name, format, url, host, profile, pg_catalog.to_jsonb(events)::text, pg_catalog.to_jsonb(schedules)::text";
const TO_ARRAY: &str = "ARRAY(SELECT e FROM pg_catalog.jsonb_array_elements_text";

/// The webhook with this name.
pub fn find(name: &str) -> Result<Webhook> {
    let statement = format!("SELECT {COLUMNS} FROM walwarden.webhook WHERE name = $1");
    from_row(&sql::query_one(&statement, &[Some(name)])?.ok_or_else(|| unknown(name))?)
}

/// Every webhook, by name.
pub fn all() -> Result<Vec<Webhook>> {
    let statement = format!("SELECT {COLUMNS} FROM walwarden.webhook ORDER BY name");
    sql::query(&statement, &[])?.iter().map(from_row).collect()
}

/// Add a webhook that was found valid.
pub fn insert(webhook: &Webhook) -> Result<()> {
    let statement = format!(
        "INSERT INTO walwarden.webhook (name, format, url, host, profile, events, schedules) \
         VALUES ($1, $2, $3, $4, $5, {TO_ARRAY}($6::jsonb) AS e), \
                 CASE WHEN $7 IS NOT NULL THEN {TO_ARRAY}($7::jsonb) AS e) END) ON CONFLICT (name) DO NOTHING"
    );
    if write(&statement, webhook)? == 0 {
        return Err(Error::new(
            ErrorClass::AlreadyExists,
            format!("webhook \"{}\" exists already", webhook.name),
        )
        .hint("Change it with walwarden.alter_webhook()."));
    }
    Ok(())
}

/// Change a webhook to what was found valid. It is tried again at once.
pub fn update(webhook: &Webhook) -> Result<()> {
    let statement = format!(
        "UPDATE walwarden.webhook SET format = $2, url = $3, host = $4, profile = $5, events = {TO_ARRAY}($6::jsonb) AS e), \
         schedules = CASE WHEN $7 IS NOT NULL THEN {TO_ARRAY}($7::jsonb) AS e) END WHERE name = $1"
    );
    write(&statement, webhook)?;
    resume(&webhook.name)
}

fn write(statement: &str, webhook: &Webhook) -> Result<u64> {
    let schedules = webhook.schedules.as_deref().map(to_json);
    sql::run(
        statement,
        &[
            Some(&webhook.name),
            Some(&webhook.format),
            webhook.url.as_ref().map(|url| url.text.as_str()),
            webhook.url.as_ref().map(|url| url.host.as_str()),
            webhook.profile.as_deref(),
            Some(&to_json(&webhook.events)),
            schedules.as_deref(),
        ],
    )
}

/// Remove a webhook. What it was not told yet it will not be told.
pub fn delete(name: &str) -> Result<()> {
    if sql::run("DELETE FROM walwarden.webhook WHERE name = $1", &[Some(name)])? == 0 {
        return Err(unknown(name));
    }
    Ok(())
}

/// The receiver failed so many times in a row, and is left alone until then.
pub fn pause(name: &str, failures: u32, until: DateTime<Utc>, error: &str) -> Result<()> {
    sql::run(
        "INSERT INTO walwarden.webhook_pause (webhook, failures, until, last_error) \
         SELECT name, $2::integer, $3::timestamptz, $4 FROM walwarden.webhook WHERE name = $1 \
         ON CONFLICT (webhook) DO UPDATE SET failures = EXCLUDED.failures, until = EXCLUDED.until, last_error = EXCLUDED.last_error",
        &[Some(name), Some(&failures.to_string()), Some(&clock::to_text(until)), Some(error)],
    )?;
    Ok(())
}

/// How often in a row the receiver failed.
pub fn failures(name: &str) -> Result<u32> {
    let row =
        sql::query_one("SELECT failures FROM walwarden.webhook_pause WHERE webhook = $1", &[Some(name)])?;
    row.map_or(Ok(0), |row| row.parse(0))
}

/// The receiver answers.
pub fn resume(name: &str) -> Result<()> {
    sql::run("DELETE FROM walwarden.webhook_pause WHERE webhook = $1", &[Some(name)])?;
    Ok(())
}

/// A list as the statements take it.
pub fn to_json(list: &[String]) -> String {
    serde_json::Value::from(list).to_string()
}

/// A list as a statement gave it.
pub fn from_json(text: &str) -> Result<Vec<String>> {
    serde_json::from_str(text).map_err(|cause| Error::internal(format!("a list of texts is none: {cause}")))
}

fn from_row(row: &sql::Row) -> Result<Webhook> {
    let url = match (row.get(2), row.get(3)) {
        (Some(text), Some(host)) => Some(Url { text: text.to_owned(), host: host.to_owned() }),
        _ => None,
    };
    Ok(Webhook {
        name: row.text(0)?,
        format: row.text(1)?,
        url,
        profile: row.get(4).map(str::to_owned),
        events: from_json(&row.text(5)?)?,
        schedules: row.get(6).map(from_json).transpose()?,
    })
}

fn unknown(name: &str) -> Error {
    Error::new(ErrorClass::NotFound, format!("webhook \"{name}\" does not exist"))
        .hint("See walwarden.webhooks, or add one with walwarden.add_webhook().")
}
