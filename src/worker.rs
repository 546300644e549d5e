//! The processes: launcher, tick, leader, copier, loader, examiner, messenger. They find their work in tables; a lost
//! wake-up costs one early or late tick, never a job.

use crate::pg::interrupts;
use crate::pg::waker::Waker;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use walwarden_core::Result;

pub mod anchor;
mod backup;
pub mod child;
pub mod cleaner;
pub mod compression;
pub mod copier;
pub mod copy;
mod ending;
pub mod entry;
pub mod evidence;
pub mod examiner;
mod follower;
mod installed;
pub mod io;
pub mod launcher;
pub mod leader;
pub mod loader;
pub mod messenger;
pub mod pieces;
pub mod progress;
mod pulse;
pub mod reaper;
pub mod receivers;
mod recovery_point;
pub mod remains;
pub mod restore;
pub mod retry;
pub mod start;
pub mod subject;
pub mod tick;
pub mod turn;
mod verify;
mod watch;
mod work;

static IS_WORKER: AtomicBool = AtomicBool::new(false);

/// Whether this process is one of walwarden's own.
pub fn is_worker() -> bool {
    IS_WORKER.load(Ordering::Relaxed)
}

fn become_worker() {
    IS_WORKER.store(true, Ordering::Relaxed);
}

/// Sleep for at most so long, or until the waker rings; interruptible, in a session as in a process of ours.
pub fn wait(waker: Option<&Waker>, timeout: Duration) -> Result<()> {
    if is_worker() {
        interrupts::wait(waker, timeout)
    } else {
        interrupts::wait_in_session(waker, timeout);
        Ok(())
    }
}
