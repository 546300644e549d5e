//! Which entries a restore makes when only a part of a backup is asked for.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::closure::Closure;
use super::graph::Graph;
use super::kind::Kind;
use super::toc::{Toc, desc};
use crate::error::{Error, ErrorClass, Result};

/// A part of a backup: what is in the schemas and tables that are named, without what is in those that are excluded. With
/// none named it is everything that is not excluded.
///
/// - A schema stands for all that is in it. A table stands for itself with its rows, for all that belongs to it, and for
///   its partitions and the tables that inherit from it.
/// - What these need comes as well, transitively: types, functions, extensions, sequences, views, other tables. A table
///   that is only needed comes with all that belongs to it, but empty.
/// - A foreign key comes only if the rows that it refers to do; a trigger, a rule or a partition's place in another table
///   only if the other relation does. A partition without the table that it is a part of is a table of its own. A
///   materialized view stays unpopulated if it reads a table that comes empty. Row security policies always come, with
///   what they read.
/// - Large objects and what is in no schema, publications say, come only with everything, or if needed.
/// - What is excluded takes along whatever needs it, even what is named.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selection {
    /// The schemas of which all is wanted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub schemas: Vec<String>,
    /// The schemas of which nothing is wanted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude_schemas: Vec<String>,
    /// The tables that are wanted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<TableName>,
    /// The tables that are not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude_tables: Vec<TableName>,
}

/// A table's name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TableName {
    /// Its schema.
    pub schema: String,
    /// Its name in the schema.
    pub name: String,
}

/// As in a statement, but that a keyword is not put into quotes.
impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_identifier(f, &self.schema)?;
        f.write_str(".")?;
        write_identifier(f, &self.name)
    }
}

fn write_identifier(f: &mut fmt::Formatter<'_>, name: &str) -> fmt::Result {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if name.chars().all(is_plain) && !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit()) {
        f.write_str(name)
    } else {
        write!(f, "\"{}\"", name.replace('"', "\"\""))
    }
}

impl Selection {
    /// Whether nothing is left out.
    pub fn is_everything(&self) -> bool {
        let Self { schemas, exclude_schemas, tables, exclude_tables } = self;
        schemas.is_empty() && exclude_schemas.is_empty() && tables.is_empty() && exclude_tables.is_empty()
    }

    /// Takes all other entries out of a table of contents. `encode` gives a name in the encoding of the archive.
    ///
    /// # Errors
    /// `NotFound` for a schema or table that the archive does not have, and those of `encode`. Nothing is changed then.
    pub fn apply(&self, toc: &mut Toc, encode: impl Fn(&str) -> Result<Vec<u8>>) -> Result<()> {
        if self.is_everything() {
            return Ok(());
        }
        let graph = Graph::of(&toc.entries);
        let all_of = |schemas: &[String], tables: &[TableName]| -> Result<Named> {
            let mut named = Named::default();
            for schema in schemas {
                named.schemas.push(find_schema(&graph, schema, encode(schema)?)?);
            }
            for table in tables {
                let (schema, name) = (encode(&table.schema)?, encode(&table.name)?);
                named.tables.push(find_table(&graph, table, &schema, &name)?);
            }
            Ok(named)
        };
        let wanted = all_of(&self.schemas, &self.tables)?;
        let excluded = all_of(&self.exclude_schemas, &self.exclude_tables)?;

        let mut closure = Closure::new(&graph);
        closure.exclude(&excluded);
        if wanted.is_empty() {
            closure.take_everything();
        } else {
            closure.take(&wanted);
        }
        closure.drop_what_lacks_rows();
        let alone = closure.rows_through_a_root_that_is_gone();
        let kept = closure.into_kept();
        toc.keep(&kept, &alone);
        Ok(())
    }
}

/// What a selection names, as it is in the archive.
#[derive(Debug, Default)]
pub(super) struct Named {
    pub(super) schemas: Vec<Vec<u8>>,
    /// Entries of tables; of the rows only where an extension makes the table.
    pub(super) tables: Vec<usize>,
}

impl Named {
    pub(super) fn is_empty(&self) -> bool {
        self.schemas.is_empty() && self.tables.is_empty()
    }
}

fn find_schema(graph: &Graph<'_>, name: &str, encoded: Vec<u8>) -> Result<Vec<u8>> {
    let is_there = graph.entries.iter().any(|entry| {
        entry.namespace.as_ref() == Some(&encoded) || (entry.desc == desc::SCHEMA && entry.tag == encoded)
    });
    if is_there {
        return Ok(encoded);
    }
    Err(Error::new(ErrorClass::NotFound, format!("schema \"{name}\" is not in the backup"))
        .hint("Names are taken as they are: without quotes, in upper and lower case."))
}

fn find_table(graph: &Graph<'_>, table: &TableName, schema: &[u8], name: &[u8]) -> Result<usize> {
    let called = || {
        (0..graph.entries.len()).filter(|&index| {
            graph.entries[index].namespace.as_deref() == Some(schema) && graph.entries[index].tag == name
        })
    };
    let found = called()
        .find(|&index| graph.kinds[index] == Kind::Table)
        .or_else(|| called().find(|&index| graph.desc(index) == desc::TABLE_DATA));
    found.ok_or_else(|| {
        let error = Error::new(ErrorClass::NotFound, format!("table {table} is not in the backup"));
        let other = called().find_map(|index| kind_of_relation(graph.desc(index)));
        match other {
            Some(kind) => error
                .detail(format!("There is {kind} of this name."))
                .hint("Only tables can be selected by name. Select the schema to restore all that is in it."),
            None => {
                error.hint("A name that is not in lower case must be in double quotes, as in any statement.")
            }
        }
    })
}

/// What a relation without rows of its own in the archive is called.
pub(super) fn kind_of_relation(desc: &[u8]) -> Option<&'static str> {
    match desc {
        desc::VIEW => Some("a view"),
        desc::MATERIALIZED_VIEW => Some("a materialized view"),
        desc::SEQUENCE => Some("a sequence"),
        desc::FOREIGN_TABLE => Some("a foreign table"),
        desc::INDEX => Some("an index"),
        _ => None,
    }
}
