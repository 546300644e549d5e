//! Pieces of an archive, fetched from storage in batches and proven.

use crate::worker::io::{Io, Task};
use sha2::{Digest, Sha256};
use std::io::Read;
use walwarden_core::archive::{LoadBatch, LoadedPiece, LoadedTable};
use walwarden_core::{Error, ErrorClass, Result};
use walwarden_store::ArchiveSource;

/// Windows that are fetched ahead within a batch.
const WINDOWS_AHEAD: usize = 2;

/// A batch on its way from storage.
struct Coming<'a> {
    batch: &'a LoadBatch,
    /// When they are there.
    bytes: Task<Vec<u8>>,
}

/// Where an archive is.
#[derive(Clone)]
pub struct Source<'a> {
    /// Threads for storage.
    pub io: &'a Io,
    /// How it is read.
    pub archive: ArchiveSource,
}

impl Source<'_> {
    /// Fetch whatever batch comes next until there is none, and use each while the one after it comes.
    pub fn for_each_batch<'b>(
        &self,
        mut next: impl FnMut() -> Option<&'b LoadBatch>,
        mut each: impl FnMut(&LoadBatch, &[u8]) -> Result<()>,
    ) -> Result<()> {
        let mut coming = self.fetch(next())?;
        while let Some(Coming { batch, mut bytes }) = coming {
            let bytes = self.io.wait_for(&mut bytes)?;
            coming = self.fetch(next())?;
            each(batch, &bytes)?;
        }
        Ok(())
    }

    /// Begin to fetch a batch, if there is one.
    fn fetch<'b>(&self, batch: Option<&'b LoadBatch>) -> Result<Option<Coming<'b>>> {
        let Some(batch) = batch else { return Ok(None) };
        let archive = self.archive.clone();
        let (offset, length) = (batch.offset(), batch.length());
        let bytes = self.io.spawn(async move {
            let mut reader = archive.reader(offset..offset + length, WINDOWS_AHEAD)?;
            let fetched = tokio::task::spawn_blocking(move || {
                let mut bytes = Vec::new();
                // An allocation that fails must not abort the process, which would restart the whole server.
                usize::try_from(length)
                    .ok()
                    .and_then(|length| bytes.try_reserve_exact(length).ok())
                    .ok_or_else(|| {
                        Error::new(ErrorClass::Resources, format!("there is no memory for {length} bytes"))
                    })?;
                reader.read_to_end(&mut bytes).map_err(Error::from_io)?;
                Ok(bytes)
            });
            fetched.await.unwrap_or_else(|_| Err(Error::internal("reading from storage panicked")))
        })?;
        Ok(Some(Coming { batch, bytes }))
    }

    /// The bytes of a piece among those of its batch.
    ///
    /// # Errors
    /// `StorageCorrupt` where they are not those of the manifest.
    pub fn intact<'b>(
        &self,
        table: &LoadedTable,
        batch: &LoadBatch,
        piece: &LoadedPiece,
        bytes: &'b [u8],
    ) -> Result<&'b [u8]> {
        let start = usize::try_from(piece.offset - batch.offset()).unwrap_or(usize::MAX);
        let length = usize::try_from(piece.length).unwrap_or(usize::MAX);
        let bytes = bytes
            .get(start..start.saturating_add(length))
            .ok_or_else(|| self.wrong(table, piece, "is not complete"))?;
        let found: [u8; 32] = Sha256::digest(bytes).into();
        if found == piece.sha256 { Ok(bytes) } else { Err(self.wrong(table, piece, "has another SHA-256")) }
    }

    /// That a piece gave what the manifest says.
    pub fn require_all(
        &self,
        table: &LoadedTable,
        piece: &LoadedPiece,
        rows: u64,
        raw_length: u64,
    ) -> Result<()> {
        if (rows, raw_length) == (piece.rows, piece.raw_length) {
            return Ok(());
        }
        let seen = format!(
            "gave {rows} rows of {raw_length} bytes instead of {} of {}",
            piece.rows, piece.raw_length
        );
        Err(self.wrong(table, piece, &seen))
    }

    fn wrong(&self, table: &LoadedTable, piece: &LoadedPiece, seen: &str) -> Error {
        let (first, last) = (piece.offset, piece.offset + piece.length - 1);
        Error::new(
            ErrorClass::StorageCorrupt,
            format!("object \"{}\" is not what was stored", self.archive.key()),
        )
        .detail(format!("A piece of table {} at bytes {first} to {last} {seen}.", table.name))
    }
}
