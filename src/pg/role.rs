//! Doing something as another role.

use super::text;
use pgrx::pg_sys;
use walwarden_core::{Error, ErrorClass, Result};

/// Do something with the rights of a role and no way back from them, as maintenance commands run the code of a table's
/// owner (SECURITY_RESTRICTED_OPERATION in miscadmin.h). Must run inside a transaction, whose end by an error takes the
/// role away too.
pub fn as_role<T>(name: &str, body: impl FnOnce() -> Result<T>) -> Result<T> {
    as_restricted(oid(name)?, body)
}

/// The same by the role's oid.
pub(super) fn as_restricted<T>(role: pg_sys::Oid, body: impl FnOnce() -> Result<T>) -> Result<T> {
    let restricted = (pg_sys::SECURITY_LOCAL_USERID_CHANGE | pg_sys::SECURITY_RESTRICTED_OPERATION) as i32;
    with_rights(role, restricted, body)
}

/// Do something with the rights of the role that owns this function, whoever calls it, and with names looked up as in a
/// SECURITY DEFINER function: not where the caller's settings say. Must run inside a transaction, whose end by an error takes
/// the rights away too.
pub fn as_owner_of<T>(function: pg_sys::Oid, body: impl FnOnce() -> Result<T>) -> Result<T> {
    // SAFETY: inside a transaction; the tuple is read before it is released.
    let owner = unsafe {
        let tuple = pg_sys::SearchSysCache1(
            pg_sys::SysCacheIdentifier::PROCOID as i32,
            pg_sys::Datum::from(function),
        );
        if tuple.is_null() {
            return Err(Error::internal("a running function does not exist"));
        }
        let owner = (*pg_sys::GETSTRUCT(tuple).cast::<pg_sys::FormData_pg_proc>()).proowner;
        pg_sys::ReleaseSysCache(tuple);
        owner
    };
    with_rights(owner, pg_sys::SECURITY_LOCAL_USERID_CHANGE as i32, || {
        // SAFETY: both are zero-terminated, and PostgreSQL copies them; ends with the settings' level in `with_rights`.
        unsafe {
            pg_sys::set_config_option(
                c"search_path".as_ptr(),
                c"pg_catalog, pg_temp".as_ptr(),
                pg_sys::GucContext::PGC_USERSET,
                pg_sys::GucSource::PGC_S_SESSION,
                pg_sys::GucAction::GUC_ACTION_SAVE,
                true,
                0,
                false,
            );
        }
        body()
    })
}

/// Whatever the body changes of the session's settings ends with it, as with the code of a function (fmgr_security_definer in
/// fmgr.c): what runs afterwards has other rights.
fn with_rights<T>(role: pg_sys::Oid, context: i32, body: impl FnOnce() -> Result<T>) -> Result<T> {
    let (mut user, mut previous) = (pg_sys::InvalidOid, 0);
    // SAFETY: all are process globals, put back below, or by the abort of the transaction (AbortTransaction in xact.c).
    let level = unsafe {
        pg_sys::GetUserIdAndSecContext(&raw mut user, &raw mut previous);
        let level = pg_sys::NewGUCNestLevel();
        pg_sys::SetUserIdAndSecContext(role, previous | context);
        level
    };
    let outcome = body();
    // SAFETY: as above.
    unsafe {
        pg_sys::AtEOXact_GUC(false, level);
        pg_sys::SetUserIdAndSecContext(user, previous);
    }
    outcome
}

/// The role of this name.
pub(super) fn oid(name: &str) -> Result<pg_sys::Oid> {
    let server_name = text::to_server(name);
    // SAFETY: inside a transaction; the name is zero-terminated.
    let oid = unsafe { pg_sys::get_role_oid(server_name.as_ptr(), true) };
    if oid == pg_sys::InvalidOid {
        return Err(Error::new(ErrorClass::NotFound, format!("role \"{name}\" does not exist any more")));
    }
    Ok(oid)
}
