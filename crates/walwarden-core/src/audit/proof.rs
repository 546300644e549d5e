//! Inclusion and consistency proofs (RFC 6962, sections 2.1.1 and 2.1.2; checked as RFC 9162, sections 2.1.3.2
//! and 2.1.4.2, says).
//!
//! An inclusion proof shows that an entry is in the tree under a signed head; a consistency proof shows that
//! the tree under a later head only added to that under an earlier one. Both are some forty hashes for any log.

use std::collections::BTreeMap;
use std::ops::Range;

use super::merkle::node_hash;
use crate::error::{Error, ErrorClass, Result};
use crate::manifest::Sha256Sum;

/// No tree of 2^64 leaves or fewer needs a longer inclusion proof.
pub const MAX_INCLUSION_HASHES: usize = 64;

/// Where the hashes of complete subtrees come from: that at `(level, index)` covers the leaves from
/// `index << level` on, `1 << level` of them.
trait Nodes {
    /// The number of leaves.
    fn size(&self) -> u64;
    /// The hash of the subtree, if it is known.
    fn node(&self, level: u32, index: u64) -> Option<Sha256Sum>;
}

/// A tree with all hashes of its complete subtrees, for any number of proofs: 64 bytes a leaf.
#[derive(Debug, Clone, Default)]
pub struct Levels {
    /// The leaves, then the hashes of each two of them, and so on.
    levels: Vec<Vec<Sha256Sum>>,
}

impl Levels {
    /// The tree over these leaf hashes, see [`leaf_hash`](super::leaf_hash).
    pub fn new(leaves: impl IntoIterator<Item = Sha256Sum>) -> Self {
        let mut levels: Vec<Vec<Sha256Sum>> = vec![leaves.into_iter().collect()];
        while let Some(below) = levels.last().filter(|below| below.len() > 1) {
            let pairs = below.as_chunks::<2>().0;
            let above = pairs.iter().map(|[left, right]| node_hash(*left, *right)).collect();
            levels.push(above);
        }
        Self { levels }
    }

    /// The number of leaves.
    pub fn size(&self) -> u64 {
        Nodes::size(self)
    }

    /// The head of the tree over the first `size` leaves.
    ///
    /// # Errors
    /// `InvalidInput` when there are fewer.
    pub fn root(&self, size: u64) -> Result<Sha256Sum> {
        root(self, size)
    }

    /// The proof that the leaf with this index, from 0, is in the tree over the first `size` leaves.
    ///
    /// # Errors
    /// `InvalidInput` when it is not, or there are fewer leaves.
    pub fn inclusion(&self, index: u64, size: u64) -> Result<Vec<Sha256Sum>> {
        inclusion(self, index, size)
    }

    /// The proof that the tree over the first `to` leaves only adds to that over the first `from`.
    ///
    /// # Errors
    /// `InvalidInput` when `from` is 0 or above `to`, or there are fewer leaves.
    pub fn consistency(&self, from: u64, to: u64) -> Result<Vec<Sha256Sum>> {
        consistency(self, from, to)
    }
}

impl Nodes for Levels {
    fn size(&self) -> u64 {
        self.levels.first().map_or(0, |leaves| leaves.len() as u64)
    }

    fn node(&self, level: u32, index: u64) -> Option<Sha256Sum> {
        self.levels.get(level as usize)?.get(usize::try_from(index).ok()?).copied()
    }
}

/// What is wanted of a tree whose leaves come one after the other and are not kept: memory goes with the number
/// of proofs, not with that of leaves. Ask for everything, push every leaf, then take.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// The subtrees that were asked for, with their hashes once they are complete.
    wanted: BTreeMap<(u32, u64), Option<Sha256Sum>>,
    /// Complete subtrees on the right edge, the largest first.
    frontier: Vec<Sha256Sum>,
    size: u64,
}

impl Selection {
    /// Nothing is wanted yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// [`Selection::root`] will be asked for. To be called before the first leaf comes, as the others of its kind.
    pub fn want_root(&mut self, size: u64) {
        self.want(0..size);
    }

    /// [`Selection::inclusion`] will be asked for. What no tree has is refused then.
    pub fn want_inclusion(&mut self, index: u64, size: u64) {
        if index < size {
            inclusion_ranges(index, size).into_iter().for_each(|range| self.want(range));
        }
    }

    /// [`Selection::consistency`] will be asked for. What no tree has is refused then.
    pub fn want_consistency(&mut self, from: u64, to: u64) {
        if (1..=to).contains(&from) {
            consistency_ranges(from, to).into_iter().for_each(|range| self.want(range));
        }
    }

    fn want(&mut self, range: Range<u64>) {
        self.wanted.extend(complete_subtrees(range).map(|place| (place, None)));
    }

