//! The key file: made at first use, checked at every use, rotated, lost; and what is written down of it. In each case by the
//! files, by SQL and by openssl.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test's support code fails by panicking"
)]

mod support;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use support::signing_keys::{
    assert_unbroken, current, events, fails_for_the_key, key_file, key_folder, key_of, keys, new_key,
    set_mode, verify,
};
use support::site::{APP, Hold, Site};
use support::{LocalBackup, await_end, back_up, openssl_verifies, run, text};
use walwarden_testkit::Cluster;

fn shop() -> Cluster {
    let cluster = Cluster::builder().start();
    add_database(&cluster, "shop");
    cluster
}

fn add_database(cluster: &Cluster, name: &str) {
    cluster.create_database(name);
    cluster.sql(name, "CREATE TABLE t AS SELECT n FROM generate_series(1, 100) n");
    support::install(cluster, name);
}

fn rotate(cluster: &Cluster) -> String {
    cluster.sql("shop", "SELECT walwarden.rotate_key()")
}

fn public_key_file(cluster: &Cluster, id: &str) -> std::path::PathBuf {
    key_folder(cluster).join(format!("{id}.pub"))
}

/// The names in the key folder that tell of something unfinished or given up.
fn leftovers(cluster: &Cluster) -> Vec<String> {
    let names = fs::read_dir(key_folder(cluster)).expect("the key folder");
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names
        .filter(|name| ["tmp-", "old-", "next", "unusable-"].iter().any(|begin| name.starts_with(begin)))
        .collect()
}

#[test]
fn the_first_use_makes_a_key_and_writes_it_down() {
    let cluster = shop();
    assert!(!key_file(&cluster).exists());
    assert!(keys(&cluster, "shop").is_empty());
    let backup = back_up(&cluster, "shop", "");
    let facts = fs::metadata(key_file(&cluster)).unwrap();
    assert_eq!(facts.mode() & 0o777, 0o600);
    assert_eq!(facts.uid(), fs::metadata(cluster.data_dir()).unwrap().uid());
    assert_eq!(fs::metadata(key_folder(&cluster)).unwrap().mode() & 0o777, 0o700);

    let key = current(&cluster, "shop");
    let id = text(&key, "id");
    assert_eq!((text(&key, "origin"), text(&key, "source")), ("created", "file"), "{key:#}");
    assert_eq!(key["backups"], 1);
    assert_eq!(key_of(&cluster, &backup), id);
    assert_eq!(
        format!("{}\n", cluster.sql("shop", "SELECT walwarden.public_key()")),
        text(&key, "public_key")
    );
    assert_eq!(fs::read_to_string(public_key_file(&cluster, id)).unwrap(), text(&key, "public_key"));
    assert_unbroken(&cluster, "shop");
    let files = LocalBackup::of(&cluster, backup);
    assert!(openssl_verifies(&public_key_file(&cluster, id), &files.manifest, &files.signature));
    // A second use has nothing to write down.
    back_up(&cluster, "shop", "");
    assert_eq!(keys(&cluster, "shop").len(), 1);
}

