//! The server is gone, its disk and everything that walwarden kept in its tables with it. What is left: the storage, and the
//! public key, which was kept elsewhere. On an empty server every database comes back from that.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test's support code fails by panicking"
)]

mod support;

use serde_json::{Value, json};
use std::path::Path;
use std::time::Instant;
use support::restores::{self, completes};
use support::site::{APP, PROMPTLY, Site};
use support::{LocalBackup, back_up, text};
use walwarden_testkit::{
    Cluster, Installation, S3Server, SampleDatabase, assert_same_database, normalized_dump,
};

/// Defines a storage.
fn add_storage(cluster: &Cluster, database: &str, name: &str, url: &str, options: &Value) {
    cluster.sql(database, &format!("SELECT walwarden.add_storage('{name}', '{url}', '{options}')"));
}

/// A database as `pg_dump` shows it.
fn shown(cluster: &Cluster, database: &str) -> Vec<u8> {
    normalized_dump(&cluster.pg_dump(database, &[""; 0]))
}

fn public_key(cluster: &Cluster, database: &str) -> String {
    cluster.sql(database, "SELECT walwarden.public_key()")
}

/// Everything that `discover()` says, a JSON object for each manifest.
fn discover(cluster: &Cluster, database: &str, storage: &str, key: &str) -> Vec<Value> {
    let query = format!(
        "SET client_encoding = 'UTF8'; SELECT row_to_json(d) FROM walwarden.discover('{storage}', '{key}') AS d"
    );
    let rows = cluster.sql(database, &query);
    rows.lines().map(|row| serde_json::from_str(row).expect("row_to_json gives JSON")).collect()
}

/// Restores a backup with the roles that are missing, which must succeed.
fn restore(cluster: &Cluster, database: &str, backup: &str, name: &str) {
    completes(&restores::restore(cluster, database, backup, &format!("'{name}', globals => true")));
}

