//! Values and lines that are nearly too long for COPY, and those that are.

use crate::check::{check, run, try_check};
use crate::quiet;
use crate::support::site::{APP, Site};
use crate::support::{self, await_end, run_now, text};

/// Makes the table `long` of one value.
fn value(expression: &str) -> String {
    format!("CREATE TABLE long AS SELECT {expression}")
}

/// Makes the table `long` of a row whose line, without its end, has `length` bytes. In two steps: no tuple has place for both
/// columns before they are compressed.
fn line(length: u64) -> String {
    let half = length / 2;
    format!(
        "CREATE TABLE long AS SELECT repeat('x', {half}) AS one, NULL::text AS other; UPDATE long SET other = repeat('y', {})",
        length - half - 1
    )
}

/// The longest line that COPY writes: enlargeStringInfo() in stringinfo.c makes place for less than MaxAllocSize with the end
/// of the line and a zero.
const LONGEST_LINE: u64 = 0x3fff_fffd;

/// Values that are nearly too long.
#[test]
#[ignore = "takes several gigabytes of memory: make encoder-test"]
fn the_longest_values_are_written_as_copy_writes_them() {
    let cluster = quiet().start();
    cluster.create_database(APP);
    support::install(&cluster, APP);
    let mut client = cluster.client(APP);
    for (table, bytes) in [
        (value(r"repeat(E'\\\n\t', 100000000)"), 600_000_001),
        (value("repeat('plain', 200000000)"), 1_000_000_001),
        (value("decode(repeat('00ff5c0a', 100000000), 'hex')"), 800_000_004),
        (value(r#"to_jsonb(repeat('"', 200000000))"#), 600_000_003),
        (value("ARRAY[repeat('\"', 200000000)]"), 600_000_005),
        (line(LONGEST_LINE), LONGEST_LINE + 1),
    ] {
        run(&mut client, &format!("DROP TABLE IF EXISTS long; {table}"));
        let found = check(&mut client, "long");
        println!("{table}: {} bytes", found.bytes);
        found.assert_direct(&table);
        assert_eq!((found.rows, found.bytes, found.differs_at), (1, bytes, None), "{table}");
    }
}

/// Where COPY fails because its text would be too long, a backup fails as well, whichever encoder it takes.
#[test]
#[ignore = "takes several gigabytes of memory: make encoder-test"]
fn values_that_are_too_long_for_copy_fail() {
    let site = Site::local(quiet());
    for table in [
        value(r"repeat(E'\n', 600000000)"),
        value("convert_to(repeat('x', 540000000), 'UTF8')"),
        line(LONGEST_LINE + 1),
    ] {
        site.sql(&format!("SET client_min_messages = warning; DROP TABLE IF EXISTS long; {table}"));
        let message = try_check(&mut site.cluster.client(APP), "long").expect_err(&table);
        assert!(is_too_long(&message), "{table}: {message}");
        for encoder in ["auto", "copy"] {
            site.sql(&format!("ALTER DATABASE {APP} SET walwarden.encoder = '{encoder}'"));
            let row = await_end(&site.cluster, APP, &run_now(&site.cluster, APP, ""));
            assert_eq!(text(&row, "state"), "failed", "{encoder}, {table}: {row:#}");
            assert!(is_too_long(&row.to_string()), "{encoder}, {table}: {row:#}");
        }
    }
}

/// What our encoder says of a text of 1 GiB, and what the server does (stringinfo.c, mcxt.c).
fn is_too_long(message: &str) -> bool {
    [
        "longer than COPY can write",
        "out of memory",
        "string buffer exceeds",
        "invalid memory alloc request size",
    ]
    .iter()
    .any(|part| message.contains(part))
}
