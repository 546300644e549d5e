//! The anchor: a short-lived worker that compares the audit chain with the checkpoints in storage and puts a new one there, with the
//! entries it is over, where whoever rewrites the database's tables cannot reach it.
//!
//! Order matters. What storage says is heard before anything is signed: a log must not sign two histories (C2SP tlog-checkpoint). A
//! checkpoint is committed here before it goes out: its commit flushes every entry before it, and waits for synchronous standbys, so
//! that nothing is anchored that a crash or failover could still lose.

pub mod comparison;
mod export;
mod survey;

use crate::catalog::anchor::{self, Anchored, Fork};
use crate::catalog::notification::{Alert, alert};
use crate::catalog::{audit, backup_copy, checkpoint, database, key};
use crate::pg::bgworker::{self, Assignment};
use crate::pg::locks::Claim;
use crate::pg::shared::{self, Letter};
use crate::pg::transaction::transaction;
use crate::pg::{clock, interrupts, server};
use crate::signer;
use crate::worker::installed::{is_installed, while_installed};
use crate::worker::io::Io;
use crate::worker::start;
use chrono::{DateTime, TimeDelta, Utc};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};
use survey::Survey;
use uuid::Uuid;
use walwarden_alert::Severity;
use walwarden_core::audit::anchoring::{Chain, Lost, Verdict};
use walwarden_core::audit::{Checkpoint, MerkleTree, note};
use walwarden_core::manifest::Sha256Sum;
use walwarden_core::signature::Signer;
use walwarden_core::{Error, ErrorClass, Result};
use walwarden_store::Layout;

/// How many anchor at a time in the cluster.
const MOST_AT_ONCE: u32 = 2;
/// When one that found all places taken is wanted again.
const TRY_FOR_PLACE_AGAIN: TimeDelta = TimeDelta::minutes(1);
/// How long one waits for a place where no tick would start another.
const WAIT_FOR_PLACE: Duration = Duration::from_secs(30);
/// How often it looks then.
const LOOK_FOR_PLACE: Duration = Duration::from_millis(200);

/// Main function, after the process was set up by `entry`.
pub fn main() {
    interrupts::install_orderly();
    match anchor() {
        Ok(()) => {}
        Err(error) if error.class.is_request_to_stop() => {}
        Err(error) => crate::error::log(&error, "anchoring the audit chain"),
    }
}

/// For the tick: start the worker if a storage is due; gives when to look again.
pub fn start_if_due(now: DateTime<Utc>) -> Result<Option<DateTime<Utc>>> {
    let found = while_installed(|| Ok((anchor::next_due()?, Claim::Anchor.holder()?)))?;
    let Some((Some(next), holder)) = found else { return Ok(None) };
    if next > now {
        return Ok(Some(next));
    }
    if holder.is_none() && start::start_anchor().is_none() {
        crate::error::log(&bgworker::no_free_slot("anchor"), "tick");
    }
    Ok(Some(now + TRY_FOR_PLACE_AGAIN))
}

fn anchor() -> Result<()> {
    let Assignment { database, .. } = bgworker::assignment()?;
    bgworker::connect(database)?;
    bgworker::settle_session()?;
    bgworker::set(c"lock_timeout", c"5s")?;
    if !is_installed()? {
        return Ok(());
    }
    // A checkpoint that is in storage must not be one that this server can lose.
    bgworker::set(c"synchronous_commit", c"on")?;
    let found = while_installed(|| Ok((database::identity()?, anchor::due()?)))?;
    let Some((identity, due)) = found else { return Ok(()) };
    if due.is_empty() || !identity.is_of_this_database() || !Claim::Anchor.try_take()? {
        return Ok(());
    }
    if !take_place()? {
        let later = clock::now() + TRY_FOR_PLACE_AGAIN;
        shared::post(Letter { database, due: Some(later.timestamp_micros()), ..Letter::default() });
        return Ok(());
    }
    let layout = Layout::new(&crate::guc::organization(), identity.id)?;
    let run = Run { io: Io::start()?, database: identity.id, layout };
    let done = run.anchor(due);
    Claim::Anchor.release()?;
    shared::post(Letter::look(database));
    done
}

