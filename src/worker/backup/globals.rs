//! pg_dumpall as the source of the globals: a child of the leader that runs while the tables are locked and pg_dump reads
//! the catalogs.

use crate::pg::waker::Waker;
use crate::worker::child::{Connection, Running, reading_thread, wait_error};
use std::io::Read;
use std::thread::JoinHandle;
use walwarden_core::{Error, Result};

const PROGRAM: &str = "pg_dumpall";

/// A running pg_dumpall and the thread that reads it.
pub struct Globals {
    running: Running,
    output: Option<JoinHandle<std::io::Result<Vec<u8>>>>,
}

impl Globals {
    /// Start it, for roles and tablespaces without passwords. The waker rings when its output is complete.
    pub fn start(connection: &Connection, waker: &Waker) -> Result<Self> {
        let mut command = connection.command(PROGRAM)?;
        command.args(["--globals-only", "--no-role-passwords"]);
        let (running, mut stdout) = Running::start(command, PROGRAM)?;
        let waker = waker.clone();
        let output = reading_thread(PROGRAM, move || {
            let mut bytes = Vec::new();
            let read = stdout.read_to_end(&mut bytes).map(|_| bytes);
            waker.wake();
            read
        })?;
        Ok(Self { running, output: Some(output) })
    }

    /// Its whole output, once it has ended; only once.
    pub fn try_take(&mut self) -> Result<Option<Vec<u8>>> {
        if !self.running.try_finish()? {
            return Ok(None);
        }
        let output = self.output.take().ok_or_else(|| Error::internal("the globals were taken already"))?;
        output
            .join()
            .map_err(|_| Error::internal("the thread reading pg_dumpall panicked"))?
            .map(Some)
            .map_err(|cause| wait_error(PROGRAM, &cause))
    }
}