/// Each key signs for the next, the old secrets are gone, old backups verify for ever, and other databases of the cluster catch up.
#[test]
fn a_rotated_key_is_followed_in_every_database() {
    let cluster = shop();
    add_database(&cluster, "other");
    let first = back_up(&cluster, "shop", "");
    back_up(&cluster, "other", "");
    let mut secrets = vec![fs::read_to_string(key_file(&cluster)).unwrap()];
    let mut ids = vec![text(&current(&cluster, "shop"), "id").to_owned()];
    for _ in 0..2 {
        ids.push(rotate(&cluster));
        secrets.push(fs::read_to_string(key_file(&cluster)).unwrap());
    }
    let known: Vec<String> = keys(&cluster, "shop").iter().map(|key| text(key, "id").to_owned()).collect();
    assert_eq!(known, ids);
    assert_unbroken(&cluster, "shop");
    for secret in &secrets[..2] {
        let search = |name: &str| {
            run(Command::new("grep").args(["-rFq", "-e"]).arg(name).arg(cluster.data_dir())).status
        };
        let base64 = secret.lines().nth(1).unwrap();
        assert_eq!(search(base64).code(), Some(1), "an old secret is nowhere in the data directory");
    }
    assert_eq!(leftovers(&cluster), Vec::<String>::new());
    assert_eq!(fs::metadata(key_file(&cluster)).unwrap().mode() & 0o777, 0o600);

    let newest = back_up(&cluster, "shop", "");
    assert_eq!(key_of(&cluster, &newest), ids[2]);
    for (backup, id) in [(&first, &ids[0]), (&newest, &ids[2])] {
        assert_eq!(text(&verify(&cluster, "shop", backup), "state"), "completed");
        let files = LocalBackup::of(&cluster, backup.clone());
        assert!(openssl_verifies(&public_key_file(&cluster, id), &files.manifest, &files.signature));
    }
    let restored = support::restores::restore(&cluster, "shop", text(&first, "id"), "'as_it_was'");
    support::restores::completes(&restored);

    // The other database slept through both.
    assert_eq!(keys(&cluster, "other").len(), 1);
    back_up(&cluster, "other", "");
    assert_unbroken(&cluster, "other");
    assert_eq!(events(&cluster, "other"), events(&cluster, "shop"));
}

/// The files are no part of the transaction: the next use writes down what was done to them.
#[test]
fn a_rotation_that_is_rolled_back_has_happened_all_the_same() {
    let cluster = shop();
    back_up(&cluster, "shop", "");
    cluster.sql("shop", "BEGIN; SELECT walwarden.rotate_key(); ROLLBACK");
    assert_eq!(keys(&cluster, "shop").len(), 1);
    let backup = back_up(&cluster, "shop", "");
    assert_eq!(keys(&cluster, "shop").len(), 2);
    assert_eq!(key_of(&cluster, &backup), text(&current(&cluster, "shop"), "id"));
    assert_unbroken(&cluster, "shop");
    let refused =
        cluster.try_sql("shop", "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT walwarden.rotate_key()");
    assert!(refused.unwrap_err().contains("READ COMMITTED"));
}

#[test]
fn rotations_and_first_uses_at_once_leave_one_unbroken_line() {
    let cluster = shop();
    add_database(&cluster, "other");
    let jobs = ["shop", "other"].map(|database| support::run_now(&cluster, database, ""));
    std::thread::scope(|scope| {
        for database in ["shop", "other", "shop", "other", "shop"] {
            let cluster = &cluster;
            scope.spawn(move || cluster.sql(database, "SELECT walwarden.rotate_key()"));
        }
    });
    for (database, job) in ["shop", "other"].iter().zip(&jobs) {
        let row = await_end(&cluster, database, job);
        assert_eq!(text(&row, "state"), "completed", "{row:#}");
        assert_eq!(text(&verify(&cluster, database, &row), "state"), "completed");
        back_up(&cluster, database, "");
    }
    for database in ["shop", "other"] {
        let keys = keys(&cluster, database);
        let broken = keys.iter().filter(|key| key["origin"] == "replaced").count();
        assert_eq!(broken, 0, "{keys:#?}");
        assert_unbroken(&cluster, database);
    }
    assert_eq!(current(&cluster, "shop")["id"], current(&cluster, "other")["id"]);
    assert_eq!(leftovers(&cluster), Vec::<String>::new());
}

/// A backup keeps the key that it began with.
#[test]
fn a_backup_that_runs_while_the_key_is_rotated_ends_with_the_old_one() {
    let site = Site::local(Cluster::builder().preload_walwarden());
    back_up(&site.cluster, APP, "");
    let old = text(&current(&site.cluster, APP), "id").to_owned();
    let held = site.hold(Hold::LockWait);
    site.sql("SELECT walwarden.rotate_key()");
    let job = held.let_go(&site);
    let row = await_end(&site.cluster, APP, &job);
    assert_eq!(text(&row, "state"), "completed", "{row:#}");
    assert_eq!(key_of(&site.cluster, &row), old);
    assert_eq!(text(&verify(&site.cluster, APP, &row), "state"), "completed");
    assert_ne!(text(&current(&site.cluster, APP), "id"), old);
    assert_unbroken(&site.cluster, APP);
}

