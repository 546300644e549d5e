//! The databases of the cluster, for the launcher, which is connected to none and so cannot use SQL.

use pgrx::pg_sys;
use std::collections::HashSet;
use walwarden_core::Result;

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
