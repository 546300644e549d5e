//! The changes made to pg_dump's table of contents before it is written back.

use std::collections::{HashMap, HashSet};

use super::rename::quoted;
use super::toc::{Section, Toc, TocEntry, desc};

/// What [`leave_out_extension`] did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// The entries that are gone. Blocks of theirs still come in pg_dump's output and must be skipped.
    pub entries: Vec<TocEntry>,
    /// Entries that stay although they depended on one that is gone: a user's view on the extension's tables,
    /// say. Restoring them fails where the extension is not installed.
    pub dependents: Vec<i32>,
}

/// Removes an extension and its schema of the same name, so that the archive restores where the extension is
/// unknown.
///
/// pg_dump writes no definitions of an extension's members, only: the EXTENSION, its comment and security
/// label; the members' changed privileges and the configuration tables' rows, which name the schema as their
/// namespace; the schema's own comment, label and privileges, tagged `SCHEMA name`; and what hangs on the
/// schema from outside (default privileges, publications), which name it as their namespace too. Whatever a
/// user put into that schema goes as well: without the schema it could not be restored. If the archive does
/// not hold the extension nothing is removed.
pub fn leave_out_extension(toc: &mut Toc, name: &[u8]) -> LeftOut {
    let is_extension = |entry: &TocEntry| entry.desc == desc::EXTENSION && entry.tag == name;
    if !toc.entries.iter().any(is_extension) {
        return LeftOut::default();
    }
    let own_tags = tags_of(name);
    let mut gone: HashSet<i32> = HashSet::new();
    let is_own = |entry: &TocEntry| {
        is_extension(entry)
            || (entry.desc == desc::SCHEMA && entry.tag == name)
            || entry.namespace.as_deref() == Some(name)
            || (is_attribute(entry) && entry.namespace.is_none() && own_tags.contains(&entry.tag))
    };
    gone.extend(toc.entries.iter().filter(|entry| is_own(entry)).map(|entry| entry.dump_id));
    // Comments and privileges depend on their object and have none of their own, so once over the entries is
    // enough.
    let attributes: Vec<i32> = toc
        .entries
        .iter()
        .filter(|entry| is_attribute(entry) && entry.dependencies.iter().any(|id| gone.contains(id)))
        .map(|entry| entry.dump_id)
        .collect();
    gone.extend(attributes);

    let entries = toc.entries.extract_if(.., |entry| gone.contains(&entry.dump_id)).collect();
    let mut dependents = Vec::new();
    for entry in &mut toc.entries {
        let before = entry.dependencies.len();
        entry.dependencies.retain(|id| !gone.contains(id));
        if entry.dependencies.len() < before {
            dependents.push(entry.dump_id);
        }
    }
    LeftOut { entries, dependents }
}

/// Whether the entry is something said about another entry's object.
fn is_attribute(entry: &TocEntry) -> bool {
    matches!(entry.desc.as_slice(), desc::COMMENT | desc::SECURITY_LABEL | desc::ACL)
}

/// The tags of what is said about the extension and its schema: pg_dump quotes the name there if it needs
/// quotes.
fn tags_of(name: &[u8]) -> Vec<Vec<u8>> {
    let quoted = quoted(name);
    let mut tags = Vec::new();
    for kind in [b"EXTENSION ".as_slice(), b"SCHEMA "] {
        for name in [name, &quoted] {
            tags.push([kind, name].concat());
        }
    }
    tags
}

/// Makes post-data entries of a parent table wait for the data of all its descendants.
///
/// An index, constraint or NOT NULL on a partitioned or inherited table recurses to its children, but pg_dump
/// makes it depend on the parent only. So `pg_restore -j` may run it before a child's rows are loaded, and
/// fail, unless the entries' offsets steer it away. pg_restore replaces a dependency on a table by one on its
/// data, so the tables' numbers are enough.
pub fn wait_for_descendants(toc: &mut Toc) {
    let mut family = Family::of(toc);
    if family.children.is_empty() {
        return;
    }
    for entry in toc.entries.iter_mut().filter(|entry| entry.section == Section::PostData) {
        let parents: Vec<i32> =
            entry.dependencies.iter().copied().filter(|id| family.children.contains_key(id)).collect();
        if parents.is_empty() {
            continue;
        }
        let mut present: HashSet<i32> = entry.dependencies.iter().copied().collect();
        for parent in parents {
            let added = family.descendants_with_data(parent).iter().copied().filter(|&id| present.insert(id));
            entry.dependencies.extend(added);
        }
    }
}

