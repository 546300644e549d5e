//! What COPY's text format writes in place of a byte that means something to it (CopyAttributeOutText in copyto.c).
//!
//! No encoding of a server has bytes of ASCII inside of a longer character, so bytes are all that matters.

/// How a text ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// With its last byte.
    AtEnd,
    /// At a zero byte, where COPY, which sees C strings, ends it.
    AtZero,
}

/// Append a text, escaped.
#[inline]
pub fn escape(mut value: &[u8], text: &mut Vec<u8>) -> Ended {
    loop {
        let (plain, rest) = value.split_at(prefix_without(value, |byte| byte < 0x20 || byte == b'\\'));
        text.extend_from_slice(plain);
        let Some((special, rest)) = rest.split_first() else { return Ended::AtEnd };
        match special {
            0 => return Ended::AtZero,
            0x08 => text.extend_from_slice(b"\\b"),
            b'\t' => text.extend_from_slice(b"\\t"),
            b'\n' => text.extend_from_slice(b"\\n"),
            0x0b => text.extend_from_slice(b"\\v"),
            0x0c => text.extend_from_slice(b"\\f"),
            b'\r' => text.extend_from_slice(b"\\r"),
            b'\\' => text.extend_from_slice(b"\\\\"),
            other => text.push(*other),
        }
        value = rest;
    }
}

/// How many bytes `value` begins with of which none is special.
#[inline]
pub(super) fn prefix_without(value: &[u8], is_special: impl Fn(u8) -> bool) -> usize {
    /// As many as the compiler compares at once.
    const BLOCK: usize = 32;
    let (blocks, _) = value.as_chunks::<BLOCK>();
    let mut checked = 0;
    for block in blocks {
        // No early end inside of a block: so it becomes a few vector instructions.
        if block.iter().fold(false, |special, byte| special | is_special(*byte)) {
            break;
        }
        checked += BLOCK;
    }
    let rest = value.get(checked..).unwrap_or_default();
    checked + rest.iter().position(|byte| is_special(*byte)).unwrap_or(rest.len())
}
