//! What is kept, what is deleted, and that nothing else is ever touched.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test's support code fails by panicking"
)]

mod support;

use support::site::{APP, PATIENCE, Site};
use support::{back_up, text};
use walwarden_testkit::Cluster;

fn await_deleted(site: &Site, backup: &str) {
    site.await_true(
        "the backup to be deleted",
        PATIENCE,
        &format!("SELECT deleted_at IS NOT NULL FROM walwarden.jobs WHERE id = '{backup}'"),
    );
}

/// Shown first, then done: the plan's backups go, with every object, and their jobs stay.
#[test]
fn a_schedule_keeps_what_its_plan_says() {
    let site = Site::local(Cluster::builder().preload_walwarden());
    site.sql("SELECT walwarden.schedule('nightly')");
    let ids: Vec<String> =
        (0..5).map(|_| text(&back_up(&site.cluster, APP, "'nightly'"), "id").to_owned()).collect();
    let by_hand = text(&back_up(&site.cluster, APP, ""), "id").to_owned();
    assert_eq!(
        site.sql("SELECT DISTINCT keep, reason FROM walwarden.retention_plan('nightly')"),
        "t|no retention is set"
    );
    // Nothing of ours: left alone whatever happens.
    let folder = site.cluster.data_dir().join("pg_walwarden/backups");
    let stranger = folder.join(text(&site.job(&ids[0]), "object_key")).with_extension("keep");
    std::fs::write(&stranger, "not in any manifest").unwrap();

    site.sql("SELECT walwarden.pause('nightly')");
    site.sql("SELECT walwarden.schedule('nightly', keep_last => 2, min_keep => 1)");
    let plan = site.sql("SELECT job, keep, reason FROM walwarden.retention_plan('nightly')");
    let expected = format!(
        "{}|t|the newest good backup, min_keep 1, last 2\n{}|t|last 2\n{}|f|no rule keeps it\n{}|f|no rule keeps it\n{}|f|no rule keeps it",
        ids[4], ids[3], ids[2], ids[1], ids[0]
    );
    assert_eq!(plan, expected);
    assert_eq!(site.sql("SELECT count(*) FROM walwarden.backups"), "6", "showing deletes nothing");
    // A paused schedule fires nothing and deletes nothing.
    site.wake();
    site.sql("SELECT walwarden.resume('nightly')");
    ids[..3].iter().for_each(|id| await_deleted(&site, id));
    assert_eq!(
        site.sql("SELECT string_agg(job::text, ' ' ORDER BY snapshot_at) FROM walwarden.backups"),
        format!("{} {} {by_hand}", ids[3], ids[4])
    );
    let expired = site.job(&ids[0]);
    assert_eq!(expired["state"], "completed");
    assert_eq!(expired["delete_reason"], "no rule keeps it");
    assert_eq!(expired["deleted_by"], "walwarden");
    assert_eq!(site.events(&ids[0]).split(' ').next_back(), Some("backup.expired"));
    let stored = site.stored();
    assert!(
        ids[..3]
            .iter()
            .all(|id| !stored.iter().any(|name| name.contains(id.as_str()) && !name.ends_with(".keep")))
    );
    assert_eq!(stored.iter().filter(|name| name.contains(ids[3].as_str())).count(), 4);
    assert!(stranger.exists());
    let refused = site.cluster.try_sql(APP, &format!("SELECT walwarden.verify('{}')", ids[0])).unwrap_err();
    assert!(refused.contains("It was deleted from storage"), "{refused}");

    // A failed run deletes nothing, a good one makes room.
    site.sql("SELECT walwarden.add_storage('nowhere', 's3://no-such-bucket', '{\"endpoint\": \"http://127.0.0.1:1\", \"allow_http\": true, \"timeout\": 1}')");
    site.sql("SELECT walwarden.schedule('nightly', storage => 'nowhere', keep_last => 1, min_keep => 1)");
    await_deleted(&site, &ids[3]);
    let failed = support::run_now(&site.cluster, APP, "'nightly'");
    assert_eq!(support::await_end(&site.cluster, APP, &failed)["state"], "failed");
    site.wake();
    assert_eq!(site.sql("SELECT job FROM walwarden.retention_plan('nightly') WHERE keep"), ids[4]);
    site.assert_chain_verifies();

    for (call, why) in [
        ("'odd', keep_last => 0", "keep_last must be greater than zero"),
        ("'odd', keep_for => '-1 day'", "keep_for must not be negative"),
        ("'odd', keep_daily => -1", "keep_daily must not be negative, but is -1"),
        ("'odd', max_total_size => 'much'", "max_total_size cannot be \"much\""),
        ("'odd', min_keep => 0", "min_keep must be greater than zero"),
    ] {
        let error = site.cluster.try_sql(APP, &format!("SELECT walwarden.schedule({call})")).unwrap_err();
        assert!(error.contains(why), "{call}: {error}");
    }
    assert!(site.cluster.try_sql(APP, "SELECT * FROM walwarden.retention_plan('odd')").is_err());
}

