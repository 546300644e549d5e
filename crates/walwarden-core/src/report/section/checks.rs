//! What was proven of backups after they were made.

use maud::{Markup, html};

use super::failures::{cut, kind};
use super::section;
use super::table::{Column, left_out, none, table};
use crate::report::model::{Check, Outcome, Report, Tally};
use crate::report::quantity::{count_text, maybe_count, maybe_span, maybe_time, time};

/// The section.
pub fn draw(report: &Report) -> Markup {
    let checks = &report.checks;
    section(
        4,
        &html! {
            p {
                "Every backup is read back from storage once before it counts as completed. A verification compares it again later; a restore "
                "test brings it back into a database of its own, counts all rows and drops it."
            }
            (table("checks-tally", "How often, in the range and at last", &[
                Column::Text("What"), Column::Number("Passed"), Column::Number("Failed"), Column::Text("Last passed"), Column::Text("Last failed"),
            ], &[tally("Restore tests", &checks.tests), tally("Verifications", &checks.verifications)]))
            @if checks.newest.total == 0 {
                (none("Nothing was tested or verified in this time."))
            } @else {
                (table("checks-jobs", "Restore tests and verifications, the newest first", &[
                    Column::Text("Ended"), Column::Text("What"), Column::Text("Result"), Column::Text("Data of"), Column::Text("Storage"),
                    Column::Number("Rows"), Column::Number("Took"), Column::Long("Notes"), Column::Text("Backup"),
                ], &checks.newest.rows.iter().map(row).collect::<Vec<_>>()))
                (left_out("The newest", checks.newest.rows.len(), checks.newest.total))
            }
        },
    )
}

fn tally(name: &str, tally: &Tally) -> Vec<Markup> {
    vec![
        html! { (name) },
        html! { (count_text(tally.passed)) },
        html! { (count_text(tally.failed)) },
        maybe_time(tally.last_passed.as_ref()),
        maybe_time(tally.last_failed.as_ref()),
    ]
}

fn row(check: &Check) -> Vec<Markup> {
    vec![
        time(&check.at),
        html! { (kind(check.kind)) @if let Some(depth) = &check.depth { ", " (depth) } },
        outcome(check.outcome, "passed"),
        maybe_time(check.snapshot_at.as_ref()),
        html! { span.name { (check.storage) } },
        maybe_count(check.rows),
        maybe_span(check.took),
        html! {
            @if check.smoke && check.outcome == Outcome::Completed { "The smoke query answered as it must. " }
            @if let Some(unchecked) = &check.unchecked { "Not looked at: " (cut(unchecked)) " " }
            @if let Some(message) = &check.message { (cut(message)) }
        },
        html! { code.id { (check.backup) } },
    ]
}

/// How a job ended, in a word.
pub fn outcome(outcome: Outcome, completed: &str) -> Markup {
    match outcome {
        Outcome::Completed => html! { span.tag.good { (completed) } },
        Outcome::Partial => html! { span.tag.attention { "partial" } },
        Outcome::Failed => html! { span.tag.bad { "failed" } },
        Outcome::Canceled => html! { span.tag { "canceled" } },
    }
}
