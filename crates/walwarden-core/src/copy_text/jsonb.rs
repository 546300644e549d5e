//! jsonb (jsonb.h, JsonbToCString in jsonb.c).

use super::varlena::Varlena;
use super::{escape, hexadecimal, numeric};

/// Of a container's header.
const COUNT_MASK: u32 = 0x0FFF_FFFF;
const IS_SCALAR: u32 = 0x1000_0000;
const IS_OBJECT: u32 = 0x2000_0000;
const IS_ARRAY: u32 = 0x4000_0000;
/// Of the entry that stands for each key and value.
const LENGTH_MASK: u32 = 0x0FFF_FFFF;
const TYPE_MASK: u32 = 0x7000_0000;
const IS_STRING: u32 = 0x0000_0000;
const IS_NUMERIC: u32 = 0x1000_0000;
const IS_FALSE: u32 = 0x2000_0000;
const IS_TRUE: u32 = 0x3000_0000;
const IS_NULL: u32 = 0x4000_0000;
const IS_CONTAINER: u32 = 0x5000_0000;
/// The entry holds where the value ends rather than how long it is.
const HAS_OFFSET: u32 = 0x8000_0000;
/// Numbers and containers begin at a multiple of this.
const ALIGNMENT: usize = 4;
/// What is deeper is left to the server, which has a stack to check.
const MAX_DEPTH: usize = 128;

/// As jsonb_out; `FIELD` says whether as a field of COPY's text format.
pub(super) fn write<const FIELD: bool>(value: &[u8], text: &mut Vec<u8>) -> Option<()> {
    container::<FIELD>(value, MAX_DEPTH, text)
}

fn container<const FIELD: bool>(value: &[u8], depth: usize, text: &mut Vec<u8>) -> Option<()> {
    let depth = depth.checked_sub(1)?;
    let (header, rest) = value.split_first_chunk::<4>()?;
    let header = u32::from_le_bytes(*header);
    let count = usize::try_from(header & COUNT_MASK).ok()?;
    if header & IS_OBJECT != 0 {
        let mut keys = Children::of(rest, 2 * count)?;
        let mut values = keys.clone();
        values.skip(count)?;
        text.push(b'{');
        for index in 0..count {
            if index > 0 {
                text.extend_from_slice(b", ");
            }
            let (kind, key) = keys.next()?;
            if kind != IS_STRING {
                return None;
            }
            string::<FIELD>(key, text);
            text.extend_from_slice(b": ");
            child::<FIELD>(values.next()?, depth, text)?;
        }
        text.push(b'}');
    } else if header & IS_ARRAY != 0 {
        let is_scalar = header & IS_SCALAR != 0;
        let mut children = Children::of(rest, count)?;
        if !is_scalar {
            text.push(b'[');
        }
        for index in 0..count {
            if index > 0 {
                text.extend_from_slice(b", ");
            }
            child::<FIELD>(children.next()?, depth, text)?;
        }
        if !is_scalar {
            text.push(b']');
        }
    } else {
        return None;
    }
    Some(())
}

/// What a container holds, in order.
#[derive(Clone)]
struct Children<'a> {
    entries: std::slice::Iter<'a, [u8; 4]>,
    values: &'a [u8],
    offset: usize,
}

impl<'a> Children<'a> {
    fn of(bytes: &'a [u8], count: usize) -> Option<Self> {
        let (entries, values) = bytes.split_at_checked(4 * count)?;
        let (entries, _) = entries.as_chunks::<4>();
        Some(Self { entries: entries.iter(), values, offset: 0 })
    }

    /// The type and the bytes of the next one; padding comes before them.
    #[inline]
    fn next(&mut self) -> Option<(u32, &'a [u8])> {
        let entry = u32::from_le_bytes(*self.entries.next()?);
        let start = self.offset;
        let length = usize::try_from(entry & LENGTH_MASK).ok()?;
        self.offset = if entry & HAS_OFFSET == 0 { start + length } else { length };
        let kind = entry & TYPE_MASK;
        let start =
            if matches!(kind, IS_NUMERIC | IS_CONTAINER) { start.next_multiple_of(ALIGNMENT) } else { start };
        Some((kind, self.values.get(start..self.offset)?))
    }

    fn skip(&mut self, count: usize) -> Option<()> {
        (0..count).try_for_each(|_| self.next().map(drop))
    }
}

#[inline]
fn child<const FIELD: bool>((kind, value): (u32, &[u8]), depth: usize, text: &mut Vec<u8>) -> Option<()> {
    match kind {
        IS_STRING => string::<FIELD>(value, text),
        IS_NUMERIC => match Varlena::of(value)? {
            Varlena::Plain(value) => numeric::write(value, text)?,
            Varlena::Toasted => return None,
        },
        IS_FALSE => text.extend_from_slice(b"false"),
        IS_TRUE => text.extend_from_slice(b"true"),
        IS_NULL => text.extend_from_slice(b"null"),
        IS_CONTAINER => container::<FIELD>(value, depth, text)?,
        _ => return None,
    }
    Some(())
}

/// escape_json in json.c; each of its backslashes is doubled in a field.
fn string<const FIELD: bool>(mut value: &[u8], text: &mut Vec<u8>) {
    text.push(b'"');
    loop {
        let (plain, rest) = value
            .split_at(escape::prefix_without(value, |byte| byte < 0x20 || byte == b'\\' || byte == b'"'));
        text.extend_from_slice(plain);
        let Some((special, rest)) = rest.split_first() else { break };
        if FIELD {
            text.push(b'\\');
        }
        text.push(b'\\');
        match special {
            0x08 => text.push(b'b'),
            0x0c => text.push(b'f'),
            b'\n' => text.push(b'n'),
            b'\r' => text.push(b'r'),
            b'\t' => text.push(b't'),
            b'"' => text.push(b'"'),
            b'\\' if FIELD => text.extend_from_slice(b"\\\\"),
            b'\\' => text.push(b'\\'),
            other => {
                text.extend_from_slice(b"u00");
                hexadecimal::digits(&[*other], text);
            }
        }
        value = rest;
    }
    text.push(b'"');
}