/// Two databases in a bucket and one in a folder, with roles that own and may; then nothing but these and the key.
#[test]
fn every_database_comes_back_on_an_empty_server() {
    let server = S3Server::start();
    let anew = Cluster::builder().envs(server.env()).start();
    let folder = anew.new_server_folder("kept");
    let in_folder = format!("file://{}", folder.display());
    let in_bucket = "s3://walwarden/deep/prefix";
    let options = json!({"endpoint": server.endpoint(), "allow_http": true, "region": "us-east-1"});

    let lost = Cluster::builder().envs(server.env()).start();
    lost.sql("postgres", "CREATE ROLE keeper; CREATE ROLE clerk IN ROLE keeper");
    SampleDatabase::create_with_rows(&lost, "shop", 20_000);
    lost.sql(
        "shop",
        "CREATE TABLE kept AS SELECT 1 AS a; ALTER TABLE kept OWNER TO keeper; GRANT SELECT ON kept TO clerk",
    );
    SampleDatabase::create_hard(&lost, "hard");
    lost.create_database("ledger");
    lost.sql(
        "ledger",
        "CREATE TABLE entry AS SELECT n FROM generate_series(1, 1000) AS n; ALTER TABLE entry OWNER TO clerk",
    );
    for name in ["shop", "hard", "ledger"] {
        support::install(&lost, name);
        add_storage(&lost, name, "bucket", in_bucket, &options);
        add_storage(&lost, name, "folder", &in_folder, &json!({}));
    }
    let older = back_up(&lost, "shop", "storage => 'bucket'");
    lost.sql("shop", "CREATE TABLE one_more AS SELECT 1 AS a");
    let newer = back_up(&lost, "shop", "storage => 'bucket'");
    let hard = back_up(&lost, "hard", "storage => 'bucket'");
    let ledger = back_up(&lost, "ledger", "storage => 'folder'");
    let before = ["shop", "hard", "ledger"].map(|name| (name, shown(&lost, name)));
    let key = public_key(&lost, "shop");
    drop(lost);

    // More than a page of a listing, before the first manifest.
    let client = server.client();
    (0..1100).for_each(|n| client.put(S3Server::BUCKET, &format!("deep/prefix/org/before/{n}"), b"x"));

    // Where walwarden works from need not be one of the databases.
    anew.create_database("rescue");
    support::install(&anew, "rescue");
    add_storage(&anew, "rescue", "found", in_bucket, &options);
    add_storage(&anew, "rescue", "disk", &in_folder, &json!({}));
    let found = discover(&anew, "rescue", "found", &key);
    let jobs: Vec<&str> = found.iter().map(|row| text(row, "job")).collect();
    assert_eq!(jobs, [text(&hard, "id"), text(&older, "id"), text(&newer, "id")], "{found:#?}");
    for (row, backup) in found.iter().zip([&hard, &older, &newer]) {
        assert_eq!(row["problem"], Value::Null, "{row:#}");
        for column in ["snapshot_at", "tables", "rows", "size_bytes"] {
            assert_eq!(row[column], backup[column], "{column}");
        }
    }
    let on_disk = discover(&anew, "rescue", "disk", &key);
    assert_eq!(on_disk.iter().map(|row| text(row, "job")).collect::<Vec<_>>(), [text(&ledger, "id")]);
    // Again: nothing twice.
    assert_eq!(discover(&anew, "rescue", "found", &key), found);
    let listed = "SELECT count(*), count(DISTINCT database_id), string_agg(DISTINCT storage, ' ') FROM walwarden.discovered_backups";
    assert_eq!(anew.sql("rescue", listed), "4|3|disk found");
    let told = "SELECT string_agg(concat_ws(' ', detail ->> 'name', detail ->> 'found', detail ->> 'problems'), ', ' ORDER BY seq) \
                  FROM walwarden.audit_chain WHERE event = 'storage.discovered'";
    assert_eq!(anew.sql("rescue", told), "found 3 0, disk 1 0, found 3 0");
    assert_eq!(anew.sql("rescue", "SELECT * FROM walwarden.backups"), "");

    let globals_key =
        |job: &str| anew.sql("rescue", &format!("SELECT walwarden.manifest('{job}') -> 'globals' ->> 'key'"));
    assert!(folder.join(globals_key(text(&ledger, "id"))).is_file());
    for (backup, (name, before)) in [&newer, &hard, &ledger].into_iter().zip(before) {
        let job = anew.sql("rescue", &format!("SELECT walwarden.verify('{}')", text(backup, "id")));
        assert_eq!(text(&support::await_end(&anew, "rescue", &job), "state"), "completed");
        restore(&anew, "rescue", text(backup, "id"), name);
        assert!(shown(&anew, name) == before, "{name} is what it was");
    }
    let verified =
        "SELECT count(*) FROM walwarden.discovered_backups WHERE verified = 'full' AND damage IS NULL";
    assert_eq!(anew.sql("rescue", verified), "3");

    // A storage takes with it what was discovered in it.
    anew.sql("rescue", "SELECT walwarden.drop_storage('found')");
    assert_eq!(anew.sql("rescue", "SELECT storage FROM walwarden.discovered_backups"), "disk");
    assert_eq!(anew.sql("rescue", "SELECT * FROM walwarden.verify_audit_chain() WHERE NOT ok"), "");
}