/// Nothing but a whole key in a private file of the server's own signs anything, and nothing takes its place in silence.
#[test]
fn a_key_that_is_not_as_it_must_be_signs_nothing() {
    let cluster = shop();
    let good = back_up(&cluster, "shop", "");
    let (path, aside) = (key_file(&cluster), cluster.data_dir().join("the-key"));
    let pem = fs::read_to_string(&path).unwrap();
    fs::rename(&path, &aside).unwrap();
    let write = |text: &str| {
        fs::write(&path, text).unwrap();
        set_mode(&path, 0o600);
        cluster.give_to_server(&path);
    };
    let is_root = fs::metadata("/proc/self").unwrap().uid() == 0;
    let cases: [(&str, &dyn Fn(), &str); 11] = [
        ("missing", &|| {}, "is missing"),
        ("empty", &|| write(""), "is empty"),
        ("short", &|| write(&pem[..pem.len() / 2]), "is not a whole Ed25519 key"),
        ("a byte short", &|| write(&pem.replace("MC4C", "MC4")), "is not a whole Ed25519 key"),
        ("not a key", &|| write("postgres ALL=(ALL) NOPASSWD: ALL\n"), "is not a whole Ed25519 key"),
        (
            "a public key",
            &|| write(text(&current(&cluster, "shop"), "public_key")),
            "is not a whole Ed25519 key",
        ),
        (
            "readable by the group",
            &|| {
                write(&pem);
                set_mode(&path, 0o640);
            },
            "can be read by others",
        ),
        (
            "readable by all",
            &|| {
                write(&pem);
                set_mode(&path, 0o604);
            },
            "can be read by others",
        ),
        (
            "of another owner",
            &|| {
                write(&pem);
                // Who is not root cannot give files away; there another case stands for it.
                if is_root {
                    std::os::unix::fs::chown(&path, Some(1), None).unwrap();
                } else {
                    set_mode(&path, 0o000);
                }
            },
            "signing key",
        ),
        ("a link", &|| std::os::unix::fs::symlink(&aside, &path).unwrap(), "is a symbolic link"),
        ("a directory", &|| fs::create_dir(&path).unwrap(), "signing key"),
    ];
    for (what, make, told) in cases {
        make();
        let said = fails_for_the_key(&cluster, "shop");
        assert!(said.contains(told), "{what}: {said}");
        assert!(!said.contains("NOPASSWD"), "{what}: {said}");
        for call in ["public_key()", "rotate_key()"] {
            let said = cluster.try_sql("shop", &format!("SELECT walwarden.{call}")).unwrap_err();
            assert!(said.contains("HINT"), "{what}, {call}: {said}");
        }
        assert_eq!(text(&verify(&cluster, "shop", &good), "state"), "completed", "{what}");
        if path.symlink_metadata().is_ok_and(|facts| facts.is_dir()) {
            fs::remove_dir(&path).unwrap();
        } else if path.symlink_metadata().is_ok() {
            fs::remove_file(&path).unwrap();
        }
    }
    fs::rename(&aside, &path).unwrap();
    set_mode(&key_folder(&cluster), 0o777);
    assert!(fails_for_the_key(&cluster, "shop").contains("is not the server's own"));
    set_mode(&key_folder(&cluster), 0o700);
    back_up(&cluster, "shop", "");
    assert_eq!(keys(&cluster, "shop").len(), 1, "none of this has made another key");
    assert_unbroken(&cluster, "shop");
}

