//! The stored bytes of a block, in portions for a decompressor.

use std::io::Read;
use std::ops::Range;

use super::reader::ArchiveReader;
use crate::error::Result;

/// How many are taken at once.
const PORTION_LENGTH: usize = 64 * 1024;

/// What was read of a block's payload and not used yet.
pub(super) struct Payload {
    bytes: Vec<u8>,
    unused: Range<usize>,
    ended: bool,
}

impl Payload {
    /// Nothing was read yet.
    pub(super) fn new() -> Self {
        Self { bytes: vec![0; PORTION_LENGTH], unused: 0..0, ended: false }
    }

    /// Reads more if all that was read is used, unless the payload is at its end.
    pub(super) fn fill<R: Read>(&mut self, reader: &mut ArchiveReader<R>) -> Result<()> {
        if self.unused.is_empty() && !self.ended {
            let length = reader.read_payload(&mut self.bytes)?;
            self.unused = 0..length;
            self.ended = length == 0;
        }
        Ok(())
    }

    /// What is still to be used.
    pub(super) fn unused(&self) -> &[u8] {
        &self.bytes[self.unused.clone()]
    }

    /// So many of these were used.
    pub(super) fn take(&mut self, length: usize) {
        self.unused.start += length;
    }

    /// Whether the payload was read to its end.
    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }
}
