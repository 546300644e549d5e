//! Locks a worker takes by number rather than by SQL.

use super::caught::caught;
use super::sql;
use pgrx::pg_sys;
use walwarden_core::Result;

/// Session-level advisory locks of our own kind: pg_advisory_lock uses kinds 1 and 2 (lockfuncs.c), so users' keys
/// never meet ours.
const LOCK_KIND: u16 = 0x5757;

/// What a walwarden process holds while it lives; PostgreSQL releases it when the process dies, however it dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// This job is being worked on.
    Job(u128),
    /// A backup runs in this database.
    Backup,
    /// Somebody cleans up after lost jobs in this database.
    Reaper,
    /// Somebody deletes what has expired in this database.
    Cleaner,
    /// One of the few cleaners of the cluster, by number from 0.
    Cleaning(u32),
    /// Somebody puts checkpoints of the audit chain of this database into storage.
    Anchor,
    /// One of the few that do so at a time in the cluster, by number from 0.
    Anchoring(u32),
    /// Somebody delivers the notifications of this database.
    Messenger,
    /// Somebody is about to take a slot: one at a time in the cluster.
    Slots,
    /// One of the jobs that run at once in the cluster, by number from 0.
    Slot(u32),
}

/// The number that marks the slots among the claims of no database.
const SLOT: u32 = 2;

impl Claim {
    fn tag(self) -> pg_sys::LOCKTAG {
        // SAFETY: reads a process global that is set once connected.
        let here = unsafe { pg_sys::MyDatabaseId }.to_u32();
        let (database, first, second) = match self {
            // The last 64 bits of a UUIDv7 are its random part.
            Self::Job(id) => (here, (id >> 32) as u32, id as u32),
            Self::Backup => (here, 0, 1),
            Self::Reaper => (here, 0, 2),
            Self::Cleaner => (here, 0, 3),
            Self::Messenger => (here, 0, 4),
            Self::Anchor => (here, 0, 5),
            // Of the cluster: no database has the oid 0.
            Self::Cleaning(number) => (0, 3, number),
            Self::Anchoring(number) => (0, 4, number),
            Self::Slots => (0, 1, 0),
            Self::Slot(number) => (0, SLOT, number),
        };
        pg_sys::LOCKTAG {
            locktag_field1: database,
            locktag_field2: first,
            locktag_field3: second,
            locktag_field4: LOCK_KIND,
            locktag_type: pg_sys::LockTagType::LOCKTAG_ADVISORY as u8,
            locktag_lockmethodid: pg_sys::USER_LOCKMETHOD as u8,
        }
    }

    /// Take it for this session if it is free.
    pub fn try_take(self) -> Result<bool> {
        let tag = self.tag();
        caught(|| {
            // SAFETY: the tag is well formed; a session lock outlives transactions until released or process end.
            let outcome =
                unsafe { pg_sys::LockAcquire(&raw const tag, pg_sys::ExclusiveLock as i32, true, true) };
            Ok(outcome != pg_sys::LockAcquireResult::LOCKACQUIRE_NOT_AVAIL)
        })
    }

