//! Symbols of the server that pgrx's bindings lack, or wrap in a guard that must not run in a signal handler.

use pgrx::pg_sys;
use std::os::raw::{c_char, c_int};

/// `PQcommMethods` of src/include/libpq/libpq.h; the same from 15 to 18.
#[repr(C)]
pub struct PqCommMethods {
    /// Forget what is being sent.
    pub comm_reset: unsafe extern "C-unwind" fn(),
    /// Send what is buffered; 0 when done, EOF when the peer is gone.
    pub flush: unsafe extern "C-unwind" fn() -> c_int,
    /// The same without waiting.
    pub flush_if_writable: unsafe extern "C-unwind" fn() -> c_int,
    /// Whether anything is buffered.
    pub is_send_pending: unsafe extern "C-unwind" fn() -> bool,
    /// Send one protocol message; 0 when done, EOF when the peer is gone.
    pub putmessage: unsafe extern "C-unwind" fn(c_char, *const c_char, usize) -> c_int,
    /// The same without waiting.
    pub putmessage_noblock: unsafe extern "C-unwind" fn(c_char, *const c_char, usize),
}

unsafe extern "C-unwind" {
    /// Where protocol messages of this process go (src/backend/libpq/pqcomm.c).
    pub static mut PqCommMethods: *const PqCommMethods;
}

unsafe extern "C" {
    /// The SIGTERM handler of ordinary backends (src/backend/tcop/postgres.c): ends the process at the next
    /// check for interrupts. pgrx's `die` is a guarded wrapper and cannot be a signal handler.
    pub fn die(signal: c_int);
    /// Wake a process; safe in a signal handler (src/backend/storage/ipc/latch.c).
    pub fn SetLatch(latch: *mut pg_sys::Latch);
}
