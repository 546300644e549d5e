//! A worker that the leader of a restore starts: it takes one order, follows it, and says how that ended. It keeps no
//! state: SIGTERM ends it at once.

use crate::pg::bgworker::{self, Assignment};
use crate::pg::interrupts;
use crate::pg::queue::{self, Received, Sender};
use crate::pg::segment::{Counters, Segment};
use crate::worker::copier::Post;
use walwarden_core::message::{CopierMessage, LeaderMessage};
use walwarden_core::{Error, ErrorClass, Result};

/// What it has besides its order.
pub struct Follower<'a> {
    /// Its number among those of the same leader.
    pub number: usize,
    /// What onlookers are told.
    pub counters: &'a Counters,
    /// The way to the leader.
    pub results: &'a mut Sender,
}

/// Connect, take the order and follow it; the process was set up by `entry`.
pub fn follow(work: impl FnOnce(&mut Follower<'_>, LeaderMessage) -> Result<()>) {
    interrupts::install_immediate();
    let Ok(Assignment { database, task }) = bgworker::assignment() else { return };
    let Some(Post { segment, number }) = Post::from_task(&task) else { return };
    // Gone when the leader ended before we started.
    let Some(segment) = Segment::attach(segment) else { return };
    let Ok((mut results, mut orders)) = queue::copier_ends(&segment, number) else { return };
    let mut follower = Follower { number, counters: segment.counters(), results: &mut results };
    let outcome = bgworker::connect(database).and_then(|()| match orders.receive() {
        Received::Message(bytes) => work(&mut follower, LeaderMessage::decode(bytes)?),
        Received::Nothing | Received::Detached => Err(Error::new(ErrorClass::Lost, "the leader is gone")),
    });
    let last = match outcome {
        Ok(()) => CopierMessage::Finished,
        Err(error) => CopierMessage::Failed { error },
    };
    // The leader tells the user; if it is gone there is nobody to tell.
    let _ = last.encode().and_then(|message| results.send(&message));
}

/// The error for an order of another kind than is due.
pub fn out_of_order() -> Error {
    Error::internal("a leader's message is out of order")
}
