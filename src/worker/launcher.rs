//! The launcher: knows when each database's next tick is due, and starts it. It is connected to no database (as the
//! autovacuum launcher), so that DROP DATABASE and CREATE DATABASE ... TEMPLATE are never blocked by an idle
//! walwarden, and it sleeps on its latch until the next tick is due or somebody leaves a letter.

use crate::pg::bgworker::{self, Handle, Status};
use crate::pg::shared::{self, Letter, NEVER};
use crate::pg::transaction::transaction;
use crate::pg::{clock, databases, interrupts};
use crate::worker::start;
use std::collections::{HashMap, HashSet};
use std::time::Duration;
use walwarden_core::{ErrorClass, Result};

/// The longest sleep: how soon a database that appears without a letter (CREATE DATABASE ... TEMPLATE) is seen.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);
/// Ticks at a time; each takes a worker slot for a moment.
const MOST_TICKS: usize = 2;
/// How long a tick that could not be started, or that ended without reporting, waits for its next try.
const RETRY_MICROS: i64 = 60 * 1_000_000;

/// Main function, after the process was set up by `entry`.
pub fn main() {
    interrupts::install_orderly();
    let outcome = bgworker::connect_to_no_database().and_then(|()| {
        shared::set_launcher(std::process::id() as i32);
        Launcher::default().run()
    });
    shared::set_launcher(0);
    match outcome {
        Ok(()) => {}
        // As PostgreSQL's own launchers: with exit code 0 the postmaster would never start it again.
        Err(error) if error.class == ErrorClass::Terminated => {
            pgrx::ereport!(
                FATAL,
                pgrx::prelude::PgSqlErrorCode::ERRCODE_ADMIN_SHUTDOWN,
                "terminating walwarden launcher due to administrator command"
            );
        }
        Err(error) => {
            crate::error::log(&error, "launcher");
            // Exit code 1: started again after the restart interval.
            pgrx::error!("walwarden launcher ended: {}", error.message);
        }
    }
}

#[derive(Default)]
struct Launcher {
    /// When each known database's next tick is due; 0 is now.
    due: HashMap<u32, i64>,
    /// Ticks under way.
    ticks: HashMap<u32, Handle>,
    /// Databases that want another tick after the one under way.
    again: HashSet<u32>,
}

impl Launcher {
    fn run(&mut self) -> Result<()> {
        loop {
            self.read_letters();
            self.forget_ended_ticks();
            let enabled = crate::guc::ENABLED.get();
            if enabled {
                self.look_for_databases()?;
                self.start_due_ticks();
            }
            let sleep = if enabled { self.until_next() } else { LONGEST_SLEEP };
            // A canceled query means nothing to the launcher.
            match interrupts::wait(None, sleep) {
                Err(error) if error.class == ErrorClass::Canceled => {
                    interrupts::acknowledge();
                    interrupts::settled();
                }
                outcome => outcome?,
            }
        }
    }

    fn read_letters(&mut self) {
        match shared::collect() {
            Some(letters) => {
                for Letter { database, due } in letters {
                    // A wish for an early tick that came while a tick ran may have come after it read the schedules:
                    // that tick's own report must not cancel it.
                    if due == 0 && self.ticks.contains_key(&database) {
                        self.again.insert(database);
                    }
                    let due = if due != 0 && self.again.remove(&database) { 0 } else { due };
                    self.due.insert(database, due);
                }
            }
            // Some were lost: every database is looked at, those with a tick under way once more.
            None => {
                self.due.values_mut().for_each(|due| *due = 0);
                self.again.extend(self.ticks.keys());
            }
        }
    }

    fn forget_ended_ticks(&mut self) {
        self.ticks.retain(|_, tick| tick.status() != Status::Stopped);
    }

    /// New databases get a first tick, which finds out whether walwarden is installed there; dropped ones are
    /// forgotten.
    fn look_for_databases(&mut self) -> Result<()> {
        let present = transaction(databases::connectable)?;
        self.due.retain(|database, _| present.contains(database));
        for database in present {
            self.due.entry(database).or_insert(0);
        }
        Ok(())
    }

    fn start_due_ticks(&mut self) {
        let now = clock::now().timestamp_micros();
        let mut waiting: Vec<(i64, u32)> = self
            .due
            .iter()
            .filter(|(database, due)| **due <= now && !self.ticks.contains_key(database))
            .map(|(database, due)| (*due, *database))
            .collect();
        waiting.sort_unstable();
        for (_, database) in waiting {
            if self.ticks.len() >= MOST_TICKS {
                break;
            }
            // The tick reports the time of the next one; this stands if it cannot.
            self.due.insert(database, now + RETRY_MICROS);
            match start::start_tick(database) {
                Some(tick) => {
                    self.ticks.insert(database, tick);
                }
                None => {
                    crate::error::log(&bgworker::no_free_slot("tick"), "launcher");
                    break;
                }
            }
        }
    }

    fn until_next(&self) -> Duration {
        let now = clock::now().timestamp_micros();
        let next = self
            .due
            .iter()
            .filter(|(database, due)| **due != NEVER && !self.ticks.contains_key(database))
            .map(|(_, due)| *due)
            .min()
            .unwrap_or(NEVER);
        let micros = next.saturating_sub(now).max(0);
        // When too many ticks are due, the end of one wakes us.
        if micros == 0 && self.ticks.len() >= MOST_TICKS {
            return LONGEST_SLEEP;
        }
        Duration::from_micros(micros as u64).clamp(Duration::from_millis(10), LONGEST_SLEEP)
    }
}
