//! walwarden.verify(): good backups are found good, whatever is changed in storage is found and named, and what is known of
//! a backup stands in `backups` and `status`.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test's support code fails by panicking"
)]

mod support;

use serde_json::Value;
use std::path::Path;
use support::site::{APP, Hold, PATIENCE, PROMPTLY, Site};
use support::{LocalBackup, back_up, text};
use walwarden_testkit::Cluster;

/// Tables with rows, without, in pieces, and large objects.
const DATA: &str = "CREATE SCHEMA s;
    CREATE TABLE s.empty (a int);
    CREATE TABLE s.no_columns (); INSERT INTO s.no_columns DEFAULT VALUES; INSERT INTO s.no_columns DEFAULT VALUES;
    CREATE TABLE s.lines AS SELECT n, E'a\\nb\\\\\\t' || n AS t FROM generate_series(1, 20000) n;
    CREATE TABLE s.pieces AS SELECT n, repeat(md5(n::text), 30) AS t FROM generate_series(1, 40000) n;
    SELECT lo_from_bytea(0, convert_to(repeat('large object ', 30000), 'UTF8'));
    SELECT lo_from_bytea(0, '')";

fn verify(cluster: &Cluster, job: &str, depth: &str) -> Value {
    let id = cluster.sql("shop", &format!("SELECT walwarden.verify('{job}', '{depth}')"));
    support::await_end(cluster, "shop", &id)
}

fn backup_row(cluster: &Cluster, job: &str) -> Value {
    let query = format!("SELECT row_to_json(b) FROM walwarden.backups AS b WHERE job = '{job}'");
    serde_json::from_str(&cluster.sql("shop", &query)).expect("row_to_json gives JSON")
}

fn shop() -> Cluster {
    let cluster = Cluster::builder().start();
    cluster.create_database("shop");
    cluster.sql("shop", DATA);
    support::install(&cluster, "shop");
    cluster
}

/// Changes a file, lets `look` judge, and changes it back.
fn with_changed(path: &Path, change: impl FnOnce(&mut Vec<u8>), look: impl FnOnce()) {
    let original = std::fs::read(path).expect("the object");
    let mut changed = original.clone();
    change(&mut changed);
    std::fs::write(path, changed).expect("an object can be overwritten");
    look();
    std::fs::write(path, original).expect("an object can be overwritten");
}

#[test]
fn good_backups_are_good_in_every_compression() {
    let cluster = shop();
    let mut compressions = vec!["none", "gzip:1", "gzip:6"];
    if cluster.installation().major() >= 16 {
        compressions.extend(["lz4", "zstd:1", "zstd:9"]);
    }
    for compression in compressions {
        let backup = back_up(&cluster, "shop", &format!("compression => '{compression}', jobs => 2"));
        let job = text(&backup, "id");
        for depth in ["manifest", "full"] {
            let row = verify(&cluster, job, depth);
            assert_eq!(row["state"], "completed", "{compression} {row:#}");
            for column in ["sha256", "tables", "rows", "size_bytes", "object_key", "manifest_key"] {
                assert_eq!(row[column], backup[column], "{column}");
            }
            let known = backup_row(&cluster, job);
            assert_eq!((text(&known, "verified"), &known["damage"]), (depth, &Value::Null));
        }
    }
    let events = cluster.sql(
        "shop",
        "SELECT string_agg(event, ' ' ORDER BY seq) FROM walwarden.audit WHERE job_id = \
         (SELECT id FROM walwarden.jobs WHERE kind = 'verify' ORDER BY queued_at LIMIT 1)",
    );
    assert_eq!(events, "verify.queued verify.claimed verify.running verify.finalizing verify.completed");
    assert_eq!(cluster.sql("shop", "SELECT ok FROM walwarden.verify_audit_chain()"), "t");
}

