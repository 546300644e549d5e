//! The generic format: docs/alerts.md describes it. Fields are added, never changed.

use super::clip::{characters, clip, json_bytes, plain};
use crate::notification::Notification;
use serde_json::{Map, Value, json};

/// Number of the schema.
const VERSION: u32 = 1;
/// The longest text, in characters.
const TEXT: usize = 4000;
/// The most bytes that all details take together; those that do not fit are left out.
const DETAILS: usize = 32 << 10;

pub fn body(notification: &Notification) -> Value {
    json!({
        "version": VERSION,
        "id": notification.id,
        "event": notification.event,
        "severity": notification.severity.name(),
        "at": notification.time(),
        "database": { "name": notification.database, "id": notification.database_id },
        "schedule": notification.schedule,
        "job": notification.job,
        "text": clip(&notification.text, TEXT, characters, plain),
        "details": details(&notification.details),
    })
}

fn details(all: &Map<String, Value>) -> Map<String, Value> {
    let mut room = DETAILS;
    all.iter()
        .filter(|(name, value)| {
            let size = json_bytes(name) + json_bytes(&value.to_string());
            let fits = size <= room;
            room -= if fits { size } else { 0 };
            fits && !value.is_null()
        })
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}
