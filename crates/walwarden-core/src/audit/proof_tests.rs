//! Proofs: published vectors, all of them for small logs against two other implementations, and damage.

use std::collections::HashMap;
use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use serde::Deserialize;
use sha2::Sha256;

use super::merkle::node_hash;
use super::note::{KEY_NAME, sign};
use super::proof::*;
use super::*;
use crate::error::ErrorClass;
use crate::key::SigningKey;
use crate::manifest::Sha256Sum;

/// Trees of every size below this are tried.
const SIZES: u64 = 300;

fn data(number: u64) -> Vec<u8> {
    number.to_le_bytes().to_vec()
}

fn leaves(count: u64) -> Vec<Sha256Sum> {
    (0..count).map(|number| leaf_hash(&data(number))).collect()
}

/// The definitions of RFC 6962, sections 2.1, 2.1.1 and 2.1.2, word for word, remembering tree heads.
struct Rfc6962 {
    leaves: Vec<Sha256Sum>,
    heads: HashMap<(usize, usize), Sha256Sum>,
}

impl Rfc6962 {
    fn new(leaves: Vec<Sha256Sum>) -> Self {
        Self { leaves, heads: HashMap::new() }
    }

    fn head(&mut self, d: Range<usize>) -> Sha256Sum {
        if let Some(known) = self.heads.get(&(d.start, d.end)) {
            return *known;
        }
        let head = match d.len() {
            0 => Sha256Sum::of(b""),
            1 => self.leaves[d.start],
            n => {
                let k = d.start + largest_power_of_two_below(n);
                let (left, right) = (self.head(d.start..k), self.head(k..d.end));
                node_hash(left, right)
            }
        };
        self.heads.insert((d.start, d.end), head);
        head
    }

    fn path(&mut self, m: usize, d: Range<usize>) -> Vec<Sha256Sum> {
        if d.len() == 1 {
            return Vec::new();
        }
        let k = largest_power_of_two_below(d.len());
        let (mut path, other) = if m < k {
            (self.path(m, d.start..d.start + k), self.head(d.start + k..d.end))
        } else {
            (self.path(m - k, d.start + k..d.end), self.head(d.start..d.start + k))
        };
        path.push(other);
        path
    }

    fn proof(&mut self, m: usize, d: Range<usize>, complete: bool) -> Vec<Sha256Sum> {
        if m == d.len() {
            return if complete { Vec::new() } else { vec![self.head(d)] };
        }
        let k = largest_power_of_two_below(d.len());
        let (mut proof, other) = if m <= k {
            (self.proof(m, d.start..d.start + k, complete), self.head(d.start + k..d.end))
        } else {
            (self.proof(m - k, d.start + k..d.end, false), self.head(d.start..d.start + k))
        };
        proof.push(other);
        proof
    }
}

fn largest_power_of_two_below(n: usize) -> usize {
    let mut k = 1;
    while k * 2 < n {
        k *= 2;
    }
    k
}

fn sums(digests: &[u8]) -> Vec<Sha256Sum> {
    digests.chunks(32).map(|digest| Sha256Sum::from_slice(digest).unwrap()).collect()
}

#[test]
fn all_proofs_are_those_of_the_rfc_and_of_another_implementation() {
    let mut rfc = Rfc6962::new(leaves(SIZES));
    let whole = Levels::new(leaves(SIZES));
    let mut other = ct_merkle::mem_backed_tree::MemoryBackedTree::<Sha256, Vec<u8>>::new();
    for size in 0..=SIZES {
        let root = whole.root(size).unwrap();
        assert_eq!(root, rfc.head(0..size as usize), "head of {size}");
        assert_eq!(root.0[..], other.root().as_bytes()[..], "head of {size}");
        for index in 0..size {
            let proof = whole.inclusion(index, size).unwrap();
            assert_eq!(proof, rfc.path(index as usize, 0..size as usize), "{index} in {size}");
            let theirs = other.prove_inclusion(index as usize);
            assert_eq!(proof, sums(theirs.as_bytes()), "{index} in {size}");
            verify_inclusion(leaf_hash(&data(index)), index, size, &proof, root).unwrap();
        }
        for from in 1..=size {
            let proof = whole.consistency(from, size).unwrap();
            assert_eq!(proof, rfc.proof(from as usize, 0..size as usize, true), "{from} to {size}");
            let theirs = other.prove_consistency((size - from) as usize);
            assert_eq!(proof, sums(theirs.as_bytes()), "{from} to {size}");
            verify_consistency(from, whole.root(from).unwrap(), size, root, &proof).unwrap();
        }
        other.push(data(size));
    }
}

