//! The table of contents of an archive, fetched and proven, and where its large objects are.

use crate::pg::text;
use crate::pg::transaction::transaction;
use crate::worker::io::Io;
use crate::worker::subject::Subject;
use std::collections::HashSet;
use std::ops::Range;
use std::sync::atomic::AtomicU64;
use walwarden_core::archive::{
    Algorithm, ArchiveReader, QualifiedName, Selection, TableEntries, TableName, Toc, first_chunk,
};
use walwarden_core::{Error, ErrorClass, Result};
use walwarden_store::Part;

/// Windows that are fetched ahead.
const WINDOWS_AHEAD: usize = 2;
/// Parts that are compared at a time.
const WINDOWS: usize = 4;

/// What an archive holds besides its tables' rows.
pub struct Contents {
    /// Its table of contents.
    pub toc: Toc,
    /// The blocks of its large objects, behind those of the tables.
    pub large_objects: Range<u64>,
}

impl Contents {
    /// Leave out of it what is not wanted, and what is without what a filter left out.
    pub fn select(&mut self, selection: &Selection, subject: &Subject) -> Result<()> {
        let encoding = &subject.manifest.database.encoding;
        // What conversions there are stands in a catalog.
        transaction(|| {
            if !subject.manifest.filter.is_empty() {
                self.toc.make_restorable(&tables_without_data(subject)?);
            }
            selection.apply(&mut self.toc, |name| text::to_encoding(name, encoding))
        })
    }
}

/// Read the table of contents, after the parts that it and the large objects lie in were compared with the manifest.
pub fn read(io: &Io, subject: &Subject) -> Result<Contents> {
    let (toc, end) = read_with_end(io, subject)?;
    let large_objects =
        after_tables(io, subject, toc.header.algorithm(), end)?..subject.manifest.archive.size;
    verify_parts(io, subject, large_objects.clone())?;
    Ok(Contents { toc, large_objects })
}

/// Read the table of contents alone, after the parts that it lies in were compared with the manifest.
pub fn read_toc(io: &Io, subject: &Subject) -> Result<Toc> {
    read_with_end(io, subject).map(|(toc, _)| toc)
}

/// What the archive has of this table. Must run inside a transaction, for what conversions there are stands in a catalog.
pub fn find_table(toc: &Toc, subject: &Subject, table: &TableName) -> Result<TableEntries> {
    let name = |name: &str| text::to_encoding(name, &subject.manifest.database.encoding);
    let found = toc.table(&name(&table.schema)?, &name(&table.name)?)?;
    let without_data = tables_without_data(subject)?;
    if let Some(empty) = found.names.iter().find(|name| without_data.contains(name)) {
        let readable = |name: &[u8]| text::from_server_lossy(name);
        let empty = TableName { schema: readable(&empty.schema), name: readable(&empty.name) };
        return Err(Error::new(ErrorClass::WrongState, format!("the backup has no rows of table {empty}"))
            .detail("They were left out by a pattern of exclude_table_data.")
            .hint("Its definition is in the backup: walwarden.restore() makes it, empty."));
    }
    Ok(found)
}

/// Must run inside a transaction.
fn tables_without_data(subject: &Subject) -> Result<HashSet<QualifiedName>> {
    let encode = |name: &str| text::to_encoding(name, &subject.manifest.database.encoding);
    let tables = subject.manifest.tables_without_data.iter();
    tables
        .map(|table| Ok(QualifiedName { schema: encode(&table.schema)?, name: encode(&table.name)? }))
        .collect()
}

fn read_with_end(io: &Io, subject: &Subject) -> Result<(Toc, u64)> {
    let size = subject.manifest.archive.size;
    let first_block = subject.manifest.tables.first().map_or(size, |table| table.block_offset);
    verify_parts(io, subject, 0..first_block)?;
    let source = subject.archive()?.clone();
    io.run(async move {
        let archive = source.reader(0..first_block, WINDOWS_AHEAD)?;
        blocking(move || {
            let mut reader = ArchiveReader::new(archive);
            Ok((reader.read_toc()?, reader.position()))
        })
        .await
    })
}

/// Compare the parts that these bytes of the archive lie in.
fn verify_parts(io: &Io, subject: &Subject, range: Range<u64>) -> Result<()> {
    let archive = &subject.manifest.archive;
    let range = subject.archive()?.stored_range(&range);
    let stored = archive.stored();
    let parts: Vec<Part> = stored
        .parts
        .iter()
        .filter(|part| part.offset < range.end && range.start < part.offset + part.size)
        .map(|part| Part { offset: part.offset, size: part.size, sha256: part.sha256.0 })
        .collect();
    let (store, key, size) = (subject.store.clone(), archive.key.clone(), stored.size);
    io.run(async move { store.verify_parts(&key, size, &parts, &AtomicU64::new(0), WINDOWS).await })
}

/// Where the last table's block ends; without tables, where the table of contents does.
fn after_tables(io: &Io, subject: &Subject, algorithm: Algorithm, toc_end: u64) -> Result<u64> {
    let manifest = &subject.manifest;
    let Some(table) = manifest.tables.last() else { return Ok(toc_end) };
    let start = match table.pieces.last() {
        Some(piece) => piece.offset + piece.length,
        None => first_chunk(table.block_offset),
    };
    let (source, size) = (subject.archive()?.clone(), manifest.archive.size);
    let length = io.run(async move {
        let archive = source.reader(start..size, WINDOWS_AHEAD)?;
        blocking(move || {
            let mut reader = ArchiveReader::in_table(archive, algorithm);
            reader.skip_block()?;
            Ok(reader.position())
        })
        .await
    })?;
    Ok(start + length)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|_| Err(Error::new(ErrorClass::Internal, "reading an archive panicked")))
}
