//! Lock groups: processes whose locks never conflict with each other (src/backend/storage/lmgr/README).
//!
//! The first copier holds a lock on every table. DDL that waits for such a lock is ahead of everybody who asks later:
//! the other copiers, and pg_dump's session. They would wait for the DDL, which waits for the first copier, which waits for
//! them: a circle that no deadlock check sees, for one of its edges is a queue. In one lock group, as the workers of a
//! parallel query are, they pass by.
//!
//! A member must not run parallel queries: the group has one leader already.

use pgrx::pg_sys;

/// Make this process the leader of a group of its own.
pub fn lead() {
    // SAFETY: this process is in no group yet; its locks so far are its own.
    unsafe { pg_sys::BecomeLockGroupLeader() };
}

/// Join the group of another process, before taking any lock. False when that process is gone, or this one is in a group.
pub fn join(leader: i32) -> bool {
    // SAFETY: the PGPROC of a process stays in shared memory whatever becomes of the process; BecomeLockGroupMember makes
    // sure that it still belongs to that process and that it leads a group.
    unsafe {
        if !(*pg_sys::MyProc).lockGroupLeader.is_null() {
            return false;
        }
        let process = pg_sys::BackendPidGetProc(leader);
        !process.is_null() && pg_sys::BecomeLockGroupMember(process, leader)
    }
}
