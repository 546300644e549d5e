//! A tuple of the heap, taken apart (heap_deform_tuple in heaptuple.c).

use super::varlena;

/// Where a tuple header's fields are (htup_details.h).
const INFOMASK2: usize = 18;
const INFOMASK: usize = 20;
const HEADER_LENGTH: usize = 22;
const NULLS: usize = 23;
const ATTRIBUTES_MASK: u16 = 0x07FF;
const HAS_NULLS: u16 = 0x0001;

/// How long the values of a column are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// All of this length.
    Fixed(u16),
    /// Each has a header.
    Varlena,
    /// Up to a zero byte.
    CString,
}

/// What the start of a value is a multiple of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Alignment {
    /// Any byte.
    Char = 1,
    /// Two bytes.
    Short = 2,
    /// Four bytes.
    Int = 4,
    /// Eight bytes.
    Double = 8,
}

impl Alignment {
    /// From `pg_type.typalign`.
    pub fn from_catalog(letter: u8) -> Option<Self> {
        match letter {
            b'c' => Some(Self::Char),
            b's' => Some(Self::Short),
            b'i' => Some(Self::Int),
            b'd' => Some(Self::Double),
            _ => None,
        }
    }

    /// The next multiple from here on.
    #[inline]
    pub(super) const fn align(self, offset: usize) -> usize {
        let alignment = self as usize;
        (offset + alignment - 1) & !(alignment - 1)
    }
}

/// A column as far as it decides where values are: also one that was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attribute {
    /// `pg_attribute.attlen`
    pub length: Length,
    /// `pg_attribute.attalign`
    pub alignment: Alignment,
}

/// The values of a tuple, one after the other.
#[derive(Debug)]
pub struct Tuple<'a> {
    data: &'a [u8],
    /// A bit for each column, 0 for NULL.
    nulls: Option<&'a [u8]>,
    count: usize,
    number: usize,
    offset: usize,
}

impl<'a> Tuple<'a> {
    /// From the bytes of a tuple with its header. None if it is no such thing.
    #[inline]
    pub fn of(bytes: &'a [u8]) -> Option<Self> {
        let u16_at = |at: usize| Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
        let count = usize::from(u16_at(INFOMASK2)? & ATTRIBUTES_MASK);
        let header_length = usize::from(*bytes.get(HEADER_LENGTH)?);
        let nulls = if u16_at(INFOMASK)? & HAS_NULLS == 0 {
            None
        } else {
            Some(bytes.get(NULLS..header_length).filter(|nulls| nulls.len() >= count.div_ceil(8))?)
        };
        Some(Self { data: bytes.get(header_length..)?, nulls, count, number: 0, offset: 0 })
    }

    /// How many columns it has; the table may have got more since.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The value of the next column, as it is stored: an empty slice is no value, but a NULL is [`None`] inside. Outside,
    /// None means that the tuple is not what its table says.
    #[inline]
    pub fn next(&mut self, attribute: Attribute) -> Option<Option<&'a [u8]>> {
        let number = self.number;
        self.number += 1;
        if let Some(nulls) = self.nulls
            && nulls.get(number / 8)? & (1 << (number % 8)) == 0
        {
            return Some(None);
        }
        let start = self.start_of(attribute);
        let rest = self.data.get(start..)?;
        let length = match attribute.length {
            Length::Fixed(length) => usize::from(length),
            Length::Varlena => varlena::length(rest)?,
            Length::CString => rest.iter().position(|byte| *byte == 0)? + 1,
        };
        self.offset = start + length;
        rest.get(..length).map(Some)
    }

    /// A short header needs no alignment and is never zero, as padding is (att_align_pointer in tupmacs.h).
    #[inline]
    fn start_of(&self, attribute: Attribute) -> usize {
        let is_packed =
            attribute.length == Length::Varlena && self.data.get(self.offset).is_some_and(|byte| *byte != 0);
        if is_packed { self.offset } else { attribute.alignment.align(self.offset) }
    }
}
