//! All that must come, or go, with what a selection names.

use std::collections::{HashMap, HashSet};

use super::definition::{constraint_kind, extension_schema, names};
use super::graph::Graph;
use super::kind::Kind;
use super::selection::Named;
use super::statement;
use super::toc::desc;

/// Entries being chosen. They are known by their place in the table of contents.
pub(super) struct Closure<'a> {
    graph: &'a Graph<'a>,
    needed_by: Vec<Vec<usize>>,
    /// The extensions that make the objects of a schema.
    extensions: HashMap<Vec<u8>, Vec<usize>>,
    all_extensions: Vec<usize>,
    /// What must not be there.
    banned: Vec<bool>,
    kept: Vec<bool>,
    /// Tables that were asked for, not only needed: their rows are wanted.
    asked: HashSet<usize>,
}

impl<'a> Closure<'a> {
    pub(super) fn new(graph: &'a Graph<'a>) -> Self {
        let count = graph.entries.len();
        let all_extensions: Vec<usize> = graph.with_desc(desc::EXTENSION).collect();
        let mut extensions: HashMap<_, Vec<usize>> = HashMap::new();
        for &extension in &all_extensions {
            let definition = graph.entries[extension].definition.as_deref().unwrap_or_default();
            if let Some(schema) = extension_schema(definition) {
                extensions.entry(schema).or_default().push(extension);
            }
        }
        Self {
            graph,
            needed_by: graph.needed_by(),
            extensions,
            all_extensions,
            banned: vec![false; count],
            kept: vec![false; count],
            asked: HashSet::new(),
        }
    }

    pub(super) fn into_kept(self) -> Vec<bool> {
        self.kept
    }

    /// Bans what is named and whatever needs it.
    pub(super) fn exclude(&mut self, excluded: &Named) {
        let mut next: Vec<usize> =
            self.graph.with_descendants(excluded.tables.iter().copied()).into_iter().collect();
        for schema in &excluded.schemas {
            next.extend((0..self.graph.entries.len()).filter(|&index| self.is_of_schema(index, schema)));
        }
        self.ban(next);
        // Rows of an extension's tables do not say whose they are.
        let orphans: Vec<usize> = (0..self.graph.entries.len())
            .filter(|&index| {
                let makers = self.makers(index);
                !makers.is_empty() && makers.iter().all(|&extension| self.banned[extension])
            })
            .collect();
        self.ban(orphans);
    }

    pub(super) fn ban(&mut self, mut next: Vec<usize>) {
        while let Some(index) = next.pop() {
            if self.graph.kinds[index] != Kind::Archive && !self.banned[index] {
                self.banned[index] = true;
                next.extend(&self.needed_by[index]);
            }
        }
    }

    /// Keeps all that is not banned.
    pub(super) fn take_everything(&mut self) {
        self.kept = self.banned.iter().map(|banned| !banned).collect();
        self.asked = (0..self.kept.len()).filter(|&index| self.kept[index]).collect();
    }

    /// Tables that come empty.
    pub(super) fn forget_rows(&mut self, comes_empty: impl Fn(usize) -> bool) {
        let graph = self.graph;
        self.asked.retain(|&index| graph.desc(index) != desc::TABLE || !comes_empty(index));
    }

    /// Keeps what is named, what it needs, and what belongs to any of it.
    pub(super) fn take(&mut self, wanted: &Named) {
        let graph = self.graph;
        self.asked = graph.with_descendants(wanted.tables.iter().copied());
        let mut roots: Vec<usize> = self.asked.iter().copied().collect();
        let named: HashSet<&[u8]> = wanted.schemas.iter().map(Vec::as_slice).collect();
        for (index, entry) in graph.entries.iter().enumerate() {
            let is_in = entry.namespace.as_deref().is_some_and(|schema| named.contains(schema));
            let is_schema = entry.desc == desc::SCHEMA && named.contains(entry.tag.as_slice());
            // What belongs to something comes with that, if it comes.
            if is_schema || (is_in && (!graph.kinds[index].is_part() || graph.owner(index).is_none())) {
                self.asked.insert(index);
                roots.push(index);
            }
            if graph.kinds[index] == Kind::Archive {
                self.kept[index] = true;
            }
        }
        // A cast is used without a dependency on it, only on what it is made of.
        let mut waiting: Vec<usize> =
            graph.with_desc(b"CAST").filter(|&cast| !graph.needs(cast).is_empty()).collect();
        self.keep(roots, &mut waiting);
        // Each link that comes may bring something that another one waits for.
        loop {
            let (ready, rest): (Vec<usize>, Vec<usize>) =
                waiting.into_iter().partition(|&part| self.has_what_it_links(part));
            if ready.is_empty() {
                break;
            }
            waiting = rest;
            self.keep(ready, &mut waiting);
        }
        self.keep_words_about_schemas(&named);
    }

