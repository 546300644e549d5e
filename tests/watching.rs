//! What other sessions see of a backup that runs, and what it tells of them: its progress, who keeps it from a table, and who
//! waits behind it.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test's support code fails by panicking"
)]

mod support;

use serde_json::Value;
use support::site::{APP, Hold, PATIENCE, PROMPTLY, Site};
use support::{await_end, back_up, number, run_now, text};
use walwarden_testkit::{Cluster, postgres};

/// Four megabytes of COPY text that nothing compresses.
const CARGO: &str = "CREATE TABLE cargo AS \
    SELECT n, encode(sha512(n::text::bytea), 'hex') AS text FROM generate_series(1, 30000) AS n";

/// The one row of `walwarden.progress`, once the condition on it holds.
fn progress_when(site: &Site, watcher: &mut postgres::Client, condition: &str) -> Value {
    site.await_true(
        condition,
        PATIENCE,
        &format!("SELECT EXISTS (SELECT FROM walwarden.progress WHERE {condition})"),
    );
    let row = watcher.query_one("SELECT row_to_json(p)::text FROM walwarden.progress AS p", &[]).unwrap();
    serde_json::from_str(row.get(0)).unwrap()
}

/// Another session sees the numbers move, in columns for programs and in a line for people.
#[test]
fn progress_is_shown_while_rows_are_copied() {
    let site = Site::local(Cluster::builder());
    site.sql("CREATE ROLE watcher LOGIN; GRANT pg_monitor TO watcher");
    site.sql(CARGO);
    let job = run_now(&site.cluster, APP, "jobs => 1, compression => 'none', max_rate => '300kB'");
    let mut watcher = site.cluster.client_as("watcher", APP);
    let row = progress_when(&site, &mut watcher, "phase = 'copying' AND percent > 0");
    assert_eq!(text(&row, "job"), job);
    let (done, estimated) = (number(&row, "raw_bytes"), number(&row, "estimated_bytes"));
    assert_eq!(number(&row, "percent"), (done * 100 / estimated).min(99), "{row:#}");
    assert!(number(&row, "rate") > 0, "{row:#}");
    assert_eq!(
        text(&row, "bar").len(),
        "[####################] ".len() + format!("{} %", row["percent"]).len()
    );
    assert!(text(&row, "bar").ends_with(&format!("] {} %", row["percent"])), "{row:#}");
    // With a table of this shape the text is less than the pages.
    assert!(text(&row, "eta").starts_with("00:0"), "{row:#}");
    let summary = text(&row, "summary");
    for part in [" of 2 tables, ", " of about ", " read, ", "/s, about 00:0", " left"] {
        assert!(summary.contains(part), "no {part:?} in {summary:?}");
    }
    assert_eq!(row["verified_bytes"], 0);
    assert_eq!(site.sql(&format!("SELECT walwarden.cancel('{job}')")), "t");
    site.await_state(&job, "canceled", PROMPTLY);
}

/// The estimate is of pages on disk; what comes out of them may be a thousand times as much. That is said, and no
/// end is promised.
#[test]
fn progress_never_passes_the_end_when_there_is_more_than_was_estimated() {
    let site = Site::local(Cluster::builder());
    let held = site.hold(Hold::Copy);
    let mut watcher = site.cluster.client(APP);
    let row = progress_when(&site, &mut watcher, "phase = 'copying' AND raw_bytes > 2 * estimated_bytes");
    assert_eq!((number(&row, "percent"), &row["eta"]), (99, &Value::Null), "{row:#}");
    assert_eq!(text(&row, "bar"), "[################### ] 99 %");
    assert!(text(&row, "summary").contains(" read, more than the "), "{row:#}");
    assert!(!text(&row, "summary").contains("left"), "{row:#}");
    let job = held.let_go(&site);
    assert_eq!(site.sql(&format!("SELECT walwarden.cancel('{job}')")), "t");
    site.await_state(&job, "canceled", PROMPTLY);
}

