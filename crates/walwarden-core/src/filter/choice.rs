//! Which tables pg_dump will dump, from what its patterns match: selectDumpableNamespace, selectDumpableTable,
//! processExtensionTables and makeTableDataInfo in src/bin/pg_dump/pg_dump.c.

use std::collections::{HashMap, HashSet};

use super::{Filter, Rule};
use crate::error::{Error, ErrorClass};

/// A table that a backup of everything holds rows of, or partitions of which it does. Objects are known by their oids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// The table.
    pub table: u32,
    /// Its schema.
    pub schema: u32,
    /// An extension has made it and keeps settings in it: its rows are in a backup, its definition is not.
    pub is_of_extension: bool,
    /// An extension has made its schema.
    pub is_schema_of_extension: bool,
    /// It has partitions, and no rows of its own.
    pub is_partitioned: bool,
    /// The table that it is a partition of.
    pub partition_of: Option<u32>,
}

/// What becomes of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is not in the backup.
    LeftOut,
    /// Its definition is, its rows are not.
    WithoutRows,
    /// It is in the backup, with the rows that it has.
    Whole,
}

/// What the patterns of a filter match.
#[derive(Debug, Clone, Default)]
pub struct Choice {
    only_schemas: bool,
    only_tables: bool,
    matched: HashMap<Rule, HashSet<u32>>,
}

impl Choice {
    /// Nothing is matched yet.
    pub fn new(filter: &Filter) -> Self {
        Self {
            only_schemas: !filter.schemas.is_empty(),
            only_tables: !filter.tables.is_empty(),
            matched: HashMap::new(),
        }
    }

    /// A pattern matches these schemas, or relations.
    pub fn add(&mut self, rule: Rule, oids: impl IntoIterator<Item = u32>) {
        self.matched.entry(rule).or_default().extend(oids);
    }

    fn has(&self, rule: Rule, oid: u32) -> bool {
        self.matched.get(&rule).is_some_and(|oids| oids.contains(&oid))
    }

    /// What becomes of it.
    pub fn fate(&self, candidate: &Candidate) -> Fate {
        let Candidate { table, schema, is_of_extension, .. } = *candidate;
        let is_in = if self.only_tables {
            self.has(Rule::Tables, table)
        } else if self.only_schemas {
            // A schema that an extension has made is dumped with that or not at all; what others put into it stays.
            self.has(Rule::Schemas, schema) && !(is_of_extension && candidate.is_schema_of_extension)
        } else {
            true
        };
        let is_out = self.has(Rule::ExcludeTables, table) || self.has(Rule::ExcludeSchemas, schema);
        if !is_in || is_out {
            Fate::LeftOut
        } else if self.has(Rule::ExcludeTableData, table) && !candidate.is_partitioned {
            if is_of_extension { Fate::LeftOut } else { Fate::WithoutRows }
        } else {
            Fate::Whole
        }
    }

    /// A partitioned table that was asked for by its name, and none of its partitions was: its definition alone would be
    /// in the backup, and pg_dump would not say so.
    pub fn hollow(&self, candidates: &[Candidate]) -> Option<u32> {
        if !self.only_tables {
            return None;
        }
        let mut partitions: HashMap<u32, Vec<&Candidate>> = HashMap::new();
        for candidate in candidates {
            if let Some(parent) = candidate.partition_of {
                partitions.entry(parent).or_default().push(candidate);
            }
        }
        let is_kept = |candidate: &Candidate| self.fate(candidate) != Fate::LeftOut;
        let is_hollow = |candidate: &&Candidate| {
            let mut next: Vec<&Candidate> = partitions.get(&candidate.table).cloned().unwrap_or_default();
            let has_any = !next.is_empty();
            while let Some(partition) = next.pop() {
                if is_kept(partition) && !partition.is_partitioned {
                    return false;
                }
                next.extend(partitions.get(&partition.table).into_iter().flatten());
            }
            has_any
        };
        let kept = candidates.iter().filter(|candidate| is_kept(candidate) && candidate.is_partitioned);
        kept.filter(|candidate| self.has(Rule::Tables, candidate.table))
            .find(is_hollow)
            .map(|found| found.table)
    }
}

