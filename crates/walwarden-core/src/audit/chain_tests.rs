//! Whole chains: sound ones, and every kind of damage.

use chrono::{DateTime, TimeDelta};
use proptest::prelude::*;
use uuid::Uuid;

use super::event::{ChainAction, JobAction};
use super::*;
use crate::job::JobKind;
use crate::manifest::Sha256Sum;

/// A row as a table keeps it.
#[derive(Debug, Clone, PartialEq)]
struct Stored {
    seq: i64,
    body: Vec<u8>,
    hash: Vec<u8>,
    at: String,
    job: Option<Uuid>,
    event: String,
    actor: String,
}

impl Stored {
    fn new(entry: &Entry) -> Self {
        let sealed = entry.seal().unwrap();
        Self {
            seq: sealed.seq as i64,
            body: sealed.body.into_bytes(),
            hash: sealed.hash.0.to_vec(),
            at: entry.at.clone(),
            job: entry.job,
            event: entry.event.clone(),
            actor: entry.actor.clone(),
        }
    }

    fn row(&self) -> Row<'_> {
        let columns = Columns { at: &self.at, job: self.job, event: &self.event, actor: &self.actor };
        Row { seq: self.seq, body: &self.body, hash: Some(&self.hash), columns: Some(columns) }
    }

    /// As exported: bodies only.
    fn bare(&self) -> Row<'_> {
        Row { hash: None, columns: None, ..self.row() }
    }

    fn entry(&self) -> Entry {
        Entry::from_body(&self.body).unwrap()
    }
}

fn chain(length: u64) -> Vec<Stored> {
    let mut head = Head::EMPTY;
    let start = DateTime::from_timestamp_micros(1_786_672_800_000_000).unwrap();
    let mut next = |number: u64| {
        let event = match number {
            0 => Event::Chain(ChainAction::Heartbeat),
            _ => Event::Job(JobKind::Backup, JobAction::ALL[number as usize % JobAction::ALL.len()]),
        };
        let now = start + TimeDelta::seconds(number as i64 / 2);
        let mut entry = Entry::following(&head, now, 1 + number / 7, event, "walwarden leader");
        entry.job = (!number.is_multiple_of(3)).then(|| Uuid::from_u128(u128::from(number)));
        entry.detail.insert("number".to_owned(), number.into());
        head = entry.seal().unwrap().head();
        Stored::new(&entry)
    };
    (0..length).map(&mut next).collect()
}

fn head_of(rows: &[Stored]) -> Head {
    rows.last().map_or(Head::EMPTY, |row| row.entry().seal().unwrap().head())
}

fn check(rows: &[Stored], anchors: Vec<Anchor>, head: Option<&Head>) -> (Vec<Problem>, ChainReport) {
    let mut verifier = ChainVerifier::new(anchors);
    let mut problems: Vec<Problem> = rows.iter().flat_map(|row| verifier.push(&row.row())).collect();
    let report = verifier.finish(head);
    problems.extend(report.problems.clone());
    (problems, report)
}

/// All that is found, as number and kind.
fn found(rows: &[Stored], head: &Head) -> Vec<(i64, &'static str)> {
    check(rows, Vec::new(), Some(head)).0.iter().map(|problem| (problem.seq, problem.kind.name())).collect()
}

/// A row with other contents, its hash made to fit, as one who knows the rules would forge it.
fn forge(row: &mut Stored, change: impl FnOnce(&mut Entry)) {
    let mut entry = row.entry();
    change(&mut entry);
    *row = Stored::new(&entry);
}

/// The newest entries are checked by themselves, against the one before them.
#[test]
fn the_end_of_a_chain_is_checked_from_an_entry_on() {
    let rows = chain(20);
    let check_behind = |start: &[Stored], end: &[Stored]| {
        let mut verifier = ChainVerifier::behind(&head_of(start));
        let mut problems: Vec<Problem> = end.iter().flat_map(|row| verifier.push(&row.row())).collect();
        problems.extend(verifier.finish(Some(&head_of(&rows))).problems);
        problems
    };
    for start in 0..=20 {
        assert_eq!(check_behind(&rows[..start], &rows[start..]), [], "behind {start}");
    }
    let kinds = |problems: Vec<Problem>| problems.into_iter().map(|p| (p.seq, p.kind)).collect::<Vec<_>>();
    assert_eq!(
        kinds(check_behind(&rows[..9], &rows[10..])),
        [(11, ProblemKind::Gap { first_missing: 10, last_missing: 10 })]
    );
    assert_eq!(
        kinds(check_behind(&rows[..10], &rows[10..19])),
        [(20, ProblemKind::MissingAtEnd { head: 20 })]
    );
    let mut other = head_of(&rows[..10]);
    other.hash = Sha256Sum([1; 32]);
    let mut verifier = ChainVerifier::behind(&other);
    assert_eq!(kinds(verifier.push(&rows[10].row())), [(11, ProblemKind::WrongPrev)]);
}