/// Copying has ended: the read-back is counted for itself, and in the end all of the archive is verified.
#[test]
fn progress_of_the_read_back() {
    let site = Site::local(Cluster::builder());
    site.sql(CARGO);
    let job = run_now(&site.cluster, APP, "compression => 'none', max_rate => '4MB'");
    let mut watcher = site.cluster.client(APP);
    progress_when(&site, &mut watcher, "phase = 'copying' AND raw_bytes > 0");
    // The step begins with a change of the job's row.
    let mut session = site.cluster.client(APP);
    session
        .batch_execute(&format!("BEGIN; SELECT FROM walwarden.job WHERE id = '{job}' FOR UPDATE"))
        .unwrap();
    let row = progress_when(&site, &mut watcher, "phase = 'verifying'");
    assert_eq!(
        (number(&row, "percent"), &row["eta"], &row["rate"]),
        (0, &Value::Null, &Value::Null),
        "{row:#}"
    );
    assert!(text(&row, "summary").starts_with("2 of 2 tables, 0 bytes of "), "{row:#}");
    assert!(text(&row, "summary").ends_with(" read back"), "{row:#}");
    let size = number(&row, "stored_bytes");
    assert!(size > number(&row, "raw_bytes"), "{row:#}");

    let lock = site.lock_table(APP, "walwarden.manifest");
    session.batch_execute("ROLLBACK").unwrap();
    let row = progress_when(&site, &mut watcher, "phase = 'signing'");
    assert_eq!((number(&row, "percent"), number(&row, "verified_bytes")), (100, size), "{row:#}");
    drop(lock);
    let row = await_end(&site.cluster, APP, &job);
    assert_eq!((text(&row, "state"), number(&row, "size_bytes")), ("completed", size), "{row:#}");
}

/// `CALL walwarden.backup()` tells the same in its notices.
#[test]
fn notices_tell_the_progress() {
    let site = Site::local(Cluster::builder());
    site.sql(CARGO);
    // Four megabytes: several seconds, of each of which one is told.
    let output =
        site.cluster.psql(APP, "CALL walwarden.backup(jobs => 1, compression => 'none', max_rate => '1MB')");
    let said = String::from_utf8_lossy(&output.stderr);
    let copying = said.lines().find(|line| line.contains("NOTICE:  copying [") && line.contains("/s"));
    let copying = copying.unwrap_or_else(|| panic!("nothing of the copying: {said}"));
    for part in ["] ", " %", " of 2 tables, ", " read, "] {
        assert!(copying.contains(part), "no {part:?} in {copying:?}");
    }
    assert!(said.contains(" completed: 2 tables, 31000 rows, "), "{said}");
}

/// What a job says that failed because of a lock.
fn lock_error(site: &Site) -> (String, String, String) {
    let job = run_now(&site.cluster, APP, "");
    site.await_state(&job, "failed", PATIENCE);
    let row = site.job(&job);
    assert_eq!(row["error_class"], "lock_timeout", "{row:#}");
    let field = |name| text(&row, name).to_owned();
    (field("error_message"), field("error_detail"), field("error_hint"))
}

/// The session that has the table is named, with what it did last.
#[test]
fn a_lock_not_had_in_time_names_who_has_it() {
    let site = Site::local(Cluster::builder().config("walwarden.lock_timeout = '1s'"));
    site.sql(
        "CREATE ROLE bob SUPERUSER LOGIN; CREATE SCHEMA \"Sales\"; CREATE TABLE \"Sales\".\"Orders\" (n int)",
    );
    let mut bob = site.cluster.client_as("bob", APP);
    bob.batch_execute("SET application_name = 'migration'; BEGIN").unwrap();
    let long = format!("LOCK TABLE\n\t\"Sales\".\"Orders\" /* {} */", "x".repeat(200));
    bob.batch_execute(&long).unwrap();
    let pid: i32 = bob.query_one("SELECT pg_backend_pid()", &[]).unwrap().get(0);
    bob.batch_execute(&long).unwrap();
    let (message, detail, hint) = lock_error(&site);
    assert_eq!(message, "could not lock table \"Sales.Orders\" within 1 s");
    let start = format!(
        "It is locked by process {pid} (user \"bob\", application \"migration\", in transaction for 00:0"
    );
    assert!(detail.starts_with(&start), "{detail}");
    let (_, query) = detail.split_once("): ").unwrap();
    let beginning = "LOCK TABLE \"Sales\".\"Orders\" /* ";
    assert_eq!(query, format!("\"{beginning}{}...\".", "x".repeat(100 - beginning.len())));
    assert!(hint.contains("walwarden.lock_timeout"), "{hint}");
}