/// Another key, another byte, an object less: each is told, names the object, and hides no other backup. What had been found
/// good before is forgotten.
#[test]
fn what_is_wrong_with_a_backup_is_told() {
    let cluster = Cluster::builder().start();
    cluster.create_database("shop");
    cluster.sql("shop", "CREATE TABLE t AS SELECT n FROM generate_series(1, 1000) AS n");
    support::install(&cluster, "shop");
    let [good, flipped, unsigned, headless, copied]: [LocalBackup; 5] =
        std::array::from_fn(|_| LocalBackup::make(&cluster, "shop"));
    let key = public_key(&cluster, "shop");
    let url = cluster.sql("shop", "SELECT url FROM walwarden.storages WHERE name = 'local'");

    let anew = Cluster::builder().start();
    support::install(&anew, "postgres");
    add_storage(&anew, "postgres", "found", &url, &json!({}));
    let kept = "SELECT count(*) FROM walwarden.discovered_backups";
    let stranger = public_key(&anew, "postgres");
    let found = discover(&anew, "postgres", "found", &stranger);
    assert_eq!(found.len(), 5);
    for row in &found {
        assert!(text(row, "problem").contains("has signed it"), "{row:#}");
        assert_eq!(row["database"], Value::Null, "what is not proven is not repeated");
    }
    assert_eq!(anew.sql("postgres", kept), "0");
    assert!(discover(&anew, "postgres", "found", &key).iter().all(|row| row["problem"] == Value::Null));
    assert_eq!(anew.sql("postgres", kept), "5");
    // Who looks with another key takes nothing away.
    discover(&anew, "postgres", "found", &stranger);
    assert_eq!(anew.sql("postgres", kept), "5");

    let mut bytes = std::fs::read(&flipped.manifest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&flipped.manifest, bytes).unwrap();
    std::fs::remove_file(&unsigned.signature).unwrap();
    std::fs::remove_file(&headless.archive).unwrap();
    std::fs::copy(&good.manifest, &copied.manifest).unwrap();
    std::fs::copy(&good.signature, &copied.signature).unwrap();
    let found = discover(&anew, "postgres", "found", &key);
    let problem_of = |backup: &LocalBackup| {
        let job = text(&backup.row, "id");
        let row = found.iter().find(|row| text(row, "job") == job).expect("every manifest is listed");
        row["problem"].as_str().unwrap_or_default().to_owned()
    };
    assert_eq!(problem_of(&good), "");
    for (backup, object, told) in [
        (&flipped, &flipped.manifest, "is not what key"),
        (&unsigned, &unsigned.signature, "is missing"),
        (&headless, &headless.archive, "is missing"),
        (&copied, &copied.manifest, text(&good.row, "id")),
    ] {
        let problem = problem_of(backup);
        let object = object.strip_prefix(&backup.root).unwrap().to_str().unwrap();
        assert!(problem.contains(object) && problem.contains(told), "{problem}: {object} {told}");
        let refused = format!("SELECT walwarden.restore('{}', 'x')", text(&backup.row, "id"));
        assert!(anew.try_sql("postgres", &refused).unwrap_err().contains("does not exist"));
    }
    assert_eq!(anew.sql("postgres", "SELECT job FROM walwarden.discovered_backups"), text(&good.row, "id"));
    damage_shows(&anew, &good);
}

/// What a verification finds wrong with a discovered backup stands beside it.
fn damage_shows(anew: &Cluster, backup: &LocalBackup) {
    let mut bytes = std::fs::read(&backup.archive).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&backup.archive, bytes).unwrap();
    let id = text(&backup.row, "id");
    let job = anew.sql("postgres", &format!("SELECT walwarden.verify('{id}')"));
    let row = support::await_end(anew, "postgres", &job);
    assert_eq!(text(&row, "error_class"), "storage_corrupt", "{row:#}");
    assert_eq!(anew.sql("postgres", "SELECT damage LIKE 'the archive is not what its manifest says%' FROM walwarden.discovered_backups"), "t");
}

#[test]
fn what_cannot_be_looked_through_is_refused_at_once() {
    let cluster = Cluster::builder().start();
    support::install(&cluster, "postgres");
    let key = public_key(&cluster, "postgres");
    for (arguments, told) in [
        (format!("'nowhere', '{key}'"), "storage \"nowhere\" does not exist"),
        (format!("NULL, '{key}'"), "storage must not be NULL"),
        ("'local', NULL".to_owned(), "public_key must not be NULL"),
        ("'local', ''".to_owned(), "public_key is not a public key"),
        (format!("'local', '{}'", key.replace("PUBLIC", "PRIVATE")), "public_key is not a public key"),
    ] {
        let error = cluster.try_sql("postgres", &format!("SELECT * FROM walwarden.discover({arguments})"));
        assert!(error.as_ref().is_err_and(|error| error.contains(told)), "{error:?} says {told}");
    }
    assert_eq!(discover(&cluster, "postgres", "local", &format!("\n {key}\n\n")), [Value::Null; 0]);
    // Like everything of walwarden: not for everybody.
    cluster.sql("postgres", "CREATE ROLE nobody LOGIN; GRANT USAGE ON SCHEMA walwarden TO nobody");
    for statement in [
        "SELECT * FROM walwarden.discovered_backups",
        "SELECT * FROM walwarden.discovered",
        "SELECT walwarden.discover('local', '')",
    ] {
        let error = cluster.try_sql("postgres", &format!("SET ROLE nobody; {statement}"));
        assert!(error.is_err_and(|error| error.contains("permission denied")), "{statement}");
    }
    cluster.sql("postgres", "GRANT pg_monitor TO nobody");
    cluster.sql("postgres", "SET ROLE nobody; SELECT * FROM walwarden.discovered_backups");
}

