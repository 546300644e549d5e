//! Where the text goes.

use super::{Ended, Kind, escape, hexadecimal};
use crate::error::Result;

/// Takes the text of a table, row by row.
pub trait Sink {
    /// What is appended to. Only [`Self::pass_on`] empties it.
    fn text(&mut self) -> &mut Vec<u8>;
    /// Called between values: hand on what there is, if it is enough to be worth it.
    fn pass_on(&mut self) -> Result<()>;
    /// How many bytes there have been, those in [`Self::text`] included.
    fn written(&self) -> u64;
}

/// A value that is longer is written in parts of this length, so that its text is never in memory as a whole.
const PART_LENGTH: usize = 64 << 10;

/// Whether a value is so long that it should be written by [`write_in_parts`], and can be.
#[inline]
pub fn is_long(kind: &Kind, value: &[u8]) -> bool {
    value.len() > PART_LENGTH && matches!(kind, Kind::Text | Kind::Bytea)
}

/// Write a long value as a field of COPY's text format.
pub fn write_in_parts(kind: &Kind, value: &[u8], sink: &mut impl Sink) -> Result<()> {
    let is_text = *kind == Kind::Text;
    if !is_text {
        sink.text().extend_from_slice(b"\\\\x");
    }
    for part in value.chunks(PART_LENGTH) {
        if !is_text {
            hexadecimal::digits(part, sink.text());
        } else if escape(part, sink.text()) == Ended::AtZero {
            break;
        }
        sink.pass_on()?;
    }
    Ok(())
}