/// Nobody has the table for themselves, but somebody who wants to is ahead in the queue: both that one and whom it waits
/// for are named.
#[test]
fn a_lock_not_had_in_time_names_who_is_ahead_in_the_queue() {
    let site = Site::local(Cluster::builder().config("walwarden.lock_timeout = '1s'"));
    let mut reader = site.cluster.client(APP);
    reader.batch_execute("SET application_name = 'report'; BEGIN; SELECT count(*) FROM customer").unwrap();
    let mut ddl = site.cluster.client(APP);
    let ddl = std::thread::spawn(move || {
        ddl.batch_execute("SET application_name = 'migration'").unwrap();
        ddl.batch_execute("ALTER TABLE customer ADD COLUMN later int").is_ok()
    });
    site.await_lock_wait("client backend");
    let (message, detail, _) = lock_error(&site);
    assert_eq!(message, "could not lock table \"public.customer\" within 1 s");
    let (ahead, reading) =
        detail.split_once(". It is used by process ").unwrap_or_else(|| panic!("{detail}"));
    assert!(ahead.starts_with("Ahead of the backup waits process "), "{detail}");
    assert!(
        ahead.contains("\"migration\"") && ahead.contains("\"ALTER TABLE customer ADD COLUMN later int\""),
        "{detail}"
    );
    assert!(reading.contains("application \"report\", in transaction for "), "{detail}");
    reader.batch_execute("ROLLBACK").unwrap();
    assert!(ddl.join().unwrap());
}

/// A prepared transaction holds locks and has no process: its name is told.
#[test]
fn a_lock_not_had_in_time_names_the_prepared_transaction() {
    let site = Site::local(
        Cluster::builder().config("walwarden.lock_timeout = '1s'").config("max_prepared_transactions = 2"),
    );
    site.sql("BEGIN; ALTER TABLE customer ADD COLUMN later int; PREPARE TRANSACTION 'half done'");
    let (_, detail, hint) = lock_error(&site);
    let who = format!("(user \"{}\", prepared since 00:0", site.cluster.superuser());
    assert!(
        detail.starts_with(&format!("It is locked by prepared transaction \"half done\" {who}")),
        "{detail}"
    );
    assert!(hint.contains("ROLLBACK PREPARED"), "{hint}");
    site.sql("ROLLBACK PREPARED 'half done'");
    assert_eq!(back_up(&site.cluster, APP, "")["state"], "completed");
}

/// Too many tables for the lock table: the backup fails where `pg_dump` does, and says which setting to raise; where `pg_dump`
/// has room, so has the backup, which takes a handful of locks more.
#[test]
fn too_many_tables_for_the_lock_table() {
    let mut builder = Cluster::builder();
    for line in
        ["max_locks_per_transaction = 10", "max_connections = 10", "max_wal_senders = 0", "autovacuum = off"]
    {
        builder = builder.config(line);
    }
    let site = Site::local(builder);
    // A transaction each: the lock table has no room for more.
    site.sql("SELECT format('CREATE TABLE many_%s (n int)', n) FROM generate_series(1, 3000) AS n \\gexec");
    let dumps = || site.cluster.program("pg_dump").arg("--file=/dev/null").arg(APP).output().unwrap();
    let output = dumps();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("max_locks_per_transaction"), "{said}");

    let mut left = 3000;
    while !dumps().status.success() {
        // Whether it is a copier that finds no room, or pg_dump beside it.
        let row = await_end(&site.cluster, APP, &run_now(&site.cluster, APP, "jobs => 2"));
        assert_eq!(row["error_class"], "resources", "{left} tables: {row:#}");
        assert!(text(&row, "error_hint").contains("max_locks_per_transaction"), "{row:#}");
        let next = left * 9 / 10;
        site.sql(&format!(
            "SELECT format('DROP TABLE many_%s', n) FROM generate_series({next} + 1, {left}) AS n \\gexec"
        ));
        left = next;
    }
    println!("pg_dump has room for the locks of {left} tables");
    left -= 10;
    site.sql(&format!(
        "SELECT format('DROP TABLE many_%s', n) FROM generate_series({left} + 1, {left} + 10) AS n \\gexec"
    ));
    let row = back_up(&site.cluster, APP, "");
    assert_eq!(number(&row, "tables"), left + 1);
}