/// By hand, with a reason, and not while somebody reads it.
#[test]
fn a_backup_is_deleted_by_hand() {
    let site = Site::local(Cluster::builder());
    let old = text(&back_up(&site.cluster, APP, ""), "id").to_owned();
    let new = text(&back_up(&site.cluster, APP, ""), "id").to_owned();
    let refused = |call: &str, why: &str| {
        let error =
            site.cluster.try_sql(APP, &format!("SELECT walwarden.delete_backup({call})")).unwrap_err();
        assert!(error.contains(why), "{error}");
    };
    refused(&format!("'{old}', '  '"), "a reason must be given");
    refused(&format!("'{old}', NULL"), "reason must not be NULL");
    refused("gen_random_uuid(), 'x'", "does not exist");
    // Queued in the same transaction is in use already.
    refused(
        &format!(
            "'{old}', 'x') FROM (SELECT walwarden.verify('{old}') OFFSET 0) AS verify(job) WHERE job IS NOT NULL AND (true"
        ),
        "in use by job",
    );
    site.sql(&format!("BEGIN; SELECT walwarden.delete_backup('{old}', 'never mind'); ROLLBACK"));
    assert_eq!(site.sql("SELECT count(*) FROM walwarden.backups"), "2");

    site.sql(&format!("SELECT walwarden.delete_backup('{old}', 'holds what must be forgotten')"));
    await_deleted(&site, &old);
    refused(&format!("'{old}', 'again'"), "It was deleted from storage");
    assert_eq!(site.job(&old)["delete_reason"], "holds what must be forgotten");
    assert_eq!(site.job(&old)["deleted_by"], site.cluster.superuser());
    assert_eq!(site.events(&old).split(' ').next_back(), Some("backup.deleted"));
    assert!(!site.stored().iter().any(|name| name.contains(&old)));
    assert_eq!(site.sql("SELECT last_backup FROM walwarden.status"), new);

    let warned = site.cluster.psql(APP, &format!("SELECT walwarden.delete_backup('{new}', 'all of it')"));
    assert!(String::from_utf8_lossy(&warned.stderr).contains("is the newest good one"));
    await_deleted(&site, &new);
    assert_eq!(site.sql("SELECT last_backup IS NULL, recovery_point IS NULL FROM walwarden.status"), "t|t");
    site.assert_chain_verifies();
}

/// What was written under another identity is another database's, whatever the table says.
#[test]
fn a_copy_deletes_nothing_of_its_original() {
    let site = Site::local(Cluster::builder().preload_walwarden());
    site.sql("SELECT walwarden.schedule('nightly')");
    let ids: Vec<String> =
        (0..3).map(|_| text(&back_up(&site.cluster, APP, "'nightly'"), "id").to_owned()).collect();
    site.await_rest(PATIENCE);
    site.cluster.sql("postgres", &format!("CREATE DATABASE twin TEMPLATE {APP}"));
    site.cluster.sql(
        "twin",
        "SELECT walwarden.adopt(); SELECT walwarden.schedule('nightly', keep_last => 1, min_keep => 1)",
    );
    let refused =
        site.cluster.try_sql("twin", &format!("SELECT walwarden.delete_backup('{}', 'not mine')", ids[0]));
    assert!(refused.unwrap_err().contains("does not belong to this database"));
    // Its own backups are kept and deleted by its own plan, which knows nothing of the original's.
    for _ in 0..2 {
        back_up(&site.cluster, "twin", "'nightly'");
    }
    walwarden_testkit::wait_until("the twin's older backup to be deleted", PATIENCE, || {
        (site.cluster.sql("twin", "SELECT count(*) FROM walwarden.jobs WHERE deleted_at IS NOT NULL") == "1")
            .then_some(())
    });
    // Whatever the table says, the cleaner looks at the keys.
    site.cluster.sql(
        "twin",
        &format!("UPDATE walwarden.job SET expires_at = now(), delete_reason = 'forged', deleted_by = 'me' WHERE id = '{}'", ids[0]),
    );
    site.cluster.sql("twin", "SELECT walwarden.schedule('noise')");
    let mut client = site.cluster.client("twin");
    walwarden_testkit::wait_until("the deletion to be refused", PATIENCE, || {
        let query = "SELECT count(*) FROM walwarden.backup_copies WHERE error_message LIKE '%does not belong to this database%'";
        (client.query_one(query, &[]).unwrap().get::<_, i64>(0) == 1).then_some(())
    });
    let stored = site.stored();
    assert!(ids.iter().all(|id| stored.iter().filter(|name| name.contains(id.as_str())).count() == 4));
    assert_eq!(site.sql("SELECT count(*) FROM walwarden.backups"), "3");
}

