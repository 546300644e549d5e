//! What may stop a worker, and waiting so that it can.
//!
//! The leader and the tick must be able to put things right before they go (mark the job, abort the upload), so
//! SIGTERM and SIGINT only raise flags there and cancel the statement that is running. Copiers have nothing to put
//! right: they take PostgreSQL's own `die` and are gone at the next check for interrupts.

use super::caught::caught;
use super::raw;
use super::waker::Waker;
use pgrx::pg_sys;
use std::cell::Cell;
use std::os::raw::c_int;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::{Duration, Instant};
use walwarden_core::{Error, ErrorClass, Result};

static TERMINATE: AtomicBool = AtomicBool::new(false);
static CANCEL: AtomicBool = AtomicBool::new(false);
static RELOAD: AtomicBool = AtomicBool::new(false);
/// What is being settled already, so that its repetition changes nothing: the postmaster signals each process twice,
/// by itself and by its group (signal_child in postmaster.c), and users repeat a cancel.
static SETTLING: AtomicU8 = AtomicU8::new(NOTHING);
const NOTHING: u8 = 0;
const A_CANCEL: u8 = 1;
const THE_END: u8 = 2;

thread_local! {
    /// When the work must be done.
    static DEADLINE: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// The work that begins now must be done within this time, or every wait ends with `TimedOut`; None takes the limit away.
pub fn limit_time(limit: Option<Duration>) {
    DEADLINE.set(limit.and_then(|limit| Instant::now().checked_add(limit)));
}

/// Handlers for a process that ends its work in order: launcher, tick and leader.
pub fn install_orderly() {
    install(libc::SIGTERM, on_terminate);
    install(libc::SIGINT, on_cancel);
    install(libc::SIGHUP, on_reload);
    unblock();
}

/// Handlers for a process that may go at once: copier.
pub fn install_immediate() {
    install(libc::SIGTERM, raw::die);
    install(libc::SIGHUP, on_reload);
    unblock();
}

fn install(signal: c_int, handler: unsafe extern "C" fn(c_int)) {
    // SAFETY: a zeroed sigaction is valid; the handlers are async-signal-safe: they set flags and a latch.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as usize;
        action.sa_flags = libc::SA_RESTART;
        libc::sigemptyset(&mut action.sa_mask);
        libc::sigaction(signal, &action, std::ptr::null_mut());
    }
}

fn unblock() {
    // SAFETY: a worker starts with signals blocked and unblocks them once its handlers stand (bgworker.c).
    unsafe { pg_sys::BackgroundWorkerUnblockSignals() };
}

unsafe extern "C" fn on_terminate(_: c_int) {
    if SETTLING.load(Ordering::SeqCst) == THE_END {
        return;
    }
    TERMINATE.store(true, Ordering::SeqCst);
    interrupt_statement();
}

unsafe extern "C" fn on_cancel(_: c_int) {
    if SETTLING.load(Ordering::SeqCst) != NOTHING {
        return;
    }
    CANCEL.store(true, Ordering::SeqCst);
    interrupt_statement();
}

unsafe extern "C" fn on_reload(_: c_int) {
    RELOAD.store(true, Ordering::SeqCst);
    wake();
}

/// As StatementCancelHandler of postgres.c does: a statement or a lock wait in progress ends with an error.
fn interrupt_statement() {
    // SAFETY: plain stores to sig_atomic_t globals of this process, as PostgreSQL's own handlers do.
    unsafe {
        pg_sys::QueryCancelPending = 1;
        pg_sys::InterruptPending = 1;
    }
    wake();
}

fn wake() {
    // SAFETY: errno is saved as every handler must; MyLatch is this process's latch, set before handlers stand.
    unsafe {
        let saved = *libc::__errno_location();
        raw::SetLatch(pg_sys::MyLatch);
        *libc::__errno_location() = saved;
    }
}

/// Whether an administrator or a shutdown asked this process to end.
pub fn terminate_requested() -> bool {
    TERMINATE.load(Ordering::SeqCst)
}

/// Whether somebody canceled the job (`cancel()` or `pg_cancel_backend`).
pub fn cancel_requested() -> bool {
    CANCEL.load(Ordering::SeqCst)
}

