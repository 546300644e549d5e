//! interval in the interval style postgres (EncodeInterval in datetime.c).

use super::digits::{fraction, integer, two};

const MICROS_PER_SECOND: i64 = 1_000_000;
const MICROS_PER_HOUR: i64 = 3600 * MICROS_PER_SECOND;

/// As interval_out: microseconds, days and months, each with a sign of its own.
pub(super) fn write(value: &[u8; 16], has_infinity: bool, text: &mut Vec<u8>) -> Option<()> {
    let (time, rest) = value.split_first_chunk::<8>()?;
    let (days, months) = rest.split_first_chunk::<4>()?;
    let time = i64::from_le_bytes(*time);
    let days = i32::from_le_bytes(*days);
    let months = i32::from_le_bytes(*months.first_chunk()?);
    if has_infinity {
        match (time, days, months) {
            (i64::MIN, i32::MIN, i32::MIN) => {
                text.extend_from_slice(b"-infinity");
                return Some(());
            }
            (i64::MAX, i32::MAX, i32::MAX) => {
                text.extend_from_slice(b"infinity");
                return Some(());
            }
            _ => (),
        }
    }
    let start = text.len();
    let mut was_negative = false;
    for (part, unit) in
        [(months / 12, b" year".as_slice()), (months % 12, b" mon".as_slice()), (days, b" day".as_slice())]
    {
        if part == 0 {
            continue;
        }
        if text.len() > start {
            text.push(b' ');
        }
        // Without its own sign it could be read as negative, too.
        if was_negative && part > 0 {
            text.push(b'+');
        }
        integer(part, text);
        text.extend_from_slice(unit);
        if part != 1 {
            text.push(b's');
        }
        was_negative = part < 0;
    }
    if text.len() > start {
        if time == 0 {
            return Some(());
        }
        text.push(b' ');
    }
    write_time(time, was_negative, text);
    Some(())
}

fn write_time(time: i64, was_negative: bool, text: &mut Vec<u8>) {
    if time < 0 {
        text.push(b'-');
    } else if was_negative {
        text.push(b'+');
    }
    let time = time.unsigned_abs();
    let hours = time / MICROS_PER_HOUR.unsigned_abs();
    if hours < 100 {
        text.extend_from_slice(&two(hours as u32));
    } else {
        integer(hours, text);
    }
    let seconds = (time % MICROS_PER_HOUR.unsigned_abs() / MICROS_PER_SECOND.unsigned_abs()) as u32;
    let ([m1, m2], [s1, s2]) = (two(seconds / 60), two(seconds % 60));
    text.extend_from_slice(&[b':', m1, m2, b':', s1, s2]);
    fraction((time % MICROS_PER_SECOND.unsigned_abs()) as u32, text);
}
