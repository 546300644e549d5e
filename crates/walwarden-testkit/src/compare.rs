//! Whether two databases hold the same: by the text that stock `pg_dump` writes of them.
//!
//! The text is compared as it is, less what differs from run to run and less walwarden itself, which is in the source
//! and must not be in the restored database. Rows of a table may stand in another order: a table has none.

use crate::cluster::Cluster;
use std::collections::HashMap;
use std::process::Command;

const DIFF_LINES: usize = 120;
const DIFF_WIDTH: usize = 240;

/// Compares what `pg_dump` says of two databases.
///
/// # Errors
/// With the differences, as `diff -u` shows them, cut to a readable length.
pub fn compare_databases(
    source: &Cluster,
    source_database: &str,
    restored: &Cluster,
    restored_database: &str,
) -> Result<(), String> {
    let nothing: [&str; 0] = [];
    let left = source.pg_dump(source_database, &nothing);
    let right = restored.pg_dump(restored_database, &nothing);
    if left == right {
        return Ok(());
    }
    let (left, right) = (normalized_dump(&left), normalized_dump(&right));
    if left == right { Ok(()) } else { Err(diff(&left, &right)) }
}

/// Asserts that two databases of one cluster hold the same.
///
/// # Panics
/// With the differences.
pub fn assert_same_database(cluster: &Cluster, source_database: &str, restored_database: &str) {
    if let Err(difference) = compare_databases(cluster, source_database, cluster, restored_database) {
        panic!("{restored_database} differs from {source_database}:\n{difference}");
    }
}

/// A dump's text with the rows of every table sorted and without walwarden's own objects.
///
/// Partitions that `pg_dump` loads through their root, because where a row belongs may differ in the other database,
/// have their rows together at the first of them.
#[must_use]
pub fn normalized_dump(dump: &[u8]) -> Vec<u8> {
    let mut kept: Vec<&[u8]> = Vec::new();
    let mut rows: HashMap<&[u8], Vec<&[u8]>> = HashMap::new();
    let mut skipping = false;
    let mut in_data = false;
    let mut lines = dump.split_inclusive(|byte| *byte == b'\n').peekable();
    while let Some(line) = lines.next() {
        // An entry begins with "--", then its name, then "--".
        if line == b"--\n"
            && let Some(header) = lines.peek().filter(|next| is_header(next))
        {
            skipping = is_walwarden(header);
            in_data = header.starts_with(b"-- Data for Name: ");
        }
        // Not of this entry: what the next one needs (SET default_tablespace) stands before its header.
        skipping = skipping && !line.starts_with(b"SET ");
        if !skipping {
            kept.push(line);
        }
        if in_data && is_copy(line) {
            let of_table = rows.entry(line).or_default();
            while let Some(row) = lines.next_if(|row| *row != b"\\.\n") {
                of_table.push(row);
            }
        }
    }
    let mut text = Vec::with_capacity(dump.len());
    for line in kept {
        text.extend_from_slice(line);
        let mut of_table = rows.remove(line).unwrap_or_default();
        of_table.sort_unstable();
        of_table.iter().for_each(|row| text.extend_from_slice(row));
    }
    text
}

fn is_copy(line: &[u8]) -> bool {
    line.starts_with(b"COPY ") && line.ends_with(b" FROM stdin;\n")
}

/// Removes the lines that two dumps of one database differ in: the versions and the random key of `\restrict`.
pub(crate) fn without_volatile_lines(dump: &[u8]) -> Vec<u8> {
    const VOLATILE: [&[u8]; 4] = [
        b"\\restrict ",
        b"\\unrestrict ",
        b"-- Dumped from database version ",
        b"-- Dumped by pg_dump version ",
    ];
    let lines = dump.split_inclusive(|byte| *byte == b'\n');
    lines.filter(|line| !VOLATILE.iter().any(|start| line.starts_with(start))).flatten().copied().collect()
}

