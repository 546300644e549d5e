//! Databases in other encodings than UTF-8, names that are no plain ASCII, and names made to be taken for something
//! else: all of them come back from a backup byte for byte.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test's support code fails by panicking"
)]

mod support;

use serde_json::Value;
use support::restores::{self, completes};
use support::{LocalBackup, text};
use walwarden_testkit::{Archive, Cluster, assert_same_database};

/// A cluster in which every database and every name is in this encoding.
fn cluster_in(encoding: &str) -> Cluster {
    Cluster::builder().initdb(&format!("--encoding={encoding}")).initdb("--locale=C").start()
}

/// A script in UTF-8, whatever the database's encoding.
fn in_utf8(script: &str) -> String {
    format!("SET client_encoding = 'UTF8'; SET client_min_messages = warning;\n{script}")
}

/// Restores a backup of `source` with `walwarden.restore()`, which must become the same.
fn restore_by_walwarden(cluster: &Cluster, source: &str, backup: &LocalBackup, name: &str) {
    let literal = name.replace('\'', "''");
    completes(&restores::restore(cluster, source, text(&backup.row, "id"), &format!("'{literal}'")));
    assert_same_database(cluster, source, name);
}

/// Makes a backup of `source` and restores it into `restored`, which must become the same.
fn comes_back(cluster: &Cluster, source: &str) -> LocalBackup {
    let backup = LocalBackup::make(cluster, source);
    support::restore(cluster, Archive::File(&backup.archive), "restored", &["--jobs=2"]);
    assert_same_database(cluster, source, "restored");
    restore_by_walwarden(cluster, source, &backup, "restored by walwarden");
    backup
}

/// The manifest's tables as `schema.name`.
fn table_names(manifest: &Value) -> Vec<String> {
    let tables = manifest["tables"].as_array().expect("a list");
    tables.iter().map(|table| format!("{}.{}", text(table, "schema"), text(table, "name"))).collect()
}

/// A database in `encoding` with `word`, a word that has more than ASCII, everywhere: in data, in names, in the roles,
/// schedules and storages that a backup deals with, and so in the manifest and in the audit chain.
fn everything_is_called(encoding: &str, word: &str) {
    let cluster = cluster_in(encoding);
    cluster.create_database("source");
    let role = format!("{word} \"x'; --");
    let role_name = role.replace('"', "\"\"");
    let literal = role.replace('\'', "''");
    cluster.sql(
        "source",
        &in_utf8(&format!(
            "CREATE ROLE \"{role_name}\" LOGIN;
             CREATE SCHEMA \"schema {word}\" AUTHORIZATION \"{role_name}\";
             CREATE TABLE \"schema {word}\".\"table {word}\" (\"column {word}\" text, n int);
             INSERT INTO \"schema {word}\".\"table {word}\" SELECT '{word} ' || n, n FROM generate_series(1, 1000) n;
             COMMENT ON TABLE \"schema {word}\".\"table {word}\" IS 'a comment: {word}';
             CREATE TYPE kind AS ENUM ('{word}');
             SELECT lo_from_bytea(0, convert_to('{word}', 'UTF8'));
             CREATE EXTENSION walwarden;
             GRANT pg_monitor TO \"{role_name}\";
             GRANT USAGE ON SCHEMA walwarden TO \"{role_name}\";
             GRANT EXECUTE ON FUNCTION walwarden.run_now TO \"{role_name}\""
        )),
    );
    let folder = cluster.new_server_folder("storage").join(word);
    cluster.sql(
        "source",
        &in_utf8(&format!(
            "SELECT walwarden.add_storage('{literal}', 'file://{}');
             SELECT walwarden.schedule('{literal}', '0 2 * * *', storage => '{literal}')",
            folder.display()
        )),
    );

    let job = cluster.sql(
        "source",
        &in_utf8(&format!(
            "SET SESSION AUTHORIZATION \"{role_name}\"; SELECT walwarden.run_now('{literal}')"
        )),
    );
    let row = support::await_end(&cluster, "source", &job);
    assert_eq!(text(&row, "state"), "completed", "{row:#}");
    for column in ["requested_by", "schedule", "storage"] {
        assert_eq!(text(&row, column), role);
    }
    let archive = folder.join(text(&row, "object_key"));
    support::restore(&cluster, Archive::File(&archive), "restored", &["--jobs=2"]);
    assert_same_database(&cluster, "source", "restored");

    let manifest_file = folder.join(text(&row, "manifest_key"));
    let manifest: Value = serde_json::from_slice(&std::fs::read(&manifest_file).unwrap()).unwrap();
    assert_eq!(text(&manifest["database"], "encoding"), encoding);
    assert_eq!(text(&manifest["job"], "requested_by"), role);
    assert_eq!(text(&manifest["job"], "schedule"), role);
    assert_eq!(text(&manifest["schedules"][0], "name"), role);
    assert_eq!(table_names(&manifest), [format!("schema {word}.table {word}")]);
    let key = support::public_key(&cluster, "source");
    assert!(support::openssl_verifies(&key, &manifest_file, &manifest_file.with_extension("json.sig")));

    let stored = cluster.sql("source", &in_utf8(&format!("SELECT walwarden.manifest('{job}')")));
    assert_eq!(serde_json::from_str::<Value>(&stored).unwrap(), manifest);
    let chain = "SELECT ok FROM walwarden.verify_audit_chain()";
    assert_eq!(cluster.sql("source", chain), "t");
    // The hashes are those of the bodies in UTF-8: any auditor can check them in SQL.
    let wrong = "SELECT count(*) FROM walwarden.audit WHERE hash <> sha256('\\x00'::bytea || convert_to(body, 'UTF8'))";
    assert_eq!(cluster.sql("source", wrong), "0");
    let actors = format!(
        "SELECT count(*) FROM walwarden.audit WHERE actor = '{literal}' AND body::jsonb ->> 'actor' = actor"
    );
    assert_eq!(cluster.sql("source", &in_utf8(&actors)), "1");
}