#[test]
fn proofs_are_the_same_when_leaves_are_not_kept() {
    for size in [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 16, 17, 31, 33] {
        let levels = Levels::new(leaves(size));
        let mut selection = Selection::new();
        for smaller in 0..=size {
            selection.want_root(smaller);
            selection.want_consistency(smaller, size);
            (0..smaller).for_each(|index| selection.want_inclusion(index, smaller));
        }
        leaves(size).into_iter().for_each(|leaf| selection.push(leaf));
        assert_eq!(selection.size(), size);
        for smaller in 0..=size {
            assert_eq!(selection.root(smaller), levels.root(smaller));
            assert_eq!(selection.consistency(smaller, size), levels.consistency(smaller, size));
            for index in 0..smaller {
                assert_eq!(selection.inclusion(index, smaller), levels.inclusion(index, smaller));
                let alone = inclusion_proof(&leaves(size), index, smaller);
                assert_eq!(alone, levels.inclusion(index, smaller));
            }
            let alone = consistency_proof(&leaves(size), smaller, size);
            assert_eq!(alone, levels.consistency(smaller, size));
        }
    }
}

#[test]
fn what_no_tree_has_is_refused() {
    let levels = Levels::new(leaves(7));
    let mut selection = Selection::new();
    leaves(7).into_iter().for_each(|leaf| selection.push(leaf));
    for refused in [
        levels.inclusion(7, 7),
        levels.inclusion(0, 0),
        levels.inclusion(0, 8),
        levels.inclusion(u64::MAX, u64::MAX),
        levels.consistency(0, 7),
        levels.consistency(0, 0),
        levels.consistency(7, 6),
        levels.consistency(7, 8),
        levels.consistency(1, u64::MAX),
        selection.inclusion(7, 7),
        selection.consistency(0, 7),
        Selection::new().consistency(1, 1),
        inclusion_proof(&[], 0, 0),
        inclusion_proof(&leaves(3), 2, 4),
        inclusion_proof(&leaves(3), u64::MAX - 1, u64::MAX),
        consistency_proof(&leaves(3), 2, u64::MAX),
        levels.root(8).map(|root| vec![root]),
    ] {
        assert_eq!(refused.unwrap_err().class, ErrorClass::InvalidInput);
    }
    // A defect of the caller, not of what he was given.
    assert_eq!(selection.inclusion(3, 7).unwrap_err().class, ErrorClass::Internal);
    assert_eq!(selection.consistency(3, 7).unwrap_err().class, ErrorClass::Internal);
    assert_eq!(selection.root(7).unwrap_err().class, ErrorClass::Internal);
}

/// The test data of github.com/transparency-dev/merkle at commit 417fb0c (Apache License 2.0).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct InclusionVector {
    name: String,
    leaf_idx: u64,
    tree_size: u64,
    leaf_hash: String,
    proof: Vec<String>,
    root: String,
    want_err: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ConsistencyVector {
    name: String,
    size1: u64,
    size2: u64,
    root1: String,
    root2: String,
    proof: Vec<String>,
    want_err: bool,
}

/// A hash of the vectors. The types here have no room for one that is too short; it is filled up.
fn vector_hash(encoded: &str, filler: u8) -> Sha256Sum {
    let mut raw = STANDARD.decode(encoded).unwrap();
    raw.resize(32, filler);
    Sha256Sum::from_slice(&raw).unwrap()
}

