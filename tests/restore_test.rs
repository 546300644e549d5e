//! walwarden.restore_test(): a backup is brought back, looked at, and gone again; a failure is as loud as that of a backup.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test's support code fails by panicking"
)]

mod support;

use serde_json::Value;
use support::restores::{assert_nothing_is_left, fails};
use support::site::{APP, PATIENCE, PROMPTLY, Site};
use support::{LocalBackup, back_up, number, text};
use walwarden_testkit::{Cluster, SampleDatabase};

/// Tests and gives the job's row.
fn restore_test(cluster: &Cluster, database: &str, arguments: &str) -> Value {
    let job = cluster.sql(database, &format!("SELECT walwarden.restore_test({arguments})"));
    support::await_end(cluster, database, &job)
}

#[test]
fn a_good_backup_passes_and_says_so() {
    let cluster = Cluster::builder().config("max_worker_processes = 16").start();
    SampleDatabase::create_with_rows(&cluster, "shop", 5000);
    support::install(&cluster, "shop");
    let backup = back_up(&cluster, "shop", "");
    let job = text(&backup, "id");
    assert_eq!(
        cluster.sql("shop", &format!("SELECT tested_at IS NULL FROM walwarden.backups WHERE job = '{job}'")),
        "t"
    );

    let row = restore_test(&cluster, "shop", &format!("'{job}'::uuid"));
    assert_eq!((text(&row, "state"), &row["smoke_answer"]), ("completed", &Value::Null), "{row:#}");
    assert_eq!(number(&row, "rows"), number(&backup, "rows"));
    assert_nothing_is_left(&cluster, "shop");

    // A literal says not whether it is a job or a schedule. What was asked and answered is kept, and is in the audit chain.
    let smoke = "smoke => 'SELECT count(*), 1 FROM sales.orders', expect => (SELECT count(*)::text FROM sales.orders), jobs => 2";
    let row = restore_test(&cluster, "shop", &format!("'{job}', {smoke}"));
    assert_eq!(text(&row, "state"), "completed", "{row:#}");
    assert_eq!(text(&row, "smoke_answer"), cluster.sql("shop", "SELECT count(*) FROM sales.orders"));
    assert_eq!(
        cluster.sql(
            "shop",
            &format!("SELECT string_agg(event || coalesce(' ' || (detail ->> 'smoke_answer'), ''), ', ' ORDER BY seq) FROM walwarden.audit_chain WHERE job_id = '{}'", text(&row, "id"))
        ),
        format!(
            "restore_test.queued, restore_test.claimed, restore_test.running, restore_test.finalizing, restore_test.completed {}",
            text(&row, "smoke_answer")
        )
    );
    assert_eq!(
        cluster.sql("shop", &format!("SELECT tested_at IS NOT NULL, test_failure, damage FROM walwarden.backups WHERE job = '{job}'")),
        "t||"
    );
    // There is a plan to be made: statistics.
    let row = restore_test(
        &cluster,
        "shop",
        &format!("'{job}', smoke => 'SELECT count(*) > 10 FROM pg_stats WHERE schemaname = ''sales'''"),
    );
    assert_eq!(text(&row, "smoke_answer"), "t", "{row:#}");
    assert_eq!(cluster.sql("shop", "SELECT * FROM walwarden.verify_audit_chain() WHERE NOT ok"), "");
}

