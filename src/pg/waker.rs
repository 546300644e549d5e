//! How threads that must never call PostgreSQL wake the main thread: an eventfd it waits on beside its latch.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use walwarden_core::{Error, ErrorClass, Result};

/// Wakes the main thread; cheap to clone, safe to use from any thread.
#[derive(Debug, Clone)]
pub struct Waker(Arc<OwnedFd>);

impl Waker {
    /// A new eventfd, closed when the last clone is gone.
    pub fn new() -> Result<Self> {
        // SAFETY: eventfd has no preconditions; a non-negative result is a descriptor we own.
        let descriptor = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if descriptor < 0 {
            let cause = std::io::Error::last_os_error();
            return Err(Error::new(ErrorClass::Resources, "could not create an event descriptor")
                .detail(cause.to_string()));
        }
        // SAFETY: just created, owned by nobody else.
        Ok(Self(Arc::new(unsafe { OwnedFd::from_raw_fd(descriptor) })))
    }

    /// Wake the main thread. A full counter means it is awake already.
    pub fn wake(&self) {
        let one = 1u64.to_ne_bytes();
        // SAFETY: writes eight bytes from a live buffer to an open descriptor.
        unsafe { libc::write(self.0.as_raw_fd(), one.as_ptr().cast(), one.len()) };
    }

    /// Forget wake-ups so far.
    pub fn drain(&self) {
        let mut counter = [0u8; 8];
        // SAFETY: reads at most eight bytes into a live buffer; the descriptor does not block.
        unsafe { libc::read(self.0.as_raw_fd(), counter.as_mut_ptr().cast(), counter.len()) };
    }

    /// For waiting on it.
    pub fn descriptor(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}
