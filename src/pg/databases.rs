//! The databases of the cluster: which there are, for the launcher, which is connected to none and so cannot use SQL; and
//! what a restore does with them.

use super::caught::caught;
use super::{sql, text, transaction};
use pgrx::pg_sys;
use std::collections::HashSet;
use walwarden_core::{Error, ErrorClass, Result};

/// Oids of the databases that allow connections and are no templates. Must run inside a transaction.
pub fn connectable() -> Result<HashSet<u32>> {
    let mut found = HashSet::new();
    // SAFETY: a catalog scan inside a transaction, as get_database_list in launcher.c and autovacuum.c do it; tuples
    // are valid until the next one is fetched, and FormData_pg_database is the fixed part of each.
    unsafe {
        let relation = pg_sys::table_open(pg_sys::DatabaseRelationId, pg_sys::AccessShareLock as i32);
        let scan = pg_sys::systable_beginscan(
            relation,
            pg_sys::InvalidOid,
            false,
            std::ptr::null_mut(),
            0,
            std::ptr::null_mut(),
        );
        loop {
            let tuple = pg_sys::systable_getnext(scan);
            if tuple.is_null() {
                break;
            }
            let database = pg_sys::GETSTRUCT(tuple).cast::<pg_sys::FormData_pg_database>();
            if (*database).datallowconn && !(*database).datistemplate && (*database).datconnlimit != -2 {
                found.insert((*database).oid.to_u32());
            }
        }
        pg_sys::systable_endscan(scan);
        pg_sys::table_close(relation, pg_sys::AccessShareLock as i32);
    }
    Ok(found)
}

/// The oid of the database with this name, if there is one. Must run inside a transaction.
pub fn oid(name: &str) -> Result<Option<u32>> {
    let row = sql::query_one("SELECT oid FROM pg_catalog.pg_database WHERE datname = $1", &[Some(name)])?;
    row.map(|row| row.parse(0)).transpose()
}

/// The name of the database with this oid, if there is one. Must run inside a transaction.
pub fn name(oid: u32) -> Result<Option<String>> {
    let row = sql::query_one(
        "SELECT datname FROM pg_catalog.pg_database WHERE oid = $1::oid",
        &[Some(&oid.to_string())],
    )?;
    row.map(|row| row.text(0)).transpose()
}

/// Fails unless a database may be restored under this name: nothing has it, or what has it may be replaced and is no
/// template, on which CREATE DATABASE relies. Must run inside a transaction.
pub fn require_free(name: &str, may_replace: bool) -> Result<()> {
    let row =
        sql::query_one("SELECT datistemplate FROM pg_catalog.pg_database WHERE datname = $1", &[Some(name)])?;
    match row {
        None => Ok(()),
        Some(row) if row.flag(0)? => {
            Err(Error::new(ErrorClass::WrongState, format!("database \"{name}\" is a template and cannot be replaced"))
                .hint("Restore under another name."))
        }
        Some(_) if may_replace => Ok(()),
        Some(_) => Err(Error::new(ErrorClass::AlreadyExists, format!("database \"{name}\" exists already"))
            .hint("Restore under another name, or with overwrite => true, which replaces it when all is restored.")),
    }
}

/// A database to connect to for work on other databases. Must run inside a transaction.
pub fn maintenance() -> Result<String> {
    let has_default = oid("postgres")?.is_some();
    Ok(if has_default { "postgres" } else { "template1" }.to_owned())
}

/// ALTER DATABASE ... RENAME. Must run inside a transaction; nobody may be connected to it.
pub fn rename(name: &str, new_name: &str) -> Result<()> {
    let statement = sql::query_one(
        "SELECT pg_catalog.format('ALTER DATABASE %I RENAME TO %I', $1, $2)",
        &[Some(name), Some(new_name)],
    )?
    .ok_or_else(|| Error::internal("a statement could not be made"))?
    .text(0)?;
    sql::run(&statement, &[]).map(drop)
}

/// End every session of a database, and let none in before the end of this transaction: whoever connects takes a lock on it
/// first (InitPostgres in postinit.c).
pub fn empty(name: &str) -> Result<()> {
    let Some(oid) = oid(name)? else { return Ok(()) };
    // SAFETY: inside a transaction, which has the lock until its end.
    unsafe {
        pg_sys::LockSharedObject(
            pg_sys::DatabaseRelationId,
            pg_sys::Oid::from(oid),
            0,
            pg_sys::AccessExclusiveLock as i32,
        );
    }
    sql::query(
        "SELECT pg_catalog.pg_terminate_backend(pid, 5000) FROM pg_catalog.pg_stat_activity WHERE datname = $1",
        &[Some(name)],
    )
    .map(drop)
}

/// DROP DATABASE IF EXISTS ... WITH (FORCE), in a transaction of its own.
pub fn drop_database(name: &str) -> Result<()> {
    let name = text::to_server(name);
    let outcome = caught(|| {
        transaction::begin();
        // SAFETY: inside a transaction of a worker, with nothing else in it, as a top-level DROP DATABASE is (utility.c);
        // the name is zero-terminated.
        unsafe { pg_sys::dropdb(name.as_ptr(), true, true) };
        transaction::commit();
        Ok(())
    });
    transaction::settle(outcome)
}
