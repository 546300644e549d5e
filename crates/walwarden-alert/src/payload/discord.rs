//! Discord's webhooks: <https://discord.com/developers/docs/resources/message#embed-object-embed-limits>.

use super::clip::{clip, utf16};
use crate::event::Severity;
use crate::notification::Notification;
use serde_json::{Value, json};

/// The longest headline, and name and value of a field; how many fields; and all of it together, with some room for the
/// footer.
const HEADLINE: usize = 256;
const NAME: usize = 256;
const VALUE: usize = 1024;
const FIELDS: usize = 25;
const TOGETHER: usize = 5900;
/// Of which the text may have this; the limit is 4096, but then little would be left for the fields.
const TEXT: usize = 3000;

pub fn body(notification: &Notification) -> Value {
    let (title, text) = (escaped(&notification.title(), HEADLINE), escaped(&notification.text, TEXT));
    let mut room = TOGETHER - utf16(&title) - utf16(&text);
    let fields: Vec<Value> = notification
        .facts()
        .into_iter()
        .take(FIELDS)
        .map(|(name, value)| (escaped(&name, NAME), escaped(&value, VALUE)))
        .take_while(|(name, value)| {
            let size = utf16(name) + utf16(value);
            let fits = size <= room;
            room = room.saturating_sub(size);
            fits
        })
        .map(|(name, value)| json!({ "name": name, "value": value, "inline": value.len() < 40 }))
        .collect();
    json!({
        "username": "walwarden",
        // Nobody is called by what a table may be named.
        "allowed_mentions": { "parse": [] },
        "embeds": [{
            "title": title,
            "description": text,
            "color": color(notification.severity),
            "timestamp": notification.time(),
            "fields": fields,
            "footer": { "text": format!("walwarden {}", notification.id) },
        }],
    })
}

const fn color(severity: Severity) -> u32 {
    match severity {
        Severity::Info => 0x2e_a0_43,
        Severity::Warning => 0xd2_99_22,
        Severity::Error => 0xda_36_33,
        Severity::Critical => 0x8b_00_00,
    }
}

/// Markdown is taken as text: no link shows another address than its own.
fn escaped(text: &str, most: usize) -> String {
    // An empty name or value is refused.
    let text = if text.trim().is_empty() { "-" } else { text };
    clip(text, most, utf16, |character, into| {
        if "\\*_~`|>#[]()<@".contains(character) {
            into.push('\\');
        }
        into.push(character);
    })
}
