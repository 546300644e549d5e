//! Rows that were written directly beside those that COPY writes: they must be the same bytes.

use crate::pg::copy_out::copy_out;
use crate::pg::direct_copy::DirectTable;
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::time::{Duration, Instant};
use walwarden_core::archive::Blocks;
use walwarden_core::archive::statement::statement_of_blocks;
use walwarden_core::copy_text::Sink;
use walwarden_core::{Error, Result};

/// Text is hashed in parts of about this size.
const PART_BYTES: usize = 64 << 10;

/// What became of some blocks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Written {
    /// How many rows.
    pub rows: u64,
    /// How many bytes of text.
    pub bytes: u64,
    /// The SHA-256 of that text.
    pub sha256: [u8; 32],
}

/// Takes text and keeps its hash.
#[derive(Default)]
struct Hashed {
    text: Vec<u8>,
    bytes: u64,
    hash: Sha256,
    /// What hashing took.
    hashing: Duration,
}

impl Hashed {
    fn hash(&mut self) {
        let began = Instant::now();
        self.hash.update(&self.text);
        self.bytes += self.text.len() as u64;
        self.text.clear();
        self.text.shrink_to(2 * PART_BYTES);
        self.hashing += began.elapsed();
    }

    /// What there was, and how long all of it took since `began`, without the hashing.
    fn end(mut self, rows: u64, began: Instant) -> (Written, Duration) {
        self.hash();
        let written = Written { rows, bytes: self.bytes, sha256: self.hash.finalize().into() };
        (written, began.elapsed().saturating_sub(self.hashing))
    }
}

impl Sink for Hashed {
    fn text(&mut self) -> &mut Vec<u8> {
        &mut self.text
    }

    fn pass_on(&mut self) -> Result<()> {
        if self.text.len() >= PART_BYTES {
            self.hash();
        }
        Ok(())
    }

    fn written(&self) -> u64 {
        self.bytes + self.text.len() as u64
    }
}

/// The COPY of some blocks of the table that `statement` copies whole.
pub fn statement(statement: &[u8], blocks: Blocks) -> Result<Cow<'_, [u8]>> {
    if blocks == Blocks::ALL {
        return Ok(Cow::Borrowed(statement));
    }
    statement_of_blocks(statement, blocks)
        .map(Cow::Owned)
        .ok_or_else(|| Error::internal("a table was cut that cannot be"))
}

/// Some blocks of a table, written directly; and how long that took.
pub fn write_directly(table: &mut DirectTable, blocks: Blocks) -> Result<(Written, Duration)> {
    let (began, mut text) = (Instant::now(), Hashed::default());
    let rows = table.write(blocks, &mut text)?;
    Ok(text.end(rows, began))
}

/// The same blocks, written by COPY.
pub fn write_by_copy(copy: &[u8], blocks: Blocks) -> Result<(Written, Duration)> {
    let (began, mut text) = (Instant::now(), Hashed::default());
    let rows = copy_out(&statement(copy, blocks)?, &mut |row| {
        text.text.extend_from_slice(row);
        text.pass_on()
    })?;
    Ok(text.end(rows, began))
}

/// Make sure that both write the same.
///
/// # Errors
/// `Internal` where they do not.
pub fn require_same(table: &mut DirectTable, copy: &[u8], blocks: Blocks) -> Result<()> {
    let (direct, by_copy) = (write_directly(table, blocks)?.0, write_by_copy(copy, blocks)?.0);
    if direct == by_copy {
        return Ok(());
    }
    let Blocks { first, end } = blocks;
    // Not the rows themselves: they are a user's data.
    Err(Error::internal(format!("a table was not written as COPY writes it: \"{}\"", table.name()))
        .detail(format!(
            "Of blocks {first} to {} walwarden wrote {} rows of {} bytes, and COPY {} rows of {} bytes.",
            end - 1,
            direct.rows,
            direct.bytes,
            by_copy.rows,
            by_copy.bytes
        ))
        .hint("Set walwarden.encoder to copy, run the backup again, and report this as a defect."))
}
