//! What was changed shows: in storage by `sha256sum` and `openssl`, in the audit chain by walwarden's own check and by
//! the plain SQL of the documentation.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test's support code fails by panicking"
)]

mod support;

use std::path::Path;
use support::{LocalBackup, text};
use walwarden_testkit::Cluster;

/// Changes one byte of a file, lets `look` judge, and changes it back.
fn with_flipped_byte(path: &Path, at: usize, look: impl FnOnce()) {
    let original = std::fs::read(path).expect("the object");
    let mut changed = original.clone();
    changed[at] ^= 1;
    std::fs::write(path, changed).expect("an object can be overwritten");
    look();
    std::fs::write(path, original).expect("an object can be overwritten");
}

/// The first, the last and a middle byte.
fn places(path: &Path) -> [usize; 3] {
    let length = usize::try_from(path.metadata().expect("the object").len()).expect("a length");
    [0, length / 2, length - 1]
}

/// The statement that the documentation gives for checking the chain without walwarden.
fn documented_check() -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let found = ["docs/audit.md", "README.md"].iter().find_map(|name| {
        let document = std::fs::read_to_string(folder.join(name)).ok()?;
        let blocks = document.split("```sql\n").skip(1).filter_map(|rest| rest.split_once("\n```"));
        blocks.map(|(block, _)| block.to_owned()).find(|block| block.contains("hash_agrees"))
    });
    found.expect("docs/audit.md or README.md shows a check of the chain in SQL")
}

/// One flipped byte in the archive or the globals disagrees with the manifest, and one in the manifest or the signature
/// with the key.
#[test]
fn a_flipped_byte_in_storage_is_noticed() {
    let cluster = Cluster::builder().start();
    cluster.create_database("shop");
    cluster.sql("shop", "CREATE TABLE t AS SELECT n FROM generate_series(1, 10000) n");
    support::install(&cluster, "shop");
    let backup = LocalBackup::make(&cluster, "shop");
    let key = support::public_key(&cluster, "shop");
    let manifest = backup.read_manifest();

    for (object, path) in [("archive", &backup.archive), ("globals", &backup.globals)] {
        let signed = text(&manifest[object], "sha256");
        assert_eq!(support::sha256sum(path), signed);
        for at in places(path) {
            with_flipped_byte(path, at, || {
                assert_ne!(support::sha256sum(path), signed, "byte {at} of the {object}");
            });
        }
    }
    let verifies = || support::openssl_verifies(&key, &backup.manifest, &backup.signature);
    assert!(verifies());
    for path in [&backup.manifest, &backup.signature] {
        for at in places(path) {
            with_flipped_byte(path, at, || assert!(!verifies(), "byte {at} of {}", path.display()));
        }
    }
    assert!(verifies());
}

/// A change of the audit chain, made by a superuser with every trigger out of the way.
struct Damage {
    what: &'static str,
    statement: &'static str,
    /// The entry at which walwarden's check finds it, as SQL before the change.
    found_at: &'static str,
    /// Whether plain SQL over the entries alone finds it too.
    found_by_sql: bool,
}

