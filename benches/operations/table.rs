//! A Markdown table: words on the left, numbers on the right.

use std::fmt::{self, Display};

/// Rows of as many cells as the head has.
#[derive(Debug)]
pub struct Table {
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new(head: &[&str]) -> Self {
        Self { head: head.iter().map(|cell| (*cell).to_owned()).collect(), rows: Vec::new() }
    }

    /// A row of a table with two columns.
    pub fn row(&mut self, what: &str, number: impl Display) {
        self.cells(&[what.to_owned(), number.to_string()]);
    }

    pub fn cells(&mut self, cells: &[String]) {
        assert_eq!(cells.len(), self.head.len(), "{cells:?}");
        self.rows.push(cells.to_vec());
    }
}

impl Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| {} |", self.head.join(" | "))?;
        writeln!(f, "|---|{}", "---:|".repeat(self.head.len() - 1))?;
        self.rows.iter().try_for_each(|row| writeln!(f, "| {} |", row.join(" | ")))
    }
}

/// The middle one, and how far they lie apart: `1.23 (1.20–1.31)`.
pub fn spread(mut values: Vec<f64>) -> String {
    values.sort_by(f64::total_cmp);
    let (Some(least), Some(most)) = (values.first(), values.last()) else { return "–".to_owned() };
    let median = values[values.len() / 2];
    format!("{median:.1} ({least:.1}–{most:.1})")
}
