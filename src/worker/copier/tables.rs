//! The tables of a backup, as far as they can be told before pg_dump runs: which are locked, and whose rows are copied.

use crate::pg::sql::{self, Row};
use std::collections::{HashMap, HashSet};
use walwarden_core::archive::TableSize;
use walwarden_core::filter::{
    Candidate, Choice, Fate, Filter, NamePattern, RelationPattern, Rule, nothing_matches, without_partitions,
};
use walwarden_core::{Error, ErrorClass, Result};

/// The tables of a backup by their oids.
pub struct Tables {
    /// Those whose definition pg_dump dumps, or rows.
    pub locked: Vec<u32>,
    /// Those among them whose rows are left out by a pattern.
    pub without_rows: Vec<u32>,
}

/// Relations that a backup of everything has something of: not the system's, not temporary, and of an extension's those
/// that it declared as configuration.
const IN_BACKUPS: &str = "c.relpersistence <> 't' \
       AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'walwarden') \
       AND n.nspname NOT LIKE 'pg\\_toast%' \
       AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d \
                       JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid \
                       WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e' \
                         AND d.refclassid = 'pg_catalog.pg_extension'::regclass \
                         AND (e.extconfig IS NULL OR c.oid <> ALL (e.extconfig)))";

/// What pg_dump's patterns of tables stand for (expand_table_name_patterns).
const RELATION_KINDS: &str = "c.relkind IN ('r', 'S', 'v', 'm', 'f', 'p')";

/// Find them. Must run inside a transaction; nothing is locked.
///
/// # Errors
/// `NotFound` for a pattern of what the backup shall hold that nothing matches, and where nothing is left to back up.
pub fn list(filter: &Filter) -> Result<Tables> {
    let candidates = candidates()?;
    if filter.is_empty() {
        return Ok(Tables {
            locked: candidates.iter().map(|candidate| candidate.table).collect(),
            without_rows: Vec::new(),
        });
    }
    let choice = match_patterns(filter)?;
    if let Some(hollow) = choice.hollow(&candidates) {
        return Err(without_partitions(&name_of(hollow)?));
    }
    let with_fate = |fate: Fate| {
        let found = candidates.iter().filter(|candidate| choice.fate(candidate) == fate);
        found.map(|candidate| candidate.table).collect::<Vec<u32>>()
    };
    let without_rows = with_fate(Fate::WithoutRows);
    let mut locked = with_fate(Fate::Whole);
    locked.extend(&without_rows);
    // Always in the same order, so that two backups, or a backup and pg_dump, cannot wait for each other.
    locked.sort_unstable();
    Ok(Tables { locked, without_rows })
}

impl Tables {
    /// How large those are now whose rows are copied, after the snapshot: whatever it shows lies within. Only ordinary
    /// heaps are measured, and only tables that are locked: measuring takes the lock of a reader.
    pub fn measure(&self) -> Result<Vec<TableSize>> {
        let without_rows: HashSet<u32> = self.without_rows.iter().copied().collect();
        let copied = self.locked.iter().filter(|oid| !without_rows.contains(oid));
        let rows = sql::query(
            "SELECT s.oid, s.heap / current_setting('block_size')::bigint, s.heap + coalesce(s.toast, 0) \
             FROM (SELECT c.oid, pg_relation_size(c.oid) AS heap, \
                          CASE WHEN c.reltoastrelid <> 0 THEN pg_relation_size(c.reltoastrelid) END AS toast \
                   FROM pg_catalog.pg_class c \
                   WHERE c.oid = ANY ($1::oid[]) AND c.relkind = 'r' \
                     AND c.relam = (SELECT a.oid FROM pg_catalog.pg_am a WHERE a.amname = 'heap')) AS s",
            &[Some(&array(copied))],
        )?;
        rows.iter()
            .map(|row| Ok(TableSize { oid: row.parse(0)?, blocks: row.parse(1)?, bytes: row.parse(2)? }))
            .collect()
    }
}

fn array<'a>(oids: impl Iterator<Item = &'a u32>) -> String {
    let texts: Vec<String> = oids.map(u32::to_string).collect();
    format!("{{{}}}", texts.join(","))
}

