//! A tick: a short-lived worker in one database. It queues what is due, reaps lost jobs, tells the launcher whether jobs wait
//! and when to come again, and goes.

use crate::catalog::schedule::{self, Schedule};
use crate::catalog::task::Task;
use crate::catalog::{audit, backup, database, job};
use crate::pg::bgworker::{self, Assignment};
use crate::pg::shared::{self, Letter, NEVER};
use crate::pg::transaction::transaction;
use crate::pg::{clock, extension, interrupts};
use crate::worker::{reaper, start, turn};
use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;
use walwarden_core::job::{JobKind, Trigger};
use walwarden_core::schedule::Cron;
use walwarden_core::{ErrorClass, Result};

/// A scheduled time that is noticed later than this, because the server was down or walwarden switched off, is
/// missed: a nightly backup does not start in the middle of the morning.
const LATEST_START: TimeDelta = TimeDelta::minutes(10);
/// When remains could not be cleaned up, or a job waits for a leader: look again after this.
const UNFINISHED_BUSINESS: TimeDelta = TimeDelta::seconds(60);

/// Main function, after the process was set up by `entry`.
pub fn main() {
    interrupts::install_orderly();
    match tick() {
        Ok(()) => {}
        Err(error) if error.class == ErrorClass::Terminated => {}
        Err(error) => crate::error::log(&error, "tick"),
    }
}

fn tick() -> Result<()> {
    let Assignment { database, .. } = bgworker::assignment()?;
    bgworker::connect(database)?;
    bgworker::settle_session()?;
    bgworker::set(c"lock_timeout", c"5s")?;
    let report = |due: i64, waiting: i64| {
        shared::post(Letter {
            due: Some(due),
            waiting: Some(waiting),
            ticked: true,
            ..Letter::waits(database, waiting)
        });
    };
    if !transaction(|| Ok(extension::exists()))? {
        report(NEVER, NEVER);
        return Ok(());
    }
    let now = clock::now();
    if transaction(|| Ok(!database::identity()?.is_of_this_database()))? {
        // Its unfinished jobs are the original's: nothing of them may be touched here.
        report(NEVER, NEVER);
        return Ok(());
    }
    let mut next = queue_due(now)?;
    if let Err(error) = reaper::reap() {
        interrupts::check()?;
        crate::error::log(&error, "reaping lost jobs");
    }
    let restores = start_restores()?;
    let (unfinished, waiting) = transaction(|| {
        let unfinished = !job::with_remains()?.is_empty() || !job::with_scratch()?.is_empty();
        Ok((unfinished, turn::waiting_since()?))
    })?;
    if unfinished || restores {
        let soon = now + UNFINISHED_BUSINESS;
        next = Some(next.map_or(soon, |time| time.min(soon)));
    }
    report(next.map_or(NEVER, |time| time.timestamp_micros()), waiting);
    Ok(())
}

/// Queue a job for whatever is due of each schedule; gives the earliest time that is due next.
fn queue_due(now: DateTime<Utc>) -> Result<Option<DateTime<Utc>>> {
    transaction(|| {
        let mut next: Option<DateTime<Utc>> = None;
        for schedule in schedule::lock_enabled()? {
            let mut any_due = false;
            for (kind, expression) in schedule.definition.crons() {
                let cron = match Cron::parse(expression, &schedule.definition.time_zone) {
                    Ok(cron) => cron,
                    // It was valid when it was defined: say so in the log, and let the others fire.
                    Err(error) => {
                        crate::error::log(&error, &format!("schedule \"{}\"", schedule.name));
                        continue;
                    }
                };
                if let Some((latest, passed_over)) = cron.latest_due(schedule.checked_until, now) {
                    queue_one(&schedule, kind, latest, passed_over, now)?;
                    any_due = true;
                }
                if let Some(time) = cron.next_after(now) {
                    next = Some(next.map_or(time, |earliest| earliest.min(time)));
                }
            }
            if any_due {
                schedule::set_checked_until(&schedule.name, now)?;
            }
        }
        Ok(next)
    })
}

/// Queue the latest scheduled time; those it passes over, and itself if it is too late, are missed.
fn queue_one(
    schedule: &Schedule,
    kind: JobKind,
    latest: DateTime<Utc>,
    passed_over: u64,
    now: DateTime<Utc>,
) -> Result<()> {
    let late = now - latest > LATEST_START;
    let missed = passed_over + u64::from(late);
    if missed > 0 {
        note(schedule, &format!("{kind}.missed"), latest, Some(("count", missed)))?;
    }
    if late {
        return Ok(());
    }
    let task = if job::unfinished_of(&schedule.name, kind)?.is_some() { None } else { due(schedule, kind)? };
    let Some((task, storage)) = task else {
        return note(schedule, &format!("{kind}.skipped"), latest, None);
    };
    job::insert(&job::NewJob {
        id: Uuid::now_v7(),
        task,
        schedule: Some(&schedule.name),
        trigger: Trigger::Schedule,
        scheduled_for: Some(latest),
        storage: &storage,
        requested_by: "walwarden",
    })?;
    Ok(())
}

/// What is to be done, and the storage it is about; None when there is nothing to do it with.
fn due(schedule: &Schedule, kind: JobKind) -> Result<Option<(Task, String)>> {
    if kind == JobKind::Backup {
        let definition = &schedule.definition;
        let storage = definition.storages.first().cloned();
        return Ok(storage.map(|storage| (Task::Backup(definition.backup.clone()), storage)));
    }
    let Some((backup, storage)) = backup::newest_of(&schedule.name)? else { return Ok(None) };
    let task = match kind {
        JobKind::RestoreTest => Task::RestoreTest { backup, order: schedule.test() },
        _ => Task::Verify { backup, depth: schedule.definition.verify_depth },
    };
    Ok(Some((task, storage)))
}

fn note(schedule: &Schedule, event: &str, time: DateTime<Utc>, count: Option<(&str, u64)>) -> Result<()> {
    let mut detail = serde_json::json!({ "schedule": schedule.name, "scheduled_for": clock::to_text(time) });
    if let (Some((name, count)), Some(fields)) = (count, detail.as_object_mut()) {
        fields.insert(name.to_owned(), count.into());
    }
    audit::append(event, None, &audit::actor(), &detail.to_string()).map(drop)
}

/// Start a leader for each restore that somebody asked for and that has none; true if there are any. All other jobs wait for
/// their turn, which the launcher gives.
fn start_restores() -> Result<bool> {
    let restores = transaction(job::queued_restores_by_hand)?;
    for id in &restores {
        if start::start_leader(*id).is_none() {
            crate::error::log(&bgworker::no_free_slot("leader"), "tick");
            break;
        }
    }
    Ok(!restores.is_empty())
}
