//! Evidence of real backups: checked by openssl, minisign, ssh-keygen and sha256sum through `verify.sh`, and by walwarden-verify,
//! with nothing of the server but a public key from its first day.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test's support code fails by panicking"
)]

mod support;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use support::site::{APP, PATIENCE, Site};
use support::{back_up, run, text};
use walwarden_core::audit::note::SignedNote;
use walwarden_core::audit::{Checkpoint, TlogProof, leaf_hash};
use walwarden_core::evidence::FOLDER;
use walwarden_core::key::PublicKey;
use walwarden_core::signature::check;
use walwarden_testkit::Cluster;

/// The folder of the storage "local".
fn local(site: &Site) -> PathBuf {
    site.cluster.data_dir().join("pg_walwarden/backups")
}

/// A backup that is in storage with a checkpoint over all its entries; gives its job.
fn anchored_backup(site: &Site, schedule: &str) -> String {
    let job = text(&back_up(&site.cluster, APP, schedule), "id").to_owned();
    site.await_true(
        "a checkpoint over the job",
        PATIENCE,
        &format!(
            "SELECT coalesce((SELECT max(size) FROM walwarden.checkpoint) >= (SELECT max(seq) FROM walwarden.audit WHERE job_id = '{job}'), false)"
        ),
    );
    job
}

/// A public key in a file of its own.
fn keep_key(site: &Site, name: &str) -> PathBuf {
    let path = site.cluster.folder().join(name);
    std::fs::write(&path, site.sql("SELECT walwarden.public_key()") + "\n").unwrap();
    path
}

/// The exit code of walwarden-verify, and its report.
fn verify(arguments: &[&Path]) -> (u8, Value) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let arguments = arguments.iter().map(|argument| argument.as_os_str().to_owned());
    let code = walwarden_verify::run(arguments.chain([OsString::from("--json")]), &mut out, &mut err);
    assert!(err.is_empty(), "{}", String::from_utf8_lossy(&err));
    (code, serde_json::from_slice(&out).unwrap())
}

fn verify_bundle(bundle: &Path, key: &Path) -> (u8, Value) {
    verify(&[Path::new("bundle"), bundle, Path::new("--key"), key])
}

/// The exit code of verify.sh, and what it says: unpacked by tar into an empty folder, without environment.
fn verify_by_script(site: &Site, bundle: &Path, key: &Path) -> (i32, String) {
    let folder = site.cluster.folder().join("unpacked");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir(&folder).unwrap();
    assert!(run(Command::new("tar").arg("xf").arg(bundle).arg("-C").arg(&folder)).status.success());
    let mut script = Command::new("sh");
    script
        .arg(format!("{FOLDER}/verify.sh"))
        .arg(key)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap());
    let output = script.current_dir(&folder).output().unwrap();
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code().unwrap(), said)
}

#[track_caller]
fn assert_good(site: &Site, bundle: &Path, key: &Path) {
    let (code, report) = verify_bundle(bundle, key);
    assert_eq!(code, 0, "{report:#}");
    let (code, said) = verify_by_script(site, bundle, key);
    assert_eq!(code, 0, "{said}");
    assert!(!said.contains("not installed"), "{said}");
}

fn refusal(site: &Site, statement: &str) -> String {
    site.cluster.try_sql(APP, &format!("\\set VERBOSITY verbose\n{statement}")).unwrap_err()
}

