//! How much would be lost: since the last good backup in time, in write-ahead log and in changed rows, and the alerts of a target.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test's support code fails by panicking"
)]

mod support;

use serde_json::Value;
use support::site::{APP, PATIENCE, Site};
use support::{back_up, text};
use walwarden_testkit::Cluster;

/// Never due while the test runs, but for two minutes a year.
const YEARLY: &str = "0 0 1 1 *";

/// Waits until the schedule and the database say that so many rows have changed.
fn await_changed_rows(site: &Site, rows: u64) {
    site.await_true(
        &format!("{rows} changed rows"),
        PATIENCE,
        &format!(
            "SELECT coalesce(s.changed_rows = {rows} AND t.changed_rows = {rows}, false) \
               FROM walwarden.schedules AS s, walwarden.status AS t WHERE s.name = 'nightly'"
        ),
    );
}

fn of_schedule(site: &Site, columns: &str) -> String {
    site.sql(&format!("SELECT {columns} FROM walwarden.schedules WHERE name = 'nightly'"))
}

fn wal_since(site: &Site) -> u64 {
    of_schedule(site, "wal_since").parse().unwrap()
}

/// What people change is counted, each row once; what the server, this extension and TOAST write is not.
#[test]
fn rows_and_log_since_the_last_good_backup() {
    let mut site = Site::local(Cluster::builder());
    site.sql(&format!(
        "SELECT walwarden.schedule('nightly', '{YEARLY}'); \
         CREATE TABLE wide (id integer, text text); ALTER TABLE wide ALTER text SET STORAGE EXTERNAL"
    ));
    let facts = "last_good_backup, recovery_point, loss_window, wal_since, changed_rows, rpo, rpo_met";
    assert_eq!(of_schedule(&site, facts), "||||||", "nothing is known before the first backup");
    assert_eq!(site.sql("SELECT wal_since, changed_rows, rpo_missed FROM walwarden.status"), "||0");
    let first = back_up(&site.cluster, APP, "schedule => 'nightly'");
    assert_eq!(
        of_schedule(
            &site,
            "last_good_backup, recovery_point = (SELECT snapshot_at FROM walwarden.jobs), loss_window > '0'"
        ),
        format!("{}|t|t", text(&first, "id"))
    );
    await_changed_rows(&site, 0);

    let before = wal_since(&site);
    assert!(before > 0);
    site.sql(
        "INSERT INTO wide SELECT n, repeat('x', 5000) FROM generate_series(1, 70) AS n; \
         UPDATE customer SET name = 'x' WHERE id <= 20; DELETE FROM customer WHERE id > 993; \
         CREATE TABLE empty (id integer); ANALYZE; SELECT walwarden.schedule('other', '@daily')",
    );
    await_changed_rows(&site, 97);
    let after = wal_since(&site);
    assert!(after > before + 70 * 5000, "{before} bytes, then {after}");
    site.cluster.restart();
    await_changed_rows(&site, 97);

    site.sql("CREATE ROLE watcher LOGIN; GRANT pg_monitor TO watcher");
    let mut watcher = site.cluster.client_as("watcher", APP);
    for view in ["schedules", "status"] {
        let query =
            format!("SELECT wal_since, changed_rows FROM walwarden.{view} WHERE recovery_point IS NOT NULL");
        let row = watcher.query_one(&query, &[]).expect("pg_monitor reads it");
        let (wal, rows): (i64, i64) = (row.get(0), row.get(1));
        assert!(wal >= i64::try_from(after).unwrap() && rows == 97, "{view}: {wal} {rows}");
    }

    let second = back_up(&site.cluster, APP, "schedule => 'nightly'");
    await_changed_rows(&site, 0);
    // One that is found to be damaged is a recovery point no more: the one before it is again.
    let second = text(&second, "id");
    site.sql(&format!(
        "BEGIN; \
         INSERT INTO walwarden.job (id, kind, depth, backup, trigger, storages, requested_by) \
         VALUES (gen_random_uuid(), 'verify', 'full', '{second}', 'manual', '{{local}}', 'me'); \
         UPDATE walwarden.job SET state = 'failed', finalized_at = now(), error_class = 'storage_corrupt', error_message = 'rot' \
         WHERE kind = 'verify'; COMMIT"
    ));
    assert_eq!(of_schedule(&site, "last_good_backup"), text(&first, "id"));
    await_changed_rows(&site, 97);
    let changed =
        site.cluster.try_sql(APP, &format!("UPDATE walwarden.job SET changes = 0 WHERE id = '{second}'"));
    assert!(changed.unwrap_err().contains("is finished and sealed"));
}

