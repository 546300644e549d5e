//! Slack's incoming webhooks: <https://docs.slack.dev/reference/block-kit/blocks>.

use super::clip::{characters, clip};
use crate::event::Severity;
use crate::notification::Notification;
use serde_json::{Value, json};

/// The longest headline (header block), text (section block) and field, and how many fields a block may have.
const HEADLINE: usize = 150;
const TEXT: usize = 3000;
const FIELD: usize = 2000;
const FIELDS_OF_A_BLOCK: usize = 10;
/// More than two blocks of fields nobody reads.
const FIELDS: usize = 2 * FIELDS_OF_A_BLOCK;

pub fn body(notification: &Notification) -> Value {
    let headline = format!("{} {}", sign(notification.severity), notification.title());
    let text = escaped(&notification.text, TEXT);
    let mut blocks = vec![
        json!({ "type": "header", "text": { "type": "plain_text", "text": escaped(&headline, HEADLINE), "emoji": false } }),
        json!({ "type": "section", "text": { "type": "mrkdwn", "text": text, "verbatim": true } }),
    ];
    let facts: Vec<Value> = notification
        .facts()
        .into_iter()
        .take(FIELDS)
        .map(|(name, value)| {
            let text = format!("*{}*\n{}", escaped(&name, 100), escaped(&value, FIELD - 104));
            json!({ "type": "mrkdwn", "text": text, "verbatim": true })
        })
        .collect();
    blocks
        .extend(facts.chunks(FIELDS_OF_A_BLOCK).map(|fields| json!({ "type": "section", "fields": fields })));
    // The first is for notifications of the system, which show no blocks.
    json!({ "text": escaped(&format!("{headline}: {}", notification.text), TEXT), "blocks": blocks })
}

const fn sign(severity: Severity) -> char {
    match severity {
        Severity::Info => '✅',
        Severity::Warning => '⚠',
        Severity::Error => '❌',
        Severity::Critical => '🚨',
    }
}

/// With these three escaped there is no link, no mention and no command: all of them begin with `<`.
fn escaped(text: &str, most: usize) -> String {
    // An empty text is refused.
    let text = if text.trim().is_empty() { "-" } else { text };
    clip(text, most, characters, |character, into| match character {
        '&' => into.push_str("&amp;"),
        '<' => into.push_str("&lt;"),
        '>' => into.push_str("&gt;"),
        other => into.push(other),
    })
}
