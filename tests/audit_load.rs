//! Many sessions that append to the audit chain at the same time, some of which take it back: no gap, no deadlock, and every entry
//! in its place.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test's support code fails by panicking"
)]

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use support::site::{APP, Site};
use walwarden_testkit::Cluster;

const SESSIONS: usize = 32;
const TRANSACTIONS: usize = 25;

/// How a transaction ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Commit,
    Rollback,
    /// By an error, after what it did.
    Error,
}

/// Numbers without order that are the same in every run (xorshift).
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// One session's transactions, each of one to three entries; gives how many entries were committed.
fn append(cluster: &Cluster, number: usize, begin: &Barrier) -> usize {
    let mut client = cluster.client(APP);
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15 ^ (number as u64 + 1));
    begin.wait();
    let mut entries = 0;
    for round in 0..TRANSACTIONS {
        let end = match dice.below(4) {
            0 => End::Rollback,
            1 => End::Error,
            _ => End::Commit,
        };
        // In its own order in each session: deadlocks come of different orders.
        let mut statements = vec![
            format!("SELECT walwarden.schedule('s{number}r{round}', NULL)"),
            format!("SELECT walwarden.add_storage('s{number}r{round}', 'file:///tmp/s{number}r{round}')"),
            "SELECT walwarden._append_audit('storage.altered', NULL, '{}')".to_owned(),
        ];
        let first = usize::try_from(dice.below(3)).expect("below three");
        statements.rotate_left(first);
        statements.truncate(1 + usize::try_from(dice.below(3)).expect("below three"));
        let count = statements.len();
        if end == End::Error {
            statements.push("SELECT 1 / 0".to_owned());
        }
        let last = if end == End::Rollback { "ROLLBACK" } else { "COMMIT" };
        let outcome = client.batch_execute(&format!("BEGIN; {}; {last}", statements.join("; ")));
        match (end, outcome) {
            (End::Commit, Ok(())) => entries += count,
            (End::Rollback, Ok(())) => {}
            (End::Error, Err(error)) => {
                assert_eq!(error.code().expect("of the server").code(), "22012", "{error}");
                client.batch_execute("ROLLBACK").expect("the end of it");
            }
            (_, outcome) => panic!("session {number}, round {round}: {outcome:?}"),
        }
    }
    entries
}

#[test]
fn sessions_that_append_at_once_leave_a_whole_chain() {
    let site = Site::local(
        Cluster::builder()
            .config("max_connections = 60")
            .config("deadlock_timeout = '100ms'")
            .preload_walwarden(),
    );
    let before: usize = site.sql("SELECT count(*) FROM walwarden.audit").parse().unwrap();
    let (begin, committed) = (Barrier::new(SESSIONS), Arc::new(AtomicUsize::new(0)));
    std::thread::scope(|scope| {
        for number in 0..SESSIONS {
            let (cluster, begin, committed) = (&site.cluster, &begin, Arc::clone(&committed));
            scope.spawn(move || {
                committed.fetch_add(append(cluster, number, begin), Ordering::SeqCst);
            });
        }
    });
    let committed = committed.load(Ordering::SeqCst);
    assert!(committed > SESSIONS * TRANSACTIONS / 2, "{committed}");
    let chain = site.sql("SELECT count(*), min(seq), max(seq), count(DISTINCT seq) FROM walwarden.audit");
    let total = before + committed;
    assert_eq!(chain, format!("{total}|1|{total}|{total}"), "every entry that was committed, and no other");
    site.assert_chain_verifies();
    let unlinked = site.sql(
        "SELECT count(*) FROM (SELECT body::jsonb ->> 'prev' AS prev, \
                lag(encode(hash, 'hex'), 1, repeat('0', 64)) OVER (ORDER BY seq) AS before, \
                at, lag(at, 1, at) OVER (ORDER BY seq) AS at_before FROM walwarden.audit) AS e \
          WHERE prev <> before OR at < at_before",
    );
    assert_eq!(unlinked, "0");
    let log = site.cluster.log();
    assert!(!log.contains("deadlock"), "a deadlock");
}
