//! Whether the audit chain agrees with itself.

use maud::{Markup, html};

use super::section;
use super::table::{Column, left_out, table};
use crate::report::model::Report;
use crate::report::quantity::{count_text, counted};

/// The section.
pub fn draw(report: &Report) -> Markup {
    let chain = &report.chain;
    section(
        7,
        &html! {
            p {
                @if chain.is_whole {
                    "All " (counted(chain.checked, "entry was", "entries were")) " checked: "
                } @else {
                    "The newest " (count_text(chain.checked)) " of " (counted(chain.entries, "entry", "entries"))
                    " were checked, from the one before them on, which was believed: "
                }
                @if chain.problems.total == 0 { "every hash, link and column agrees." }
                @else { (counted(chain.problems.total, "problem was", "problems were")) " found." }
                " The head is entry " (count_text(chain.entries)) " with hash " code.id { (chain.head) } "."
            }
            p.note {
                "This compares the chain with itself. That it is the chain of the time is shown by what is out of the server's reach: "
                "the signed manifests in storage each name the head of their time."
            }
            @if chain.problems.total > 0 {
                (table("chain-problems", "What is wrong", &[Column::Number("Entry"), Column::Long("Problem")],
                       &chain.problems.rows.iter().map(|(entry, problem)| vec![html! { (entry) }, html! { (problem) }]).collect::<Vec<_>>()))
                (left_out("The first", chain.problems.rows.len(), chain.problems.total))
            }
        },
    )
}
