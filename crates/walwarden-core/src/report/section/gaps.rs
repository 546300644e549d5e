//! What could have been lost at worst, and which times did not run.

use maud::{Markup, html};

use super::section;
use super::table::{Column, left_out, none, table};
use crate::report::model::{PassedOver, Report, Window};
use crate::report::quantity::{count_text, counted, span, time};

/// The section.
pub fn draw(report: &Report) -> Markup {
    let gaps = &report.gaps;
    section(
        2,
        &html! {
            @if gaps.windows.is_empty() {
                (none("There was no good backup to count from."))
            } @else {
                p {
                    "From the moment that one good backup holds to the end of the next good one: just before that end, everything in between "
                    "would have been lost. Backups that were deleted later count, those known to be damaged do not."
                }
                (table("gaps-windows", "The longest such times, the longest first", &[
                    Column::Number("Length"), Column::Text("From"), Column::Text("To"), Column::Text("Ended by"),
                ], &gaps.windows.iter().map(window).collect::<Vec<_>>()))
            }
            @if gaps.passed_over.total == 0 {
                (none("No scheduled time was missed or skipped."))
            } @else {
                p {
                    (counted(gaps.missed, "scheduled time was", "scheduled times were")) " missed, because nothing could run; "
                    (counted(gaps.skipped, "was", "were")) " skipped, because the run before went on."
                }
                (table("gaps-passed", "Scheduled times that did not run, the newest first", &[
                    Column::Text("Noticed"), Column::Text("What"), Column::Text("Schedule"), Column::Text("The last of these times"), Column::Number("Times"),
                ], &gaps.passed_over.rows.iter().map(passed_over).collect::<Vec<_>>()))
                (left_out("The newest", gaps.passed_over.rows.len(), gaps.passed_over.total))
            }
        },
    )
}

fn window(window: &Window) -> Vec<Markup> {
    vec![
        span(window.length()),
        time(&window.since),
        time(&window.until),
        html! { @if window.is_open { "nothing yet" } @else { "a good backup" } },
    ]
}

fn passed_over(passed: &PassedOver) -> Vec<Markup> {
    vec![
        time(&passed.at),
        html! { code { (passed.event) } },
        html! { span.name { (passed.schedule) } },
        html! { (passed.scheduled_for) },
        html! { (count_text(passed.count)) },
    ]
}
