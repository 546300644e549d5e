//! A new version of walwarden on the objects of the one before, ALTER EXTENSION UPDATE, and pg_upgrade.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test's support code fails by panicking"
)]

mod support;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use support::released::{install_previous, previous};
use support::restores::{completes, restore};
use support::site::{APP, Hold, PATIENCE, Site};
use support::{LocalBackup, await_end, back_up, install, run, text};
use walwarden_core::release::VERSION;
use walwarden_testkit::{Cluster, Installation, S3Server, SampleDatabase, StopMode};

/// How lines begin with which pg_upgrade is told about object and transaction ids, and the end of a dump.
const VOLATILE: [&str; 5] = [
    "SELECT pg_catalog.binary_upgrade_set_next_",
    "UPDATE pg_catalog.pg_class",
    "SET relfrozenxid",
    "WHERE oid = ",
    "-- PostgreSQL database dump complete",
];

fn installed_version(cluster: &Cluster, database: &str) -> String {
    cluster.sql(database, "SELECT extversion FROM pg_extension WHERE extname = 'walwarden'")
}

/// Everything in walwarden's schema, as pg_upgrade is told of it: objects, columns, bodies, comments, privileges, what belongs to
/// the extension.
fn objects(cluster: &Cluster, database: &str) -> BTreeSet<String> {
    let dump = cluster.pg_dump(database, &["--binary-upgrade", "--schema-only"]);
    let dump = String::from_utf8(dump).expect("UTF-8");
    let entries = dump.split("\n--\n-- Name: ").map(|entry| {
        let lines = entry.lines().filter(|line| {
            !VOLATILE.iter().any(|start| line.starts_with(start)) && !matches!(*line, "" | "--")
        });
        lines.collect::<Vec<_>>().join("\n")
    });
    let is_ours = |entry: &String| {
        entry.lines().next().is_some_and(|header| {
            header.contains("; Schema: walwarden;") || header.starts_with("SCHEMA walwarden;")
        })
    };
    entries.filter(is_ours).collect()
}

fn assert_same_objects(cluster: &Cluster, one: &str, other: &str) {
    let (these, those) = (objects(cluster, one), objects(cluster, other));
    let only = |these: &BTreeSet<String>, those: &BTreeSet<String>| {
        these.difference(those).map(|entry| format!("{entry}\n\n")).collect::<String>()
    };
    assert!(
        these == those,
        "only in {one}:\n{}only in {other}:\n{}",
        only(&these, &those),
        only(&those, &these)
    );
}

/// Default privileges of whoever runs a script, which it must not let through.
const GENEROUS: &str = "
    CREATE ROLE stranger;
    ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO stranger;
    ALTER DEFAULT PRIVILEGES GRANT ALL ON SEQUENCES TO PUBLIC;
    ALTER DEFAULT PRIVILEGES GRANT ALL ON FUNCTIONS TO stranger;
    ALTER DEFAULT PRIVILEGES GRANT ALL ON TYPES TO stranger;";

