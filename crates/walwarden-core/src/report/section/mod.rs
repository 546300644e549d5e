//! The sections of the page, one file each.

pub mod backups;
pub mod chain;
pub mod checks;
pub mod failures;
pub mod gaps;
pub mod head;
pub mod keys;
pub mod recovery;
pub mod retention;
pub mod storages;
pub mod summary;
mod table;

use maud::{Markup, html};

/// Every section but the first, in the order of the page: its name in the document, and its heading.
const CONTENTS: [(&str, &str); 9] = [
    ("recovery", "Recovery point"),
    ("backups", "Backups"),
    ("gaps", "Gaps"),
    ("failures", "Failures"),
    ("checks", "Restore tests and verifications"),
    ("retention", "Retention"),
    ("storages", "Storages and copies"),
    ("chain", "Audit chain"),
    ("keys", "Keys"),
];

/// A section of [`CONTENTS`].
fn section(place: usize, body: &Markup) -> Markup {
    let (id, heading) = CONTENTS.get(place).copied().unwrap_or_default();
    html! {
        section id=(id) aria-labelledby={ (id) "-heading" } {
            h2 id={ (id) "-heading" } { (heading) }
            (body)
        }
    }
}
