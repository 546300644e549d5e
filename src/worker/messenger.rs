//! The messenger: a short-lived worker that empties the outbox. Nothing waits for it: backups and ticks only queue and start
//! it, and a receiver that is slow, dead or lying takes nobody's time but its own.
//!
//! A notification is claimed in one transaction, sent outside of any, and settled in another one, so it is never sent again
//! once a success was recorded. A messenger that dies in between leaves its claim to run out, after which another one sends
//! again: the id is the same, for the receiver to tell.

use crate::catalog::notification::{self, Claimed};
use crate::catalog::{database, webhook};
use crate::pg::bgworker::{self, Assignment};
use crate::pg::locks::Claim;
use crate::pg::shared::{self, Letter};
use crate::pg::{clock, interrupts};
use crate::worker::installed::{is_installed, while_installed};
use crate::worker::io::{Io, Task};
use crate::worker::receivers::{self, Sender};
use crate::worker::start;
use chrono::{DateTime, TimeDelta, Utc};
use std::collections::HashMap;
use std::time::Duration;
use walwarden_alert::backoff::after_failure;
use walwarden_alert::{Failure, Next, Receiver, Scope};
use walwarden_core::{Error, ErrorClass, Result};

/// How many webhooks are sent to side by side.
const SIDE_BY_SIDE: usize = 16;
/// The longest sleep while something is being sent.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);
/// When what is due now was left to a messenger: look again after this, should that one have died.
const LOOK_AGAIN: TimeDelta = TimeDelta::seconds(60);

/// Main function, after the process was set up by `entry`.
pub fn main() {
    interrupts::install_orderly();
    match deliver() {
        Ok(()) => {}
        Err(error) if error.class == ErrorClass::Terminated => {}
        Err(error) => crate::error::log(&error, "messenger"),
    }
}

/// For the tick: start a messenger if something is due and nobody sends it; gives when to look again.
pub fn start_if_due(now: DateTime<Utc>) -> Result<Option<DateTime<Utc>>> {
    let found = while_installed(|| Ok((notification::next_attempt()?, Claim::Messenger.holder()?)))?;
    let Some((Some(next), messenger)) = found else { return Ok(None) };
    if next > now {
        return Ok(Some(next));
    }
    if messenger.is_none() && start::start_messenger().is_none() {
        crate::error::log(&bgworker::no_free_slot("messenger"), "tick");
    }
    Ok(Some(now + LOOK_AGAIN))
}

fn deliver() -> Result<()> {
    let Assignment { database, .. } = bgworker::assignment()?;
    bgworker::connect(database)?;
    bgworker::settle_session()?;
    bgworker::set(c"lock_timeout", c"5s")?;
    if !is_installed()? {
        return Ok(());
    }
    loop {
        // In a copy of a database the notifications are the original's.
        if while_installed(|| Ok(database::identity()?.is_of_this_database()))? != Some(true) {
            return Ok(());
        }
        if !Claim::Messenger.try_take()? {
            return Ok(());
        }
        let outcome = empty_outbox();
        Claim::Messenger.release()?;
        outcome?;
        // Whoever queued something while the claim was still held has started a messenger that went again.
        match while_installed(notification::next_attempt)?.flatten() {
            Some(next) if next <= clock::now() => {}
            Some(_) => {
                // A tick finds out when the next attempt is due.
                shared::post(Letter::look(database));
                return Ok(());
            }
            None => return Ok(()),
        }
    }
}

/// One on its way.
struct UnderWay {
    claimed: Claimed,
    task: Task<std::result::Result<(), Failure>>,
}

fn empty_outbox() -> Result<()> {
    let begun = while_installed(|| {
        notification::tidy()?;
        Sender::here()
    })?;
    let Some(sender) = begun else { return Ok(()) };
    let io = Io::start()?;
    let mut receivers: HashMap<String, Receiver> = HashMap::new();
    let mut under_way: Vec<UnderWay> = Vec::new();
    loop {
        let busy: Vec<String> = under_way.iter().map(|one| one.claimed.webhook.clone()).collect();
        let claimed = while_installed(|| notification::claim(&busy, SIDE_BY_SIDE - busy.len()))?;
        for claimed in claimed.unwrap_or_default() {
            match ready(&mut receivers, &claimed.webhook) {
                Ok(receiver) => {
                    let notification = sender.notification(&claimed);
                    let now = clock::now().timestamp();
                    let task =
                        io.spawn(async move { Ok(receiver.send(&notification, now).await.map(drop)) })?;
                    under_way.push(UnderWay { claimed, task });
                }
                Err(error) => settle(&claimed, Err(Failure::of_receiver(in_words(&error))))?,
            }
        }
        if under_way.is_empty() {
            return Ok(());
        }
        interrupts::wait(Some(io.waker()), LONGEST_SLEEP)?;
        let mut still = Vec::new();
        for mut one in under_way {
            match one.task.try_take() {
                Some(outcome) => {
                    let outcome = outcome.unwrap_or_else(|error| Err(Failure::of_receiver(in_words(&error))));
                    settle(&one.claimed, outcome)?;
                }
                None => still.push(one),
            }
        }
        under_way = still;
    }
}

/// The receiver of a webhook, made once for all that this messenger sends there.
fn ready(receivers: &mut HashMap<String, Receiver>, name: &str) -> Result<Receiver> {
    if let Some(receiver) = receivers.get(name) {
        return Ok(receiver.clone());
    }
    let dropped = || Error::new(ErrorClass::NotFound, "walwarden was dropped");
    let webhook = while_installed(|| webhook::find(name))?.ok_or_else(dropped)?;
    let receiver = receivers::open(&webhook)?;
    receivers.insert(name.to_owned(), receiver.clone());
    Ok(receiver)
}

/// Write down what came of it.
fn settle(claimed: &Claimed, outcome: std::result::Result<(), Failure>) -> Result<()> {
    let now = clock::now();
    while_installed(|| {
        let Err(failure) = outcome else {
            notification::delivered(claimed.id)?;
            return webhook::resume(&claimed.webhook);
        };
        let mut failures = claimed.attempts;
        if failure.scope == Scope::Receiver {
            let in_a_row = webhook::failures(&claimed.webhook)?.saturating_add(1);
            let wanted = failure.wanted_pause;
            if let Next::At(until) = after_failure(now, now, in_a_row, wanted) {
                webhook::pause(&claimed.webhook, in_a_row, until, &failure.note)?;
            }
            failures = failures.max(in_a_row);
        } else {
            webhook::resume(&claimed.webhook)?;
        }
        match after_failure(claimed.queued_at, now, failures, failure.wanted_pause) {
            Next::At(time) => notification::try_again(claimed.id, time, &failure.note),
            Next::GivenUp => {
                pgrx::log!(
                    "walwarden: notification {} ({}) to webhook \"{}\" is given up",
                    claimed.id,
                    claimed.event,
                    claimed.webhook
                );
                notification::give_up(claimed.id, &failure.note)
            }
        }
    })
    .map(drop)
}

fn in_words(error: &Error) -> String {
    match &error.hint {
        Some(hint) => format!("{error}. {hint}"),
        None => error.to_string(),
    }
}