/// Storage that does not answer is waited for as long as the session wants it, and no longer.
#[test]
fn looking_is_interrupted() {
    let site = Site::with_s3(Cluster::builder());
    back_up(&site.cluster, APP, "storage => 's3'");
    let key = public_key(&site.cluster, APP);
    assert_eq!(discover(&site.cluster, APP, "s3", &key).len(), 1);
    site.stall_network();
    let started = Instant::now();
    let look = format!("SET statement_timeout = '1s'; SELECT * FROM walwarden.discover('s3', '{key}')");
    let error = site.cluster.try_sql(APP, &look).unwrap_err();
    assert!(error.contains("statement timeout"), "{error}");
    assert!(started.elapsed() < PROMPTLY);
    site.mend_network();
    // What was found before is kept.
    assert_eq!(site.sql("SELECT count(*) FROM walwarden.discovered_backups"), "1");
}

/// A manifest is kept as it was signed, also where the database cannot say every name in it.
#[test]
fn a_database_of_another_encoding_will_do() {
    let cluster = Cluster::builder().start();
    cluster.create_database("Straße 表");
    cluster.sql("Straße 表", "SET client_encoding = 'UTF8'; CREATE TABLE \"表\" AS SELECT 'é表' AS a");
    support::install(&cluster, "Straße 表");
    let backup = LocalBackup::make(&cluster, "Straße 表");
    cluster.sql("postgres", "CREATE DATABASE rescue TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'");
    support::install(&cluster, "rescue");
    let found = discover(&cluster, "rescue", "local", &public_key(&cluster, "rescue"));
    assert_eq!((text(&found[0], "database"), &found[0]["problem"]), ("Straße ?", &Value::Null));
    restore(&cluster, "rescue", text(&backup.row, "id"), "restored");
    assert_same_database(&cluster, "Straße 表", "restored");
    // Its own backups stay its own.
    assert_eq!(discover(&cluster, "Straße 表", "local", &public_key(&cluster, "rescue")).len(), 1);
    restore(&cluster, "Straße 表", text(&backup.row, "id"), "again");

    // A table of one encoding is read in a database of another, as far as it has the letters.
    cluster.sql("rescue", "SET client_encoding = 'UTF8'; CREATE TABLE grün AS SELECT n AS größe, 'é' || n AS t FROM generate_series(1, 9) n");
    let latin = back_up(&cluster, "rescue", "");
    let read = |database: &str, job: &str, rest: &str| {
        cluster.try_sql(
            database,
            &format!("SET client_encoding = 'UTF8'; SELECT * FROM walwarden.read_table('{job}', {rest}"),
        )
    };
    assert_eq!(discover(&cluster, "Straße 表", "local", &public_key(&cluster, "rescue")).len(), 2);
    let found =
        read("Straße 表", text(&latin, "id"), "'public.grün') AS t(t text, größe int) WHERE größe = 3");
    assert_eq!(found.unwrap(), "é3|3");
    let error = read("rescue", text(&backup.row, "id"), "'public.表') AS t(a text)").unwrap_err();
    assert!(error.contains("has no equivalent in encoding"), "{error}");
    let refused = cluster.sql(
        "Straße 表",
        &format!("SET client_encoding = 'UTF8'; SELECT walwarden.restore_table('{}', 'public.grün', 'public.grün')", text(&latin, "id")),
    );
    let row = support::await_end(&cluster, "Straße 表", &refused);
    assert_eq!((text(&row, "state"), text(&row, "error_class")), ("failed", "wrong_state"), "{row:#}");
    let part = cluster.sql(
        "Straße 表",
        &format!("SET client_encoding = 'UTF8'; SELECT walwarden.restore('{}', 'part', tables => '{{public.grün}}')", text(&latin, "id")),
    );
    assert_eq!(text(&support::await_end(&cluster, "Straße 表", &part), "state"), "completed");
    assert_eq!(cluster.sql("part", "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"), "1");
}

