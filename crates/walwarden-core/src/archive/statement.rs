//! The COPY statement that comes in place of a table's rows.
//!
//! pg_dump runs with a hook in its session that answers every `COPY ... TO STDOUT` with one row, which carries the
//! statement's own text. So the block pg_dump writes for a table is that row and pg_dump's terminator; the column
//! list, the order of columns and a filter are pg_dump's own decision. The row carries a secret made for this one
//! pg_dump, so that no row of a user's table can pass for a statement.

use super::definition::QualifiedName;
use super::plan::Blocks;
use super::rename::quoted;
use super::token::unquoted;
use crate::error::{Error, ErrorClass, Result};

const COPY: &[u8] = b"COPY ";

/// Begins the one row that stands for a table's rows.
pub const STATEMENT_MARKER: &[u8] = b"-- walwarden copies this table: ";

/// Ends the plaintext of every table's block (pg_dump.c: dumpTableData_copy): the end of COPY data, for a
/// restore through psql.
pub const TERMINATOR: &[u8] = b"\\.\n\n\n";

/// The row that stands for a table's rows.
pub fn statement_row(secret: &str, statement: &[u8]) -> Vec<u8> {
    [STATEMENT_MARKER, secret.as_bytes(), b" ", statement, b"\n"].concat()
}

/// The statement a block's plaintext carries. Everything between the secret and the end belongs to it: a column's
/// name may hold newlines, and nothing is escaped.
pub fn statement_from_block<'a>(secret: &str, plaintext: &'a [u8]) -> Result<&'a [u8]> {
    plaintext
        .strip_prefix(STATEMENT_MARKER)
        .and_then(|rest| rest.strip_prefix(secret.as_bytes()))
        .and_then(|rest| rest.strip_prefix(b" "))
        .and_then(|rest| rest.strip_suffix(TERMINATOR))
        .and_then(|rest| rest.strip_suffix(b"\n"))
        .filter(|statement| !statement.is_empty())
        .ok_or_else(|| {
            // Not what the block holds: it may be a user's data.
            Error::new(ErrorClass::Archive, "pg_dump delivered rows where a COPY statement was due").hint(
                "Another extension answered COPY before walwarden could. Put walwarden last in shared_preload_libraries.",
            )
        })
}

/// Whether the statement copies all rows of a table, in the form `COPY schema.table (columns) TO stdout`: not a query,
/// not a table without columns.
pub fn is_of_a_whole_table(statement: &[u8]) -> bool {
    relation_and_columns(statement).is_some()
}

/// The statement that copies only some blocks of the table that `statement` copies whole; None when it is not of that
/// form. The sampling method is walwarden's own: it gives every row of these blocks.
pub fn statement_of_blocks(statement: &[u8], blocks: Blocks) -> Option<Vec<u8>> {
    let (relation, columns) = relation_and_columns(statement)?;
    // The method takes 64-bit numbers: the end may be beyond what a block's number can be.
    let sample = format!(" TABLESAMPLE walwarden.blocks({}, {})) TO stdout", blocks.first, blocks.end);
    Some([b"COPY (SELECT ", columns, b" FROM ONLY ", relation, sample.as_bytes()].concat())
}

/// The table's name and the column list without its parentheses, as pg_dump writes them (pg_dump.c:
/// dumpTableData_copy). No server encoding has bytes of ASCII inside a longer character.
fn relation_and_columns(statement: &[u8]) -> Option<(&[u8], &[u8])> {
    let (schema, relation) = relation_lengths(statement)?;
    let (relation, rest) = statement.strip_prefix(COPY)?.split_at_checked(schema + 1 + relation)?;
    let columns = rest.strip_prefix(b" (")?.strip_suffix(b") TO stdout")?;
    (!columns.is_empty()).then_some((relation, columns))
}

/// How long the names of the schema and the table are.
fn relation_lengths(statement: &[u8]) -> Option<(usize, usize)> {
    let rest = statement.strip_prefix(COPY)?;
    let schema = identifier_length(rest)?;
    if rest.get(schema) != Some(&b'.') {
        return None;
    }
    Some((schema, identifier_length(rest.get(schema + 1..)?)?))
}

/// The table that a `COPY schema.table ...` is of.
pub(super) fn relation_of(statement: &[u8]) -> Option<QualifiedName> {
    let (schema, relation) = relation_lengths(statement)?;
    let rest = statement.strip_prefix(COPY)?;
    let name = |from: usize, length: usize| Some(unquoted(rest.get(from..from + length)?, b'"'));
    Some(QualifiedName { schema: name(0, schema)?, name: name(schema + 1, relation)? })
}

/// The same statement of another table.
pub(super) fn of_relation(statement: &[u8], schema: &[u8], table: &[u8]) -> Option<Vec<u8>> {
    let (old_schema, old_table) = relation_lengths(statement)?;
    let rest = statement.get(COPY.len() + old_schema + 1 + old_table..)?;
    Some([COPY, &quoted(schema), b".", &quoted(table), rest].concat())
}

/// The columns of a `COPY schema.table (columns) FROM stdin` of an archive, or of the like, in the order of the fields.
///
/// # Errors
/// `Archive` if it is no such statement.
pub fn columns_of(statement: &[u8]) -> Result<Vec<Vec<u8>>> {
    column_list(statement).ok_or_else(|| {
        Error::new(ErrorClass::Archive, "could not find the columns of a table")
            .detail(format!("Its statement is: {}", String::from_utf8_lossy(statement).trim_end()))
    })
}