/// What the storage holds by a lock is kept, said so, and deleted when the lock has ended; uploads that nobody knows go.
#[test]
fn a_lock_is_respected_and_forgotten_uploads_are_given_up() {
    let site = Site::with_s3(Cluster::builder().preload_walwarden());
    site.s3_client().create_bucket_with_lock("locked");
    site.sql(
        "SELECT walwarden.add_storage('locked', 's3://locked', options || '{\"lock_mode\": \"governance\", \"lock_days\": 3}') \
         FROM walwarden.storages WHERE name = 's3'",
    );
    site.sql("SELECT walwarden.schedule('both', storages => '{locked,local}')");
    let backup = back_up(&site.cluster, APP, "'both'");
    let id = text(&backup, "id");
    back_up(&site.cluster, APP, "'both'");
    site.sql(&format!("SELECT walwarden.delete_backup('{id}', 'too old')"));
    site.await_true(
        "the lock to be met",
        PATIENCE,
        &format!("SELECT EXISTS (SELECT FROM walwarden.backup_copies WHERE backup = '{id}' AND state = 'retained_by_lock')"),
    );
    assert_eq!(
        site.sql(&format!(
            "SELECT storage, state, retained_until BETWEEN now() + interval '2 days' AND now() + interval '3 days', try_again_at >= retained_until \
             FROM walwarden.backup_copies WHERE backup = '{id}' AND state <> 'deleted'"
        )),
        "locked|retained_by_lock|t|t"
    );
    // Not listed any more, nothing of it gone there, all of it gone elsewhere, and not yet called deleted.
    assert_eq!(site.sql("SELECT count(*) FROM walwarden.backups"), "1");
    assert_eq!(
        site.s3_client().list("locked", "").iter().filter(|object| object.key.contains(id)).count(),
        4
    );
    assert!(!site.stored().iter().any(|name| name.contains(id)));
    assert_eq!(site.job(id)["deleted_at"], serde_json::Value::Null);
    assert_eq!(site.events(id).split(' ').next_back(), Some("backup.retained"));

    // That one copy has to wait holds up no other.
    site.sql(&format!(
        "UPDATE walwarden.backup_copy SET state = 'stored', deleted_at = NULL WHERE backup = '{id}' AND storage = 'local'"
    ));
    site.wake();
    site.await_true(
        "the other copy to be deleted",
        PATIENCE,
        &format!("SELECT state = 'deleted' FROM walwarden.backup_copies WHERE backup = '{id}' AND storage = 'local'"),
    );

    // An upload that a lost process began and no job noted: too old to be anybody's.
    let folder = site.cluster.data_dir().join("pg_walwarden/backups");
    let archive = text(&backup, "object_key");
    let stale = folder
        .join(archive.rsplit_once('/').unwrap().0)
        .join(".lost.dump.0190a5d27c00700080000000000000ff.staged");
    std::fs::create_dir_all(stale.parent().unwrap()).unwrap();
    let file = std::fs::File::create(&stale).unwrap();
    site.cluster.give_to_server(&stale);
    site.sql("UPDATE walwarden.storage SET swept_at = now() - interval '2 days' WHERE name = 'local'");
    site.wake();
    let looked = "SELECT swept_at > now() - interval '1 day' FROM walwarden.storage WHERE name = 'local'";
    site.await_true("uploads to be looked for", PATIENCE, looked);
    assert!(stale.exists(), "it may be somebody's");
    file.set_modified(std::time::SystemTime::now() - std::time::Duration::from_secs(25 * 3600)).unwrap();
    site.sql("UPDATE walwarden.storage SET swept_at = now() - interval '2 days' WHERE name = 'local'");
    site.wake();
    site.await_true(
        "it to be given up",
        PATIENCE,
        "SELECT EXISTS (SELECT FROM walwarden.audit_chain WHERE event = 'storage.uploads_aborted')",
    );
    assert!(!stale.exists());
    site.assert_chain_verifies();
}
