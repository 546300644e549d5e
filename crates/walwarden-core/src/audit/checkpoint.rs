//! Checkpoints: the signed statement that the audit log of a database, in one epoch, had so many entries and
//! this tree head. They are put outside the database, where who rewrites its tables cannot reach them.
//!
//! The form is that of c2sp.org/tlog-checkpoint without extension lines.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use uuid::Uuid;

use crate::error::{Error, ErrorClass, Result};
use crate::exact_uuid::exact_uuid;
use crate::manifest::Sha256Sum;

/// What the first part of every origin is.
const PREFIX: &str = "walwarden/";

/// What a checkpoint states; in a [signed note](super::note) it is the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpoint {
    /// walwarden's id of the database.
    pub database: Uuid,
    /// Which incarnation of the log; goes up after a rollback.
    pub epoch: u64,
    /// The number of entries.
    pub size: u64,
    /// The Merkle tree head over them (RFC 6962).
    pub root: Sha256Sum,
}

impl Checkpoint {
    /// The name of the log: `walwarden/<database>/<epoch>`.
    pub fn origin(&self) -> String {
        format!("{PREFIX}{}/{}", self.database, self.epoch)
    }

    /// The three lines that are signed.
    pub fn to_text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin(), self.size, STANDARD.encode(self.root.0))
    }

    /// Reads the text of a note, refusing any that [`Checkpoint::to_text`] would not have written.
    ///
    /// # Errors
    /// `Archive`, the detail saying why.
    pub fn parse(text: &str) -> Result<Self> {
        Self::read(text).map_err(|why| {
            Error::new(ErrorClass::Archive, "could not read a checkpoint of the audit log").detail(why)
        })
    }

    fn read(text: &str) -> Result<Self, &'static str> {
        let lines = text.strip_suffix('\n').ok_or("It does not end in a newline.")?;
        let mut lines = lines.split('\n');
        let (Some(origin), Some(size), Some(root), None) =
            (lines.next(), lines.next(), lines.next(), lines.next())
        else {
            return Err("It does not have three lines.");
        };
        let (database, epoch) = origin
            .strip_prefix(PREFIX)
            .and_then(|origin| origin.split_once('/'))
            .ok_or("Its origin is not that of a log of walwarden.")?;
        let database =
            exact_uuid(database).ok_or("The database in its origin is not a UUID in its usual form.")?;
        let epoch = decimal(epoch).ok_or("The epoch in its origin is not a number.")?;
        let size = decimal(size).ok_or("Its size is not a number.")?;
        let root = hash(root).ok_or("Its tree head is not a hash in base64.")?;
        Ok(Self { database, epoch, size, root })
    }
}

/// A number in its one spelling.
pub(super) fn decimal(text: &str) -> Option<u64> {
    text.parse().ok().filter(|number: &u64| number.to_string() == text)
}

/// A hash in base64, padded, in its one spelling.
pub(super) fn hash(text: &str) -> Option<Sha256Sum> {
    let raw = STANDARD.decode(text).ok()?;
    Sha256Sum::from_slice(&raw)
}