/// Forget what was asked so far, so that the work of putting things right is not itself interrupted.
pub fn acknowledge() {
    SETTLING.store(if terminate_requested() { THE_END } else { A_CANCEL }, Ordering::SeqCst);
    TERMINATE.store(false, Ordering::SeqCst);
    CANCEL.store(false, Ordering::SeqCst);
    forget_statement_cancel();
}

/// What was acknowledged is settled: from here on a request counts again.
pub fn settled() {
    SETTLING.store(NOTHING, Ordering::SeqCst);
}

fn forget_statement_cancel() {
    // SAFETY: a plain store to a sig_atomic_t global of this process.
    unsafe { pg_sys::QueryCancelPending = 0 };
}

/// Fail if this process was asked to stop; otherwise serve what else PostgreSQL wants of it (ProcSignalBarrier,
/// without which DROP DATABASE of any database hangs).
pub fn check() -> Result<()> {
    if terminate_requested() {
        return Err(Error::new(ErrorClass::Terminated, "the process was asked to end")
            .detail("An administrator terminated it, or the server is shutting down."));
    }
    if cancel_requested() {
        return Err(Error::new(ErrorClass::Canceled, "the job was canceled"));
    }
    if DEADLINE.get().is_some_and(|deadline| deadline <= Instant::now()) {
        return Err(Error::new(ErrorClass::TimedOut, "the job took longer than its timeout"));
    }
    // SAFETY: reads a sig_atomic_t global of this process.
    if unsafe { pg_sys::InterruptPending } != 0 {
        caught(|| {
            // SAFETY: on the main thread, outside any critical section; errors unwind into `caught`.
            unsafe { pg_sys::ProcessInterrupts() };
            Ok(())
        })?;
    }
    if RELOAD.swap(false, Ordering::SeqCst) {
        caught(|| {
            // SAFETY: on the main thread, between statements, as every worker loop does on SIGHUP.
            unsafe { pg_sys::ProcessConfigFile(pg_sys::GucContext::PGC_SIGHUP) };
            Ok(())
        })?;
    }
    Ok(())
}

/// An error that came because this process was asked to stop, told as that.
pub fn explain(error: Error, while_rolling_back: Option<Error>) -> Error {
    forget_statement_cancel();
    if let Err(stop) = check_requests() {
        return stop;
    }
    match while_rolling_back {
        Some(second) => error.hint(format!("Rolling back failed too: {second}")),
        None => error,
    }
}

fn check_requests() -> Result<()> {
    if terminate_requested() || cancel_requested() { check() } else { Ok(()) }
}

/// Sleep until something happens: the latch, the waker, the timeout, or an interrupt, which is an error.
///
/// Ends the process at once if the postmaster is gone.
pub fn wait(waker: Option<&Waker>, timeout: Duration) -> Result<()> {
    check()?;
    let left = DEADLINE.get().map(|deadline| deadline.saturating_duration_since(Instant::now()));
    sleep(waker, left.map_or(timeout, |left| left.min(timeout)))?;
    check()
}

fn sleep(waker: Option<&Waker>, timeout: Duration) -> Result<()> {
    let milliseconds = i64::try_from(timeout.as_millis()).unwrap_or(i64::MAX).clamp(1, 3_600_000);
    caught(|| {
        let mut events = (pg_sys::WL_LATCH_SET | pg_sys::WL_TIMEOUT | pg_sys::WL_EXIT_ON_PM_DEATH) as c_int;
        let mut socket = pg_sys::PGINVALID_SOCKET;
        if let Some(waker) = waker {
            events |= pg_sys::WL_SOCKET_READABLE as c_int;
            socket = waker.descriptor();
        }
        // SAFETY: MyLatch is this process's own latch, the descriptor stays open for the call.
        unsafe {
            pg_sys::WaitLatchOrSocket(
                pg_sys::MyLatch,
                events,
                socket,
                milliseconds,
                pg_sys::PG_WAIT_EXTENSION,
            );
            pg_sys::ResetLatch(pg_sys::MyLatch);
        }
        if let Some(waker) = waker {
            waker.drain();
        }
        Ok(())
    })
}

/// Sleep in a session: like `wait`, but an interrupt is raised as PostgreSQL raises it.
pub fn wait_in_session(waker: Option<&Waker>, timeout: Duration) {
    let outcome = sleep(waker, timeout);
    pgrx::check_for_interrupts!();
    if let Err(error) = outcome {
        crate::error::raise(error);
    }
}