/// A key that is lost is given up by somebody who says so, and never by itself, also where another database of the cluster is the
/// one that knows of it.
#[test]
fn a_lost_key_is_replaced_when_somebody_says_so() {
    let cluster = shop();
    add_database(&cluster, "other");
    cluster.sql(
        "shop",
        "SELECT walwarden.add_webhook('ops', 'https://hooks.invalid/x', events => '{audit.problem}')",
    );
    let old = back_up(&cluster, "shop", "");
    let lost = text(&current(&cluster, "shop"), "id").to_owned();
    let said = cluster.try_sql("shop", "SELECT walwarden.rotate_key(lost => true)").unwrap_err();
    assert!(said.contains("is not lost"), "{said}");

    fs::remove_file(key_file(&cluster)).unwrap();
    assert!(fails_for_the_key(&cluster, "other").contains("is missing"));
    fs::write(key_file(&cluster), "damaged").unwrap();
    set_mode(&key_file(&cluster), 0o600);
    cluster.give_to_server(&key_file(&cluster));
    let new = cluster.sql("shop", "SELECT walwarden.rotate_key(lost => true)");
    assert_eq!(leftovers(&cluster).len(), 1, "what stood in its place is kept");
    let key = current(&cluster, "shop");
    assert_eq!((text(&key, "id"), text(&key, "origin")), (new.as_str(), "replaced"), "{key:#}");
    assert_eq!((&key["signed_by"], text(&key, "previous")), (&serde_json::Value::Null, lost.as_str()));
    assert_eq!(events(&cluster, "shop"), format!("key.created {lost}, key.replaced {new} after {lost}"));
    let told = cluster
        .sql("shop", "SELECT severity, message FROM walwarden.notifications WHERE event = 'audit.problem'");
    assert!(told.starts_with("critical|") && told.contains(&new) && told.contains(&lost), "{told}");
    assert_eq!(text(&verify(&cluster, "shop", &old), "state"), "completed");
    assert_eq!(key_of(&cluster, &back_up(&cluster, "shop", "")), new);
    back_up(&cluster, "other", "");
    assert_eq!(events(&cluster, "other"), format!("key.created {new}"));
}

/// Another good key in the place of the known one signs, and that is noticed; a retired one signs nothing.
#[test]
fn a_key_that_somebody_put_there_is_noticed() {
    let cluster = shop();
    cluster.sql(
        "shop",
        "SELECT walwarden.add_webhook('ops', 'https://hooks.invalid/x', events => '{audit.problem}')",
    );
    back_up(&cluster, "shop", "");
    let (path, first) = (key_file(&cluster), cluster.data_dir().join("the-key"));
    fs::rename(&path, &first).unwrap();
    new_key(&cluster, &path);
    let backup = back_up(&cluster, "shop", "");
    let key = current(&cluster, "shop");
    assert_eq!((text(&key, "origin"), &key["signed_by"]), ("replaced", &serde_json::Value::Null), "{key:#}");
    assert_eq!(key_of(&cluster, &backup), text(&key, "id"));
    assert_eq!(
        cluster.sql("shop", "SELECT count(*) FROM walwarden.notifications WHERE event = 'audit.problem'"),
        "1"
    );
    assert_eq!(cluster.sql("shop", "SELECT ok FROM walwarden.verify_audit_chain()"), "t");

    fs::rename(&first, &path).unwrap();
    let said = fails_for_the_key(&cluster, "shop");
    assert!(said.contains("was retired"), "{said}");
    let said = cluster.try_sql("shop", "SELECT walwarden.rotate_key()").unwrap_err();
    assert!(said.contains("was retired"), "{said}");
    cluster.sql("shop", "SELECT walwarden.rotate_key(lost => true)");
    back_up(&cluster, "shop", "");
}

