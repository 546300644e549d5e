//! Transactions of a worker, with an abort path: an error inside is rolled back and returned, and the worker lives.

use super::caught::caught;
use super::interrupts;
use pgrx::pg_sys;
use std::ffi::CString;
use walwarden_core::{Error, Result};

/// Run `body` in a transaction of its own with a fresh snapshot; commit on Ok, roll back on Err.
///
/// Not for sessions: only a worker outside any transaction may call it.
pub fn transaction<T>(body: impl FnOnce() -> Result<T>) -> Result<T> {
    let outcome = caught(|| {
        begin();
        push_transaction_snapshot();
        let value = body()?;
        // SAFETY: matches the push above.
        unsafe { pg_sys::PopActiveSnapshot() };
        commit();
        Ok(value)
    });
    settle(outcome)
}

/// Begin a transaction command; everything in it must end in `commit` or `roll_back`.
pub fn begin() {
    // SAFETY: a worker outside any transaction; the statement timestamp is what now() gives in this transaction.
    unsafe {
        pg_sys::SetCurrentStatementStartTimestamp();
        pg_sys::StartTransactionCommand();
    }
}

/// Take the transaction's snapshot (in REPEATABLE READ: the one it keeps) and make it the active one.
pub fn push_transaction_snapshot() {
    // SAFETY: inside a transaction; popped by `transaction`, or by the end of the transaction.
    unsafe { pg_sys::PushActiveSnapshot(pg_sys::GetTransactionSnapshot()) };
}

/// Take the snapshot that another process has exported, as `SET TRANSACTION SNAPSHOT` does. Before any other, in a
/// transaction that is REPEATABLE READ.
pub fn import_snapshot(name: &str) -> Result<()> {
    let name = CString::new(name).map_err(|_| Error::internal("the name of a snapshot has a zero byte"))?;
    // SAFETY: the name is zero-terminated; what is wrong with it, or with the time, is raised as an error.
    unsafe { pg_sys::ImportSnapshot(name.as_ptr()) };
    push_transaction_snapshot();
    Ok(())
}

/// Give the transaction up.
pub fn roll_back() -> Result<()> {
    caught(|| {
        // SAFETY: cleans up whatever state the transaction is in; a no-op outside one.
        unsafe { pg_sys::AbortOutOfAnyTransaction() };
        Ok(())
    })
}

/// Commit, and hand the statistics of this process over: workers have nobody else to do it (pgstat.c).
pub fn commit() {
    // SAFETY: inside a transaction begun by `begin`, on the main thread.
    unsafe {
        pg_sys::CommitTransactionCommand();
        pg_sys::pgstat_report_stat(false);
    }
}

/// After `outcome` of work inside a transaction: roll back if it failed, and say so truly if it was interrupted.
pub fn settle<T>(outcome: Result<T>) -> Result<T> {
    match outcome {
        Ok(value) => Ok(value),
        Err(error) => Err(interrupts::explain(error, roll_back().err())),
    }
}
