//! The copying itself: tables in pieces, several copiers, every compression, and what it does to everybody else.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test's support code fails by panicking"
)]

mod support;

use serde_json::Value;
use std::time::{Duration, Instant};
use support::site::{APP, PATIENCE, PROMPTLY, Site};
use support::{LocalBackup, await_end, back_up, number, pieces, restore, run_now, text};
use walwarden_testkit::postgres::error::SqlState;
use walwarden_testkit::{Archive, Cluster, assert_same_database, wait_until};

/// Tables that are cut: much heap, much TOAST behind few pages, and one of each kind that is not cut.
const LARGE_TABLES: &str = "
    CREATE TABLE heap (id int, text text);
    INSERT INTO heap SELECT n, md5(n::text) || repeat('-', n % 200) FROM generate_series(1, 200000) AS n;
    CREATE TABLE toast (id int, wide text, padding text);
    ALTER TABLE toast ALTER wide SET STORAGE EXTERNAL, ALTER padding SET STORAGE PLAIN;
    INSERT INTO toast SELECT n, repeat(md5(n::text), 15000), repeat('-', 1000) FROM generate_series(1, 60) AS n;
    CREATE TABLE \"Odd, (Name)\" (\"a, \"\"b\"\"\" int, gone int, \") TO stdout\" text, made int GENERATED ALWAYS AS (\"a, \"\"b\"\"\" * 2) STORED);
    INSERT INTO \"Odd, (Name)\" SELECT n, n, repeat(n::text, 40) FROM generate_series(1, 150000) AS n;
    ALTER TABLE \"Odd, (Name)\" DROP gone;
    DELETE FROM \"Odd, (Name)\" WHERE \"a, \"\"b\"\"\" % 3 = 0;
    CREATE TABLE parent (id int, text text);
    INSERT INTO parent SELECT n, repeat('p', 300) FROM generate_series(1, 80000) AS n;
    CREATE TABLE child () INHERITS (parent);
    INSERT INTO child SELECT n, repeat('c', 300) FROM generate_series(1, 80000) AS n;
    CREATE TABLE without_columns ();
    INSERT INTO without_columns SELECT FROM generate_series(1, 1000);
    CREATE UNLOGGED TABLE unlogged AS SELECT n, repeat('u', 500) AS text FROM generate_series(1, 40000) AS n;
";

/// Whatever the number of copiers, the same pieces with the same bytes; and they restore.
#[test]
fn the_number_of_copiers_changes_nothing() {
    let site = Site::local(Cluster::builder().config("max_worker_processes = 16"));
    site.sql(LARGE_TABLES);
    let mut first = None;
    for jobs in [1, 2, 3, 8] {
        let backup = LocalBackup::of(&site.cluster, back_up(&site.cluster, APP, &format!("jobs => {jobs}")));
        assert_eq!(number(&backup.row, "copiers"), jobs);
        assert_eq!(backup.row["copiers_note"], Value::Null);
        let found = pieces(&backup.read_manifest());
        let several: Vec<&str> =
            found.iter().filter(|table| table.2.len() > 1).map(|table| table.0.as_str()).collect();
        assert_eq!(several, ["Odd, (Name)", "child", "heap", "parent", "toast", "unlogged"]);
        if let Some(first) = &first {
            assert_eq!(first, &found, "{jobs} copiers");
        }
        first.get_or_insert(found);
        let database = format!("restored_{jobs}");
        restore(&site.cluster, Archive::File(&backup.archive), &database, &["--jobs=2"]);
        assert_same_database(&site.cluster, APP, &database);
    }
}

/// Every compression that the server's pg_restore reads restores, from a file and from a pipe; the others are refused when
/// they are given.
#[test]
fn every_compression_restores() {
    let site = Site::local(Cluster::builder());
    site.sql(
        "CREATE TABLE cut AS SELECT n, md5(n::text) || repeat('-', n % 200) AS text FROM generate_series(1, 200000) AS n; \
         CREATE TABLE empty (n int); CREATE TABLE one AS SELECT 1 AS n",
    );
    site.sql("SELECT lo_from_bytea(0, repeat(n::text, 9000)::bytea) FROM generate_series(1, 30) AS n");
    let knows_more = site.cluster.installation().major() >= 16;
    let default = back_up(&site.cluster, APP, "");
    assert_eq!(text(&default, "compression"), if knows_more { "zstd:1" } else { "gzip:6" });
    for (number, compression) in
        ["none", "gzip:1", "gzip:9", "lz4", "zstd", "zstd:-7", "zstd:3", "zstd:19"].into_iter().enumerate()
    {
        let call = format!("SELECT walwarden.run_now(compression => '{compression}')");
        let is_more = compression.starts_with("lz4") || compression.starts_with("zstd");
        if is_more && !knows_more {
            for call in [call, format!("SELECT walwarden.schedule('x', compression => '{compression}')")] {
                let refused = site.cluster.try_sql(APP, &call).unwrap_err();
                assert!(refused.contains("cannot be restored with this server's pg_restore"), "{refused}");
            }
            continue;
        }
        let arguments = format!("compression => '{compression}'");
        let backup = LocalBackup::of(&site.cluster, back_up(&site.cluster, APP, &arguments));
        let bytes = std::fs::read(&backup.archive).unwrap();
        for (way, archive) in [("file", Archive::File(&backup.archive)), ("pipe", Archive::Stdin(&bytes))] {
            let database = format!("by_{way}_{number}");
            restore(&site.cluster, archive, &database, &[]);
            assert_same_database(&site.cluster, APP, &database);
            site.cluster.sql("postgres", &format!("DROP DATABASE {database}"));
        }
    }
}

