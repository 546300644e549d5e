//! `ACCEPT=1`: what came out is written into the pages. Whoever accepts looks at the difference before it is committed.

use crate::page::{Output, Page, root};
use std::ops::Range;

/// The outputs of one page that are to be written anew.
pub struct Outputs<'a> {
    page: &'a Page,
    replacements: Vec<(Range<usize>, String)>,
}

/// Whether outputs are written instead of compared.
pub fn is_wanted() -> bool {
    std::env::var_os("ACCEPT").is_some_and(|value| value == "1")
}

impl<'a> Outputs<'a> {
    /// None yet.
    pub fn of(page: &'a Page) -> Self {
        Self { page, replacements: Vec::new() }
    }

    /// This output is to be that.
    pub fn replace(&mut self, output: &Output, came: &str) {
        let lines = came.trim_end().lines().map(|line| format!("{}\n", line.trim_end()));
        self.replacements.push((output.range.clone(), lines.collect()));
    }

    /// Writes the page if something is to be written.
    pub fn write(self) {
        if self.replacements.is_empty() {
            return;
        }
        let mut text = self.page.text.clone();
        for (range, output) in self.replacements.into_iter().rev() {
            text.replace_range(range, &output);
        }
        std::fs::write(root().join(&self.page.path), text).expect("a page of the repository");
    }
}
