//! What the tests on real clusters share: starting backups, looking at how they end, and judging what they wrote with
//! nothing but stock tools.

#![allow(dead_code, reason = "each test program uses a part of it")]
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test's support code fails by panicking"
)]

pub mod released;
pub mod restores;
pub mod signing_keys;
pub mod site;
pub mod webhook_receiver;

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use walwarden_testkit::{Archive, Cluster};

/// Installs walwarden in a database.
pub fn install(cluster: &Cluster, database: &str) {
    cluster.sql(database, "SET client_min_messages = warning; CREATE EXTENSION walwarden");
}

/// Queues a backup and gives its job id. `arguments` are those of `run_now()`, as SQL.
pub fn run_now(cluster: &Cluster, database: &str, arguments: &str) -> String {
    cluster.sql(database, &format!("SET client_encoding = 'UTF8'; SELECT walwarden.run_now({arguments})"))
}

/// Waits until a job has ended and gives its row of `walwarden.jobs`.
pub fn await_end(cluster: &Cluster, database: &str, job: &str) -> Value {
    cluster.sql(database, &format!("SELECT walwarden.wait_for('{job}', '15 minutes')"));
    job_row(cluster, database, job)
}

/// A job's row of `walwarden.jobs`.
pub fn job_row(cluster: &Cluster, database: &str, job: &str) -> Value {
    let query = format!(
        "SET client_encoding = 'UTF8'; SELECT row_to_json(j) FROM walwarden.jobs AS j WHERE id = '{job}'"
    );
    serde_json::from_str(&cluster.sql(database, &query)).expect("row_to_json gives JSON")
}

/// Makes a backup, which must complete, and gives its row of `walwarden.jobs`.
pub fn back_up(cluster: &Cluster, database: &str, arguments: &str) -> Value {
    let job = run_now(cluster, database, arguments);
    let row = await_end(cluster, database, &job);
    assert_eq!(row["state"], "completed", "{row:#}");
    row
}

/// A text of a JSON object.
pub fn text<'a>(object: &'a Value, name: &str) -> &'a str {
    object[name].as_str().unwrap_or_else(|| panic!("{name} is no text in {object:#}"))
}

/// A whole number of a JSON object.
pub fn number(object: &Value, name: &str) -> u64 {
    object[name].as_u64().unwrap_or_else(|| panic!("{name} is no whole number in {object:#}"))
}

/// The four files of a completed backup in the storage `local`.
#[derive(Debug)]
pub struct LocalBackup {
    /// The row of `walwarden.jobs`.
    pub row: Value,
    /// The folder of the storage.
    pub root: PathBuf,
    pub archive: PathBuf,
    pub globals: PathBuf,
    pub manifest: PathBuf,
    pub signature: PathBuf,
}

impl LocalBackup {
    /// Makes a backup to the storage `local`.
    pub fn make(cluster: &Cluster, database: &str) -> Self {
        Self::of(cluster, back_up(cluster, database, ""))
    }

    /// The files of a backup that was made.
    pub fn of(cluster: &Cluster, row: Value) -> Self {
        let root = cluster.data_dir().join("pg_walwarden/backups");
        let file = |column: &str| root.join(text(&row, column));
        let manifest = file("manifest_key");
        let signature = manifest.with_extension("json.sig");
        Self { archive: file("object_key"), globals: file("globals_key"), manifest, signature, root, row }
    }

    /// The manifest's JSON.
    pub fn read_manifest(&self) -> Value {
        serde_json::from_slice(&std::fs::read(&self.manifest).expect("the manifest")).expect("JSON")
    }
}

/// What a manifest says of each table: its name, its rows, and its pieces but for where they lie.
pub fn pieces(manifest: &Value) -> Vec<(String, u64, Vec<Value>)> {
    let tables = manifest["tables"].as_array().expect("tables");
    let mut tables: Vec<_> = tables
        .iter()
        .map(|table| {
            let pieces = table["pieces"].as_array().expect("pieces").iter();
            // Where it lies depends on the length of the table of contents, and that on the time of day in it.
            let pieces = pieces.map(|piece| {
                let mut piece = piece.clone();
                piece.as_object_mut().expect("a piece").remove("offset");
                piece
            });
            (text(table, "name").to_owned(), number(table, "rows"), pieces.collect())
        })
        .collect();
    tables.sort_by(|one, other| one.0.cmp(&other.0));
    tables
}

/// Restores with stock `pg_restore`, which must succeed without a word.
pub fn restore(cluster: &Cluster, archive: Archive<'_>, database: &str, arguments: &[&str]) {
    cluster.create_database(database);
    restore_existing(cluster, archive, database, arguments);
}

/// The same into a database that is there.
pub fn restore_existing(cluster: &Cluster, archive: Archive<'_>, database: &str, arguments: &[&str]) {
    let target = format!("--dbname={database}");
    let arguments: Vec<&str> = std::iter::once(target.as_str()).chain(arguments.iter().copied()).collect();
    let output = cluster.pg_restore(&arguments, archive);
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "pg_restore {arguments:?}: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
}

/// The SHA-256 of a file by `sha256sum`, as hex.
pub fn sha256sum(path: &Path) -> String {
    let output = run(Command::new("sha256sum").arg("--binary").arg(path));
    assert!(output.status.success(), "{output:?}");
    // A backslash comes first when the name holds one.
    let line = String::from_utf8_lossy(&output.stdout).into_owned();
    line.trim_start_matches('\\').chars().take(64).collect()
}

/// Whether `openssl` takes the signature for one of the manifest by this key.
pub fn openssl_verifies(public_key: &Path, manifest: &Path, signature: &Path) -> bool {
    let mut command = Command::new("openssl");
    command.args(["pkeyutl", "-verify", "-pubin", "-rawin", "-inkey"]).arg(public_key);
    command.arg("-in").arg(manifest).arg("-sigfile").arg(signature);
    run(&mut command).status.success()
}

/// The cluster's public key as a file.
pub fn public_key(cluster: &Cluster, database: &str) -> PathBuf {
    let path = cluster.folder().join("walwarden.pub");
    let pem = cluster.sql(database, "SELECT walwarden.public_key()");
    std::fs::write(&path, format!("{pem}\n")).expect("the cluster's folder is ours");
    path
}

/// Runs a program that must exist.
pub fn run(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|e| panic!("cannot run {command:?}: {e}"))
}
