//! The launcher: knows when each database's next tick is due, and starts it; and whose turn it is to start a job, and starts
//! its leader. It is connected to no database (as the autovacuum launcher), so that DROP DATABASE and CREATE DATABASE ...
//! TEMPLATE are never blocked by an idle walwarden, and it sleeps on its latch until the next tick is due or somebody leaves a
//! letter.

use crate::pg::bgworker::{self, Handle, Status};
use crate::pg::shared::{self, NEVER};
use crate::pg::transaction::transaction;
use crate::pg::{clock, databases, interrupts, locks};
use crate::worker::start;
use std::collections::HashMap;
use std::time::{Duration, Instant};
use walwarden_core::breaker::{Breaker, Step};
use walwarden_core::turns::Turns;
use walwarden_core::{ErrorClass, Result};

/// The longest sleep: how soon a database that appears without a letter (CREATE DATABASE ... TEMPLATE) is seen.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);
/// The shortest one, so that nothing that goes wrong can make it spin.
const SHORTEST_SLEEP: Duration = Duration::from_millis(10);
/// Ticks at a time; each takes a worker slot for a moment.
const MOST_TICKS: usize = 2;
/// A tick that ends without having done its work.
const FAILING_TICK: Breaker = Breaker::new(Duration::from_secs(60), Duration::from_secs(600));
/// Every worker slot of the server is taken.
const NO_WORKER: Breaker = Breaker::new(Duration::from_secs(1), Duration::from_secs(60));
/// The launcher itself fails.
const FAILING: Breaker = Breaker::new(Duration::from_secs(10), Duration::from_secs(600));
/// It counts as healthy when it has worked for this long.
const HEALTHY: Duration = Duration::from_secs(600);
/// Crashes in a row after which it begins to hold back: perhaps what it starts is what crashes.
const CRASHES_FOR_FREE: u32 = 5;

