//! What a storage's checkpoints say of the chain in the database, and what follows from it.
//!
//! The checkpoints of a sound chain are prefixes of it. Where they are not, either the database was set back to an earlier state (a
//! restored server, a standby that was promoted before it had everything), or somebody has rewritten its tables, or two servers
//! write as the same database. The first can be told where the chain is behind, and where the server's timeline has changed since it
//! last looked (PostgreSQL begins a new one at the end of every point-in-time recovery and promotion). What cannot be told is a
//! fork, and nothing is signed until somebody says what happened.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::manifest::Sha256Sum;

/// A checkpoint, as far as comparing needs it. They sort by epoch, then by size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    /// Its epoch.
    pub epoch: u64,
    /// How many entries it is over.
    pub size: u64,
    /// The tree head over them.
    pub root: Sha256Sum,
}

/// The chain as this database has it.
#[derive(Debug, Clone)]
pub struct Chain<'a> {
    /// Its epoch.
    pub epoch: u64,
    /// How many entries it has.
    pub size: u64,
    /// Its tree heads at the sizes that are asked about, as far as it reaches.
    pub roots: &'a BTreeMap<u64, Sha256Sum>,
    /// Whether the server's timeline is another one than when a checkpoint was last made.
    pub on_another_timeline: bool,
}

/// Entries that were signed and are not in the chain, or not as they were: those behind the last checkpoint that agrees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lost {
    /// The first epoch whose checkpoints have some of them.
    pub from_epoch: u64,
    /// The last one.
    pub to_epoch: u64,
    /// The first entry.
    pub first: u64,
    /// The last entry.
    pub last: u64,
}

impl Lost {
    /// Whether a checkpoint that does not agree with the chain is explained by the loss of these entries.
    pub fn explains(&self, epoch: u64, size: u64) -> bool {
        (self.from_epoch..=self.to_epoch).contains(&epoch) && (self.first..=self.last).contains(&size)
    }

    /// As it stands in the detail of `chain.rollback` and `chain.fork`.
    pub fn to_detail(&self) -> Map<String, Value> {
        [
            ("from_epoch", self.from_epoch),
            ("to_epoch", self.to_epoch),
            ("first", self.first),
            ("last", self.last),
        ]
        .into_iter()
        .map(|(name, number)| (name.to_owned(), number.into()))
        .collect()
    }

    /// Reads it back; None for a detail that does not have it.
    pub fn from_detail(detail: &Map<String, Value>) -> Option<Self> {
        let number = |name: &str| detail.get(name)?.as_u64();
        Some(Self {
            from_epoch: number("from_epoch")?,
            to_epoch: number("to_epoch")?,
            first: number("first")?,
            last: number("last")?,
        })
    }
}

/// What a storage's checkpoints say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The chain continues all of them.
    Continues,
    /// The database was set back: a new epoch begins.
    SetBack(Lost),
    /// Nothing is signed until somebody says what happened.
    Fork(Lost),
}

