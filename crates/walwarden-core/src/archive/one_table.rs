//! What an archive has of one table, for a restore of just this one.

use super::definition::{QualifiedName, constraint_kind, inherits};
use super::graph::Graph;
use super::kind::Kind;
use super::selection::{TableName, kind_of_relation};
use super::toc::{Toc, desc};
use crate::error::{Error, ErrorClass, Result};

/// A table's entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableEntries {
    /// The entry of its definition.
    pub table: i32,
    /// Its name, and those of its partitions.
    pub names: Vec<QualifiedName>,
    /// The tables whose columns it inherits. The one that it is a partition of is not among them: its definition has all
    /// its columns.
    pub parents: Vec<QualifiedName>,
    /// The entries of its rows and, where it is partitioned, of its partitions', in the order of the archive. Tables that
    /// inherit from it are other tables.
    pub rows: Vec<i32>,
    /// The statements that make its primary key, unique and exclusion constraints and indexes.
    pub keys: Vec<Vec<u8>>,
}

impl Toc {
    /// The entries of this table; the names are in the encoding of the archive.
    ///
    /// # Errors
    /// `NotFound` if the archive does not have it, `WrongState` if it has only its rows, as of a table that an extension
    /// makes, and `InvalidInput` if it is a relation without rows in the archive.
    pub fn table(&self, schema: &[u8], name: &[u8]) -> Result<TableEntries> {
        let graph = Graph::of(&self.entries);
        let wanted = QualifiedName { schema: schema.to_vec(), name: name.to_vec() };
        let called = || (0..self.entries.len()).filter(|&index| graph.is_called(index, &wanted));
        let Some(table) = called().find(|&index| graph.desc(index) == desc::TABLE) else {
            let descs: Vec<&[u8]> = called().map(|index| graph.desc(index)).collect();
            return Err(without_definition(&wanted, &descs));
        };

        let mut is_of_it = vec![false; self.entries.len()];
        let mut next = vec![table];
        while let Some(table) = next.pop() {
            if !is_of_it[table] {
                is_of_it[table] = true;
                next.extend(graph.partitions(table).iter().map(|partition| partition.table));
            }
        }
        let belongs = |index: usize| graph.owner(index).is_some_and(|owner| is_of_it[owner]);
        let rows = graph.with_desc(desc::TABLE_DATA).filter(|&index| belongs(index));
        let names = (0..self.entries.len()).filter(|&index| is_of_it[index]).map(|index| QualifiedName {
            schema: self.entries[index].namespace.clone().unwrap_or_default(),
            name: self.entries[index].tag.clone(),
        });
        let definition = |index: usize| self.entries[index].definition.clone().unwrap_or_default();
        let keys = (0..self.entries.len()).filter(|&index| {
            graph.kinds[index] == Kind::Link
                && graph.owner(index) == Some(table)
                && is_key(graph.desc(index), &definition(index))
        });
        Ok(TableEntries {
            table: self.entries[table].dump_id,
            names: names.collect(),
            parents: inherits(&definition(table)),
            rows: rows.map(|index| self.entries[index].dump_id).collect(),
            keys: keys.map(definition).collect(),
        })
    }
}

fn is_key(of: &[u8], definition: &[u8]) -> bool {
    of == desc::INDEX
        || (of == desc::CONSTRAINT
            && matches!(constraint_kind(definition), Some(b"PRIMARY" | b"UNIQUE" | b"EXCLUDE")))
}

fn without_definition(wanted: &QualifiedName, descs: &[&[u8]]) -> Error {
    let text = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
    let name = TableName { schema: text(&wanted.schema), name: text(&wanted.name) };
    if let Some(kind) = descs.iter().find_map(|desc| kind_of_relation(desc)) {
        return Error::invalid(format!("{name} is not a table"))
            .detail(format!("It is {kind}, of which a backup holds no rows."));
    }
    if descs.contains(&desc::TABLE_DATA) {
        return Error::new(
            ErrorClass::WrongState,
            format!("could not find the definition of table {name} in the backup"),
        )
        .detail("An extension makes this table. The backup holds only its rows.")
        .hint("Restore the database, or a part of it, to get the extension with its tables.");
    }
    Error::new(ErrorClass::NotFound, format!("table {name} is not in the backup"))
        .hint("A name that is not in lower case must be in double quotes, as in any statement.")
}