    /// Keeps these with what they need and their parts, but for those parts that have to wait.
    fn keep(&mut self, mut next: Vec<usize>, waiting: &mut Vec<usize>) {
        let graph = self.graph;
        while let Some(index) = next.pop() {
            if self.banned[index] || self.kept[index] {
                continue;
            }
            self.kept[index] = true;
            next.extend(graph.needs(index));
            next.extend(self.needs_unsaid(index));
            for &part in graph.parts(index) {
                match graph.kinds[part] {
                    Kind::Rows if self.lacks_rows(index) => {}
                    Kind::Link | Kind::Rows if !self.has_what_it_links(part) => waiting.push(part),
                    _ => next.push(part),
                }
            }
        }
    }

    /// Whether it is, or is an index of, a table that is only needed.
    fn lacks_rows(&self, index: usize) -> bool {
        let table = if self.graph.kinds[index].is_part() { self.graph.owner(index) } else { Some(index) };
        table.is_some_and(|table| self.graph.kinds[table] == Kind::Table && !self.asked.contains(&table))
    }

    /// Whether all those are kept that it must not bring by itself.
    fn has_what_it_links(&self, part: usize) -> bool {
        let is_cast = self.graph.desc(part) == b"CAST";
        self.graph.needs(part).iter().all(|&need| {
            let kind = self.graph.kinds[need];
            let is_linked = kind.is_relation()
                || kind.is_part()
                || matches!(self.graph.desc(need), b"PUBLICATION" | b"SUBSCRIPTION");
            self.kept[need] || !(is_linked || is_cast)
        })
    }

    /// What no dependency tells: the extension of an orphan, and what an exclusion constraint takes its operators from.
    fn needs_unsaid(&self, index: usize) -> Vec<usize> {
        let entry = &self.graph.entries[index];
        let definition = entry.definition.as_deref().unwrap_or_default();
        if entry.desc == desc::CONSTRAINT && constraint_kind(definition) == Some(b"EXCLUDE") {
            let is_named = |class: &usize| {
                let class = &self.graph.entries[*class];
                names(definition, class.namespace.as_deref().unwrap_or_default(), &class.tag)
            };
            let named = self.graph.with_desc(desc::OPERATOR_CLASS).filter(is_named);
            return self.all_extensions.iter().copied().chain(named).collect();
        }
        self.makers(index).to_vec()
    }

    /// The extensions that one of may make what an orphan belongs to: those in its schema, or any if none is.
    fn makers(&self, index: usize) -> &[usize] {
        let entry = &self.graph.entries[index];
        let Some(schema) = entry.namespace.as_deref().filter(|_| self.graph.is_orphan(index)) else {
            return &[];
        };
        match self.extensions.get(schema) {
            Some(extensions) => extensions,
            None if matches!(schema, b"pg_catalog" | b"information_schema") => &[],
            None => &self.all_extensions,
        }
    }

    /// The schema `public` is in the archive only as what is said about it, if anything is.
    fn keep_words_about_schemas(&mut self, named: &HashSet<&[u8]>) {
        let graph = self.graph;
        let mut used: HashSet<&[u8]> = named.clone();
        let kept = graph.entries.iter().zip(&self.kept).filter(|(_, kept)| **kept);
        used.extend(kept.filter_map(|(entry, _)| entry.namespace.as_deref()));
        for index in 0..graph.entries.len() {
            let is_used = || used.iter().any(|schema| self.is_said_of_schema(index, schema));
            if graph.is_orphan(index) && !self.banned[index] && is_used() {
                self.kept[index] = true;
            }
        }
    }

    fn is_of_schema(&self, index: usize, schema: &[u8]) -> bool {
        let entry = &self.graph.entries[index];
        entry.namespace.as_deref() == Some(schema)
            || (entry.desc == desc::SCHEMA && entry.tag == schema)
            || self.is_said_of_schema(index, schema)
    }

    /// Whether it is said of a schema that has no entry.
    fn is_said_of_schema(&self, index: usize, schema: &[u8]) -> bool {
        let entry = &self.graph.entries[index];
        let about = entry.tag.strip_prefix(b"SCHEMA ");
        entry.namespace.is_none()
            && self.graph.is_orphan(index)
            && about.is_some_and(|name| name == schema || name == super::rename::quoted(schema))
    }

    /// Leaves out foreign keys that would not find the rows they refer to, and does not fill materialized views from
    /// tables that are empty only because their rows are not wanted: one that says it is not populated is better than
    /// one that is wrong.
    pub(super) fn drop_what_lacks_rows(&mut self) {
        self.drop_all(self.incomplete_roots());
        let keys = self.graph.with_desc(desc::FK_CONSTRAINT).filter(|&key| self.kept[key]);
        let mut gone: Vec<usize> = keys.filter(|&key| !self.finds_rows(key)).collect();
        let misled = self.misled();
        gone.extend(
            self.graph.with_desc(desc::MATERIALIZED_VIEW_DATA).filter(|refresh| misled.contains(refresh)),
        );
        self.drop_all(gone);
    }

