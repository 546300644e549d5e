//! The SQL functions: each checks its arguments, calls the catalog or the workers, and turns errors into
//! PostgreSQL's. Names that begin with an underscore are for walwarden's own SQL.
//!
//! All run as the extension's owner with a pinned search_path; `sql/grants.sql` says who may call them.

pub mod audit;
pub mod backup;
mod blocks;
pub mod database;
pub mod discover;
pub mod encoder;
pub mod evidence;
pub mod job;
pub mod key;
mod options;
pub mod read_table;
pub mod report;
pub mod restore;
pub mod schedule;
pub mod status;
pub mod storage;
pub mod webhook;
