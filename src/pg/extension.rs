//! Whether walwarden is installed in this database, and in which version.

use super::sql;
use pgrx::pg_sys;
use walwarden_core::{Error, Result};

/// Whether the extension exists here. Must run inside a transaction.
pub fn exists() -> bool {
    oid() != pg_sys::InvalidOid
}

/// Whether it exists and stays: nobody drops it before this transaction ends. Waits for whoever is dropping it. DROP EXTENSION
/// locks one table after the other, and would deadlock with a transaction that has one of them and wants another.
pub fn stays() -> bool {
    let extension = oid();
    if extension == pg_sys::InvalidOid {
        return false;
    }
    // SAFETY: inside a transaction, at whose end the lock is released; an oid that names nothing any more locks nothing that
    // matters.
    unsafe {
        pg_sys::LockDatabaseObject(pg_sys::ExtensionRelationId, extension, 0, pg_sys::AccessShareLock as i32);
    }
    // It may have been dropped meanwhile, and made anew.
    oid() == extension
}

/// The version of its SQL objects. Must run inside a transaction.
///
/// # Errors
/// `Internal` where it is not installed.
pub fn version() -> Result<String> {
    sql::query_one("SELECT extversion FROM pg_catalog.pg_extension WHERE extname = 'walwarden'", &[])?
        .ok_or_else(|| Error::internal("walwarden is not installed in this database"))?
        .text(0)
}

fn oid() -> pg_sys::Oid {
    // SAFETY: a catalog look-up inside a transaction; missing_ok.
    unsafe { pg_sys::get_extension_oid(c"walwarden".as_ptr(), true) }
}
