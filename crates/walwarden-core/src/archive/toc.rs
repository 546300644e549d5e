//! The archive's table of contents (pg_backup_archiver.c: WriteToc, ReadToc).

use std::collections::HashSet;
use std::io::Read;

use super::header::{ArchiveHeader, FormatVersion};
use super::primitive::{put_int, put_string};
use super::source::Source;
use crate::error::Result;

/// The kinds of entries that matter here, as they stand in [`TocEntry::desc`].
pub mod desc {
    /// Privileges of an object.
    pub const ACL: &[u8] = b"ACL";
    /// The large objects' data.
    pub const BLOBS: &[u8] = b"BLOBS";
    /// A CHECK that is not part of CREATE TABLE or CREATE DOMAIN.
    pub const CHECK_CONSTRAINT: &[u8] = b"CHECK CONSTRAINT";
    /// A comment on an object.
    pub const COMMENT: &[u8] = b"COMMENT";
    /// A primary key, a unique or exclusion constraint; since PostgreSQL 18 also a NOT NULL.
    pub const CONSTRAINT: &[u8] = b"CONSTRAINT";
    /// CREATE DATABASE.
    pub const DATABASE: &[u8] = b"DATABASE";
    /// Settings of the database itself.
    pub const DATABASE_PROPERTIES: &[u8] = b"DATABASE PROPERTIES";
    /// A column's default that is not part of CREATE TABLE.
    pub const DEFAULT: &[u8] = b"DEFAULT";
    /// CREATE DOMAIN.
    pub const DOMAIN: &[u8] = b"DOMAIN";
    /// CREATE EXTENSION.
    pub const EXTENSION: &[u8] = b"EXTENSION";
    /// A foreign key.
    pub const FK_CONSTRAINT: &[u8] = b"FK CONSTRAINT";
    /// CREATE FOREIGN TABLE.
    pub const FOREIGN_TABLE: &[u8] = b"FOREIGN TABLE";
    /// CREATE INDEX.
    pub const INDEX: &[u8] = b"INDEX";
    /// ATTACH PARTITION of an index, tagged with the partition's index.
    pub const INDEX_ATTACH: &[u8] = b"INDEX ATTACH";
    /// CREATE MATERIALIZED VIEW.
    pub const MATERIALIZED_VIEW: &[u8] = b"MATERIALIZED VIEW";
    /// REFRESH MATERIALIZED VIEW.
    pub const MATERIALIZED_VIEW_DATA: &[u8] = b"MATERIALIZED VIEW DATA";
    /// CREATE OPERATOR CLASS.
    pub const OPERATOR_CLASS: &[u8] = b"OPERATOR CLASS";
    /// A policy of row security.
    pub const POLICY: &[u8] = b"POLICY";
    /// CREATE RULE, or CREATE OR REPLACE VIEW of a view that was made empty at first.
    pub const RULE: &[u8] = b"RULE";
    /// CREATE SCHEMA.
    pub const SCHEMA: &[u8] = b"SCHEMA";
    /// A security label of an object.
    pub const SECURITY_LABEL: &[u8] = b"SECURITY LABEL";
    /// CREATE SEQUENCE, or a column made an identity.
    pub const SEQUENCE: &[u8] = b"SEQUENCE";
    /// A sequence's value.
    pub const SEQUENCE_SET: &[u8] = b"SEQUENCE SET";
    /// CREATE SERVER.
    pub const SERVER: &[u8] = b"SERVER";
    /// CREATE TYPE of a name only, for the functions that the type needs.
    pub const SHELL_TYPE: &[u8] = b"SHELL TYPE";
    /// What ANALYZE found.
    pub const STATISTICS_DATA: &[u8] = b"STATISTICS DATA";
    /// CREATE TABLE.
    pub const TABLE: &[u8] = b"TABLE";
    /// ATTACH PARTITION, tagged with the partition's name.
    pub const TABLE_ATTACH: &[u8] = b"TABLE ATTACH";
    /// A table's rows.
    pub const TABLE_DATA: &[u8] = b"TABLE DATA";
    /// CREATE TRIGGER.
    pub const TRIGGER: &[u8] = b"TRIGGER";
    /// CREATE TYPE.
    pub const TYPE: &[u8] = b"TYPE";
    /// CREATE USER MAPPING.
    pub const USER_MAPPING: &[u8] = b"USER MAPPING";
    /// CREATE VIEW.
    pub const VIEW: &[u8] = b"VIEW";
}

/// WITH OIDS, of a time when tables had them. pg_dump still writes it for every entry.
const WITHOUT_OIDS: &[u8] = b"false";

