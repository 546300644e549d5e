//! Whether the library is being loaded by the postmaster.

use pgrx::pg_sys;

/// True in `shared_preload_libraries` of a server that will serve: not in pg_upgrade's (IsBinaryUpgrade), whose
/// server must start no workers, because nothing stops them before it copies files.
pub fn in_progress() -> bool {
    // SAFETY: reads process globals set before libraries are loaded.
    unsafe { pg_sys::process_shared_preload_libraries_in_progress && !pg_sys::IsBinaryUpgrade }
}