/// Fewer worker slots than copiers: the backup goes on with what it got, and says so.
#[test]
fn the_job_says_why_it_got_fewer_copiers() {
    // The launcher of logical replication, leader, pg_dump is none, and two copiers.
    let site = Site::local(Cluster::builder().config("max_worker_processes = 4"));
    site.sql(LARGE_TABLES);
    let row = back_up(&site.cluster, APP, "jobs => 8");
    assert_eq!(number(&row, "copiers"), 2);
    assert!(text(&row, "copiers_note").contains("max_worker_processes"), "{row:#}");
    site.cluster.create_database("small");
    support::install(&site.cluster, "small");
    site.cluster.sql("small", "CREATE TABLE alone AS SELECT 1");
    let row = back_up(&site.cluster, "small", "jobs => 2");
    assert_eq!(number(&row, "copiers"), 1);
    assert!(text(&row, "copiers_note").contains("1 piece"), "{row:#}");
}

/// DDL waits for the copy of its own table and not for the backup; and DDL that waits stands in no copier's way.
#[test]
fn a_tables_lock_goes_when_its_rows_are_read() {
    let site = Site::local(Cluster::builder());
    // Large enough to be cut: the planner locks its index, too.
    site.sql(
        "CREATE SCHEMA a; CREATE TABLE a.first AS SELECT n, repeat('first', 100) AS text \
         FROM generate_series(1, 70000) AS n; CREATE INDEX of_first ON a.first (n)",
    );
    site.sql(LARGE_TABLES);
    // Slow enough to last until the end of this test.
    let job = run_now(&site.cluster, APP, "jobs => 2, compression => 'gzip', max_rate => '256kB'");
    site.await_true(
        "rows to be copied",
        PATIENCE,
        &format!("SELECT EXISTS (SELECT FROM walwarden.progress WHERE job = '{job}' AND tables_done > 0 AND raw_bytes > 1000000)"),
    );
    let mut session = site.cluster.client(APP);
    session
        .batch_execute("SET lock_timeout = '10s'; DROP INDEX a.of_first; TRUNCATE a.first")
        .expect("the locks");
    let mut blocked = site.cluster.client(APP);
    let refused = blocked
        .batch_execute("SET lock_timeout = '300ms'; ALTER TABLE unlogged ADD COLUMN more int")
        .expect_err("a table whose turn has not come");
    assert_eq!(refused.code(), Some(&SqlState::LOCK_NOT_AVAILABLE));
    assert_eq!(site.sql(&format!("SELECT walwarden.cancel('{job}')")), "t");
    assert_eq!(await_end(&site.cluster, APP, &job)["state"], "canceled");
}

/// DDL that waits for every table of the backup: the copiers and pg_dump pass it by.
#[test]
fn waiting_ddl_stands_in_nobodys_way() {
    let site = Site::local(Cluster::builder());
    site.sql(LARGE_TABLES);
    site.sql("CREATE VIEW shown AS SELECT * FROM heap JOIN toast USING (id)");
    site.sql("CREATE INDEX ON heap (id) WHERE id > 5");
    let job = run_now(&site.cluster, APP, "jobs => 2, max_rate => '20MB', compression => 'none'");
    site.await_true(
        "the locks",
        PATIENCE,
        "SELECT count(*) >= 7 FROM pg_locks JOIN pg_stat_activity USING (pid) \
         WHERE backend_type = 'walwarden copier' AND locktype = 'relation' AND pg_locks.mode = 'AccessShareLock' AND granted \
           AND relation::regclass::text IN ('heap', 'toast', 'parent', 'child', 'unlogged', 'without_columns', '\"Odd, (Name)\"')",
    );
    let waiting: Vec<_> = ["heap", "toast", "unlogged", "child", "\"Odd, (Name)\""]
        .map(|table| {
            let mut session = site.cluster.client(APP);
            let table = table.to_owned();
            std::thread::spawn(move || {
                session.batch_execute(&format!("ALTER TABLE {table} ADD COLUMN later int")).is_ok()
            })
        })
        .into();
    let row = await_end(&site.cluster, APP, &job);
    assert_eq!(row["state"], "completed", "{row:#}");
    assert!(waiting.into_iter().all(|session| session.join().expect("a thread")));
    let backup = LocalBackup::of(&site.cluster, row);
    restore(&site.cluster, Archive::File(&backup.archive), "restored", &[]);
    assert_eq!(site.cluster.sql("restored", "SELECT count(*) FROM shown"), "60");
}

