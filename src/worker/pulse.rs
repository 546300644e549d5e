//! What a leader looks after while it waits.

use crate::pg::extension;
use crate::pg::transaction::transaction;
use std::time::{Duration, Instant};
use walwarden_core::{Error, ErrorClass, Result};

/// The longest sleep between looks at what else wants attention.
pub const LONGEST_SLEEP: Duration = Duration::from_secs(1);
/// How often a leader makes sure that the extension is still there.
const BEAT: Duration = Duration::from_secs(1);

/// A job of a database whose walwarden was dropped must stop.
pub struct Pulse {
    last: Instant,
}

impl Pulse {
    /// The first beat is a second from now.
    pub fn new() -> Self {
        Self { last: Instant::now() }
    }

    /// Once a second, looks whether the extension is still there; true when it did.
    ///
    /// # Errors
    /// `Canceled` when it is gone.
    pub fn beat(&mut self) -> Result<bool> {
        if self.last.elapsed() < BEAT {
            return Ok(false);
        }
        self.last = Instant::now();
        require_extension().map(|()| true)
    }
}

fn require_extension() -> Result<()> {
    transaction(|| {
        if extension::exists() {
            return Ok(());
        }
        Err(Error::new(ErrorClass::Canceled, "extension walwarden was dropped while the job ran"))
    })
}
