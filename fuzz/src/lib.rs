//! Fuzz targets: plain functions that take any bytes. What they call must neither panic nor take for granted what it reads;
//! what was read and is written again must be the same.
//!
//! `cargo fuzz` runs them through the programs in `fuzz_targets/`; `tests/targets.rs` runs each of them in the ordinary tests,
//! so that none of them rots.

mod seeds;
mod targets;

pub use seeds::seeds;
pub use targets::{Target, all, run};
