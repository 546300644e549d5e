//! The archive against its manifest.

use std::io::Read;

use sha2::{Digest, Sha256};

use super::damaged;
use super::ranges::{Range, Ranges};
use super::rows::{Rows, name};
use super::seen::Seen;
use crate::archive::{ArchiveReader, BlockStart, Compression, Toc, desc};
use crate::error::{Error, ErrorClass, Result};
use crate::manifest::{Manifest, Table};

/// How much decompressed data is looked at at once.
const BUFFER_LENGTH: usize = 256 * 1024;

/// Reads an archive from its first byte to its last and compares it with its manifest: size, the SHA-256 of the whole, of
/// each part and of each piece; the table of contents and the blocks with each other and with the manifest; every block
/// decompressed, with its checksums, and its rows counted.
///
/// `archive` is wrapped in nothing else: it need not buffer. `seen` grows while it is read.
///
/// # Errors
/// `StorageCorrupt` where anything differs or the format is broken; an [`Error`] that `archive` gives comes out as it is.
pub fn verify_archive<R: Read>(archive: R, manifest: &Manifest, seen: &Seen) -> Result<()> {
    compare(archive, manifest, seen).map_err(|error| match error {
        // What was written had the right format, so what is read is something else.
        Error { class: ErrorClass::Archive, detail, message, .. } => damaged(detail.unwrap_or(message)),
        error => error,
    })
}

fn compare<R: Read>(archive: R, manifest: &Manifest, seen: &Seen) -> Result<()> {
    let mut reader = ArchiveReader::new(Passing::new(archive, manifest, seen));
    let toc = reader.read_toc()?;
    compare_contents(&toc, manifest)?;
    let mut tables = manifest.tables.iter();
    let mut large_objects = Counted::default();
    let mut buffer = vec![0; BUFFER_LENGTH];
    loop {
        let offset = reader.position();
        match reader.next_block()? {
            None => break,
            Some(BlockStart::TableData { dump_id }) => {
                let table = tables.next().filter(|table| table.dump_id == dump_id).ok_or_else(|| {
                    damaged(format!(
                        "The block at byte {offset} is of entry {dump_id}, which is not due there."
                    ))
                })?;
                let rows = verify_table(&mut reader, table, offset, &mut buffer)?;
                seen.add_table(rows);
            }
            Some(BlockStart::LargeObjects { .. }) => {
                count_large_objects(&mut reader, &mut large_objects, &mut buffer)?;
            }
        }
    }
    if let Some(missing) = tables.next() {
        return Err(damaged(format!("The data of table {} is missing.", name(missing))));
    }
    let expected = &manifest.large_objects;
    if (large_objects.count, large_objects.bytes) != (expected.count, expected.raw_bytes) {
        return Err(damaged(format!(
            "It has {} large objects of {} bytes instead of {} of {}.",
            large_objects.count, large_objects.bytes, expected.count, expected.raw_bytes
        )));
    }
    reader.into_inner().finish()
}

/// The entries that have data are the tables of the manifest, in its order, and large objects.
fn compare_contents(toc: &Toc, manifest: &Manifest) -> Result<()> {
    let archive = &manifest.archive;
    let minor = toc.header.version().minor();
    if archive.format_version != format!("1.{minor}") {
        return Err(damaged(format!("Its format is 1.{minor} instead of {}.", archive.format_version)));
    }
    let compression = Compression::parse(&archive.compression)?;
    if toc.header.algorithm() != compression.algorithm() {
        return Err(damaged(format!(
            "Its compression is {} instead of {compression}.",
            toc.header.algorithm().name()
        )));
    }
    let mut tables = manifest.tables.iter();
    for entry in toc.entries.iter().filter(|entry| entry.had_dumper) {
        if entry.desc == desc::BLOBS {
            continue;
        }
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (schema, tag) = (text(entry.namespace.as_deref().unwrap_or_default()), text(&entry.tag));
        let same =
            |table: &&Table| (table.dump_id, &table.schema, &table.name) == (entry.dump_id, &schema, &tag);
        if tables.next().filter(same).is_none() {
            return Err(damaged(format!(
                "Entry {} of its table of contents, \"{schema}\".\"{tag}\", is not the table that the manifest has there.",
                entry.dump_id
            )));
        }
    }
    match tables.next() {
        None => Ok(()),
        Some(missing) => {
            Err(damaged(format!("Table {} is missing in its table of contents.", name(missing))))
        }
    }
}

