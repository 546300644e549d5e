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

/// `FLOAT_SHORTEST_DECIMAL_LEN` of src/include/common/shortest_dec.h.
pub const FLOAT_SHORTEST_DECIMAL_LEN: usize = 16;
/// `DOUBLE_SHORTEST_DECIMAL_LEN` of the same file.
pub const DOUBLE_SHORTEST_DECIMAL_LEN: usize = 25;

unsafe extern "C" {
    /// The shortest decimal form that gives the same number, without a zero at its end; gives its length
    /// (src/common/f2s.c). Raises nothing.
    pub fn float_to_shortest_decimal_bufn(value: f32, result: *mut c_char) -> c_int;
    /// The same of a double (src/common/d2s.c).
    pub fn double_to_shortest_decimal_bufn(value: f64, result: *mut c_char) -> c_int;
}
