//! What the entries of an archive need of each other, so that a part of them restores.
//!
//! pg_dump's dependencies say in which order a whole archive restores. That is more than need in some places: a
//! partition restores without the table it is attached to. And less in others: nothing says which server a user mapping
//! is of.

use std::collections::{HashMap, HashSet};

use super::definition::{QualifiedName, attached, constraint_kind, indexed, inherits, names, references};
use super::kind::Kind;
use super::toc::{TocEntry, desc};

/// Entries are known by their place in the table of contents.
pub(super) struct Graph<'a> {
    pub(super) entries: &'a [TocEntry],
    pub(super) kinds: Vec<Kind>,
    /// Without which an entry cannot be restored.
    needs: Vec<Vec<usize>>,
    /// What an entry belongs to: a comment's object, a trigger's table.
    owners: Vec<Option<usize>>,
    /// What comes along with an entry.
    parts: Vec<Vec<usize>>,
    partitions: HashMap<usize, Vec<Partition>>,
    heirs: HashMap<usize, Vec<usize>>,
    by_id: HashMap<i32, usize>,
    /// What a table descends from, or has a column of the row type of: whatever [`super::wait_for_descendants`] may have
    /// taken for a parent.
    ancestors: HashMap<usize, Vec<usize>>,
    /// What a partition is attached to.
    attached_to: HashMap<usize, Attached>,
    /// The extension of this name.
    btree_gist: Option<usize>,
}

/// A table that is attached to another one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Partition {
    pub(super) table: usize,
    /// The entry that attaches it.
    pub(super) attach: usize,
}

/// Where a partition is attached.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attached {
    pub(super) parent: usize,
    /// The entry that does it.
    pub(super) attach: usize,
}

impl<'a> Graph<'a> {
    pub(super) fn of(entries: &'a [TocEntry]) -> Self {
        let count = entries.len();
        let mut graph = Self {
            entries,
            kinds: entries.iter().map(Kind::of).collect(),
            needs: Vec::with_capacity(count),
            owners: Vec::with_capacity(count),
            parts: Vec::new(),
            partitions: HashMap::new(),
            heirs: HashMap::new(),
            by_id: entries.iter().enumerate().map(|(index, entry)| (entry.dump_id, index)).collect(),
            ancestors: HashMap::new(),
            attached_to: HashMap::new(),
            btree_gist: None,
        };
        graph.btree_gist =
            graph.with_desc(desc::EXTENSION).find(|&index| entries[index].tag == b"btree_gist");
        graph.find_families();
        let servers: Vec<(usize, Vec<u8>)> = graph
            .with_desc(desc::SERVER)
            .map(|index| (index, [b" SERVER ".as_slice(), &entries[index].tag].concat()))
            .collect();
        for (index, entry) in entries.iter().enumerate() {
            let owner = if entry.desc == desc::USER_MAPPING {
                // Of two servers that end alike, the longer name is meant.
                let ends = servers.iter().filter(|(_, end)| entry.tag.ends_with(end));
                ends.max_by_key(|(_, end)| end.len()).map(|(server, _)| *server)
            } else {
                graph.find_owner(index)
            };
            graph.owners.push(owner);
        }
        let schemas: HashMap<&[u8], usize> =
            graph.with_desc(desc::SCHEMA).map(|index| (entries[index].tag.as_slice(), index)).collect();
        for (index, entry) in entries.iter().enumerate() {
            let mut needs = graph.find_needs(index);
            needs.extend(graph.owners[index]);
            needs.extend(entry.namespace.as_deref().and_then(|name| schemas.get(name)));
            needs.sort_unstable();
            needs.dedup();
            needs.retain(|&need| need != index);
            graph.needs.push(needs);
        }
        graph.note_parts();
        graph
    }

    pub(super) fn needs(&self, index: usize) -> &[usize] {
        &self.needs[index]
    }

    pub(super) fn owner(&self, index: usize) -> Option<usize> {
        self.owners[index]
    }

    pub(super) fn parts(&self, index: usize) -> &[usize] {
        &self.parts[index]
    }

    pub(super) fn partitions(&self, table: usize) -> &[Partition] {
        self.partitions.get(&table).map_or(&[], Vec::as_slice)
    }

    /// The table that this one is a partition of.
    pub(super) fn attached_to(&self, table: usize) -> Option<Attached> {
        self.attached_to.get(&table).copied()
    }

