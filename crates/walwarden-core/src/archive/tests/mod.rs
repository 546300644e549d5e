//! Tests of the archive as a whole.

mod assignment;
mod damage;
mod order;
mod pieces;
mod round_trip;
pub(crate) mod samples;
mod selection;
