//! What can be wrong with a chain.

use std::fmt;

use crate::manifest::Sha256Sum;

/// One thing that is wrong with a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The number of the entry it was seen at, as stored.
    pub seq: i64,
    /// What is wrong.
    pub kind: ProblemKind,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "entry {}: {}", self.seq, self.kind)
    }
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProblemKind {
    /// Entries before this one are gone.
    Gap {
        /// The first of them.
        first_missing: i64,
        /// The last of them.
        last_missing: i64,
    },
    /// The number does not go up.
    OutOfOrder,
    /// The stored hash is not that of the body.
    WrongHash {
        /// The hash of the body as it is.
        computed: Sha256Sum,
    },
    /// The body names another entry before it than the one that is there.
    WrongPrev,
    /// The body is not what would have been written; the text says why.
    MalformedBody(String),
    /// The body names another number.
    SeqDiffers {
        /// The number in the body.
        in_body: u64,
    },
    /// The time is before that of the entry before.
    TimeGoesBack,
    /// The epoch is before that of the entry before.
    EpochGoesBack,
    /// The event is none that this version knows.
    UnknownEvent(String),
    /// A column shows something else than the body.
    ColumnDiffers {
        /// The name of the column.
        column: &'static str,
    },
    /// An anchor outside the chain names another hash for this entry.
    AnchorDiffers,
    /// An anchor outside the chain names another tree head for the entries up to this one.
    RootDiffers,
    /// An anchor outside the chain reaches this entry, which is gone.
    AnchorMissing,
    /// The entries from this one to the head are gone.
    MissingAtEnd {
        /// The number of the head.
        head: u64,
    },
    /// The head names another hash for this entry.
    HeadDiffers,
    /// The head is before this, the last entry.
    BeyondHead {
        /// The number of the head.
        head: u64,
    },
    /// What lies where a checkpoint over the entries up to this one belongs cannot be believed.
    BadCheckpoint {
        /// Where it lies.
        storage: String,
        /// Why.
        why: String,
    },
    /// A checkpoint over the entries up to this one was put into storage and is gone.
    MissingCheckpoint {
        /// Where it was.
        storage: String,
    },
    /// What a storage has could not be read, so nothing was compared with it.
    UnreadableStorage {
        /// Its name.
        storage: String,
        /// Why.
        why: String,
    },
}

impl ProblemKind {
    /// A short stable name, for a column that scripts read.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Gap { .. } => "gap",
            Self::OutOfOrder => "out_of_order",
            Self::WrongHash { .. } => "wrong_hash",
            Self::WrongPrev => "wrong_prev",
            Self::MalformedBody(_) => "malformed_body",
            Self::SeqDiffers { .. } => "seq_differs",
            Self::TimeGoesBack => "time_goes_back",
            Self::EpochGoesBack => "epoch_goes_back",
            Self::UnknownEvent(_) => "unknown_event",
            Self::ColumnDiffers { .. } => "column_differs",
            Self::AnchorDiffers => "anchor_differs",
            Self::RootDiffers => "root_differs",
            Self::AnchorMissing => "anchor_missing",
            Self::MissingAtEnd { .. } => "missing_at_end",
            Self::HeadDiffers => "head_differs",
            Self::BeyondHead { .. } => "beyond_head",
            Self::BadCheckpoint { .. } => "bad_checkpoint",
            Self::MissingCheckpoint { .. } => "missing_checkpoint",
            Self::UnreadableStorage { .. } => "unreadable_storage",
        }
    }
}

impl fmt::Display for ProblemKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gap { first_missing, last_missing } if first_missing == last_missing => {
                write!(f, "entry {first_missing} before it is missing")
            }
            Self::Gap { first_missing, last_missing } => {
                write!(f, "entries {first_missing} to {last_missing} before it are missing")
            }
            Self::OutOfOrder => f.write_str("its number is not above the one before"),
            Self::WrongHash { computed } => {
                write!(f, "its hash is not that of its body, which is {computed}")
            }
            Self::WrongPrev => f.write_str("it does not follow the entry before it: \"prev\" names another"),
            Self::MalformedBody(why) => write!(f, "its body is malformed: {why}"),
            Self::SeqDiffers { in_body } => write!(f, "its body says that it is entry {in_body}"),
            Self::TimeGoesBack => f.write_str("its time is before that of the entry before it"),
            Self::EpochGoesBack => f.write_str("its epoch is before that of the entry before it"),
            Self::UnknownEvent(event) => write!(f, "its event \"{event}\" is not known"),
            Self::ColumnDiffers { column } => write!(f, "its column \"{column}\" disagrees with its body"),
            Self::AnchorDiffers => f.write_str("it is not the entry that was signed at the time"),
            Self::RootDiffers => {
                f.write_str("the entries up to it are not those that were signed at the time")
            }
            Self::AnchorMissing => f.write_str("it is missing, though it was signed at the time"),
            Self::MissingAtEnd { head } => write!(f, "the entries from it to the head, {head}, are missing"),
            Self::HeadDiffers => f.write_str("it is not the entry that the head names"),
            Self::BeyondHead { head } => write!(f, "it lies beyond the head, which is {head}"),
            Self::BadCheckpoint { storage, why } => {
                write!(f, "its checkpoint in storage \"{storage}\" cannot be believed: {why}")
            }
            Self::MissingCheckpoint { storage } => {
                write!(f, "its checkpoint was put into storage \"{storage}\" and is gone")
            }
            Self::UnreadableStorage { storage, why } => {
                write!(f, "the checkpoints in storage \"{storage}\" could not be read: {why}")
            }
        }
    }
}