#[test]
fn certificate_transparency_vectors() {
    let vectors: Vec<InclusionVector> = serde_json::from_str(include_str!("vectors/inclusion.json")).unwrap();
    assert_eq!(vectors.len(), 98);
    for vector in vectors {
        let proof: Vec<_> = vector.proof.iter().map(|hash| vector_hash(hash, 0)).collect();
        let leaf = vector_hash(&vector.leaf_hash, 0);
        let outcome =
            verify_inclusion(leaf, vector.leaf_idx, vector.tree_size, &proof, vector_hash(&vector.root, 1));
        assert_eq!(outcome.is_err(), vector.want_err, "{}", vector.name);
    }
    let vectors: Vec<ConsistencyVector> =
        serde_json::from_str(include_str!("vectors/consistency.json")).unwrap();
    assert_eq!(vectors.len(), 98);
    for vector in vectors {
        let proof: Vec<_> = vector.proof.iter().map(|hash| vector_hash(hash, 0)).collect();
        let [root1, root2] = [&vector.root1, &vector.root2].map(|hash| vector_hash(hash, 0));
        let outcome = verify_consistency(vector.size1, root1, vector.size2, root2, &proof);
        assert_eq!(outcome.is_err(), vector.want_err, "{}", vector.name);
    }
}

/// All that differs from a proof by a little.
fn damaged(proof: &[Sha256Sum]) -> Vec<Vec<Sha256Sum>> {
    let mut damaged = Vec::new();
    for at in 0..proof.len() {
        for bit in 0..256 {
            let mut flipped = proof.to_vec();
            flipped[at].0[bit / 8] ^= 1 << (bit % 8);
            damaged.push(flipped);
        }
        let mut without = proof.to_vec();
        without.remove(at);
        damaged.push(without);
        for other in at + 1..proof.len() {
            let mut swapped = proof.to_vec();
            swapped.swap(at, other);
            damaged.push(swapped);
        }
    }
    for at in 0..=proof.len() {
        for more in [Sha256Sum::ZERO, proof.first().copied().unwrap_or(leaf_hash(b"more"))] {
            let mut extended = proof.to_vec();
            extended.insert(at, more);
            damaged.push(extended);
        }
    }
    damaged
}

#[test]
fn every_damage_to_a_proof_is_found() {
    const SIZE: u64 = 14;
    let tree = Levels::new(leaves(SIZE));
    let foreign = leaf_hash(b"foreign");
    for size in 1..=SIZE {
        let root = tree.root(size).unwrap();
        for index in 0..size {
            let leaf = leaf_hash(&data(index));
            let proof = tree.inclusion(index, size).unwrap();
            for bad in damaged(&proof) {
                verify_inclusion(leaf, index, size, &bad, root).unwrap_err();
            }
            verify_inclusion(foreign, index, size, &proof, root).unwrap_err();
            verify_inclusion(leaf, index, size, &proof, foreign).unwrap_err();
            for other in (0..2 * SIZE).filter(|other| *other != index) {
                verify_inclusion(leaf, other, size, &proof, root).unwrap_err();
            }
        }
        for from in 1..=size {
            let from_root = tree.root(from).unwrap();
            let proof = tree.consistency(from, size).unwrap();
            for bad in damaged(&proof) {
                verify_consistency(from, from_root, size, root, &bad).unwrap_err();
            }
            verify_consistency(from, foreign, size, root, &proof).unwrap_err();
            verify_consistency(from, from_root, size, foreign, &proof).unwrap_err();
            verify_consistency(0, Sha256Sum::of(b""), size, root, &proof).unwrap_err();
            verify_consistency(size + 1, from_root, size, root, &proof).unwrap_err();
        }
    }
}