/// The error for such a table.
pub fn without_partitions(name: &str) -> Error {
    Error::new(ErrorClass::NotFound, format!("no partition of table {name} matches a pattern of tables"))
        .detail("A pattern stands for the relations whose names match it, not for their partitions.")
        .hint("Give a pattern for the partitions as well.")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Candidate = Candidate {
        table: 1,
        schema: 100,
        is_of_extension: false,
        is_schema_of_extension: false,
        is_partitioned: false,
        partition_of: None,
    };

    fn choice(json: &str, matched: &[(Rule, &[u32])]) -> Choice {
        let mut choice = Choice::new(&serde_json::from_str(json).unwrap());
        matched.iter().for_each(|(rule, oids)| choice.add(*rule, oids.iter().copied()));
        choice
    }

    #[test]
    fn without_a_filter_all_is_whole() {
        assert_eq!(choice("{}", &[]).fate(&PLAIN), Fate::Whole);
    }

    #[test]
    fn what_is_excluded_wins() {
        let other = Candidate { table: 2, ..PLAIN };
        let elsewhere = Candidate { table: 3, schema: 101, ..PLAIN };
        let by_schema = choice(
            r#"{"schemas": ["a"], "exclude_tables": ["b"]}"#,
            &[(Rule::Schemas, &[100]), (Rule::ExcludeTables, &[2])],
        );
        assert_eq!(by_schema.fate(&PLAIN), Fate::Whole);
        assert_eq!(by_schema.fate(&other), Fate::LeftOut);
        assert_eq!(by_schema.fate(&elsewhere), Fate::LeftOut);
        let by_table =
            choice(r#"{"tables": ["a"]}"#, &[(Rule::Tables, &[1, 3]), (Rule::ExcludeTables, &[3])]);
        assert_eq!(by_table.fate(&PLAIN), Fate::Whole);
        assert_eq!(by_table.fate(&other), Fate::LeftOut);
        assert_eq!(by_table.fate(&elsewhere), Fate::LeftOut);
        let only_out = choice(r#"{"exclude_schemas": ["a"]}"#, &[(Rule::ExcludeSchemas, &[101])]);
        assert_eq!(only_out.fate(&PLAIN), Fate::Whole);
        assert_eq!(only_out.fate(&elsewhere), Fate::LeftOut);
    }

    #[test]
    fn an_include_that_matches_nothing_includes_nothing() {
        assert_eq!(choice(r#"{"tables": ["a"]}"#, &[]).fate(&PLAIN), Fate::LeftOut);
        assert_eq!(choice(r#"{"schemas": ["a"]}"#, &[]).fate(&PLAIN), Fate::LeftOut);
    }

    #[test]
    fn rows_are_left_out_of_what_is_there() {
        let json = r#"{"exclude_tables": ["a"], "exclude_table_data": ["b"]}"#;
        let choice = choice(json, &[(Rule::ExcludeTables, &[2]), (Rule::ExcludeTableData, &[1, 2, 3])]);
        assert_eq!(choice.fate(&PLAIN), Fate::WithoutRows);
        assert_eq!(choice.fate(&Candidate { table: 2, ..PLAIN }), Fate::LeftOut);
        // It has none; those of its partitions are not meant.
        assert_eq!(choice.fate(&Candidate { table: 3, is_partitioned: true, ..PLAIN }), Fate::Whole);
        // Its rows are all that a backup has of it.
        assert_eq!(choice.fate(&Candidate { is_of_extension: true, ..PLAIN }), Fate::LeftOut);
    }

    #[test]
    fn settings_of_extensions_are_as_pg_dump_has_them() {
        let settings = Candidate { is_of_extension: true, ..PLAIN };
        let inside = Candidate { is_schema_of_extension: true, ..settings };
        let of_user = Candidate { is_schema_of_extension: true, ..PLAIN };
        let schemas = choice(r#"{"schemas": ["a"]}"#, &[(Rule::Schemas, &[100])]);
        assert_eq!(schemas.fate(&settings), Fate::Whole);
        assert_eq!(schemas.fate(&inside), Fate::LeftOut);
        assert_eq!(schemas.fate(&of_user), Fate::Whole);
        let tables = choice(r#"{"tables": ["a"]}"#, &[(Rule::Tables, &[1])]);
        assert_eq!(tables.fate(&inside), Fate::Whole);
    }

    #[test]
    fn a_partitioned_table_alone_is_hollow() {
        let root = Candidate { is_partitioned: true, ..PLAIN };
        let branch = Candidate { table: 2, is_partitioned: true, partition_of: Some(1), ..PLAIN };
        let leaf = Candidate { table: 3, partition_of: Some(2), ..PLAIN };
        let all = [root, branch, leaf];
        let with = |oids: &[u32]| choice(r#"{"tables": ["a"]}"#, &[(Rule::Tables, oids)]).hollow(&all);
        assert_eq!(with(&[1]), Some(1));
        assert_eq!(with(&[1, 2]), Some(1));
        assert_eq!(with(&[1, 3]), None);
        assert_eq!(with(&[3]), None);
        assert_eq!(choice(r#"{"tables": ["a"]}"#, &[(Rule::Tables, &[1])]).hollow(&[root]), None);
        assert_eq!(choice("{}", &[]).hollow(&all), None);
    }
}
