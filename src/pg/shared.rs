//! A mailbox in shared memory through which sessions, ticks and leaders speak to the launcher, and what the launcher tells
//! all of them. Exists only when walwarden is in shared_preload_libraries. It is a cache of what the tables say: losing a
//! letter costs one early tick.

use pgrx::lwlock::PgLwLock;
use pgrx::pg_shmem_init;
use pgrx::prelude::*;
use pgrx::shmem::*;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};

/// How many letters fit before the launcher looks at every database instead.
const CAPACITY: usize = 512;
/// "Nothing is due here", or "nothing waits here".
pub const NEVER: i64 = i64::MAX;
/// A crash that comes this much later than the one before has nothing to do with it, in seconds.
const CRASHES_APART: i64 = 600;

/// News of one database. Times are in microseconds since the Unix epoch; what is None has not changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Letter {
    /// Oid of the database.
    pub database: u32,
    /// When its next tick is due; 0 is now.
    pub due: Option<i64>,
    /// Since when a job waits there for nothing but one of `walwarden.max_concurrent_jobs`; [`NEVER`] when none does.
    pub waiting: Option<i64>,
    /// A tick has done its work.
    pub ticked: bool,
    /// A leader has begun a job.
    pub started: bool,
    /// A leader has gone without having begun a job.
    pub refused: bool,
}

impl Letter {
    /// Something has changed in this database: a tick is wanted now.
    pub fn look(database: u32) -> Self {
        Self { database, due: Some(0), ..Self::default() }
    }

    /// A job waits there since then.
    pub fn waits(database: u32, since: i64) -> Self {
        Self { database, waiting: Some(since), ..Self::default() }
    }

    /// News that come together. An early time must not be overwritten by a report that was written at the same time.
    fn join(&mut self, other: &Self) {
        let earlier = |one: Option<i64>, two: Option<i64>| match (one, two) {
            (Some(one), Some(two)) => Some(one.min(two)),
            (one, two) => one.or(two),
        };
        self.due = earlier(self.due, other.due);
        self.waiting = earlier(self.waiting, other.waiting);
        self.ticked |= other.ticked;
        self.started |= other.started;
        self.refused |= other.refused;
    }
}

#[derive(Clone, Copy)]
struct Mailbox {
    launcher_pid: i32,
    overflown: bool,
    count: usize,
    letters: [Letter; CAPACITY],
    notice: Notice,
}

/// What everybody may know.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Notice {
    /// Databases wait for their turn to start a job.
    pub turns_are_waited_for: bool,
    /// The latest tick or leader could not be started: every worker slot of the server was taken.
    pub no_free_worker: bool,
}

impl Default for Mailbox {
    fn default() -> Self {
        Self {
            launcher_pid: 0,
            overflown: false,
            count: 0,
            letters: [Letter::default(); CAPACITY],
            notice: Notice::default(),
        }
    }
}

// SAFETY: plain data of fixed size without pointers.
unsafe impl PGRXSharedMemory for Mailbox {}

// SAFETY: initialised by pg_shmem_init! below before anybody can lock it.
static MAILBOX: PgLwLock<Mailbox> = unsafe { PgLwLock::new(c"walwarden_mailbox") };
static AVAILABLE: AtomicBool = AtomicBool::new(false);
/// Of the postmaster, which outlives crashes; its children have a copy.
static CRASHES: AtomicU32 = AtomicU32::new(0);
static LATEST_START: AtomicI64 = AtomicI64::new(0);

/// Ask for the shared memory; only while preloading.
pub fn init() {
    pg_shmem_init!(MAILBOX);
    count_crashes();
    AVAILABLE.store(true, Ordering::SeqCst);
}

/// After a crash of any of its processes the postmaster makes the shared memory anew, and calls this hook again.
fn count_crashes() {
    static mut PREVIOUS: pg_sys::shmem_startup_hook_type = None;

    #[pg_guard]
    unsafe extern "C-unwind" fn on_startup() {
        // SAFETY: written once, before the hook can be called, by the one thread of the postmaster.
        if let Some(previous) = unsafe { PREVIOUS } {
            // SAFETY: another hook of the same kind, called as PostgreSQL would.
            unsafe { previous() };
        }
        let now = chrono::Utc::now().timestamp();
        let before = LATEST_START.swap(now, Ordering::SeqCst);
        if before != 0 && now - before < CRASHES_APART {
            CRASHES.fetch_add(1, Ordering::SeqCst);
        } else {
            CRASHES.store(0, Ordering::SeqCst);
        }
    }

    // SAFETY: while preloading, in the one thread of the postmaster.
    unsafe {
        PREVIOUS = pg_sys::shmem_startup_hook;
        pg_sys::shmem_startup_hook = Some(on_startup);
    }
}

/// How often the server has restarted its processes after a crash, each time soon after the one before.
pub fn crashes_in_a_row() -> u32 {
    CRASHES.load(Ordering::SeqCst)
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
            known.join(&letter);
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

/// Take all letters, and whether some were lost, so that every database must be looked at.
pub fn collect() -> (Vec<Letter>, bool) {
    let mut mailbox = MAILBOX.exclusive();
    let letters = mailbox.letters.iter().take(mailbox.count).copied().collect();
    let overflown = mailbox.overflown;
    mailbox.count = 0;
    mailbox.overflown = false;
    (letters, overflown)
}

/// Say which process is the launcher; 0 when it goes.
pub fn set_launcher(pid: i32) {
    let mut mailbox = MAILBOX.exclusive();
    mailbox.launcher_pid = pid;
    mailbox.notice = Notice::default();
}

/// The launcher's process, if it runs.
pub fn launcher() -> Option<i32> {
    if !available() {
        return None;
    }
    let pid = MAILBOX.share().launcher_pid;
    (pid > 0).then_some(pid)
}

/// What everybody may know; nothing without preload.
pub fn notice() -> Notice {
    if available() { MAILBOX.share().notice } else { Notice::default() }
}

/// Change what everybody may know.
pub fn change_notice(change: impl FnOnce(&mut Notice)) {
    if available() {
        let mut mailbox = MAILBOX.exclusive();
        let mut notice = mailbox.notice;
        change(&mut notice);
        mailbox.notice = notice;
    }
}
