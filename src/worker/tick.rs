//! A tick: a short-lived worker in one database. It queues what is due, reaps lost jobs, tells the launcher whether jobs wait
//! and when to come again, and goes.

use crate::catalog::notification::{Alert, alert};
use crate::catalog::schedule::{self, Schedule};
use crate::catalog::task::{Task, VerifyOrder};
use crate::catalog::{audit, backup, backup_copy, database, job, retention, storage};
use crate::pg::bgworker::{self, Assignment};
use crate::pg::shared::{self, Letter, NEVER};
use crate::pg::transaction::transaction;
use crate::pg::{clock, interrupts, server};
use crate::worker::installed::{is_installed, while_installed};
use crate::worker::{anchor, messenger, reaper, recovery_point, start, turn, watch};
use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;
use walwarden_alert::Severity;
use walwarden_core::job::{JobKind, Trigger};
use walwarden_core::schedule::{Check, Due, Timetable};
use walwarden_core::{Error, ErrorClass, Result};

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
    if !is_installed()? {
        report(NEVER, NEVER);
        return Ok(());
    }
    let now = clock::now();
    if transaction(|| Ok(!database::identity()?.is_of_this_database()))? {
        // Its unfinished jobs are the original's: nothing of them may be touched here.
        report(NEVER, NEVER);
        return Ok(());
    }
    // First: a lost job must not be in the way of its schedule's next one.
    if let Err(error) = reaper::reap() {
        interrupts::check()?;
        crate::error::log(&error, "reaping lost jobs");
    }
    let mut next = queue_due(now)?;
    while_here(queue_missing_copies)?;
    while_here(apply_retention)?;
    let remains = start_cleaner()?;
    let restores = start_restores()?;
    let (unfinished, waiting, run_after, try_again) = while_here(|| {
        let unfinished = remains || !job::with_scratch()?.is_empty();
        Ok((unfinished, turn::waiting_since()?, job::next_run_after()?, backup_copy::next_try_at()?))
    })?;
    let soon = now + UNFINISHED_BUSINESS;
    if unfinished || restores {
        next = earliest(next, Some(soon));
    }
    // What is overdue waits for a leader that is under way.
    next = earliest(earliest(next, run_after), try_again.map(|time| time.max(soon)));
    next = earliest(next, recovery_point::compare_with_targets()?);
    next = earliest(next, anchor::start_if_due(now)?);
    next = earliest(earliest(next, messenger::start_if_due(now)?), Some(watch::make_rounds(now)?));
    report(next.map_or(NEVER, |time| time.timestamp_micros()), waiting);
    Ok(())
}

/// Do it in a transaction that gives way to DROP EXTENSION. When the extension is gone nothing is due, and the tick goes.
fn while_here<T>(body: impl FnOnce() -> Result<T>) -> Result<T> {
    while_installed(body)?.ok_or_else(|| {
        let waits = Letter::waits(server::database_oid(), NEVER);
        shared::post(Letter { due: Some(NEVER), ticked: true, ..waits });
        Error::new(ErrorClass::Terminated, "the extension was dropped")
    })
}

/// Queue a job for whatever is due of each schedule; gives the earliest time that is due next.
fn queue_due(now: DateTime<Utc>) -> Result<Option<DateTime<Utc>>> {
    while_here(|| {
        let database = database::identity()?.id.to_string();
        let mut next: Option<DateTime<Utc>> = None;
        for schedule in schedule::lock_enabled()? {
            let mut checked_until = schedule.checked_until;
            for kind in [JobKind::Backup, JobKind::Verify, JobKind::RestoreTest] {
                let timetable = match schedule.definition.timetable(kind, &database, &schedule.name) {
                    Ok(Some(timetable)) => timetable,
                    Ok(None) => continue,
                    // It was valid when it was defined: say so in the log, and let the others fire.
                    Err(error) => {
                        crate::error::log(&error, &format!("schedule \"{}\"", schedule.name));
                        continue;
                    }
                };
                let due = look_at(&schedule, kind, &timetable, now)?;
                if due.checked_until != schedule.checked_until {
                    checked_until = due.checked_until;
                }
                next = earliest(next, due.next);
            }
            if checked_until != schedule.checked_until {
                schedule::set_checked_until(&schedule.name, checked_until)?;
            }
        }
        Ok(next)
    })
}

fn earliest(one: Option<DateTime<Utc>>, other: Option<DateTime<Utc>>) -> Option<DateTime<Utc>> {
    [one, other].into_iter().flatten().min()
}

/// Decide about one kind of a schedule's jobs, queue what is to run, and write down what is not.
fn look_at(schedule: &Schedule, kind: JobKind, timetable: &Timetable, now: DateTime<Utc>) -> Result<Due> {
    let (unfinished, queued) = job::unfinished_of(&schedule.name, kind)?;
    let due = Check {
        timetable,
        catch_up: schedule.definition.catch_up,
        overlap: schedule.definition.on_overlap,
        checked_until: schedule.checked_until,
        now,
        unfinished,
        queued,
    }
    .decide();
    let first = schedule.definition.crons().next().map(|(kind, _)| kind);
    if due.clock_set_back && first == Some(kind) {
        note(schedule, "schedule.clock_set_back", schedule.checked_until, None)?;
    }
    if let Some(missed) = &due.missed {
        note(schedule, &format!("{kind}.missed"), missed.last, Some(("count", missed.count)))?;
    }
    if let Some(skipped) = &due.skipped {
        note(schedule, &format!("{kind}.skipped"), skipped.scheduled_for, None)?;
    }
    if let Some(run) = &due.run {
        queue_one(schedule, kind, run.scheduled_for)?;
    }
    Ok(due)
}