/// Hundreds of databases may be due at once, and jobs need workers, too.
fn take_place() -> Result<bool> {
    let deadline = Instant::now() + if shared::available() { Duration::ZERO } else { WAIT_FOR_PLACE };
    loop {
        if Claim::try_take_one(MOST_AT_ONCE, Claim::Anchoring)? {
            return Ok(true);
        }
        if Instant::now() >= deadline {
            return Ok(false);
        }
        interrupts::wait(None, LOOK_FOR_PLACE)?;
    }
}

struct Run {
    io: Io,
    database: Uuid,
    layout: Layout,
}

impl Run {
    fn anchor(&self, due: Vec<Anchored>) -> Result<()> {
        let found = while_installed(|| Ok((key::known_public()?, audit::standing()?.epoch)))?;
        let (keys, epoch) = found.ok_or_else(dropped)?;
        let mut surveys = Vec::new();
        for storage in due {
            let survey = Survey::make(&self.io, &self.layout, self.database, &storage, &keys, epoch);
            if let Some(survey) = self.unless_failed(&storage, survey)? {
                surveys.push((storage, survey));
            }
        }
        if surveys.is_empty() {
            return Ok(());
        }
        let mut tree = MerkleTree::new();
        let standing = while_installed(audit::standing)?.ok_or_else(dropped)?;
        let sizes = surveys.iter().flat_map(|(_, survey)| survey.sizes()).collect();
        let roots = grow(&mut tree, standing.head.seq, &sizes)?;
        let here = server::timeline();
        let mut set_back = Vec::new();
        let mut forks = Vec::new();
        for (storage, survey) in &mut surveys {
            let chain = Chain {
                epoch: standing.epoch,
                size: standing.head.seq,
                roots: &roots,
                on_another_timeline: storage.timeline.is_some_and(|timeline| timeline != here),
            };
            let (verdict, newest) = survey.judge(&self.io, &chain)?;
            let of = |lost| Fork { storage: storage.storage.name.clone(), lost, note: newest };
            match verdict {
                Verdict::Continues => {}
                Verdict::SetBack(lost) => set_back.push(of(lost)),
                Verdict::Fork(lost) => forks.push(of(lost)),
            }
        }
        if !forks.is_empty() {
            return while_installed(|| tell_forks(&forks)).map(drop);
        }
        for (storage, survey) in &surveys {
            for problem in &survey.problems {
                let name = &storage.storage.name;
                pgrx::log!("walwarden: the audit chain in storage \"{name}\": {problem}");
                let detail = serde_json::json!({ "storage": name });
                while_installed(|| tell_problem(&format!("storage \"{name}\": {problem}"), detail))?;
            }
        }
        let newest_epoch = surveys.iter().filter_map(|(_, survey)| survey.newest_epoch()).max();
        let idle = surveys.iter().any(|(storage, _)| {
            storage.newest.is_some_and(|newest| newest == (standing.epoch, standing.head.seq))
        });
        while_installed(|| {
            for (storage, _) in &surveys {
                anchor::note_compared(&storage.storage.name, here)?;
            }
            if !set_back.is_empty() {
                begin_epoch(standing.epoch.max(newest_epoch.unwrap_or(0)) + 1, &set_back, None)
            } else if idle {
                // That nothing happened is worth a signature, too: silence would prove nothing.
                audit::append("chain.heartbeat", None, &audit::actor(), "{}").map(drop)
            } else {
                Ok(())
            }
        })?;
        self.put(&mut tree, surveys.into_iter().map(|(storage, _)| storage).collect())
    }