/// In the status until a test passes, whatever backups are made meanwhile; and in the log.
#[test]
fn a_failed_test_is_not_forgotten() {
    let site = Site::local(Cluster::builder().preload_walwarden());
    site.sql(
        "SELECT walwarden.schedule('nightly', smoke => 'SELECT count(*) FROM customer', expect => '1000')",
    );
    let backup = back_up(&site.cluster, APP, "schedule => 'nightly'");
    let job = text(&backup, "id");
    let status = || site.sql("SELECT failed_since, failure_class FROM walwarden.status");
    let row = restore_test(&site.cluster, APP, "'nightly'");
    assert_eq!(
        (text(&row, "state"), text(&row, "smoke_answer"), text(&row, "schedule")),
        ("completed", "1000", "nightly")
    );
    assert_eq!(status(), "|");

    let row = restore_test(
        &site.cluster,
        APP,
        "schedule => 'nightly', smoke => 'SELECT count(*) FROM customer', expect => '1001'",
    );
    fails(&row, "test_failed", "It answered \"1000\" instead of \"1001\".");
    back_up(&site.cluster, APP, "");
    let failed = text(&row, "id");
    assert_eq!(status(), format!("{failed}|test_failed"));
    let known = site.sql(&format!(
        "SELECT test_failure, damage, tested_at IS NOT NULL FROM walwarden.backups WHERE job = '{job}'"
    ));
    assert!(known.contains("It answered") && known.ends_with("||t"), "{known}");
    assert!(site.cluster.log().contains(&format!("job {failed} failed: the smoke query did not answer")));
    assert_nothing_is_left(&site.cluster, APP);

    for (smoke, class, told) in [
        (
            "SELECT count(*) FROM no_such_table",
            "database",
            "the smoke query failed: relation \"no_such_table\" does not exist",
        ),
        ("SELECT name FROM customer WHERE false", "test_failed", "It answered nothing"),
        ("SELECT count(*) > 1000 FROM customer", "test_failed", "It answered \"f\""),
        ("SELECT setval(''s'', 7)", "database", "the smoke query failed"),
    ] {
        fails(&restore_test(&site.cluster, APP, &format!("'{job}', smoke => '{smoke}'")), class, told);
    }
    let passed = restore_test(&site.cluster, APP, &format!("job => '{job}', smoke => 'SELECT true'"));
    assert_eq!(text(&passed, "state"), "completed", "{passed:#}");
    assert_eq!(status(), "|");
    site.assert_chain_verifies();
}

/// What a test meets of damage marks the backup as a verification does.
#[test]
fn a_damaged_backup_fails_and_is_marked() {
    let site = Site::local(Cluster::builder());
    let older = back_up(&site.cluster, APP, "");
    let backup = LocalBackup::make(&site.cluster, APP);
    let job = text(&backup.row, "id").to_owned();
    let manifest = backup.read_manifest();
    let at = usize::try_from(number(&manifest["tables"][0]["pieces"][0], "offset")).unwrap() + 20;
    let original = std::fs::read(&backup.archive).unwrap();
    let mut bytes = original.clone();
    bytes[at] ^= 1;
    std::fs::write(&backup.archive, bytes).unwrap();
    fails(&restore_test(&site.cluster, APP, &format!("'{job}'")), "storage_corrupt", ".dump");
    assert_nothing_is_left(&site.cluster, APP);
    assert_eq!(
        site.sql(&format!("SELECT damage IS NOT NULL FROM walwarden.backups WHERE job = '{job}'")),
        "t"
    );
    assert_eq!(site.sql("SELECT last_backup FROM walwarden.status"), text(&older, "id"));
    std::fs::write(&backup.archive, original).unwrap();
    let verified = site.sql(&format!("SELECT walwarden.verify('{job}')"));
    support::await_end(&site.cluster, APP, &verified);
    assert_eq!(site.sql("SELECT last_backup FROM walwarden.status"), job);
}

/// An extension's table has rows that no archive has: CREATE EXTENSION puts them there.
#[test]
fn rows_that_come_with_an_extension_are_no_difference() {
    let site = Site::local(Cluster::builder());
    site.cluster.installation().install_fixture_extension();
    site.sql("CREATE EXTENSION walwarden_fixture");
    site.sql("INSERT INTO fixture_rule VALUES (2, 'ours', false), (3, 'ours, too', false)");
    let job = text(&back_up(&site.cluster, APP, ""), "id").to_owned();
    let row = restore_test(
        &site.cluster,
        APP,
        &format!(
            "'{job}', smoke => 'SELECT string_agg(id::text, '','' ORDER BY id) FROM fixture_rule', expect => '1,2,3'"
        ),
    );
    assert_eq!(text(&row, "state"), "completed", "{row:#}");
    assert_nothing_is_left(&site.cluster, APP);
}

