//! walwarden.restore(): a backup becomes a database again, the same as it was, or nothing of it is there.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test's support code fails by panicking"
)]

mod support;

use support::restores::{assert_nothing_is_left, completes, restore};
use support::site::{APP, PATIENCE, PROMPTLY, Site};
use support::{LocalBackup, back_up, number, text};
use walwarden_testkit::{Cluster, SampleDatabase, StopMode, assert_same_database};

/// Large tables and small ones, foreign keys, partitions, large objects, sequences, views, triggers: with any number of
/// loaders and in every compression.
#[test]
fn the_shop_comes_back_the_same() {
    let cluster = Cluster::builder().config("max_worker_processes = 16").start();
    SampleDatabase::create_with_rows(&cluster, "shop", 60_000);
    support::install(&cluster, "shop");
    let mut compressions = vec!["none", "gzip:6"];
    if cluster.installation().major() >= 16 {
        compressions.extend(["lz4", "zstd:1"]);
    }
    for (number_of_loaders, compression) in (1..).zip(&compressions) {
        let backup = back_up(&cluster, "shop", &format!("compression => '{compression}'"));
        let name = format!("restored_{number_of_loaders}");
        let row =
            restore(&cluster, "shop", text(&backup, "id"), &format!("'{name}', jobs => {number_of_loaders}"));
        completes(&row);
        for column in ["tables", "rows", "raw_bytes"] {
            assert_eq!(number(&row, column), number(&backup, column), "{column}");
        }
        assert_same_database(&cluster, "shop", &name);
        assert_nothing_is_left(&cluster, "shop");
    }
    assert_eq!(cluster.sql("shop", "SELECT * FROM walwarden.verify_audit_chain() WHERE NOT ok"), "");
    let events = cluster.sql(
        "shop",
        "SELECT string_agg(event, ' ' ORDER BY seq) FROM walwarden.audit WHERE job_id = \
         (SELECT id FROM walwarden.jobs WHERE kind = 'restore' ORDER BY queued_at LIMIT 1)",
    );
    assert_eq!(events, "restore.queued restore.claimed restore.running restore.finalizing restore.completed");
}

/// Every odd thing that a database can hold.
#[test]
fn the_odd_things_come_back_the_same() {
    let cluster = Cluster::builder().config("max_worker_processes = 16").start();
    SampleDatabase::create_hard(&cluster, "hard");
    support::install(&cluster, "hard");
    let backup = back_up(&cluster, "hard", "");
    let name = "Straße 表 \"x\" 'y'";
    let row = restore(&cluster, "hard", text(&backup, "id"), "'Straße 表 \"x\" ''y''', jobs => 4");
    completes(&row);
    assert_same_database(&cluster, "hard", name);
    assert_nothing_is_left(&cluster, "hard");
}

/// Settings, comment and privileges of the database itself come along, under its new name; with thousands of tables, and
/// in an encoding that is not UTF-8.
#[test]
fn the_database_s_own_properties_come_along() {
    let cluster = Cluster::builder().config("max_locks_per_transaction = 256").start();
    cluster.sql("postgres", "CREATE ROLE clerk");
    cluster.sql("postgres", "CREATE DATABASE old TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'");
    cluster.sql(
        "old",
        "SET client_encoding = 'UTF8';
         ALTER DATABASE old SET search_path TO one, 'two three', public;
         ALTER DATABASE old CONNECTION LIMIT 77;
         COMMENT ON DATABASE old IS 'the DATABASE old, it''s said';
         REVOKE CONNECT ON DATABASE old FROM PUBLIC; GRANT CONNECT, TEMP ON DATABASE old TO clerk;
         CREATE TABLE grün AS SELECT 'é' || n AS ö FROM generate_series(1, 100) n;
         ALTER TABLE grün OWNER TO clerk;
         DO $$ BEGIN FOR n IN 1..1500 LOOP EXECUTE format('CREATE TABLE t%s AS SELECT %s AS a', n, n); END LOOP; END $$",
    );
    support::install(&cluster, "old");
    let backup = back_up(&cluster, "old", "");
    completes(&restore(&cluster, "old", text(&backup, "id"), "'new', jobs => 2"));
    assert_same_database(&cluster, "old", "new");
    let properties = |name: &str| {
        cluster.sql(
            "postgres",
            &format!(
                "SELECT pg_encoding_to_char(encoding), datcollate, datconnlimit, shobj_description(oid, 'pg_database'), \
                 (SELECT array_agg(a::text ORDER BY a::text) FROM unnest(datacl) a), \
                 (SELECT setconfig FROM pg_db_role_setting WHERE setdatabase = d.oid) FROM pg_database d WHERE datname = '{name}'"
            ),
        )
    };
    assert_eq!(properties("new"), properties("old"));
    assert!(properties("new").contains("77"));
    // Without owners and privileges.
    completes(&restore(&cluster, "old", text(&backup, "id"), "'plain', owner => false, privileges => false"));
    assert_eq!(
        cluster.sql(
            "plain",
            "SELECT count(*) FROM pg_tables WHERE schemaname = 'public' AND tableowner = 'clerk'"
        ),
        "0"
    );
}

