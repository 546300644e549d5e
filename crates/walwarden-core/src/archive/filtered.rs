//! What an archive of a filtered backup needs to be restored: pg_dump leaves out what its patterns say, and neither what
//! refers to that, nor does it bring the schema of a table that it was asked for.

use std::collections::{BTreeMap, HashSet};

use super::closure::Closure;
use super::definition::{QualifiedName, extension_schema, references};
use super::graph::Graph;
use super::kind::Kind;
use super::rename::quoted;
use super::toc::{DataOffset, Section, Toc, TocEntry, desc};

/// How the schemas that are added are called. pg_restore without owners writes another statement for a SCHEMA.
const MISSING_SCHEMA: &[u8] = b"WALWARDEN SCHEMA";

impl Toc {
    /// Makes it one that can be restored, as far as that can be told from the archive: leaves out what would not find what
    /// it refers to, and makes the schemas that are missing. The tables that come `without_rows` are named as the archive
    /// names them.
    pub fn make_restorable(&mut self, without_rows: &HashSet<QualifiedName>) {
        self.leave_out_what_lacks(without_rows);
        self.add_missing_schemas();
        self.leave_public_alone();
    }

    /// Asked for by its name, the schema `public` comes with a statement that makes it, and every new database has it.
    fn leave_public_alone(&mut self) {
        let is_public = |entry: &&mut TocEntry| entry.desc == desc::SCHEMA && entry.tag == b"public";
        for entry in self.entries.iter_mut().filter(is_public) {
            // As pg_dump writes it otherwise (dumpNamespace).
            entry.definition = Some(b"-- *not* creating schema, since initdb creates it\n\n\n".to_vec());
        }
    }

    /// Leaves out the foreign keys that would not find what they refer to, because the table is not in the archive or its
    /// rows are not; the places of partitions and of their indexes in what is not there, and those of tables in publications that
    /// are; and does not fill materialized views from
    /// tables whose rows are left out.
    fn leave_out_what_lacks(&mut self, without_rows: &HashSet<QualifiedName>) {
        let graph = Graph::of(&self.entries);
        let relations: HashSet<(&[u8], &[u8])> = (0..graph.entries.len())
            .filter(|&index| graph.kinds[index].is_relation() || graph.desc(index) == desc::TABLE_DATA)
            .map(|index| {
                let entry = &graph.entries[index];
                (entry.namespace.as_deref().unwrap_or_default(), entry.tag.as_slice())
            })
            .collect();
        let keys = graph.with_desc(desc::FK_CONSTRAINT).filter(|&key| {
            let definition = graph.entries[key].definition.as_deref().unwrap_or_default();
            references(definition).is_some_and(|to| !relations.contains(&(&to.schema, &to.name)))
        });
        let attached: HashSet<usize> = (0..graph.entries.len())
            .filter_map(|index| graph.attached_to(index))
            .map(|attached| attached.attach)
            .collect();
        let places = graph.with_desc(desc::TABLE_ATTACH).filter(|place| !attached.contains(place));

        let indexes = graph.with_desc(desc::INDEX_ATTACH).filter(|&attach| graph.lacks_an_index(attach));

        // pg_dump 18 says of a table that it does not bring in which publications it is. The tag is both names.
        let memberships = graph.with_desc(b"PUBLICATION TABLE").filter(|&membership| {
            let entry = &graph.entries[membership];
            let schema = entry.namespace.as_deref().unwrap_or_default();
            !relations.iter().any(|(of, name)| {
                *of == schema
                    && entry.tag.strip_suffix(*name).is_some_and(|publication| publication.ends_with(b" "))
            })
        });

        let mut closure = Closure::new(&graph);
        closure.ban(keys.chain(places).chain(indexes).chain(memberships).collect());
        closure.take_everything();
        closure.forget_rows(|index| {
            let entry = &graph.entries[index];
            let schema = entry.namespace.clone().unwrap_or_default();
            without_rows.contains(&QualifiedName { schema, name: entry.tag.clone() })
        });
        closure.drop_what_lacks_rows();
        let alone = closure.rows_through_a_root_that_is_gone();
        let kept = closure.into_kept();
        self.keep(&kept, &alone);
    }

    /// Adds an entry for each schema that entries are in and that has none, before the first of them: their own owner is the
    /// role that restores. One that is there all the same, because an extension makes it, is left alone.
    fn add_missing_schemas(&mut self) {
        let present: HashSet<&[u8]> = self
            .entries
            .iter()
            .filter(|entry| entry.desc == desc::SCHEMA)
            .map(|entry| entry.tag.as_slice())
            .chain([b"public".as_slice(), b"pg_catalog", b"information_schema"])
            .collect();
        let mut users: BTreeMap<Vec<u8>, Vec<usize>> = BTreeMap::new();
        for (index, entry) in self.entries.iter().enumerate() {
            let schema = schema_needed(entry).filter(|schema| !present.contains(schema.as_slice()));
            if let Some(schema) = schema {
                users.entry(schema).or_default().push(index);
            }
        }
        let next_id = self.entries.iter().map(|entry| entry.dump_id).max().unwrap_or(0) + 1;
        let mut added = Vec::new();
        for (dump_id, (schema, users)) in (next_id..).zip(users) {
            for &user in &users {
                self.entries[user].dependencies.push(dump_id);
            }
            added.extend(users.first().map(|&first| (first, creation(dump_id, schema))));
        }
        // From the end, so that no place moves before it is used.
        added.sort_by_key(|(place, entry)| std::cmp::Reverse((*place, entry.dump_id)));
        for (place, entry) in added {
            self.entries.insert(place, entry);
        }
    }
}

/// The schema that must be there before this can be made.
fn schema_needed(entry: &TocEntry) -> Option<Vec<u8>> {
    if entry.desc == desc::EXTENSION {
        return extension_schema(entry.definition.as_deref().unwrap_or_default());
    }
    let is_made_in_it = matches!(Kind::of(entry), Kind::Table | Kind::View | Kind::Object);
    entry.namespace.clone().filter(|schema| is_made_in_it && !schema.is_empty())
}

fn creation(dump_id: i32, schema: Vec<u8>) -> TocEntry {
    let definition = [b"CREATE SCHEMA IF NOT EXISTS ".as_slice(), &quoted(&schema), b";\n"].concat();
    TocEntry {
        dump_id,
        had_dumper: false,
        catalog_oid: 0,
        oid: 0,
        tag: schema,
        desc: MISSING_SCHEMA.to_vec(),
        section: Section::PreData,
        definition: Some(definition),
        drop_statement: Some(Vec::new()),
        copy_statement: Some(Vec::new()),
        namespace: None,
        tablespace: None,
        table_access_method: None,
        relkind: 0,
        owner: Some(Vec::new()),
        dependencies: Vec::new(),
        data_offset: DataOffset::NO_DATA,
    }
}