/// The query is asked by the role that has given it, and changes nothing.
#[test]
fn a_smoke_query_has_the_rights_of_who_gave_it() {
    let site = Site::local(Cluster::builder());
    site.sql(
        "CREATE ROLE clerk LOGIN; GRANT USAGE ON SCHEMA walwarden TO clerk; GRANT EXECUTE ON FUNCTION walwarden.restore_test(uuid, text, text, integer, text), \
         walwarden.wait_for TO clerk; CREATE TABLE secret AS SELECT 1 AS a; GRANT SELECT ON customer TO clerk",
    );
    let backup = back_up(&site.cluster, APP, "");
    let mut clerk = site.cluster.client_as("clerk", APP);
    let mut ask = |smoke: &str| {
        let call = format!("SELECT walwarden.restore_test('{}'::uuid, '{smoke}')::text", text(&backup, "id"));
        let job = clerk.query_one(&call, &[]).map(|row| row.get::<_, String>(0)).expect("a job");
        support::await_end(&site.cluster, APP, &job)
    };
    let row = ask("SELECT current_user || count(*) FROM customer");
    assert_eq!(text(&row, "smoke_answer"), "clerk1000", "{row:#}");
    fails(&ask("SELECT a FROM secret"), "database", "permission denied for table secret");
    fails(
        &ask("SELECT set_config(''role'', ''postgres'', false)"),
        "database",
        "cannot set parameter \"role\"",
    );
    let refused = |arguments: &str, told: &str| {
        let error = site.cluster.try_sql(APP, &format!("SELECT walwarden.{arguments}")).unwrap_err();
        assert!(error.contains(told), "{error} says {told}");
    };
    let job = text(&backup, "id");
    refused(
        &format!("restore_test('{job}', smoke => 'DELETE FROM customer')"),
        "the smoke query cannot be used",
    );
    refused(&format!("restore_test('{job}', smoke => 'SELECT 1; SELECT 2')"), "It is not one query");
    refused(&format!("restore_test('{job}', smoke => 'SELEC 1')"), "syntax error");
    refused(&format!("restore_test('{job}', expect => '1')"), "expect needs a smoke query");
    refused("restore_test('no such schedule')", "schedule \"no such schedule\" does not exist");
    refused("restore_test(schedule => NULL)", "a job or a schedule must be given");
    refused("schedule('s', restore_test_cron => '60 * * * *')", "restore_test_cron: ");
    refused("schedule('s', smoke => 'VACUUM')", "the smoke query cannot be used");
    site.sql("SELECT walwarden.schedule('empty')");
    refused("restore_test('empty')", "schedule \"empty\" has no backup in storage");
}

/// However it is stopped, the scratch database goes.
#[test]
fn a_test_that_is_stopped_leaves_nothing() {
    let site = Site::local(Cluster::builder().preload_walwarden());
    let backup = back_up(&site.cluster, APP, "");
    let begin = || {
        let job = site.sql(&format!(
            "SELECT walwarden.restore_test('{}', smoke => 'SELECT pg_sleep(1000)')",
            text(&backup, "id")
        ));
        site.await_true(
            "the smoke query to run",
            PATIENCE,
            &format!(
                "SELECT EXISTS (SELECT FROM walwarden.progress WHERE job = '{job}' AND phase = 'testing') \
                 AND EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'walwarden examiner' AND wait_event = 'PgSleep')"
            ),
        );
        job
    };
    let nothing_is_left = || {
        site.await_true(
            "the scratch database to go",
            PATIENCE,
            "SELECT NOT EXISTS (SELECT FROM pg_database WHERE datname LIKE 'walwarden\\_%') AND (SELECT jobs_to_clean_up = 0 FROM walwarden.status)",
        );
    };
    let job = begin();
    assert_eq!(site.sql(&format!("SELECT walwarden.cancel('{job}')")), "t");
    site.await_state(&job, "canceled", PROMPTLY);
    nothing_is_left();
    for victim in ["examiner", "leader"] {
        let job = begin();
        site.cluster.kill9_process(&site.worker(victim));
        site.await_state(&job, "failed", PATIENCE);
        nothing_is_left();
    }
}

/// By its own cron, the newest backup of its schedule.
#[test]
fn schedules_test_their_newest_backup() {
    let site = Site::local(Cluster::builder().preload_walwarden());
    site.await_true("the scheduler to run", PATIENCE, "SELECT scheduler = 'running' FROM walwarden.status");
    site.sql(
        "SELECT walwarden.schedule('nightly', restore_test_cron => '* * * * *', smoke => 'SELECT count(*) FROM customer', expect => '1000')",
    );
    assert_eq!(
        site.sql("SELECT next_run IS NULL AND next_restore_test > now() FROM walwarden.schedules WHERE name = 'nightly'"),
        "t"
    );
    let newest = back_up(&site.cluster, APP, "schedule => 'nightly'");
    site.await_true(
        "the restore test",
        std::time::Duration::from_secs(150),
        &format!(
            "SELECT EXISTS (SELECT FROM walwarden.jobs WHERE kind = 'restore_test' AND schedule = 'nightly' \
             AND backup = '{}' AND state = 'completed' AND smoke_answer = '1000' AND requested_by = 'walwarden')",
            text(&newest, "id")
        ),
    );
}
