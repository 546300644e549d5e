use super::{field, offset_of_test_server};
use crate::copy_text::{Ended, Kind, escape};
use chrono::{DateTime, Days, NaiveDate, TimeDelta};
use proptest::prelude::*;
use std::net::Ipv6Addr;

/// CopyAttributeOutText, a byte at a time.
fn escaped_slowly(value: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    for byte in value {
        match byte {
            0 => break,
            8 => text.extend(b"\\b"),
            9 => text.extend(b"\\t"),
            10 => text.extend(b"\\n"),
            11 => text.extend(b"\\v"),
            12 => text.extend(b"\\f"),
            13 => text.extend(b"\\r"),
            b'\\' => text.extend(b"\\\\"),
            other => text.push(*other),
        }
    }
    text
}

/// With anything from no special byte to many, the zero among them seldom.
fn text_with_specials() -> impl Strategy<Value = Vec<u8>> {
    (1_u32..200).prop_flat_map(|plain| {
        let byte = prop_oneof![
            plain => 0x20_u8..=0xff,
            6 => 1_u8..0x20,
            3 => Just(b'\\'),
            1 => Just(0_u8),
        ];
        proptest::collection::vec(byte, 0..400)
    })
}

proptest! {
    #[test]
    fn text_is_escaped(value in text_with_specials()) {
        let mut text = Vec::new();
        let ended = escape(&value, &mut text);
        prop_assert_eq!(text, escaped_slowly(&value));
        prop_assert_eq!(ended == Ended::AtZero, value.contains(&0));
    }

    #[test]
    fn whole_numbers(value: i64) {
        prop_assert_eq!(field(&Kind::Int8, &value.to_le_bytes()).unwrap(), value.to_string());
        prop_assert_eq!(field(&Kind::Int4, &(value as i32).to_le_bytes()).unwrap(), (value as i32).to_string());
        prop_assert_eq!(field(&Kind::Int2, &(value as i16).to_le_bytes()).unwrap(), (value as i16).to_string());
        prop_assert_eq!(field(&Kind::Oid, &(value as u32).to_le_bytes()).unwrap(), (value as u32).to_string());
    }

    #[test]
    fn bytes_are_hexadecimal(value in proptest::collection::vec(any::<u8>(), 0..100), id: [u8; 16]) {
        prop_assert_eq!(field(&Kind::Bytea, &value).unwrap(), format!("\\\\x{}", hex::encode(&value)));
        prop_assert_eq!(field(&Kind::Uuid, &id).unwrap(), uuid::Uuid::from_bytes(id).to_string());
    }

    #[test]
    fn dates_are_those_of_the_calendar(days in 0_u64..3_600_000) {
        let date = NaiveDate::from_ymd_opt(1, 1, 1).unwrap() + Days::new(days);
        let since_2000 = (date - NaiveDate::from_ymd_opt(2000, 1, 1).unwrap()).num_days() as i32;
        prop_assert_eq!(field(&Kind::Date, &since_2000.to_le_bytes()).unwrap(), date.format("%Y-%m-%d").to_string());
    }

    #[test]
    fn timestamps_are_those_of_the_calendar(seconds in -60_000_000_000_i64..250_000_000_000, micros in 0_i64..1_000_000) {
        let stored = seconds * 1_000_000 + micros;
        let epoch = DateTime::from_timestamp(946_684_800, 0).unwrap();
        let show = |time: DateTime<chrono::Utc>| {
            let text = time.format("%Y-%m-%d %H:%M:%S%.6f").to_string();
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        };
        let show = |time: DateTime<chrono::Utc>| if micros == 0 { time.format("%Y-%m-%d %H:%M:%S").to_string() } else { show(time) };
        let time = epoch + TimeDelta::microseconds(stored);
        prop_assert_eq!(field(&Kind::Timestamp, &stored.to_le_bytes()).unwrap(), show(time));
        let offset = offset_of_test_server(time.timestamp());
        let (sign, size) = (if offset < 0 { '-' } else { '+' }, offset.abs());
        let mut expected = format!("{}{sign}{:02}", show(time + TimeDelta::seconds(offset.into())), size / 3600);
        if size % 3600 != 0 {
            expected += &format!(":{:02}", size / 60 % 60);
        }
        prop_assert_eq!(field(&Kind::TimestampTz, &stored.to_le_bytes()).unwrap(), expected);
    }

    /// Where nothing looks like an address of version 4, all write them alike.
    #[test]
    fn addresses_are_shortened_as_everybody_does(mut words: [u16; 8], zeros: u8, first in 1_u16..) {
        for (index, word) in words.iter_mut().enumerate() {
            if zeros & (1 << index) != 0 {
                *word = 0;
            }
        }
        words[0] = first;
        let address = Ipv6Addr::from(words);
        let stored = [&[3, 128][..], &address.octets()].concat();
        prop_assert_eq!(field(&Kind::Inet, &stored).unwrap(), address.to_string());
        prop_assert_eq!(field(&Kind::Cidr, &stored).unwrap(), format!("{address}/128"));
    }

    #[test]
    fn numerics_are_their_digits(digits in -1_000_000_000_000_i64..1_000_000_000_000, scale in 0_usize..12, is_long: bool) {
        let stored = numeric(digits, scale, is_long);
        let size = format!("{:0width$}", digits.abs(), width = scale + 1);
        let (whole, fraction) = size.split_at(size.len() - scale);
        let point = if scale > 0 { "." } else { "" };
        let sign = if digits < 0 { "-" } else { "" };
        prop_assert_eq!(field(&Kind::Numeric, &stored).unwrap(), format!("{sign}{whole}{point}{fraction}"));
    }

    #[test]
    fn an_interval_says_each_part_with_its_sign(time: i64, days: i32, months: i32) {
        let Some(text) = field(&Kind::Interval { has_infinity: false }, &interval(time, days, months)) else {
            panic!("every interval can be written");
        };
        let part = |unit: &str| -> i64 {
            let words: Vec<&str> = text.split(' ').collect();
            words.windows(2).find(|pair| pair[1].trim_end_matches('s') == unit).map_or(0, |pair| pair[0].parse().unwrap())
        };
        prop_assert_eq!(part("year") * 12 + part("mon"), i64::from(months));
        prop_assert_eq!(part("day"), i64::from(days));
        let clock = text.rsplit(' ').next().unwrap().trim_start_matches('+');
        if time != 0 {
            let (sign, clock) = clock.strip_prefix('-').map_or((1, clock), |clock| (-1, clock));
            let mut fields = clock.split(':');
            let hours: i128 = fields.next().unwrap().parse().unwrap();
            let minutes: i128 = fields.next().unwrap().parse().unwrap();
            let (seconds, fraction) = fields.next().unwrap().split_once('.').unwrap_or(("0", "0"));
            let micros: i128 = format!("{fraction:0<6}").parse().unwrap();
            let all = ((hours * 60 + minutes) * 60 + seconds.parse::<i128>().unwrap()) * 1_000_000 + micros;
            if time % 1_000_000 != 0 {
                prop_assert_eq!(sign * all, i128::from(time));
            }
        }
    }
}

