//! Golden files of every format (ACCEPT=1 writes them anew), hostile text, and the receivers' limits.

use super::*;
use crate::event::Severity;
use chrono::DateTime;
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use std::path::PathBuf;
use uuid::Uuid;

fn object(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

fn failure() -> Notification {
    Notification {
        id: Uuid::from_u128(0x0198_b1e2_0000_4000_8000_0000_0000_0001),
        event: "backup.failed".to_owned(),
        severity: Severity::Error,
        at: DateTime::from_timestamp(1_800_000_000, 0).unwrap(),
        database: "shop".to_owned(),
        database_id: Uuid::from_u128(0xdb),
        schedule: Some("nightly".to_owned()),
        job: Some(Uuid::from_u128(0x10b)),
        text: "backup to storage \"bucket\" failed: storage could not be reached".to_owned(),
        details: object(json!({
            "kind": "backup", "state": "failed", "storage": "bucket", "attempt": 2, "backup": null,
            "error_class": "storage_unreachable", "error_message": "storage could not be reached",
        })),
    }
}

/// Names and messages that try to be more than text.
fn hostile() -> Notification {
    let text = "<!channel> <@U1> @everyone [click](https://evil.example) *b* _i_ ~s~ `c` > q | # h & \\ \u{7}\u{1b}[0m \"q\"\nline";
    Notification {
        schedule: Some("<https://evil.example|ok>".to_owned()),
        job: None,
        database: "größe 表 <b>&amp;".to_owned(),
        severity: Severity::Critical,
        text: text.to_owned(),
        details: object(json!({ "storage": text, "count": 3, "list": ["a", 1], "empty": "" })),
        ..failure()
    }
}

fn golden(name: &str, body: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    let body: Value = serde_json::from_str(body).unwrap();
    if std::env::var_os("ACCEPT").is_some() {
        std::fs::write(&path, format!("{body:#}\n")).unwrap();
    }
    let expected: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    assert_eq!(body, expected, "{name}: {body:#}");
}

#[test]
fn every_format_is_as_it_was() {
    for format in Format::ALL {
        golden(&format!("{format}.failure.json"), &format.render(&failure()));
        golden(&format!("{format}.hostile.json"), &format.render(&hostile()));
    }
}

#[test]
fn formats_have_names() {
    for format in Format::ALL {
        assert_eq!(format.name().parse::<Format>().unwrap(), format);
    }
    assert!("Slack".parse::<Format>().is_err());
}

#[test]
fn the_generic_format_keeps_text_as_it_is() {
    let body: Value = serde_json::from_str(&Format::Json.render(&hostile())).unwrap();
    assert_eq!(body["schedule"], "<https://evil.example|ok>");
    assert_eq!(body["database"]["name"], "größe 表 <b>&amp;");
    assert!(body["text"].as_str().unwrap().contains("[click](https://evil.example)"));
    let mut large = failure();
    large.details = object(json!({ "a": 1, "b": "x".repeat(40_000), "c": "kept" }));
    let body: Value = serde_json::from_str(&Format::Json.render(&large)).unwrap();
    assert_eq!(body["details"], json!({ "a": 1, "c": "kept" }));
}

#[test]
fn nothing_in_a_text_is_a_command_to_its_reader() {
    let slack: Value = serde_json::from_str(&Format::Slack.render(&hostile())).unwrap();
    every_text(&slack, &mut |text| assert!(!text.contains(['<', '>']), "{text}"));
    let discord: Value = serde_json::from_str(&Format::Discord.render(&hostile())).unwrap();
    assert_eq!(discord["allowed_mentions"], json!({ "parse": [] }));
    every_text(&discord["embeds"][0]["fields"], &mut |text| {
        let bare = text.replace("\\\\", "");
        let escaped = |at: usize| at > 0 && bare.as_bytes()[at - 1] == b'\\';
        for (at, _) in bare.match_indices(['<', '[', ']', '*', '`', '|', '_', '@']) {
            assert!(escaped(at), "{text}");
        }
    });
    let teams = Format::Teams.render(&hostile());
    assert!(!teams.contains("\"TextBlock\""), "a text block would read Markdown");
}

fn every_text(value: &Value, look: &mut impl FnMut(&str)) {
    match value {
        Value::String(text) => look(text),
        Value::Array(values) => values.iter().for_each(|value| every_text(value, look)),
        Value::Object(fields) => fields.values().for_each(|value| every_text(value, look)),
        _ => {}
    }
}

/// What the receivers' documentation allows.
fn assert_limits(notification: &Notification) {
    let units = |value: &Value| value.as_str().unwrap().encode_utf16().count();
    let slack: Value = serde_json::from_str(&Format::Slack.render(notification)).unwrap();
    let blocks = slack["blocks"].as_array().unwrap();
    assert!(blocks.len() <= 50);
    assert!((1..=150).contains(&blocks[0]["text"]["text"].as_str().unwrap().chars().count()));
    assert!((1..=3000).contains(&blocks[1]["text"]["text"].as_str().unwrap().chars().count()));
    for fields in &blocks[2..] {
        let fields = fields["fields"].as_array().unwrap();
        assert!((1..=10).contains(&fields.len()));
        assert!(
            fields.iter().all(|field| (1..=2000).contains(&field["text"].as_str().unwrap().chars().count()))
        );
    }
    let discord: Value = serde_json::from_str(&Format::Discord.render(notification)).unwrap();
    let embed = &discord["embeds"][0];
    let fields = embed["fields"].as_array().unwrap();
    assert!(fields.len() <= 25);
    let of_fields = fields.iter().map(|field| {
        assert!((1..=256).contains(&units(&field["name"])) && (1..=1024).contains(&units(&field["value"])));
        units(&field["name"]) + units(&field["value"])
    });
    let together = of_fields.sum::<usize>()
        + units(&embed["title"])
        + units(&embed["description"])
        + units(&embed["footer"]["text"]);
    assert!(
        (1..=256).contains(&units(&embed["title"])) && (1..=4096).contains(&units(&embed["description"]))
    );
    assert!(together <= 6000, "{together}");
    assert!(Format::Teams.render(notification).len() <= 28_000);
    assert!(Format::Json.render(notification).len() <= 64 << 10);
}

proptest! {
    #[test]
    fn limits_are_kept_whatever_is_said(
        text in "(\\PC|[<&\\\\*\"\n\u{0}-\u{1f}]){0,300}",
        times in 0usize..60,
        names in proptest::collection::vec("\\PC{0,40}", 0..60),
    ) {
        let long = text.repeat(times);
        let details = names.into_iter().map(|name| (name, Value::String(long.clone()))).collect();
        assert_limits(&Notification {
            text: long.clone(), database: text.chars().take(63).collect(), schedule: Some(text.clone()), details, ..failure()
        });
    }
}