fn queue_one(schedule: &Schedule, kind: JobKind, scheduled_for: DateTime<Utc>) -> Result<()> {
    let tasks = tasks(schedule, kind)?;
    if tasks.is_empty() {
        return note(schedule, &format!("{kind}.skipped"), scheduled_for, None);
    }
    for (task, storages) in tasks {
        // One that was queued before the clock was set back is not queued again.
        queue(task, Some(&schedule.name), Some(scheduled_for), &storages)?;
    }
    Ok(())
}

/// Queue a job that nobody asked for.
fn queue(
    task: Task,
    schedule: Option<&str>,
    scheduled_for: Option<DateTime<Utc>>,
    storages: &[String],
) -> Result<()> {
    job::insert(&job::NewJob {
        id: Uuid::now_v7(),
        task,
        schedule,
        trigger: Trigger::Schedule,
        scheduled_for,
        storages,
        attempt: 1,
        run_after: None,
        requested_by: "walwarden",
    })
    .map(drop)
}

/// Expire what the retention of a schedule does not keep.
fn apply_retention() -> Result<()> {
    for schedule in schedule::lock_enabled()? {
        if retention::is_due(&schedule.name)? {
            retention::apply(&schedule)?;
            retention::note_planned(&schedule.name)?;
        }
    }
    Ok(())
}

/// Let the cleaner come if there is something for it to do; true if a lost job left something in storage.
fn start_cleaner() -> Result<bool> {
    let (remains, needed) = while_here(|| {
        let remains = !backup_copy::with_remains()?.is_empty();
        Ok((remains, remains || !job::expired()?.is_empty() || !storage::due_for_sweep()?.is_empty()))
    })?;
    if needed && start::start_cleaner().is_none() {
        crate::error::log(&bgworker::no_free_slot("cleaner"), "tick");
    }
    Ok(remains)
}

/// Queue the copies that some storage lacks.
fn queue_missing_copies() -> Result<()> {
    for (backup, storage, schedule) in backup_copy::due_to_be_made()? {
        queue(Task::Copy { backup }, schedule.as_deref(), None, &[storage])?;
    }
    Ok(())
}

/// What is to be done, and the storages it is about; nothing when there is nothing to do it with.
fn tasks(schedule: &Schedule, kind: JobKind) -> Result<Vec<(Task, Vec<String>)>> {
    if kind == JobKind::Backup {
        let definition = &schedule.definition;
        return Ok(vec![(Task::Backup(definition.backup.clone()), definition.storages.clone())]);
    }
    let Some(backup) = backup::newest_of(&schedule.name)? else { return Ok(Vec::new()) };
    if kind == JobKind::RestoreTest {
        let of = backup::find(backup, None)?;
        return Ok(vec![(Task::RestoreTest { backup, order: schedule.test() }, vec![of.storage.name])]);
    }
    // Each of its copies may be damaged by itself.
    let depth = schedule.definition.verify_depth;
    let copies = backup::storages_of(backup)?;
    let verify = || Task::Verify { backup, depth, order: VerifyOrder::default() };
    Ok(copies.into_iter().map(|storage| (verify(), vec![storage])).collect())
}

fn note(schedule: &Schedule, event: &str, time: DateTime<Utc>, count: Option<(&str, u64)>) -> Result<()> {
    let mut detail = serde_json::json!({ "schedule": schedule.name, "scheduled_for": clock::to_text(time) });
    if let (Some((name, count)), Some(fields)) = (count, detail.as_object_mut()) {
        fields.insert(name.to_owned(), count.into());
    }
    audit::append(event, None, &audit::actor(), &detail.to_string())?;
    tell(schedule, event, time, count.map(|(_, count)| count))
}

/// Alert of a scheduled time that went by.
fn tell(schedule: &Schedule, event: &str, time: DateTime<Utc>, count: Option<u64>) -> Result<()> {
    let (kind, event, severity, outcome) = match event.rsplit_once('.') {
        Some((kind, "missed")) => (kind, "schedule.missed", Severity::Error, "was missed"),
        Some((kind, "skipped")) => (kind, "schedule.skipped", Severity::Warning, "was skipped"),
        _ => return Ok(()),
    };
    let others = count
        .filter(|count| *count > 1)
        .map_or(String::new(), |count| format!(" and {} before it", count - 1));
    let time = clock::to_text(time);
    alert(&Alert {
        event,
        schedule: Some(&schedule.name),
        severity,
        message: &format!("schedule \"{}\": the {kind} of {time}{others} {outcome}", schedule.name),
        detail: serde_json::json!({ "kind": kind, "scheduled_for": time, "count": count.unwrap_or(1) }),
    })
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
