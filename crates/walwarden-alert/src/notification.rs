//! What a message is made of, before it has a format.

use crate::event::Severity;
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Map, Value};
use uuid::Uuid;

/// One event, on its way to one webhook.
#[derive(Debug, Clone, PartialEq)]
pub struct Notification {
    /// The same in every attempt, so that a receiver can tell a repetition.
    pub id: Uuid,
    /// What happened, such as `backup.failed`.
    pub event: String,
    /// How bad it is.
    pub severity: Severity,
    /// When.
    pub at: DateTime<Utc>,
    /// Name of the database.
    pub database: String,
    /// Walwarden's id of the database: part of the path of its objects in storage.
    pub database_id: Uuid,
    /// The schedule it is about.
    pub schedule: Option<String>,
    /// The job it is about.
    pub job: Option<Uuid>,
    /// A sentence for people.
    pub text: String,
    /// What is known besides.
    pub details: Map<String, Value>,
}

impl Notification {
    /// When it happened, as RFC 3339 in UTC.
    pub fn time(&self) -> String {
        self.at.to_rfc3339_opts(SecondsFormat::Secs, true)
    }

    /// What a table for people shows: names and values.
    pub fn facts(&self) -> Vec<(String, String)> {
        let mut facts = vec![
            ("Database".to_owned(), self.database.clone()),
            ("Event".to_owned(), self.event.clone()),
            ("Time".to_owned(), self.time()),
        ];
        if let Some(schedule) = &self.schedule {
            facts.push(("Schedule".to_owned(), schedule.clone()));
        }
        if let Some(job) = self.job {
            facts.push(("Job".to_owned(), job.to_string()));
        }
        let details = self.details.iter().filter(|(_, value)| !value.is_null());
        facts.extend(details.map(|(name, value)| (in_words(name), in_text(value))));
        facts
    }

    /// A headline.
    pub fn title(&self) -> String {
        format!("walwarden: {} in {}", self.event, self.database)
    }
}

/// `error_class` as "Error class".
fn in_words(name: &str) -> String {
    let mut characters = name.chars().map(|c| if c == '_' { ' ' } else { c });
    let first: Option<String> = characters.next().map(|c| c.to_uppercase().collect());
    first.into_iter().chain(characters.map(String::from)).collect()
}

fn in_text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