/// A backup of an older PostgreSQL becomes a database of this one, and not the other way round.
#[test]
fn versions_go_up_and_never_down() {
    let Some(path) = std::env::var_os("WALWARDEN_OLDER_PG_CONFIG") else {
        println!(
            "nothing was tested: WALWARDEN_OLDER_PG_CONFIG names no older PostgreSQL that has walwarden"
        );
        return;
    };
    let older = Cluster::builder().installation(Installation::at(Path::new(&path))).start();
    let newer = Cluster::builder().start();
    let (from, to) = (older.installation().major(), newer.installation().major());
    if from >= to {
        println!("nothing was tested: {from} is not older than {to}");
        return;
    }
    let folder = newer.new_server_folder("shared");
    let url = format!("file://{}", folder.display());
    SampleDatabase::create_with_rows(&older, "shop", 5_000);
    newer.create_database("fresh");
    newer.sql("fresh", "CREATE TABLE t AS SELECT 1 AS a");
    SampleDatabase::create_hard(&older, "hard");
    for (cluster, database) in [(&older, "shop"), (&older, "hard"), (&newer, "fresh")] {
        support::install(cluster, database);
        add_storage(cluster, database, "shared", &url, &json!({}));
    }
    let up = back_up(&older, "shop", "storage => 'shared'");
    let odd = back_up(&older, "hard", "storage => 'shared'");
    let down = back_up(&newer, "fresh", "storage => 'shared'");

    // Each server believes what its key has signed, and the other's with the other's.
    let found = discover(&newer, "fresh", "shared", &public_key(&older, "shop"));
    let good: Vec<&str> =
        found.iter().filter(|row| row["problem"].is_null()).map(|row| text(row, "job")).collect();
    assert_eq!((found.len(), good), (3, vec![text(&odd, "id"), text(&up, "id")]), "{found:#?}");
    restore(&newer, "fresh", text(&up, "id"), "shop");
    restore(&newer, "fresh", text(&odd, "id"), "hard");
    // By one pg_dump, the newer, which reads both.
    let data = |cluster: &Cluster, database: &str| {
        let mut pg_dump = newer.program("pg_dump");
        pg_dump.env("PGHOST", cluster.folder()).env("PGPORT", cluster.port().to_string());
        let output =
            support::run(pg_dump.args(["--data-only", "--exclude-schema=walwarden", "--dbname", database]));
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let volatile = |line: &str| {
            line.starts_with("-- Dumped from")
                || line.starts_with("\\restrict")
                || line.starts_with("\\unrestrict")
        };
        let lines: String =
            text.lines().filter(|line| !volatile(line)).map(|line| format!("{line}\n")).collect();
        normalized_dump(lines.as_bytes())
    };
    for name in ["shop", "hard"] {
        assert!(data(&older, name) == data(&newer, name), "the same rows in {name}");
    }

    let found = discover(&older, "shop", "shared", &public_key(&newer, "fresh"));
    assert!(found.iter().any(|row| text(row, "job") == text(&down, "id") && row["problem"].is_null()));
    let refused =
        older.try_sql("shop", &format!("SELECT walwarden.restore('{}', 'fresh')", text(&down, "id")));
    let error = refused.unwrap_err();
    let told = format!("a backup of PostgreSQL {to} cannot be restored into PostgreSQL {from}");
    assert!(error.contains(&told) && error.contains("HINT"), "{error}");
    assert_eq!(older.sql("shop", "SELECT count(*) FROM walwarden.jobs WHERE kind = 'restore'"), "0");
    assert_eq!(older.sql("shop", "SELECT count(*) FROM pg_database WHERE datname ~ 'fresh|walwarden_'"), "0");
    // To look whether it is whole, any version will do.
    let job = older.sql("shop", &format!("SELECT walwarden.verify('{}', 'manifest')", text(&down, "id")));
    assert_eq!(text(&support::await_end(&older, "shop", &job), "state"), "completed");
}
