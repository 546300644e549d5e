//! Rows counted in COPY text.

use super::damaged;
use crate::archive::statement::TERMINATOR;
use crate::error::Result;
use crate::manifest::Table;

/// Counts the rows of a table and of each of its pieces. In COPY's text format a row ends with a newline, and no other
/// newline is in it.
pub(super) struct Rows<'a> {
    table: &'a Table,
    /// The piece the text is in, and what is left of it.
    piece: usize,
    left: u64,
    in_piece: u64,
    /// All rows, and all text, before the terminator.
    rows: u64,
    raw_bytes: u64,
    terminator: Vec<u8>,
}

impl<'a> Rows<'a> {
    pub(super) fn of(table: &'a Table) -> Self {
        let left = table.pieces.first().map_or(table.raw_bytes, |piece| piece.raw_length);
        Self { table, piece: 0, left, in_piece: 0, rows: 0, raw_bytes: 0, terminator: Vec::new() }
    }

    /// Takes some of the text.
    pub(super) fn take(&mut self, mut text: &[u8]) -> Result<()> {
        loop {
            let length = self.left.min(text.len() as u64) as usize;
            let (now, later) = text.split_at(length);
            let newlines = now.iter().filter(|byte| **byte == b'\n').count() as u64;
            self.in_piece += newlines;
            self.rows += newlines;
            self.raw_bytes += length as u64;
            self.left -= length as u64;
            text = later;
            if self.left > 0 {
                return Ok(());
            }
            if let Some(piece) = self.table.pieces.get(self.piece) {
                if self.in_piece != piece.rows {
                    return Err(damaged(format!(
                        "Piece {} of table {} has {} rows instead of {}.",
                        self.piece + 1,
                        name(self.table),
                        self.in_piece,
                        piece.rows
                    )));
                }
                self.piece += 1;
                self.in_piece = 0;
            }
            match self.table.pieces.get(self.piece) {
                Some(piece) => self.left = piece.raw_length,
                None => break,
            }
        }
        if self.terminator.len() + text.len() > TERMINATOR.len() {
            return Err(damaged(format!(
                "The text of table {} goes on after its last row.",
                name(self.table)
            )));
        }
        self.terminator.extend_from_slice(text);
        Ok(())
    }

    /// The text is at its end: gives the rows.
    pub(super) fn finish(self) -> Result<u64> {
        let table = self.table;
        if self.raw_bytes != table.raw_bytes || self.terminator != TERMINATOR {
            return Err(damaged(format!("The text of table {} is not complete.", name(table))));
        }
        if self.rows != table.rows {
            return Err(damaged(format!(
                "Table {} has {} rows instead of {}.",
                name(table),
                self.rows,
                table.rows
            )));
        }
        Ok(self.rows)
    }
}

pub(super) fn name(table: &Table) -> String {
    format!("\"{}\".\"{}\"", table.schema, table.name)
}