#[test]
fn a_sound_chain_has_no_problems() {
    for length in [0, 1, 2, 3, 30] {
        let rows = chain(length);
        let head = head_of(&rows);
        let (problems, report) = check(&rows, vec![Anchor::Entry(head)], Some(&head));
        assert_eq!(problems, []);
        assert_eq!((report.rows, report.head), (length, head));

        let mut tree = MerkleTree::new();
        rows.iter().for_each(|row| tree.push(leaf_hash(&row.body)));
        assert_eq!(report.root, tree.root());

        let mut verifier = ChainVerifier::default();
        assert!(rows.iter().all(|row| verifier.push(&row.bare()).is_empty()), "bodies alone");
    }
}

#[test]
fn anchors_hold_at_every_size() {
    let rows = chain(20);
    let mut tree = MerkleTree::new();
    let mut anchors = vec![Anchor::Entry(Head::EMPTY), Anchor::Root { size: 0, root: tree.root() }];
    for row in &rows {
        tree.push(leaf_hash(&row.body));
        anchors.push(Anchor::Root { size: tree.size(), root: tree.root() });
        anchors.push(Anchor::Entry(Head { seq: tree.size(), hash: leaf_hash(&row.body) }));
    }
    assert_eq!(check(&rows, anchors, None).0, []);
}

#[test]
fn missing_rows_are_found_wherever_they_are() {
    let rows = chain(10);
    let head = head_of(&rows);
    assert_eq!(found(&rows[3..], &head), [(4, "gap")]);
    assert_eq!(found(&rows[..7], &head), [(8, "missing_at_end")]);
    assert_eq!(found(&[], &head), [(1, "missing_at_end")]);
    let holes: Vec<_> = [&rows[..2], &rows[5..6], &rows[7..]].concat();
    assert_eq!(found(&holes, &head), [(6, "gap"), (8, "gap")]);

    let (problems, _) = check(&rows[3..], Vec::new(), None);
    assert_eq!(problems[0].kind, ProblemKind::Gap { first_missing: 1, last_missing: 3 });
    assert_eq!(problems[0].to_string(), "entry 4: entries 1 to 3 before it are missing");
}

#[test]
fn rows_twice_or_out_of_order_are_found() {
    let rows = chain(6);
    let head = head_of(&rows);
    let twice: Vec<_> = [&rows[..3], &rows[2..]].concat();
    assert_eq!(found(&twice, &head), [(3, "out_of_order")]);
    let mut swapped = rows.clone();
    swapped.swap(2, 3);
    assert_eq!(found(&swapped, &head), [(4, "gap"), (3, "out_of_order"), (5, "gap")]);
    let mut negative = rows.clone();
    negative[0].seq = i64::MIN;
    assert_eq!(found(&negative, &head)[..2], [(i64::MIN, "out_of_order"), (i64::MIN, "seq_differs")]);
    let mut huge = rows;
    huge[5].seq = i64::MAX;
    let last = (i64::MAX, "beyond_head");
    assert_eq!(found(&huge, &head), [(i64::MAX, "gap"), (i64::MAX, "seq_differs"), last]);
}

#[test]
fn a_changed_row_is_found_in_its_place() {
    let rows = chain(6);
    let head = head_of(&rows);

    let mut body = rows.clone();
    forge(&mut body[2], |entry| entry.actor = "nobody".to_owned());
    body[2].hash = rows[2].hash.clone();
    assert_eq!(found(&body, &head), [(3, "wrong_hash")]);

    let mut hash = rows.clone();
    hash[2].hash[31] ^= 1;
    assert_eq!(found(&hash, &head), [(3, "wrong_hash")]);
    for length in [0, 31, 33] {
        hash[2].hash = vec![0; length];
        assert_eq!(found(&hash, &head), [(3, "wrong_hash")]);
    }

    // Body and hash changed to fit each other: the next row does not follow.
    let mut forged = rows.clone();
    forge(&mut forged[2], |entry| entry.actor = "nobody".to_owned());
    assert_eq!(found(&forged, &head), [(4, "wrong_prev")]);
    // The last row has no next; the head tells.
    let mut forged = rows.clone();
    forge(&mut forged[5], |entry| entry.actor = "nobody".to_owned());
    assert_eq!(found(&forged, &head), [(6, "head_differs")]);

    let mut unlinked = rows;
    forge(&mut unlinked[3], |entry| entry.prev = "ab".repeat(32));
    assert_eq!(found(&unlinked, &head), [(4, "wrong_prev"), (5, "wrong_prev")]);
}

