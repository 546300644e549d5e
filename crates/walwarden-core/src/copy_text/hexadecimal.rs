//! bytea and uuid.

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// The two digits of every byte.
const PAIRS: [[u8; 2]; 256] = {
    let mut pairs = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        pairs[byte] = [DIGITS[byte >> 4], DIGITS[byte & 15]];
        byte += 1;
    }
    pairs
};

/// As byteaout with `bytea_output` hex: `\x` and two digits for each byte.
pub(super) fn bytea(value: &[u8], text: &mut Vec<u8>) {
    text.extend_from_slice(b"\\x");
    digits(value, text);
}

/// Two digits for each byte.
pub(super) fn digits(value: &[u8], text: &mut Vec<u8>) {
    let start = text.len();
    text.resize(start + 2 * value.len(), 0);
    let (pairs, _) = text.get_mut(start..).unwrap_or_default().as_chunks_mut::<2>();
    for (pair, byte) in pairs.iter_mut().zip(value) {
        *pair = PAIRS[usize::from(*byte)];
    }
}

/// As uuid_out: groups of 8, 4, 4, 4 and 12 digits.
pub(super) fn uuid(value: &[u8; 16], text: &mut Vec<u8>) {
    let mut out = [b'-'; 36];
    let mut at = 0;
    for (index, byte) in value.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            at += 1;
        }
        if let Some(pair) = out.get_mut(at..at + 2) {
            pair.copy_from_slice(&PAIRS[usize::from(*byte)]);
        }
        at += 2;
    }
    text.extend_from_slice(&out);
}
