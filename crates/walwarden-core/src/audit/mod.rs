//! The audit chain: every entry carries the hash of the one before, and a Merkle tree over the same hashes
//! (RFC 6962) is what gets signed and put outside the database.
//!
//! `hash = SHA-256(0x00 || body)` is at once the link of the chain and the leaf of the tree, so there is one
//! structure to check and nothing between its parts.

pub mod anchoring;
pub mod chain;
pub mod checkpoint;
pub mod entry;
pub mod event;
pub mod merkle;
pub mod note;
pub mod objects;
pub mod problem;
pub mod proof;
pub mod stored_checkpoint;
pub mod tlog_proof;

pub use crate::manifest::AuditHead as Head;
pub use chain::{Anchor, ChainReport, ChainVerifier, Columns, Reading, Row};
pub use checkpoint::Checkpoint;
pub use entry::{Entry, SealedEntry, leaf_hash};
pub use event::Event;
pub use merkle::MerkleTree;
pub use note::{NoteSignature, SignedNote};
pub use objects::AuditObject;
pub use problem::{Problem, ProblemKind};
pub use tlog_proof::TlogProof;

#[cfg(test)]
mod chain_tests;
#[cfg(test)]
mod note_tests;
#[cfg(test)]
mod proof_tests;