/// One who rewrites a row and every hash after it leaves nothing inside the table to be found.
#[test]
fn only_anchors_find_a_chain_forged_to_its_end() {
    let rows = chain(12);
    let head = head_of(&rows);
    let mut tree = MerkleTree::new();
    rows[..9].iter().for_each(|row| tree.push(leaf_hash(&row.body)));
    let entry_anchor = Anchor::Entry(Head { seq: 9, hash: leaf_hash(&rows[8].body) });
    let root_anchor = Anchor::Root { size: 9, root: tree.root() };

    let mut forged = rows.clone();
    forge(&mut forged[4], |entry| drop(entry.detail.insert("number".to_owned(), 99.into())));
    for at in 5..forged.len() {
        let prev = leaf_hash(&forged[at - 1].body).to_string();
        forge(&mut forged[at], |entry| entry.prev = prev);
    }
    let forged_head = head_of(&forged);
    assert_eq!(found(&forged, &forged_head), []);
    assert_eq!(found(&forged, &head), [(12, "head_differs")]);
    let (problems, _) = check(&forged, vec![entry_anchor, root_anchor], Some(&forged_head));
    let kinds: Vec<_> = problems.iter().map(|problem| (problem.seq, problem.kind.name())).collect();
    assert_eq!(kinds, [(9, "anchor_differs"), (9, "root_differs")]);

    // Cut off instead of rewritten.
    let (problems, _) = check(&rows[..5], vec![entry_anchor, root_anchor], Some(&head_of(&rows[..5])));
    let kinds: Vec<_> = problems.iter().map(|problem| (problem.seq, problem.kind.name())).collect();
    assert_eq!(kinds, [(9, "anchor_missing"), (9, "anchor_missing")]);

    // In a hole.
    let holes: Vec<_> = [&rows[..8], &rows[10..]].concat();
    let (problems, _) = check(&holes, vec![entry_anchor], Some(&head));
    let kinds: Vec<_> = problems.iter().map(|problem| (problem.seq, problem.kind.name())).collect();
    assert_eq!(kinds, [(9, "anchor_missing"), (11, "gap")]);

    // Beyond any number a table can hold.
    let absurd = Anchor::Entry(Head { seq: u64::MAX, hash: Sha256Sum::ZERO });
    assert_eq!(check(&rows, vec![absurd], None).0[0].kind, ProblemKind::AnchorMissing);
}

#[test]
fn rows_beyond_the_head_are_found() {
    let rows = chain(6);
    assert_eq!(found(&rows, &head_of(&rows[..4])), [(6, "beyond_head")]);
    assert_eq!(found(&rows, &Head::EMPTY), [(6, "beyond_head")]);
}

#[test]
fn what_the_body_says_is_checked() {
    let rows = chain(8);
    let head = head_of(&rows);
    let damaged = |change: fn(&mut Entry)| {
        let mut rows = rows.clone();
        forge(&mut rows[3], change);
        rows
    };
    assert_eq!(
        found(&damaged(|entry| entry.at = "2020-01-01T00:00:00.000000Z".to_owned()), &head),
        [(4, "time_goes_back"), (5, "wrong_prev")]
    );
    assert_eq!(
        found(&damaged(|entry| entry.at = "2099-01-01T00:00:00.000000Z".to_owned()), &head),
        [(5, "wrong_prev"), (5, "time_goes_back")]
    );
    assert_eq!(found(&damaged(|entry| entry.epoch = 0), &head), [(4, "epoch_goes_back"), (5, "wrong_prev")]);

    let mut renumbered = rows.clone();
    forge(&mut renumbered[3], |entry| entry.seq = 7);
    renumbered[3].seq = 4;
    assert_eq!(found(&renumbered, &head), [(4, "seq_differs"), (5, "wrong_prev")]);

    let mut malformed = rows.clone();
    for body in ["", "{}", "{\"seq\":4}", "\u{fffd}"] {
        malformed[3].body = body.into();
        assert_eq!(found(&malformed, &head), [(4, "wrong_hash"), (4, "malformed_body")], "{body}");
    }
    let mut spaced = rows[3].body.clone();
    spaced.insert(1, b' ');
    malformed[3].body = spaced.clone();
    malformed[3].hash = leaf_hash(&spaced).0.to_vec();
    assert_eq!(found(&malformed, &head), [(4, "malformed_body"), (5, "wrong_prev")]);

    let mut unknown = rows.clone();
    let body = String::from_utf8(rows[3].body.clone()).unwrap().replace("backup.", "backdoor.");
    unknown[3].body = body.into_bytes();
    let kinds = [(4, "wrong_hash"), (4, "unknown_event"), (4, "column_differs")];
    assert_eq!(found(&unknown, &head), kinds);
}

