//! The proof that an entry is in a signed log, as one text that is checked offline: c2sp.org/tlog-proof.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::checkpoint::{self, Checkpoint};
use super::note::{MAX_LENGTH, SignedNote};
use super::proof::{MAX_INCLUSION_HASHES, verify_inclusion};
use crate::error::{Error, ErrorClass, Result};
use crate::key::PublicKey;
use crate::manifest::Sha256Sum;

const FIRST_LINE: &str = "c2sp.org/tlog-proof@v1";

/// An inclusion proof with the checkpoint it leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlogProof {
    /// What else is said; nothing vouches for it. walwarden writes none.
    pub extra: Option<Vec<u8>>,
    /// The index of the entry in the log: its number less one.
    pub index: u64,
    /// The hashes, from the leaf's sibling up.
    pub hashes: Vec<Sha256Sum>,
    /// The checkpoint, as it was signed.
    pub checkpoint: SignedNote,
}

impl TlogProof {
    /// The text of the proof.
    pub fn to_text(&self) -> String {
        let mut text = format!("{FIRST_LINE}\n");
        // Writing to a string cannot fail.
        if let Some(extra) = &self.extra {
            let _ = writeln!(text, "extra {}", STANDARD.encode(extra));
        }
        let _ = writeln!(text, "index {}", self.index);
        for hash in &self.hashes {
            let _ = writeln!(text, "{}", STANDARD.encode(hash.0));
        }
        text.push('\n');
        text.push_str(&self.checkpoint.to_text());
        text
    }

    /// Reads a proof. It proves nothing until it was [verified](Self::verify).
    ///
    /// # Errors
    /// `Archive` when the bytes are not such a proof, the detail saying why.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let refused = |why: &str| {
            Error::new(ErrorClass::Archive, "could not read a proof of the audit log").detail(why)
        };
        // The note in it has a limit of its own; what stands before it is as long at most.
        if bytes.len() > 2 * MAX_LENGTH {
            return Err(refused("It is too long."));
        }
        let text = str::from_utf8(bytes).map_err(|_| refused("It is not UTF-8."))?;
        let (head, note) = text.split_once("\n\n").ok_or_else(|| refused("It has no blank line."))?;
        let (extra, index, hashes) = read_head(head).map_err(refused)?;
        Ok(Self { extra, index, hashes, checkpoint: SignedNote::parse(note.as_bytes())? })
    }

    /// Checks that one of the keys signed the checkpoint, and that the log it names has the entry with this
    /// leaf hash at the index of the proof. Returns the checkpoint: that it is of the right log is for the
    /// caller to check.
    ///
    /// # Errors
    /// Those of [`SignedNote::verify`], [`Checkpoint::parse`] and [`verify_inclusion`].
    pub fn verify(&self, leaf: Sha256Sum, keys: &[PublicKey]) -> Result<Checkpoint> {
        self.checkpoint.verify(keys)?;
        let checkpoint = Checkpoint::parse(&self.checkpoint.text)?;
        verify_inclusion(leaf, self.index, checkpoint.size, &self.hashes, checkpoint.root)?;
        Ok(checkpoint)
    }
}

/// What stands before the blank line: the extra data, the index and the hashes.
type ProofHead = (Option<Vec<u8>>, u64, Vec<Sha256Sum>);

fn read_head(head: &str) -> Result<ProofHead, &'static str> {
    let mut lines = head.split('\n');
    if lines.next() != Some(FIRST_LINE) {
        return Err("Its first line does not say that it is one.");
    }
    let mut line = lines.next();
    let mut extra = None;
    if let Some(encoded) = line.and_then(|line| line.strip_prefix("extra ")) {
        extra = Some(STANDARD.decode(encoded).map_err(|_| "Its extra data are not base64.")?);
        line = lines.next();
    }
    let index = line
        .and_then(|line| line.strip_prefix("index "))
        .and_then(checkpoint::decimal)
        .ok_or("It has no index.")?;
    // One more than allowed is enough to know.
    let hashes: Vec<Sha256Sum> = lines
        .take(MAX_INCLUSION_HASHES + 1)
        .map(checkpoint::hash)
        .collect::<Option<_>>()
        .ok_or("A line of it is not a hash in base64.")?;
    if hashes.len() > MAX_INCLUSION_HASHES {
        return Err("It has more hashes than any log needs.");
    }
    Ok((extra, index, hashes))
}
