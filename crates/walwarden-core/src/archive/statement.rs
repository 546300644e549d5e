//! The COPY statement that comes in place of a table's rows.
//!
//! pg_dump runs with a hook in its session that answers every `COPY ... TO STDOUT` with one row, which carries the
//! statement's own text. So the block pg_dump writes for a table is that row and pg_dump's terminator; the column
//! list, the order of columns and a filter are pg_dump's own decision. The row carries a secret made for this one
//! pg_dump, so that no row of a user's table can pass for a statement.

use crate::error::{Error, ErrorClass, Result};

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
}
