//! The functions the postmaster starts worker processes with.
//!
//! Each ends by returning, so the process exits 0: exit code 1 would be logged as a crash, and 2 or a signal would
//! restart the whole server.
#![allow(unsafe_code, reason = "the postmaster finds these by their exported names")]

use crate::worker;
use pgrx::{pg_guard, pg_sys};

/// Main function of the launcher.
#[pg_guard]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn walwarden_launcher_main(_argument: pg_sys::Datum) {
    worker::become_worker();
    worker::launcher::main();
}

/// Main function of a tick.
#[pg_guard]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn walwarden_tick_main(_argument: pg_sys::Datum) {
    worker::become_worker();
    worker::tick::main();
}

/// Main function of the cleaner.
#[pg_guard]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn walwarden_cleaner_main(_argument: pg_sys::Datum) {
    worker::become_worker();
    worker::cleaner::main();
}

/// Main function of the worker that puts checkpoints into storage.
#[pg_guard]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn walwarden_anchor_main(_argument: pg_sys::Datum) {
    worker::become_worker();
    worker::anchor::main();
}

/// Main function of a leader.
#[pg_guard]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn walwarden_leader_main(_argument: pg_sys::Datum) {
    worker::become_worker();
    worker::leader::main();
}

/// Main function of a messenger.
#[pg_guard]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn walwarden_messenger_main(_argument: pg_sys::Datum) {
    worker::become_worker();
    worker::messenger::main();
}

/// Main function of a copier.
#[pg_guard]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn walwarden_copier_main(_argument: pg_sys::Datum) {
    worker::become_worker();
    worker::copier::main();
}

/// Main function of an examiner.
#[pg_guard]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn walwarden_examiner_main(_argument: pg_sys::Datum) {
    worker::become_worker();
    worker::examiner::main();
}

/// Main function of a loader.
#[pg_guard]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn walwarden_loader_main(_argument: pg_sys::Datum) {
    worker::become_worker();
    worker::loader::main();
}