    /// Takes the next leaf.
    pub fn push(&mut self, leaf: Sha256Sum) {
        let mut node = leaf;
        let mut index = self.size;
        let mut level = 0;
        self.note(level, index, node);
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.frontier.pop() {
                node = node_hash(left, node);
            }
            index >>= 1;
            level += 1;
            self.note(level, index, node);
        }
        self.frontier.push(node);
        self.size += 1;
    }

    fn note(&mut self, level: u32, index: u64, node: Sha256Sum) {
        if let Some(place) = self.wanted.get_mut(&(level, index)) {
            *place = Some(node);
        }
    }

    /// The number of leaves so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// As [`Levels::root`].
    ///
    /// # Errors
    /// As there; `Internal` when it was not asked for.
    pub fn root(&self, size: u64) -> Result<Sha256Sum> {
        root(self, size)
    }

    /// As [`Levels::inclusion`].
    ///
    /// # Errors
    /// As there; `Internal` when it was not asked for.
    pub fn inclusion(&self, index: u64, size: u64) -> Result<Vec<Sha256Sum>> {
        inclusion(self, index, size)
    }

    /// As [`Levels::consistency`].
    ///
    /// # Errors
    /// As there; `Internal` when it was not asked for.
    pub fn consistency(&self, from: u64, to: u64) -> Result<Vec<Sha256Sum>> {
        consistency(self, from, to)
    }
}

impl Nodes for Selection {
    fn size(&self) -> u64 {
        self.size
    }

    fn node(&self, level: u32, index: u64) -> Option<Sha256Sum> {
        self.wanted.get(&(level, index)).copied().flatten()
    }
}

/// One inclusion proof over `leaves[..size]`; for several of one tree see [`Levels`].
///
/// # Errors
/// As [`Levels::inclusion`].
pub fn inclusion_proof(leaves: &[Sha256Sum], index: u64, size: u64) -> Result<Vec<Sha256Sum>> {
    let mut tree = Selection::new();
    tree.want_inclusion(index, size);
    leaves.iter().for_each(|leaf| tree.push(*leaf));
    tree.inclusion(index, size)
}

/// One consistency proof from `leaves[..from]` to `leaves[..to]`; for several of one tree see [`Levels`].
///
/// # Errors
/// As [`Levels::consistency`].
pub fn consistency_proof(leaves: &[Sha256Sum], from: u64, to: u64) -> Result<Vec<Sha256Sum>> {
    let mut tree = Selection::new();
    tree.want_consistency(from, to);
    leaves.iter().for_each(|leaf| tree.push(*leaf));
    tree.consistency(from, to)
}

fn root(nodes: &impl Nodes, size: u64) -> Result<Sha256Sum> {
    check_size(nodes, size)?;
    hash_of(nodes, 0..size)
}

fn inclusion(nodes: &impl Nodes, index: u64, size: u64) -> Result<Vec<Sha256Sum>> {
    check_size(nodes, size)?;
    if index >= size {
        return Err(impossible(format!("A tree of {size} leaves has none with the index {index}.")));
    }
    inclusion_ranges(index, size).into_iter().map(|range| hash_of(nodes, range)).collect()
}

fn consistency(nodes: &impl Nodes, from: u64, to: u64) -> Result<Vec<Sha256Sum>> {
    check_size(nodes, to)?;
    if !(1..=to).contains(&from) {
        return Err(impossible(format!("A tree of {to} leaves adds to none of {from}.")));
    }
    consistency_ranges(from, to).into_iter().map(|range| hash_of(nodes, range)).collect()
}

fn check_size(nodes: &impl Nodes, size: u64) -> Result<()> {
    match nodes.size() {
        there if size > there => Err(impossible(format!("There are {there} leaves, not {size}."))),
        _ => Ok(()),
    }
}

fn impossible(why: String) -> Error {
    Error::invalid("could not make a proof of the audit log").detail(why)
}

/// PATH(m, D[n]) of RFC 6962, section 2.1.1: the leaves under each hash, from the leaf's sibling up.
fn inclusion_ranges(index: u64, size: u64) -> Vec<Range<u64>> {
    let (mut start, mut end) = (0, size);
    let mut ranges = Vec::new();
    while end - start > 1 {
        let middle = start + split(end - start);
        if index < middle {
            ranges.push(middle..end);
            end = middle;
        } else {
            ranges.push(start..middle);
            start = middle;
        }
    }
    ranges.reverse();
    ranges
}

/// PROOF(m, D[n]) of RFC 6962, section 2.1.2: the leaves under each hash, in its order.
fn consistency_ranges(from: u64, to: u64) -> Vec<Range<u64>> {
    let (mut start, mut end) = (0, to);
    let mut ranges = Vec::new();
    while end != from {
        let middle = start + split(end - start);
        if from <= middle {
            ranges.push(middle..end);
            end = middle;
        } else {
            ranges.push(start..middle);
            start = middle;
        }
    }
    // The subtree that both trees have, unless it is the whole earlier tree, whose head is known.
    if start > 0 {
        ranges.push(start..end);
    }
    ranges.reverse();
    ranges
}

