//! Floating-point numbers that are short decimals, as most that people store are: 23.5, 0.1, 1200.
//!
//! PostgreSQL writes the decimal with the fewest digits that is read back as the same number (d2s.c, f2s.c). No two decimals
//! of up to 15 digits are read as the same double, nor two of up to 6 as the same real (DBL_DIG, FLT_DIG of C): so one that is
//! read back is the one with the fewest digits once the zeros at its end are gone. Nor does one lie exactly between two
//! neighbours, where PostgreSQL would take another: that needs 54 significant bits, or 25. All others are PostgreSQL's to write.

use super::digits;

/// Powers of ten that a double has exactly (up to 22 it would).
const POWERS: [f64; 19] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18];

/// Smaller numbers are written with an exponent.
const LEAST: f64 = 1e-4;

/// Append a double, if it is a short decimal.
pub(super) fn short_double(value: f64, text: &mut Vec<u8>) -> Option<()> {
    let size = value.abs();
    let scale = scale(size, 15)?;
    let power = *POWERS.get(scale)?;
    let digits = nearest(size * power);
    (digits as f64 / power == size).then(|| write(value.is_sign_negative(), digits, scale, text))
}

/// Append a real, if it is a short decimal.
pub(super) fn short_real(value: f32, text: &mut Vec<u8>) -> Option<()> {
    let size = value.abs();
    let scale = scale(size.into(), 6)?;
    let power = *POWERS.get(scale)?;
    let digits = nearest(f64::from(size) * power);
    // In its own precision, in which both are exact, so that the quotient is what the decimal is read as.
    (digits as f32 / power as f32 == size).then(|| write(value.is_sign_negative(), digits, scale, text))
}

/// How many decimal places `most` significant digits reach; None for what is written with an exponent, or has more digits
/// before the point.
fn scale(size: f64, most: u32) -> Option<usize> {
    let places = if size >= 1.0 {
        let whole_digits = (size as u64).checked_ilog10()? + 1;
        most.checked_sub(whole_digits)?
    } else if size >= 0.1 {
        most
    } else if size >= 0.01 {
        most + 1
    } else if size >= 0.001 {
        most + 2
    } else if size >= LEAST {
        most + 3
    } else if size == 0.0 {
        0
    } else {
        return None;
    };
    Some(places as usize)
}

/// The whole number next to a number that is not negative and below 2^52.
fn nearest(value: f64) -> u64 {
    (value + 0.5) as u64
}

/// `digits` divided by ten to the power of `scale`, without zeros behind the point.
fn write(is_negative: bool, digits: u64, scale: usize, text: &mut Vec<u8>) {
    let (mut digits, mut scale) = (digits, scale);
    for (zeros, power) in [(8, 100_000_000), (4, 10_000), (2, 100), (1, 10)] {
        if scale >= zeros && digits % power == 0 {
            digits /= power;
            scale -= zeros;
        }
    }
    if is_negative {
        text.push(b'-');
    }
    if scale == 0 {
        return digits::integer(digits, text);
    }
    let power = 10_u64.pow(scale as u32);
    digits::integer(digits / power, text);
    text.push(b'.');
    // A one in front keeps the zeros behind the point.
    let mut buffer = itoa::Buffer::new();
    let fraction = buffer.format(power + digits % power);
    text.extend_from_slice(fraction.as_bytes().get(1..).unwrap_or_default());
}
