//! What each class means and what to do about it, in words for people: docs/reference/error-classes.md is made of them.

use super::ErrorClass;

impl ErrorClass {
    /// What happened when an error has this class.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::InvalidInput => {
                "a value that was given cannot be used: URL, option, cron expression, time zone, name, timeout, `jobs`, \
                 `compression`, `max_rate`, a public key"
            }
            Self::NotFound => {
                "no job, schedule or storage of that name; or a pattern of what a backup shall hold matches nothing"
            }
            Self::AlreadyExists => "a storage, or a database to restore into, of that name exists",
            Self::NotPermitted => {
                "the caller may not do this: make a table in that schema, name a file or folder of the server; or a storage \
                 or webhook is at a host that may not be reached"
            }
            Self::WrongState => {
                "the action does not fit: a standby, a copy of another database, a storage in use, waiting for a job queued \
                 in the same transaction, verifying or restoring what is no completed backup, restoring into an older server \
                 or into the database one is in, `CALL walwarden.backup()` inside a transaction block"
            }
            Self::Configuration => {
                "a setting or a file prevents it: `walwarden.conninfo`, `walwarden.signer`, the credentials file or the \
                 profile, half a pair of keys in the environment"
            }
            Self::Key => {
                "the signing key is missing, empty, damaged, retired, of another owner or readable by others; or \
                 `walwarden.signer` fails, is not there, or gives no right signature; or a backup was signed with a key that \
                 this database does not know; or an encrypted backup has no identity file here that decrypts it"
            }
            Self::Resources => {
                "no worker slot, shared memory segment, thread, memory or room in the lock table, or `walwarden.max_memory` \
                 holds not one part of the upload"
            }
            Self::LockTimeout => "a table's lock was not to be had within `walwarden.lock_timeout`",
            Self::Database => {
                "PostgreSQL refused a statement: an error of COPY on damaged data, a deadlock, rows that do not fit when \
                 they are restored"
            }
            Self::ChildProcess => {
                "pg_dump, pg_dumpall or pg_restore could not be started, failed or was killed"
            }
            Self::Archive => {
                "pg_dump wrote what walwarden does not expect, or a manifest or audit entry does not have its form"
            }
            Self::StoragePermission => {
                "storage refused the credentials or the action, or there are no credentials"
            }
            Self::StorageNotFound => "the bucket, folder or object does not exist",
            Self::StorageUnreachable => {
                "no connection, no answer in time, or \"try later\", for as long as requests are repeated"
            }
            Self::StorageConflict => "an object that must be new is there already",
            Self::StorageFull => "disk, quota or bucket is full",
            Self::StorageCorrupt => {
                "storage gave back other bytes than were written, or a signature does not verify; a verification that ends \
                 with this, or with `storage_not_found`, marks its backup in `walwarden.backups`"
            }
            Self::Storage => {
                "storage failed in another way: another region, a class of storage that cannot be read at once, a file \
                 system without hard links, an answer that makes no sense"
            }
            Self::TestFailed => {
                "a restore test found other rows, other large objects or another answer than it must"
            }
            Self::TimedOut => "an attempt took longer than the `timeout` of its schedule",
            Self::Canceled => {
                "somebody canceled the work; a canceled job has the state `canceled` and no class"
            }
            Self::Terminated => "an administrator or a shutdown ended the leader",
            Self::Lost => {
                "the leader, a copier or a loader is gone without a word: terminated, killed, or the server restarted"
            }
            Self::Internal => "a defect of walwarden",
        }
    }

    /// What to do about it.
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::InvalidInput => "correct it; detail and hint say how",
            Self::NotFound => "look into `walwarden.jobs`, `schedules`, `storages`",
            Self::AlreadyExists => "`walwarden.alter_storage()`; another name, or `overwrite => true`",
            Self::NotPermitted => "GRANT; `walwarden.storage_allow`, `walwarden.webhook_allow`",
            Self::WrongState => "see the hint",
            Self::Configuration => "correct it; the credentials file must be closed to others",
            Self::Key => "see the hint; put the key back from its copy",
            Self::Resources => {
                "raise `max_worker_processes`, `max_locks_per_transaction`, `walwarden.max_memory`, or wait"
            }
            Self::LockTimeout => {
                "the detail names who has it or is ahead in the queue; end that session, raise the setting, or run again later"
            }
            Self::Database => "see SQLSTATE in the detail",
            Self::ChildProcess => "the detail is what it wrote; often `pg_hba.conf` or `walwarden.conninfo`",
            Self::Archive => {
                "if \"rows instead of a statement\": put walwarden last in `shared_preload_libraries` and check that \
                 pg_dump's role is a superuser; else report it"
            }
            Self::StoragePermission => "keys, their expiry, the clock, permissions of the keys",
            Self::StorageNotFound => "create the bucket; check URL and endpoint; mount the disk",
            Self::StorageUnreachable => "network, endpoint, certificate; storage option `timeout`",
            Self::StorageConflict => "find out who else writes to this storage",
            Self::StorageFull => "make room",
            Self::StorageCorrupt => {
                "do not rely on this storage; `walwarden.check_storage()`; keep the object for an investigation"
            }
            Self::Storage => "see detail and hint",
            Self::TestFailed => "the detail has both; `test_failure` of `walwarden.backups` repeats it",
            Self::TimedOut => {
                "raise `timeout`; look into `walwarden.jobs` for how long the others took, and at what the job waited for"
            }
            Self::Canceled => "nothing",
            Self::Terminated => "run again",
            Self::Lost => "the server's log around that time; run again",
            Self::Internal => "report it with message, detail and the server's log",
        }
    }
}
