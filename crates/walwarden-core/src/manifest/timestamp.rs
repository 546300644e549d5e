//! Times as text: RFC 3339 in UTC with exactly six fractional digits, `2026-08-14T02:00:00.000000Z`.
//!
//! Microseconds are what PostgreSQL keeps. The one spelling makes text order and time order the same.

use chrono::{DateTime, NaiveDateTime, Timelike, Utc};
use serde::{Deserialize, Deserializer, Serializer, de, ser};

const FORM: &str = "%Y-%m-%dT%H:%M:%S%.6fZ";

/// The time as text, what is below a microsecond cut off. The text is in this form for the years 0 to 9999
/// only; what stores it checks with [`parse`].
pub fn format(time: DateTime<Utc>) -> String {
    time.format(FORM).to_string()
}

/// The time, if the text is in exactly this form.
pub fn parse(text: &str) -> Option<DateTime<Utc>> {
    let time = NaiveDateTime::parse_from_str(text, FORM).ok()?.and_utc();
    // The parser takes other spellings of the same time, and leap seconds, which PostgreSQL does not have.
    let is_leap_second = time.nanosecond() >= 1_000_000_000;
    (text.len() == 27 && !is_leap_second && format(time) == text).then_some(time)
}

/// For `#[serde(with)]`.
pub(crate) fn serialize<S: Serializer>(time: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    let text = format(*time);
    if parse(&text).is_none() {
        return Err(ser::Error::custom(format!("the time {text} is outside the years 0 to 9999")));
    }
    serializer.serialize_str(&text)
}

/// For `#[serde(with)]`.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<DateTime<Utc>, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse(&text).ok_or_else(|| {
        de::Error::custom(format!("\"{text}\" is not a time in UTC with six fractional digits"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;
    use proptest::prelude::*;

    #[test]
    fn one_spelling_only() {
        let text = "2026-08-14T02:00:00.000120Z";
        assert_eq!(format(parse(text).unwrap()), text);
        for other in [
            "2026-08-14T02:00:00Z",
            "2026-08-14T02:00:00.00012Z",
            "2026-08-14T02:00:00.0001200Z",
            "2026-08-14T02:00:00.000120+00:00",
            "2026-08-14T02:00:00.000120z",
            "2026-08-14 02:00:00.000120Z",
            "2026-8-14T02:00:00.000120Z",
            "+2026-08-14T02:00:00.00012Z",
            "2026-08-14T02:00:60.000120Z",
            "2026-02-29T02:00:00.000120Z",
            " 2026-08-14T02:00:00.00012Z",
            "12026-08-14T02:00:00.00012Z",
            "infinity",
            "",
        ] {
            assert_eq!(parse(other), None, "{other}");
        }
    }

    #[test]
    fn years_beyond_four_digits_are_not_read_back() {
        assert_eq!(parse(&format(DateTime::<Utc>::MAX_UTC)), None);
        assert_eq!(parse(&format(DateTime::<Utc>::MIN_UTC)), None);
    }

    proptest! {
        #[test]
        fn reads_back_to_the_microsecond(seconds in 0_i64..253_402_300_799, nanos in 0_u32..1_000_000_000) {
            let time = DateTime::from_timestamp(seconds, nanos).unwrap();
            let cut = time - TimeDelta::nanoseconds(i64::from(nanos % 1000));
            prop_assert_eq!(parse(&format(time)), Some(cut));
        }

        #[test]
        fn text_order_is_time_order(a in 0_i64..4_000_000_000_000_000, b in 0_i64..4_000_000_000_000_000) {
            let [one, two] = [a, b].map(|micros| DateTime::from_timestamp_micros(micros).unwrap());
            prop_assert_eq!(one.cmp(&two), format(one).cmp(&format(two)));
        }
    }
}