/// Whatever byte it is, in whatever object: the job fails, the backup is marked, and the status falls back to the backup
/// before it, until a verification as deep finds it good again.
#[test]
fn damage_is_found_and_marked() {
    let cluster = shop();
    let older = back_up(&cluster, "shop", "");
    let backup = LocalBackup::make(&cluster, "shop");
    let job = text(&backup.row, "id").to_owned();
    let last_good = || cluster.sql("shop", "SELECT last_backup FROM walwarden.status");
    let found = |depth: &str, class: &str, place: &str| {
        let row = verify(&cluster, &job, depth);
        assert_eq!((text(&row, "state"), text(&row, "error_class")), ("failed", class), "{row:#}");
        let told = format!("{} {}", row["error_message"], row["error_detail"]);
        assert!(told.contains(place), "{told} names {place}");
        assert!(text(&backup_row(&cluster, &job), "damage").contains(place));
        assert_eq!(last_good(), text(&older, "id"));
    };
    let healed = || {
        // The shallower one does not clear what the deeper one found.
        assert_eq!(verify(&cluster, &job, "full")["state"], "completed");
        assert_eq!(backup_row(&cluster, &job)["damage"], Value::Null);
        assert_eq!(last_good(), job);
    };
    healed();

    let length = usize::try_from(backup.archive.metadata().expect("the archive").len()).expect("a length");
    let manifest = backup.read_manifest();
    let in_table = |name: &str| {
        let tables = manifest["tables"].as_array().expect("tables");
        let table = tables.iter().find(|table| table["name"] == name).expect("the table");
        usize::try_from(table["pieces"][0]["offset"].as_u64().expect("an offset")).expect("an offset") + 100
    };
    for at in [0, length / 2, length - 1, in_table("lines")] {
        with_changed(
            &backup.archive,
            |bytes| bytes[at] ^= 1,
            || {
                found("full", "storage_corrupt", "byte");
                // What is as long as it was and signed passes here, and clears nothing.
                assert_eq!(verify(&cluster, &job, "manifest")["state"], "completed");
                assert_eq!(last_good(), text(&older, "id"));
            },
        );
        healed();
    }
    for depth in ["manifest", "full"] {
        with_changed(
            &backup.archive,
            |bytes| bytes.truncate(length - 1),
            || {
                found(depth, "storage_corrupt", ".dump");
            },
        );
        with_changed(&backup.archive, |bytes| bytes.push(0), || found(depth, "storage_corrupt", ".dump"));
        with_changed(
            &backup.globals,
            |bytes| bytes[7] ^= 1,
            || {
                found(depth, "storage_corrupt", ".globals.sql");
            },
        );
        with_changed(
            &backup.manifest,
            |bytes| bytes[7] ^= 1,
            || {
                found(depth, "storage_corrupt", ".manifest.json");
            },
        );
        with_changed(
            &backup.signature,
            |bytes| bytes[7] ^= 1,
            || {
                found(depth, "storage_corrupt", ".manifest.json");
            },
        );
        for object in [&backup.archive, &backup.globals, &backup.manifest, &backup.signature] {
            let aside = object.with_extension("aside");
            std::fs::rename(object, &aside).expect("an object can be moved");
            found(depth, "storage_not_found", object.file_name().unwrap().to_str().unwrap());
            std::fs::rename(&aside, object).expect("an object can be moved");
        }
        // Another backup's, with its own good signature.
        let other = LocalBackup::of(&cluster, older.clone());
        let theirs = std::fs::read(&other.signature).expect("the signature");
        with_changed(
            &backup.manifest,
            |bytes| *bytes = std::fs::read(&other.manifest).expect("it"),
            || {
                with_changed(
                    &backup.signature,
                    |bytes| *bytes = theirs,
                    || {
                        found(depth, "storage_corrupt", ".manifest.json");
                    },
                );
            },
        );
    }
    healed();
}

/// A verification needs public keys only. Without that of a manifest it cannot tell whether this is right, and says so; that is
/// no damage.
#[test]
fn an_unknown_key_is_told_apart_from_damage() {
    let cluster = shop();
    let backup = LocalBackup::make(&cluster, "shop");
    let job = text(&backup.row, "id").to_owned();
    let key = cluster.data_dir().join("pg_walwarden/keys/signing.pem");
    let aside = key.with_extension("aside");
    std::fs::rename(&key, &aside).expect("the key can be moved");
    assert_eq!(verify(&cluster, &job, "full")["state"], "completed");
    cluster.sql("shop", "ALTER TABLE walwarden.key DISABLE TRIGGER ALL; DELETE FROM walwarden.key");
    let row = verify(&cluster, &job, "full");
    assert_eq!((text(&row, "state"), text(&row, "error_class")), ("failed", "key"), "{row:#}");
    assert_eq!(backup_row(&cluster, &job)["damage"], Value::Null);
}

