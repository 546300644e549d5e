//! Whether walwarden is installed in this database.

use pgrx::pg_sys;

/// Whether the extension exists here. Must run inside a transaction.
pub fn exists() -> bool {
    // SAFETY: a catalog look-up inside a transaction; missing_ok.
    unsafe { pg_sys::get_extension_oid(c"walwarden".as_ptr(), true) != pg_sys::InvalidOid }
}