#[test]
fn utf8() {
    everything_is_called("UTF8", "Größe 表 🐘");
}

#[test]
fn latin1() {
    everything_is_called("LATIN1", "Größe é");
}

#[test]
fn euc_jp() {
    everything_is_called("EUC_JP", "日本語 表");
}

/// In SQL_ASCII bytes are bytes: a table's name and its rows hold some that are no UTF-8. The manifest, which is JSON,
/// cannot have the name as it is; the archive has.
#[test]
fn sql_ascii_with_bytes_that_are_no_text() {
    let cluster = cluster_in("SQL_ASCII");
    cluster.create_database("source");
    cluster.sql(
        "source",
        r"DO $$
          BEGIN
              EXECUTE 'CREATE TABLE ' || quote_ident(E'caf\xe9') || ' (t text)';
              EXECUTE 'INSERT INTO ' || quote_ident(E'caf\xe9') || $v$ VALUES (E'\xe9\xff\x80'), ('plain'), (E'\xc3\xa9')$v$;
          END
          $$",
    );
    support::install(&cluster, "source");
    let backup = comes_back(&cluster, "source");
    let names = table_names(&backup.read_manifest());
    assert!(names.len() == 1 && names[0].starts_with("public.caf"), "{names:?}");
    let rows = r"SELECT format('SELECT string_agg(encode(t::bytea, ''hex''), '','' ORDER BY t) FROM %s', oid::regclass) FROM pg_class WHERE relname LIKE 'caf%' AND relkind = 'r' \gexec";
    assert_eq!(cluster.sql("restored", rows), "706c61696e,c3a9,e9ff80");
    assert_eq!(cluster.sql("source", "SELECT ok FROM walwarden.verify_audit_chain()"), "t");
}

/// One cluster may hold databases of several encodings, and their names and those of roles are the bytes that some other
/// database gave them: no text at all in this one's encoding, and yet the database is backed up by that role.
#[test]
fn names_of_another_encoding_in_one_cluster() {
    let cluster = Cluster::builder().start();
    cluster.sql("postgres", "CREATE ROLE \"Größe 表\" SUPERUSER LOGIN");
    let create_in = |name: &str, encoding: &str| {
        let statement =
            format!("CREATE DATABASE \"{name}\" ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0");
        cluster.sql("postgres", &statement);
    };
    for encoding in ["LATIN1", "EUC_JP", "SQL_ASCII"] {
        let source = format!("Größe in {encoding}");
        create_in(&source, encoding);
        cluster.sql(&source, "CREATE TABLE t AS SELECT n FROM generate_series(1, 10) n");
        support::install(&cluster, &source);
        let mut psql = cluster.program("psql");
        psql.env("PGDATABASE", &source).env("PGUSER", "Größe 表");
        let output = support::run(psql.args(["-XAtq", "-c", "SELECT walwarden.run_now()"]));
        assert!(output.status.success(), "{encoding}: {}", String::from_utf8_lossy(&output.stderr));
        let job = String::from_utf8(output.stdout).unwrap();
        let row = support::await_end(&cluster, &source, job.trim());
        assert_eq!(text(&row, "state"), "completed", "{encoding}: {row:#}");
        let backup = LocalBackup::of(&cluster, row);
        assert_eq!(text(&backup.read_manifest()["database"], "encoding"), encoding);
        let globals = std::fs::read(&backup.globals).unwrap();
        let role = "CREATE ROLE \"Größe 表\"".as_bytes();
        assert!(globals.windows(role.len()).any(|window| window == role), "{encoding}");
        assert_eq!(cluster.sql(&source, "SELECT ok FROM walwarden.verify_audit_chain()"), "t");

        // Not with --create: pg_restore itself reads the name in the archive's encoding.
        let restored = format!("restored {encoding}");
        create_in(&restored, encoding);
        support::restore_existing(&cluster, Archive::File(&backup.archive), &restored, &[]);
        assert_same_database(&cluster, &source, &restored);
        restore_by_walwarden(&cluster, &source, &backup, &format!("restored by walwarden {encoding}"));
    }
}

/// A database's name is a name, whatever it looks like: no program is led to another server or another database by it.
#[test]
fn hostile_database_names() {
    let cluster = Cluster::builder().start();
    let names = [
        "host=127.0.0.1 port=1 dbname=zz",
        "postgresql://127.0.0.1:1/zz",
        "it's \"quoted\" \\ `id` $(id)",
        " spaces  and\ta tab ",
        "a\nnew line",
        "--help",
        "Größe 表 🐘",
        "template%s{}$1",
    ];
    for name in names {
        let quoted = name.replace('"', "\"\"");
        cluster.sql("postgres", &format!("CREATE DATABASE \"{quoted}\" TEMPLATE template0"));
        cluster.sql(name, &format!("CREATE TABLE t AS SELECT $n${name}$n$ AS name"));
        support::install(&cluster, name);
        let backup = LocalBackup::make(&cluster, name);
        assert_eq!(text(&backup.read_manifest()["database"], "name"), name);

        support::restore(&cluster, Archive::File(&backup.archive), "restored", &[]);
        assert_same_database(&cluster, name, "restored");
        assert_eq!(cluster.sql("restored", "SELECT name FROM t"), name);
        cluster.sql("postgres", "DROP DATABASE restored");
        if !name.chars().any(char::is_control) {
            restore_by_walwarden(&cluster, name, &backup, &format!("{name} again"));
        }
    }
}