    /// Take one of a few places that are numbered from 0; false if all are taken.
    pub fn try_take_one(places: u32, numbered: fn(u32) -> Self) -> Result<bool> {
        for number in 0..places {
            if numbered(number).try_take()? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Wait for it, and have it until the end of this transaction.
    pub fn wait_until_commit(self) -> Result<()> {
        let tag = self.tag();
        caught(|| {
            // SAFETY: the tag is well formed; inside a transaction, which releases the lock. The wait is interruptible.
            unsafe { pg_sys::LockAcquire(&raw const tag, pg_sys::ExclusiveLock as i32, false, false) };
            Ok(())
        })
    }

    /// Give it back.
    pub fn release(self) -> Result<()> {
        let tag = self.tag();
        caught(|| {
            // SAFETY: the tag is well formed; releasing what is not held only warns.
            unsafe { pg_sys::LockRelease(&raw const tag, pg_sys::ExclusiveLock as i32, true) };
            Ok(())
        })
    }

    /// The process that holds it, if any. Asks pg_locks instead of trying the lock, so that looking never gets in
    /// the way of a process that is about to take it. Must run inside a transaction.
    pub fn holder(self) -> Result<Option<i32>> {
        let tag = self.tag();
        let row = sql::query_one(
            "SELECT pid FROM pg_catalog.pg_locks WHERE locktype = 'advisory' AND granted AND database = $1::oid \
             AND classid = $2::oid AND objid = $3::oid AND objsubid = $4::int2",
            &[
                Some(&tag.locktag_field1.to_string()),
                Some(&tag.locktag_field2.to_string()),
                Some(&tag.locktag_field3.to_string()),
                Some(&tag.locktag_field4.to_string()),
            ],
        )?;
        row.map(|row| row.parse(0)).transpose()
    }
}

/// What is claimed at this moment in the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// The slots that are taken, in order.
    pub slots: Vec<u32>,
    /// Whether a backup runs in this database.
    pub backup_here: bool,
}

/// Reads PostgreSQL's lock table, as pg_locks does, but without SQL: the launcher has no database to ask.
pub fn claimed() -> Result<Claimed> {
    let backup = Claim::Backup.tag();
    let mut claimed = Claimed { slots: Vec::new(), backup_here: false };
    caught(|| {
        // SAFETY: both allocations are ours to free; `nelements` entries stand in `locks`.
        unsafe {
            let data = pg_sys::GetLockStatusData();
            let count = usize::try_from((*data).nelements).unwrap_or(0);
            if count > 0 {
                for lock in std::slice::from_raw_parts((*data).locks, count) {
                    let tag = &lock.locktag;
                    let is_ours = tag.locktag_type == backup.locktag_type && tag.locktag_field4 == LOCK_KIND;
                    if !is_ours || lock.holdMask == 0 {
                        continue;
                    }
                    let name = (tag.locktag_field1, tag.locktag_field2, tag.locktag_field3);
                    if (name.0, name.1) == (0, SLOT) {
                        claimed.slots.push(name.2);
                    } else if name == (backup.locktag_field1, backup.locktag_field2, backup.locktag_field3) {
                        claimed.backup_here = true;
                    }
                }
            }
            pg_sys::pfree((*data).locks.cast());
            pg_sys::pfree(data.cast());
        }
        Ok(())
    })?;
    claimed.slots.sort_unstable();
    Ok(claimed)
}

/// A table is not locked more often than this by one transaction: once ahead, and by each of its pieces.
const MOST_LOCKS_OF_A_TABLE: usize = 100_000;

/// Give back every ACCESS SHARE lock that this transaction has on a table and its indexes: its rows have been read. The
/// planner locks the indexes of a table that is sampled (get_relation_info in plancat.c).
pub fn unlock_table(oid: u32) {
    let oid = pg_sys::Oid::from(oid);
    if !is_held(oid) {
        return;
    }
    // SAFETY: the lock that relation_open asks for is held; the list is copied out of the relation before it is closed.
    let indexes: Vec<pg_sys::Oid> = unsafe {
        let relation = pg_sys::relation_open(oid, pg_sys::NoLock as i32);
        let list = pgrx::PgList::<pg_sys::Oid>::from_pg(pg_sys::RelationGetIndexList(relation));
        let indexes = list.iter_oid().collect();
        pg_sys::relation_close(relation, pg_sys::NoLock as i32);
        indexes
    };
    indexes.into_iter().for_each(unlock);
    unlock(oid);
}

fn unlock(oid: pg_sys::Oid) {
    for _ in 0..MOST_LOCKS_OF_A_TABLE {
        if !is_held(oid) {
            break;
        }
        // SAFETY: the lock is held.
        unsafe { pg_sys::UnlockRelationOid(oid, pg_sys::AccessShareLock as i32) };
    }
}

/// Whether this transaction has ACCESS SHARE on the relation.
fn is_held(oid: pg_sys::Oid) -> bool {
    // SAFETY: reads a process global that is set once connected.
    let database = unsafe { pg_sys::MyDatabaseId };
    let tag = pg_sys::LOCKTAG {
        locktag_field1: database.to_u32(),
        locktag_field2: oid.to_u32(),
        locktag_field3: 0,
        locktag_field4: 0,
        locktag_type: pg_sys::LockTagType::LOCKTAG_RELATION as u8,
        locktag_lockmethodid: pg_sys::DEFAULT_LOCKMETHOD as u8,
    };
    let mode = pg_sys::AccessShareLock as i32;
    // SAFETY: the tag is well formed.
    #[cfg(any(feature = "pg15", feature = "pg16"))]
    let held = unsafe { pg_sys::LockHeldByMe(&raw const tag, mode) };
    // SAFETY: the tag is well formed.
    #[cfg(any(feature = "pg17", feature = "pg18"))]
    let held = unsafe { pg_sys::LockHeldByMe(&raw const tag, mode, false) };
    held
}

/// Take ACCESS SHARE on a table until the end of the transaction, without taking a snapshot. A lock that is not had
/// within `lock_timeout` is raised as 55P03.
pub fn lock_table(oid: u32) {
    // SAFETY: inside a transaction; an oid that no longer names a table locks nothing that matters.
    unsafe { pg_sys::LockRelationOid(pg_sys::Oid::from(oid), pg_sys::AccessShareLock as i32) };
}
