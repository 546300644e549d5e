//! Values that begin with a header which tells their length (varatt.h), as a little-endian machine stores them.

const SHORT_HEADER: usize = 1;
const LONG_HEADER: usize = 4;
/// VARTAG_ONDISK: a value in the TOAST table; varatt_external follows.
const TAG_ON_DISK: u8 = 18;
const POINTER_LENGTH: usize = 2 + 16;

/// A value with its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Varlena<'a> {
    /// As it is.
    Plain(&'a [u8]),
    /// Compressed, or out of line: only the server gets at it.
    Toasted,
}

impl<'a> Varlena<'a> {
    /// A stored value, whole and nothing else.
    pub fn of(value: &'a [u8]) -> Option<Self> {
        if length(value)? != value.len() {
            return None;
        }
        let first = *value.first()?;
        match first & 3 {
            0 => value.get(LONG_HEADER..).map(Self::Plain),
            2 => Some(Self::Toasted),
            _ if first == 1 => Some(Self::Toasted),
            _ => value.get(SHORT_HEADER..).map(Self::Plain),
        }
    }
}

/// How long the value is that `bytes` begin with, its header included.
pub(super) fn length(bytes: &[u8]) -> Option<usize> {
    let first = *bytes.first()?;
    if first == 1 {
        return (*bytes.get(1)? == TAG_ON_DISK).then_some(POINTER_LENGTH);
    }
    if first & 1 == 1 {
        return Some(usize::from(first >> 1));
    }
    let header = u32::from_le_bytes(*bytes.first_chunk()?);
    let length = usize::try_from(header >> 2).ok()?;
    (length >= LONG_HEADER).then_some(length)
}
