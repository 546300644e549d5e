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

/// As many bytes as the compiler looks at together.
const BLOCK: usize = 32;
/// And a smaller number, for what is less than a block.
const PART: usize = 8;

/// Append a text, escaped.
#[inline]
pub fn escape(mut value: &[u8], text: &mut Vec<u8>) -> Ended {
    loop {
        let (plain, rest) = value.split_at(prefix_without(value, is_special));
        text.extend_from_slice(plain);
        let Some((special, after)) = rest.split_first() else { return Ended::AtEnd };
        if plain.len() < PART
            && let Some((block, after)) = rest.split_first_chunk::<BLOCK>()
        {
            // They come close together.
            if escape_each(block, text) == Ended::AtZero {
                return Ended::AtZero;
            }
            value = after;
            continue;
        }
        match ESCAPES[usize::from(*special)] {
            (0, _) => return Ended::AtZero,
            (letter, true) => text.extend_from_slice(&[b'\\', letter]),
            (letter, false) => text.push(letter),
        }
        value = after;
    }
}

const fn is_special(byte: u8) -> bool {
    byte < 0x20 || byte == b'\\'
}

/// For each byte what is written in its place, and whether behind a backslash.
const ESCAPES: [(u8, bool); 256] = {
    let mut escapes = [(0, false); 256];
    let mut byte = 0;
    while byte < 256 {
        escapes[byte] = match byte as u8 {
            0x08 => (b'b', true),
            b'\t' => (b't', true),
            b'\n' => (b'n', true),
            0x0b => (b'v', true),
            0x0c => (b'f', true),
            b'\r' => (b'r', true),
            b'\\' => (b'\\', true),
            other => (other, false),
        };
        byte += 1;
    }
    escapes
};

/// Append a block, escaped, without a branch for each byte.
fn escape_each(block: &[u8; BLOCK], text: &mut Vec<u8>) -> Ended {
    let end = block.iter().position(|byte| *byte == 0);
    let mut written = [0; 2 * BLOCK];
    let mut length = 0;
    for byte in block.iter().take(end.unwrap_or(BLOCK)) {
        let (letter, is_escaped) = ESCAPES[usize::from(*byte)];
        // Overwritten by the letter unless it counts.
        written[length % (2 * BLOCK)] = b'\\';
        length += usize::from(is_escaped);
        written[length % (2 * BLOCK)] = letter;
        length += 1;
    }
    text.extend_from_slice(written.get(..length).unwrap_or_default());
    if end.is_some() { Ended::AtZero } else { Ended::AtEnd }
}

/// How many bytes `value` begins with of which none is special.
#[inline]
pub(super) fn prefix_without(value: &[u8], is_special: impl Fn(u8) -> bool) -> usize {
    let (blocks, rest) = value.as_chunks::<BLOCK>();
    let clear = blocks.iter().take_while(|block| !has_any(block, &is_special)).count() * BLOCK;
    if clear + rest.len() == value.len() && ends_without(value, &is_special) {
        return value.len();
    }
    let rest = value.get(clear..).unwrap_or_default();
    let (parts, _) = rest.as_chunks::<PART>();
    let clear = clear + parts.iter().take_while(|part| !has_any(part, &is_special)).count() * PART;
    let rest = value.get(clear..).unwrap_or_default();
    clear + rest.iter().position(|byte| is_special(*byte)).unwrap_or(rest.len())
}

/// No early end: so it becomes a few vector instructions.
#[inline]
fn has_any<const LENGTH: usize>(bytes: &[u8; LENGTH], is_special: impl Fn(u8) -> bool) -> bool {
    bytes.iter().fold(false, |found, byte| found | is_special(*byte))
}

/// Whether none of the bytes behind the last whole block is special; looks at some before them again.
#[inline]
fn ends_without(value: &[u8], is_special: impl Fn(u8) -> bool) -> bool {
    if let Some(last) = value.last_chunk::<BLOCK>() {
        return !has_any(last, is_special);
    }
    match value.last_chunk::<PART>() {
        Some(last) => {
            let (parts, _) = value.as_chunks::<PART>();
            !has_any(last, &is_special) && !parts.iter().any(|part| has_any(part, &is_special))
        }
        None => !value.iter().any(|byte| is_special(*byte)),
    }
}
