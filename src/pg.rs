//! The only unsafe code: safe types around what PostgreSQL offers in C. Nothing here knows of backups.
//!
//! Who frees what on ERROR: PostgreSQL's errors unwind as Rust panics through pgrx's guards, so Rust values on the
//! stack are dropped; `Drop` here never calls into PostgreSQL except where it says so.
#![allow(unsafe_code, reason = "the one place where it is needed; every block says why it is sound")]

pub mod bgworker;
pub mod blocks;
pub mod caught;
pub mod clock;
pub mod copy_in;
pub mod copy_out;
mod copy_session;
pub mod databases;
pub mod direct_copy;
pub mod extension;
mod heap_scan;
pub mod interrupts;
pub mod lock_group;
pub mod locks;
pub mod new_table;
pub mod preload;
pub mod process;
pub mod queue;
pub mod random;
pub mod raw;
pub mod record_set;
pub mod role;
pub mod script;
pub mod segment;
pub mod server;
pub mod shared;
pub mod sql;
mod statement;
pub mod table_owner;
pub mod text;
pub mod toc_only;
pub mod transaction;
mod utility;
pub mod waker;
