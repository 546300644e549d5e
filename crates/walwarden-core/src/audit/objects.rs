//! What of the audit chain lies in storage, below the folder of the database.
//!
//! Numbers have a fixed width, so that the order of keys is that of epochs and sizes, and one listing from a known checkpoint on gives
//! everything newer.

use std::fmt;

/// An object of the audit chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AuditObject {
    /// A checkpoint: `audit/checkpoint/<epoch>/<size>`.
    Checkpoint {
        /// Its epoch.
        epoch: u64,
        /// How many entries it is over.
        size: u64,
    },
    /// Entries, a body a line: `audit/entries/<epoch>/<from>-<to>.jsonl`.
    Entries {
        /// The epoch in which they were exported.
        epoch: u64,
        /// The first.
        from: u64,
        /// The last.
        to: u64,
    },
}

impl AuditObject {
    /// The folder of all checkpoints.
    pub const CHECKPOINTS: &str = "audit/checkpoint";
    /// The folder of all exported entries.
    pub const ENTRIES: &str = "audit/entries";

    /// Reads a key below the folder of the database; None for one of another form.
    pub fn parse(key: &str) -> Option<Self> {
        let within = |folder: &str| key.strip_prefix(folder)?.strip_prefix('/')?.split_once('/');
        let object = if let Some((epoch, size)) = within(Self::CHECKPOINTS) {
            Self::Checkpoint { epoch: number(epoch)?, size: number(size)? }
        } else {
            let (epoch, rest) = within(Self::ENTRIES)?;
            let (from, to) = rest.strip_suffix(".jsonl")?.split_once('-')?;
            Self::Entries { epoch: number(epoch)?, from: number(from)?, to: number(to)? }
        };
        // One object, one name.
        (object.to_string() == key).then_some(object)
    }
}

impl fmt::Display for AuditObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Checkpoint { epoch, size } => write!(f, "{}/{epoch:010}/{size:020}", Self::CHECKPOINTS),
            Self::Entries { epoch, from, to } => {
                write!(f, "{}/{epoch:010}/{from:020}-{to:020}.jsonl", Self::ENTRIES)
            }
        }
    }
}

fn number(digits: &str) -> Option<u64> {
    if digits.bytes().all(|byte| byte.is_ascii_digit()) { digits.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_those_of_the_format() {
        assert_eq!(
            AuditObject::Checkpoint { epoch: 2, size: 42 }.to_string(),
            "audit/checkpoint/0000000002/00000000000000000042"
        );
        assert_eq!(
            AuditObject::Entries { epoch: 1, from: 1, to: 42 }.to_string(),
            "audit/entries/0000000001/00000000000000000001-00000000000000000042.jsonl"
        );
    }

    #[test]
    fn other_names_are_none() {
        for other in [
            "",
            "audit/checkpoint/1/42",
            "audit/checkpoint/0000000001/00000000000000000042.sig",
            "audit/checkpoint/0000000001/+0000000000000000042",
            "audit/checkpoint/0000000001/0000000000000000004２",
            "audit/checkpoint/0000000001/99999999999999999999",
            "audit/entries/0000000001/00000000000000000001.jsonl",
            "x/audit/checkpoint/0000000001/00000000000000000042",
        ] {
            assert_eq!(AuditObject::parse(other), None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn names_read_back_and_sort_as_numbers(epochs in (0_u64..1 << 33, 0_u64..1 << 33), sizes: (u64, u64)) {
            let [one, other] = [(epochs.0, sizes.0), (epochs.1, sizes.1)]
                .map(|(epoch, size)| AuditObject::Checkpoint { epoch, size });
            prop_assert_eq!(AuditObject::parse(&one.to_string()), Some(one));
            prop_assert_eq!(one.to_string().cmp(&other.to_string()), one.cmp(&other));
            let entries = AuditObject::Entries { epoch: epochs.0, from: sizes.0, to: sizes.1 };
            prop_assert_eq!(AuditObject::parse(&entries.to_string()), Some(entries));
        }
    }
}
