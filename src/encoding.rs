//! Rows that were written directly beside those that COPY writes: they must be the same bytes.

use crate::pg::copy_out::copy_out;
use crate::pg::direct_copy::DirectTable;
use sha2::{Digest, Sha256};
use std::borrow::Cow;
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
    sha256: [u8; 32],
}

/// Takes text and keeps its hash.
#[derive(Default)]
struct Hashed {
    text: Vec<u8>,
    bytes: u64,
    hash: Sha256,
}

impl Hashed {
    fn take(&mut self, text: &[u8]) {
        self.hash.update(text);
        self.bytes += text.len() as u64;
    }

    fn end(mut self, rows: u64) -> Written {
        let text = std::mem::take(&mut self.text);
        self.take(&text);
        Written { rows, bytes: self.bytes, sha256: self.hash.finalize().into() }
    }
}

impl Sink for Hashed {
    fn text(&mut self) -> &mut Vec<u8> {
        &mut self.text
    }

    fn pass_on(&mut self) -> Result<()> {
        if self.text.len() >= PART_BYTES {
            let mut text = std::mem::take(&mut self.text);
            self.take(&text);
            text.clear();
            text.shrink_to(2 * PART_BYTES);
            self.text = text;
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

/// Some blocks of a table, written directly.
pub fn write_directly(table: &mut DirectTable, blocks: Blocks) -> Result<Written> {
    let mut text = Hashed::default();
    let rows = table.write(blocks, &mut text)?;
    Ok(text.end(rows))
}

/// The same blocks, written by COPY.
pub fn write_by_copy(copy: &[u8], blocks: Blocks) -> Result<Written> {
    let mut text = Hashed::default();
    let rows = copy_out(&statement(copy, blocks)?, &mut |row| {
        text.take(row);
        Ok(())
    })?;
    Ok(text.end(rows))
}

/// Make sure that both write the same.
///
/// # Errors
/// `Internal` where they do not.
pub fn require_same(table: &mut DirectTable, copy: &[u8], blocks: Blocks) -> Result<()> {
    let (direct, by_copy) = (write_directly(table, blocks)?, write_by_copy(copy, blocks)?);
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
