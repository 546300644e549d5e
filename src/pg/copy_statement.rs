//! COPY statements that pg_dump wrote, as PostgreSQL's nodes.

use pgrx::pg_sys;
use std::ffi::CString;
use walwarden_core::{Error, Result};

/// Parse a text that must be one COPY statement and nothing else. The node lives in the current memory context.
pub(super) fn parse(text: &CString) -> Result<*mut pg_sys::CopyStmt> {
    // SAFETY: pg_parse_query gives a list of RawStmt nodes in the current memory context; node tags are checked before
    // each cast.
    unsafe {
        let list = pg_sys::pg_parse_query(text.as_ptr());
        let parsed: pgrx::PgList<pg_sys::RawStmt> = pgrx::PgList::from_pg(list);
        let statement = match (parsed.len(), parsed.get_ptr(0)) {
            (1, Some(raw)) => (*raw).stmt,
            _ => return Err(Error::internal("not exactly one statement where a COPY was due")),
        };
        if (*statement).type_ != pg_sys::NodeTag::T_CopyStmt {
            return Err(Error::internal("another statement where a COPY was due"));
        }
        Ok(statement.cast::<pg_sys::CopyStmt>())
    }
}
