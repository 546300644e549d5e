//! A database with a long history of jobs: a tick, and everything that people ask.

use crate::table::{Table, spread};
use std::time::{Duration, Instant};
use walwarden_testkit::postgres::Client;
use walwarden_testkit::{Cluster, wait_until};

const DATABASE: &str = "history";
const HISTORY: &str = include_str!("history.sql");
const PATIENCE: Duration = Duration::from_secs(60);
const TICKS: usize = 15;
const ROUNDS: usize = 7;

/// What is asked, in words and in SQL.
const QUESTIONS: [(&str, &str); 16] = [
    ("`status`", "SELECT * FROM walwarden.status"),
    ("`schedules`", "SELECT * FROM walwarden.schedules"),
    ("`storages`", "SELECT * FROM walwarden.storages"),
    ("`backups`, all", "SELECT * FROM walwarden.backups"),
    ("`backups`, newest 50", "SELECT * FROM walwarden.backups ORDER BY snapshot_at DESC LIMIT 50"),
    (
        "`backups` of a schedule, newest 50",
        "SELECT * FROM walwarden.backups WHERE schedule = 's07' ORDER BY snapshot_at DESC LIMIT 50",
    ),
    ("`jobs`, newest 50", "SELECT * FROM walwarden.jobs ORDER BY queued_at DESC LIMIT 50"),
    (
        "`jobs` of a schedule, newest 50",
        "SELECT * FROM walwarden.jobs WHERE schedule = 's07' ORDER BY queued_at DESC LIMIT 50",
    ),
    (
        "`jobs` that failed, newest 50",
        "SELECT * FROM walwarden.jobs WHERE state = 'failed' ORDER BY queued_at DESC LIMIT 50",
    ),
    (
        "`jobs` of a day last year",
        "SELECT * FROM walwarden.jobs WHERE queued_at >= now() - interval '400 days' AND queued_at < now() - interval '399 days' \
         ORDER BY queued_at",
    ),
    (
        "`jobs`, a page by key in the middle",
        "SELECT * FROM walwarden.jobs WHERE (queued_at, id) < (now() - interval '900 days', '00000000-0000-7000-8000-000000000000') \
         ORDER BY queued_at DESC, id DESC LIMIT 50",
    ),
    (
        "`jobs` of a schedule, a page by key in the middle",
        "SELECT * FROM walwarden.jobs WHERE schedule = 's07' \
         AND (queued_at, id) < (now() - interval '900 days', '00000000-0000-7000-8000-000000000000') \
         ORDER BY queued_at DESC, id DESC LIMIT 50",
    ),
    ("`progress`", "SELECT * FROM walwarden.progress"),
    ("`metrics`", "SELECT * FROM walwarden.metrics"),
    ("`metrics_text()`", "SELECT walwarden.metrics_text()"),
    ("`check()`", "SELECT * FROM walwarden.check()"),
];

/// The ticks before and after, and the questions.
pub fn measure(jobs: u64) -> (Table, Table) {
    let cluster =
        Cluster::builder().preload_walwarden().config("max_wal_size = 4GB").config("jit = on").start();
    cluster.create_database(DATABASE);
    cluster.sql(DATABASE, "SET client_min_messages = warning; CREATE EXTENSION walwarden");
    cluster.sql(
        DATABASE,
        "SELECT walwarden.schedule('s' || to_char(n, 'FM00'), '0 2 * * *') FROM generate_series(1, 20) AS n",
    );
    let mut ticks = Table::new(&["a tick, twenty schedules", "lives, ms", "sequential scans of `job`"]);
    let (before, _) = tick(&cluster);
    ticks.cells(&["no history".to_owned(), before, "–".to_owned()]);
    let started = Instant::now();
    cluster.sql(DATABASE, &HISTORY.replace(":jobs", &jobs.to_string()));
    eprintln!("a history of {jobs} jobs in {:.0} s", started.elapsed().as_secs_f64());
    let (after, scans) = tick(&cluster);
    ticks.cells(&[format!("{jobs} jobs"), after, scans.to_string()]);

    let mut views = Table::new(&["asked", "rows", "ms", "sequential scans of `job`"]);
    let mut client = cluster.client(DATABASE);
    for (what, question) in QUESTIONS {
        let scans_before = scans_of_job(&mut client);
        let mut rows = 0;
        let times = (0..ROUNDS)
            .map(|_| {
                let started = Instant::now();
                rows = client.query(question, &[]).expect(question).len();
                started.elapsed().as_secs_f64() * 1000.0
            })
            .collect();
        let scans = scans_of_job(&mut client) - scans_before;
        views.cells(&[what.to_owned(), rows.to_string(), spread(times), scans.to_string()]);
    }
    (ticks, views)
}

/// How long a tick lives that somebody wakes, from the start of its process to its end.
fn tick(cluster: &Cluster) -> (String, i64) {
    let mut client = cluster.client(DATABASE);
    let alive = "SELECT extract(epoch FROM clock_timestamp() - backend_start)::float8 * 1000 \
                 FROM pg_stat_activity WHERE backend_type = 'walwarden tick'";
    let gone = |client: &mut Client| {
        wait_until("the tick to leave", PATIENCE, || {
            client.query_opt(alive, &[]).expect("activity").is_none().then_some(())
        });
    };
    gone(&mut client);
    let scans_before = scans_of_job(&mut client);
    let mut times = Vec::new();
    for _ in 0..TICKS {
        client.execute("SELECT walwarden.schedule('s01', '0 2 * * *')", &[]).expect("a schedule");
        let started = Instant::now();
        let mut seen: Option<f64> = None;
        loop {
            match client.query_opt(alive, &[]).expect("activity") {
                Some(row) => seen = Some(row.get(0)),
                None if seen.is_some() => break,
                None => assert!(started.elapsed() < PATIENCE, "no tick came"),
            }
        }
        times.extend(seen);
    }
    // Its own statistics are there when it is gone.
    (spread(times), scans_of_job(&mut client) - scans_before)
}

fn scans_of_job(client: &mut Client) -> i64 {
    // This session's own counts are told with delay otherwise.
    client.batch_execute("SELECT pg_stat_force_next_flush()").expect("PostgreSQL 15 or newer");
    client
        .query_one("SELECT seq_scan FROM pg_stat_user_tables WHERE relid = 'walwarden.job'::regclass", &[])
        .expect("the statistics")
        .get(0)
}
