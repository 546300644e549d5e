//! Arrays of one dimension (array.h, array_out in arrayfuncs.c).

use super::digits::integer;
use super::escape::{escape, prefix_without};
use super::tuple::{Alignment, Length};
use super::varlena::{self, Varlena};
use super::{Kind, Server};

/// An array's own header of four bytes, which `value` lacks here; offsets in arrays count from it.
const HEADER: usize = 4;
/// Length, dimensions, offset of the data, element type; then length and lower bound of the one dimension. A multiple of
/// what any element is aligned to.
const HEADER_OF_ONE_DIMENSION: usize = 24;

/// The element type of an array that we write ourselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element {
    /// How a value is written.
    pub kind: Kind,
    /// The type's oid, as every array names it.
    pub oid: u32,
    /// `pg_type.typlen`
    pub length: Length,
    /// `pg_type.typalign`
    pub alignment: Alignment,
    /// `pg_type.typdelim`
    pub delimiter: u8,
}

/// The parts of an array of one dimension.
struct Elements<'a> {
    count: usize,
    lower_bound: i32,
    nulls: Option<&'a [u8]>,
    /// What `offset` counts in.
    value: &'a [u8],
    offset: usize,
}

impl Element {
    /// As array_out, as a field of COPY's text format. None for more than one dimension.
    pub(super) fn write_field(
        &self,
        value: &[u8],
        server: &mut dyn Server,
        text: &mut Vec<u8>,
    ) -> Option<()> {
        let number = |at: usize| Some(u32::from_le_bytes(*value.get(at..)?.first_chunk()?));
        if number(8)? != self.oid {
            return None;
        }
        let dimensions = number(0)?;
        if dimensions == 0 || (dimensions == 1 && number(12)? == 0) {
            text.extend_from_slice(b"{}");
            return Some(());
        }
        if dimensions != 1 {
            return None;
        }
        let count = usize::try_from(number(12)?.cast_signed()).ok()?;
        let data = usize::try_from(number(4)?).ok()?;
        let nulls = if data == 0 {
            None
        } else {
            let start = HEADER_OF_ONE_DIMENSION - HEADER;
            Some(value.get(start..start + count.div_ceil(8))?)
        };
        let offset = if data == 0 { HEADER_OF_ONE_DIMENSION } else { data };
        let elements = Elements { count, lower_bound: number(16)?.cast_signed(), nulls, value, offset };
        self.write_elements(elements, server, text)
    }

    fn write_elements(
        &self,
        mut elements: Elements<'_>,
        server: &mut dyn Server,
        text: &mut Vec<u8>,
    ) -> Option<()> {
        if elements.lower_bound != 1 {
            let upper_bound = i64::from(elements.lower_bound) + i64::try_from(elements.count).ok()? - 1;
            text.push(b'[');
            integer(elements.lower_bound, text);
            text.push(b':');
            integer(upper_bound, text);
            text.extend_from_slice(b"]=");
        }
        let is_bare = self.is_bare();
        let mut written = Vec::new();
        text.push(b'{');
        for index in 0..elements.count {
            if index > 0 {
                text.push(self.delimiter);
            }
            let Some(value) = elements.next(index, self)? else {
                text.extend_from_slice(b"NULL");
                continue;
            };
            if is_bare {
                self.kind.write(value, server, text)?;
            } else if self.kind == Kind::Text {
                self.quote(super::up_to_zero(value), text);
            } else {
                written.clear();
                self.kind.write(value, server, &mut written)?;
                self.quote(&written, text);
            }
        }
        text.push(b'}');
        Some(())
    }

    /// Whether no element needs quotes or escapes, whatever its value.
    fn is_bare(&self) -> bool {
        self.delimiter == b','
            && matches!(
                self.kind,
                Kind::Bool
                    | Kind::Int2
                    | Kind::Int4
                    | Kind::Int8
                    | Kind::Oid
                    | Kind::Float4
                    | Kind::Float8
                    | Kind::Numeric
                    | Kind::Uuid
                    | Kind::Time
            )
    }

    /// Append an element, in quotes if it needs them.
    fn quote(&self, element: &[u8], text: &mut Vec<u8>) {
        let needs_quotes = |byte| {
            byte == self.delimiter || matches!(byte, b'"' | b'\\' | b'{' | b'}' | b' ' | b'\t'..=b'\r')
        };
        let is_bare = prefix_without(element, needs_quotes) == element.len();
        if is_bare && !element.is_empty() && !element.eq_ignore_ascii_case(b"NULL") {
            escape(element, text);
            return;
        }
        text.push(b'"');
        // Both are given a backslash by array_out, and COPY doubles every backslash.
        for part in element.split_inclusive(|byte| matches!(byte, b'"' | b'\\')) {
            match part.split_last() {
                Some((b'"', before)) => {
                    escape(before, text);
                    text.extend_from_slice(b"\\\\\"");
                }
                Some((b'\\', before)) => {
                    escape(before, text);
                    text.extend_from_slice(b"\\\\\\\\");
                }
                _ => {
                    escape(part, text);
                }
            }
        }
        text.push(b'"');
    }
}

impl<'a> Elements<'a> {
    /// The next element without its header, if it has one; None inside is a NULL.
    #[inline]
    fn next(&mut self, index: usize, element: &Element) -> Option<Option<&'a [u8]>> {
        if let Some(nulls) = self.nulls
            && nulls.get(index / 8)? & (1 << (index % 8)) == 0
        {
            return Some(None);
        }
        let start = element.alignment.align(self.offset);
        let rest = self.value.get(start.checked_sub(HEADER)?..)?;
        let length = match element.length {
            Length::Fixed(length) => usize::from(length),
            Length::Varlena => varlena::length(rest)?,
            Length::CString => return None,
        };
        self.offset = start + length;
        let stored = rest.get(..length)?;
        if element.length != Length::Varlena {
            return Some(Some(stored));
        }
        match Varlena::of(stored)? {
            Varlena::Plain(value) => Some(Some(value)),
            Varlena::Toasted => None,
        }
    }
}