    pub(super) fn desc(&self, index: usize) -> &'a [u8] {
        &self.entries[index].desc
    }

    pub(super) fn with_desc(&self, desc: &'static [u8]) -> impl Iterator<Item = usize> + use<'a> {
        let entries = self.entries;
        (0..entries.len()).filter(move |&index| entries[index].desc == desc)
    }

    /// The entries that something depends on, as far as they are in the archive.
    pub(super) fn dependencies(&self, index: usize) -> impl Iterator<Item = usize> {
        self.entries[index].dependencies.iter().filter_map(|id| self.by_id.get(id).copied())
    }

    /// Whether it belongs to an object that is not in the archive: one of an extension, mostly.
    pub(super) fn is_orphan(&self, index: usize) -> bool {
        let is_said_or_in = matches!(self.kinds[index], Kind::Rows | Kind::Property);
        is_said_or_in && self.owners[index].is_none() && self.dependencies(index).next().is_none()
    }

    /// Who needs what.
    pub(super) fn needed_by(&self) -> Vec<Vec<usize>> {
        let mut needed_by = vec![Vec::new(); self.entries.len()];
        for (index, needs) in self.needs.iter().enumerate() {
            for &need in needs {
                needed_by[need].push(index);
            }
        }
        needed_by
    }

    /// These tables with all that inherit from them or are partitions of them.
    pub(super) fn with_descendants(&self, tables: impl IntoIterator<Item = usize>) -> HashSet<usize> {
        let mut found = HashSet::new();
        let mut next: Vec<usize> = tables.into_iter().collect();
        while let Some(table) = next.pop() {
            if found.insert(table) {
                next.extend(self.partitions(table).iter().map(|partition| partition.table));
                next.extend(self.heirs.get(&table).into_iter().flatten());
            }
        }
        found
    }

    pub(super) fn is_called(&self, index: usize, name: &QualifiedName) -> bool {
        let entry = &self.entries[index];
        entry.namespace.as_deref() == Some(&name.schema) && entry.tag == name.name
    }

    fn definition(&self, index: usize) -> &'a [u8] {
        self.entries[index].definition.as_deref().unwrap_or_default()
    }

    fn find_families(&mut self) {
        for index in 0..self.entries.len() {
            let entry = &self.entries[index];
            let tables: Vec<usize> =
                self.dependencies(index).filter(|&other| self.kinds[other] == Kind::Table).collect();
            if tables.is_empty() {
                continue;
            }
            if self.kinds[index] == Kind::Table {
                for parent in inherits(self.definition(index)) {
                    let parent = tables.iter().copied().find(|&table| self.is_called(table, &parent));
                    if let Some(parent) = parent {
                        self.heirs.entry(parent).or_default().push(index);
                    }
                }
                self.ancestors.entry(index).or_default().extend(tables);
            } else if entry.desc == desc::TABLE_ATTACH {
                let is_partition = |table: &usize| {
                    self.entries[*table].tag == entry.tag && self.entries[*table].namespace == entry.namespace
                };
                let partition = tables.iter().copied().find(is_partition);
                let parent = tables.iter().copied().find(|table| !is_partition(table));
                if let (Some(partition), Some(parent)) = (partition, parent) {
                    let attached = Partition { table: partition, attach: index };
                    self.partitions.entry(parent).or_default().push(attached);
                    self.attached_to.insert(partition, Attached { parent, attach: index });
                    self.ancestors.entry(partition).or_default().push(parent);
                }
            }
        }
    }

    fn find_owner(&self, index: usize) -> Option<usize> {
        let entry = &self.entries[index];
        let first = |is_one: &dyn Fn(usize) -> bool| self.dependencies(index).find(|&other| is_one(other));
        let first_relation = || first(&|other| self.kinds[other].is_relation());
        match entry.desc.as_slice() {
            // A column's privileges depend on the table's, too.
            desc::ACL | desc::COMMENT | desc::SECURITY_LABEL => first(&|other| self.desc(other) != desc::ACL),
            desc::TABLE_DATA | desc::SEQUENCE => first(&|other| self.kinds[other] == Kind::Table),
            desc::STATISTICS_DATA => {
                first(&|other| self.kinds[other].is_relation() || is_index(&self.entries[other]))
            }
            desc::MATERIALIZED_VIEW_DATA => first(&|other| {
                self.kinds[other] == Kind::View
                    && self.entries[other].tag == entry.tag
                    && self.entries[other].namespace == entry.namespace
            }),
            desc::INDEX => indexed(self.definition(index))
                .and_then(|name| {
                    first(&|other| self.kinds[other].is_relation() && self.is_called(other, &name))
                })
                .or_else(first_relation),
            desc::TABLE_ATTACH => first(&|other| {
                let table = &self.entries[other];
                self.kinds[other] == Kind::Table
                    && table.tag == entry.tag
                    && table.namespace == entry.namespace
            }),
            desc::INDEX_ATTACH => first(&|other| {
                let index = &self.entries[other];
                is_index(index) && index.namespace == entry.namespace && tag_ends_with(&index.tag, &entry.tag)
            }),
            // Tagged with the table's name and their own.
            desc::CHECK_CONSTRAINT
            | desc::CONSTRAINT
            | desc::DEFAULT
            | desc::FK_CONSTRAINT
            | desc::POLICY
            | desc::RULE
            | desc::TRIGGER => {
                let is_own = |other: &usize| {
                    let owner = &self.entries[*other];
                    (self.kinds[*other].is_relation() || owner.desc == desc::DOMAIN)
                        && owner.namespace == entry.namespace
                        && entry
                            .tag
                            .strip_prefix(owner.tag.as_slice())
                            .is_some_and(|rest| rest.starts_with(b" "))
                };
                let own = self.dependencies(index).filter(is_own);
                own.max_by_key(|&other| self.entries[other].tag.len()).or_else(first_relation)
            }
            b"PUBLICATION TABLE" | b"PUBLICATION TABLES IN SCHEMA" => {
                first(&|other| self.desc(other) == b"PUBLICATION")
            }
            b"SUBSCRIPTION TABLE" => first(&|other| self.desc(other) == b"SUBSCRIPTION"),
            b"SEQUENCE OWNED BY" | desc::SEQUENCE_SET => first(&|other| self.desc(other) == desc::SEQUENCE),
            b"ROW SECURITY" | b"STATISTICS" => first_relation(),
            _ => None,
        }
    }

    fn find_needs(&self, index: usize) -> Vec<usize> {
        let dependencies = || self.dependencies(index);
        let is_index = |other: usize| is_index(&self.entries[other]);
        // What is attached is complete before; it is not needed to be.
        let is_attach = |other: usize| matches!(self.desc(other), desc::TABLE_ATTACH | desc::INDEX_ATTACH);
        let desc = self.desc(index);
        match desc {
            desc::TABLE | desc::FOREIGN_TABLE => {
                let parent = self.attached_to(index).map(|attached| attached.parent);
                dependencies().filter(|&other| Some(other) != parent).collect()
            }
            // The index of a partition depends on the one that it will be attached to.
            desc::INDEX | desc::CONSTRAINT => {
                let needed = self.without_descendants(index).into_iter();
                let needed = needed.filter(|&other| !is_index(other) && !is_attach(other));
                needed.chain(self.needs_btree_gist(index).then_some(self.btree_gist).flatten()).collect()
            }
            // Depends on the indexes of all levels.
            desc::INDEX_ATTACH => {
                let pair = attached(self.definition(index));
                let is_one = |other: &usize| {
                    pair.as_ref().is_none_or(|pair| {
                        pair.iter().any(|name| is_index(*other) && self.is_index_called(*other, name))
                    })
                };
                let table = self.owners[index].and_then(|index| self.owners[index]);
                dependencies().filter(is_one).chain(self.attach_of(table)).collect()
            }
            // A partition's trigger, enabled in another way than the whole table's.
            desc::TRIGGER if dependencies().any(|other| self.desc(other) == desc::TRIGGER) => {
                let needed = self.without_descendants(index).into_iter();
                needed.chain(self.attach_of(self.owners[index])).collect()
            }
            // As the attaching of an index does.
            desc::FK_CONSTRAINT => {
                let owner = self.owners[index];
                let referred = references(self.definition(index)).and_then(|name| {
                    dependencies()
                        .find(|&other| self.kinds[other].is_relation() && self.is_called(other, &name))
                });
                match referred {
                    Some(referred) => dependencies()
                        .filter(|&other| {
                            !is_attach(other)
                                && (!is_index(other) || self.owners[other] == Some(referred))
                                && (!self.kinds[other].is_relation()
                                    || other == referred
                                    || Some(other) == owner)
                        })
                        .collect(),
                    None => self
                        .without_descendants(index)
                        .into_iter()
                        .filter(|&other| !is_attach(other))
                        .collect(),
                }
            }
            _ => self.without_descendants(index).into_iter().filter(|&other| !is_attach(other)).collect(),
        }
    }

    fn attach_of(&self, table: Option<usize>) -> Option<usize> {
        self.attached_to(table?).map(|attached| attached.attach)
    }

    /// Whether an index would be attached to one that is not in the archive.
    pub(super) fn lacks_an_index(&self, attach: usize) -> bool {
        attached(self.definition(attach)).is_some_and(|pair| {
            let is_there = |name| {
                let mut indexes = self.dependencies(attach).filter(|&other| is_index(&self.entries[other]));
                indexes.any(|index| self.is_index_called(index, name))
            };
            !pair.iter().all(is_there)
        })
    }

    fn is_index_called(&self, index: usize, name: &QualifiedName) -> bool {
        let entry = &self.entries[index];
        entry.namespace.as_deref() == Some(&name.schema) && tag_ends_with(&entry.tag, &name.name)
    }

    /// What an entry depends on without the tables that it only waits for: descendants of another one that it depends
    /// on, unless its definition names them.
    fn without_descendants(&self, index: usize) -> Vec<usize> {
        let all: Vec<usize> = self.dependencies(index).collect();
        let is_table = |other: usize| self.kinds[other] == Kind::Table;
        if self.kinds[index].is_relation() || all.iter().filter(|&&other| is_table(other)).nth(1).is_none() {
            return all;
        }
        let set: HashSet<usize> = all.iter().copied().collect();
        let is_needed = |&other: &usize| {
            !is_table(other)
                || self.owners[index] == Some(other)
                || !self.has_ancestor_in(other, &set)
                || self.is_named_by(other, index)
        };
        all.into_iter().filter(is_needed).collect()
    }

    /// Whether it is an exclusion constraint that compares scalars in a GiST index. It does not depend on the operator
    /// class; its index does, which is no entry.
    fn needs_btree_gist(&self, index: usize) -> bool {
        let definition = self.definition(index);
        let has = |text: &[u8]| definition.windows(text.len()).any(|window| window == text);
        constraint_kind(definition) == Some(b"EXCLUDE")
            && has(b"EXCLUDE USING gist ")
            && (has(b" WITH =") || has(b" WITH <>"))
    }

    fn has_ancestor_in(&self, table: usize, set: &HashSet<usize>) -> bool {
        let mut seen = HashSet::from([table]);
        let mut next = vec![table];
        while let Some(table) = next.pop() {
            for &parent in self.ancestors.get(&table).into_iter().flatten() {
                if seen.insert(parent) {
                    if set.contains(&parent) {
                        return true;
                    }
                    next.push(parent);
                }
            }
        }
        false
    }

    fn is_named_by(&self, table: usize, index: usize) -> bool {
        let entry = &self.entries[table];
        names(self.definition(index), entry.namespace.as_deref().unwrap_or_default(), &entry.tag)
    }

    fn note_parts(&mut self) {
        let name = |index: usize| (&self.entries[index].namespace, &self.entries[index].tag);
        let shells: HashMap<_, usize> =
            self.with_desc(desc::SHELL_TYPE).map(|index| (name(index), index)).collect();
        let mut parts = vec![Vec::new(); self.entries.len()];
        for (index, owner) in self.owners.iter().enumerate() {
            if let Some(owner) = owner {
                parts[*owner].push(index);
            }
            match self.desc(index) {
                // Constraints use a type's default operator classes, and nothing says so.
                desc::OPERATOR_CLASS => {
                    for of in self.dependencies(index).filter(|&other| self.desc(other) == desc::TYPE) {
                        parts[of].push(index);
                    }
                }
                desc::TYPE => {
                    if let Some(shell) = shells.get(&name(index)) {
                        parts[*shell].push(index);
                    }
                }
                _ => {}
            }
        }
        self.parts = parts;
    }
}

/// Whether it is an index, which a constraint may have made.
fn is_index(entry: &TocEntry) -> bool {
    matches!(entry.desc.as_slice(), desc::INDEX | desc::CONSTRAINT)
}

/// Whether it is this name, or a table's and then this one: so constraints are tagged.
fn tag_ends_with(tag: &[u8], name: &[u8]) -> bool {
    tag.strip_suffix(name).is_some_and(|table| table.is_empty() || table.ends_with(b" "))
}