    /// Sign where the chain stands now, and put that into the storages.
    fn put(&self, tree: &mut MerkleTree, storages: Vec<Anchored>) -> Result<()> {
        // May write down a new key, which is an entry.
        let signer = signer::take()?;
        let as_of = clock::now();
        let standing = while_installed(audit::standing)?.ok_or_else(dropped)?;
        if standing.head.seq == 0 {
            return Ok(());
        }
        grow(tree, standing.head.seq, &BTreeSet::new())?;
        let checkpoint = Checkpoint {
            database: self.database,
            epoch: standing.epoch,
            size: standing.head.seq,
            root: tree.root(),
        };
        let (text, public) = (checkpoint.to_text(), signer.public());
        let signature = signer.sign(text.as_bytes())?;
        let signed = note::compose(&text, note::KEY_NAME, &public, signature)?.to_text();
        let signed = while_installed(|| checkpoint::keep(&checkpoint, &signed, &public.key_id()))?
            .ok_or_else(dropped)?;
        for storage in storages {
            // What a new epoch begins after may have been exported as something else before.
            let current = while_installed(|| anchor::find(&storage.storage.name))?.flatten();
            let from = current.map_or(0, |storage| storage.exported_to);
            let put = export::put(&self.io, &self.layout, &storage.storage, from, &checkpoint, &signed);
            if self.unless_failed(&storage, put)?.is_some() {
                while_installed(|| {
                    anchor::note_anchored(&storage.storage.name, checkpoint.epoch, checkpoint.size, as_of)
                })?;
            }
        }
        Ok(())
    }

    /// What went wrong with one storage holds up no other.
    fn unless_failed<T>(&self, storage: &Anchored, outcome: Result<T>) -> Result<Option<T>> {
        match outcome {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.class.is_request_to_stop() => Err(error),
            Err(error) => {
                let name = &storage.storage.name;
                crate::error::log(&error, &format!("anchoring the audit chain in storage \"{name}\""));
                let again = backup_copy::next_try(clock::now(), storage.tries);
                while_installed(|| anchor::note_failed(name, &error, again))?;
                Ok(None)
            }
        }
    }
}

/// Take the chain into the tree up to an entry; gives the tree heads at these sizes.
fn grow(tree: &mut MerkleTree, to: u64, sizes: &BTreeSet<u64>) -> Result<BTreeMap<u64, Sha256Sum>> {
    let mut roots = BTreeMap::new();
    while tree.size() < to {
        let hashes = transaction(|| audit::hashes(tree.size(), to))?;
        for hash in hashes {
            tree.push(hash);
            if sizes.contains(&tree.size()) {
                roots.insert(tree.size(), tree.root());
            }
        }
        interrupts::check()?;
    }
    Ok(roots)
}

/// A new epoch, whose first entries say what was lost.
pub fn begin_epoch(epoch: u64, set_back: &[Fork], reason: Option<&str>) -> Result<()> {
    audit::begin_epoch(epoch)?;
    let mut told: Vec<Lost> = Vec::new();
    for fork in set_back {
        let lost = &fork.lost;
        // Storages that have the same say the same.
        if told.contains(lost) {
            continue;
        }
        told.push(*lost);
        let mut detail = fork.to_detail();
        if let Some(reason) = reason {
            detail.insert("reason".to_owned(), reason.into());
        }
        let detail = serde_json::Value::Object(detail);
        audit::append("chain.rollback", None, &audit::actor(), &detail.to_string())?;
        anchor::export_again_from(lost.first)?;
        let message = format!(
            "audit entries {} to {} are lost: this database was set back; epoch {epoch} begins",
            lost.first, lost.last
        );
        tell_problem(&message, detail)?;
    }
    Ok(())
}

fn tell_forks(forks: &[Fork]) -> Result<()> {
    for fork in forks {
        if !anchor::note_fork(fork)? {
            continue;
        }
        let Fork { storage, lost, .. } = fork;
        let detail = serde_json::Value::Object(fork.to_detail());
        audit::append("chain.fork", None, &audit::actor(), &detail.to_string())?;
        let message = format!(
            "storage \"{storage}\" has a checkpoint that the audit chain does not continue: entries {} to {} differ; nothing \
             is signed until this is settled",
            lost.first, lost.last
        );
        pgrx::log!("walwarden: {message}");
        tell_problem(&message, detail)?;
    }
    Ok(())
}

fn tell_problem(message: &str, detail: serde_json::Value) -> Result<()> {
    alert(&Alert { event: "audit.problem", schedule: None, severity: Severity::Critical, message, detail })
}

fn dropped() -> Error {
    Error::new(ErrorClass::Terminated, "the extension was dropped")
}
