//! The Merkle tree head over a growing list of leaves (RFC 6962, section 2.1; the same in RFC 9162).
//!
//! Only the frontier is kept: the roots of the complete subtrees that make up the tree, one for each bit that
//! is set in the number of leaves. So a tree of any size takes at most 64 hashes, and a leaf costs one or two
//! hashes to add. Proofs are made by [`proof`](super::proof).

use sha2::{Digest, Sha256};

use crate::error::{Error, ErrorClass, Result};
use crate::manifest::Sha256Sum;

/// A tree that leaves can be added to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MerkleTree {
    size: u64,
    /// Roots of complete subtrees, the largest first.
    frontier: Vec<Sha256Sum>,
}

impl MerkleTree {
    /// The tree without leaves.
    pub fn new() -> Self {
        Self::default()
    }

    /// The tree that [`size`](Self::size) and [`frontier`](Self::frontier) were taken from.
    ///
    /// # Errors
    /// `InvalidInput` when a tree of this size has another number of complete subtrees.
    pub fn from_frontier(size: u64, frontier: Vec<Sha256Sum>) -> Result<Self> {
        let expected = size.count_ones() as usize;
        if frontier.len() != expected {
            return Err(Error::new(ErrorClass::InvalidInput, "could not take up a Merkle tree").detail(
                format!(
                    "A tree of {size} leaves has {expected} subtree hashes; {} were given.",
                    frontier.len()
                ),
            ));
        }
        Ok(Self { size, frontier })
    }

    /// Adds a leaf by its hash, see [`leaf_hash`](super::leaf_hash).
    pub fn push(&mut self, leaf: Sha256Sum) {
        let mut node = leaf;
        // Each trailing one bit of the size is a complete subtree as large as the one just made.
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.frontier.pop() {
                node = node_hash(left, node);
            }
        }
        self.frontier.push(node);
        self.size += 1;
    }

    /// How many leaves there are.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The roots of the complete subtrees, the largest first.
    pub fn frontier(&self) -> &[Sha256Sum] {
        &self.frontier
    }

    /// The tree head. That of the tree without leaves is the SHA-256 of nothing.
    pub fn root(&self) -> Sha256Sum {
        let from_the_right = self.frontier.iter().rev().copied();
        from_the_right.reduce(|right, left| node_hash(left, right)).unwrap_or_else(|| Sha256Sum::of(b""))
    }
}

/// `SHA-256(0x01 || left || right)`; the prefix keeps nodes and leaves apart.
pub(super) fn node_hash(left: Sha256Sum, right: Sha256Sum) -> Sha256Sum {
    Sha256Sum(Sha256::new().chain_update([1]).chain_update(left.0).chain_update(right.0).finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::leaf_hash;
    use proptest::prelude::*;

    /// The leaves of the test data of Certificate Transparency implementations.
    const LEAVES: [&str; 8] =
        ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];

    /// The tree heads over the first 0, 1, ... 8 of them.
    const ROOTS: [&str; 9] = [
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];

    #[test]
    fn certificate_transparency_vectors() {
        let mut tree = MerkleTree::new();
        assert_eq!(tree.root().to_string(), ROOTS[0]);
        for (leaf, root) in LEAVES.iter().zip(&ROOTS[1..]) {
            tree.push(leaf_hash(&hex::decode(leaf).unwrap()));
            assert_eq!(tree.root().to_string(), *root, "{} leaves", tree.size());
        }
    }

    /// The definition of RFC 6962, section 2.1, word for word.
    fn tree_head(leaves: &[Sha256Sum]) -> Sha256Sum {
        match leaves {
            [] => Sha256Sum::of(b""),
            [leaf] => *leaf,
            more => {
                // The largest power of two below the number of leaves.
                let (left, right) = more.split_at(1 << (more.len() - 1).ilog2());
                node_hash(tree_head(left), tree_head(right))
            }
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(count in 0_usize..300) {
            let leaves: Vec<_> = (0..count).map(|number| leaf_hash(&number.to_le_bytes())).collect();
            let mut tree = MerkleTree::new();
            leaves.iter().for_each(|leaf| tree.push(*leaf));
            prop_assert_eq!(tree.root(), tree_head(&leaves));
            prop_assert_eq!(tree.size(), count as u64);
        }

        #[test]
        fn goes_on_from_its_frontier(before in 0_u64..200, after in 0_u64..200) {
            let mut whole = MerkleTree::new();
            (0..before).for_each(|number| whole.push(leaf_hash(&number.to_le_bytes())));
            let mut taken_up = MerkleTree::from_frontier(whole.size(), whole.frontier().to_vec()).unwrap();
            for number in before..before + after {
                whole.push(leaf_hash(&number.to_le_bytes()));
                taken_up.push(leaf_hash(&number.to_le_bytes()));
            }
            prop_assert_eq!(taken_up, whole);
        }
    }

    #[test]
    fn a_frontier_of_the_wrong_length_is_refused() {
        for (size, hashes) in [(0, 1), (1, 0), (3, 1), (8, 2), (u64::MAX, 63)] {
            let error = MerkleTree::from_frontier(size, vec![Sha256Sum::ZERO; hashes]).unwrap_err();
            assert_eq!(error.class, ErrorClass::InvalidInput);
        }
    }
}
