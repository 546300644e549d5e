//! COPY FROM, fed by a closure instead of a client: rows go from memory into a table without a socket.
//!
//! The way of logical replication's first copy (copy_table in src/backend/replication/logical/tablesync.c), with the
//! columns of the statement.

use super::new_table::Target;
use super::role::as_restricted;
use super::statement;
use pgrx::memcxt::PgMemoryContexts;
use pgrx::{pg_guard, pg_sys};
use std::cell::RefCell;
use std::ffi::CString;
use std::os::raw::{c_int, c_void};
use walwarden_core::{Error, Result};

/// Fills a buffer with COPY text and tells how much of it; 0 is the end.
type TextSource<'a> = dyn FnMut(&mut [u8]) -> Result<usize> + 'a;

thread_local! {
    /// Where text comes from while a COPY runs. Only the main thread ever sets it.
    static SOURCE: RefCell<Option<*mut TextSource<'static>>> = const { RefCell::new(None) };
}

/// Gives COPY at least `least` bytes and at most `most`, fewer only at the end (copyfromparse.c: CopyGetData).
#[pg_guard]
unsafe extern "C-unwind" fn give_text(buffer: *mut c_void, least: c_int, most: c_int) -> c_int {
    let (least, most) = (usize::try_from(least).unwrap_or(0), usize::try_from(most).unwrap_or(0));
    // SAFETY: COPY passes a buffer of `most` bytes that lives for the call; its bytes are only written.
    let buffer = unsafe { std::slice::from_raw_parts_mut(buffer.cast::<u8>(), most) };
    let outcome = SOURCE.with_borrow(|source| {
        let Some(source) = source else { return Ok(0) };
        let mut filled = 0;
        while filled < least.max(1) && filled < most {
            // SAFETY: the pointer was set by `copy_in`, whose closure outlives the COPY that is calling us.
            match unsafe { (**source)(&mut buffer[filled..]) }? {
                0 => break,
                length => filled += length,
            }
        }
        Ok(filled)
    });
    match outcome {
        // At most `most`, which was a c_int.
        Ok(filled) => filled as c_int,
        Err(error) => crate::error::raise(error),
    }
}

/// Takes the source away again, also when COPY failed.
struct Fed;

impl Fed {
    fn by(source: &mut TextSource<'_>) -> Self {
        let source: *mut TextSource<'_> = source;
        // SAFETY: only the lifetime changes; `Fed` is dropped, and the pointer forgotten, before the closure that it
        // points to.
        let source: *mut TextSource<'static> = unsafe { std::mem::transmute(source) };
        SOURCE.set(Some(source));
        Self
    }
}

impl Drop for Fed {
    fn drop(&mut self) {
        SOURCE.set(None);
    }
}

/// Run one `COPY ... FROM stdin` statement, which is in the database's encoding as its text is, on what `source` gives: into
/// the table that it names, or into another one with the same columns. Returns the number of rows.
///
/// Must run inside a transaction with an active snapshot. PostgreSQL's errors are raised, not returned; an error of the
/// source is raised too.
pub fn copy_in(statement: &[u8], into: Option<&Target>, source: &mut TextSource<'_>) -> Result<u64> {
    // SAFETY: nothing allocated inside leaves it but a number; the context is put back also when an error unwinds.
    unsafe { PgMemoryContexts::new("walwarden load").switch_to(|_| run_copy(statement, into, source)) }
}

fn run_copy(statement: &[u8], into: Option<&Target>, source: &mut TextSource<'_>) -> Result<u64> {
    let text = CString::new(statement).map_err(|_| Error::internal("a COPY statement holds a zero byte"))?;
    let copy = parse_copy(&text)?;
    let _fed = Fed::by(source);
    // SAFETY: the nodes live in the current memory context; the source is there until COPY has ended.
    unsafe {
        if let Some(target) = into {
            target.put_into((*copy).relation);
        }
        let rows = copy_as_owner(copy, Some(give_text))?;
        // Later pieces of this transaction see what this one did to the catalogs (TOAST tables, statistics).
        pg_sys::CommandCounterIncrement();
        Ok(rows)
    }
}

/// Run a COPY into a table, from a callback or else from the client: nobody's permission is looked at, and whatever the table's
/// owner has put into its constraints, domains, generated columns and triggers runs with that owner's rights, as with logical
/// replication (SwitchToUntrustedUser in usercontext.c). Gives the number of rows.
///
/// Must run inside a transaction with an active snapshot. PostgreSQL's errors are raised.
///
/// # Safety
/// `copy` must be a live node with a table, without a WHERE.
pub(super) unsafe fn copy_as_owner(
    copy: *mut pg_sys::CopyStmt,
    source: pg_sys::copy_data_source_cb,
) -> Result<u64> {
    // SAFETY: the relation is locked by us and closed, keeping the lock, after COPY has ended; where it fails the
    // transaction ends and closes it.
    unsafe {
        let lock = pg_sys::RowExclusiveLock as i32;
        let relation = pg_sys::table_openrv((*copy).relation, lock);
        let rows = as_restricted((*(*relation).rd_rel).relowner, || {
            let state = pg_sys::make_parsestate(std::ptr::null_mut());
            pg_sys::addRangeTableEntryForRelation(state, relation, lock, std::ptr::null_mut(), false, false);
            let copying = pg_sys::BeginCopyFrom(
                state,
                relation,
                std::ptr::null_mut(),
                std::ptr::null(),
                false,
                source,
                (*copy).attlist,
                (*copy).options,
            );
            let rows = pg_sys::CopyFrom(copying);
            pg_sys::EndCopyFrom(copying);
            pg_sys::free_parsestate(state);
            Ok(rows)
        })?;
        pg_sys::table_close(relation, pg_sys::NoLock as i32);
        Ok(rows)
    }
}

/// Parse the statement and make sure that it is one COPY from the client and nothing else.
fn parse_copy(text: &CString) -> Result<*mut pg_sys::CopyStmt> {
    let copy = statement::parse_copy(text)?;
    // SAFETY: the node is live.
    unsafe {
        let from_client = (*copy).is_from && !(*copy).is_program && (*copy).filename.is_null();
        if !from_client || (*copy).relation.is_null() || !(*copy).whereClause.is_null() {
            return Err(Error::internal("a COPY that does not come from the client"));
        }
        Ok(copy)
    }
}