    fn drop_all(&mut self, mut gone: Vec<usize>) {
        while let Some(index) = gone.pop() {
            if self.kept[index] {
                self.kept[index] = false;
                gone.extend(&self.needed_by[index]);
            }
        }
    }

    fn finds_rows(&self, key: usize) -> bool {
        let Some(owner) = self.graph.owner(key) else {
            return true;
        };
        let tables = || {
            let needs = self.graph.needs(key).iter().copied();
            needs.filter(|&need| self.graph.kinds[need] == Kind::Table)
        };
        let refers_to_itself = tables().all(|table| table == owner);
        let is_complete =
            tables().filter(|&table| refers_to_itself || table != owner).all(|table| self.is_complete(table));
        is_complete || !self.has_rows(owner)
    }

    fn is_complete(&self, table: usize) -> bool {
        self.all_partitions(table).is_some_and(|tables| tables.iter().all(|table| self.asked.contains(table)))
    }

    fn has_rows(&self, table: usize) -> bool {
        self.all_partitions(table).is_none_or(|tables| tables.iter().any(|table| self.asked.contains(table)))
    }

    /// The table and all its partitions; None if one of them does not come, or not as a partition.
    fn all_partitions(&self, table: usize) -> Option<Vec<usize>> {
        let mut seen = HashSet::new();
        let mut tables = Vec::new();
        let mut next = vec![table];
        while let Some(table) = next.pop() {
            if !seen.insert(table) {
                continue;
            }
            if !self.kept[table] {
                return None;
            }
            tables.push(table);
            for partition in self.graph.partitions(table) {
                if !self.kept[partition.attach] {
                    return None;
                }
                next.push(partition.table);
            }
        }
        Some(tables)
    }

    /// What reads a table that comes empty.
    fn misled(&self) -> HashSet<usize> {
        let is_empty = |&index: &usize| {
            self.kept[index]
                && self.graph.kinds[index] == Kind::Table
                && self.graph.desc(index) == desc::TABLE
                && !self.asked.contains(&index)
        };
        let mut misled = HashSet::new();
        let mut next: Vec<usize> = (0..self.kept.len()).filter(is_empty).collect();
        while let Some(index) = next.pop() {
            if !misled.insert(index) {
                continue;
            }
            if self.graph.desc(index) == desc::RULE {
                next.extend(self.graph.owner(index));
            }
            let reads = |&&other: &&usize| {
                self.graph.kinds[other] == Kind::View
                    || matches!(
                        self.graph.desc(other),
                        desc::MATERIALIZED_VIEW_DATA | desc::RULE | b"FUNCTION" | b"PROCEDURE" | b"AGGREGATE"
                    )
            };
            next.extend(self.needed_by[index].iter().filter(reads));
        }
        misled
    }

    /// Rows that are loaded through a table that does not come. The partition is then a table of its own, which can
    /// take them itself.
    pub(super) fn rows_through_a_root_that_is_gone(&self) -> Vec<usize> {
        let graph = self.graph;
        let is_alone = |&rows: &usize| {
            let is_own = graph.owner(rows).is_none_or(|table| self.goes_through(rows, table));
            self.kept[rows] && !is_own && !self.is_attached_up_to_a_root(rows)
        };
        graph.with_desc(desc::TABLE_DATA).filter(is_alone).collect()
    }

    fn is_attached_up_to_a_root(&self, rows: usize) -> bool {
        let mut seen = HashSet::new();
        let mut table = self.graph.owner(rows);
        while let Some(partition) = table.filter(|&table| seen.insert(table)) {
            if self.goes_through(rows, partition) {
                return true;
            }
            let attached = self.graph.attached_to(partition).filter(|attached| self.kept[attached.attach]);
            table = attached.map(|attached| attached.parent);
        }
        false
    }

    /// Whether rows are loaded through this table.
    fn goes_through(&self, rows: usize, table: usize) -> bool {
        let copy = self.graph.entries[rows].copy_statement.as_deref();
        copy.and_then(statement::relation_of).is_some_and(|name| self.graph.is_called(table, &name))
    }

    /// Rows that are loaded through a partitioned table may go to any partition. If one does not come, the others become
    /// tables of their own: that loses nothing.
    fn incomplete_roots(&self) -> Vec<usize> {
        let graph = self.graph;
        let mut found = Vec::new();
        let mut is_incomplete: HashMap<usize, bool> = HashMap::new();
        for rows in graph.with_desc(desc::TABLE_DATA).filter(|&rows| self.kept[rows]) {
            let mut seen = HashSet::new();
            let own = graph.owner(rows).and_then(|table| graph.attached_to(table));
            let mut next = own;
            while let Some(attached) = next.filter(|attached| seen.insert(attached.parent)) {
                if self.goes_through(rows, attached.parent) {
                    let root = attached.parent;
                    if *is_incomplete.entry(root).or_insert_with(|| self.all_partitions(root).is_none()) {
                        found.extend(own.map(|own| own.attach));
                    }
                    break;
                }
                next = graph.attached_to(attached.parent);
            }
        }
        found
    }
}
