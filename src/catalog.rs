//! The tables of schema `walwarden`: all SQL text that reads or writes them, one file a table. Everything here must
//! run inside a transaction.

pub mod anchor;
pub mod audit;
pub mod backup;
pub mod backup_copy;
pub mod checkpoint;
pub mod database;
pub mod discovered;
pub mod evidence;
pub mod job;
pub mod key;
pub mod manifest;
pub mod notification;
pub mod report;
pub mod retention;
pub mod schedule;
pub mod storage;
pub mod task;
pub mod watch;
pub mod webhook;

use crate::pg::extension;
use walwarden_core::Result;

/// Whether ALTER EXTENSION UPDATE is still to come: what 0.2.0 has added to tables is not there then.
fn objects_are_of_0_1_0() -> Result<bool> {
    Ok(extension::version()? == "0.1.0")
}
