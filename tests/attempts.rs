//! Attempts of a schedule's backups: repeated when what failed may pass, each in a row of its own; limits of time; overlapping runs.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test's support code fails by panicking"
)]

mod support;

use support::site::{APP, Hold, PATIENCE, Site};
use support::{await_end, run_now, text};
use walwarden_testkit::Cluster;

fn attempts(site: &Site, schedule: &str) -> String {
    site.sql(&format!(
        "SELECT string_agg(concat_ws(' ', attempt, state, error_class), ', ' ORDER BY attempt) \
         FROM walwarden.jobs WHERE schedule = '{schedule}'"
    ))
}

#[test]
fn what_may_pass_is_tried_again_and_nothing_else() {
    let keys = [("AWS_ACCESS_KEY_ID", "walwarden"), ("AWS_SECRET_ACCESS_KEY", "unused")];
    let keys = keys.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let site = Site::local(Cluster::builder().envs(keys).preload_walwarden());
    site.sql(
        "SELECT walwarden.add_storage('dead', 's3://bucket', '{\"endpoint\": \"http://127.0.0.1:1\", \"allow_http\": true, \"timeout\": 1}')",
    );
    site.sql(
        "SELECT walwarden.schedule('flaky', storage => 'dead', retries => 2, retry_delay => '1 second')",
    );
    let first = run_now(&site.cluster, APP, "'flaky'");
    site.await_true(
        "the last attempt to end",
        PATIENCE * 2,
        "SELECT count(*) = 3 FROM walwarden.jobs WHERE schedule = 'flaky' AND finalized_at IS NOT NULL",
    );
    assert_eq!(
        attempts(&site, "flaky"),
        "1 failed storage_unreachable, 2 failed storage_unreachable, 3 failed storage_unreachable"
    );
    assert_eq!(
        site.sql("SELECT bool_and(run_after <= claimed_at) FROM walwarden.jobs WHERE attempt > 1"),
        "t"
    );
    assert_eq!(site.events(&first), "backup.queued backup.claimed backup.running backup.failed");

    // The second attempt finds the storage mended.
    site.sql(
        "SELECT walwarden.schedule('mended', storage => 'dead', retries => 5, retry_delay => '1 second')",
    );
    run_now(&site.cluster, APP, "'mended'");
    site.await_true(
        "the first attempt to fail",
        PATIENCE,
        "SELECT EXISTS (SELECT FROM walwarden.jobs WHERE schedule = 'mended' AND state = 'failed')",
    );
    let folder = site.cluster.new_server_folder("mended");
    site.sql(&format!("SELECT walwarden.alter_storage('dead', 'file://{}', '{{}}')", folder.display()));
    site.await_true(
        "an attempt to succeed",
        PATIENCE,
        "SELECT EXISTS (SELECT FROM walwarden.jobs WHERE schedule = 'mended' AND state = 'completed')",
    );
    assert!(attempts(&site, "mended").ends_with("completed"));

    // What will not pass by itself is told at once.
    let missing = site.cluster.folder().join("no/such/folder");
    site.sql(&format!("SELECT walwarden.alter_storage('dead', 'file://{}', '{{}}')", missing.display()));
    site.sql(
        "SELECT walwarden.schedule('wrong', storage => 'dead', retries => 5, retry_delay => '1 second')",
    );
    let failed = await_end(&site.cluster, APP, &run_now(&site.cluster, APP, "'wrong'"));
    assert_eq!(failed["state"], "failed");
    assert_eq!(site.sql("SELECT count(*) FROM walwarden.jobs WHERE schedule = 'wrong'"), "1");
    site.assert_chain_verifies();
}

