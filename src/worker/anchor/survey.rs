//! What the checkpoints of one storage say of the chain. Few are fetched: each is over all entries of the ones before it in its epoch.

use crate::catalog::anchor::Anchored;
use crate::worker::io::Io;
use crate::worker::remains::open_stored;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;
use walwarden_core::Result;
use walwarden_core::audit::anchoring::{Chain, Mark, Verdict};
use walwarden_core::audit::stored_checkpoint;
use walwarden_core::key::PublicKey;
use walwarden_store::{Layout, Store};

/// So many that cannot be believed are passed over before an epoch is given up.
const MOST_BAD: usize = 10;

/// What one storage has.
pub struct Survey {
    store: Store,
    layout: Layout,
    database: Uuid,
    keys: Vec<PublicKey>,
    /// Epochs and sizes of what is there, in order: from the newest that is known on, or all.
    places: BTreeSet<(u64, u64)>,
    /// What was fetched and believed, with its note.
    believed: BTreeMap<(u64, u64), (Mark, String)>,
    /// What was fetched and is not to be believed, or is gone, and why.
    pub problems: Vec<String>,
}

impl Survey {
    /// Look at a storage. What is of epochs before this one is passed over: the chain itself says what they lost.
    pub fn make(
        io: &Io,
        layout: &Layout,
        database: Uuid,
        storage: &Anchored,
        keys: &[PublicKey],
        epoch: u64,
    ) -> Result<Self> {
        let store = open_stored(&storage.storage.url, &storage.storage.options)?;
        let mut survey = Self {
            store,
            layout: layout.clone(),
            database,
            keys: keys.to_vec(),
            places: BTreeSet::new(),
            believed: BTreeMap::new(),
            problems: Vec::new(),
        };
        let known = storage.newest.filter(|(of, _)| *of == epoch);
        let known_is_there = match known {
            Some(place) => survey.fetch(io, place)?,
            None => false,
        };
        let after = known.filter(|_| known_is_there);
        let (store, listed) = (survey.store.clone(), layout.clone());
        let places = io.run(async move { store.checkpoints(&listed, after).await })?;
        survey.places = places.into_iter().filter(|(of, _)| *of >= epoch).chain(after).collect();
        let epochs: BTreeSet<u64> = survey.places.iter().map(|(epoch, _)| *epoch).collect();
        for epoch in epochs {
            let newest: Vec<_> =
                survey.places.range((epoch, 0)..=(epoch, u64::MAX)).rev().take(MOST_BAD).copied().collect();
            for place in newest {
                if survey.fetch(io, place)? {
                    break;
                }
            }
        }
        Ok(survey)
    }

    /// The sizes at which the chain's tree heads are wanted.
    pub fn sizes(&self) -> impl Iterator<Item = u64> {
        self.places.iter().map(|(_, size)| *size)
    }

    /// The newest epoch of which there is something.
    pub fn newest_epoch(&self) -> Option<u64> {
        self.places.iter().map(|(epoch, _)| *epoch).max()
    }

    /// What the checkpoints say together, and the newest one's note.
    pub fn judge(&mut self, io: &Io, chain: &Chain<'_>) -> Result<(Verdict, String)> {
        if chain.judge(&self.marks()) != Verdict::Continues {
            self.find_common(io, chain)?;
        }
        let newest = self.believed.last_key_value().map(|(_, (_, note))| note.clone()).unwrap_or_default();
        Ok((chain.judge(&self.marks()), newest))
    }

    fn marks(&self) -> Vec<Mark> {
        self.believed.values().map(|(mark, _)| *mark).collect()
    }

    /// Fetch the largest checkpoint of the chain's epoch that agrees with it: halving, as all before one that agrees agree.
    fn find_common(&mut self, io: &Io, chain: &Chain<'_>) -> Result<()> {
        let places: Vec<_> = self
            .places
            .range((chain.epoch, 0)..=(chain.epoch, u64::MAX))
            .filter(|(_, size)| *size <= chain.size)
            .copied()
            .collect();
        let (mut agreeing, mut rest) = (0, places.len());
        while agreeing < rest {
            let middle = agreeing + (rest - agreeing) / 2;
            let Some(place) = places.get(middle) else { break };
            let agrees = self.fetch(io, *place)?
                && self.believed.get(place).is_some_and(|(mark, _)| chain.continues(mark));
            if agrees { agreeing = middle + 1 } else { rest = middle }
        }
        Ok(())
    }

    /// Fetch one, unless it was; false if it is not there or not to be believed.
    fn fetch(&mut self, io: &Io, (epoch, size): (u64, u64)) -> Result<bool> {
        let place = (epoch, size);
        if self.believed.contains_key(&place) {
            return Ok(true);
        }
        let (store, layout) = (self.store.clone(), self.layout.clone());
        let notes = io.run(async move { store.checkpoint_notes(&layout, &[place]).await })?;
        let Some(note) = notes.into_values().next().flatten() else {
            self.problems.push(format!("the checkpoint over {size} entries of epoch {epoch} is gone"));
            return Ok(false);
        };
        match stored_checkpoint::read(&note, &self.keys, self.database, epoch, size) {
            Ok(checkpoint) => {
                let mark = Mark { epoch, size, root: checkpoint.root };
                let text = String::from_utf8_lossy(&note).into_owned();
                self.believed.insert(place, (mark, text));
                Ok(true)
            }
            Err(why) => {
                self.problems.push(format!(
                    "the checkpoint over {size} entries of epoch {epoch} cannot be believed: {why}"
                ));
                Ok(false)
            }
        }
    }
}
