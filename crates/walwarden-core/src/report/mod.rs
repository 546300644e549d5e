//! The report: what the history of a database's backups was, as one HTML page that needs nothing from elsewhere.
//!
//! [`Report`] is what the page shows, collected by whoever has the tables; [`judge`] says what it comes to; [`render`] draws it.
//! Every text in it may have been chosen by somebody hostile. Elements and attributes are fixed when this is compiled (`maud`), so a
//! text can be nothing but text, and [`seal`] makes what is invisible in it visible.

mod chart;
mod icon;
mod judge;
mod model;
mod page;
mod quantity;
mod scale;
mod seal;
mod section;
mod summary;

pub use judge::{Level, Reason, Verdict, judge};
pub use model::*;
pub use page::render;

#[cfg(test)]
mod tests;
