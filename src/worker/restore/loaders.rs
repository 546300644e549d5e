//! The loaders of a restore, as its leader sees them: started, told what to do, waited for.

use super::Restore;
use super::contents::Contents;
use crate::pg::bgworker::{self, Handle, Status};
use crate::pg::interrupts;
use crate::pg::queue::{self, Received, Receiver, Sender};
use crate::pg::segment::Segment;
use crate::worker::copier::Post;
use crate::worker::pulse::{LONGEST_SLEEP, Pulse};
use crate::worker::start;
use crate::worker::subject::Subject;
use std::time::Duration;
use walwarden_core::archive::LoadPlan;
use walwarden_core::message::{CopierMessage, LeaderMessage};
use walwarden_core::{Error, ErrorClass, Result};

/// How often is looked whether loaders that are done have ended.
const FAREWELL: Duration = Duration::from_millis(10);

struct Loader {
    results: Receiver,
    orders: Sender,
    process: Handle,
    finished: bool,
}

/// Load everything in the plan with as many loaders as there are slots, up to `wanted`.
pub fn load(
    restore: &mut Restore,
    subject: &Subject,
    contents: &Contents,
    plan: LoadPlan,
    segment: &Segment,
    database: u32,
    wanted: usize,
) -> Result<()> {
    segment.counters().begin_anew();
    let wanted = wanted.min(plan.batches.len());
    let mut loaders = Vec::new();
    while loaders.len() < wanted {
        let number = loaders.len();
        let (mut results, mut orders) = queue::leader_ends(segment, number)?;
        let Some(process) = start::start_loader(database, Post { segment: segment.handle(), number }) else {
            break;
        };
        results.watch(&process);
        orders.watch(&process);
        restore.loaders.push(process);
        loaders.push(Loader { results, orders, process, finished: false });
    }
    if wanted == 0 {
        return Ok(());
    }
    if loaders.is_empty() {
        return Err(bgworker::no_free_slot("loader"));
    }
    let order = LeaderMessage::Load {
        url: subject.storage.url.clone(),
        options: subject.storage.options.clone(),
        key: subject.manifest.archive.key.clone(),
        algorithm: contents.toc.header.algorithm(),
        plan,
    }
    .encode()?;
    let mut pulse = Pulse::new();
    for loader in &mut loaders {
        while !loader.orders.try_send(&order)? {
            pulse.beat()?;
            interrupts::wait(Some(restore.io.waker()), LONGEST_SLEEP)?;
        }
    }
    while loaders.iter().any(|loader| !loader.finished) {
        for loader in loaders.iter_mut().filter(|loader| !loader.finished) {
            look(loader)?;
        }
        pulse.beat()?;
        interrupts::wait(Some(restore.io.waker()), LONGEST_SLEEP)?;
    }
    // Their queues are used again, and nobody may be connected to the database that gets its name.
    while restore.loaders.iter().any(|loader| loader.status() != Status::Stopped) {
        interrupts::wait(None, FAREWELL)?;
    }
    restore.loaders.clear();
    Ok(())
}

fn look(loader: &mut Loader) -> Result<()> {
    match loader.results.try_receive() {
        Received::Nothing if loader.process.status() == Status::Stopped => Err(gone()),
        Received::Nothing => Ok(()),
        Received::Detached => Err(gone()),
        Received::Message(bytes) => match CopierMessage::decode(bytes)? {
            CopierMessage::Finished => {
                loader.finished = true;
                Ok(())
            }
            CopierMessage::Failed { error } => Err(error),
            _ => Err(Error::internal("a loader's message is out of order")),
        },
    }
}

fn gone() -> Error {
    Error::new(ErrorClass::Lost, "the loader is gone")
        .detail("It was terminated or killed before it was done.")
        .hint("Look into the server's log, then run the restore again.")
}
