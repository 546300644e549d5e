//! Markdown, and how numbers are told.

use crate::statistics::Spread;
use std::fmt::Write as _;

/// No such thing in this row.
pub const NONE: &str = "–";

/// A size in bytes as megabytes (of 10^6 bytes), short.
pub fn megabytes(bytes: i64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "shown with a few digits")]
    let megabytes = bytes as f64 / 1e6;
    if megabytes < 100.0 { format!("{megabytes:.1} MB") } else { format!("{megabytes:.0} MB") }
}

/// `1.23 (1.20–1.31)`; the median alone when there was only one.
pub fn spread(spread: Spread, digits: usize) -> String {
    let Spread { median, min, max } = spread;
    if min < max {
        format!("{median:.digits$} ({min:.digits$}–{max:.digits$})")
    } else {
        format!("{median:.digits$}")
    }
}

/// Seconds or minutes.
pub fn duration(seconds: f64) -> String {
    if seconds < 120.0 { format!("{seconds:.0} s") } else { format!("{:.0} min", seconds / 60.0) }
}

/// As [`megabytes`] takes it.
pub fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// One line.
pub fn line(text: &mut String, content: &str) {
    text.push_str(content);
    text.push('\n');
}

/// A heading and what stands around it.
pub fn heading(text: &mut String, title: &str) {
    writeln!(text, "\n### {title}\n").expect("a string");
}

/// One row of a table.
pub fn row<S: AsRef<str>>(text: &mut String, cells: &[S]) {
    let cells: Vec<&str> = cells.iter().map(AsRef::as_ref).collect();
    writeln!(text, "| {} |", cells.join(" | ")).expect("a string");
}

/// The line below a table's head: columns of words, then columns of numbers.
pub fn rule(text: &mut String, words: usize, numbers: usize) {
    writeln!(text, "|{}{}", "---|".repeat(words), "---:|".repeat(numbers)).expect("a string");
}
