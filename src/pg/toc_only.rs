//! pg_dump's own session asks for the table of contents only: every COPY to the client is answered with one row that
//! carries the statement itself. `walwarden.toc_only` is a secret that the leader makes up for the pg_dump it starts;
//! it stands in that row, so that no row of a table can ever be taken for a statement.
//!
//! So pg_dump decides which tables there are and with which columns and filters, and walwarden runs those statements,
//! whole or for some of a table's blocks, in parallel and under the same snapshot. pg_dump's LOCK TABLE is answered
//! without locking, and the session joins the copiers' lock group before its first transaction takes a lock.

use super::utility::UtilityCall;
use super::{lock_group, raw};
use pgrx::guc::{GucContext, GucFlags, GucRegistry, GucSetting};
use pgrx::{pg_guard, pg_sys};
use std::ffi::{CStr, CString};
use std::os::raw::{c_char, c_void};
use std::sync::atomic::{AtomicBool, Ordering};
use walwarden_core::archive::statement::statement_row;

static mut PREVIOUS: pg_sys::ProcessUtility_hook_type = None;
static INSTALLED: AtomicBool = AtomicBool::new(false);

/// Define the setting that holds the secret. Only a session that sets it gets the hook: utility statements of all
/// others are none of our business.
pub fn define_setting(
    name: &'static CStr,
    short_description: &'static CStr,
    long_description: &'static CStr,
    setting: &'static GucSetting<Option<CString>>,
) {
    // SAFETY: the assign hook has the signature PostgreSQL expects and only installs our own hook.
    unsafe {
        GucRegistry::define_string_guc_with_hooks(
            name,
            short_description,
            long_description,
            setting,
            GucContext::Suset,
            GucFlags::NO_SHOW_ALL | GucFlags::SUPERUSER_ONLY,
            None,
            Some(assign),
            None,
        );
    }
}

unsafe extern "C-unwind" fn assign(value: *const c_char, _: *mut c_void) {
    // SAFETY: PostgreSQL passes the new value, zero-terminated or null; globals of this process on its main thread.
    unsafe {
        if value.is_null() || *value == 0 || INSTALLED.swap(true, Ordering::Relaxed) {
            return;
        }
        PREVIOUS = pg_sys::ProcessUtility_hook;
        pg_sys::ProcessUtility_hook = Some(process_utility);
    }
}

#[pg_guard]
#[allow(clippy::too_many_arguments, reason = "the signature is PostgreSQL's")]
unsafe extern "C-unwind" fn process_utility(
    planned: *mut pg_sys::PlannedStmt,
    text: *const c_char,
    read_only_tree: bool,
    context: pg_sys::ProcessUtilityContext::Type,
    parameters: pg_sys::ParamListInfo,
    environment: *mut pg_sys::QueryEnvironment,
    destination: *mut pg_sys::DestReceiver,
    completion: *mut pg_sys::QueryCompletion,
) {
    let call = UtilityCall {
        planned,
        text,
        read_only_tree,
        context,
        parameters,
        environment,
        destination,
        completion,
    };
    // SAFETY: PostgreSQL passes a live plan and its source text.
    unsafe {
        if is_transaction((*planned).utilityStmt) {
            // Here, because the session holds no lock between transactions. A second try does nothing.
            lock_group::join(crate::guc::LOCK_GROUP.get());
        } else if let Some(secret) = crate::guc::text(&crate::guc::TOC_ONLY)
            && let Some(tag) = answer((*planned).utilityStmt, &secret, || statement_text(planned, text))
        {
            call.complete(tag, 1);
            return;
        }
        call.pass_on(PREVIOUS);
    }
}

/// Answer a statement in PostgreSQL's place, if it is one of those that are: the tag it completes with.
///
/// # Safety
/// `statement` must be a live node.
unsafe fn answer<'a>(
    statement: *mut pg_sys::Node,
    secret: &str,
    text: impl FnOnce() -> &'a [u8],
) -> Option<pg_sys::CommandTag::Type> {
    // SAFETY: by the caller.
    unsafe {
        if is_copy_to_client(statement) {
            answer_with_statement(secret, text());
            return Some(pg_sys::CommandTag::CMDTAG_COPY);
        }
        // The first copier holds these locks since before the snapshot; the lock table has room for them once.
        is_lock_of_tables(statement).then_some(pg_sys::CommandTag::CMDTAG_LOCK_TABLE)
    }
}

/// # Safety
/// `statement` must be a live node.
unsafe fn is_copy_to_client(statement: *mut pg_sys::Node) -> bool {
    // SAFETY: the tag is checked before the cast.
    unsafe {
        if statement.is_null() || (*statement).type_ != pg_sys::NodeTag::T_CopyStmt {
            return false;
        }
        let copy = statement.cast::<pg_sys::CopyStmt>();
        !(*copy).is_from && !(*copy).is_program && (*copy).filename.is_null()
    }
}

/// # Safety
/// `statement` must be a live node.
unsafe fn is_lock_of_tables(statement: *mut pg_sys::Node) -> bool {
    // SAFETY: the tag is checked before the cast; the caller's node is live.
    unsafe {
        !statement.is_null()
            && (*statement).type_ == pg_sys::NodeTag::T_LockStmt
            && (*statement.cast::<pg_sys::LockStmt>()).mode == pg_sys::AccessShareLock as i32
    }
}

/// # Safety
/// `statement` must be a live node.
unsafe fn is_transaction(statement: *mut pg_sys::Node) -> bool {
    // SAFETY: by the caller.
    unsafe { !statement.is_null() && (*statement).type_ == pg_sys::NodeTag::T_TransactionStmt }
}

/// The part of the source text that is this statement, without a final semicolon.
///
/// # Safety
/// `planned` and `text` must be what ProcessUtility was given.
unsafe fn statement_text<'a>(planned: *mut pg_sys::PlannedStmt, text: *const c_char) -> &'a [u8] {
    // SAFETY: the text is zero-terminated; location and length lie inside it by the parser (stmt_len 0 is the rest).
    let (whole, start, length) =
        unsafe { (CStr::from_ptr(text).to_bytes(), (*planned).stmt_location, (*planned).stmt_len) };
    let start = usize::try_from(start).unwrap_or(0).min(whole.len());
    let end = match usize::try_from(length) {
        Ok(length) if length > 0 => (start + length).min(whole.len()),
        _ => whole.len(),
    };
    let statement = whole.get(start..end).unwrap_or(whole).trim_ascii();
    statement.strip_suffix(b";").unwrap_or(statement)
}

/// The messages of a COPY of one row: CopyOutResponse in text format with no columns, CopyData, CopyDone.
fn answer_with_statement(secret: &str, statement: &[u8]) {
    let row = statement_row(secret, statement);
    put(b'H', &[0, 0, 0]);
    put(b'd', &row);
    put(b'c', &[]);
}

fn put(kind: u8, bytes: &[u8]) {
    // SAFETY: the methods of a session with a client stand as long as it does; the buffer outlives the call, and
    // the boundary turns an error of the C function into an unwind.
    unsafe {
        let methods = &*raw::PqCommMethods;
        pg_sys::ffi::pg_guard_ffi_boundary(|| {
            (methods.putmessage)(kind as c_char, bytes.as_ptr().cast(), bytes.len());
        });
    }
}
