//! numeric (numeric.c): digits of base 10,000 with a weight, a sign and the number of decimal digits to show.

use super::digits::four;

const SIGN_MASK: u16 = 0xC000;
const NEGATIVE: u16 = 0x4000;
const SHORT: u16 = 0x8000;
const SPECIAL: u16 = 0xC000;
const SPECIAL_MASK: u16 = 0xF000;
const NAN: u16 = 0xC000;
const INFINITY: u16 = 0xD000;
const MINUS_INFINITY: u16 = 0xF000;
const LONG_SCALE_MASK: u16 = 0x3FFF;
const SHORT_SIGN_MASK: u16 = 0x2000;
const SHORT_SCALE_MASK: u16 = 0x1F80;
const SHORT_SCALE_SHIFT: u32 = 7;
const SHORT_WEIGHT_SIGN_MASK: u16 = 0x0040;
const SHORT_WEIGHT_MASK: u16 = 0x003F;
const DIGITS_PER_GROUP: i32 = 4;
/// The base that numbers are stored in.
const BASE: u16 = 10_000;

/// As numeric_out. None for what no numeric can be.
pub(super) fn write(value: &[u8], text: &mut Vec<u8>) -> Option<()> {
    let (header, rest) = value.split_first_chunk::<2>()?;
    let header = u16::from_le_bytes(*header);
    let (is_negative, scale, weight, groups) = match header & SIGN_MASK {
        SPECIAL => {
            text.extend_from_slice(match header & SPECIAL_MASK {
                NAN => b"NaN".as_slice(),
                INFINITY => b"Infinity",
                MINUS_INFINITY => b"-Infinity",
                _ => return None,
            });
            return Some(());
        }
        SHORT => {
            let sign_extension = if header & SHORT_WEIGHT_SIGN_MASK != 0 { !SHORT_WEIGHT_MASK } else { 0 };
            let weight = (sign_extension | (header & SHORT_WEIGHT_MASK)).cast_signed();
            (
                header & SHORT_SIGN_MASK != 0,
                i32::from((header & SHORT_SCALE_MASK) >> SHORT_SCALE_SHIFT),
                weight,
                rest,
            )
        }
        sign => {
            let (weight, rest) = rest.split_first_chunk::<2>()?;
            (sign == NEGATIVE, i32::from(header & LONG_SCALE_MASK), i16::from_le_bytes(*weight), rest)
        }
    };
    let (groups, []) = groups.as_chunks::<2>() else { return None };
    write_groups(is_negative, scale, i32::from(weight), groups, text)
}

/// get_str_from_var in numeric.c.
fn write_groups(
    is_negative: bool,
    scale: i32,
    weight: i32,
    groups: &[[u8; 2]],
    text: &mut Vec<u8>,
) -> Option<()> {
    let group = |index: i32| -> Option<u32> {
        let stored = usize::try_from(index).ok().and_then(|index| groups.get(index));
        let group = stored.map_or(0, |bytes| u16::from_le_bytes(*bytes));
        (group < BASE).then(|| u32::from(group))
    };
    if is_negative {
        text.push(b'-');
    }
    if weight < 0 {
        text.push(b'0');
    } else {
        super::digits::integer(group(0)?, text);
        for index in 1..=weight {
            text.extend_from_slice(&four(group(index)?));
        }
    }
    if scale > 0 {
        text.push(b'.');
        let whole = scale / DIGITS_PER_GROUP;
        let first = weight + 1;
        for index in first..first + whole {
            text.extend_from_slice(&four(group(index)?));
        }
        let left = usize::try_from(scale % DIGITS_PER_GROUP).ok()?;
        if left > 0 {
            text.extend_from_slice(four(group(first + whole)?).get(..left)?);
        }
    }
    Some(())
}
