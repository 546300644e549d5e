//! date, time and timestamps in the date style ISO (datetime.c).

use super::Server;
use super::digits::{at_least_four, fraction, integer, two};

const MICROS_PER_SECOND: i64 = 1_000_000;
pub(super) const MICROS_PER_DAY: i64 = 86_400 * MICROS_PER_SECOND;
/// 2000-01-01, day and second 0 of PostgreSQL, as a Julian day.
const EPOCH: i64 = 2_451_545;
/// From 1970-01-01 to 2000-01-01, in seconds.
const FROM_UNIX_EPOCH: i64 = 10_957 * 86_400;

const INFINITY: &[u8] = b"infinity";
const MINUS_INFINITY: &[u8] = b"-infinity";

/// As date_out: days since 2000-01-01.
pub(super) fn date(days: i32, text: &mut Vec<u8>) -> Option<()> {
    match days {
        i32::MIN => text.extend_from_slice(MINUS_INFINITY),
        i32::MAX => text.extend_from_slice(INFINITY),
        days => {
            let year = write_day(i64::from(days), text)?;
            write_era(year, text);
        }
    }
    Some(())
}

/// As time_out: microseconds since midnight, which may be those of a whole day.
pub(super) fn time(micros: i64, text: &mut Vec<u8>) -> Option<()> {
    (0..=MICROS_PER_DAY).contains(&micros).then(|| write_time(micros, text))
}

/// As timestamp_out: microseconds since 2000-01-01 00:00.
pub(super) fn timestamp(micros: i64, text: &mut Vec<u8>) -> Option<()> {
    if write_infinity(micros, text) {
        return Some(());
    }
    let year = write_day_and_time(micros, text)?;
    write_era(year, text);
    Some(())
}

/// As timestamptz_out: microseconds since 2000-01-01 00:00 UTC, shown in the session's time zone.
pub(super) fn timestamp_with_zone(micros: i64, server: &mut dyn Server, text: &mut Vec<u8>) -> Option<()> {
    if write_infinity(micros, text) {
        return Some(());
    }
    let seconds = micros.div_euclid(MICROS_PER_SECOND) + FROM_UNIX_EPOCH;
    let offset = server.utc_offset(seconds)?;
    let year = write_day_and_time(micros.checked_add(i64::from(offset) * MICROS_PER_SECOND)?, text)?;
    write_offset(offset, text);
    write_era(year, text);
    Some(())
}

fn write_infinity(micros: i64, text: &mut Vec<u8>) -> bool {
    match micros {
        i64::MIN => text.extend_from_slice(MINUS_INFINITY),
        i64::MAX => text.extend_from_slice(INFINITY),
        _ => return false,
    }
    true
}

/// Gives the year.
fn write_day_and_time(micros: i64, text: &mut Vec<u8>) -> Option<i32> {
    let year = write_day(micros.div_euclid(MICROS_PER_DAY), text)?;
    text.push(b' ');
    write_time(micros.rem_euclid(MICROS_PER_DAY), text);
    Some(year)
}

/// Year, month and day; gives the year, of which 0 is 1 BC. j2date in datetime.c; None where that does not work.
fn write_day(days: i64, text: &mut Vec<u8>) -> Option<i32> {
    let julian = u32::try_from(days + EPOCH).ok().filter(|julian| i32::try_from(*julian).is_ok())?;
    let julian = julian.checked_add(32_044)?;
    let quad = julian / 146_097;
    let extra = (julian - quad * 146_097) * 4 + 3;
    let julian = julian.checked_add(60 + quad * 3 + extra / 146_097)?;
    let quad = julian / 1461;
    let julian = julian - quad * 1461;
    let year = julian * 4 / 1461;
    let julian = (if year == 0 { (julian + 306) % 366 } else { (julian + 305) % 365 }) + 123;
    let year = i32::try_from(year + quad * 4).ok()? - 4800;
    let quad = julian * 2141 / 65_536;
    let day = julian - 7834 * quad / 256;
    let month = (quad + 10) % 12 + 1;

    at_least_four((if year > 0 { year } else { 1 - year }).unsigned_abs(), text);
    let ([m1, m2], [d1, d2]) = (two(month), two(day));
    text.extend_from_slice(&[b'-', m1, m2, b'-', d1, d2]);
    Some(year)
}

/// Hours, minutes, seconds; `micros` must not be negative.
fn write_time(micros: i64, text: &mut Vec<u8>) {
    let seconds = (micros / MICROS_PER_SECOND) as u32;
    let ([h1, h2], [m1, m2], [s1, s2]) = (two(seconds / 3600), two(seconds / 60 % 60), two(seconds % 60));
    text.extend_from_slice(&[h1, h2, b':', m1, m2, b':', s1, s2]);
    fraction((micros % MICROS_PER_SECOND) as u32, text);
}

/// Seconds east of Greenwich, as EncodeTimezone writes them: whole hours as two digits.
fn write_offset(offset: i32, text: &mut Vec<u8>) {
    text.push(if offset >= 0 { b'+' } else { b'-' });
    let seconds = offset.unsigned_abs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours < 100 {
        text.extend_from_slice(&two(hours));
    } else {
        integer(hours, text);
    }
    for part in [minutes, seconds].into_iter().take(if seconds > 0 { 2 } else { usize::from(minutes > 0) }) {
        text.push(b':');
        text.extend_from_slice(&two(part));
    }
}

fn write_era(year: i32, text: &mut Vec<u8>) {
    if year <= 0 {
        text.extend_from_slice(b" BC");
    }
}
