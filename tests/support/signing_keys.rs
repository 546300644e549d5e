//! Looking at signing keys from the outside: with SQL, with the files, and with openssl.

use super::{LocalBackup, number, run, text};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use walwarden_testkit::Cluster;

/// The folder of the keys.
pub fn key_folder(cluster: &Cluster) -> PathBuf {
    cluster.data_dir().join("pg_walwarden/keys")
}

/// The key file.
pub fn key_file(cluster: &Cluster) -> PathBuf {
    key_folder(cluster).join("signing.pem")
}

/// `walwarden.keys`, oldest first.
pub fn keys(cluster: &Cluster, database: &str) -> Vec<Value> {
    let rows = cluster.sql(
        database,
        "SELECT coalesce(json_agg(k ORDER BY n DESC), '[]') FROM (SELECT *, row_number() OVER () AS n FROM walwarden.keys) AS k",
    );
    serde_json::from_str(&rows).expect("json_agg gives JSON")
}

/// The key that signs now, which must be the only one that does.
pub fn current(cluster: &Cluster, database: &str) -> Value {
    let mut current: Vec<Value> =
        keys(cluster, database).into_iter().filter(|key| key["state"] == "current").collect();
    assert_eq!(current.len(), 1, "{current:#?}");
    current.remove(0)
}

/// The id of the key that signed a backup, by its manifest.
pub fn key_of(cluster: &Cluster, backup: &Value) -> String {
    let manifest = LocalBackup::of(cluster, backup.clone()).read_manifest();
    text(&manifest, "key_id").to_owned()
}

/// The audit events about keys, with the ids.
pub fn events(cluster: &Cluster, database: &str) -> String {
    cluster.sql(
        database,
        "SELECT string_agg(event || ' ' || (detail ->> 'key_id') || coalesce(' after ' || (detail ->> 'previous'), ''), ', ' ORDER BY seq) \
           FROM walwarden.audit_chain WHERE event LIKE 'key.%'",
    )
}

/// That each key but the first follows the one before, that openssl takes each statement for one of the key before, and that the
/// audit chain has an entry of each and verifies.
pub fn assert_unbroken(cluster: &Cluster, database: &str) {
    let keys = keys(cluster, database);
    let folder = cluster.folder().join(format!("statements-{database}"));
    std::fs::create_dir_all(&folder).expect("the cluster's folder is ours");
    for (old, new) in keys.iter().zip(keys.iter().skip(1)) {
        assert_eq!((text(new, "origin"), &new["signed_by"]), ("rotated", &old["id"]), "{new:#}");
        assert_eq!((&new["previous"], &old["valid_until"]), (&old["id"], &new["valid_from"]), "{new:#}");
        let file = |name: &str, bytes: &[u8]| {
            let path = folder.join(name);
            std::fs::write(&path, bytes).expect("the cluster's folder is ours");
            path
        };
        let (key, statement) = (text(old, "public_key"), text(new, "statement"));
        let signature = from_hex(text(new, "signature"));
        let paths =
            [file("key", key.as_bytes()), file("statement", statement.as_bytes()), file("sig", &signature)];
        assert!(super::openssl_verifies(&paths[0], &paths[1], &paths[2]), "{new:#}");
        let said: Value = serde_json::from_str(statement).expect("a statement is JSON");
        assert_eq!(said["old"]["public_key"], old["public_key"]);
        assert_eq!(said["new"]["public_key"], new["public_key"]);
    }
    let expected: Vec<String> = keys
        .iter()
        .map(|key| {
            let previous = key["previous"].as_str().map(|id| format!(" after {id}")).unwrap_or_default();
            format!("key.{} {}{previous}", text(key, "origin"), text(key, "id"))
        })
        .collect();
    assert_eq!(events(cluster, database), expected.join(", "));
    assert_eq!(cluster.sql(database, "SELECT ok FROM walwarden.verify_audit_chain()"), "t");
}

/// A verification of a backup, to its end.
pub fn verify(cluster: &Cluster, database: &str, backup: &Value) -> Value {
    let job = cluster.sql(database, &format!("SELECT walwarden.verify('{}')", text(backup, "id")));
    super::await_end(cluster, database, &job)
}

/// A backup that must fail for want of a good key; gives message, detail and hint.
pub fn fails_for_the_key(cluster: &Cluster, database: &str) -> String {
    let before = number(&count(cluster, database), "backups");
    let job = super::run_now(cluster, database, "");
    let row = super::await_end(cluster, database, &job);
    assert_eq!((text(&row, "state"), text(&row, "error_class")), ("failed", "key"), "{row:#}");
    assert_eq!(number(&count(cluster, database), "backups"), before);
    let backups = cluster.data_dir();
    let manifests = run(Command::new("find").arg(&backups).args(["-name", &format!("{job}.manifest.json*")]));
    assert!(manifests.status.success() && manifests.stdout.is_empty(), "{manifests:?}");
    let said =
        ["error_message", "error_detail", "error_hint"].map(|name| row[name].as_str().unwrap_or_default());
    assert_ne!(said[2], "", "{row:#}");
    said.join(" | ")
}

fn count(cluster: &Cluster, database: &str) -> Value {
    let row = cluster.sql(database, "SELECT json_build_object('backups', count(*)) FROM walwarden.backups");
    serde_json::from_str(&row).expect("json_build_object gives JSON")
}

/// A new Ed25519 key as PKCS#8 PEM by openssl, owned by the server's user.
pub fn new_key(cluster: &Cluster, path: &Path) {
    let mut command = Command::new("openssl");
    command.args(["genpkey", "-algorithm", "ed25519", "-out"]).arg(path);
    assert!(run(&mut command).status.success());
    set_mode(path, 0o600);
    cluster.give_to_server(path);
}

/// chmod
pub fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).expect("the folder is ours");
}

/// The bytes of hexadecimal digits.
pub fn from_hex(digits: &str) -> Vec<u8> {
    let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).expect("hexadecimal digits");
    (0..digits.len() / 2).map(|n| byte(2 * n)).collect()
}
