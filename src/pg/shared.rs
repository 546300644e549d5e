//! A mailbox in shared memory through which sessions and ticks speak to the launcher. Exists only when walwarden is
//! in shared_preload_libraries. It is a cache of what the tables say: losing a letter costs one early tick.

use pgrx::lwlock::PgLwLock;
use pgrx::pg_shmem_init;
use pgrx::prelude::*;
use pgrx::shmem::*;
use std::sync::atomic::{AtomicBool, Ordering};

/// How many letters fit before the launcher looks at every database instead.
const CAPACITY: usize = 128;
/// "Nothing is due here": no schedules, or no walwarden.
pub const NEVER: i64 = i64::MAX;

/// A database and when its next tick is due, in microseconds since the Unix epoch; 0 is now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Letter {
    /// Oid of the database.
    pub database: u32,
    /// When its next tick is due.
    pub due: i64,
}

#[derive(Clone, Copy)]
struct Mailbox {
    launcher_pid: i32,
    overflown: bool,
    count: usize,
    letters: [Letter; CAPACITY],
}

impl Default for Mailbox {
    fn default() -> Self {
        Self { launcher_pid: 0, overflown: false, count: 0, letters: [Letter::default(); CAPACITY] }
    }
}

// SAFETY: plain data of fixed size without pointers.
unsafe impl PGRXSharedMemory for Mailbox {}

// SAFETY: initialised by pg_shmem_init! below before anybody can lock it.
static MAILBOX: PgLwLock<Mailbox> = unsafe { PgLwLock::new(c"walwarden_mailbox") };
static AVAILABLE: AtomicBool = AtomicBool::new(false);

/// Ask for the shared memory; only while preloading.
pub fn init() {
    pg_shmem_init!(MAILBOX);
    AVAILABLE.store(true, Ordering::SeqCst);
}

/// Whether walwarden was preloaded.
pub fn available() -> bool {
    AVAILABLE.load(Ordering::SeqCst)
}

/// Leave a letter and wake the launcher. Without preload there is nobody to tell.
pub fn post(letter: Letter) {
    if !available() {
        return;
    }
    let launcher = {
        let mut mailbox = MAILBOX.exclusive();
        let count = mailbox.count;
        if let Some(known) = mailbox.letters.iter_mut().take(count).find(|l| l.database == letter.database) {
            // A wish for an early tick must not be overwritten by a report written at the same time.
            known.due = known.due.min(letter.due);
        } else if let Some(free) = mailbox.letters.get_mut(count) {
            *free = letter;
            mailbox.count += 1;
        } else {
            mailbox.overflown = true;
        }
        mailbox.launcher_pid
    };
    if launcher > 0 {
        // SAFETY: SIGUSR1 sets the latch of a worker (procsignal.c); a stale pid of this server's user is harmless.
        unsafe { libc::kill(launcher, libc::SIGUSR1) };
    }
}

/// Take all letters; None when some were lost and every database must be looked at.
pub fn collect() -> Option<Vec<Letter>> {
    let mut mailbox = MAILBOX.exclusive();
    let letters = mailbox.letters.iter().take(mailbox.count).copied().collect();
    let overflown = mailbox.overflown;
    mailbox.count = 0;
    mailbox.overflown = false;
    if overflown { None } else { Some(letters) }
}

/// Say which process is the launcher; 0 when it goes.
pub fn set_launcher(pid: i32) {
    MAILBOX.exclusive().launcher_pid = pid;
}

/// The launcher's process, if it runs.
pub fn launcher() -> Option<i32> {
    if !available() {
        return None;
    }
    let pid = MAILBOX.share().launcher_pid;
    (pid > 0).then_some(pid)
}
