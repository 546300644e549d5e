//! Microsoft Teams: what the workflow "post to a channel when a webhook request is received" takes, an adaptive card.
//! <https://learn.microsoft.com/connectors/teams/>; a message has 28 KB at the most.

use super::clip::{clip, json_bytes, plain};
use crate::event::Severity;
use crate::notification::Notification;
use serde_json::{Value, json};

/// Bytes of JSON that headline and text may have.
const HEADLINE: usize = 400;
const TEXT: usize = 6000;
/// How many facts, and the bytes that the name and the value of each may have. With what stands around them all of it is
/// below the limit.
const FACTS: usize = 20;
const NAME: usize = 60;
const VALUE: usize = 500;

pub fn body(notification: &Notification) -> Value {
    let mut card = vec![
        line(&[json!({
            "type": "TextRun", "text": cut(&notification.title(), HEADLINE), "weight": "bolder", "size": "medium",
            "color": color(notification.severity),
        })]),
        line(&[json!({ "type": "TextRun", "text": cut(&notification.text, TEXT) })]),
    ];
    for (name, value) in notification.facts().into_iter().take(FACTS) {
        let name = format!("{}: ", cut(&name, NAME));
        card.push(line(&[
            json!({ "type": "TextRun", "text": name, "weight": "bolder" }),
            json!({ "type": "TextRun", "text": cut(&value, VALUE) }),
        ]));
    }
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": null,
            "content": {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "type": "AdaptiveCard",
                "version": "1.4",
                "msteams": { "width": "Full" },
                "body": card,
            },
        }],
    })
}

/// Text runs know no Markdown, as text blocks do: what they hold is shown as it is.
fn line(runs: &[Value]) -> Value {
    json!({ "type": "RichTextBlock", "inlines": runs })
}

const fn color(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "good",
        Severity::Warning => "warning",
        Severity::Error | Severity::Critical => "attention",
    }
}

fn cut(text: &str, most: usize) -> String {
    clip(text, most, json_bytes, plain)
}
