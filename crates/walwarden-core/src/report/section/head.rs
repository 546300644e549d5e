//! What the page is about, and who made it.

use maud::{Markup, html};

use crate::report::model::Report;
use crate::report::quantity::time;

/// The title and the facts below it.
pub fn draw(report: &Report) -> Markup {
    let head = &report.head;
    html! {
        p.product { "walwarden backup report" }
        h1 { "Backups of " span.name { (head.database) } }
        dl.facts {
            div { dt { "Range" } dd { (time(&report.from)) " to " (time(&report.to)) } }
            div { dt { "Time zone" } dd { (head.time_zone) } }
            div { dt { "Made" } dd { (time(&head.made_at)) " for " span.name { (head.made_by) } } }
            div { dt { "Database id" } dd { code { (head.database_id) } } }
            div { dt { "Server" } dd { "PostgreSQL " (head.server_version) } }
            div { dt { "walwarden" } dd { (head.walwarden_version) } }
        }
    }
}