#[test]
fn an_attempt_that_takes_too_long_ends_and_leaves_nothing() {
    let site = Site::with_s3(Cluster::builder().preload_walwarden());
    site.shrink();
    site.sql("SELECT walwarden.schedule('slow', storage => 's3', timeout => '2 seconds', retries => 3)");
    site.stall_network();
    let job = await_end(&site.cluster, APP, &run_now(&site.cluster, APP, "'slow'"));
    assert_eq!(job["error_class"], "timed_out", "{job:#}");
    assert_eq!(text(&job, "error_message"), "the job took longer than its timeout");
    site.mend_network();
    site.wake();
    site.await_stored(&[]);
    assert_eq!(attempts(&site, "slow"), "1 failed timed_out", "a timeout does not pass by itself");

    // A lock that is not had in time, too; and a timeout of the call goes before the schedule's.
    let lock = site.lock_table(APP, "customer");
    let job = await_end(&site.cluster, APP, &run_now(&site.cluster, APP, "timeout => '1 second'"));
    assert_eq!(job["error_class"], "timed_out");
    drop(lock);
    let job = await_end(
        &site.cluster,
        APP,
        &run_now(&site.cluster, APP, "'slow', timeout => '1 hour', storage => 'local'"),
    );
    assert_eq!(job["state"], "completed");
    site.assert_chain_verifies();
}

/// A time that comes while the run before goes on.
#[test]
fn overlapping_runs_are_skipped_or_wait() {
    let site = Site::local(Cluster::builder().preload_walwarden());
    let held = site.hold(Hold::LockWait);
    site.sql(
        "SELECT walwarden.schedule('skips', '* * * * *'); SELECT walwarden.schedule('waits', '* * * * *', on_overlap => 'queue')",
    );
    // Both have an unfinished run, of which one waits for its turn behind the one that is held.
    for name in ["skips", "waits"] {
        run_now(&site.cluster, APP, &format!("'{name}'"));
    }
    site.sql("UPDATE walwarden.schedule SET checked_until = now() - interval '90 seconds'");
    site.wake();
    site.await_true(
        "the times to be skipped",
        PATIENCE,
        "SELECT count(DISTINCT detail ->> 'schedule') = 2 FROM walwarden.audit_chain WHERE event = 'backup.skipped'",
    );
    held.let_go(&site);
    site.await_true(
        "all to be done",
        PATIENCE,
        "SELECT count(*) = 0 FROM walwarden.jobs WHERE finalized_at IS NULL",
    );

    // One that runs lets another one wait.
    let lock = site.lock_table(APP, "customer");
    let running = run_now(&site.cluster, APP, "'waits'");
    site.await_state(&running, "running", PATIENCE);
    site.sql(
        "UPDATE walwarden.schedule SET checked_until = now() - interval '90 seconds' WHERE name = 'waits'",
    );
    site.wake();
    site.await_true(
        "the time to be queued",
        PATIENCE,
        "SELECT EXISTS (SELECT FROM walwarden.jobs WHERE schedule = 'waits' AND trigger = 'schedule' AND state = 'queued')",
    );
    site.sql("SELECT walwarden.unschedule('skips'); SELECT walwarden.unschedule('waits')");
    drop(lock);
    site.await_true(
        "the one that waited to be done",
        PATIENCE,
        "SELECT EXISTS (SELECT FROM walwarden.jobs WHERE schedule = 'waits' AND trigger = 'schedule' AND state = 'completed')",
    );

    for (call, why) in [
        ("'odd', on_overlap => 'kill'", "unknown way with overlapping jobs \"kill\""),
        ("'odd', catch_up => 'all'", "unknown way to catch up \"all\""),
        ("'odd', '@every 10s'", "10s"),
        ("'odd', '* * * * *', jitter => '2 minutes'", "too long"),
        ("'odd', retries => -1", "retries must not be negative, but is -1"),
        ("'odd', timeout => '0'", "timeout"),
        ("'odd', storages => '{}'", "needs a storage"),
        ("'odd', storages => '{local,local}'", "named twice"),
        ("'odd', storage => 'local', storages => '{local}'", "not both"),
        ("'odd', rpo => '1 second'", "rpo must be"),
    ] {
        let error = site.cluster.try_sql(APP, &format!("SELECT walwarden.schedule({call})")).unwrap_err();
        assert!(error.contains(why), "{call}: {error}");
    }
    site.sql("SELECT walwarden.schedule('good', '@every 6h', jitter => '10 minutes', catch_up => 'latest', description => 'all', \"group\" => 'g')");
    assert_eq!(
        site.sql(
            "SELECT cron, jitter, catch_up, description, \"group\", next_run BETWEEN now() AND now() + interval '6 hours 10 minutes' \
             FROM walwarden.schedules WHERE name = 'good'"
        ),
        "@every 6h|00:10:00|latest|all|g|t"
    );
    site.assert_chain_verifies();
}