/// The tables that a backup of everything locks: permanent and unlogged ones, and partitioned ones.
fn candidates() -> Result<Vec<Candidate>> {
    let made_by_extension = |class: &str, oid: &str| {
        format!(
            "EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.{class}'::regclass \
             AND d.objid = {oid} AND d.deptype = 'e' AND d.refclassid = 'pg_catalog.pg_extension'::regclass)"
        )
    };
    let rows = sql::query(
        &format!(
            "SELECT c.oid, c.relnamespace, {}, {}, c.relkind = 'p', \
                    CASE WHEN c.relispartition \
                         THEN (SELECT i.inhparent FROM pg_catalog.pg_inherits i WHERE i.inhrelid = c.oid) END \
             FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             WHERE c.relkind IN ('r', 'p') AND {IN_BACKUPS} ORDER BY c.oid",
            made_by_extension("pg_class", "c.oid"),
            made_by_extension("pg_namespace", "n.oid"),
        ),
        &[],
    )?;
    rows.iter().map(candidate).collect()
}

fn candidate(row: &Row) -> Result<Candidate> {
    Ok(Candidate {
        table: row.parse(0)?,
        schema: row.parse(1)?,
        is_of_extension: row.flag(2)?,
        is_schema_of_extension: row.flag(3)?,
        is_partitioned: row.flag(4)?,
        partition_of: row.parse_nullable(5)?,
    })
}

/// What each pattern matches, with the search_path that a session of this database begins with, as pg_dump does it.
fn match_patterns(filter: &Filter) -> Result<Choice> {
    sql::run("RESET search_path", &[])?;
    let choice = match_each(filter)?;
    sql::run("SET search_path = ''", &[])?;
    Ok(choice)
}

fn match_each(filter: &Filter) -> Result<Choice> {
    let mut choice = Choice::new(filter);
    let mut found: HashMap<Rule, HashSet<u32>> = HashMap::new();
    for (rule, pattern, compiled) in filter.patterns()? {
        let oids = match &compiled {
            NamePattern::Schema(regex) => schemas(regex)?,
            NamePattern::Relation(relation) => relations(relation)?,
        };
        if oids.is_empty() && rule.includes() {
            return Err(nothing_matches(rule, pattern));
        }
        found.entry(rule).or_default().extend(&oids);
        choice.add(rule, oids);
    }
    for (include, exclude) in [(Rule::Schemas, Rule::ExcludeSchemas), (Rule::Tables, Rule::ExcludeTables)] {
        let excluded = found.get(&exclude).cloned().unwrap_or_default();
        if found.get(&include).is_some_and(|included| included.is_subset(&excluded)) {
            return Err(Error::new(ErrorClass::NotFound, "the patterns leave nothing to back up").detail(
                format!("All that {} match is excluded by {}.", include.argument(), exclude.argument()),
            ));
        }
    }
    Ok(choice)
}

fn schemas(regex: &str) -> Result<Vec<u32>> {
    oids(
        "SELECT n.oid FROM pg_catalog.pg_namespace n \
         WHERE n.nspname OPERATOR(pg_catalog.~) $1 COLLATE pg_catalog.\"default\" \
           AND n.nspname NOT IN ('information_schema', 'walwarden') AND n.nspname NOT LIKE 'pg\\_%'",
        &[Some(regex)],
    )
}

fn relations(pattern: &RelationPattern) -> Result<Vec<u32>> {
    let in_schema = match pattern.schema {
        Some(_) => "n.nspname OPERATOR(pg_catalog.~) $2 COLLATE pg_catalog.\"default\"",
        None => "$2 IS NULL AND pg_catalog.pg_table_is_visible(c.oid)",
    };
    oids(
        &format!(
            "SELECT c.oid FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             WHERE {RELATION_KINDS} AND c.relname OPERATOR(pg_catalog.~) $1 COLLATE pg_catalog.\"default\" \
               AND {in_schema} AND {IN_BACKUPS}"
        ),
        &[Some(&pattern.name), pattern.schema.as_deref()],
    )
}

fn oids(statement: &str, parameters: &[Option<&str>]) -> Result<Vec<u32>> {
    sql::query(statement, parameters)?.iter().map(|row| row.parse(0)).collect()
}

/// With its schema, for the search_path is empty.
fn name_of(table: u32) -> Result<String> {
    sql::query_one("SELECT $1::oid::regclass", &[Some(&table.to_string())])?
        .ok_or_else(|| Error::internal("a table has no name"))?
        .text(0)
}
