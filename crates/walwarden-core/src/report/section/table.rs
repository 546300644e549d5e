//! A table that scrolls by itself where there is no room.

use maud::{Markup, html};

use crate::report::quantity::count_text;

/// What stands at the top of a column.
#[derive(Debug, Clone, Copy)]
pub enum Column {
    /// Names and the like.
    Text(&'static str),
    /// Sentences, which may be broken anywhere.
    Long(&'static str),
    /// Numbers, to the right.
    Number(&'static str),
}

impl Column {
    const fn name(self) -> &'static str {
        match self {
            Self::Text(name) | Self::Long(name) | Self::Number(name) => name,
        }
    }

    const fn class(self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Long(_) => "long",
            Self::Number(_) => "digits",
        }
    }
}

/// A table; its first column names the row. `id` is its own in the document.
pub fn table(id: &str, caption: &str, columns: &[Column], rows: &[Vec<Markup>]) -> Markup {
    html! {
        div.wide tabindex="0" role="region" aria-labelledby=(id) {
            table {
                caption id=(id) { (caption) }
                thead { tr { @for column in columns { th scope="col" class=(column.class()) { (column.name()) } } } }
                tbody {
                    @for row in rows {
                        tr {
                            @for (place, (column, cell)) in columns.iter().zip(row).enumerate() {
                                @if place == 0 { th scope="row" class=(column.class()) { (cell) } }
                                @else { td class=(column.class()) { (cell) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Says what of a list is not on the page.
pub fn left_out(which: &str, shown: usize, total: u64) -> Markup {
    html! {
        @if total > shown as u64 {
            p.note.cut { (which) " " (count_text(shown as u64)) " of " (count_text(total)) " are shown; walwarden.jobs and the other views have all." }
        }
    }
}

/// Instead of an empty table.
pub fn none(text: &str) -> Markup {
    html! { p.none { (text) } }
}
