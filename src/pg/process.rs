//! Child processes of the leader (pg_dump, pg_dumpall, pg_restore), and threads that PostgreSQL's signals never reach.

use std::ffi::CString;
use std::fs::File;
use std::io::{Seek, Write};
use std::os::fd::FromRawFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use walwarden_core::{Error, ErrorClass, Result};

/// Start a child that dies with this process, sees none of its descriptors and has ordinary signal handling.
pub fn spawn(mut command: Command, name: &str) -> Result<Child> {
    // SAFETY: the closure runs in the child between fork and exec and calls only async-signal-safe functions.
    unsafe {
        command.pre_exec(|| {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM);
            let mut none: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&raw mut none);
            libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
            // PostgreSQL before 16 opens files without O_CLOEXEC. Where the kernel lacks the call, the child merely
            // holds them until it ends.
            libc::syscall(libc::SYS_close_range, 3u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC);
            Ok(())
        });
    }
    command.spawn().map_err(|cause| {
        Error::new(ErrorClass::ChildProcess, format!("could not start {name}"))
            .detail(format!("{}: {cause}", command.get_program().to_string_lossy()))
            .hint("The server's own client programs must be installed beside it.")
    })
}

/// Bytes as the standard input of a child, in memory: a file that can be opened anew as `/dev/stdin` and read from its
/// beginning.
pub fn in_memory(name: &str, bytes: &[u8]) -> Result<Stdio> {
    let failed = |cause: std::io::Error| {
        Error::new(ErrorClass::Resources, "could not make a file in memory").detail(cause.to_string())
    };
    let name = CString::new(name).map_err(|_| Error::internal("a name holds a zero byte"))?;
    // SAFETY: the name is zero-terminated; the descriptor, if there is one, belongs to nobody else.
    let mut file = unsafe {
        let descriptor = libc::memfd_create(name.as_ptr(), libc::MFD_CLOEXEC);
        if descriptor < 0 {
            return Err(failed(std::io::Error::last_os_error()));
        }
        File::from_raw_fd(descriptor)
    };
    file.write_all(bytes).and_then(|()| file.rewind()).map_err(failed)?;
    Ok(Stdio::from(file))
}

/// Run `body` with every signal blocked, so that threads it starts, and threads those start, have them all blocked:
/// a handler of PostgreSQL must only ever run on the main thread.
pub fn with_signals_blocked<T>(body: impl FnOnce() -> T) -> T {
    // SAFETY: the sets are initialised by the calls that fill them; the mask is put back as it was.
    unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        let mut previous: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut previous);
        let value = body();
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const previous, std::ptr::null_mut());
        value
    }
}

/// Cancel what another process of this server is doing (SIGINT, as pg_cancel_backend).
pub fn interrupt(pid: i32) {
    if pid > 0 {
        // SAFETY: a signal to one process; a stale pid of this server's user is harmless.
        unsafe { libc::kill(pid, libc::SIGINT) };
    }
}