/// Main function, after the process was set up by `entry`.
pub fn main() {
    interrupts::install_orderly();
    let outcome = bgworker::connect_to_no_database().and_then(|()| {
        shared::set_launcher(std::process::id() as i32);
        hold_back_after_crashes()?;
        run_again_and_again()
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

/// What is started might be what crashes the server: the more often that happened, the longer nothing is started.
fn hold_back_after_crashes() -> Result<()> {
    let crashes = shared::crashes_in_a_row();
    let wait = FAILING.after(crashes.saturating_sub(CRASHES_FOR_FREE)).wait();
    if wait.is_zero() {
        return Ok(());
    }
    pgrx::log!(
        "walwarden: launcher: the server has crashed {crashes} times in a row: nothing is started for {} s",
        wait.as_secs()
    );
    sleep_for(wait)
}

/// An error of the launcher is no reason to end it, nor to try again at once.
fn run_again_and_again() -> Result<()> {
    let mut breaker = FAILING;
    loop {
        let started = Instant::now();
        let Err(error) = Launcher::default().run() else { return Ok(()) };
        if error.class == ErrorClass::Terminated {
            return Err(error);
        }
        if started.elapsed() >= HEALTHY {
            breaker = FAILING;
        }
        let step = breaker.failed();
        if step.is_new {
            crate::error::log(&error, &format!("launcher: {}", failures(&step)));
        }
        sleep_for(step.wait)?;
    }
}

fn failures(step: &Step) -> String {
    let times = if step.failures == 1 {
        "failed once".to_owned()
    } else {
        format!("failed {} times in a row", step.failures)
    };
    format!("{times}, next try in {} s", step.wait.as_secs())
}

fn sleep_for(time: Duration) -> Result<()> {
    let until = Instant::now() + time;
    while let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
        sleep(left)?;
    }
    Ok(())
}

/// Sleep until the latch is set. A canceled query means nothing to the launcher.
fn sleep(time: Duration) -> Result<()> {
    match interrupts::wait(None, time) {
        Err(error) if error.class == ErrorClass::Canceled => {
            interrupts::acknowledge();
            interrupts::settled();
            Ok(())
        }
        outcome => outcome,
    }
}

struct Launcher {
    /// When each known database's next tick is due; 0 is now.
    due: HashMap<u32, i64>,
    /// Ticks under way, and whether their work is done.
    ticks: HashMap<u32, (Handle, bool)>,
    /// Databases that want another tick after the one under way, and when.
    again: HashMap<u32, i64>,
    /// Databases whose ticks fail.
    failing: HashMap<u32, Breaker>,
    /// Databases in which jobs wait to start.
    turns: Turns,
    /// Leaders that were started for these and have not begun a job yet.
    leaders: HashMap<u32, Handle>,
    /// Whether more jobs could run at this moment.
    has_slots: bool,
    /// No worker could be started, and until when none is tried.
    no_worker: Breaker,
    no_worker_until: i64,
}

impl Default for Launcher {
    fn default() -> Self {
        Self {
            due: HashMap::new(),
            ticks: HashMap::new(),
            again: HashMap::new(),
            failing: HashMap::new(),
            turns: Turns::default(),
            leaders: HashMap::new(),
            has_slots: true,
            no_worker: NO_WORKER,
            no_worker_until: 0,
        }
    }
}

impl Launcher {
    fn run(&mut self) -> Result<()> {
        loop {
            // Before the letters are read: what has ended has written all of its letters.
            let (ended_ticks, ended_leaders) = self.ended();
            self.read_letters();
            self.judge(&ended_ticks, &ended_leaders);
            let enabled = crate::guc::ENABLED.get();
            if enabled {
                self.look_for_databases()?;
                self.give_turns()?;
                self.start_due_ticks();
            }
            self.tell_everybody();
            sleep(if enabled { self.until_next() } else { LONGEST_SLEEP })?;
        }
    }

    fn read_letters(&mut self) {
        let (letters, overflown) = shared::collect();
        let now = now();
        for mut letter in letters {
            let database = letter.database;
            // Wishes have their place in the line like everybody else who is due.
            letter.due = letter.due.map(|due| if due == 0 { now } else { due });
            // News that came while a tick ran may have come after it looked: its own report must not cancel them.
            let is_under_way = self.ticks.get(&database).is_some_and(|(_, done)| !done);
            let waits = letter.waiting.is_some_and(|since| since != NEVER);
            if is_under_way && !letter.ticked {
                let wanted = letter.due.into_iter().chain(waits.then_some(now)).min();
                if let Some(wanted) = wanted {
                    let known = self.again.entry(database).or_insert(wanted);
                    *known = wanted.min(*known);
                }
            }
            let again = if letter.ticked { self.again.remove(&database) } else { None };
            if letter.ticked {
                self.failing.remove(&database);
                if let Some((_, done)) = self.ticks.get_mut(&database) {
                    *done = true;
                }
            }
            if let Some(due) = letter.due {
                // A tick knows everything up to its own end.
                let known = if letter.ticked { again } else { self.due.get(&database).copied() };
                self.due.insert(database, known.map_or(due, |known| known.min(due)));
            }
            if letter.started {
                self.leaders.remove(&database);
                self.turns.started(database, now);
            }
            match letter.waiting {
                Some(NEVER) if again.is_some() => {}
                Some(NEVER) => self.turns.rest(database),
                Some(since) => self.turns.wait(database, since),
                None => {}
            }
            if letter.refused {
                self.leaders.remove(&database);
                self.turns.came_to_nothing(database, waits, now);
            }
        }
        // Some were lost: every database is looked at, those with a tick under way once more.
        if overflown {
            self.due.values_mut().for_each(|due| *due = 0);
            self.again.extend(self.ticks.keys().map(|database| (*database, 0)));
        }
    }

    /// The databases of ticks, and of leaders that have not begun a job, whose processes are gone.
    fn ended(&self) -> (Vec<u32>, Vec<u32>) {
        let has_ended = |handle: &Handle| handle.status() == Status::Stopped;
        let ticks = self.ticks.iter().filter(|(_, (tick, _))| has_ended(tick)).map(|(database, _)| *database);
        let leaders =
            self.leaders.iter().filter(|(_, leader)| has_ended(leader)).map(|(database, _)| *database);
        (ticks.collect(), leaders.collect())
    }

    /// Who ended without a word has failed.
    fn judge(&mut self, ticks: &[u32], leaders: &[u32]) {
        let now = now();
        for database in ticks {
            if let Some((_, false)) = self.ticks.remove(database) {
                self.tick_failed(*database, now);
            }
        }
        for database in leaders {
            if self.leaders.remove(database).is_some() {
                self.turns.came_to_nothing(*database, true, now);
            }
        }
        if !ticks.is_empty() || !leaders.is_empty() {
            self.no_worker_until = 0;
        }
    }

    fn tick_failed(&mut self, database: u32, now: i64) {
        let step = self.failing.entry(database).or_insert(FAILING_TICK).failed();
        self.due.insert(database, now + micros(step.wait));
        if step.is_new {
            pgrx::log!("walwarden: launcher: the tick of database {database} {}", failures(&step));
        }
    }

    /// New databases get a first tick, which finds out whether walwarden is installed there; dropped ones are
    /// forgotten.
    fn look_for_databases(&mut self) -> Result<()> {
        let present = transaction(databases::connectable)?;
        self.due.retain(|database, _| present.contains(database));
        self.failing.retain(|database, _| present.contains(database));
        self.turns.keep(&present);
        for database in present {
            self.due.entry(database).or_insert(0);
        }
        Ok(())
    }

    /// Starts a leader in each database whose turn it is, as long as more jobs may run.
    fn give_turns(&mut self) -> Result<()> {
        if self.turns.waiting() == 0 {
            return Ok(());
        }
        let taken = transaction(|| Ok(locks::claimed()?.slots.len()))? + self.leaders.len();
        let free = crate::guc::max_concurrent_jobs().saturating_sub(taken);
        self.has_slots = free > 0;
        let now = now();
        for _ in 0..free {
            if now < self.no_worker_until {
                break;
            }
            let Some(database) = self.turns.give(now) else { break };
            match start::start_leader_in(database) {
                Some(leader) => {
                    self.leaders.insert(database, leader);
                    self.worker_started();
                }
                None => {
                    self.turns.take_back(database);
                    self.no_worker_started("leader", now);
                }
            }
        }
        Ok(())
    }

    fn start_due_ticks(&mut self) {
        let now = now();
        let mut waiting: Vec<(i64, u32)> = self
            .due
            .iter()
            .filter(|(database, due)| **due <= now && !self.ticks.contains_key(database))
            .map(|(database, due)| (*due, *database))
            .collect();
        waiting.sort_unstable();
        for (_, database) in waiting {
            if self.ticks.len() >= MOST_TICKS || now < self.no_worker_until {
                break;
            }
            match start::start_tick(database) {
                Some(tick) => {
                    // The tick reports the time of the next one.
                    self.due.insert(database, NEVER);
                    self.ticks.insert(database, (tick, false));
                    self.worker_started();
                }
                None => self.no_worker_started("tick", now),
            }
        }
    }

    fn worker_started(&mut self) {
        self.no_worker = NO_WORKER;
        self.no_worker_until = 0;
    }

    fn no_worker_started(&mut self, what: &str, now: i64) {
        let step = self.no_worker.failed();
        self.no_worker_until = now + micros(step.wait);
        if step.is_new {
            crate::error::log(&bgworker::no_free_slot(what), &format!("launcher: {}", failures(&step)));
        }
    }

    fn tell_everybody(&self) {
        let turns = self.turns.waiting() > 0;
        if shared::notice().turns_are_waited_for != turns {
            shared::change_notice(|notice| notice.turns_are_waited_for = turns);
        }
    }

    fn until_next(&self) -> Duration {
        let now = now();
        // When too many ticks are due, the end of one wakes us; when too many jobs run, so does theirs.
        let tick = self
            .due
            .iter()
            .filter(|(database, due)| **due != NEVER && !self.ticks.contains_key(database))
            .map(|(_, due)| *due)
            .min()
            .filter(|due| *due > now || self.ticks.len() < MOST_TICKS);
        let turn = self.turns.earliest().filter(|_| self.has_slots);
        let next = tick.into_iter().chain(turn).min().unwrap_or(NEVER).max(self.no_worker_until);
        let micros = u64::try_from(next.saturating_sub(now)).unwrap_or(0);
        Duration::from_micros(micros).clamp(SHORTEST_SLEEP, LONGEST_SLEEP)
    }
}

fn now() -> i64 {
    clock::now().timestamp_micros()
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