/// `digits` divided by ten to the power of `scale`, as numeric.c packs it.
pub(super) fn numeric(digits: i64, scale: usize, is_long: bool) -> Vec<u8> {
    // As many digits behind the point as fill groups of four.
    let filled = scale.div_ceil(4) * 4;
    let mut rest = i128::from(digits.abs()) * 10_i128.pow((filled - scale) as u32);
    let mut groups = Vec::new();
    while rest > 0 {
        groups.push((rest % 10_000) as u16);
        rest /= 10_000;
    }
    let mut weight = groups.len() as i16 - 1 - (filled / 4) as i16;
    while groups.first() == Some(&0) {
        groups.remove(0);
    }
    groups.reverse();
    if groups.is_empty() {
        weight = 0;
    }
    let mut stored = if is_long {
        let sign = if digits < 0 { 0x4000 } else { 0 };
        [(sign | scale as u16).to_le_bytes(), weight.to_le_bytes()].concat()
    } else {
        let sign = if digits < 0 { 0x2000 } else { 0 };
        let weight_bits = (weight as u16) & 0x7f;
        (0x8000 | sign | ((scale as u16) << 7) | weight_bits).to_le_bytes().to_vec()
    };
    stored.extend(groups.into_iter().flat_map(u16::to_le_bytes));
    stored
}

fn interval(time: i64, days: i32, months: i32) -> Vec<u8> {
    [&time.to_le_bytes()[..], &days.to_le_bytes(), &months.to_le_bytes()].concat()
}

#[test]
fn odd_numerics() {
    for (stored, text) in [
        (vec![0x00, 0xc0], Some("NaN")),
        (vec![0x00, 0xd0], Some("Infinity")),
        (vec![0x00, 0xf0], Some("-Infinity")),
        (vec![0x00, 0xe0], None),
        (numeric(0, 0, false), Some("0")),
        (numeric(0, 5, false), Some("0.00000")),
        (numeric(10_000, 0, false), Some("10000")),
        (numeric(-1, 9, false), Some("-0.000000001")),
        // A group that is none, and half of one.
        (vec![0x00, 0x80, 0x10, 0x27], None),
        (vec![0x00, 0x80, 0x01], None),
        (vec![], None),
        (vec![0x00, 0x00], None),
    ] {
        assert_eq!(field(&Kind::Numeric, &stored).as_deref(), text, "{stored:?}");
    }
}