/// When the statistics begin anew nobody knows what has changed, and nobody is told a number.
#[test]
fn changed_rows_are_unknown_after_a_reset_and_after_a_crash() {
    let mut site = Site::local(Cluster::builder());
    site.sql(&format!("SELECT walwarden.schedule('nightly', '{YEARLY}')"));
    back_up(&site.cluster, APP, "schedule => 'nightly'");
    await_changed_rows(&site, 0);
    site.sql("SELECT pg_stat_reset()");
    let unknown = "changed_rows IS NULL, wal_since > 0";
    assert_eq!(of_schedule(&site, unknown), "t|t");

    back_up(&site.cluster, APP, "schedule => 'nightly'");
    await_changed_rows(&site, 0);
    site.cluster.kill9();
    site.cluster.start();
    assert_eq!(of_schedule(&site, unknown), "t|t");
    assert_eq!(site.sql("SELECT changed_rows IS NULL, wal_since > 0 FROM walwarden.status"), "t|t");

    back_up(&site.cluster, APP, "schedule => 'nightly'");
    await_changed_rows(&site, 0);
    site.sql("ALTER SYSTEM SET track_counts = off; SELECT pg_reload_conf()");
    site.await_true("nobody to count", PATIENCE, "SELECT changed_rows IS NULL FROM walwarden.status");
}

/// A target is told to be exceeded once, at the moment it is, and met again once.
#[test]
fn a_target_is_told_when_it_is_exceeded_and_when_it_is_met() {
    let site = Site::local(Cluster::builder().preload_walwarden());
    let mut ear = site.cluster.client(APP);
    ear.batch_execute("LISTEN walwarden").unwrap();
    let mut notifications = ear.notifications();
    let mut heard = notifications.timeout_iter(PATIENCE);
    let mut next_of_rpo = || loop {
        use walwarden_testkit::postgres::fallible_iterator::FallibleIterator;
        let one = heard.next().unwrap().expect("another notification");
        let one: Value = serde_json::from_str(one.payload()).expect("JSON");
        if text(&one, "event").starts_with("rpo.") {
            return one;
        }
    };
    site.sql(&format!("SELECT walwarden.schedule('nightly', '{YEARLY}', rpo => '1 hour')"));
    let facts = "rpo, rpo_met, (SELECT rpo_missed FROM walwarden.status)";
    assert_eq!(of_schedule(&site, facts), "01:00:00|t|0", "it has an hour for its first backup");
    site.sql(
        "UPDATE walwarden.schedule SET created_at = created_at - interval '2 hours' WHERE name = 'nightly'",
    );
    assert_eq!(of_schedule(&site, facts), "01:00:00|f|1");
    site.wake();
    let told = next_of_rpo();
    assert_eq!((text(&told, "event"), text(&told, "severity")), ("rpo.exceeded", "error"));
    assert_eq!(text(&told, "schedule"), "nightly");
    assert_eq!(
        text(&told, "message"),
        "schedule \"nightly\": more would be lost than its rpo of 3600 s allows: it has no good backup"
    );
    site.wake();

    back_up(&site.cluster, APP, "schedule => 'nightly'");
    assert_eq!(of_schedule(&site, facts), "01:00:00|t|0");
    let told = next_of_rpo();
    assert_eq!((text(&told, "event"), text(&told, "severity")), ("rpo.met", "info"), "{told:#}");

    // Nobody wakes a tick when the time has come.
    site.sql(
        "UPDATE walwarden.schedule SET definition = jsonb_set(definition, '{rpo}', to_jsonb(s.seconds)) \
           FROM (SELECT ceil(extract(epoch FROM loss_window))::bigint + 5 AS seconds FROM walwarden.schedules WHERE name = 'nightly') AS s \
          WHERE name = 'nightly'",
    );
    site.wake();
    let told = next_of_rpo();
    assert_eq!(text(&told, "event"), "rpo.exceeded", "{told:#}");
    assert!(text(&told, "message").contains("its newest good backup holds what was there at 2"));
    assert_eq!(site.sql("SELECT rpo_met FROM walwarden.schedules WHERE name = 'nightly'"), "f");
    site.sql("SELECT walwarden.pause('nightly')");
    assert_eq!(site.sql("SELECT rpo_missed FROM walwarden.status"), "0", "a paused one misses nothing");
    // What is told is no change of the schedule.
    assert_eq!(
        site.sql("SELECT string_agg(event, ' ' ORDER BY seq) FROM walwarden.audit_chain WHERE detail ->> 'name' = 'nightly'"),
        "schedule.created schedule.altered schedule.paused"
    );
    site.assert_chain_verifies();
}