fn verify_table<R: Read>(
    reader: &mut ArchiveReader<R>,
    table: &Table,
    offset: u64,
    buffer: &mut [u8],
) -> Result<u64> {
    if offset != table.block_offset {
        return Err(damaged(format!(
            "The block of table {} begins at byte {offset} instead of {}.",
            name(table),
            table.block_offset
        )));
    }
    let mut rows = Rows::of(table);
    let mut plaintext = reader.plaintext().map_err(|error| of_table(error, table))?;
    loop {
        match plaintext.read_some(buffer).map_err(|error| of_table(error, table))? {
            0 => return rows.finish(),
            length => rows.take(&buffer[..length])?,
        }
    }
}

fn of_table(error: Error, table: &Table) -> Error {
    if error.class != ErrorClass::Archive {
        return error;
    }
    let detail = error.detail.clone().unwrap_or_default();
    error.detail(format!("Table {}: {detail}", name(table)))
}

#[derive(Default)]
struct Counted {
    count: u64,
    bytes: u64,
}

fn count_large_objects<R: Read>(
    reader: &mut ArchiveReader<R>,
    counted: &mut Counted,
    buffer: &mut [u8],
) -> Result<()> {
    while reader.next_large_object()?.is_some() {
        counted.count += 1;
        let mut plaintext = reader.plaintext()?;
        loop {
            match plaintext.read_some(buffer)? {
                0 => break,
                length => counted.bytes += length as u64,
            }
        }
    }
    Ok(())
}

/// Hashes what passes through it.
struct Passing<'a, R> {
    inner: R,
    manifest: &'a Manifest,
    seen: &'a Seen,
    position: u64,
    whole: Sha256,
    parts: Ranges,
    pieces: Ranges,
}

impl<'a, R: Read> Passing<'a, R> {
    fn new(inner: R, manifest: &'a Manifest, seen: &'a Seen) -> Self {
        let parts = manifest.archive.parts.iter();
        let pieces = manifest.tables.iter().flat_map(|table| &table.pieces);
        Self {
            inner,
            manifest,
            seen,
            position: 0,
            whole: Sha256::new(),
            parts: Ranges::new(parts.map(|part| Range {
                offset: part.offset,
                length: part.size,
                sha256: part.sha256,
            })),
            pieces: Ranges::new(pieces.map(|piece| Range {
                offset: piece.offset,
                length: piece.length,
                sha256: piece.sha256,
            })),
        }
    }

    fn pass(&mut self, bytes: &[u8]) -> Result<()> {
        let wrong = |what: &str, range: &Range| {
            damaged(format!(
                "The {what} at bytes {} to {} has another SHA-256.",
                range.offset,
                range.offset + range.length - 1
            ))
        };
        self.whole.update(bytes);
        self.parts.pass(self.position, bytes).map_err(|range| wrong("part", &range))?;
        self.pieces.pass(self.position, bytes).map_err(|range| match self.table_at(range.offset) {
            Some(table) => wrong(&format!("piece of table {}", name(table)), &range),
            None => wrong("piece", &range),
        })?;
        self.position += bytes.len() as u64;
        self.seen.add_bytes(bytes.len() as u64);
        if self.position > self.manifest.archive.size {
            return Err(damaged(format!("It has more than {} bytes.", self.manifest.archive.size)));
        }
        Ok(())
    }

    fn table_at(&self, offset: u64) -> Option<&'a Table> {
        self.manifest.tables.iter().find(|table| table.pieces.iter().any(|piece| piece.offset == offset))
    }

    fn finish(self) -> Result<()> {
        let archive = &self.manifest.archive;
        if self.position != archive.size {
            return Err(damaged(format!("It has {} bytes instead of {}.", self.position, archive.size)));
        }
        let found: [u8; 32] = self.whole.finalize().into();
        if found != archive.sha256.0 {
            return Err(damaged("The whole has another SHA-256, although each part has its own."));
        }
        Ok(())
    }
}

impl<R: Read> Read for Passing<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let length = self.inner.read(buffer)?;
        self.pass(&buffer[..length]).map_err(std::io::Error::other)?;
        Ok(length)
    }
}