/// DDL that waits for the backup is counted in `walwarden.status` and named, for as long as it waits.
#[test]
fn sessions_that_wait_for_the_backup_are_shown() {
    let site = Site::local(Cluster::builder());
    site.sql("CREATE ROLE watcher LOGIN; GRANT pg_monitor TO watcher; CREATE ROLE bob LOGIN SUPERUSER");
    site.sql(CARGO);
    let count = "SELECT sessions_waiting FROM walwarden.status";
    assert_eq!(site.sql(count), "0");
    let job = run_now(&site.cluster, APP, "jobs => 2, compression => 'none', max_rate => '100kB'");
    let mut watcher = site.cluster.client_as("watcher", APP);
    progress_when(&site, &mut watcher, "phase = 'copying' AND raw_bytes > 0");
    // It waits for every transaction that may still look at the table without its index.
    let mut session = site.cluster.client(APP);
    let index = std::thread::spawn(move || {
        session.batch_execute("CREATE INDEX CONCURRENTLY ON customer (id)").is_ok()
    });
    site.await_true(
        "the CREATE INDEX to be shown",
        PATIENCE,
        "SELECT EXISTS (SELECT FROM walwarden.waiting_sessions WHERE table_name IS NULL AND query LIKE 'CREATE INDEX%')",
    );
    assert_eq!(site.sql(count), "1");

    let mut session = site.cluster.client_as("bob", APP);
    let ddl = std::thread::spawn(move || {
        session.batch_execute("SET application_name = 'migration'").unwrap();
        session.batch_execute("ALTER TABLE\n  cargo ADD COLUMN later int").is_ok()
    });
    site.await_true(
        "the ALTER TABLE to be shown",
        PATIENCE,
        "SELECT sessions_waiting = 2 AND (SELECT count(waiting_for) = 2 FROM walwarden.waiting_sessions) FROM walwarden.status",
    );
    let waiting: i64 = watcher.query_one(count, &[]).unwrap().get(0);
    assert_eq!(waiting, 2);
    let row = watcher
        .query_one(
            "SELECT usename::text, application_name, table_name, waiting_for >= '0', query, pid \
             FROM walwarden.waiting_sessions WHERE table_name IS NOT NULL",
            &[],
        )
        .unwrap();
    let field = |index| row.get::<_, String>(index);
    assert_eq!(
        [field(0), field(1), field(2), field(4)],
        ["bob", "migration", "public.cargo", "ALTER TABLE cargo ADD COLUMN later int"]
    );
    assert!(row.get::<_, bool>(3));
    let pid: i32 = row.get(5);
    assert_eq!(site.sql(&format!("SELECT usename FROM pg_stat_activity WHERE pid = {pid}")), "bob");

    assert_eq!(site.sql(&format!("SELECT walwarden.cancel('{job}')")), "t");
    site.await_state(&job, "canceled", PROMPTLY);
    assert!(index.join().unwrap(), "the CREATE INDEX has its way");
    assert!(ddl.join().unwrap(), "the ALTER TABLE has its way");
    assert_eq!(site.sql(count), "0");
    assert_eq!(site.sql("SELECT count(*) FROM walwarden.waiting_sessions"), "0");
}