/// Which tables descend from which.
struct Family {
    /// A table's children, in the order of the table of contents.
    children: HashMap<i32, Vec<i32>>,
    /// Tables whose rows the archive holds.
    with_data: HashSet<i32>,
    /// What [`Self::descendants_with_data`] found: many entries ask for the same parent.
    found: HashMap<i32, Vec<i32>>,
}

impl Family {
    fn of(toc: &Toc) -> Self {
        let tables: HashMap<i32, &TocEntry> = toc
            .entries
            .iter()
            .filter(|entry| matches!(entry.desc.as_slice(), desc::TABLE | desc::FOREIGN_TABLE))
            .map(|entry| (entry.dump_id, entry))
            .collect();
        let mut children: HashMap<i32, Vec<i32>> = HashMap::new();
        let mut with_data = HashSet::new();
        for entry in &toc.entries {
            let related = entry.dependencies.iter().copied().filter(|id| tables.contains_key(id));
            match entry.desc.as_slice() {
                // An inherited table depends on its parents. So does one with a column of another's row type,
                // for which waiting does no harm: data depends on nothing that comes after data.
                desc::TABLE | desc::FOREIGN_TABLE => {
                    related.for_each(|parent| children.entry(parent).or_default().push(entry.dump_id));
                }
                // Depends on both; the entry bears the partition's name.
                desc::TABLE_ATTACH => {
                    let is_partition = |id: &i32| {
                        tables
                            .get(id)
                            .is_some_and(|table| table.tag == entry.tag && table.namespace == entry.namespace)
                    };
                    let (partitions, parents): (Vec<i32>, Vec<i32>) = related.partition(is_partition);
                    for parent in parents {
                        children.entry(parent).or_default().extend(&partitions);
                    }
                }
                desc::TABLE_DATA if entry.had_dumper => with_data.extend(related),
                _ => {}
            }
        }
        Self { children, with_data, found: HashMap::new() }
    }