#[test]
fn columns_that_disagree_are_named() {
    let rows = chain(4);
    let head = head_of(&rows);
    type Damage = (fn(&mut Stored), &'static str);
    let damages: [Damage; 6] = [
        (|row| row.at = "2026-08-14 02:00:00+00".to_owned(), "at"),
        (|row| row.at = "infinity".to_owned(), "at"),
        (|row| row.job = None, "job_id"),
        (|row| row.job = Some(Uuid::nil()), "job_id"),
        (|row| row.event = "backup.deleted".to_owned(), "event"),
        (|row| row.actor.push(' '), "actor"),
    ];
    for (damage, column) in damages {
        let mut rows = rows.clone();
        damage(&mut rows[1]);
        let (problems, _) = check(&rows, Vec::new(), Some(&head));
        assert_eq!(problems, [Problem { seq: 2, kind: ProblemKind::ColumnDiffers { column } }]);
    }
}

#[test]
fn all_problems_are_reported_not_the_first_only() {
    let mut rows = chain(20);
    let head = head_of(&rows);
    rows[1].hash[0] ^= 1;
    rows[4].actor.clear();
    rows.remove(8);
    rows[14].body.push(b'\n');
    rows.truncate(17);
    assert_eq!(
        found(&rows, &head),
        [
            (2, "wrong_hash"),
            (5, "column_differs"),
            (10, "gap"),
            (16, "wrong_hash"),
            (16, "malformed_body"),
            (19, "missing_at_end"),
        ]
    );
}

proptest! {
    /// Bodies hold `prev`, so its bytes are among those flipped.
    #[test]
    fn any_flipped_byte_is_found(length in 1_u64..12, row: prop::sample::Index, at: prop::sample::Index, flip in 1_u8..=255) {
        let sound = chain(length);
        let head = head_of(&sound);
        let row = row.index(sound.len());

        let mut body = sound.clone();
        let position = at.index(body[row].body.len());
        body[row].body[position] ^= flip;
        let (problems, _) = check(&body, Vec::new(), Some(&head));
        prop_assert!(problems.iter().any(|problem| problem.seq == row as i64 + 1), "{problems:?}");

        // Found also where no hashes are stored, by the next body or the head.
        let mut verifier = ChainVerifier::new(vec![Anchor::Entry(head)]);
        let mut problems: Vec<_> = body.iter().flat_map(|row| verifier.push(&row.bare())).collect();
        problems.extend(verifier.finish(None).problems);
        prop_assert!(!problems.is_empty());

        let mut hash = sound.clone();
        hash[row].hash[at.index(32)] ^= flip;
        let (problems, _) = check(&hash, Vec::new(), Some(&head));
        prop_assert!(problems.iter().any(|problem| problem.seq == row as i64 + 1), "{problems:?}");

        let mut other_head = head;
        other_head.hash.0[at.index(32)] ^= flip;
        prop_assert!(!check(&sound, Vec::new(), Some(&other_head)).0.is_empty());
        prop_assert!(!check(&sound, vec![Anchor::Entry(other_head)], None).0.is_empty());
    }

    /// Whatever rows are left out, put twice or moved, it is found.
    #[test]
    fn any_rearrangement_is_found(length in 1_u64..10, order in prop::collection::vec(any::<prop::sample::Index>(), 0..12)) {
        let sound = chain(length);
        let rows: Vec<Stored> = order.iter().map(|index| index.get(&sound).clone()).collect();
        prop_assert_eq!(found(&rows, &head_of(&sound)).is_empty(), rows == sound);
    }

    #[test]
    fn any_rows_are_checked_without_a_panic(
        rows in prop::collection::vec((any::<i64>(), prop::collection::vec(any::<u8>(), 0..40), any::<Option<[u8; 3]>>()), 0..6),
        seq: u64,
    ) {
        let head = Head { seq, hash: Sha256Sum::ZERO };
        let mut verifier = ChainVerifier::new(vec![Anchor::Entry(head), Anchor::Root { size: seq, root: Sha256Sum::ZERO }]);
        for (seq, body, hash) in &rows {
            let hash = hash.as_ref().map(|hash| hash.as_slice());
            let problems = verifier.push(&Row { seq: *seq, body, hash, columns: None });
            prop_assert!(!problems.is_empty());
        }
        verifier.finish(Some(&head));
    }
}
