//! Random bytes fit for keys.

use pgrx::pg_sys;
use walwarden_core::{Error, ErrorClass, Result};

/// Bytes from the server's cryptographic source (pg_strong_random.c).
pub fn bytes<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0u8; N];
    // SAFETY: writes N bytes into a live buffer.
    if unsafe { pg_sys::pg_strong_random(bytes.as_mut_ptr().cast(), N) } {
        Ok(bytes)
    } else {
        Err(Error::new(ErrorClass::Resources, "could not get random bytes"))
    }
}

/// A number that nothing secret depends on (common/pg_prng.h).
pub fn number() -> u64 {
    // SAFETY: the state of this process, seeded at its start.
    unsafe { pg_sys::pg_prng_uint64(&raw mut pg_sys::pg_global_prng_state) }
}
