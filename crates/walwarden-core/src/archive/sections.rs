//! Parts of a table of contents: definitions without data, data without definitions, or chosen entries.

use std::collections::HashSet;

use super::kind::is_about_large_object;
use super::statement;
use super::toc::{Toc, TocEntry, desc};

impl Toc {
    /// The entries of tables' rows.
    pub fn rows(&self) -> HashSet<i32> {
        self.entries.iter().filter(|entry| entry.is_table_data()).map(|entry| entry.dump_id).collect()
    }

    /// What `pg_restore --schema-only` restores: no rows, values of sequences, large objects or statistics. Materialized
    /// views are populated, from empty tables.
    pub fn without_data(&self) -> Self {
        self.only(|entry| !is_data(entry) && entry.desc != desc::STATISTICS_DATA)
    }

    /// What `pg_restore --data-only` restores: rows, values of sequences, and large objects with what is said about them.
    pub fn only_data(&self) -> Self {
        self.only(|entry| is_data(entry) || is_setting(entry))
    }

    fn only(&self, is_wanted: impl Fn(&TocEntry) -> bool) -> Self {
        let entries = self.entries.iter().filter(|entry| is_wanted(entry)).cloned().collect();
        Self { header: self.header.clone(), entries }
    }

    /// Keeps the entries whose place is marked, and forgets that they depend on others. Rows at the places `alone` are
    /// loaded into their own table, no matter which one they were loaded through.
    pub(super) fn keep(&mut self, kept: &[bool], alone: &[usize]) {
        for &index in alone {
            let entry = &mut self.entries[index];
            let (Some(schema), Some(copy)) = (&entry.namespace, &entry.copy_statement) else {
                continue;
            };
            if let Some(own) = statement::of_relation(copy, schema, &entry.tag) {
                entry.copy_statement = Some(own);
                // `-- load via partition root ...`, for people and for pg_restore.
                entry.definition = None;
            }
        }
        let gone: HashSet<i32> = self
            .entries
            .iter()
            .zip(kept)
            .filter(|(_, kept)| !**kept)
            .map(|(entry, _)| entry.dump_id)
            .collect();
        self.entries.retain(|entry| !gone.contains(&entry.dump_id));
        for entry in &mut self.entries {
            entry.dependencies.retain(|id| !gone.contains(id));
        }
    }
}

/// Whether pg_restore takes the entry for data (`_tocEntryRequired` in pg_backup_archiver.c).
fn is_data(entry: &TocEntry) -> bool {
    entry.had_dumper
        || is_about_large_object(entry)
        || matches!(
            entry.desc.as_slice(),
            desc::TABLE_DATA | desc::BLOBS | desc::SEQUENCE_SET | b"BLOB" | b"BLOB METADATA"
        )
}

/// Whether it is about how the archive is read.
pub(super) fn is_setting(entry: &TocEntry) -> bool {
    matches!(entry.desc.as_slice(), b"ENCODING" | b"STDSTRINGS" | b"SEARCHPATH")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::tests::samples::{blobs, entry, table_data, toc};

    fn ids(toc: &Toc) -> Vec<i32> {
        toc.entries.iter().map(|entry| entry.dump_id).collect()
    }

    #[test]
    fn definitions_and_data_are_as_pg_restore_divides_them() {
        let mut rows = table_data(11, "s", "t");
        rows.definition = Some(b"-- load via partition root s.r".to_vec());
        let toc = toc(vec![
            entry(1, "ENCODING", None, "ENCODING"),
            entry(2, "SEARCHPATH", None, "SEARCHPATH"),
            entry(3, "DATABASE", None, "d"),
            entry(4, "ACL", None, "DATABASE d"),
            entry(5, "TABLE", Some("s"), "t"),
            entry(6, "ACL", Some("s"), "TABLE t"),
            entry(7, "SEQUENCE", Some("s"), "q"),
            entry(8, "SEQUENCE OWNED BY", Some("s"), "q"),
            table_data(10, "s", "t"),
            rows,
            entry(12, "SEQUENCE SET", Some("s"), "q"),
            entry(13, "BLOB", None, "4242"),
            entry(14, "BLOB METADATA", None, "4242..4243"),
            entry(15, "COMMENT", None, "LARGE OBJECT 4242"),
            entry(16, "ACL", None, "LARGE OBJECTS 4242..4243"),
            entry(17, "SECURITY LABEL", None, "LARGE OBJECT 4242"),
            blobs(18),
            entry(20, "STATISTICS DATA", Some("s"), "t"),
            entry(21, "INDEX", Some("s"), "i"),
            entry(22, "MATERIALIZED VIEW DATA", Some("s"), "m"),
        ]);
        assert_eq!(ids(&toc.without_data()), [1, 2, 3, 4, 5, 6, 7, 8, 21, 22]);
        assert_eq!(ids(&toc.only_data()), [1, 2, 10, 11, 12, 13, 14, 15, 16, 17, 18]);
        assert_eq!(toc.rows(), HashSet::from([10, 11]));
    }
}
