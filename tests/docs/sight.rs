//! What is the same in the eyes of a reader. The one place that says what of an output may differ from run to run.

use regex::Regex;
use similar::TextDiff;
use std::sync::LazyLock;

/// Lines that are shown around what differs.
const CONTEXT: usize = 8;

/// What differs from run to run, and what stands for it. The order matters: what comes first is gone for the rest.
static VOLATILE: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    [
        // 2026-11-22 00:31:07.123456+00, and as manifests have it: 2026-11-22T00:31:07.123456Z.
        (r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d(:\d\d)?)?", "<time>"),
        // 1 day 02:03:04.5
        (r"(\d+ (years?|mons?|days?) )*-?\d+:\d\d:\d\d(\.\d+)?", "<duration>"),
        (r"\b\d{4}[-/]\d\d[-/]\d\d\b", "<date>"),
        // What retention calls a month and a week.
        (r"\b\d{4}-(\d\d|W\d\d)\b", "<month>"),
        // The body of a public key as PEM.
        (r"MCowBQYDK2VwAyEA[A-Za-z0-9+/]{43}=", "<public key>"),
        (r"\bage1[0-9a-z]{58}\b", "<public key>"),
        (r"\bSHA256:[A-Za-z0-9+/]{43}", "SHA256:<fingerprint>"),
        (r"\b[0-9a-f]{64}\b", "<sha256>"),
        (r"\b[0-9a-f]{16}\b", "<key id>"),
        (r"\b\d+ (bytes|kB|MB|GB)\b", "<size>"),
        (r"\b[0-9A-F]+/[0-9A-F]{2,}\b", "<lsn>"),
        (r"(?m)^psql:(\S+):\d+:", "psql:$1:<line>:"),
        // The width of a column is that of its widest value, which may be one of these.
        (r"-{2,}", "--"),
        (r"[ \t]+", " "),
    ]
    .map(|(pattern, stands_for)| (Regex::new(pattern).expect("a regular expression"), stands_for))
    .into()
});

/// An output without what differs from run to run.
pub fn seen(text: &str) -> String {
    let mut text = text.trim_end().to_owned();
    for (pattern, stands_for) in VOLATILE.iter() {
        text = pattern.replace_all(&text, *stands_for).into_owned();
    }
    // psql centers the names of columns.
    text.lines().map(|line| format!("{}\n", line.trim())).collect()
}

/// Compares what a page shows with what came out.
pub fn compare(shown: &str, came: &str) -> Result<(), String> {
    let (shown, came) = (seen(shown), seen(came));
    if shown == came {
        return Ok(());
    }
    Err(format!("what is shown (-) is not what came out (+):\n{}", difference(&shown, &came)))
}

/// Two texts as a diff, with the lines around what differs.
pub fn difference(shown: &str, came: &str) -> String {
    TextDiff::from_lines(shown, came).unified_diff().context_radius(CONTEXT).to_string()
}

#[test]
fn what_may_differ_is_not_seen_and_everything_else_is() {
    let shown = " job | at\n-----+----\n a | 2026-01-01 00:00:00+00\n(1 row)\n";
    let came = "   job   |    at\n-----------+--------\n a   | 2027-02-02 11:12:13.123456+01\n(1 row)\n\n";
    assert_eq!(compare(shown, came), Ok(()));
    for lie in ["job", "a ", "(1 row)"] {
        assert!(compare(&shown.replace(lie, "x"), came).is_err(), "{lie}");
    }
    assert!(compare("1 table", "2 tables").is_err());
    assert_eq!(compare("archive of 12 kB", "archive of 1234 bytes"), Ok(()));
}
