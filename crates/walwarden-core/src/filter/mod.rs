//! What a backup holds when it does not hold everything: schemas, tables and tables' rows by pattern.
//!
//! The patterns are pg_dump's own, and pg_dump itself decides by them what stands in the table of contents. What is
//! here tells beforehand which tables that will be, so that no other is locked, and refuses what pg_dump would take
//! without the effect that it seems to have.

mod choice;
mod pattern;

pub use choice::{Candidate, Choice, Fate, without_partitions};
pub use pattern::RelationPattern;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// All patterns together, bytes: each goes to pg_dump as an argument, and the system limits those.
const MOST_BYTES: usize = 64 << 10;
/// Of pg_dump's, where everything in a schema is written so.
const SYSTEM_SCHEMAS: [&str; 3] = ["pg_*", "information_schema", "walwarden"];

/// Patterns of what a backup holds; with none it holds everything. In JSON, those that are empty are left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Filter {
    /// Only these schemas, and what is in them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub schemas: Vec<String>,
    /// Without these schemas and what is in them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude_schemas: Vec<String>,
    /// Only these tables, views, sequences and the like.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<String>,
    /// Without these.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude_tables: Vec<String>,
    /// Without the rows of these.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude_table_data: Vec<String>,
}

/// What a pattern is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NamePattern {
    /// A regular expression for names of schemas.
    Schema(String),
    /// Regular expressions for names of relations.
    Relation(RelationPattern),
}

/// What a list of patterns says of what it matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rule {
    /// Only these schemas.
    Schemas,
    /// Without these schemas.
    ExcludeSchemas,
    /// Only these relations.
    Tables,
    /// Without these relations.
    ExcludeTables,
    /// Without the rows of these.
    ExcludeTableData,
}

impl Rule {
    /// The name of the argument that gives the patterns.
    pub const fn argument(self) -> &'static str {
        match self {
            Self::Schemas => "schemas",
            Self::ExcludeSchemas => "exclude_schemas",
            Self::Tables => "tables",
            Self::ExcludeTables => "exclude_tables",
            Self::ExcludeTableData => "exclude_table_data",
        }
    }

    /// The switch of pg_dump for one of them.
    const fn switch(self) -> &'static str {
        match self {
            Self::Schemas => "--schema",
            Self::ExcludeSchemas => "--exclude-schema",
            Self::Tables => "--table",
            Self::ExcludeTables => "--exclude-table",
            Self::ExcludeTableData => "--exclude-table-data",
        }
    }

    /// Whether only what matches is in the backup.
    pub const fn includes(self) -> bool {
        matches!(self, Self::Schemas | Self::Tables)
    }

    fn read(self, pattern: &str) -> Result<NamePattern> {
        let read = match self {
            Self::Schemas | Self::ExcludeSchemas => pattern::of_schema(pattern).map(NamePattern::Schema),
            Self::Tables | Self::ExcludeTables | Self::ExcludeTableData => {
                pattern::of_relation(pattern).map(NamePattern::Relation)
            }
        };
        read.map_err(|why| {
            Error::invalid(format!("{} cannot have the pattern \"{}\"", self.argument(), shown(pattern)))
                .detail(why)
                .hint("Patterns are those of pg_dump, such as sales.log_*, or sales.\"Log\" for a name in capitals.")
        })
    }
}

/// Readable wherever it is shown.
fn shown(pattern: &str) -> String {
    pattern.replace('\0', "\u{fffd}")
}

impl Filter {
    /// Whether nothing is left out.
    pub fn is_empty(&self) -> bool {
        self.lists().iter().all(|(_, patterns)| patterns.is_empty())
    }

    /// Whether only what matches a pattern is in the backup. pg_dump then leaves out what is in no schema, extensions and
    /// large objects say, and with tables alone whatever is no relation.
    pub fn has_includes(&self) -> bool {
        !self.schemas.is_empty() || !self.tables.is_empty()
    }

    fn lists(&self) -> [(Rule, &Vec<String>); 5] {
        let Self { schemas, exclude_schemas, tables, exclude_tables, exclude_table_data } = self;
        [
            (Rule::Schemas, schemas),
            (Rule::ExcludeSchemas, exclude_schemas),
            (Rule::Tables, tables),
            (Rule::ExcludeTables, exclude_tables),
            (Rule::ExcludeTableData, exclude_table_data),
        ]
    }

    /// Every pattern with what it says and what it is compared with.
    ///
    /// # Errors
    /// `InvalidInput` for the first that is no pattern.
    pub fn patterns(&self) -> Result<Vec<(Rule, &str, NamePattern)>> {
        self.each().map(|(rule, pattern)| Ok((rule, pattern, rule.read(pattern)?))).collect()
    }

    fn each(&self) -> impl Iterator<Item = (Rule, &str)> {
        self.lists()
            .into_iter()
            .flat_map(|(rule, patterns)| patterns.iter().map(move |pattern| (rule, pattern.as_str())))
    }

    /// That pg_dump will do what it seems to say.
    ///
    /// # Errors
    /// `InvalidInput`, with the reason.
    pub fn validate(&self) -> Result<()> {
        self.patterns()?;
        let bytes: usize = self.each().map(|(_, pattern)| pattern.len()).sum();
        if bytes > MOST_BYTES {
            return Err(Error::invalid("there are too many patterns")
                .detail(format!("They have {bytes} bytes; {MOST_BYTES} are allowed."))
                .hint("Let one pattern stand for several names: *, ? and (this|that) can be part of it."));
        }
        for (rule, patterns) in
            [(Rule::Schemas, &self.schemas), (Rule::ExcludeSchemas, &self.exclude_schemas)]
        {
            if !self.tables.is_empty() && !patterns.is_empty() {
                return Err(Error::invalid(format!("tables and {} exclude each other", rule.argument()))
                    .detail("Given tables, pg_dump dumps these whatever their schemas, and nothing else of a schema.")
                    .hint("Name the schema in the pattern of the table: tables => '{sales.*}', exclude_tables => '{sales.log_*}'."));
            }
        }
        Ok(())
    }

