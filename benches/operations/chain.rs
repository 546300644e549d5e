//! A long audit chain: its check, and its export.

use crate::table::{Table, spread};
use std::time::{Duration, Instant};
use walwarden_testkit::postgres::Client;
use walwarden_testkit::{Cluster, peak_memory, wait_until};

const DATABASE: &str = "chain";
const LONG_CHAIN: &str = include_str!("../../tests/support/long_chain.sql");
const PATIENCE: Duration = Duration::from_secs(600);
const ROUNDS: usize = 5;

/// What is asked, in words and in SQL.
const QUESTIONS: [(&str, &str); 3] = [
    ("`verify_audit_chain()`", "SELECT * FROM walwarden.verify_audit_chain()"),
    ("`verify_audit_chain(anchors => true)`", "SELECT * FROM walwarden.verify_audit_chain(anchors => true)"),
    (
        "`export_evidence()` of all of it",
        "SELECT walwarden.export_evidence(now() - interval '10 years', now(), 'local')",
    ),
];

/// What it takes to ask about a chain of so many entries, each question in sessions of its own.
pub fn measure(entries: u64) -> Table {
    // Few shared buffers: those that a process has touched count as its memory.
    let cluster = Cluster::builder()
        .preload_walwarden()
        .config("max_wal_size = 4GB")
        .config("shared_buffers = 16MB")
        .start();
    cluster.create_database(DATABASE);
    cluster.sql(DATABASE, "SET client_min_messages = warning; CREATE EXTENSION walwarden");
    let started = Instant::now();
    cluster.sql(DATABASE, &LONG_CHAIN.replace(":entries", &entries.to_string()));
    eprintln!("a chain of {entries} entries in {:.0} s", started.elapsed().as_secs_f64());
    // A backup has all of it signed.
    cluster.sql(DATABASE, "SET client_min_messages = error; CALL walwarden.backup()");
    wait_until("a checkpoint over all entries", PATIENCE, || {
        let signed = "SELECT max(size) > 0 FROM walwarden.checkpoint";
        (cluster.sql(DATABASE, signed) == "t").then_some(())
    });
    cluster.sql(DATABASE, "VACUUM (ANALYZE) walwarden.audit");

    let mut table = Table::new(&["asked", "rows", "ms", "the session's memory at most, MiB"]);
    for (what, question) in QUESTIONS {
        let (mut rows, mut peaks) = (0, Vec::new());
        let times = (0..ROUNDS)
            .map(|_| {
                let mut client = cluster.client(DATABASE);
                let started = Instant::now();
                rows = client.query(question, &[]).expect(question).len();
                let time = started.elapsed().as_secs_f64() * 1000.0;
                peaks.push(peak(&mut client));
                time
            })
            .collect();
        table.cells(&[what.to_owned(), rows.to_string(), spread(times), spread(peaks)]);
    }
    table
}

/// The most memory that the session's process has had, in MiB.
fn peak(client: &mut Client) -> f64 {
    let pid: i32 = client.query_one("SELECT pg_backend_pid()", &[]).expect("its pid").get(0);
    peak_memory(pid.cast_unsigned()) as f64 / f64::from(1 << 20)
}