impl Chain<'_> {
    /// Whether the chain continues this checkpoint. In an earlier epoch it may have lost what the checkpoint is over.
    pub fn continues(&self, mark: &Mark) -> bool {
        mark.epoch < self.epoch || self.agrees(mark) && mark.epoch == self.epoch
    }

    fn agrees(&self, mark: &Mark) -> bool {
        mark.size <= self.size && self.roots.get(&mark.size) == Some(&mark.root)
    }

    /// What all checkpoints of the present epoch and later ones say together.
    pub fn judge(&self, marks: &[Mark]) -> Verdict {
        let current = || marks.iter().filter(|mark| mark.epoch >= self.epoch);
        let foreign: Vec<&Mark> = current().filter(|mark| !self.continues(mark)).collect();
        let sizes = || foreign.iter().map(|mark| mark.size);
        let (Some(smallest), Some(last), Some(newest)) = (sizes().min(), sizes().max(), foreign.iter().max())
        else {
            return Verdict::Continues;
        };
        // Up to the largest that agrees the histories are the same. What follows may be the same for some entries more; nobody knows.
        let common = current().filter(|mark| self.agrees(mark)).map(|mark| mark.size).max().unwrap_or(0);
        let lost = Lost {
            from_epoch: self.epoch,
            to_epoch: newest.epoch,
            // All of a later epoch's checkpoints are foreign, those over the same entries, too.
            first: smallest.min(common.saturating_add(1)),
            last,
        };
        let is_behind = smallest > self.size;
        let was_set_back = is_behind || newest.epoch > self.epoch || self.on_another_timeline;
        if was_set_back { Verdict::SetBack(lost) } else { Verdict::Fork(lost) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{MerkleTree, leaf_hash};
    use proptest::prelude::*;

    /// The tree heads over 0, 1, ... entries of a history whose entries from `branch` on are another's.
    fn roots(length: u64, branch: u64, other: u8) -> BTreeMap<u64, Sha256Sum> {
        let mut tree = MerkleTree::new();
        let mut roots = BTreeMap::from([(0, tree.root())]);
        for number in 1..=length {
            let salt = if number >= branch { other } else { 0 };
            tree.push(leaf_hash(&[&number.to_le_bytes()[..], &[salt]].concat()));
            roots.insert(number, tree.root());
        }
        roots
    }

    fn mark(epoch: u64, size: u64, roots: &BTreeMap<u64, Sha256Sum>) -> Mark {
        Mark { epoch, size, root: roots[&size] }
    }

    fn chain(
        epoch: u64,
        size: u64,
        roots: &BTreeMap<u64, Sha256Sum>,
        on_another_timeline: bool,
    ) -> Chain<'_> {
        Chain { epoch, size, roots, on_another_timeline }
    }

    #[test]
    fn a_chain_that_grew_continues_its_checkpoints() {
        let all = roots(20, 99, 0);
        let marks: Vec<_> = [1, 5, 20].map(|size| mark(1, size, &all)).to_vec();
        assert_eq!(chain(1, 20, &all, false).judge(&marks), Verdict::Continues);
        assert_eq!(chain(1, 20, &all, true).judge(&marks), Verdict::Continues);
        assert_eq!(chain(1, 20, &all, false).judge(&[]), Verdict::Continues);
    }

    #[test]
    fn one_that_is_behind_was_set_back() {
        let (all, here) = (roots(20, 99, 0), roots(10, 99, 0));
        let marks = [mark(1, 8, &all), mark(1, 15, &all), mark(1, 20, &all)];
        let lost = Lost { from_epoch: 1, to_epoch: 1, first: 9, last: 20 };
        assert_eq!(chain(1, 10, &here, false).judge(&marks), Verdict::SetBack(lost));
        assert!(lost.explains(1, 9) && lost.explains(1, 20));
        assert!(!lost.explains(1, 8) && !lost.explains(1, 21) && !lost.explains(2, 15));
        assert_eq!(Lost::from_detail(&lost.to_detail()), Some(lost));
        assert_eq!(Lost::from_detail(&Map::new()), None);
    }

    /// Between a server's return and the first look entries were added, as many as were lost or more.
    #[test]
    fn one_that_went_on_differently_was_set_back_if_the_timeline_says_so() {
        let (all, here) = (roots(20, 99, 0), roots(25, 11, 7));
        let marks = [mark(1, 8, &all), mark(1, 15, &all), mark(1, 20, &all)];
        let lost = Lost { from_epoch: 1, to_epoch: 1, first: 9, last: 20 };
        assert_eq!(chain(1, 25, &here, true).judge(&marks), Verdict::SetBack(lost));
        assert_eq!(chain(1, 25, &here, false).judge(&marks), Verdict::Fork(lost));
    }

    #[test]
    fn a_chain_from_before_an_epoch_was_set_back() {
        let all = roots(20, 99, 0);
        let marks = [mark(1, 8, &all), mark(2, 12, &all)];
        let lost = Lost { from_epoch: 1, to_epoch: 2, first: 9, last: 12 };
        assert_eq!(chain(1, 10, &all, false).judge(&marks), Verdict::SetBack(lost));
        // And one that has all entries of a later epoch, but not the entry that began it.
        let Verdict::SetBack(lost) = chain(1, 20, &all, false).judge(&marks) else { panic!() };
        assert!(lost.explains(2, 12));
    }

    /// What an earlier epoch has lost is in the chain's own entries.
    #[test]
    fn earlier_epochs_are_not_looked_at() {
        let (all, here) = (roots(20, 99, 0), roots(25, 11, 7));
        assert_eq!(chain(2, 25, &here, false).judge(&[mark(1, 20, &all)]), Verdict::Continues);
    }

    proptest! {
        /// Whatever was lost, every checkpoint that disagrees is explained, and none that agrees.
        #[test]
        fn a_loss_explains_all_that_disagrees(
            branch in 1_u64..30, here in 0_u64..40, sizes in prop::collection::btree_set(1_u64..40, 1..8), moved: bool,
        ) {
            let there = roots(40, 99, 0);
            let own = roots(here, branch, 7);
            let marks: Vec<_> = sizes.iter().map(|size| mark(1, *size, &there)).collect();
            let chain = chain(1, here, &own, moved);
            let agrees = |size: u64| size <= here && size < branch;
            match chain.judge(&marks) {
                Verdict::Continues => prop_assert!(sizes.iter().all(|size| agrees(*size))),
                Verdict::SetBack(lost) | Verdict::Fork(lost) => {
                    prop_assert!(lost.first <= lost.last);
                    for size in sizes {
                        prop_assert_eq!(lost.explains(1, size), !agrees(size), "{} {:?}", size, lost);
                    }
                }
            }
        }
    }
}