fn is_header(line: &[u8]) -> bool {
    const STARTS: [&[u8]; 3] = [b"-- Name: ", b"-- Data for Name: ", b"-- PostgreSQL database dump complete"];
    STARTS.iter().any(|start| line.starts_with(start))
}

fn is_walwarden(header: &[u8]) -> bool {
    const OWN: [&[u8]; 4] = [
        b"-- Name: walwarden; Type: EXTENSION;",
        b"-- Name: EXTENSION walwarden; Type: COMMENT;",
        b"-- Name: walwarden; Type: SCHEMA;",
        b"-- Name: SCHEMA walwarden; Type: ",
    ];
    let inside = b"; Schema: walwarden;";
    OWN.iter().any(|own| header.starts_with(own))
        || header.windows(inside.len()).any(|window| window == inside)
}

fn diff(left: &[u8], right: &[u8]) -> String {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (source, restored) = (folder.path().join("source"), folder.path().join("restored"));
    std::fs::write(&source, left).expect("our own folder");
    std::fs::write(&restored, right).expect("our own folder");
    let mut command = Command::new("diff");
    command.args([
        "--text",
        "-U2",
        "--show-function-line=^-- .*Name: ",
        "--label=source",
        "--label=restored",
    ]);
    let output =
        command.arg(&source).arg(&restored).output().unwrap_or_else(|e| panic!("cannot run diff: {e}"));
    let text = String::from_utf8_lossy(&output.stdout);
    let mut shown: Vec<String> =
        text.lines().take(DIFF_LINES).map(|line| line.chars().take(DIFF_WIDTH).collect()).collect();
    let hidden = text.lines().count().saturating_sub(DIFF_LINES);
    if hidden > 0 {
        shown.push(format!("({hidden} more lines)"));
    }
    shown.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const DUMP: &str = "\\restrict abc\n--\n-- Name: walwarden; Type: EXTENSION; Schema: -; Owner: -\n--\n\nCREATE EXTENSION walwarden;\n\n\n\
        SET default_tablespace = '';\n\n\
        --\n-- Name: t; Type: TABLE; Schema: public; Owner: x\n--\n\nCREATE TABLE public.t (a text);\n\n\
        --\n-- Data for Name: storage; Type: TABLE DATA; Schema: walwarden; Owner: x\n--\n\n\
        COPY walwarden.storage (name) FROM stdin;\nlocal\n\\.\n\n\
        --\n-- Data for Name: t; Type: TABLE DATA; Schema: public; Owner: x\n--\n\n\
        COPY public.t (a) FROM stdin;\nb\n--\n-- Name: walwarden; Type: EXTENSION; \na\n\\.\n\n\
        --\n-- Name: SCHEMA walwarden; Type: ACL; Schema: -; Owner: x\n--\n\nGRANT USAGE ON SCHEMA walwarden TO y;\n\n\n\
        --\n-- PostgreSQL database dump complete\n--\n\n";

    #[test]
    fn sorts_rows_and_leaves_walwarden_out() {
        let text = String::from_utf8(normalized_dump(&without_volatile_lines(DUMP.as_bytes()))).unwrap();
        assert_eq!(
            text,
            "SET default_tablespace = '';\n\n\
            --\n-- Name: t; Type: TABLE; Schema: public; Owner: x\n--\n\nCREATE TABLE public.t (a text);\n\n\
            --\n-- Data for Name: t; Type: TABLE DATA; Schema: public; Owner: x\n--\n\n\
            COPY public.t (a) FROM stdin;\n--\n-- Name: walwarden; Type: EXTENSION; \na\nb\n\\.\n\n\
            --\n-- PostgreSQL database dump complete\n--\n\n"
        );
    }

    #[test]
    fn shows_what_differs() {
        let difference = diff(b"--\n-- Name: t; x\n1\n2\n3\n4\n", b"--\n-- Name: t; x\n1\n2\n3\n5\n");
        assert!(
            difference.contains("-4") && difference.contains("+5") && difference.contains("Name: t"),
            "{difference}"
        );
    }
}