    /// pg_dump's switches for it, each with its pattern as one argument. What is the system's own, or walwarden's, is in no
    /// backup: a pattern such as `*` would bring it.
    pub fn pg_dump_arguments(&self) -> Vec<String> {
        let switches = self.each().map(|(rule, pattern)| (rule, pattern.to_owned()));
        let mut arguments: Vec<(Rule, String)> = switches.collect();
        for schema in SYSTEM_SCHEMAS {
            if !self.schemas.is_empty() {
                arguments.push((Rule::ExcludeSchemas, schema.to_owned()));
            }
            if !self.tables.is_empty() {
                arguments.push((Rule::ExcludeTables, format!("{schema}.*")));
            }
        }
        let strict = self.has_includes().then(|| "--strict-names".to_owned());
        let switches = arguments.into_iter().map(|(rule, pattern)| format!("{}={pattern}", rule.switch()));
        switches.chain(strict).collect()
    }
}

/// The error for a pattern of what a backup shall hold that nothing matches: a backup without it would be made in silence.
pub fn nothing_matches(rule: Rule, pattern: &str) -> Error {
    let what = if rule == Rule::Schemas { "schema" } else { "table" };
    Error::new(
        crate::error::ErrorClass::NotFound,
        format!("no {what} matches the pattern \"{}\" of {}", shown(pattern), rule.argument()),
    )
    .detail(match rule {
        Rule::Schemas => "Schemas of the system and walwarden's own are in no backup.".to_owned(),
        _ => "A pattern without a schema finds what the search_path of the database finds. Tables of the system, of \
              walwarden, and of extensions, unless these keep settings in them, are in no backup."
            .to_owned(),
    })
    .hint("Letters outside of double quotes stand for small ones. Take the pattern out if what it stood for is gone.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(json: &str) -> Filter {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn is_written_without_what_is_empty() {
        let some = filter(r#"{"tables": ["a", "b.c"], "exclude_table_data": ["b.*"]}"#);
        assert_eq!(
            serde_json::to_string(&some).unwrap(),
            r#"{"tables":["a","b.c"],"exclude_table_data":["b.*"]}"#
        );
        assert_eq!(serde_json::to_string(&Filter::default()).unwrap(), "{}");
        assert!(filter("{}").is_empty() && !some.is_empty());
    }

    #[test]
    fn what_would_not_do_what_it_seems_to_is_refused() {
        for (json, message, detail) in [
            (r#"{"tables": ["a", ""]}"#, "tables cannot have the pattern \"\"", "empty"),
            (r#"{"schemas": ["a.b"]}"#, "schemas cannot have the pattern \"a.b\"", "no dot"),
            (r#"{"exclude_tables": ["d.s.t"]}"#, "exclude_tables cannot", "names a database"),
            (r#"{"exclude_table_data": ["\"t"]}"#, "exclude_table_data cannot", "not closed"),
            (r#"{"exclude_schemas": ["a\u0000b"]}"#, "exclude_schemas cannot", "zero byte"),
            (r#"{"tables": ["a"], "schemas": ["b"]}"#, "tables and schemas exclude each other", "whatever"),
            (r#"{"tables": ["a"], "exclude_schemas": ["b"]}"#, "tables and exclude_schemas", "whatever"),
        ] {
            let error = filter(json).validate().unwrap_err();
            assert!(error.message.starts_with(message), "{}", error.message);
            assert!(error.detail.as_deref().unwrap().contains(detail), "{error}");
            assert!(!error.to_string().contains('\0'));
        }
        for json in [
            "{}",
            r#"{"schemas": ["a*"], "exclude_schemas": ["ab"], "exclude_tables": ["a.x"], "exclude_table_data": ["*.log"]}"#,
            r#"{"tables": ["a.*"], "exclude_tables": ["a.x"], "exclude_table_data": ["a.y"]}"#,
        ] {
            filter(json).validate().unwrap();
        }
        let long = Filter { tables: vec!["t".repeat(1 << 10); 65], ..Filter::default() };
        assert!(long.validate().unwrap_err().message.contains("too many"));
    }

    #[test]
    fn pg_dump_gets_each_pattern_as_one_argument() {
        let given = filter(
            r#"{"schemas": ["a"], "exclude_schemas": ["b c"], "exclude_tables": ["-x", "$(y)"], "exclude_table_data": ["\"Z\""]}"#,
        );
        assert_eq!(
            given.pg_dump_arguments(),
            [
                "--schema=a",
                "--exclude-schema=b c",
                "--exclude-table=-x",
                "--exclude-table=$(y)",
                "--exclude-table-data=\"Z\"",
                "--exclude-schema=pg_*",
                "--exclude-schema=information_schema",
                "--exclude-schema=walwarden",
                "--strict-names",
            ]
        );
        assert_eq!(
            filter(r#"{"tables": ["*"]}"#).pg_dump_arguments(),
            [
                "--table=*",
                "--exclude-table=pg_*.*",
                "--exclude-table=information_schema.*",
                "--exclude-table=walwarden.*",
                "--strict-names",
            ]
        );
        assert_eq!(filter(r#"{"exclude_tables": ["a"]}"#).pg_dump_arguments(), ["--exclude-table=a"]);
        assert!(Filter::default().pg_dump_arguments().is_empty());
    }
}
