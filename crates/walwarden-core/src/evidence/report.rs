//! What an examination says.

use std::fmt;

use serde::Serialize;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Problem {
    /// A short stable name, for scripts.
    pub kind: &'static str,
    /// Where: a file, and perhaps the number of an entry in it.
    pub place: String,
    /// The number of the audit entry, where it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seq: Option<i64>,
    /// What, for people.
    pub text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        if let Some(seq) = self.seq {
            write!(f, "entry {seq}: ")?;
        }
        f.write_str(&self.text)
    }
}

/// All that was found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// What is wrong; nothing when all is well.
    pub problems: Vec<Problem>,
    /// What was seen to be right, and what somebody should know.
    pub facts: Vec<String>,
}

impl Report {
    /// Adds a problem.
    pub fn problem(&mut self, kind: &'static str, place: impl fmt::Display, text: impl fmt::Display) {
        self.problems.push(Problem { kind, place: place.to_string(), seq: None, text: text.to_string() });
    }

    /// Adds a problem with an entry.
    pub fn entry_problem(
        &mut self,
        kind: &'static str,
        place: impl fmt::Display,
        seq: i64,
        text: impl fmt::Display,
    ) {
        self.problems.push(Problem {
            kind,
            place: place.to_string(),
            seq: Some(seq),
            text: text.to_string(),
        });
    }

    /// Adds a fact.
    pub fn fact(&mut self, text: impl fmt::Display) {
        self.facts.push(text.to_string());
    }
}