#[test]
fn backups_are_proven_without_the_server() {
    let site = Site::with_s3(Cluster::builder().preload_walwarden());
    site.sql("SELECT walwarden.schedule('both', storages => '{local,s3}')");
    let first = anchored_backup(&site, "'both'");
    let first_key = keep_key(&site, "first.pub");
    anchored_backup(&site, "");
    site.sql("SELECT walwarden.rotate_key()");
    let last = anchored_backup(&site, "'both'");
    let last_key = keep_key(&site, "last.pub");
    assert_ne!(std::fs::read(&first_key).unwrap(), std::fs::read(&last_key).unwrap());

    // The key of the first day is enough for all of them; the last one knows nothing of what was before it.
    let key = site.sql(&format!("SELECT walwarden.export_evidence('{first}', storage => 'local')"));
    let id = site.sql("SELECT id FROM walwarden.database");
    let size = site.sql("SELECT max(size) FROM walwarden.checkpoint");
    assert_eq!(key, format!("org/default/db/{id}/evidence/job-{first}.0000000001-{size:0>20}.tar"));
    let bundle = local(&site).join(&key);
    assert_good(&site, &bundle, &first_key);
    assert_eq!(verify_bundle(&bundle, &last_key).0, 1);
    assert_eq!(verify_by_script(&site, &bundle, &last_key).0, 1);

    // The manifest in it is the one in storage, and so is its signature.
    let manifest_key = site.sql(&format!("SELECT manifest_key FROM walwarden.jobs WHERE id = '{first}'"));
    verify_by_script(&site, &bundle, &first_key);
    let unpacked = site.cluster.folder().join("unpacked").join(FOLDER);
    for suffix in ["", ".sig"] {
        let inside =
            std::fs::read(unpacked.join(format!("manifests/{first}.manifest.json{suffix}"))).unwrap();
        assert_eq!(inside, std::fs::read(local(&site).join(format!("{manifest_key}{suffix}"))).unwrap());
    }
    // And so are the checkpoints.
    for note in std::fs::read_dir(unpacked.join("checkpoints")).unwrap() {
        let note = note.unwrap();
        let name = note.file_name().into_string().unwrap().replace('-', "/");
        let stored = local(&site).join(format!("org/default/db/{id}/audit/checkpoint/{name}"));
        assert_eq!(std::fs::read(note.path()).unwrap(), std::fs::read(stored).unwrap());
    }

    // The same evidence is the same bytes, and is put once.
    let s3_key = site.sql(&format!("SELECT walwarden.export_evidence('{first}', storage => 's3')"));
    assert_eq!(s3_key, key);
    let in_bucket =
        site.s3_client().list("walwarden", "").into_iter().find(|object| object.key.ends_with(&key)).unwrap();
    assert_eq!(site.s3_client().get("walwarden", &in_bucket.key).unwrap(), std::fs::read(&bundle).unwrap());
    let again = refusal(&site, &format!("SELECT walwarden.export_evidence('{first}', 'local')"));
    assert!(again.contains("58030") && again.contains("exported before"), "{again}");

    // All of a time; of the last backup, which the new key has signed.
    let everything = site.sql("SELECT walwarden.export_evidence('2000-01-01', 'tomorrow', 'local')");
    let everything = local(&site).join(everything);
    assert_good(&site, &everything, &first_key);
    let of_last = site.sql(&format!("SELECT walwarden.export_evidence('{last}')"));
    assert_good(&site, &local(&site).join(of_last), &first_key);
    let facts = verify_bundle(&everything, &first_key).1["facts"].to_string();
    assert_eq!(facts.matches("backup 0").count(), 3, "{facts}");
    assert!(facts.contains(&format!("{size} of {size} entries are proven")), "{facts}");

    // The log in storage says the same.
    let (code, report) = verify(&[Path::new("log"), &local(&site), Path::new("--key"), &first_key]);
    assert_eq!(code, 0, "{report:#}");
    damages_are_found(&site, &bundle, &first_key);
    what_cannot_be_proven_is_refused(&site);
}

/// Every file of the bundle, each with one bit that is another.
fn damages_are_found(site: &Site, bundle: &Path, key: &Path) {
    let original = std::fs::read(bundle).unwrap();
    let damaged = site.cluster.folder().join("damaged.tar");
    let mut archive = tar::Archive::new(&original[..]);
    let mut files = 0;
    for entry in archive.entries().unwrap() {
        let entry = entry.unwrap();
        if !entry.header().entry_type().is_file() {
            continue;
        }
        files += 1;
        let name = entry.path().unwrap().to_string_lossy().into_owned();
        let name = name.strip_prefix(&format!("{FOLDER}/")).unwrap().to_owned();
        let at = entry.raw_file_position() as usize + entry.header().size().unwrap() as usize / 2;
        let mut bytes = original.clone();
        bytes[at] ^= 4;
        std::fs::write(&damaged, bytes).unwrap();
        let (code, report) = verify_bundle(&damaged, key);
        let problems = report["problems"].as_array().unwrap();
        let is_named = problems.iter().any(|problem| problem["place"].as_str().unwrap().starts_with(&name));
        assert!(code == 1 && is_named, "{name}: {report:#}");
    }
    assert!(files > 25, "{files}");
}

fn what_cannot_be_proven_is_refused(site: &Site) {
    let unknown = "00000000-0000-0000-0000-000000000001";
    for (call, state) in [
        (format!("walwarden.export_evidence('{unknown}'::uuid, 'local')"), "42704"),
        (format!("walwarden.evidence_bundle('{unknown}')"), "42704"),
        ("walwarden.evidence_bundle(NULL)".to_owned(), "22023"),
        ("walwarden.export_evidence('2000-01-01', '2000-01-02', 'local')".to_owned(), "42704"),
        ("walwarden.export_evidence('tomorrow', '2000-01-01', 'local')".to_owned(), "22023"),
        ("walwarden.export_evidence('-infinity', 'tomorrow', 'local')".to_owned(), "22023"),
        ("walwarden.export_evidence('2000-01-01', 'tomorrow', 'nowhere')".to_owned(), "42704"),
        ("walwarden.export_evidence('2000-01-01', 'tomorrow', NULL)".to_owned(), "22023"),
        ("walwarden.export_evidence(NULL::uuid, 'local')".to_owned(), "22023"),
    ] {
        let error = refusal(site, &format!("SELECT {call}"));
        assert!(error.contains(state), "{call}: {error}");
    }
    // The tables were rewritten behind the checkpoints: there is nothing to be proven any more.
    site.sql(
        "SET session_replication_role = replica; ALTER TABLE walwarden.audit DISABLE TRIGGER ALL; \
         UPDATE walwarden.audit SET hash = sha256(hash) WHERE seq = 3",
    );
    let error = refusal(site, "SELECT walwarden.export_evidence('2000-01-01', '2100-01-01', 'local')");
    assert!(error.contains("55000") && error.contains("not the one that was signed"), "{error}");
}