fn column_list(statement: &[u8]) -> Option<Vec<Vec<u8>>> {
    let (schema, relation) = relation_lengths(statement)?;
    let rest = statement.get(COPY.len() + schema + 1 + relation..)?;
    let mut columns = Vec::new();
    let Some(mut list) = rest.strip_prefix(b" (") else {
        // A table without columns has no list, but the space that was to follow it.
        return (rest.starts_with(b"  FROM ") || rest.starts_with(b"  TO ")).then_some(columns);
    };
    loop {
        let (column, rest) = list.split_at_checked(identifier_length(list)?)?;
        columns.push(unquoted(column, b'"'));
        match rest.strip_prefix(b", ") {
            Some(next) => list = next,
            None => return rest.starts_with(b") ").then_some(columns),
        }
    }
}

/// The length of the identifier that `text` begins with.
fn identifier_length(text: &[u8]) -> Option<usize> {
    if text.first() != Some(&b'"') {
        let is_part = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'$' | 0x80..);
        let length = text.iter().take_while(|byte| is_part(byte)).count();
        return (length > 0).then_some(length);
    }
    let mut at = 1;
    loop {
        at += text.get(at..)?.iter().position(|byte| *byte == b'"')? + 1;
        // A doubled quote belongs to the name.
        if text.get(at) != Some(&b'"') {
            return Some(at);
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "0123abcd";

    fn block(statement: &str) -> Vec<u8> {
        [statement_row(SECRET, statement.as_bytes()).as_slice(), TERMINATOR].concat()
    }

    #[test]
    fn a_statement_is_taken_exactly() {
        for statement in ["COPY s.t (a) TO stdout;", "COPY s.t (\"a\nb\\.\n\n\n\", c) TO stdout", "x"] {
            assert_eq!(statement_from_block(SECRET, &block(statement)).unwrap(), statement.as_bytes());
        }
    }

    #[test]
    fn a_block_of_anything_else_is_refused() {
        let whole = block("COPY s.t (a) TO stdout;");
        for plaintext in
            [&whole[1..], &whole[..whole.len() - 1], TERMINATOR, b"", STATEMENT_MARKER, &block("")]
        {
            assert_eq!(statement_from_block(SECRET, plaintext).unwrap_err().class, ErrorClass::Archive);
        }
    }

    #[test]
    fn a_row_that_does_not_know_the_secret_is_refused() {
        let forged = block("COPY (SELECT evil()) TO stdout");
        assert!(statement_from_block("4567cdef", &forged).is_err());
        assert!(statement_from_block("", &forged).is_err());
    }

    fn of_blocks(statement: &str) -> Option<String> {
        let blocks = Blocks { first: 10, end: u32::MAX };
        statement_of_blocks(statement.as_bytes(), blocks).map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn the_statement_of_a_table_becomes_one_of_its_blocks() {
        for (relation, columns) in [
            ("s.t", "a"),
            ("s1._t$", "a, b"),
            ("\"S\".\"T\"\"(a) TO stdout\"", "\"x, (y)\", \") TO stdout\""),
            ("\"\"\"\".\"\"\"\"\"\"", "\"\"\"\""),
            ("größe.weiß", "maß"),
        ] {
            assert_eq!(
                of_blocks(&format!("COPY {relation} ({columns}) TO stdout")).unwrap(),
                format!(
                    "COPY (SELECT {columns} FROM ONLY {relation} TABLESAMPLE walwarden.blocks(10, 4294967295)) TO stdout"
                )
            );
        }
    }

    #[test]
    fn any_other_statement_stays_whole() {
        for statement in [
            "COPY (SELECT a FROM s.t) TO stdout",
            "COPY s.t  TO stdout",
            "COPY s.t () TO stdout",
            "COPY t (a) TO stdout",
            "COPY s.t (a) TO stdout WITH (FORMAT binary)",
            "COPY s.t (a) FROM stdin",
            "COPY s.\"t (a) TO stdout",
            "COPY S.T (a) TO stdout",
            "COPY s.t",
            "",
        ] {
            assert_eq!(of_blocks(statement), None, "{statement}");
            assert!(!is_of_a_whole_table(statement.as_bytes()));
        }
    }

    fn columns(statement: &str) -> Vec<String> {
        let columns = columns_of(statement.as_bytes()).unwrap();
        columns.into_iter().map(|column| String::from_utf8(column).unwrap()).collect()
    }

    #[test]
    fn columns_are_named_without_quotes() {
        for (statement, names) in [
            ("COPY s.t (a) FROM stdin;\n", vec!["a"]),
            (
                "COPY \"S\".\"T (x\" (a, \"b, c\", \"d) FROM \"\"x\", \"größe\") FROM stdin;\n",
                vec!["a", "b, c", "d) FROM \"x", "größe"],
            ),
            ("COPY s.t (a, b) TO stdout", vec!["a", "b"]),
            ("COPY s.t  FROM stdin;\n", vec![]),
        ] {
            assert_eq!(columns(statement), names, "{statement}");
        }
        for statement in [
            "",
            "COPY s.t",
            "COPY s.t (a",
            "COPY s.t () FROM stdin;",
            "COPY s.t (a b) FROM stdin;",
            "COPY (SELECT 1) TO stdout",
        ] {
            assert_eq!(
                columns_of(statement.as_bytes()).unwrap_err().class,
                ErrorClass::Archive,
                "{statement}"
            );
        }
    }

    #[test]
    fn rows_go_to_another_table() {
        let statement = b"COPY s.\"Root\" (a, \"b c\") FROM stdin;\n";
        assert_eq!(
            relation_of(statement),
            Some(QualifiedName { schema: b"s".to_vec(), name: b"Root".to_vec() })
        );
        let other = of_relation(statement, b"s", b"a\"b").unwrap();
        assert_eq!(other, b"COPY \"s\".\"a\"\"b\" (a, \"b c\") FROM stdin;\n");
    }
}
