//! Registering, starting and following background workers.

use super::caught::caught;
use super::interrupts;
use pgrx::pg_sys;
use std::os::raw::c_char;
use std::time::{Duration, Instant};
use walwarden_core::{Error, ErrorClass, Result};

/// What a worker is told at its start: its database and a few bytes (`bgw_extra` holds 128 with its final zero).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// The database it works in; 0 for the launcher.
    pub database: u32,
    /// What it works on, as text.
    pub task: String,
}

/// A worker to start.
pub struct Worker<'a> {
    /// The exported function it runs.
    pub function: &'a str,
    /// Shown in the process list and in pg_stat_activity.backend_type.
    pub name: &'a str,
    /// What it is told.
    pub assignment: Assignment,
    /// Seconds until a worker that failed is started again; None is never.
    pub restart_seconds: Option<i32>,
}

/// A started worker. Process-local: a leader that starts anew finds its work in tables, not in handles.
#[derive(Debug, Clone, Copy)]
pub struct Handle(*mut pg_sys::BackgroundWorkerHandle);

/// How a started worker does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Registered, not running yet.
    Starting,
    /// Running.
    Running,
    /// Gone, or never to start.
    Stopped,
}

impl Worker<'_> {
    fn registration(&self, notify: pg_sys::pid_t) -> pg_sys::BackgroundWorker {
        // SAFETY: BackgroundWorker is plain data; all zeros is a valid value of each of its fields.
        let mut worker: pg_sys::BackgroundWorker = unsafe { std::mem::zeroed() };
        put_text(&mut worker.bgw_name, self.name);
        put_text(&mut worker.bgw_type, self.name);
        put_text(&mut worker.bgw_function_name, self.function);
        put_text(&mut worker.bgw_library_name, "walwarden");
        put_text(&mut worker.bgw_extra, &self.assignment.task);
        worker.bgw_flags =
            (pg_sys::BGWORKER_SHMEM_ACCESS | pg_sys::BGWORKER_BACKEND_DATABASE_CONNECTION) as i32;
        worker.bgw_start_time = pg_sys::BgWorkerStartTime::BgWorkerStart_RecoveryFinished;
        worker.bgw_restart_time = self.restart_seconds.unwrap_or(pg_sys::BGW_NEVER_RESTART);
        worker.bgw_main_arg = pg_sys::Datum::from(self.assignment.database as usize);
        worker.bgw_notify_pid = notify;
        worker
    }

    /// Register a worker that the postmaster starts itself; only while preloading.
    pub fn register_static(&self) {
        let mut registration = self.registration(0);
        // SAFETY: called from _PG_init in the postmaster; PostgreSQL copies the registration.
        unsafe { pg_sys::RegisterBackgroundWorker(&raw mut registration) };
    }

    /// Start a worker now. None when every worker slot is taken (max_worker_processes).
    pub fn start(&self) -> Option<Handle> {
        // SAFETY: MyProcPid is set in every process.
        let mut registration = self.registration(unsafe { pg_sys::MyProcPid });
        let mut handle: *mut pg_sys::BackgroundWorkerHandle = std::ptr::null_mut();
        // SAFETY: PostgreSQL copies the registration; the handle is allocated in TopMemoryContext so that it lives
        // as long as this process, and the context is put back at once.
        let started = unsafe {
            let previous = pg_sys::MemoryContextSwitchTo(pg_sys::TopMemoryContext);
            let started = pg_sys::RegisterDynamicBackgroundWorker(&raw mut registration, &raw mut handle);
            pg_sys::MemoryContextSwitchTo(previous);
            started
        };
        started.then_some(Handle(handle))
    }
}

impl Handle {
    /// How the worker does.
    pub fn status(&self) -> Status {
        let mut pid: pg_sys::pid_t = 0;
        // SAFETY: the handle came from RegisterDynamicBackgroundWorker and lives in TopMemoryContext.
        match unsafe { pg_sys::GetBackgroundWorkerPid(self.0, &raw mut pid) } {
            pg_sys::BgwHandleStatus::BGWH_STARTED => Status::Running,
            pg_sys::BgwHandleStatus::BGWH_NOT_YET_STARTED => Status::Starting,
            _ => Status::Stopped,
        }
    }

    /// Ask the worker to end (SIGTERM), or not to start.
    pub fn terminate(&self) {
        // SAFETY: as in `status`.
        unsafe { pg_sys::TerminateBackgroundWorker(self.0) };
    }

    /// For queues that must notice when the worker never comes.
    pub(super) fn raw(&self) -> *mut pg_sys::BackgroundWorkerHandle {
        self.0
    }
}

