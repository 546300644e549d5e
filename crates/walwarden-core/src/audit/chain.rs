//! The check of a chain: every row, every link, every anchor, in one pass, reporting everything that is
//! wrong.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use uuid::Uuid;

use super::entry::{Entry, leaf_hash};
use super::merkle::MerkleTree;
use super::problem::{Problem, ProblemKind};
use super::{Event, Head};
use crate::manifest::Sha256Sum;

/// A stored entry. What is stored is not trusted, so the types take whatever a table can hold.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    /// Its number.
    pub seq: i64,
    /// Its body, UTF-8.
    pub body: &'a [u8],
    /// Its hash as stored; none where only bodies are kept, as in exported entries.
    pub hash: Option<&'a [u8]>,
    /// The columns that repeat what the body says, where there are any.
    pub columns: Option<Columns<'a>>,
}

/// What one body says, read without its neighbours: most of the work of a check.
#[derive(Debug, Clone)]
pub struct Reading {
    computed: Sha256Sum,
    entry: Result<Entry, String>,
}

impl Reading {
    /// Reads a body.
    pub fn of(body: &[u8]) -> Self {
        let entry = Entry::from_body(body).map_err(|error| error.detail.unwrap_or(error.message));
        Self { computed: leaf_hash(body), entry }
    }
}

/// The columns of a row that repeat what the body says.
#[derive(Debug, Clone, Copy)]
pub struct Columns<'a> {
    /// The time, written as the body has it; whatever cannot be written so counts as another time.
    pub at: &'a str,
    /// The job.
    pub job: Option<Uuid>,
    /// The event.
    pub event: &'a str,
    /// The actor.
    pub actor: &'a str,
}

/// What is known of the chain from outside: a signed manifest, or a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anchor {
    /// The entry with this number has this hash.
    Entry(Head),
    /// The Merkle tree over the first `size` entries has this head (RFC 6962).
    Root {
        /// The number of entries.
        size: u64,
        /// The tree head over them.
        root: Sha256Sum,
    },
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainReport {
    /// How many rows there were.
    pub rows: u64,
    /// The last row by its own number and the hash of its body; [`Head::EMPTY`] when there was none.
    pub head: Head,
    /// The Merkle tree head over all rows.
    pub root: Sha256Sum,
    /// What is wrong at the end; what is wrong with a row was reported when it came.
    pub problems: Vec<Problem>,
}

/// Checks a chain row by row, in the order of their numbers. It keeps the last row and the anchors to come,
/// so its memory does not grow with the chain.
#[derive(Debug, Default)]
pub struct ChainVerifier {
    rows: u64,
    tree: MerkleTree,
    /// What the next row must follow.
    last: Option<Link>,
    /// The time and epoch of the newest body that could be read.
    newest: Option<(String, u64)>,
    /// What no row has reached yet, by the number of the entry.
    anchors: BTreeMap<i64, Vec<Anchor>>,
}

#[derive(Debug)]
struct Link {
    seq: i64,
    computed: Sha256Sum,
    /// The stored hash, if it has the length of one.
    stored: Option<Sha256Sum>,
}

impl ChainVerifier {
    /// A check from the first entry on, against what is known from outside.
    pub fn new(anchors: impl IntoIterator<Item = Anchor>) -> Self {
        let mut verifier = Self::default();
        for anchor in anchors {
            let seq = match anchor {
                Anchor::Entry(head) => head.seq,
                Anchor::Root { size, .. } => size,
            };
            // One made before the first entry says nothing about any.
            if seq > 0 {
                // A table has no number above i64::MAX, so such an anchor ends up missing, as it should.
                verifier.anchors.entry(i64::try_from(seq).unwrap_or(i64::MAX)).or_default().push(anchor);
            }
        }
        verifier
    }

    /// A check from the entry behind this one on, which is believed. The tree head is then none of the whole chain.
    pub fn behind(head: &Head) -> Self {
        let mut verifier = Self::default();
        if let Ok(seq @ 1..) = i64::try_from(head.seq) {
            verifier.last = Some(Link { seq, computed: head.hash, stored: Some(head.hash) });
        }
        verifier
    }

    /// Takes the next row and returns all that is wrong with it, and with anchors it went past.
    pub fn push(&mut self, row: &Row<'_>) -> Vec<Problem> {
        self.push_read(row, Reading::of(row.body))
    }

