//! A stream of archive bytes with its position, and the primitive values read from it.
//!
//! It accepts only what pg_dump writes: one value has one encoding, so whatever was read is written back byte
//! for byte. Once it has failed it stays failed, so that a caller who goes on cannot read garbage.

use std::io::{BufRead, BufReader, ErrorKind, Read};

use super::primitive::INT_LENGTH;
use crate::error::{Error, ErrorClass, Result};

/// How much is asked of the underlying stream at once.
const BUFFER_LENGTH: usize = 256 * 1024;

/// The longest string a TOC may hold: PostgreSQL's own limit of a text value (MaxAllocSize).
const MAX_STRING_LENGTH: u32 = 0x3fff_ffff;

pub(super) struct Source<R> {
    inner: BufReader<R>,
    position: u64,
    failed: bool,
}

impl<R: Read> Source<R> {
    pub(super) fn new(inner: R) -> Self {
        Self { inner: BufReader::with_capacity(BUFFER_LENGTH, inner), position: 0, failed: false }
    }

    pub(super) fn into_inner(self) -> R {
        self.inner.into_inner()
    }

    /// Bytes read so far.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// The error for bytes that are not what the format allows; the last byte read ends before `position`.
    pub(super) fn damaged(&mut self, seen: impl AsRef<str>) -> Error {
        self.failed = true;
        Error::new(ErrorClass::Archive, "could not read the archive").detail(format!(
            "{}, before byte {}",
            seen.as_ref(),
            self.position
        ))
    }

    fn cut_short(&mut self) -> Error {
        self.failed = true;
        Error::new(ErrorClass::Archive, "could not read the archive")
            .detail(format!("it ends too early, at byte {}", self.position))
    }

    /// An error of the underlying stream; one of ours that travelled through `std::io` comes out unchanged.
    fn unreadable(&mut self, error: std::io::Error) -> Error {
        self.failed = true;
        let text = error.to_string();
        let ours = error.into_inner().and_then(|inner| inner.downcast::<Error>().ok());
        ours.map_or_else(
            || {
                Error::new(ErrorClass::Archive, "could not read the archive")
                    .detail(format!("{text}, at byte {}", self.position))
            },
            |error| *error,
        )
    }

    fn refuse_if_failed(&mut self) -> Result<()> {
        if self.failed { Err(self.damaged("it could not be read further")) } else { Ok(()) }
    }