#[test]
fn what_is_no_backup_is_refused_at_once() {
    let cluster = shop();
    let backup = back_up(&cluster, "shop", "");
    let job = text(&backup, "id");
    let verification = verify(&cluster, job, "manifest");
    let refused = |statement: &str, told: &str| {
        let error = cluster.try_sql("shop", statement).expect_err("it is refused");
        assert!(error.contains(told), "{error} says {told}");
    };
    refused("SELECT walwarden.verify('00000000-0000-7000-8000-000000000000')", "does not exist");
    refused(
        &format!("SELECT walwarden.verify('{}')", text(&verification, "id")),
        "It is a job of kind verify.",
    );
    refused(&format!("SELECT walwarden.verify('{job}', 'deep')"), "unknown depth \"deep\"");
    refused("SELECT walwarden.schedule('odd', verify_cron => '61 * * * *')", "verify_cron: ");
    refused("SELECT walwarden.schedule('odd', verify_depth => 'deep')", "unknown depth \"deep\"");
}

/// While storage does not answer, a verification can be watched and canceled; one whose leader was killed is reaped.
#[test]
fn a_verification_ends_however_it_is_stopped() {
    let site = Site::with_s3(Cluster::builder().preload_walwarden());
    site.sql("CREATE TABLE cargo AS SELECT encode(sha512(n::text::bytea), 'base64') AS t FROM generate_series(1, 300000) n");
    let backup = back_up(&site.cluster, APP, "storage => 's3'");
    let begin = || {
        site.stall_network();
        let job = site.sql(&format!("SELECT walwarden.verify('{}')", text(&backup, "id")));
        site.await_true(
            "the verification to be at it",
            PATIENCE,
            &format!(
                "SELECT EXISTS (SELECT FROM walwarden.progress WHERE job = '{job}' AND phase = 'verifying')"
            ),
        );
        job
    };
    let job = begin();
    assert_eq!(site.sql(&format!("SELECT walwarden.cancel('{job}')")), "t");
    site.await_state(&job, "canceled", PROMPTLY);

    let job = begin();
    site.cluster.kill9_process(&site.worker("leader"));
    site.mend_network();
    site.await_state(&job, "failed", PATIENCE);
    assert_eq!(text(&site.job(&job), "error_class"), "lost");
    assert_eq!(
        site.sql(&format!(
            "SELECT count(*) FROM walwarden.audit WHERE job_id = '{job}' AND event = 'verify.reaped'"
        )),
        "1"
    );
    assert_eq!(site.sql("SELECT count(*) FROM walwarden.backups WHERE damage IS NULL"), "1");
    let row = {
        let job = site.sql(&format!("SELECT walwarden.verify('{}')", text(&backup, "id")));
        support::await_end(&site.cluster, APP, &job)
    };
    assert_eq!(row["state"], "completed", "{row:#}");
}

/// A verification waits for no backup, nor a backup for it.
#[test]
fn a_verification_runs_beside_a_backup() {
    let site = Site::local(Cluster::builder());
    let backup = back_up(&site.cluster, APP, "");
    let held = site.hold(Hold::LockWait);
    let job = site.sql(&format!("SELECT walwarden.verify('{}')", text(&backup, "id")));
    assert_eq!(support::await_end(&site.cluster, APP, &job)["state"], "completed");
    held.let_go(&site);
}

/// By its own cron, the newest backup of its schedule.
#[test]
fn schedules_verify_their_newest_backup() {
    let site = Site::local(Cluster::builder().preload_walwarden());
    site.await_true("the scheduler to run", PATIENCE, "SELECT scheduler = 'running' FROM walwarden.status");
    site.sql("SELECT walwarden.schedule('empty', verify_cron => '* * * * *')");
    site.sql("SELECT walwarden.schedule('nightly', verify_cron => '* * * * *', verify_depth => 'manifest')");
    assert_eq!(
        site.sql(
            "SELECT next_run IS NULL AND next_verify > now() FROM walwarden.schedules WHERE name = 'nightly'"
        ),
        "t"
    );
    back_up(&site.cluster, APP, "schedule => 'nightly'");
    let newest = back_up(&site.cluster, APP, "schedule => 'nightly'");
    back_up(&site.cluster, APP, "");
    let a_minute = std::time::Duration::from_secs(150);
    site.await_true(
        "the verification",
        a_minute,
        &format!(
            "SELECT EXISTS (SELECT FROM walwarden.jobs WHERE kind = 'verify' AND schedule = 'nightly' AND depth = 'manifest' \
             AND backup = '{}' AND state = 'completed' AND requested_by = 'walwarden')",
            text(&newest, "id")
        ),
    );
    site.await_true(
        "the schedule without a backup to be skipped",
        a_minute,
        "SELECT EXISTS (SELECT FROM walwarden.audit_chain WHERE event = 'verify.skipped' AND detail ->> 'schedule' = 'empty')",
    );
}