#[test]
fn sizes_at_the_end_of_numbers_are_no_trouble() {
    let any = leaf_hash(b"any");
    for proof in [vec![], vec![any], vec![any; 64], vec![any; 65]] {
        for (one, other) in [(u64::MAX, u64::MAX), (u64::MAX - 1, u64::MAX), (1 << 63, u64::MAX), (0, 0)] {
            verify_inclusion(any, one, other, &proof, Sha256Sum::ZERO).unwrap_err();
            verify_consistency(one, any, other, Sha256Sum::ZERO, &proof).unwrap_err();
        }
    }
}

#[test]
fn the_text_form_reads_back_and_nothing_else_does() {
    let tree = Levels::new(leaves(7));
    let key = SigningKey::generate([7; 32]);
    let database = uuid::Uuid::from_u128(0x0198_a5d2_7c00_7000_8000_0000_0000_0001);
    let checkpoint = Checkpoint { database, epoch: 1, size: 7, root: tree.root(7).unwrap() };
    let proof = TlogProof {
        extra: None,
        index: 6,
        hashes: tree.inclusion(6, 7).unwrap(),
        checkpoint: sign(&checkpoint.to_text(), KEY_NAME, &key).unwrap(),
    };
    let text = proof.to_text();
    let lines: Vec<&str> = text.split('\n').collect();
    assert_eq!(lines[..2], ["c2sp.org/tlog-proof@v1", "index 6"]);
    assert_eq!(lines[4..7], ["", "walwarden/0198a5d2-7c00-7000-8000-000000000001/1", "7"]);
    assert_eq!(TlogProof::parse(text.as_bytes()).unwrap(), proof);
    let keys = [key.public()];
    assert_eq!(proof.verify(leaf_hash(&data(6)), &keys).unwrap(), checkpoint);
    proof.verify(leaf_hash(&data(5)), &keys).unwrap_err();
    proof.verify(leaf_hash(&data(6)), &[]).unwrap_err();

    let with_extra = TlogProof { extra: Some(b"anything".to_vec()), ..proof.clone() };
    assert_eq!(TlogProof::parse(with_extra.to_text().as_bytes()).unwrap(), with_extra);
    let hash = lines[2];
    for (from, to) in [
        ("c2sp", "C2SP"),
        ("@v1\n", "@v2\n"),
        ("@v1\n", "@v1\r\n"),
        ("@v1\n", "@v1\n\n"),
        ("@v1\n", "@v1\nextra \nextra \n"),
        ("@v1\n", "@v1\nextra !\n"),
        ("@v1\n", "@v1\nextra YQ\n"),
        ("c2sp", "\u{feff}c2sp"),
        ("index 6\n", ""),
        ("index 6\n", "index 06\n"),
        ("index 6\n", "index +6\n"),
        ("index 6\n", "index -6\n"),
        ("index 6\n", "index 18446744073709551616\n"),
        ("index 6\n", "index 6 \n"),
        ("index 6\n", "index 6\nindex 6\n"),
        (hash, &hash[1..]),
        (hash, &hash.replace('=', "")),
        (hash, &format!("{hash}=")),
        (hash, &format!(" {hash}")),
        (hash, &format!("{hash}\n").repeat(65)),
        ("\n\n", "\n"),
    ] {
        assert!(text.contains(from), "{from}");
        let error = TlogProof::parse(text.replacen(from, to, 1).as_bytes()).unwrap_err();
        assert_eq!(error.class, ErrorClass::Archive, "{from:?} -> {to:?}");
    }
    for bytes in [&b""[..], b"\n\n", b"\xff\xfe", &vec![b'\n'; 3 << 20]] {
        assert_eq!(TlogProof::parse(bytes).unwrap_err().class, ErrorClass::Archive);
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes: Vec<u8>, text in "(c2sp.org/tlog-proof@v1\n|extra YQ==\n|index [0-9]{1,3}\n|[A-Za-z0-9+/=]{0,44}\n|\n|— walwarden [A-Za-z0-9+/=]{0,92}\n){0,9}") {
        let _ = TlogProof::parse(&bytes);
        if let Ok(proof) = TlogProof::parse(text.as_bytes()) {
            prop_assert_eq!(proof.to_text(), text);
        }
    }
}
