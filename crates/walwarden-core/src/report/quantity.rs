//! Sizes, counts, times and spans as people read them, with the exact value in the title.

use std::time::Duration;

use chrono::Utc;
use maud::{Markup, html};

use super::model::Time;

/// What stands where there is nothing to say.
pub const NOTHING: &str = "–";

/// Bytes as PostgreSQL's pg_size_pretty() counts them: 1 kB is 1024 bytes.
#[expect(clippy::cast_precision_loss, reason = "shown with two digits")]
pub fn size_text(bytes: u64) -> String {
    let mut value = bytes as f64;
    let mut unit = "bytes";
    for next in ["kB", "MB", "GB", "TB", "PB", "EB"] {
        if value < 1023.5 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    if unit == "bytes" || value >= 9.95 { format!("{value:.0} {unit}") } else { format!("{value:.1} {unit}") }
}

/// Two units are enough for anybody: `3 d 4 h`, `1 h 05 min`, `12 min 30 s`, `42 s`, `0.8 s`.
pub fn span_text(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0..10 => format!("{:.1} s", span.as_secs_f64()),
        10..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{} h {:02} min", seconds / 3600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// With a comma after every third digit.
pub fn count_text(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 backup`, `2 backups`.
pub fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{} {}", count_text(count), if count == 1 { one } else { many })
}

/// To the minute.
pub fn time_text(time: &Time) -> String {
    time.format("%Y-%m-%d %H:%M").to_string()
}

/// To the microsecond, with its offset, and the same in UTC.
pub fn exact_time_text(time: &Time) -> String {
    let utc = time.with_timezone(&Utc);
    format!("{}, {}", time.format("%Y-%m-%d %H:%M:%S%.6f %:z"), utc.format("%Y-%m-%d %H:%M:%S%.6f UTC"))
}

/// A size.
pub fn size(bytes: u64) -> Markup {
    html! { span.number title={ (count_text(bytes)) " bytes" } { (size_text(bytes)) } }
}

/// A size, if there is one.
pub fn maybe_size(bytes: Option<u64>) -> Markup {
    bytes.map_or_else(nothing, size)
}

/// A span of time.
pub fn span(span: Duration) -> Markup {
    html! { span.number title={ (format!("{:.6}", span.as_secs_f64())) " seconds" } { (span_text(span)) } }
}

/// A span of time, if there is one.
pub fn maybe_span(given: Option<Duration>) -> Markup {
    given.map_or_else(nothing, span)
}

/// A number, if there is one.
pub fn maybe_count(count: Option<u64>) -> Markup {
    count.map_or_else(nothing, |count| html! { span.number { (count_text(count)) } })
}

/// A moment.
pub fn time(time: &Time) -> Markup {
    html! {
        time datetime=(time.to_rfc3339()) title=(exact_time_text(time)) { (time_text(time)) }
    }
}

/// A moment, if there is one.
pub fn maybe_time(given: Option<&Time>) -> Markup {
    given.map_or_else(nothing, time)
}

/// A text, if there is one.
pub fn maybe_text(text: Option<&str>) -> Markup {
    text.map_or_else(nothing, |text| html! { (text) })
}

fn nothing() -> Markup {
    html! { span.nothing { (NOTHING) } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (bytes, text) in [
            (0, "0 bytes"),
            (1023, "1023 bytes"),
            (1024, "1.0 kB"),
            (10 * 1024, "10 kB"),
            (1_048_576 - 1, "1.0 MB"),
            (5 * 1_048_576 / 2, "2.5 MB"),
            (1 << 40, "1.0 TB"),
            (u64::MAX, "16 EB"),
        ] {
            assert_eq!(size_text(bytes), text);
        }
    }

    #[test]
    fn spans() {
        for (seconds, text) in [
            (0.0, "0.0 s"),
            (0.84, "0.8 s"),
            (42.9, "42 s"),
            (61.0, "1 min 01 s"),
            (3900.0, "1 h 05 min"),
            (90_000.0, "1 d 1 h"),
        ] {
            assert_eq!(span_text(Duration::from_secs_f64(seconds)), text);
        }
    }

    #[test]
    fn counts() {
        for (count, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(count_text(count), text);
        }
        assert_eq!(counted(1, "backup", "backups"), "1 backup");
        assert_eq!(counted(0, "backup", "backups"), "0 backups");
    }
}