/// Wherever a rotation was cut off, the next use finds one whole key, and the table with it.
#[test]
fn a_rotation_that_a_crash_cut_off_is_settled() {
    let cluster = shop();
    back_up(&cluster, "shop", "");
    let path = key_file(&cluster);
    let next = key_folder(&cluster).join("next.pem");
    let put = |from: &[u8], to: &Path| {
        fs::write(to, from).unwrap();
        set_mode(to, 0o600);
        cluster.give_to_server(to);
    };
    let old = fs::read(&path).unwrap();
    let old_id = text(&current(&cluster, "shop"), "id").to_owned();
    let retired = key_folder(&cluster).join(format!("old-{old_id}.pem"));
    cluster.sql("shop", "BEGIN; SELECT walwarden.rotate_key(); ROLLBACK");
    let new = fs::read(&path).unwrap();
    let statements: Vec<_> = fs::read_dir(key_folder(&cluster))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().contains(".rotation.json"))
        .map(|path| (fs::read(&path).unwrap(), path))
        .collect();
    assert_eq!(statements.len(), 2);
    let signs = || cluster.sql("shop", "SELECT walwarden.public_key()");
    let of_new = signs();

    // Before the statement: it did not happen. Whole or half a key is erased.
    for half in [&new[..], &new[..20], b""] {
        for (_, path) in &statements {
            let _ = fs::remove_file(path);
        }
        put(&old, &path);
        put(half, &next);
        assert_ne!(signs(), of_new);
        assert_eq!(fs::read(&path).unwrap(), old);
        assert_eq!(leftovers(&cluster), Vec::<String>::new());
    }
    // A signature without its statement is none.
    put(&new, &next);
    for (bytes, path) in
        statements.iter().filter(|(_, path)| path.extension().is_some_and(|end| end == "sig"))
    {
        put(bytes, path);
    }
    assert_ne!(signs(), of_new);
    assert_eq!(fs::read(&path).unwrap(), old);
    // With the statement it has happened; the second name of the old key may be there already.
    for (bytes, path) in &statements {
        put(bytes, path);
    }
    for is_linked in [false, true] {
        put(&old, &path);
        put(&new, &next);
        if is_linked {
            fs::hard_link(&path, &retired).unwrap();
        }
        assert_eq!(signs(), of_new);
        assert_eq!(fs::read(&path).unwrap(), new);
        assert_eq!(leftovers(&cluster), Vec::<String>::new());
    }
    // The last step: the old key is still there, or is a second name only.
    put(&old, &retired);
    put(b"half a file", &key_folder(&cluster).join("tmp-0"));
    assert_eq!(signs(), of_new);
    fs::hard_link(&path, &retired).unwrap();
    assert_eq!(signs(), of_new);
    assert_eq!(fs::read(&path).unwrap(), new);
    assert_eq!(leftovers(&cluster), Vec::<String>::new());

    back_up(&cluster, "shop", "");
    assert_eq!(keys(&cluster, "shop").len(), 2);
    assert_unbroken(&cluster, "shop");
}

#[test]
fn who_may_rotate_is_for_grant_to_say_and_nobody_rewrites_a_key() {
    let cluster = shop();
    back_up(&cluster, "shop", "");
    cluster.sql("shop", "CREATE ROLE keeper LOGIN; CREATE ROLE watcher LOGIN; GRANT pg_monitor TO watcher");
    let refused = |role: &str, statement: &str| {
        let error = cluster.client_as(role, "shop").simple_query(statement).unwrap_err();
        assert_eq!(error.code().map(|code| code.code()), Some("42501"), "{role}: {statement}: {error}");
    };
    refused("keeper", "SELECT walwarden.rotate_key()");
    refused("watcher", "SELECT walwarden.rotate_key()");
    refused("watcher", "SELECT * FROM walwarden.key");
    assert!(cluster.client_as("watcher", "shop").simple_query("SELECT * FROM walwarden.keys").is_ok());
    cluster.sql(
        "shop",
        "GRANT USAGE ON SCHEMA walwarden TO keeper; GRANT EXECUTE ON FUNCTION walwarden.rotate_key(boolean) TO keeper",
    );
    assert!(cluster.client_as("keeper", "shop").simple_query("SELECT walwarden.rotate_key()").is_ok());
    assert_eq!(
        cluster.sql("shop", "SELECT actor FROM walwarden.audit_chain WHERE event = 'key.rotated'"),
        "keeper"
    );
    for statement in [
        "UPDATE walwarden.key SET public_key = 'x'",
        "UPDATE walwarden.key SET valid_until = NULL",
        "UPDATE walwarden.key SET origin = 'created', previous = NULL WHERE previous IS NOT NULL",
        "DELETE FROM walwarden.key",
        "TRUNCATE walwarden.key",
    ] {
        for role in ["origin", "replica"] {
            let outcome =
                cluster.try_sql("shop", &format!("SET session_replication_role = {role}; {statement}"));
            assert!(outcome.is_err(), "{statement}");
        }
    }
}
