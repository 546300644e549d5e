//! Length-prefixed values of the project's own binary formats: little-endian, read with every bound checked.

use crate::error::{Error, Result};

/// Stands for "none" in front of an optional text.
const ABSENT: u32 = u32::MAX;

/// Appends bytes behind their length. Longer than 4 GiB is refused.
pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) -> Result<()> {
    let length = u32::try_from(bytes.len()).ok().filter(|&length| length != ABSENT);
    let length = length.ok_or_else(|| Error::internal("could not encode a value of 4 GiB"))?;
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(bytes);
    Ok(())
}

/// Appends how many values follow.
pub(crate) fn put_count(out: &mut Vec<u8>, count: usize) -> Result<()> {
    let count = u32::try_from(count).map_err(|_| Error::internal("could not encode a plan of so much"))?;
    out.extend_from_slice(&count.to_le_bytes());
    Ok(())
}

/// Appends a text or its absence.
pub(crate) fn put_optional_text(out: &mut Vec<u8>, text: Option<&str>) -> Result<()> {
    match text {
        Some(text) => put_bytes(out, text.as_bytes()),
        None => {
            out.extend_from_slice(&ABSENT.to_le_bytes());
            Ok(())
        }
    }
}

/// Reads values from the front of a byte string.
pub(crate) struct WireReader<'a> {
    rest: &'a [u8],
    /// What is being read, for errors.
    what: &'static str,
}

impl<'a> WireReader<'a> {
    pub(crate) fn new(bytes: &'a [u8], what: &'static str) -> Self {
        Self { rest: bytes, what }
    }

    /// The error for bytes that are not what they should be.
    pub(crate) fn malformed(&self, seen: impl Into<String>) -> Error {
        Error::internal(format!("could not decode {}", self.what)).detail(seen)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        match self.rest.split_first_chunk() {
            Some((array, rest)) => {
                self.rest = rest;
                Ok(*array)
            }
            None => Err(self.malformed("it ends too early")),
        }
    }

    pub(crate) fn u8(&mut self) -> Result<u8> {
        self.array().map(u8::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn i32(&mut self) -> Result<i32> {
        self.array().map(i32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn i64(&mut self) -> Result<i64> {
        self.array().map(i64::from_le_bytes)
    }

    /// Bytes behind their length.
    pub(crate) fn bytes(&mut self) -> Result<&'a [u8]> {
        let length = self.u32()?;
        self.take(length)
    }

    pub(crate) fn text(&mut self) -> Result<String> {
        let bytes = self.bytes()?;
        self.utf8(bytes)
    }

    pub(crate) fn optional_text(&mut self) -> Result<Option<String>> {
        match self.u32()? {
            ABSENT => Ok(None),
            length => {
                let bytes = self.take(length)?;
                self.utf8(bytes).map(Some)
            }
        }
    }

    /// Everything that is left.
    pub(crate) fn remainder(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    /// How many bytes are left.
    pub(crate) fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Refuses anything that is left.
    pub(crate) fn end(self) -> Result<()> {
        match self.rest.len() {
            0 => Ok(()),
            left => Err(self.malformed(format!("{left} bytes follow it"))),
        }
    }

    fn take(&mut self, length: u32) -> Result<&'a [u8]> {
        match self.rest.split_at_checked(length as usize) {
            Some((bytes, rest)) => {
                self.rest = rest;
                Ok(bytes)
            }
            None => {
                Err(self.malformed(format!("{length} bytes are announced, {} are there", self.rest.len())))
            }
        }
    }

    fn utf8(&self, bytes: &[u8]) -> Result<String> {
        let text = std::str::from_utf8(bytes).map_err(|error| self.malformed(error.to_string()))?;
        Ok(text.to_owned())
    }
}
