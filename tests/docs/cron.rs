//! Schedules of pages must not fire while a page is run, whatever time it is: their hours are moved half a day away.

use regex::Regex;
use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

/// An expression with a fixed time of day: its last three fields are kept.
static FIXED: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"'(\d+ \d+) (\S+ \S+ \S+)'").expect("a regular expression"));
const MINUTES_OF_DAY: u64 = 24 * 60;

/// The expressions of a page, each with one that fires about twelve hours from now, in UTC as in Europe.
pub fn that_do_not_fire(page: &str) -> Vec<(String, String)> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs() / 60;
    let mut pairs: Vec<(String, String)> = Vec::new();
    for found in FIXED.captures_iter(page) {
        let (time, rest) = (&found[1], &found[2]);
        let expression = format!("{time} {rest}");
        if pairs.iter().any(|pair| pair.0 == expression) {
            continue;
        }
        // A minute of its own for each, so that what comes out can be told apart.
        let at = (now + MINUTES_OF_DAY / 2 + pairs.len() as u64) % MINUTES_OF_DAY;
        pairs.push((expression, format!("{} {} {rest}", at % 60, at / 60)));
    }
    pairs
}

#[test]
fn each_expression_is_moved_and_stays_apart_from_the_others() {
    let moved = that_do_not_fire(
        "schedule('a', '0 2 * * *'); schedule('b', '0 3 * * *'); ('a', '0 2 * * *'); '*/5 * * * *'",
    );
    let pages: Vec<&str> = moved.iter().map(|pair| pair.0.as_str()).collect();
    assert_eq!(pages, ["0 2 * * *", "0 3 * * *"]);
    assert_ne!(moved[0].1, moved[1].1);
}
