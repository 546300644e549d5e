//! COPY ... TO STDOUT inside this process, without a socket: the rows go to a closure.
//!
//! COPY hands every row to the process's protocol methods (`PqCommMethods`). For the time of one statement they are
//! swapped for ours, which keep the CopyData messages and swallow the rest. The same on 15 to 18; the statement runs
//! through ProcessUtility, so that hooks of other extensions see it.

use super::raw::{self, PqCommMethods};
use super::statement;
use pgrx::{PgMemoryContexts, pg_guard, pg_sys};
use std::cell::RefCell;
use std::ffi::CString;
use std::os::raw::{c_char, c_int};
use walwarden_core::{Error, Result};

type RowSink<'a> = dyn FnMut(&[u8]) -> Result<()> + 'a;

thread_local! {
    /// Where rows go while a COPY runs. Only the main thread ever sets it.
    static SINK: RefCell<Option<*mut RowSink<'static>>> = const { RefCell::new(None) };
}

static METHODS: PqCommMethods = PqCommMethods {
    comm_reset: ignore,
    flush: nothing_to_flush,
    flush_if_writable: nothing_to_flush,
    is_send_pending: nothing_pending,
    putmessage: put_message,
    putmessage_noblock: put_message_noblock,
};

unsafe extern "C-unwind" fn ignore() {}

unsafe extern "C-unwind" fn nothing_to_flush() -> c_int {
    0
}

unsafe extern "C-unwind" fn nothing_pending() -> bool {
    false
}

unsafe extern "C-unwind" fn put_message_noblock(_: c_char, _: *const c_char, _: usize) {}

/// CopyData goes to the sink; what else the statement says (CopyOutResponse, CopyDone, notices) has no reader.
#[pg_guard]
unsafe extern "C-unwind" fn put_message(kind: c_char, bytes: *const c_char, length: usize) -> c_int {
    if kind as u8 != b'd' || length == 0 {
        return 0;
    }
    // SAFETY: COPY passes a buffer of `length` bytes that lives for the call.
    let row = unsafe { std::slice::from_raw_parts(bytes.cast::<u8>(), length) };
    let outcome = SINK.with_borrow(|sink| match sink {
        // SAFETY: the pointer was set by `copy_out`, whose closure outlives the statement that is calling us.
        Some(sink) => unsafe { (**sink)(row) },
        None => Ok(()),
    });
    if let Err(error) = outcome {
        crate::error::raise(error);
    }
    0
}

/// Puts the process's own protocol methods back, also when the statement failed. Touches plain globals only.
struct Swapped {
    methods: *const PqCommMethods,
    destination: pg_sys::CommandDest::Type,
}

impl Swapped {
    fn swap(sink: &mut RowSink<'_>) -> Self {
        let sink: *mut RowSink<'_> = sink;
        // SAFETY: only the lifetime changes; `Swapped` is dropped, and the pointer forgotten, before the closure
        // that it points to.
        let sink: *mut RowSink<'static> = unsafe { std::mem::transmute(sink) };
        SINK.set(Some(sink));
        // SAFETY: globals of this process, used by the main thread only; METHODS is static.
        unsafe {
            let swapped = Self { methods: raw::PqCommMethods, destination: pg_sys::whereToSendOutput };
            raw::PqCommMethods = &raw const METHODS;
            pg_sys::whereToSendOutput = pg_sys::CommandDest::DestRemote;
            swapped
        }
    }
}

impl Drop for Swapped {
    fn drop(&mut self) {
        // SAFETY: as in `swap`.
        unsafe {
            raw::PqCommMethods = self.methods;
            pg_sys::whereToSendOutput = self.destination;
        }
        SINK.set(None);
    }
}

/// Run one COPY ... TO STDOUT statement, in the database's encoding, and give each of its rows, newline included, to
/// `sink`. Returns the number of rows.
///
/// Must run inside a transaction with an active snapshot. PostgreSQL's errors are raised, not returned; an error of
/// the sink is raised too.
pub fn copy_out(statement: &[u8], sink: &mut RowSink<'_>) -> Result<u64> {
    // What a statement leaves behind goes with it: a transaction runs thousands of them.
    // SAFETY: nothing allocated inside leaves it but a number; the context is put back also when an error unwinds.
    unsafe { PgMemoryContexts::new("walwarden copy").switch_to(|_| run_copy(statement, sink)) }
}

fn run_copy(copy: &[u8], sink: &mut RowSink<'_>) -> Result<u64> {
    let text = CString::new(copy).map_err(|_| Error::internal("a COPY statement holds a zero byte"))?;
    let copy = parse_copy(&text)?;
    let _swapped = Swapped::swap(sink);
    // SAFETY: the node and the text live in the current memory context and this frame; COPY speaks to the protocol methods
    // directly.
    Ok(unsafe {
        statement::run_utility(copy, &text, pg_sys::ProcessUtilityContext::PROCESS_UTILITY_TOPLEVEL)
    })
}

/// Parse the statement and make sure that it is one COPY to the client and nothing else.
fn parse_copy(text: &CString) -> Result<*mut pg_sys::Node> {
    let copy = statement::parse_copy(text)?;
    // SAFETY: the node is live.
    unsafe {
        if (*copy).is_from || (*copy).is_program || !(*copy).filename.is_null() {
            return Err(Error::internal("a COPY that does not go to the client"));
        }
    }
    Ok(copy.cast())
}
