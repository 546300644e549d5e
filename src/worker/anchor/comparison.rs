//! Every checkpoint of every storage beside the chain, for its check by a session.

use crate::catalog::anchor::Anchored;
use crate::worker::io::Io;
use crate::worker::remains::open_stored;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;
use walwarden_core::audit::anchoring::Lost;
use walwarden_core::audit::{Anchor, Problem, ProblemKind, stored_checkpoint};
use walwarden_core::key::PublicKey;
use walwarden_core::manifest::Sha256Sum;
use walwarden_core::{Error, Result};
use walwarden_store::Layout;

/// So many are fetched by one request to the threads.
const AT_A_TIME: usize = 100;

/// What all storages have.
#[derive(Debug, Default)]
pub struct Stored {
    /// The storages that have something.
    pub storages: Vec<String>,
    /// Checkpoints that can be believed, by epoch and size; where storages disagree there are several.
    checkpoints: BTreeMap<(u64, u64), BTreeMap<Sha256Sum, BTreeSet<String>>>,
    problems: Vec<Problem>,
}

/// What is to be compared, and what is wrong without.
#[derive(Debug)]
pub struct Compared {
    /// What the chain must agree with.
    pub anchors: Vec<Anchor>,
    /// What is wrong with the checkpoints themselves.
    pub problems: Vec<Problem>,
}

impl Stored {
    /// How many checkpoints can be believed.
    pub fn count(&self) -> usize {
        self.checkpoints.values().flat_map(BTreeMap::values).map(BTreeSet::len).sum()
    }

    /// What the chain must agree with: everything but what it says itself that it has lost.
    pub fn compare(&self, losses: &[(u64, Lost)]) -> Compared {
        let explained = |epoch: u64, size: u64| losses.iter().any(|(_, lost)| lost.explains(epoch, size));
        let anchors = self
            .checkpoints
            .iter()
            .filter(|((epoch, size), _)| !explained(*epoch, *size))
            .flat_map(|((_, size), roots)| roots.keys().map(|root| Anchor::Root { size: *size, root: *root }))
            .collect();
        Compared { anchors, problems: self.problems.clone() }
    }

    /// Which checkpoints are over the entries up to this one, for people.
    pub fn witnesses(&self, seq: i64) -> String {
        let of_size = self.checkpoints.iter().filter(|((_, size), _)| i64::try_from(*size) == Ok(seq));
        let named = of_size.flat_map(|((epoch, _), roots)| {
            roots.values().flatten().map(move |storage| format!("epoch {epoch} in storage \"{storage}\""))
        });
        let named: BTreeSet<String> = named.collect();
        if named.is_empty() {
            return String::new();
        }
        format!(" (checkpoint of {})", named.into_iter().collect::<Vec<_>>().join(", "))
    }

    fn note(&mut self, size: u64, kind: ProblemKind) {
        self.problems.push(Problem { seq: i64::try_from(size).unwrap_or(i64::MAX), kind });
    }
}

/// Read all that one storage has. That it cannot be read is a problem, and not the end of the check.
pub fn read(
    io: &Io,
    layout: &Layout,
    database: Uuid,
    storage: &Anchored,
    keys: &[PublicKey],
    stored: &mut Stored,
) -> Result<()> {
    let name = storage.storage.name.clone();
    match read_all(io, layout, database, storage, keys, stored) {
        Ok(places) => {
            let newest = storage.newest.filter(|newest| !places.contains(newest));
            if let Some((_, size)) = newest {
                stored.note(size, ProblemKind::MissingCheckpoint { storage: name.clone() });
            }
            if !places.is_empty() {
                stored.storages.push(name);
            }
            Ok(())
        }
        Err(error) if error.class.is_request_to_stop() => Err(error),
        Err(error) => {
            let size = storage.newest.map_or(0, |(_, size)| size);
            let Error { message, detail, .. } = error;
            let why = detail.map_or(message.clone(), |detail| format!("{message}: {detail}"));
            stored.note(size, ProblemKind::UnreadableStorage { storage: name, why });
            Ok(())
        }
    }
}

fn read_all(
    io: &Io,
    layout: &Layout,
    database: Uuid,
    storage: &Anchored,
    keys: &[PublicKey],
    stored: &mut Stored,
) -> Result<BTreeSet<(u64, u64)>> {
    let store = open_stored(&storage.storage.url, &storage.storage.options)?;
    let (lister, listed) = (store.clone(), layout.clone());
    let places = io.run(async move { lister.checkpoints(&listed, None).await })?;
    for some in places.chunks(AT_A_TIME) {
        let (store, layout, some) = (store.clone(), layout.clone(), some.to_vec());
        let notes = io.run(async move { store.checkpoint_notes(&layout, &some).await })?;
        for ((epoch, size), note) in notes {
            // Removed between the list and the look: as if it had not been listed.
            let Some(note) = note else { continue };
            match stored_checkpoint::read(&note, keys, database, epoch, size) {
                Ok(checkpoint) => {
                    let roots = stored.checkpoints.entry((epoch, size)).or_default();
                    roots.entry(checkpoint.root).or_default().insert(storage.storage.name.clone());
                }
                Err(why) => stored
                    .note(size, ProblemKind::BadCheckpoint { storage: storage.storage.name.clone(), why }),
            }
        }
    }
    Ok(places.into_iter().collect())
}