const DAMAGES: [Damage; 11] = [
    Damage {
        what: "another body",
        statement: "UPDATE walwarden.audit SET body = replace(body, '\"storage\":\"local\"', '\"storage\":\"other\"') WHERE seq = 3",
        found_at: "3",
        found_by_sql: true,
    },
    Damage {
        what: "another body with its right hash",
        statement: "UPDATE walwarden.audit SET body = replace(body, '\"storage\":\"local\"', '\"storage\":\"other\"') WHERE seq = 3;
                    UPDATE walwarden.audit SET hash = sha256('\\x00'::bytea || convert_to(body, 'UTF8')) WHERE seq = 3",
        found_at: "4",
        found_by_sql: true,
    },
    Damage {
        what: "another hash",
        statement: "UPDATE walwarden.audit SET hash = set_byte(hash, 31, 255 - get_byte(hash, 31)) WHERE seq = 3",
        found_at: "3",
        found_by_sql: true,
    },
    Damage {
        what: "another event in the column",
        statement: "UPDATE walwarden.audit SET event = 'backup.canceled' WHERE seq = 3",
        found_at: "3",
        found_by_sql: false,
    },
    Damage {
        what: "another time in the column",
        statement: "UPDATE walwarden.audit SET at = at - interval '1 microsecond' WHERE seq = 3",
        found_at: "3",
        found_by_sql: false,
    },
    Damage {
        what: "another actor in the column",
        statement: "UPDATE walwarden.audit SET actor = 'nobody' WHERE seq = 3",
        found_at: "3",
        found_by_sql: false,
    },
    Damage {
        what: "no job in the column",
        statement: "UPDATE walwarden.audit SET job_id = NULL WHERE seq = 3",
        found_at: "3",
        found_by_sql: false,
    },
    Damage {
        what: "nothing in the column of the event",
        statement: "ALTER TABLE walwarden.audit ALTER event DROP NOT NULL; UPDATE walwarden.audit SET event = NULL WHERE seq = 3",
        found_at: "3",
        found_by_sql: false,
    },
    Damage {
        what: "an entry far behind the others",
        statement: "INSERT INTO walwarden.audit SELECT 9223372036854775807, at, job_id, event, actor, body, hash FROM walwarden.audit WHERE seq = 3",
        found_at: "9223372036854775807",
        found_by_sql: true,
    },
    Damage {
        what: "an entry in the middle is gone",
        statement: "DELETE FROM walwarden.audit WHERE seq = 3",
        found_at: "4",
        found_by_sql: true,
    },
    Damage {
        what: "the last entries are gone",
        statement: "DELETE FROM walwarden.audit WHERE seq > (SELECT max(seq) - 2 FROM walwarden.audit)",
        found_at: "(SELECT max(seq) - 1 FROM walwarden.audit)",
        found_by_sql: false,
    },
];

/// Every change of the chain is found with the number of its entry.
#[test]
fn a_changed_audit_chain_is_found() {
    let cluster = Cluster::builder().start();
    cluster.create_database("shop");
    support::install(&cluster, "shop");
    LocalBackup::make(&cluster, "shop");
    let by_sql = documented_check();
    assert_eq!(cluster.sql("shop", &by_sql), "");
    let intact =
        "SELECT ok, seq = (SELECT max(seq) FROM walwarden.audit) FROM walwarden.verify_audit_chain()";
    assert_eq!(cluster.sql("shop", intact), "t|t");
    assert!(cluster.sql("shop", "SELECT count(*) FROM walwarden.audit").parse::<u32>().unwrap() > 5);

    for Damage { what, statement, found_at, found_by_sql } in DAMAGES {
        // Looked at in the transaction that makes the change and then takes it back.
        let answer = cluster.sql(
            "shop",
            &format!(
                "BEGIN;
                 SET LOCAL session_replication_role = replica;
                 ALTER TABLE walwarden.audit DISABLE TRIGGER ALL;
                 CREATE TEMPORARY TABLE before ON COMMIT DROP AS SELECT {found_at}::bigint AS seq;
                 {statement};
                 SELECT count(*) > 0, bool_and(NOT ok), bool_or(f.seq = before.seq), bool_and(f.message <> '')
                   FROM walwarden.verify_audit_chain() AS f, before;
                 CREATE TEMPORARY TABLE by_sql ON COMMIT DROP AS {};
                 SELECT count(*) > 0 FROM by_sql;
                 ROLLBACK",
                by_sql.trim_end().trim_end_matches(';')
            ),
        );
        let expected = format!("t|t|t|t\n{}", if found_by_sql { "t" } else { "f" });
        assert_eq!(answer, expected, "{what}");
    }
    assert_eq!(cluster.sql("shop", intact), "t|t");
}

/// The triggers stop what is no more than an accident, also in a session that replays a subscription.
#[test]
fn the_chain_refuses_accidents() {
    let cluster = Cluster::builder().start();
    cluster.create_database("shop");
    support::install(&cluster, "shop");
    LocalBackup::make(&cluster, "shop");
    for statement in [
        "UPDATE walwarden.audit SET actor = 'nobody'",
        "DELETE FROM walwarden.audit",
        "TRUNCATE walwarden.audit",
        "DELETE FROM walwarden.audit_head",
        "DELETE FROM walwarden.job",
        "UPDATE walwarden.job SET rows = 77",
        "UPDATE walwarden.manifest SET body = '{}'",
        "TRUNCATE walwarden.job CASCADE",
    ] {
        for role in ["origin", "replica"] {
            let error =
                cluster.try_sql("shop", &format!("SET session_replication_role = {role}; {statement}"));
            assert!(error.as_ref().is_err_and(|said| said.contains("ERROR:")), "{statement}: {error:?}");
        }
    }
    assert_eq!(cluster.sql("shop", "SELECT ok FROM walwarden.verify_audit_chain()"), "t");
}
