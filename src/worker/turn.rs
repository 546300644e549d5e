//! What a leader must hold before it works on a job, and who is next when it has gone: one backup at a time in a database,
//! and `walwarden.max_concurrent_jobs` of all kinds in the cluster. Nobody waits holding a connection: who gets no turn leaves
//! the job queued and goes.

use crate::catalog::{database, job};
use crate::guc;
use crate::pg::bgworker;
use crate::pg::locks::{self, Claim};
use crate::pg::shared::{self, Letter, NEVER};
use crate::pg::transaction::transaction;
use crate::pg::{extension, server};
use crate::worker::start;
use uuid::Uuid;
use walwarden_core::job::{JobKind, waits_for_slot};
use walwarden_core::{Error, Result};

/// The claims of a leader that works; they go with the process, too.
#[derive(Debug)]
pub struct Turn(Vec<Claim>);

/// Whether a leader may work on a job.
#[derive(Debug)]
pub enum Answer {
    /// It may.
    Yes(Turn),
    /// The job is not queued, or another leader is at it.
    Nothing,
    /// Not now.
    NotNow,
}

/// Ask for a turn. A leader that was started because it is the turn of its database is `called`.
pub fn take(id: Uuid, called: bool) -> Result<Answer> {
    let Some((kind, trigger, _)) = transaction(|| job::queued(id))? else { return Ok(Answer::Nothing) };
    let mut turn = Turn(Vec::new());
    if kind == JobKind::Backup && !turn.add(Claim::Backup)? {
        return Ok(Answer::NotNow);
    }
    if !turn.add(Claim::Job(id.as_u128()))? {
        turn.give_back()?;
        return Ok(Answer::Nothing);
    }
    let has_slot = if waits_for_slot(kind, trigger) {
        // Who comes by itself does not push in.
        let may = called || !launcher_gives_turns() || !shared::notice().turns_are_waited_for;
        may && turn.add_slot(Some(guc::max_concurrent_jobs()))?
    } else {
        turn.add_slot(None)?
    };
    if has_slot {
        return Ok(Answer::Yes(turn));
    }
    turn.give_back()?;
    Ok(Answer::NotNow)
}

impl Turn {
    /// Give everything back, in the other order.
    pub fn give_back(self) -> Result<()> {
        self.0.into_iter().rev().try_for_each(Claim::release)
    }

    fn add(&mut self, claim: Claim) -> Result<bool> {
        let taken = claim.try_take()?;
        if taken {
            self.0.push(claim);
        }
        Ok(taken)
    }

    /// One at a time looks and takes, so that all of them together never have more than they may.
    fn add_slot(&mut self, limit: Option<usize>) -> Result<bool> {
        transaction(|| {
            Claim::Slots.wait_until_commit()?;
            let taken = locks::claimed()?.slots;
            if limit.is_some_and(|limit| taken.len() >= limit) {
                return Ok(false);
            }
            let free = (0..).zip(&taken).find(|(number, taken)| number != *taken).map(|(number, _)| number);
            let number = match free {
                Some(number) => number,
                None => {
                    u32::try_from(taken.len()).map_err(|_| Error::internal("too many slots are taken"))?
                }
            };
            self.add(Claim::Slot(number))
        })
    }
}

/// Whether the launcher starts the jobs that wait; if not, each leader starts the next of its own database.
pub fn launcher_gives_turns() -> bool {
    guc::ENABLED.get() && shared::launcher().is_some()
}

/// Whether another job could run in the cluster now.
pub fn slot_is_free() -> Result<bool> {
    Ok(locks::claimed()?.slots.len() < guc::max_concurrent_jobs())
}

/// Since when a job of this database waits for nothing but a slot; [`NEVER`] when none does. Must run inside a transaction.
pub fn waiting_since() -> Result<i64> {
    if !extension::exists() || !database::identity()?.is_of_this_database() {
        return Ok(NEVER);
    }
    Ok(job::in_turn_since(!locks::claimed()?.backup_here)?.unwrap_or(NEVER))
}

/// What a leader that goes leaves behind: who waits, and until when a further attempt does.
fn news() -> Result<Letter> {
    let mut letter = Letter::waits(server::database_oid(), waiting_since()?);
    if extension::exists() {
        letter.due = job::next_run_after()?.map(|time| time.timestamp_micros());
    }
    Ok(letter)
}

/// Tell the launcher that a job has begun, and since when others wait.
pub fn tell_begun(waiting: i64) {
    let database = server::database_oid();
    shared::post(Letter { database, waiting: Some(waiting), started: true, ..Letter::default() });
}

/// The last act of a leader: the next job starts, of whatever database. `begun` is whether it has begun a job, `done` the
/// job that needs no leader any more.
pub fn pass_on(begun: bool, done: Option<Uuid>) -> Result<()> {
    let database = server::database_oid();
    if launcher_gives_turns() {
        let letter = match transaction(news) {
            Ok(letter) => letter,
            Err(error) => {
                // A tick finds out.
                shared::post(Letter { refused: !begun, ..Letter::look(database) });
                return Err(error);
            }
        };
        shared::post(Letter { refused: !begun, ..letter });
        return Ok(());
    }
    let Some(done) = done else { return Ok(()) };
    let next = transaction(|| job::next_in_turn(!locks::claimed()?.backup_here, 1))?;
    match next.first() {
        Some(next) if *next != done => {
            start::start_leader(*next).map(drop).ok_or_else(|| bgworker::no_free_slot("leader"))
        }
        _ => Ok(()),
    }
}