    /// All descendants of a table that have data, each once, without the table itself.
    fn descendants_with_data(&mut self, table: i32) -> &[i32] {
        let Self { children, with_data, found } = self;
        found.entry(table).or_insert_with(|| {
            let mut seen = HashSet::from([table]);
            let mut descendants = Vec::new();
            let mut next = vec![table];
            while let Some(parent) = next.pop() {
                for &child in children.get(&parent).into_iter().flatten() {
                    if seen.insert(child) {
                        next.push(child);
                        if with_data.contains(&child) {
                            descendants.push(child);
                        }
                    }
                }
            }
            descendants
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::tests::samples::{entry, table_data, toc};

    fn with(entry: TocEntry, dependencies: &[i32]) -> TocEntry {
        TocEntry { dependencies: dependencies.to_vec(), ..entry }
    }

    fn ids(toc: &Toc) -> Vec<i32> {
        toc.entries.iter().map(|entry| entry.dump_id).collect()
    }

    #[test]
    fn everything_of_the_extension_goes_and_nothing_else() {
        let own = Some("walwarden");
        let mut toc = toc(vec![
            entry(1, "ENCODING", None, "ENCODING"),
            entry(2, "SCHEMA", None, "walwarden"),
            entry(3, "SCHEMA", None, "walwarden2"),
            entry(4, "EXTENSION", None, "walwarden"),
            with(entry(5, "COMMENT", None, "EXTENSION walwarden"), &[4]),
            with(entry(6, "SECURITY LABEL", None, "EXTENSION walwarden"), &[4]),
            entry(7, "EXTENSION", None, "other"),
            with(entry(8, "COMMENT", None, "EXTENSION other"), &[7]),
            with(entry(9, "VIEW", Some("public"), "mine"), &[4, 7]),
            table_data(10, "walwarden", "schedule"),
            entry(11, "SEQUENCE SET", own, "run_id_seq"),
            table_data(12, "public", "walwarden"),
            entry(13, "PUBLICATION TABLE", own, "p schedule"),
            entry(14, "PUBLICATION TABLES IN SCHEMA", own, "p walwarden"),
            entry(15, "DEFAULT ACL", own, "DEFAULT PRIVILEGES FOR TABLES"),
            entry(16, "DEFAULT ACL", None, "DEFAULT PRIVILEGES FOR TABLES"),
            with(entry(17, "ACL", own, "TABLE schedule"), &[99]),
            // The schema belongs to the extension, so nothing in the archive has the number it depends on.
            with(entry(18, "ACL", None, "SCHEMA walwarden"), &[98]),
            with(entry(19, "COMMENT", None, "SCHEMA walwarden"), &[98]),
            with(entry(20, "ACL", None, "SCHEMA walwarden2"), &[3]),
            entry(21, "TABLE", None, "SCHEMA walwarden"),
        ]);
        let left_out = leave_out_extension(&mut toc, b"walwarden");
        assert_eq!(ids(&toc), [1, 3, 7, 8, 9, 12, 16, 20, 21]);
        let gone: Vec<i32> = left_out.entries.iter().map(|entry| entry.dump_id).collect();
        assert_eq!(gone, [2, 4, 5, 6, 10, 11, 13, 14, 15, 17, 18, 19]);
        assert_eq!(left_out.dependents, [9]);
        assert_eq!(toc.entries[4].dependencies, [7]);
    }

    #[test]
    fn a_quoted_name_is_found() {
        let mut toc = toc(vec![
            entry(1, "EXTENSION", None, "a \"b"),
            entry(2, "COMMENT", None, "EXTENSION \"a \"\"b\""),
            entry(3, "COMMENT", Some("public"), "TABLE x"),
        ]);
        leave_out_extension(&mut toc, b"a \"b");
        assert_eq!(ids(&toc), [3]);
    }

    #[test]
    fn without_the_extension_its_schema_stays() {
        let mut toc =
            toc(vec![entry(1, "SCHEMA", None, "walwarden"), entry(2, "TABLE", Some("walwarden"), "t")]);
        let before = toc.clone();
        assert_eq!(leave_out_extension(&mut toc, b"walwarden"), LeftOut::default());
        assert_eq!(toc, before);
    }

    fn table(id: i32, name: &str, dependencies: &[i32]) -> TocEntry {
        with(entry(id, "TABLE", Some("s"), name), dependencies)
    }

    fn data(id: i32, name: &str, table: i32) -> TocEntry {
        with(table_data(id, "s", name), &[table])
    }

    fn post_data(id: i32, dependencies: &[i32]) -> TocEntry {
        TocEntry { section: Section::PostData, ..with(entry(id, "INDEX", Some("s"), "i"), dependencies) }
    }

    fn dependencies(toc: &Toc, dump_id: i32) -> Vec<i32> {
        toc.entries.iter().find(|entry| entry.dump_id == dump_id).unwrap().dependencies.clone()
    }

    #[test]
    fn partitions_of_partitions_and_inherited_tables_are_waited_for() {
        let mut toc = toc(vec![
            table(1, "root", &[]),
            table(2, "middle", &[]),
            table(3, "leaf", &[]),
            table(4, "leaf2", &[]),
            // Either order of the two dependencies.
            with(entry(5, "TABLE ATTACH", Some("s"), "middle"), &[1, 2]),
            with(entry(6, "TABLE ATTACH", Some("s"), "leaf"), &[3, 2]),
            with(entry(7, "TABLE ATTACH", Some("s"), "leaf2"), &[1, 4]),
            table(8, "heir", &[3]),
            data(10, "leaf", 3),
            data(11, "leaf2", 4),
            data(12, "heir", 8),
            post_data(20, &[1]),
            post_data(21, &[4]),
            post_data(22, &[2, 8]),
            post_data(23, &[20, 21]),
        ]);
        wait_for_descendants(&mut toc);
        assert_eq!(dependencies(&toc, 20), [1, 4, 3, 8]);
        assert_eq!(dependencies(&toc, 21), [4]);
        assert_eq!(dependencies(&toc, 22), [2, 8, 3]);
        assert_eq!(dependencies(&toc, 23), [20, 21]);
        assert_eq!(dependencies(&toc, 10), [3]);
        let once = toc.clone();
        wait_for_descendants(&mut toc);
        assert_eq!(toc, once, "a second time adds nothing");
    }

    #[test]
    fn a_circle_ends() {
        let mut toc = toc(vec![
            table(1, "a", &[2]),
            table(2, "b", &[1]),
            data(3, "a", 1),
            data(4, "b", 2),
            post_data(5, &[1]),
        ]);
        wait_for_descendants(&mut toc);
        assert_eq!(dependencies(&toc, 5), [1, 2]);
    }

    #[test]
    fn thousands_of_partitions_take_no_time() {
        let count = 20_000;
        let mut entries = vec![table(1, "root", &[])];
        for number in 0..count {
            let (table_id, name) = (10 + 4 * number, format!("p{number}"));
            entries.push(table(table_id, &name, &[]));
            entries.push(with(entry(table_id + 1, "TABLE ATTACH", Some("s"), &name), &[table_id, 1]));
            entries.push(data(table_id + 2, &name, table_id));
            entries.push(post_data(table_id + 3, &[table_id]));
        }
        entries.push(post_data(2, &[1]));
        entries.push(post_data(3, &[1]));
        let mut toc = toc(entries);
        wait_for_descendants(&mut toc);
        for id in [2, 3] {
            assert_eq!(dependencies(&toc, id).len(), 1 + count as usize);
        }
    }
}