    /// The same with the row's body read before, as it can be on any thread.
    pub fn push_read(&mut self, row: &Row<'_>, reading: Reading) -> Vec<Problem> {
        let mut problems = self.anchors_passed(row.seq);
        let mut report = |kind| problems.push(Problem { seq: row.seq, kind });

        let expected = self.last.as_ref().map_or(1, |last| last.seq.saturating_add(1));
        if row.seq > expected {
            report(ProblemKind::Gap { first_missing: expected, last_missing: row.seq - 1 });
        } else if row.seq < expected {
            report(ProblemKind::OutOfOrder);
        }

        let Reading { computed, entry } = reading;
        let stored = row.hash.map_or(Some(computed), Sha256Sum::from_slice);
        if stored != Some(computed) {
            report(ProblemKind::WrongHash { computed });
        }

        match entry {
            Ok(entry) => {
                // What comes before a gap is not there to be compared with.
                if row.seq == expected && !self.is_followed_by(&entry) {
                    report(ProblemKind::WrongPrev);
                }
                self.check_body(&entry, row, &mut report);
                self.newest = Some((entry.at, entry.epoch));
            }
            Err(why) => report(ProblemKind::MalformedBody(why)),
        }

        self.rows += 1;
        self.tree.push(computed);
        self.last = Some(Link { seq: row.seq, computed, stored });
        for anchor in self.anchors.remove(&row.seq).unwrap_or_default() {
            match anchor {
                Anchor::Entry(head) if head.hash != computed => report(ProblemKind::AnchorDiffers),
                Anchor::Root { size, root } if (size, root) != (self.tree.size(), self.tree.root()) => {
                    report(ProblemKind::RootDiffers);
                }
                Anchor::Entry(_) | Anchor::Root { .. } => {}
            }
        }
        problems
    }

    /// Ends the check. `head` is what the database says the last entry is, where it says so.
    pub fn finish(mut self, head: Option<&Head>) -> ChainReport {
        let mut problems: Vec<Problem> = Vec::new();
        let last = self.last.as_ref().map_or((0, Sha256Sum::ZERO), |last| (last.seq, last.computed));
        let reached = Head { seq: u64::try_from(last.0).unwrap_or(0), hash: last.1 };
        if let Some(head) = head {
            let kind = match reached.seq.cmp(&head.seq) {
                Ordering::Less => {
                    Some((last.0.saturating_add(1), ProblemKind::MissingAtEnd { head: head.seq }))
                }
                Ordering::Greater => Some((last.0, ProblemKind::BeyondHead { head: head.seq })),
                Ordering::Equal => (reached.hash != head.hash).then_some((last.0, ProblemKind::HeadDiffers)),
            };
            problems.extend(kind.map(|(seq, kind)| Problem { seq, kind }));
        }
        for (seq, anchors) in std::mem::take(&mut self.anchors) {
            problems.extend(anchors.iter().map(|_| Problem { seq, kind: ProblemKind::AnchorMissing }));
        }
        ChainReport { rows: self.rows, head: reached, root: self.tree.root(), problems }
    }

    /// Takes out the anchors of entries that should have come before this one.
    fn anchors_passed(&mut self, seq: i64) -> Vec<Problem> {
        let ahead = self.anchors.split_off(&seq);
        let passed = std::mem::replace(&mut self.anchors, ahead);
        let missing = passed.into_iter().flat_map(|(seq, anchors)| anchors.into_iter().map(move |_| seq));
        missing.map(|seq| Problem { seq, kind: ProblemKind::AnchorMissing }).collect()
    }

    /// Whether the entry names the last row as the one before it. Where the row's stored hash and its body
    /// disagree, which was reported there, either will do: the damage is in that row, not in this link.
    fn is_followed_by(&self, entry: &Entry) -> bool {
        let Ok(prev) = entry.prev.parse::<Sha256Sum>() else { return false };
        match &self.last {
            Some(last) => prev == last.computed || Some(prev) == last.stored,
            None => prev == Sha256Sum::ZERO,
        }
    }

    /// What a readable body must agree with.
    fn check_body(&self, entry: &Entry, row: &Row<'_>, report: &mut impl FnMut(ProblemKind)) {
        if i64::try_from(entry.seq) != Ok(row.seq) {
            report(ProblemKind::SeqDiffers { in_body: entry.seq });
        }
        if let Some((at, epoch)) = &self.newest {
            // Text in this form sorts as time does.
            if entry.at < *at {
                report(ProblemKind::TimeGoesBack);
            }
            if entry.epoch < *epoch {
                report(ProblemKind::EpochGoesBack);
            }
        }
        if entry.event.parse::<Event>().is_err() {
            report(ProblemKind::UnknownEvent(entry.event.clone()));
        }
        if let Some(columns) = &row.columns {
            let agreement = [
                ("at", columns.at == entry.at),
                ("job_id", columns.job == entry.job),
                ("event", columns.event == entry.event),
                ("actor", columns.actor == entry.actor),
            ];
            for (column, _) in agreement.into_iter().filter(|(_, agrees)| !agrees) {
                report(ProblemKind::ColumnDiffers { column });
            }
        }
    }
}