#[test]
fn what_cannot_be_restored_is_refused_at_once() {
    let site = Site::local(Cluster::builder());
    let backup = back_up(&site.cluster, APP, "");
    let job = text(&backup, "id");
    let refused = |arguments: &str, told: &str| {
        let error = site.cluster.try_sql(APP, &format!("SELECT walwarden.restore({arguments})")).unwrap_err();
        assert!(error.contains(told), "{error} says {told}");
    };
    refused("'00000000-0000-7000-8000-000000000000', 'x'", "does not exist");
    refused(&format!("'{job}', 'postgres'"), "database \"postgres\" exists already");
    refused(&format!("'{job}', '{APP}', overwrite => true"), "a database cannot be restored from within");
    for template in ["template0", "template1"] {
        refused(&format!("'{job}', '{template}', overwrite => true"), "is a template and cannot be replaced");
    }
    refused(&format!("'{job}', ''"), "a database needs a name");
    refused(&format!("'{job}', repeat('x', 64)"), "is too long");
    refused(&format!("'{job}', NULL"), "database must not be NULL");
    refused(&format!("'{job}', 'x', jobs => 0"), "jobs must be 1 to 64");
    assert_eq!(site.sql("SELECT count(*) FROM walwarden.jobs WHERE kind = 'restore'"), "0");
}

/// Replaced when all is restored, sessions or not, and left alone when the restore fails.
#[test]
fn a_database_is_replaced_only_when_told_so_and_only_at_the_end() {
    let site = Site::local(Cluster::builder());
    let backup = LocalBackup::make(&site.cluster, APP);
    let job = text(&backup.row, "id").to_owned();
    site.cluster.create_database("other");
    site.cluster.sql("other", "CREATE TABLE precious AS SELECT 1 AS a");
    let _session = site.cluster.client("other");

    let original = std::fs::read(&backup.archive).unwrap();
    let mut damaged = original.clone();
    let last_piece = number(&backup.read_manifest()["tables"][0]["pieces"][0], "offset");
    damaged[usize::try_from(last_piece).unwrap() + 40] ^= 1;
    std::fs::write(&backup.archive, damaged).unwrap();
    let row = restore(&site.cluster, APP, &job, "'other', overwrite => true");
    assert_eq!((text(&row, "state"), text(&row, "error_class")), ("failed", "storage_corrupt"), "{row:#}");
    assert_eq!(site.cluster.sql("other", "SELECT a FROM precious"), "1");
    assert_nothing_is_left(&site.cluster, APP);

    std::fs::write(&backup.archive, original).unwrap();
    completes(&restore(&site.cluster, APP, &job, "'other', overwrite => true"));
    assert_same_database(&site.cluster, APP, "other");
    assert_nothing_is_left(&site.cluster, APP);
}

/// Whatever is wrong in storage: the error names the object, and there is no database.
#[test]
fn damage_leaves_no_database() {
    let cluster = Cluster::builder().start();
    SampleDatabase::create_with_rows(&cluster, "shop", 5_000);
    support::install(&cluster, "shop");
    let other = LocalBackup::make(&cluster, "shop");
    cluster.sql("shop", "CREATE TABLE one_more AS SELECT 1 AS a");
    let backup = LocalBackup::make(&cluster, "shop");
    let job = text(&backup.row, "id").to_owned();
    let refused = |class: &str, object: &str| {
        let row = restore(&cluster, "shop", &job, "'restored'");
        assert_eq!((text(&row, "state"), text(&row, "error_class")), ("failed", class), "{row:#}");
        assert!(text(&row, "error_message").contains(object), "{row:#} names {object}");
        assert_eq!(
            cluster.sql("postgres", "SELECT count(*) FROM pg_database WHERE datname = 'restored'"),
            "0"
        );
        assert_nothing_is_left(&cluster, "shop");
    };
    let archive = std::fs::read(&backup.archive).unwrap();
    let manifest = backup.read_manifest();
    let tables = manifest["tables"].as_array().unwrap();
    let piece = tables.iter().find_map(|table| table["pieces"].get(0)).unwrap();
    // In the table of contents, in a piece, in a large object.
    for at in [100, usize::try_from(number(piece, "offset")).unwrap() + 12, archive.len() - 30] {
        let mut damaged = archive.clone();
        damaged[at] ^= 1;
        std::fs::write(&backup.archive, damaged).unwrap();
        refused("storage_corrupt", ".dump");
    }
    std::fs::write(&backup.archive, &archive[..archive.len() - 1]).unwrap();
    refused("storage_corrupt", ".dump");
    std::fs::write(&backup.archive, std::fs::read(&other.archive).unwrap()).unwrap();
    refused("storage_corrupt", ".dump");
    std::fs::remove_file(&backup.archive).unwrap();
    refused("storage_not_found", ".dump");
    std::fs::write(&backup.archive, &archive).unwrap();
    std::fs::write(&backup.manifest, std::fs::read(&other.manifest).unwrap()).unwrap();
    std::fs::write(&backup.signature, std::fs::read(&other.signature).unwrap()).unwrap();
    refused("storage_corrupt", ".manifest.json");
}