/// When pg_restore runs an entry (`teSection` of pg_backup.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Section {
    /// With the object it belongs to: comments, privileges.
    None,
    /// Before any data.
    PreData,
    /// The data itself.
    Data,
    /// After the data: indexes, constraints, triggers.
    PostData,
}

impl Section {
    const ALL: [Self; 4] = [Self::None, Self::PreData, Self::Data, Self::PostData];

    const fn code(self) -> i32 {
        match self {
            Self::None => 1,
            Self::PreData => 2,
            Self::Data => 3,
            Self::PostData => 4,
        }
    }
}

/// Whether an entry's data has a known position (K_OFFSET_* of pg_backup_archiver.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OffsetState {
    /// It has data somewhere.
    NotSet,
    /// It has data at the given position.
    Set,
    /// It has none.
    NoData,
}

impl OffsetState {
    const ALL: [Self; 3] = [Self::NotSet, Self::Set, Self::NoData];

    const fn code(self) -> u8 {
        match self {
            Self::NotSet => 1,
            Self::Set => 2,
            Self::NoData => 3,
        }
    }
}

/// Where an entry's data block begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DataOffset {
    /// What `position` means.
    pub state: OffsetState,
    /// Bytes from the archive's begin; 0 unless set.
    pub position: u64,
}

impl DataOffset {
    /// Data whose place is not known.
    pub const NOT_SET: Self = Self { state: OffsetState::NotSet, position: 0 };
    /// No data.
    pub const NO_DATA: Self = Self { state: OffsetState::NoData, position: 0 };
}

/// One entry of the table of contents. Texts are bytes in the database's encoding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TocEntry {
    /// The entry's number, unique in the archive and positive.
    pub dump_id: i32,
    /// Whether the archive holds a data block for it.
    pub had_dumper: bool,
    /// Oid of the catalog the object stands in; 0 for none.
    pub catalog_oid: u32,
    /// The object's Oid there; for TABLE DATA the table's `pg_class.oid`.
    pub oid: u32,
    /// The object's name, mostly.
    pub tag: Vec<u8>,
    /// The kind of entry, see [`desc`].
    pub desc: Vec<u8>,
    /// When it is restored.
    pub section: Section,
    /// The statement that creates the object.
    pub definition: Option<Vec<u8>>,
    /// The statement that drops it.
    pub drop_statement: Option<Vec<u8>>,
    /// The statement that loads the data: `COPY ... FROM stdin;` and a newline.
    pub copy_statement: Option<Vec<u8>>,
    /// The object's schema.
    pub namespace: Option<Vec<u8>>,
    /// Its tablespace.
    pub tablespace: Option<Vec<u8>>,
    /// Its table access method.
    pub table_access_method: Option<Vec<u8>>,
    /// `pg_class.relkind` as a character code; 0 where there is none and before version 1.16.
    pub relkind: i32,
    /// Its owner.
    pub owner: Option<Vec<u8>>,
    /// Entries that must be restored earlier.
    pub dependencies: Vec<i32>,
    /// Where its data is.
    pub data_offset: DataOffset,
}

impl TocEntry {
    /// Whether this is a table's rows.
    pub fn is_table_data(&self) -> bool {
        self.desc == desc::TABLE_DATA
    }

    fn encode(&self, version: FormatVersion, out: &mut Vec<u8>) {
        put_int(out, self.dump_id);
        put_int(out, i32::from(self.had_dumper));
        put_string(out, Some(self.catalog_oid.to_string().as_bytes()));
        put_string(out, Some(self.oid.to_string().as_bytes()));
        put_string(out, Some(&self.tag));
        put_string(out, Some(&self.desc));
        put_int(out, self.section.code());
        put_string(out, self.definition.as_deref());
        put_string(out, self.drop_statement.as_deref());
        put_string(out, self.copy_statement.as_deref());
        put_string(out, self.namespace.as_deref());
        put_string(out, self.tablespace.as_deref());
        put_string(out, self.table_access_method.as_deref());
        if version >= FormatVersion::V1_16 {
            put_int(out, self.relkind);
        }
        put_string(out, self.owner.as_deref());
        put_string(out, Some(WITHOUT_OIDS));
        for dependency in &self.dependencies {
            put_string(out, Some(dependency.to_string().as_bytes()));
        }
        put_string(out, None);
        out.push(self.data_offset.state.code());
        out.extend_from_slice(&self.data_offset.position.to_le_bytes());
    }