/// An update ends where a new installation begins, whatever the default privileges are; what users granted stays.
#[test]
fn an_update_makes_the_objects_of_a_new_installation() {
    let cluster = Cluster::builder().start();
    for database in ["fresh", "updated", "granted"] {
        cluster.create_database(database);
    }
    install(&cluster, "fresh");
    install_previous(&cluster, "updated");
    assert_eq!(installed_version(&cluster, "updated"), previous());
    cluster.sql("updated", GENEROUS);
    cluster.sql("updated", "ALTER EXTENSION walwarden UPDATE");
    assert_eq!(installed_version(&cluster, "updated"), VERSION);
    assert_eq!(cluster.sql("updated", "SELECT walwarden.library_version()"), VERSION);

    assert!(objects(&cluster, "fresh").len() > 200);
    assert_same_objects(&cluster, "fresh", "updated");
    let entry = "SELECT event, detail FROM walwarden.audit_chain ORDER BY seq DESC LIMIT 1";
    assert_eq!(
        cluster.sql("updated", entry),
        format!(r#"extension.updated|{{"to": "{VERSION}", "from": "{}"}}"#, previous())
    );
    assert_eq!(cluster.sql("updated", "SELECT * FROM walwarden.verify_audit_chain() WHERE NOT ok"), "");

    install_previous(&cluster, "granted");
    let grants = "SELECT has_function_privilege('stranger', 'walwarden.cancel(uuid)', 'EXECUTE'), \
                         has_table_privilege('stranger', 'walwarden.jobs', 'SELECT')";
    cluster.sql(
        "granted",
        "GRANT EXECUTE ON FUNCTION walwarden.cancel(uuid) TO stranger; GRANT SELECT ON walwarden.jobs TO stranger; \
         ALTER EXTENSION walwarden UPDATE",
    );
    assert_eq!(cluster.sql("granted", grants), "t|t");
}

/// A package brings the library to all databases at once; each goes on with the objects it has until its update, which waits for no
/// backup and disturbs none.
#[test]
fn backups_go_on_before_and_through_the_update() {
    let site = Site::with_s3(Cluster::builder().preload_walwarden());
    site.sql("DROP EXTENSION walwarden");
    install_previous(&site.cluster, APP);
    site.add_bucket();
    site.sql("SELECT walwarden.schedule('often', '@every 1h', keep_last => 3)");
    let before = back_up(&site.cluster, APP, "storage => 's3'");

    let held = site.hold(Hold::Upload);
    site.sql("SET lock_timeout = '10s'; ALTER EXTENSION walwarden UPDATE");
    assert_eq!(installed_version(&site.cluster, APP), VERSION);
    assert_eq!(site.job(&held.job)["state"], "running");
    assert_eq!(
        site.sql("SELECT job, phase FROM walwarden.progress"),
        format!("{}|copying", held.job),
        "it is seen as before"
    );
    site.mend_network();
    completes(&await_end(&site.cluster, APP, &held.job));

    let after = back_up(&site.cluster, APP, "storage => 's3'");
    for backup in [text(&before, "id"), held.job.as_str(), text(&after, "id")] {
        let job = site.sql(&format!("SELECT walwarden.verify('{backup}')"));
        completes(&await_end(&site.cluster, APP, &job));
    }
    completes(&restore(&site.cluster, APP, &held.job, "'again'"));
    assert_eq!(
        site.cluster.sql("again", "SELECT count(*) FROM customer; SELECT count(*) FROM cargo"),
        "1000\n800000"
    );
    assert_eq!(site.sql("SELECT name, enabled FROM walwarden.schedules"), "often|t");
    let order = "SELECT string_agg(event, ' ' ORDER BY seq) FROM walwarden.audit_chain \
                  WHERE event IN ('extension.updated', 'backup.completed')";
    assert_eq!(
        site.sql(order),
        "backup.completed extension.updated backup.completed backup.completed",
        "the chain says between which backups it was"
    );
    site.assert_chain_verifies();
}

/// A library of another version than the script was written for is told, and so are objects of a version that the library does not
/// know: nothing works on them.
#[test]
fn what_does_not_fit_together_is_refused() {
    let site = Site::local(Cluster::builder());
    site.sql("DROP EXTENSION walwarden");
    install_previous(&site.cluster, APP);
    // As in a server that was not restarted: its library is still the old one.
    let stale = format!(
        "CREATE OR REPLACE FUNCTION walwarden.library_version() RETURNS text LANGUAGE sql AS 'SELECT ''{}'''",
        previous()
    );
    site.sql(&stale);
    let refused = site.cluster.try_sql(APP, "ALTER EXTENSION walwarden UPDATE").unwrap_err();
    assert!(
        refused.contains(&format!("in this session is of version {}, not {VERSION}", previous())),
        "{refused}"
    );
    assert!(refused.contains("HINT:  Install the package"), "{refused}");
    assert_eq!(installed_version(&site.cluster, APP), previous(), "nothing was done");

    site.sql("UPDATE pg_extension SET extversion = '0.0.1' WHERE extname = 'walwarden'");
    let refused = site.cluster.try_sql(APP, "SELECT walwarden.run_now()").unwrap_err();
    assert!(refused.contains("are of version 0.0.1"), "{refused}");
    assert!(refused.contains("HINT:  Run ALTER EXTENSION walwarden UPDATE."), "{refused}");
    site.sql(&format!("UPDATE pg_extension SET extversion = '{}' WHERE extname = 'walwarden'", previous()));
    back_up(&site.cluster, APP, "");
}

/// A job that was queued for objects that the library does not know stays queued, and runs after the update.
#[test]
fn a_leader_leaves_objects_it_does_not_know_alone() {
    let site = Site::local(Cluster::builder());
    let job = site.sql(
        "BEGIN; SELECT walwarden.run_now(); \
         UPDATE pg_extension SET extversion = '999.0.0' WHERE extname = 'walwarden'; COMMIT",
    );
    walwarden_testkit::wait_until("the leader to say why it goes", PATIENCE, || {
        site.cluster.log().contains("are of version 999.0.0").then_some(())
    });
    assert_eq!(site.sql(&format!("SELECT state FROM walwarden.job WHERE id = '{job}'")), "queued");
    site.sql(&format!("UPDATE pg_extension SET extversion = '{VERSION}' WHERE extname = 'walwarden'"));
    completes(&await_end(&site.cluster, APP, &job));
}

/// Whether pg_upgrade takes tables from one server to another. The minor releases of November 2026 keep `pg_attver` among the options of
/// each column; servers that are older than these refuse it.
fn may_upgrade(old: &Cluster, new: &Cluster) -> bool {
    let options = "SELECT count(*) FROM pg_attribute WHERE attoptions::text LIKE '{pg_attver=%}'";
    let set = "BEGIN; CREATE TABLE t (a int); ALTER TABLE t ALTER a SET (pg_attver=1); ROLLBACK";
    old.sql(APP, options) == "0"
        || !new.try_sql("postgres", set).is_err_and(|error| error.contains("unrecognized parameter"))
}

/// Runs pg_upgrade from one stopped cluster to another, and gives what it said.
fn pg_upgrade(from: &Cluster, to: &Cluster) -> String {
    let work = to.new_server_folder("pg_upgrade");
    let mut command = Command::new(to.installation().program("pg_upgrade"));
    command.arg("--old-bindir").arg(from.installation().program("postgres").parent().unwrap());
    command.arg("--new-bindir").arg(to.installation().program("postgres").parent().unwrap());
    command.arg("--old-datadir").arg(from.data_dir()).arg("--new-datadir").arg(to.data_dir());
    command.args(["--old-port", &from.port().to_string(), "--new-port", &to.port().to_string()]);
    command.args(["--retain", "--username", to.superuser()]).arg("--socketdir").arg(&work).current_dir(&work);
    to.run_as_server(&mut command);
    let output = run(&mut command);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "pg_upgrade: {}\n{said}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    said
}

/// What the servers wrote that pg_upgrade started.
fn logs_of_pg_upgrade(to: &Cluster) -> String {
    let runs = std::fs::read_dir(to.data_dir().join("pg_upgrade_output.d")).expect("--retain");
    runs.map(|run| std::fs::read_to_string(run.unwrap().path().join("log/pg_upgrade_server.log")).unwrap())
        .collect()
}

/// Copies a folder of the server's, as an administrator does it who was told to.
fn copy_as_server(cluster: &Cluster, from: &Path, to: &Path) {
    let mut command = Command::new("cp");
    command.arg("--archive").arg(from).arg(to);
    cluster.run_as_server(&mut command);
    let output = run(&mut command);
    assert!(output.status.success(), "{command:?}: {output:?}");
}

/// From the older PostgreSQL, where there is one, and from this one to itself, which pg_upgrade does, too.
#[test]
fn pg_upgrade_keeps_jobs_chain_and_keys() {
    if let Some(path) = std::env::var_os("WALWARDEN_OLDER_PG_CONFIG") {
        jobs_chain_and_keys_are_kept_from(Installation::at(Path::new(&path)));
    }
    jobs_chain_and_keys_are_kept_from(Installation::current());
}

/// Jobs, schedules, chain, keys and backups come along; nothing runs until somebody says that this is no copy.
fn jobs_chain_and_keys_are_kept_from(installation: Installation) {
    let server = S3Server::start();
    // initdb of PostgreSQL 18 turns checksums on, older ones do not; pg_upgrade wants the same on both sides.
    let builder = || Cluster::builder().envs(server.env()).preload_walwarden().initdb("--data-checksums");
    let mut old = builder().installation(installation).start();
    SampleDatabase::create_with_rows(&old, APP, 5_000);
    install_previous(&old, APP);
    old.sql(
        APP,
        &format!(
            "SELECT walwarden.add_storage('s3', 's3://{}', '{{\"endpoint\": \"{}\", \"allow_http\": true}}'); \
             SELECT walwarden.schedule('nightly', '0 3 * * *', storage => 's3', keep_daily => 7); \
             CREATE ROLE operator; GRANT EXECUTE ON FUNCTION walwarden.cancel(uuid) TO operator",
            S3Server::BUCKET,
            server.endpoint()
        ),
    );
    let in_bucket = back_up(&old, APP, "storage => 's3'");
    let on_disk = LocalBackup::make(&old, APP);
    let what_stays = "SELECT id, kind, state, object_key, sha256, finalized_at FROM walwarden.jobs ORDER BY id; \
                      SELECT seq, hash FROM walwarden.audit ORDER BY seq; \
                      SELECT id, state, public_key FROM walwarden.keys; \
                      SELECT id FROM walwarden.database; SELECT name, url FROM walwarden.storages ORDER BY name";
    // The entries of anchoring come when they come.
    let site_has_anchors = "SELECT bool_and(state = 'current') AND count(*) = 2 FROM walwarden.anchors";
    walwarden_testkit::wait_until("both storages to be anchored", PATIENCE, || {
        (old.sql(APP, site_has_anchors) == "t").then_some(())
    });
    let rows = old.sql(APP, "SELECT count(*), sum(hashtext(c::text)) FROM sales.customer AS c");
    // What a shutdown writes is part of it.
    old.restart();
    let kept = old.sql(APP, what_stays);
    let mut new = builder().create();
    new.start();
    let possible = may_upgrade(&old, &new);
    new.stop(StopMode::Fast);
    old.stop(StopMode::Fast);
    if !possible {
        println!(
            "nothing was tested: the older PostgreSQL is a newer minor release, whose tables pg_upgrade cannot take here"
        );
        return;
    }

    let said = pg_upgrade(&old, &new);
    let log = logs_of_pg_upgrade(&new);
    assert!(log.contains("database system is ready"), "{log}");
    // The commands of pg_upgrade stand there, too, with folders that may be named after walwarden.
    let mut by_servers = log.lines().filter(|line| !line.starts_with("command: "));
    assert!(
        !by_servers.any(|line| line.contains("walwarden")),
        "nothing of walwarden runs while files are copied: {log}"
    );
    new.start();
    assert_eq!(new.sql(APP, what_stays), kept);
    // PostgreSQL itself names extensions that could be updated.
    assert!(said.contains("update_extensions.sql"), "{said}");
    assert_eq!(new.sql(APP, "SELECT scheduler FROM walwarden.status"), "suspended");
    let refused = new.try_sql(APP, "SELECT walwarden.run_now()").unwrap_err();
    assert!(refused.contains("keep_identity()"), "{refused}");

    // pg_upgrade's own script, as it says.
    let script = new.folder().join("pg_upgrade/update_extensions.sql");
    new.sql("postgres", &std::fs::read_to_string(script).unwrap());
    assert_eq!(installed_version(&new, APP), VERSION);

    // What pg_upgrade leaves behind is told, with what to do about it.
    let warned = new.psql(APP, "BEGIN; SELECT walwarden.keep_identity(); ROLLBACK");
    let warnings = String::from_utf8(warned.stderr).unwrap();
    assert!(warnings.contains("backups will fail until the signing key is here"), "{warnings}");
    let folder = |cluster: &Cluster| cluster.data_dir().join("pg_walwarden");
    copy_as_server(&new, &folder(&old), &new.data_dir());
    let moved = new.psql(APP, "SELECT walwarden.keep_identity()");
    let warnings = String::from_utf8(moved.stderr).unwrap();
    assert!(!warnings.contains("signing key"), "{warnings}");
    let (_, statement) = warnings.split_once("then run ").unwrap_or_else(|| panic!("{warnings}"));
    new.sql(APP, statement.lines().next().unwrap());
    assert_eq!(
        new.sql(APP, "SELECT url FROM walwarden.storages WHERE name = 'local'"),
        format!("file://{}/backups", folder(&new).display())
    );
    // Again changes nothing.
    assert_eq!(new.psql(APP, "SELECT walwarden.keep_identity()").stderr, b"");

    let made_here = back_up(&new, APP, "storage => 's3'");
    assert_eq!(
        text(&made_here, "object_key").split("/backup/").next(),
        text(&in_bucket, "object_key").split("/backup/").next(),
        "beside the older ones"
    );
    for backup in [&in_bucket, &on_disk.row, &made_here] {
        let job = new.sql(APP, &format!("SELECT walwarden.verify('{}')", text(backup, "id")));
        completes(&await_end(&new, APP, &job));
    }
    completes(&restore(&new, APP, text(&in_bucket, "id"), "'again'"));
    assert_eq!(new.sql("again", "SELECT count(*), sum(hashtext(c::text)) FROM sales.customer AS c"), rows);

    // One chain, from the first entry in the old server to the last one in the new, and storage agrees.
    assert_eq!(new.sql(APP, "SELECT * FROM walwarden.verify_audit_chain(anchors => true) WHERE NOT ok"), "");
    assert_eq!(new.sql(APP, "SELECT epoch FROM walwarden.audit_head"), "1");
    let events = "SELECT string_agg(event, ' ' ORDER BY seq) FROM walwarden.audit_chain \
                   WHERE event IN ('backup.completed', 'extension.updated', 'database.moved', 'database.adopted', 'chain.fork')";
    assert_eq!(
        new.sql(APP, events),
        "backup.completed backup.completed extension.updated database.moved backup.completed"
    );
    assert_eq!(new.sql(APP, "SELECT count(*), min(state) FROM walwarden.keys"), "1|current");
    assert_eq!(new.sql(APP, "SELECT scheduler FROM walwarden.status"), "running");
    assert_eq!(
        new.sql(APP, "SELECT has_function_privilege('operator', 'walwarden.cancel(uuid)', 'EXECUTE')"),
        "t"
    );
    new.create_database("fresh");
    install(&new, "fresh");
    let granted = objects(&new, APP);
    new.sql(APP, "REVOKE EXECUTE ON FUNCTION walwarden.cancel(uuid) FROM operator");
    assert_ne!(granted, objects(&new, APP), "the comparison sees privileges");
    // A server writes expressions that it has read from a dump in another way.
    let named = |database: &str| -> BTreeSet<String> {
        let name = |entry: String| match entry.lines().next() {
            Some(header) if !header.contains("; Type: ACL;") => header.to_owned(),
            _ => entry,
        };
        objects(&new, database).into_iter().map(name).collect()
    };
    assert_eq!(named(APP), named("fresh"), "the same objects, with the same privileges");
}

/// A copy beside its original is no move.
#[test]
fn a_copy_cannot_keep_the_identity_of_an_original_that_is_there() {
    let site = Site::local(Cluster::builder());
    let id = site.sql("SELECT walwarden.keep_identity()");
    assert_eq!(
        id,
        site.sql("SELECT id FROM walwarden.database"),
        "where it is itself there is nothing to do"
    );
    site.cluster.sql("postgres", &format!("CREATE DATABASE copy TEMPLATE {APP}"));
    let refused = site.cluster.try_sql("copy", "SELECT walwarden.keep_identity()").unwrap_err();
    assert!(refused.contains(&format!("is still there: \"{APP}\"")), "{refused}");
    assert!(refused.contains("walwarden.adopt()"), "{refused}");
    // Its original is gone: the copy is the database now.
    site.cluster.sql("postgres", &format!("DROP DATABASE {APP}; ALTER DATABASE copy RENAME TO {APP}"));
    assert_eq!(site.sql("SELECT walwarden.keep_identity()"), id);
    back_up(&site.cluster, APP, "");
    site.assert_chain_verifies();
}