    /// Whether the stream ends here.
    pub(super) fn at_end(&mut self) -> Result<bool> {
        self.refuse_if_failed()?;
        loop {
            match self.inner.fill_buf() {
                Ok(buffer) => return Ok(buffer.is_empty()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(self.unreadable(error)),
            }
        }
    }

    /// Reads at least one byte into `buffer`, which must not be empty; the end of the stream is an error.
    pub(super) fn some(&mut self, buffer: &mut [u8]) -> Result<usize> {
        self.refuse_if_failed()?;
        loop {
            match self.inner.read(buffer) {
                Ok(0) => return Err(self.cut_short()),
                Ok(length) => {
                    self.position += length as u64;
                    return Ok(length);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(self.unreadable(error)),
            }
        }
    }

    /// Fills `buffer`.
    pub(super) fn exact(&mut self, buffer: &mut [u8]) -> Result<()> {
        let mut filled = 0;
        while filled < buffer.len() {
            filled += self.some(&mut buffer[filled..])?;
        }
        Ok(())
    }

    pub(super) fn byte(&mut self) -> Result<u8> {
        let mut byte = [0];
        self.exact(&mut byte)?;
        Ok(byte[0])
    }

    pub(super) fn int(&mut self) -> Result<i32> {
        let mut bytes = [0; INT_LENGTH];
        self.exact(&mut bytes)?;
        let [sign, magnitude @ ..] = bytes;
        let magnitude = u32::from_le_bytes(magnitude);
        let value = match sign {
            0 => i32::try_from(magnitude).ok(),
            1 if magnitude != 0 => 0i32.checked_sub_unsigned(magnitude),
            _ => None,
        };
        value.ok_or_else(|| self.damaged(format!("{} is not an integer", hex::encode(bytes))))
    }

    /// An Oid, which pg_dump writes as an int.
    pub(super) fn oid(&mut self) -> Result<u32> {
        self.int().map(i32::cast_unsigned)
    }

    /// Appends `length` bytes to `out`; memory grows with what arrives, not with what was promised.
    pub(super) fn append(&mut self, length: u32, out: &mut Vec<u8>) -> Result<()> {
        self.refuse_if_failed()?;
        let before = out.len();
        let outcome = self.inner.by_ref().take(u64::from(length)).read_to_end(out);
        self.position += (out.len() - before) as u64;
        match outcome {
            Ok(read) if read as u64 == u64::from(length) => Ok(()),
            Ok(_) => Err(self.cut_short()),
            Err(error) => Err(self.unreadable(error)),
        }
    }

    pub(super) fn optional_string(&mut self) -> Result<Option<Vec<u8>>> {
        let length = self.int()?;
        if length == -1 {
            return Ok(None);
        }
        match u32::try_from(length) {
            Ok(length) if length <= MAX_STRING_LENGTH => {
                let mut bytes = Vec::new();
                self.append(length, &mut bytes)?;
                Ok(Some(bytes))
            }
            _ => Err(self.damaged(format!("a string has the length {length}"))),
        }
    }

    /// A string that pg_dump never leaves NULL.
    pub(super) fn string(&mut self) -> Result<Vec<u8>> {
        let string = self.optional_string()?;
        string.ok_or_else(|| self.damaged("a string is missing"))
    }

    /// A number written as text: Oids and dependencies.
    pub(super) fn decimal<T>(&mut self, text: &[u8]) -> Result<T>
    where
        T: std::str::FromStr + ToString,
    {
        std::str::from_utf8(text)
            .ok()
            .and_then(|text| text.parse::<T>().ok().filter(|number| number.to_string() == text))
            .ok_or_else(|| self.damaged(format!("\"{}\" is not a number", text.escape_ascii())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::primitive;

    #[test]
    fn ints_are_read_back() {
        for value in [0, 1, -1, 255, 256, i32::MAX, i32::MIN, i32::MIN + 1] {
            assert_eq!(Source::new(&primitive::int(value)[..]).int().unwrap(), value);
        }
        for oid in [1, 0x7fff_ffff, 0x8000_0000, 0x8000_0001, u32::MAX] {
            assert_eq!(Source::new(&primitive::oid(oid)[..]).oid().unwrap(), oid);
        }
    }

    #[test]
    fn ints_have_one_encoding() {
        for bytes in [[1, 0, 0, 0, 0], [2, 1, 0, 0, 0], [0, 0, 0, 0, 0x80], [1, 1, 0, 0, 0x80]] {
            assert_eq!(Source::new(&bytes[..]).int().unwrap_err().class, ErrorClass::Archive, "{bytes:?}");
        }
    }

    #[test]
    fn a_promised_length_reserves_no_memory() {
        let mut bytes = primitive::int(0x3fff_ffff).to_vec();
        bytes.extend_from_slice(b"short");
        let mut source = Source::new(&bytes[..]);
        let error = source.optional_string().unwrap_err();
        assert_eq!(error.detail.as_deref(), Some("it ends too early, at byte 10"));
        assert!(source.byte().is_err(), "it stays failed");
    }

    #[test]
    fn negative_lengths_are_refused() {
        for length in [-2, i32::MIN, 0x4000_0000] {
            let bytes = primitive::int(length);
            assert!(Source::new(&bytes[..]).optional_string().is_err(), "{length}");
        }
        assert_eq!(Source::new(&primitive::int(-1)[..]).optional_string().unwrap(), None);
    }

    #[test]
    fn our_own_errors_pass_through_io() {
        struct Failing;
        impl Read for Failing {
            fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
                Err(std::io::Error::other(Error::new(ErrorClass::StorageUnreachable, "gone")))
            }
        }
        assert_eq!(Source::new(Failing).byte().unwrap_err().class, ErrorClass::StorageUnreachable);
    }
}
