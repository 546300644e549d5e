//! Statements as the nodes of PostgreSQL's parser, and how those that are no queries are run.

use pgrx::{PgList, pg_sys};
use std::ffi::CStr;
use walwarden_core::{Error, Result};

/// The statements of a text. The nodes live in the current memory context; what cannot be parsed is raised.
pub(super) fn parse(text: &CStr) -> PgList<pg_sys::RawStmt> {
    // SAFETY: the text is zero-terminated; pg_parse_query gives a list of RawStmt nodes.
    unsafe { PgList::from_pg(pg_sys::pg_parse_query(text.as_ptr())) }
}

/// The statement of a text that must be one of this kind and nothing else; `kind` says so in the error.
pub(super) fn parse_one(text: &CStr, tag: pg_sys::NodeTag, kind: &str) -> Result<*mut pg_sys::Node> {
    let list = parse(text);
    // SAFETY: the nodes are live.
    unsafe {
        let statement = match (list.len(), list.get_ptr(0)) {
            (1, Some(raw)) => (*raw).stmt,
            _ => return Err(Error::internal(format!("not exactly one statement where {kind} was due"))),
        };
        if (*statement).type_ != tag {
            return Err(Error::internal(format!("another statement where {kind} was due")));
        }
        Ok(statement)
    }
}

/// A text that must be one COPY statement and nothing else.
pub(super) fn parse_copy(text: &CStr) -> Result<*mut pg_sys::CopyStmt> {
    parse_one(text, pg_sys::NodeTag::T_CopyStmt, "a COPY").map(<*mut pg_sys::Node>::cast)
}

/// Run a utility statement as part of the open transaction; gives the number of rows that it processed.
///
/// # Safety
/// The node must be a live utility statement, which came of this text.
pub(super) unsafe fn run_utility(
    node: *mut pg_sys::Node,
    text: &CStr,
    context: pg_sys::ProcessUtilityContext::Type,
) -> u64 {
    // SAFETY: the PlannedStmt is built as pg_plan_queries does for utility statements (postgres.c), in the current memory
    // context; no parameters; DestNone swallows what there is no output of.
    unsafe {
        let planned = pg_sys::palloc0(size_of::<pg_sys::PlannedStmt>()).cast::<pg_sys::PlannedStmt>();
        (*planned).type_ = pg_sys::NodeTag::T_PlannedStmt;
        (*planned).commandType = pg_sys::CmdType::CMD_UTILITY;
        (*planned).canSetTag = true;
        (*planned).utilityStmt = node;
        (*planned).stmt_location = 0;
        (*planned).stmt_len = 0;
        let mut completion: pg_sys::QueryCompletion = std::mem::zeroed();
        pg_sys::ProcessUtility(
            planned,
            text.as_ptr(),
            false,
            context,
            std::ptr::null_mut(),
            std::ptr::null_mut(),
            pg_sys::CreateDestReceiver(pg_sys::CommandDest::DestNone),
            &raw mut completion,
        );
        completion.nprocessed
    }
}
