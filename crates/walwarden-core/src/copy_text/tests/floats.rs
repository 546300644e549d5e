//! Short decimals beside Rust's own shortest form, which has no exponent and else the same digits.

use super::super::float::{short_double, short_real};
use proptest::prelude::*;

fn double(value: f64) -> Option<String> {
    let mut text = Vec::new();
    short_double(value, &mut text).map(|()| String::from_utf8(text).unwrap())
}

fn real(value: f32) -> Option<String> {
    let mut text = Vec::new();
    short_real(value, &mut text).map(|()| String::from_utf8(text).unwrap())
}

/// The decimal `digits` shifted by `scale` places.
fn decimal(digits: u64, scale: usize) -> String {
    format!("{digits}e-{scale}")
}

#[test]
fn those_that_people_write() {
    for text in [
        "0", "-0", "1", "-1", "10", "100", "1200", "0.1", "-0.1", "0.3", "23.5", "0.01", "0.001", "0.0012",
        "99.99", "123456", "1.5", "-273.15", "3.14159", "0.000123", "100000",
    ] {
        assert_eq!(double(text.parse().unwrap()).as_deref(), Some(text));
        assert_eq!(real(text.parse().unwrap()).as_deref(), Some(text));
    }
    for text in
        ["123456789012345", "999999999999999", "100000000000000", "0.123456789012345", "0.000123456789012345"]
    {
        assert_eq!(double(text.parse().unwrap()).as_deref(), Some(text));
    }
    assert_eq!(double(1e-4).as_deref(), Some("0.0001"));
}

#[test]
fn what_is_longer_or_has_an_exponent_is_left() {
    for value in [
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::MAX,
        f64::MIN_POSITIVE,
        5e-324,
        1e15,
        1e16,
        -1e300,
        1e-5,
        9.999_999_999_999_999e-5,
        0.1 + 0.2,
        1.0 / 3.0,
        999_999_999_999_999.9,
    ] {
        assert_eq!(double(value), None, "{value}");
    }
    for value in
        [f32::NAN, f32::INFINITY, f32::MAX, 1e-45, 1e6, 1e7, 1e-5, 16_777_216.0, 1.0 / 3.0, 0.099_999_994]
    {
        assert_eq!(real(value), None, "{value}");
    }
}

/// A number beside a short decimal is none itself.
#[test]
fn neighbours_are_told_apart() {
    for digits in [1_u64, 3, 7, 123, 99_999, 1_000_001, 999_999_999_999_999] {
        for scale in 0..16 {
            let value: f64 = decimal(digits, scale).parse().unwrap();
            for neighbour in [value.next_up(), value.next_down()] {
                assert!(double(neighbour).is_none_or(|text| text == neighbour.to_string()), "{neighbour}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn all_doubles_of_up_to_15_digits(digits in 1..1_000_000_000_000_000_u64, cut in 0..15_u32, scale in 0..15_usize) {
        let value: f64 = decimal((digits / 10_u64.pow(cut)).max(1), scale).parse().unwrap();
        if (1e-4..1e15).contains(&value) {
            prop_assert_eq!(double(value), Some(value.to_string()));
            prop_assert_eq!(double(-value), Some((-value).to_string()));
        }
    }

    #[test]
    fn all_reals_of_up_to_6_digits(digits in 1..1_000_000_u64, scale in 0..10_usize) {
        let value: f32 = decimal(digits, scale).parse().unwrap();
        // 1e-4 itself is a little less as a real.
        if (1.01e-4..1e6).contains(&value) {
            prop_assert_eq!(real(value), Some(value.to_string()));
            prop_assert_eq!(real(-value), Some((-value).to_string()));
        }
    }

    #[test]
    fn whatever_is_written_is_the_shortest(bits in any::<u64>(), exponent in 1009..1073_u64) {
        for bits in [bits, bits & !(0x7ff << 52) | exponent << 52] {
            let value = f64::from_bits(bits);
            prop_assert!(double(value).is_none_or(|text| text == value.to_string()), "{value}");
            let value = f32::from_bits(bits as u32);
            prop_assert!(real(value).is_none_or(|text| text == value.to_string()), "{value}");
        }
    }
}
