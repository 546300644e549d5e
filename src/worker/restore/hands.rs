//! What works for the leader of a restore: threads for storage, workers, and a program of PostgreSQL's.

use crate::pg::bgworker::{self, Handle};
use crate::worker::child::Running;
use crate::worker::io::Io;
use std::time::Duration;

/// How long workers that were told to end are waited for.
const FAREWELL: Duration = Duration::from_millis(500);

/// Everything that is under way.
pub struct Hands {
    /// Threads for storage.
    pub io: Io,
    /// Loaders, or an examiner.
    pub workers: Vec<Handle>,
    /// pg_restore.
    pub program: Option<Running>,
}

impl Hands {
    /// None but the threads.
    pub fn new(io: Io) -> Self {
        Self { io, workers: Vec::new(), program: None }
    }

    /// Stop all of it.
    pub fn stop(&mut self) {
        self.program = None;
        bgworker::end(&mut self.workers, FAREWELL);
    }
}
