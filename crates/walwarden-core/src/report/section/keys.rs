//! Which keys signed.

use maud::{Markup, html};

use super::section;
use super::table::{Column, left_out, none, table};
use crate::report::model::{KeyEvent, KeyUse, Report};
use crate::report::quantity::{count_text, counted, time};

/// The section.
pub fn draw(report: &Report) -> Markup {
    let keys = &report.keys;
    section(
        8,
        &html! {
            p {
                @match (&keys.current, &keys.problem) {
                    (Some(id), _) => { "The key that signs now has the id " code { (id) } "." }
                    (None, Some(problem)) => { "The key that signs now cannot be read: " (problem) }
                    (None, None) => { "There is no signing key yet; the first backup makes it." }
                }
            }
            @if keys.used.rows.is_empty() {
                (none("No backup of this time has a manifest."))
            } @else {
                p.note {
                    "As named by the manifests of the newest " (counted(keys.manifests, "backup", "backups"))
                    " of this time. Their signatures were not checked for this page."
                }
                (table("keys-used", "Keys that signed, the first one first", &[
                    Column::Text("Key"), Column::Text("First backup"), Column::Text("Last backup"), Column::Number("Backups"), Column::Text("Signs now"),
                ], &keys.used.rows.iter().map(|used| row(used, keys.current.as_deref())).collect::<Vec<_>>()))
                (left_out("The first", keys.used.rows.len(), keys.used.total))
            }
            @if !keys.events.rows.is_empty() {
                (table("keys-events", "What the audit chain has of keys, the newest first", &[
                    Column::Text("When"), Column::Text("What"), Column::Text("By"),
                ], &keys.events.rows.iter().map(event).collect::<Vec<_>>()))
                (left_out("The newest", keys.events.rows.len(), keys.events.total))
            }
        },
    )
}

fn row(used: &KeyUse, current: Option<&str>) -> Vec<Markup> {
    let signs = used.id.is_some() && used.id.as_deref() == current;
    vec![
        html! { @match &used.id { Some(id) => { code { (id) } } None => { "not named" } } },
        time(&used.first),
        time(&used.last),
        html! { (count_text(used.backups)) },
        html! { @if signs { "yes" } @else { "no" } },
    ]
}

fn event(event: &KeyEvent) -> Vec<Markup> {
    vec![time(&event.at), html! { code { (event.event) } }, html! { span.name { (event.actor) } }]
}