#[test]
fn ends_of_time() {
    for (days, text) in [
        (i32::MIN, Some("-infinity")),
        (i32::MAX, Some("infinity")),
        (-2_451_545, Some("4714-11-24 BC")),
        (-2_451_546, None),
        (-730_120, Some("0001-12-31 BC")),
        (-730_119, Some("0001-01-01")),
        (2_145_031_948, Some("5874897-12-31")),
    ] {
        assert_eq!(field(&Kind::Date, &days.to_le_bytes()).as_deref(), text, "{days}");
    }
    for (micros, text) in [
        (i64::MIN, Some("-infinity")),
        (i64::MAX, Some("infinity")),
        (-211_813_488_000_000_000, Some("4714-11-24 00:00:00 BC")),
        (-211_813_488_000_000_001, None),
        (9_223_371_331_199_999_999, Some("294276-12-31 23:59:59.999999")),
        (-1, Some("1999-12-31 23:59:59.999999")),
        (100, Some("2000-01-01 00:00:00.0001")),
    ] {
        assert_eq!(field(&Kind::Timestamp, &i64::to_le_bytes(micros)).as_deref(), text, "{micros}");
    }
    for (micros, text) in [
        (0, Some("00:00:00")),
        (86_400_000_000, Some("24:00:00")),
        (86_400_000_001, None),
        (-1, None),
        (3_723_004_500, Some("01:02:03.0045")),
    ] {
        assert_eq!(field(&Kind::Time, &i64::to_le_bytes(micros)).as_deref(), text, "{micros}");
    }
}

#[test]
fn intervals() {
    for (time, days, months, text) in [
        (0, 0, 0, "00:00:00"),
        (0, 1, 0, "1 day"),
        (0, -1, 14, "1 year 2 mons -1 days"),
        (0, 1, -13, "-1 years -1 mons +1 day"),
        (3_600_000_000, -2, 0, "-2 days +01:00:00"),
        (-1, 3, 0, "3 days -00:00:00.000001"),
        (-3_600_000_000, 0, 0, "-01:00:00"),
        (i64::MIN, i32::MIN, i32::MIN, "-178956970 years -8 mons -2147483648 days -2562047788:00:54.775808"),
    ] {
        let stored = interval(time, days, months);
        assert_eq!(field(&Kind::Interval { has_infinity: false }, &stored).unwrap(), text);
    }
    let infinite = |stored: Vec<u8>| field(&Kind::Interval { has_infinity: true }, &stored).unwrap();
    assert_eq!(infinite(interval(i64::MIN, i32::MIN, i32::MIN)), "-infinity");
    assert_eq!(infinite(interval(i64::MAX, i32::MAX, i32::MAX)), "infinity");
    assert_eq!(infinite(interval(i64::MAX, i32::MAX, 0)), "2147483647 days 2562047788:00:54.775807");
}

#[test]
fn addresses() {
    for (family, bits, address, inet, cidr) in [
        (2, 32, vec![10, 0, 0, 1], "10.0.0.1", "10.0.0.1/32"),
        (2, 0, vec![0; 4], "0.0.0.0/0", "0.0.0.0/0"),
        (3, 128, Ipv6Addr::UNSPECIFIED.octets().to_vec(), "::", "::/128"),
        (3, 128, Ipv6Addr::LOCALHOST.octets().to_vec(), "::1", "::1/128"),
        (
            3,
            64,
            "2001:db8::".parse::<Ipv6Addr>().unwrap().octets().to_vec(),
            "2001:db8::/64",
            "2001:db8::/64",
        ),
        (
            3,
            128,
            "::ffff:1.2.3.4".parse::<Ipv6Addr>().unwrap().octets().to_vec(),
            "::ffff:1.2.3.4",
            "::ffff:1.2.3.4/128",
        ),
        (3, 128, "::102:304".parse::<Ipv6Addr>().unwrap().octets().to_vec(), "::1.2.3.4", "::1.2.3.4/128"),
        (3, 128, "::2".parse::<Ipv6Addr>().unwrap().octets().to_vec(), "::2", "::2/128"),
        (
            3,
            128,
            "1:0:2:3:4:5:6:7".parse::<Ipv6Addr>().unwrap().octets().to_vec(),
            "1:0:2:3:4:5:6:7",
            "1:0:2:3:4:5:6:7/128",
        ),
    ] {
        let stored = [vec![family, bits], address].concat();
        assert_eq!(field(&Kind::Inet, &stored).as_deref(), Some(inet));
        assert_eq!(field(&Kind::Cidr, &stored).as_deref(), Some(cidr));
    }
    for stored in [&[][..], &[2], &[2, 32, 1, 2, 3], &[2, 33, 1, 2, 3, 4], &[4, 32, 1, 2, 3, 4], &[3, 64, 1]]
    {
        assert_eq!(field(&Kind::Inet, stored), None);
    }
}

#[test]
fn what_is_one_byte() {
    assert_eq!(field(&Kind::Bool, &[0]).as_deref(), Some("f"));
    assert_eq!(field(&Kind::Bool, &[1]).as_deref(), Some("t"));
    for (byte, text) in [
        (0, Some("")),
        (b'a', Some("a")),
        (b'\\', Some("\\\\")),
        (b'\t', Some("\\t")),
        (127, Some("\x7f")),
        (128, None),
    ] {
        assert_eq!(field(&Kind::Char, &[byte]).as_deref(), text);
    }
    let mut name = [0; 64];
    name[..3].copy_from_slice(b"a\tb");
    assert_eq!(field(&Kind::Name, &name).as_deref(), Some("a\\tb"));
    assert_eq!(field(&Kind::Enum, &2_u32.to_le_bytes()).as_deref(), Some("with, \"all\" \\\\ of\\tit"));
    assert_eq!(field(&Kind::Enum, &3_u32.to_le_bytes()), None);
}
