//! Who kept a backup from a table, in words.

use std::fmt;

/// So many are named.
const MOST_NAMED: usize = 3;
/// And so many characters of what each is doing: it may hold people's data.
const MOST_OF_QUERY: usize = 100;

/// Who has a lock or waits for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holder {
    /// A process of the server.
    Process(i32),
    /// A transaction that was prepared under this name and waits for its COMMIT PREPARED.
    Prepared(String),
}

/// Somebody between a backup and a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocker {
    /// Who it is.
    pub holder: Holder,
    /// Its role, or what kind of process it is where it has none.
    pub user: Option<String>,
    /// What it calls itself.
    pub application: Option<String>,
    /// The age of its transaction, as PostgreSQL writes an interval.
    pub age: Option<String>,
    /// Its present or last statement.
    pub query: Option<String>,
}

/// All who stand between a backup and a table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Blockers {
    /// They have the table for themselves.
    pub having: Vec<Blocker>,
    /// They want it for themselves and came before the backup.
    pub wanting: Vec<Blocker>,
    /// They have it as others do, and those who want it for themselves wait for them.
    pub sharing: Vec<Blocker>,
}

impl Blockers {
    /// For the detail of an error.
    pub fn detail(&self) -> String {
        if !self.having.is_empty() {
            return format!("It is locked by {}.", list(&self.having));
        }
        if self.wanting.is_empty() {
            return "Whoever had it locked is gone by now.".to_owned();
        }
        let ahead = format!("Ahead of the backup waits {}.", list(&self.wanting));
        if self.sharing.is_empty() {
            return ahead;
        }
        format!("{ahead} It is used by {}.", list(&self.sharing))
    }

    /// For the hint of an error.
    pub fn hint(&self) -> &'static str {
        let all = || self.having.iter().chain(&self.wanting).chain(&self.sharing);
        if all().next().is_none() {
            "Run the backup again, or raise walwarden.lock_timeout."
        } else if all().any(|blocker| matches!(blocker.holder, Holder::Prepared(_))) {
            "End it with COMMIT PREPARED or ROLLBACK PREPARED, raise walwarden.lock_timeout, or back up at another time."
        } else {
            "End that session, raise walwarden.lock_timeout, or back up at another time."
        }
    }
}

fn list(blockers: &[Blocker]) -> String {
    let named: Vec<_> = blockers.iter().take(MOST_NAMED).map(Blocker::to_string).collect();
    let more = match blockers.len().saturating_sub(MOST_NAMED) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    named.join("; ") + &more
}

impl fmt::Display for Blocker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what_it_did = match &self.holder {
            Holder::Process(pid) => {
                write!(f, "process {pid}")?;
                "in transaction for"
            }
            Holder::Prepared(name) => {
                write!(f, "prepared transaction \"{}\"", one_line(name, usize::MAX))?;
                "prepared since"
            }
        };
        let told = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let facts: Vec<String> = [
            told(&self.user).map(|user| format!("user \"{user}\"")),
            told(&self.application).map(|name| format!("application \"{}\"", one_line(&name, usize::MAX))),
            told(&self.age).map(|age| format!("{what_it_did} {age}")),
        ]
        .into_iter()
        .flatten()
        .collect();
        if !facts.is_empty() {
            write!(f, " ({})", facts.join(", "))?;
        }
        match told(&self.query) {
            Some(query) => write!(f, ": \"{}\"", one_line(&query, MOST_OF_QUERY)),
            None => Ok(()),
        }
    }
}

/// The beginning of a text in one line: white space and control characters are a space each run.
fn one_line(text: &str, most: usize) -> String {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    let line = words.collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(most) {
        Some((end, _)) => format!("{}...", line.get(..end).unwrap_or(&line)),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: i32) -> Blocker {
        Blocker { holder: Holder::Process(pid), user: None, application: None, age: None, query: None }
    }

    fn bob(query: &str) -> Blocker {
        Blocker {
            user: Some("bob".to_owned()),
            application: Some("psql".to_owned()),
            age: Some("00:12:03".to_owned()),
            query: Some(query.to_owned()),
            ..process(1234)
        }
    }

    #[test]
    fn who_has_it() {
        let blockers =
            Blockers { having: vec![bob("ALTER TABLE customer\n\tADD x int")], ..Blockers::default() };
        assert_eq!(
            blockers.detail(),
            "It is locked by process 1234 (user \"bob\", application \"psql\", in transaction for 00:12:03): \
             \"ALTER TABLE customer ADD x int\"."
        );
        assert!(blockers.hint().starts_with("End that session, raise walwarden.lock_timeout, "));
    }

    #[test]
    fn who_is_ahead_and_whom_that_one_waits_for() {
        let blockers = Blockers {
            wanting: vec![process(5)],
            sharing: vec![process(6), process(7)],
            ..Blockers::default()
        };
        assert_eq!(
            blockers.detail(),
            "Ahead of the backup waits process 5. It is used by process 6; process 7."
        );
        let alone = Blockers { sharing: Vec::new(), ..blockers };
        assert_eq!(alone.detail(), "Ahead of the backup waits process 5.");
    }

    #[test]
    fn a_prepared_transaction_has_a_name_and_no_process() {
        let prepared = Blocker {
            holder: Holder::Prepared("two phase".to_owned()),
            application: None,
            query: None,
            ..bob("")
        };
        let blockers = Blockers { having: vec![prepared], ..Blockers::default() };
        assert_eq!(
            blockers.detail(),
            "It is locked by prepared transaction \"two phase\" (user \"bob\", prepared since 00:12:03)."
        );
        assert!(blockers.hint().contains("ROLLBACK PREPARED"));
    }

    #[test]
    fn nobody_is_left() {
        let nobody = Blockers { sharing: vec![process(1)], ..Blockers::default() };
        assert_eq!(nobody.detail(), "Whoever had it locked is gone by now.");
        assert!(Blockers::default().hint().starts_with("Run the backup again"));
    }

    #[test]
    fn three_are_named() {
        let many = Blockers { having: (1..=5).map(process).collect(), ..Blockers::default() };
        assert_eq!(many.detail(), "It is locked by process 1; process 2; process 3; and 2 more.");
    }

    #[test]
    fn a_statement_is_one_line_of_a_hundred_characters() {
        let told = bob(&format!("  SELECT\r\n '{}'", "\u{e4}".repeat(200))).to_string();
        assert!(told.ends_with(&format!(": \"SELECT '{}...\"", "\u{e4}".repeat(92))), "{told}");
        assert!(bob("").to_string().ends_with("00:12:03)"));
        assert_eq!(one_line(&"x".repeat(100), 100), "x".repeat(100));
    }
}