    fn read<R: Read>(version: FormatVersion, source: &mut Source<R>) -> Result<Self> {
        let dump_id = source.int()?;
        if dump_id <= 0 {
            return Err(source.damaged(format!("an entry has the number {dump_id}")));
        }
        let had_dumper = match source.int()? {
            0 => false,
            1 => true,
            other => return Err(source.damaged(format!("entry {dump_id} has data or not: {other}"))),
        };
        Ok(Self {
            dump_id,
            had_dumper,
            catalog_oid: read_oid(source)?,
            oid: read_oid(source)?,
            tag: source.string()?,
            desc: source.string()?,
            section: read_section(source)?,
            definition: source.optional_string()?,
            drop_statement: source.optional_string()?,
            copy_statement: source.optional_string()?,
            namespace: source.optional_string()?,
            tablespace: source.optional_string()?,
            table_access_method: source.optional_string()?,
            relkind: if version >= FormatVersion::V1_16 { source.int()? } else { 0 },
            owner: source.optional_string()?,
            dependencies: {
                expect_without_oids(source)?;
                read_dependencies(source)?
            },
            data_offset: read_offset(source)?,
        })
    }
}

fn read_oid<R: Read>(source: &mut Source<R>) -> Result<u32> {
    let text = source.string()?;
    source.decimal(&text)
}

fn read_section<R: Read>(source: &mut Source<R>) -> Result<Section> {
    let code = source.int()?;
    let section = Section::ALL.into_iter().find(|section| section.code() == code);
    section.ok_or_else(|| source.damaged(format!("an entry is of section {code}")))
}

fn expect_without_oids<R: Read>(source: &mut Source<R>) -> Result<()> {
    if source.string()? == WITHOUT_OIDS { Ok(()) } else { Err(source.damaged("a table is WITH OIDS")) }
}

fn read_dependencies<R: Read>(source: &mut Source<R>) -> Result<Vec<i32>> {
    let mut dependencies = Vec::new();
    while let Some(text) = source.optional_string()? {
        dependencies.push(source.decimal(&text)?);
    }
    Ok(dependencies)
}

fn read_offset<R: Read>(source: &mut Source<R>) -> Result<DataOffset> {
    let code = source.byte()?;
    let state = OffsetState::ALL.into_iter().find(|state| state.code() == code);
    let state = state.ok_or_else(|| source.damaged(format!("an entry has the offset flag {code}")))?;
    let mut position = [0; 8];
    source.exact(&mut position)?;
    Ok(DataOffset { state, position: u64::from_le_bytes(position) })
}

/// An archive's header and entries: everything before the data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Toc {
    /// The header.
    pub header: ArchiveHeader,
    /// The entries, in the order in which a serial restore runs them.
    pub entries: Vec<TocEntry>,
}

impl Toc {
    /// The bytes of header and entries. What [`super::ArchiveReader::read_toc`] read comes out unchanged.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(256 + 512 * self.entries.len());
        self.header.encode(&mut out);
        out.extend_from_slice(&super::primitive::length(self.entries.len()));
        for entry in &self.entries {
            entry.encode(self.header.version(), &mut out);
        }
        out
    }

    /// Forgets where the data is: for an archive whose data will lie elsewhere. pg_restore then searches.
    pub fn clear_offsets(&mut self) {
        for entry in &mut self.entries {
            if entry.data_offset.state == OffsetState::Set {
                entry.data_offset = DataOffset::NOT_SET;
            }
        }
    }

    /// The entries of rows whose table is made by no entry: an extension makes it, with its constraints, so that the order of
    /// their rows matters. pg_dump puts them in the right one (processExtensionTables in pg_dump.c).
    pub fn rows_of_extensions(&self) -> HashSet<i32> {
        let entries: HashSet<i32> = self.entries.iter().map(|entry| entry.dump_id).collect();
        self.entries
            .iter()
            .filter(|entry| entry.is_table_data())
            .filter(|entry| entry.dependencies.first().is_none_or(|table| !entries.contains(table)))
            .map(|entry| entry.dump_id)
            .collect()
    }

    /// The same without tables' rows, for a pg_restore that shall not look for them.
    pub fn without_table_data(&self) -> Self {
        let entries = self.entries.iter().filter(|entry| !entry.is_table_data()).cloned().collect();
        Self { header: self.header.clone(), entries }
    }

    pub(super) fn read<R: Read>(source: &mut Source<R>) -> Result<Self> {
        let header = ArchiveHeader::read(source)?;
        let count = source.int()?;
        if count < 0 {
            return Err(source.damaged(format!("it has {count} entries")));
        }
        let mut entries = Vec::new();
        let mut seen = HashSet::new();
        for _ in 0..count {
            let entry = TocEntry::read(header.version(), source)?;
            if !seen.insert(entry.dump_id) {
                return Err(source.damaged(format!("two entries have the number {}", entry.dump_id)));
            }
            entries.push(entry);
        }
        Ok(Self { header, entries })
    }
}