/// Each of the copiers killed while it copies: the job fails and says so, nothing hangs, nothing stays.
#[test]
fn a_copier_killed_while_copying_fails_the_job() {
    let site = Site::local(Cluster::builder());
    site.sql(LARGE_TABLES);
    for victim in [0, 1] {
        let before = site.stored();
        let job = run_now(&site.cluster, APP, "jobs => 2, compression => 'none', max_rate => '1MB'");
        let copiers = wait_until("two copiers at work", PATIENCE, || {
            let copiers: Vec<_> =
                site.workers().into_iter().filter(|process| process.title.contains("copier")).collect();
            let copying = site.sql(&format!(
                "SELECT count(*) FROM walwarden.progress WHERE job = '{job}' AND phase = 'copying' AND raw_bytes > 0"
            ));
            (copiers.len() == 2 && copying == "1").then_some(copiers)
        });
        walwarden_testkit::terminate(copiers[victim].pid);
        site.await_state(&job, "failed", PROMPTLY);
        let row = site.job(&job);
        assert_eq!(text(&row, "error_class"), "lost", "{row:#}");
        site.await_rest(PROMPTLY);
        site.await_stored(&before);
    }
}

/// A hot table that fits into shared_buffers is still there after a backup of far more than they hold, and of what was read
/// there is no more than one ring holds, in how many pieces ever.
#[test]
fn a_hot_table_stays_in_the_cache() {
    let site = Site::local(Cluster::builder().config("shared_buffers = 16MB").config("autovacuum = off"));
    site.sql("CREATE EXTENSION pg_buffercache");
    site.sql("CREATE TABLE big AS SELECT n, repeat('x', 1500) AS text FROM generate_series(1, 200000) AS n");
    site.sql("CREATE TABLE hot AS SELECT n, repeat('h', 100) AS text FROM generate_series(1, 30000) AS n");
    site.sql("VACUUM FREEZE; CHECKPOINT");
    let cached = |table: &str| -> u64 {
        let count = format!(
            "SELECT count(*) FROM pg_buffercache WHERE relfilenode = pg_relation_filenode('{table}') AND relforknumber = 0 \
             AND reldatabase = (SELECT oid FROM pg_database WHERE datname = current_database())"
        );
        site.sql(&count).parse().unwrap()
    };
    site.sql("CREATE EXTENSION pg_prewarm; SELECT pg_prewarm('hot')");
    // Used more than once, as a hot table is.
    for _ in 0..5 {
        site.sql("SET enable_seqscan = on; SELECT sum(n) FROM hot");
    }
    let (before, big_before) = (cached("hot"), cached("big"));
    assert!(before > 400, "{before} pages");
    let row = back_up(&site.cluster, APP, "jobs => 1");
    assert!(number(&row, "raw_bytes") > 15 * (16 << 20), "{row:#}");
    let (after, big_after) = (cached("hot"), cached("big"));
    assert!(after * 100 >= before * 95, "{after} of {before} pages are left");
    // An eighth of shared_buffers at most (GetAccessStrategyWithSize in freelist.c).
    let ring = if site.cluster.installation().major() >= 18 { 256 } else { 32 };
    assert!(big_after <= big_before + ring + 16, "{big_after} pages, and {big_before} before");
}

/// Not faster than it may: what went out in the time it took is what the rate allows, and a moment's worth more.
#[test]
fn the_rate_is_kept() {
    let site = Site::local(Cluster::builder());
    site.sql(
        "CREATE TABLE big AS SELECT repeat(md5(n::text), 30) AS text FROM generate_series(1, 10000) AS n",
    );
    let started = Instant::now();
    let row = back_up(&site.cluster, APP, "compression => 'none', max_rate => '4MB'");
    let allowed = (started.elapsed() + Duration::from_millis(500)).as_secs_f64() * f64::from(4 << 20);
    assert!(number(&row, "size_bytes") as f64 <= allowed, "{row:#}");
    assert_eq!(number(&row, "max_rate"), 4 << 20);
}

/// A row of many megabytes in a piece of its own.
#[test]
fn wide_rows_come_whole() {
    let site = Site::local(Cluster::builder());
    site.sql(
        "CREATE TABLE wide AS SELECT n, repeat(md5(n::text), n * 500000) AS text, \
         decode(repeat('00ff5c0a', n * 1000000), 'hex') AS bytes FROM generate_series(0, 4) AS n",
    );
    let backup = LocalBackup::make(&site.cluster, APP);
    restore(&site.cluster, Archive::File(&backup.archive), "restored", &[]);
    let digest = "SELECT string_agg(n || md5(text) || md5(bytes), ',' ORDER BY n) FROM wide";
    assert_eq!(site.sql(digest), site.cluster.sql("restored", digest));
}
