//! The workers of a restore, as its leader sees them: started, told what to do, waited for.

use super::hands::Hands;
use crate::pg::bgworker::{self, Handle, Status};
use crate::pg::interrupts;
use crate::pg::queue::{self, Received, Receiver, Sender};
use crate::pg::segment::Segment;
use crate::pg::transaction::transaction;
use crate::pg::{databases, server};
use crate::worker::copier::Post;
use crate::worker::pulse::{LONGEST_SLEEP, Pulse};
use crate::worker::start;
use crate::worker::subject::Subject;
use std::time::Duration;
use walwarden_core::archive::{Algorithm, LoadPlan, TableLoad};
use walwarden_core::message::{CopierMessage, LeaderMessage};
use walwarden_core::{Error, ErrorClass, Result};

/// How often is looked whether workers that are done have ended.
const FAREWELL: Duration = Duration::from_millis(10);

struct Worker {
    what: &'static str,
    results: Receiver,
    orders: Sender,
    process: Handle,
    finished: bool,
    answer: Option<String>,
}

/// Load everything in the plan with as many loaders as there are slots, up to `wanted`.
pub fn load(
    hands: &mut Hands,
    subject: &Subject,
    algorithm: Algorithm,
    plan: LoadPlan,
    segment: &Segment,
    database: u32,
    wanted: usize,
) -> Result<()> {
    segment.counters().begin_anew();
    let wanted = wanted.min(plan.batches.len());
    if wanted == 0 {
        return Ok(());
    }
    let loaders = start(hands, segment, wanted, "loader", |post| start::start_loader(database, post))?;
    let order = order(subject, algorithm, plan, None);
    finish(hands, loaders, &order).map(drop)
}

/// Load the plan into a new table of this database, by one loader in one transaction.
pub fn load_table(
    hands: &mut Hands,
    subject: &Subject,
    algorithm: Algorithm,
    plan: LoadPlan,
    table: TableLoad,
    segment: &Segment,
) -> Result<()> {
    segment.counters().begin_anew();
    let database = server::database_oid();
    let loader = start(hands, segment, 1, "loader", |post| start::start_loader(database, post))?;
    finish(hands, loader, &order(subject, algorithm, plan, Some(table))).map(drop)
}

/// Have a scratch database examined; gives what the smoke query answered.
pub fn examine(
    hands: &mut Hands,
    order: &LeaderMessage,
    segment: &Segment,
    database: &str,
) -> Result<Option<String>> {
    let database = transaction(|| databases::oid(database))?
        .ok_or_else(|| Error::new(ErrorClass::NotFound, format!("database \"{database}\" is gone")))?;
    let examiner = start(hands, segment, 1, "examiner", |post| start::start_examiner(database, post))?;
    finish(hands, examiner, order)
}

fn order(subject: &Subject, algorithm: Algorithm, plan: LoadPlan, table: Option<TableLoad>) -> LeaderMessage {
    LeaderMessage::Load {
        url: subject.storage.url.clone(),
        options: subject.storage.options.clone(),
        key: subject.manifest.archive.key.clone(),
        lock: subject.lock(),
        algorithm,
        plan,
        table,
    }
}

fn start(
    hands: &mut Hands,
    segment: &Segment,
    wanted: usize,
    what: &'static str,
    start: impl Fn(Post) -> Option<Handle>,
) -> Result<Vec<Worker>> {
    let mut workers = Vec::new();
    while workers.len() < wanted {
        let number = workers.len();
        let (mut results, mut orders) = queue::leader_ends(segment, number)?;
        let Some(process) = start(Post { segment: segment.handle(), number }) else {
            break;
        };
        results.watch(&process);
        orders.watch(&process);
        hands.workers.push(process);
        workers.push(Worker { what, results, orders, process, finished: false, answer: None });
    }
    if workers.is_empty() {
        return Err(bgworker::no_free_slot(what));
    }
    Ok(workers)
}

/// Tell each of them the same, wait until all are done and gone, and give what the last one answered.
fn finish(hands: &mut Hands, mut workers: Vec<Worker>, order: &LeaderMessage) -> Result<Option<String>> {
    let order = order.encode()?;
    let mut pulse = Pulse::new();
    for worker in &mut workers {
        while !worker.orders.try_send(&order)? {
            pulse.beat()?;
            interrupts::wait(Some(hands.io.waker()), LONGEST_SLEEP)?;
        }
    }
    while workers.iter().any(|worker| !worker.finished) {
        for worker in workers.iter_mut().filter(|worker| !worker.finished) {
            look(worker)?;
        }
        pulse.beat()?;
        interrupts::wait(Some(hands.io.waker()), LONGEST_SLEEP)?;
    }
    // Their queues are used again, and nobody may be connected to a database that gets its name.
    while hands.workers.iter().any(|worker| worker.status() != Status::Stopped) {
        interrupts::wait(None, FAREWELL)?;
    }
    hands.workers.clear();
    Ok(workers.into_iter().rev().find_map(|worker| worker.answer))
}

fn look(worker: &mut Worker) -> Result<()> {
    match worker.results.try_receive() {
        Received::Nothing if worker.process.status() == Status::Stopped => Err(gone(worker.what)),
        Received::Nothing => Ok(()),
        Received::Detached => Err(gone(worker.what)),
        Received::Message(bytes) => match CopierMessage::decode(bytes)? {
            CopierMessage::Answer { answer } => {
                worker.answer = Some(answer);
                Ok(())
            }
            CopierMessage::Finished => {
                worker.finished = true;
                Ok(())
            }
            CopierMessage::Failed { error } => Err(error),
            _ => Err(Error::internal(format!("a message of the {} is out of order", worker.what))),
        },
    }
}

fn gone(what: &str) -> Error {
    Error::new(ErrorClass::Lost, format!("the {what} is gone"))
        .detail("It was terminated or killed before it was done.")
        .hint("Look into the server's log, then run the job again.")
}
