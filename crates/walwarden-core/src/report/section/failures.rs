//! What failed, and why.

use maud::{Markup, html};

use super::section;
use super::table::{Column, left_out, none, table};
use crate::job::JobKind;
use crate::report::model::{FailedClass, Failure, Report};
use crate::report::quantity::{count_text, maybe_text, time};

/// More of a message or detail than that is not for a page.
const LONGEST: usize = 500;

/// The section.
pub fn draw(report: &Report) -> Markup {
    let failures = &report.failures;
    section(
        3,
        &html! {
            @if failures.newest.total == 0 {
                (none("No job failed in this time."))
            } @else {
                (table("failures-classes", "Failed jobs by kind and class", &[
                    Column::Text("Class"), Column::Text("Kind of job"), Column::Number("Jobs"), Column::Text("Newest"),
                ], &failures.by_class.rows.iter().map(class).collect::<Vec<_>>()))
                (left_out("The first", failures.by_class.rows.len(), failures.by_class.total))
                (table("failures-jobs", "Failed jobs, the newest first", &[
                    Column::Text("Ended"), Column::Text("Kind"), Column::Text("Schedule"), Column::Text("Class"), Column::Long("What failed"),
                    Column::Text("Job"),
                ], &failures.newest.rows.iter().map(row).collect::<Vec<_>>()))
                (left_out("The newest", failures.newest.rows.len(), failures.newest.total))
            }
        },
    )
}

fn class(class: &FailedClass) -> Vec<Markup> {
    vec![
        html! { code { (class.class) } },
        html! { (kind(class.kind)) },
        html! { (count_text(class.count)) },
        time(&class.last),
    ]
}

fn row(failure: &Failure) -> Vec<Markup> {
    vec![
        time(&failure.at),
        html! { (kind(failure.kind)) },
        maybe_text(failure.schedule.as_deref()),
        html! { code { (failure.class) } },
        html! {
            (cut(&failure.message))
            @if let Some(detail) = &failure.detail { br; span.remark { (cut(detail)) } }
        },
        html! { code.id { (failure.job) } },
    ]
}

/// A kind of job in words.
pub fn kind(kind: JobKind) -> String {
    kind.name().replace('_', " ")
}

/// The beginning of a long text.
pub fn cut(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{} … (cut)", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_between_characters_and_say_so() {
        assert_eq!(cut(&"ä".repeat(500)), "ä".repeat(500));
        assert_eq!(cut(&"ä".repeat(501)), format!("{} … (cut)", "ä".repeat(500)));
    }
}