/// The largest power of two below a number of leaves that is at least 2.
fn split(leaves: u64) -> u64 {
    1 << (leaves - 1).ilog2()
}

/// The complete subtrees that make up a range, the largest first. The range begins where a subtree of its size
/// may begin, as all ranges here do.
fn complete_subtrees(range: Range<u64>) -> impl Iterator<Item = (u32, u64)> {
    let mut start = range.start;
    let length = range.end - range.start;
    (0..u64::BITS).rev().filter(move |level| length >> level & 1 == 1).map(move |level| {
        let place = (level, start >> level);
        start += 1 << level;
        place
    })
}

/// The head of the tree over a range of leaves.
fn hash_of(nodes: &impl Nodes, range: Range<u64>) -> Result<Sha256Sum> {
    let unknown =
        || Error::internal("could not make a proof of the audit log").detail("It was not prepared.");
    let parts: Vec<Sha256Sum> = complete_subtrees(range)
        .map(|(level, index)| nodes.node(level, index).ok_or_else(unknown))
        .collect::<Result<_>>()?;
    let from_the_right = parts.into_iter().rev();
    Ok(from_the_right.reduce(|right, left| node_hash(left, right)).unwrap_or_else(|| Sha256Sum::of(b"")))
}

/// Checks that `leaf` is the entry with this index, from 0, of the tree of this size and head.
///
/// # Errors
/// `StorageCorrupt` when the proof does not show that, the detail saying why.
pub fn verify_inclusion(
    leaf: Sha256Sum,
    index: u64,
    size: u64,
    proof: &[Sha256Sum],
    root: Sha256Sum,
) -> Result<()> {
    let refused = |why: &str| refused("could not verify that the audit log holds the entry", why);
    if index >= size {
        return Err(refused("It is beyond the end of the log."));
    }
    // RFC 9162, section 2.1.3.2, by its letters.
    let (mut node, mut last) = (index, size - 1);
    let mut computed = leaf;
    for &hash in proof {
        if last == 0 {
            return Err(refused("The proof is too long."));
        }
        if node & 1 == 1 || node == last {
            computed = node_hash(hash, computed);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            computed = node_hash(computed, hash);
        }
        node >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(refused("The proof is too short."));
    }
    if computed != root {
        return Err(refused("The proof leads to another head than the one that was signed."));
    }
    Ok(())
}

/// Checks that the tree of size `to` and head `to_root` only adds to that of size `from` and head `from_root`.
///
/// # Errors
/// `StorageCorrupt` when the proof does not show that, the detail saying why. Nothing is shown of a tree without
/// leaves, which every tree adds to.
pub fn verify_consistency(
    from: u64,
    from_root: Sha256Sum,
    to: u64,
    to_root: Sha256Sum,
    proof: &[Sha256Sum],
) -> Result<()> {
    let refused = |why: &str| refused("could not verify that the audit log was only added to", why);
    if from == 0 || from > to {
        return Err(refused("The sizes are not those of an earlier and a later log."));
    }
    if from == to {
        return match proof {
            [] if from_root == to_root => Ok(()),
            [] => Err(refused("Two heads were signed for the same size.")),
            [..] => Err(refused("The proof is too long.")),
        };
    }
    // RFC 9162, section 2.1.4.2, by its letters: a complete earlier tree is itself the first hash.
    let (first, rest) = match proof {
        _ if from.is_power_of_two() => (from_root, proof),
        [first, rest @ ..] => (*first, rest),
        [] => return Err(refused("The proof is too short.")),
    };
    let (mut node, mut last) = (from - 1, to - 1);
    while node & 1 == 1 {
        node >>= 1;
        last >>= 1;
    }
    let (mut earlier, mut later) = (first, first);
    for &hash in rest {
        if last == 0 {
            return Err(refused("The proof is too long."));
        }
        if node & 1 == 1 || node == last {
            earlier = node_hash(hash, earlier);
            later = node_hash(hash, later);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            later = node_hash(later, hash);
        }
        node >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(refused("The proof is too short."));
    }
    if earlier != from_root {
        return Err(refused(
            "The proof leads to another head for the earlier size than the one that was signed.",
        ));
    }
    if later != to_root {
        return Err(refused(
            "The proof leads to another head for the later size than the one that was signed.",
        ));
    }
    Ok(())
}

fn refused(message: &str, why: &str) -> Error {
    Error::new(ErrorClass::StorageCorrupt, message).detail(why)
}
