//! Decimal digits.

/// A whole number.
pub(super) fn integer(value: impl itoa::Integer, text: &mut Vec<u8>) {
    text.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Two digits; `value` must be below 100.
pub(super) const fn two(value: u32) -> [u8; 2] {
    [b'0' + (value / 10 % 10) as u8, b'0' + (value % 10) as u8]
}

/// Four digits; `value` must be below 10,000.
pub(super) const fn four(value: u32) -> [u8; 4] {
    let [a, b] = two(value / 100);
    let [c, d] = two(value % 100);
    [a, b, c, d]
}

/// A number with at least `width` of two or four digits, as pg_ultostr_zeropad writes it.
pub(super) fn at_least_four(value: u32, text: &mut Vec<u8>) {
    if value < 10_000 {
        text.extend_from_slice(&four(value));
    } else {
        integer(value, text);
    }
}

/// A fraction of a second in microseconds, below one million, without the zeros at its end; nothing if it is zero.
pub(super) fn fraction(micros: u32, text: &mut Vec<u8>) {
    if micros == 0 {
        return;
    }
    text.push(b'.');
    let [a, b, c, d] = four(micros / 100);
    let [e, f] = two(micros % 100);
    let digits = [a, b, c, d, e, f];
    let length = digits.iter().rposition(|digit| *digit != b'0').map_or(0, |last| last + 1);
    text.extend_from_slice(digits.get(..length).unwrap_or_default());
}
