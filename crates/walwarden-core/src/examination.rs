//! What is looked at in a database that was brought back from a backup, and what it must be.

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorClass, Result};

/// What the examiner of a restore test is told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Examination {
    /// The role that asks the smoke query.
    pub role: Option<String>,
    /// A query that is asked.
    pub smoke: Option<String>,
    /// What it must answer.
    pub expect: Option<String>,
    /// The tables and what their rows must be.
    pub tables: Vec<ExpectedRows>,
    /// How many large objects there must be.
    pub large_objects: u64,
}

/// How many rows a table must have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpectedRows {
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// Its rows, those of its children not among them.
    pub rows: u64,
}

impl Examination {
    /// Whether this is the answer that the smoke query must give: the first column of its first row, as text; None where
    /// there is no row, or it is NULL. What is not expected to be something may be anything but that and false.
    ///
    /// # Errors
    /// `TestFailed`, with both.
    pub fn judge(&self, answer: Option<&str>) -> Result<()> {
        let good = match &self.expect {
            Some(expected) => answer == Some(expected),
            None => answer.is_some_and(|answer| answer != "f"),
        };
        if good {
            return Ok(());
        }
        let answered = answer.map_or_else(|| "nothing".to_owned(), |answer| format!("\"{answer}\""));
        let expected = self
            .expect
            .as_ref()
            .map_or_else(|| "something other than NULL and false".to_owned(), |text| format!("\"{text}\""));
        Err(Error::new(ErrorClass::TestFailed, "the smoke query did not answer what was expected")
            .detail(format!("It answered {answered} instead of {expected}.")))
    }

    /// Whether there are so many large objects as there must be.
    ///
    /// # Errors
    /// `TestFailed`, with both.
    pub fn judge_large_objects(&self, found: u64) -> Result<()> {
        if found == self.large_objects {
            return Ok(());
        }
        Err(Error::new(
            ErrorClass::TestFailed,
            "the restored database has other large objects than its backup",
        )
        .detail(format!("It has {found} instead of {}.", self.large_objects)))
    }
}

impl ExpectedRows {
    /// Whether these are its rows. A table that CREATE EXTENSION made may have more: the extension's own, which no archive has.
    ///
    /// # Errors
    /// `TestFailed`, with both.
    pub fn judge(&self, found: u64, of_extension: bool) -> Result<()> {
        let Self { schema, name, rows } = self;
        if found == *rows || of_extension && found > *rows {
            return Ok(());
        }
        Err(Error::new(ErrorClass::TestFailed, "a restored table has other rows than its backup")
            .detail(format!("Table {schema}.{name} has {found} rows instead of {rows}."))
            .hint("Look for triggers and rules that change rows as they are loaded."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_what_was_expected_or_at_least_something() {
        let expecting = |expect: Option<&str>| Examination {
            expect: expect.map(str::to_owned),
            ..Examination::default()
        };
        for (expect, answer, good) in [
            (Some("42"), Some("42"), true),
            (Some("42"), Some("42 "), false),
            (Some("42"), None, false),
            (Some("f"), Some("f"), true),
            (Some(""), Some(""), true),
            (None, Some("t"), true),
            (None, Some("0"), true),
            (None, Some("f"), false),
            (None, None, false),
        ] {
            assert_eq!(expecting(expect).judge(answer).is_ok(), good, "{expect:?} {answer:?}");
        }
        let error = expecting(Some("42")).judge(None).unwrap_err();
        assert_eq!(error.class, ErrorClass::TestFailed);
        assert_eq!(error.detail.as_deref(), Some("It answered nothing instead of \"42\"."));
    }

    #[test]
    fn rows_are_those_of_the_backup() {
        let table = ExpectedRows { schema: "s".into(), name: "t".into(), rows: 3 };
        assert!(table.judge(3, false).is_ok());
        assert_eq!(
            table.judge(4, false).unwrap_err().detail.as_deref(),
            Some("Table s.t has 4 rows instead of 3.")
        );
        assert!(table.judge(4, true).is_ok());
        assert!(table.judge(2, true).is_err());
    }
}