/// What a program gets, checked by hand.
#[test]
fn evidence_as_json() {
    let site = Site::local(Cluster::builder().preload_walwarden());
    let job = anchored_backup(&site, "");
    let json: Value =
        serde_json::from_str(&site.sql(&format!("SELECT walwarden.evidence_bundle('{job}')"))).unwrap();
    let pem = site.sql("SELECT walwarden.public_key()") + "\n";
    let key = PublicKey::from_pem(&pem).unwrap();
    assert_eq!(
        (json["key_id"].as_str(), json["keys"][0]["pem"].as_str()),
        (Some(&*key.key_id()), Some(&*pem))
    );

    let manifest = &json["manifests"][0];
    let stored = site.sql(&format!("SELECT body FROM walwarden.manifest WHERE job_id = '{job}'"));
    assert_eq!(manifest["text"].as_str(), Some(&*stored));
    let signature = hex::decode(manifest["signature"].as_str().unwrap()).unwrap();
    key.verify_strict(stored.as_bytes(), &signature).unwrap();
    let keys = [key];
    let file = |form: &str| manifest[form].as_str().unwrap().as_bytes();
    assert_eq!(check::minisign(file("minisig"), stored.as_bytes(), &keys).unwrap(), &keys[0]);
    assert_eq!(check::sshsig(file("sshsig"), stored.as_bytes(), &keys).unwrap(), &keys[0]);

    let note = SignedNote::parse(json["checkpoint"].as_str().unwrap().as_bytes()).unwrap();
    let checkpoint = Checkpoint::parse(&note.text).unwrap();
    let entries = json["entries"].as_array().unwrap();
    assert_eq!(
        entries.len(),
        site.sql(&format!("SELECT count(*) FROM walwarden.audit WHERE job_id = '{job}'"))
            .parse::<usize>()
            .unwrap()
    );
    for entry in entries {
        let leaf = leaf_hash(entry["body"].as_str().unwrap().as_bytes());
        assert_eq!(entry["hash"].as_str().unwrap(), leaf.to_string());
        let proof = TlogProof::parse(entry["proof"].as_str().unwrap().as_bytes()).unwrap();
        assert_eq!(proof.verify(leaf, &keys).unwrap(), checkpoint);
        assert_eq!(proof.index + 1, entry["seq"].as_u64().unwrap());
    }
}

/// However long the log, the session that exports it stays small.
#[test]
fn many_entries_take_little_memory() {
    const ENTRIES: u64 = 300_000;
    // Of the whole process, shared buffers included. The entries have as much together, and more in any form but their bytes.
    const MOST_MEMORY: u64 = 128 << 20;
    let site = Site::local(
        Cluster::builder().preload_walwarden().config("shared_buffers = 16MB").config("jit = off"),
    );
    site.sql(&include_str!("support/long_chain.sql").replace(":entries", &ENTRIES.to_string()));
    anchored_backup(&site, "");
    let key = keep_key(&site, "key.pub");
    let mut client = site.cluster.client(APP);
    let exported: String = client
        .query_one("SELECT walwarden.export_evidence('2000-01-01', '2100-01-01', 'local')", &[])
        .unwrap()
        .get(0);
    let pid: i32 = client.query_one("SELECT pg_backend_pid()", &[]).unwrap().get(0);
    let peak = walwarden_testkit::peak_memory(pid.cast_unsigned());
    println!("{ENTRIES} entries were exported with {} MiB at most", peak >> 20);
    assert!(peak < MOST_MEMORY, "{peak} bytes");
    let bundle = local(&site).join(exported);
    assert!(std::fs::metadata(&bundle).unwrap().len() > 300 * ENTRIES);
    let (code, report) = verify_bundle(&bundle, &key);
    assert_eq!(code, 0, "{report:#}");
    let (code, report) = verify(&[Path::new("log"), &local(&site), Path::new("--key"), &key]);
    assert_eq!(code, 0, "{report:#}");
}
