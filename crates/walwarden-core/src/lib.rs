//! What a backup is, apart from where it runs: the archive format, the manifest, the audit chain, schedules,
//! job states and errors. No PostgreSQL, no I/O, no clock: times and randomness come in as arguments.
#![forbid(unsafe_code)]

pub mod address;
pub mod archive;
pub mod audit;
pub mod backup_options;
pub mod blocker;
pub mod breaker;
pub mod capacity;
pub mod copy_text;
pub mod discovery;
pub mod encoder;
pub mod error;
pub mod evidence;
mod exact_uuid;
pub mod examination;
pub mod filter;
pub mod globals;
pub mod job;
pub mod key;
pub mod manifest;
pub mod memory;
pub mod message;
mod named;
pub mod progress;
pub mod rate;
pub mod release;
pub mod remains;
pub mod report;
pub mod retention;
pub mod schedule;
pub mod signature;
pub mod turns;
pub mod verification;

pub use error::{Error, ErrorClass, Result};