/// Ask these workers to end, and wait for that, but no longer than `limit`.
pub fn end(workers: &mut Vec<Handle>, limit: Duration) {
    workers.iter().for_each(Handle::terminate);
    let deadline = Instant::now() + limit;
    while workers.iter().any(|worker| worker.status() != Status::Stopped)
        && Instant::now() < deadline
        && interrupts::wait(None, Duration::from_millis(20)).is_ok()
    {}
    workers.clear();
}

/// The longest prefix that leaves room for the final zero, cut between characters.
fn put_text(target: &mut [c_char], text: &str) {
    let mut end = text.len().min(target.len().saturating_sub(1));
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    for (slot, byte) in target.iter_mut().zip(text.bytes().take(end).chain(std::iter::once(0))) {
        *slot = byte as c_char;
    }
}

/// What this worker was told at its start.
pub fn assignment() -> Result<Assignment> {
    // SAFETY: in a background worker MyBgworkerEntry points to its registration until the process ends.
    let (database, extra) = unsafe {
        let entry = pg_sys::MyBgworkerEntry;
        if entry.is_null() {
            return Err(Error::internal("not a background worker"));
        }
        ((*entry).bgw_main_arg.value() as u32, (*entry).bgw_extra)
    };
    let bytes: Vec<u8> = extra.iter().map(|c| *c as u8).take_while(|b| *b != 0).collect();
    let task = String::from_utf8(bytes).map_err(|_| Error::internal("a worker's task is not text"))?;
    Ok(Assignment { database, task })
}

/// Connect this worker to a database as the bootstrap superuser. What may end a worker's transaction behind its back
/// is switched off; other settings stay as the database has them.
pub fn connect(database: u32) -> Result<()> {
    // What is planned here is planned by a superuser, on tables of others.
    super::table_owner::plan_as_owner();
    caught(|| {
        // SAFETY: once per process, before any transaction.
        unsafe {
            pg_sys::BackgroundWorkerInitializeConnectionByOid(
                pg_sys::Oid::from(database),
                pg_sys::InvalidOid,
                0,
            );
        }
        Ok(())
    })?;
    set(c"statement_timeout", c"0")?;
    set(c"idle_in_transaction_session_timeout", c"0")?;
    set(c"jit", c"off")?;
    #[cfg(any(feature = "pg17", feature = "pg18"))]
    set(c"transaction_timeout", c"0")?;
    Ok(())
}

/// Session settings for a worker that reads and writes walwarden's own tables, whatever the database prefers.
pub fn settle_session() -> Result<()> {
    for (name, value) in [
        (c"search_path", c"pg_catalog, pg_temp"),
        (c"synchronous_commit", c"local"),
        (c"default_transaction_isolation", c"read committed"),
        (c"default_transaction_read_only", c"off"),
        (c"lock_timeout", c"0"),
        (c"DateStyle", c"ISO"),
        (c"IntervalStyle", c"postgres"),
        (c"bytea_output", c"hex"),
        (c"TimeZone", c"UTC"),
    ] {
        set(name, value)?;
    }
    Ok(())
}

/// Connect this worker to no database, as the autovacuum launcher does: only shared catalogs can be read.
pub fn connect_to_no_database() -> Result<()> {
    caught(|| {
        // SAFETY: once per process, before any transaction.
        unsafe { pg_sys::BackgroundWorkerInitializeConnection(std::ptr::null(), std::ptr::null(), 0) };
        Ok(())
    })
}

/// Set a setting for this session.
pub fn set(name: &std::ffi::CStr, value: &std::ffi::CStr) -> Result<()> {
    caught(|| {
        // SAFETY: both are zero-terminated; PostgreSQL copies them.
        unsafe {
            pg_sys::SetConfigOption(
                name.as_ptr(),
                value.as_ptr(),
                pg_sys::GucContext::PGC_SUSET,
                pg_sys::GucSource::PGC_S_SESSION,
            );
        }
        Ok(())
    })
}

/// Show what this process is doing in pg_stat_activity.
pub fn report_activity(text: &str) {
    let text = super::text::to_server(text);
    // SAFETY: the text is zero-terminated and copied.
    unsafe { pg_sys::pgstat_report_activity(pg_sys::BackendState::STATE_RUNNING, text.as_ptr()) };
}

/// The error for a worker that could not be started.
pub fn no_free_slot(what: &str) -> Error {
    Error::new(ErrorClass::Resources, format!("could not start a background worker for the {what}"))
        .detail("Every worker slot of the server is taken.")
        .hint("Raise max_worker_processes, or wait until other workers are done.")
}
