//! The text of a consistency proof between two checkpoints. There is no form of C2SP for it, so it is one like theirs: a
//! first line that names it, the two trees, and a hash a line in base64.

use std::fmt::Write as _;

use base64::prelude::{BASE64_STANDARD, Engine};

use crate::error::{Error, ErrorClass, Result};
use crate::manifest::Sha256Sum;

const FIRST_LINE: &str = "walwarden/consistency-proof@v1";
/// RFC 6962, section 2.1.2: no more than one beyond the depth of the tree.
const MOST_HASHES: usize = 65;

/// That the later of two trees only adds to the earlier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsistencyProof {
    /// Epoch and size of the earlier one.
    pub from: (u64, u64),
    /// Epoch and size of the later one.
    pub to: (u64, u64),
    /// The hashes, in the order of RFC 6962.
    pub hashes: Vec<Sha256Sum>,
}

impl ConsistencyProof {
    /// The text.
    pub fn to_text(&self) -> String {
        let mut text =
            format!("{FIRST_LINE}\nfrom {} {}\nto {} {}\n", self.from.0, self.from.1, self.to.0, self.to.1);
        for hash in &self.hashes {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{}", BASE64_STANDARD.encode(hash.0));
        }
        text
    }

    /// Reads a text, refusing any that [`ConsistencyProof::to_text`] would not have written.
    ///
    /// # Errors
    /// `Archive`.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let refused =
            || Error::new(ErrorClass::Archive, "could not read a consistency proof of the audit log");
        let text = str::from_utf8(bytes).map_err(|_| refused())?;
        let proof = Self::read(text).ok_or_else(refused)?;
        if proof.to_text() == text { Ok(proof) } else { Err(refused()) }
    }

    fn read(text: &str) -> Option<Self> {
        let mut lines = text.strip_suffix('\n')?.split('\n');
        if lines.next()? != FIRST_LINE {
            return None;
        }
        let mut tree = |name: &str| {
            let (epoch, size) = lines.next()?.strip_prefix(name)?.split_once(' ')?;
            Some((epoch.parse().ok()?, size.parse().ok()?))
        };
        let (from, to) = (tree("from ")?, tree("to ")?);
        let hash = |line: &str| Sha256Sum::from_slice(&BASE64_STANDARD.decode(line).ok()?);
        let hashes: Vec<Sha256Sum> = lines.take(MOST_HASHES + 1).map(hash).collect::<Option<_>>()?;
        (hashes.len() <= MOST_HASHES).then_some(Self { from, to, hashes })
    }
}