/// The regular files that a process has open.
fn open_files(pid: u32) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { return Vec::new() };
    let targets = entries.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    targets.map(|target| target.display().to_string()).filter(|target| target.starts_with('/')).collect()
}

/// Tables, the write-ahead log, what the server keeps of transactions, and its log; memory and devices are no files either.
fn is_of_the_database(file: &str, data: &std::path::Path) -> bool {
    let is_the_server_s = file.strip_prefix(&format!("{}/", data.display())).is_some_and(|below| {
        let folder = below.split('/').next().unwrap_or_default();
        ["base", "global", "pg_wal", "pg_xact", "pg_multixact", "pg_subtrans"].contains(&folder)
            && !below.contains("pgsql_tmp")
    });
    is_the_server_s
        || file == data.with_file_name("log").display().to_string()
        || ["/dev/", "/memfd:", "/proc/"].iter().any(|memory| file.starts_with(memory))
}

/// Canceled, its loader or its leader killed, the server stopped: there is no database of the name, and the scratch database
/// goes.
#[test]
fn a_restore_that_is_stopped_leaves_nothing() {
    let mut site = Site::with_s3(Cluster::builder().preload_walwarden());
    site.sql("CREATE TABLE cargo AS SELECT encode(sha512(n::text::bytea), 'base64') AS t FROM generate_series(1, 800000) n");
    let backup = back_up(&site.cluster, APP, "storage => 's3', jobs => 2");
    let begin = |site: &Site| {
        let job =
            site.sql(&format!("SELECT walwarden.restore('{}', 'restored', jobs => 2)", text(&backup, "id")));
        site.stall_while_loading(&job);
        job
    };
    let nothing_is_left = |site: &Site| {
        site.await_true(
            "the scratch database to go",
            PATIENCE,
            "SELECT NOT EXISTS (SELECT FROM pg_database WHERE datname = 'restored' OR datname LIKE 'walwarden\\_%') \
             AND (SELECT jobs_to_clean_up = 0 FROM walwarden.status)",
        );
        site.mend_network();
    };

    let job = begin(&site);
    let open: Vec<String> = site.workers().iter().flat_map(|worker| open_files(worker.pid)).collect();
    let foreign: Vec<&String> =
        open.iter().filter(|file| !is_of_the_database(file, &site.cluster.data_dir())).collect();
    assert_eq!(foreign, Vec::<&String>::new(), "nothing of the archive is in a file");
    assert_eq!(site.sql(&format!("SELECT walwarden.cancel('{job}')")), "t");
    site.await_state(&job, "canceled", PROMPTLY);
    nothing_is_left(&site);

    for victim in ["loader", "leader"] {
        let job = begin(&site);
        site.cluster.kill9_process(&site.worker(victim));
        site.await_state(&job, "failed", PATIENCE);
        nothing_is_left(&site);
    }

    for crash in [false, true] {
        let job = begin(&site);
        if crash {
            site.cluster.kill9();
        } else {
            site.cluster.stop(StopMode::Fast);
        }
        site.cluster.start();
        site.await_state(&job, "failed", PATIENCE);
        nothing_is_left(&site);
    }

    let job = site.sql(&format!("SELECT walwarden.restore('{}', 'restored')", text(&backup, "id")));
    completes(&support::await_end(&site.cluster, APP, &job));
    assert_same_database(&site.cluster, APP, "restored");
    site.assert_chain_verifies();
}
