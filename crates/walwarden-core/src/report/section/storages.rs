//! Where backups are, and which copies are missing or damaged.

use maud::{Markup, html};

use super::failures::cut;
use super::section;
use super::table::{Column, left_out, none, table};
use crate::report::model::{Damaged, Report, Storage};
use crate::report::quantity::{count_text, maybe_time, size};

/// The section.
pub fn draw(report: &Report) -> Markup {
    section(
        6,
        &html! {
            @if report.storages.rows.is_empty() {
                (none("There is no storage."))
            } @else {
                (table("storages-table", "Each storage and what should be in it, now", &[
                    Column::Text("Storage"), Column::Long("Where"), Column::Number("Backups"), Column::Number("Size"), Column::Text("Newest copy"),
                    Column::Number("Missing copies"), Column::Number("Held by a lock"),
                ], &report.storages.rows.iter().map(row).collect::<Vec<_>>()))
                (left_out("The first", report.storages.rows.len(), report.storages.total))
            }
            @if report.damaged.total == 0 {
                p { "No copy in storage is known to be damaged." }
            } @else {
                (table("storages-damaged", "Copies that are known to be damaged", &[
                    Column::Text("Data of"), Column::Text("Storage"), Column::Long("What is wrong"), Column::Text("Backup"),
                ], &report.damaged.rows.iter().map(damaged).collect::<Vec<_>>()))
                (left_out("The newest", report.damaged.rows.len(), report.damaged.total))
            }
        },
    )
}

fn row(storage: &Storage) -> Vec<Markup> {
    vec![
        html! { span.name { (storage.name) } },
        html! { code { (storage.url) } },
        html! { (count_text(storage.stored)) },
        size(storage.bytes),
        maybe_time(storage.newest.as_ref()),
        html! { @if storage.missing > 0 { strong.warn { (count_text(storage.missing)) } } @else { "0" } },
        html! { (count_text(storage.retained)) },
    ]
}

fn damaged(damaged: &Damaged) -> Vec<Markup> {
    vec![
        maybe_time(damaged.snapshot_at.as_ref()),
        html! { span.name { (damaged.storage) } },
        html! { (cut(&damaged.damage)) },
        html! { code.id { (damaged.job) } },
    ]
}
