//! The options of a backup as users give them.

use crate::pg::caught::caught;
use crate::pg::segment::MOST_COPIERS;
use crate::pg::sql;
use crate::worker::compression;
use serde::de::DeserializeOwned;
use serde_json::Value;
use walwarden_core::backup_options::BackupOptions;
use walwarden_core::filter::{Filter, NamePattern, RelationPattern};
use walwarden_core::{Error, Result};

/// What the SQL functions put together.
pub fn read<T: DeserializeOwned>(json: &str) -> Result<T> {
    serde_json::from_str(json).map_err(|cause| match negative(json) {
        Some((name, number)) => Error::invalid(format!("{name} must not be negative, but is {number}")),
        None => Error::invalid(format!("an argument cannot be used: {cause}")),
    })
}

/// The first argument that is a negative number: what serde says of one does not name it.
fn negative(json: &str) -> Option<(String, i64)> {
    let mut objects: Vec<serde_json::Map<_, _>> = vec![serde_json::from_str(json).ok()?];
    while let Some(object) = objects.pop() {
        for (name, value) in object {
            match value {
                Value::Number(number) => match number.as_i64() {
                    Some(number) if number < 0 => return Some((name, number)),
                    _ => {}
                },
                Value::Object(inner) => objects.push(inner),
                _ => {}
            }
        }
    }
    None
}

/// Check them, at the moment they are given; what they mean is spelled out.
pub fn checked(given: BackupOptions) -> Result<BackupOptions> {
    given.validate()?;
    check_jobs(given.jobs)?;
    check_patterns(&given.filter)?;
    let compression = match given.compression.as_deref().map(str::trim) {
        Some(wanted) => Some(compression::choose(Some(wanted))?.name()),
        None => None,
    };
    Ok(BackupOptions { compression, ..given })
}

/// That PostgreSQL can match names with them: whatever stands outside of double quotes is a regular expression.
fn check_patterns(filter: &Filter) -> Result<()> {
    for (rule, pattern, compiled) in filter.patterns()? {
        let expressions = match compiled {
            NamePattern::Schema(name) => vec![name],
            NamePattern::Relation(RelationPattern { schema, name }) => {
                schema.into_iter().chain([name]).collect()
            }
        };
        for expression in expressions {
            caught(|| sql::query("SELECT '' OPERATOR(pg_catalog.~) $1", &[Some(&expression)])).map_err(
                |cause| {
                    let message = format!("{} cannot have the pattern \"{pattern}\"", rule.argument());
                    Error::invalid(message)
                        .detail(cause.message)
                        .hint("In double quotes a character has no meaning but its own: sales.\"log(old)\".")
                },
            )?;
        }
    }
    Ok(())
}

/// How many copiers or loaders.
pub fn check_jobs(jobs: Option<i32>) -> Result<()> {
    match jobs {
        Some(jobs) if !usize::try_from(jobs).is_ok_and(|jobs| (1..=MOST_COPIERS).contains(&jobs)) => {
            Err(Error::invalid(format!("jobs must be 1 to {MOST_COPIERS}, not {jobs}"))
                .hint("It is the number of copiers; NULL is one a processor."))
        }
        _ => Ok(()),
    }
}
