//! Several storages a backup: one pass feeds them all, some that fail leave it partial, and what is missing is copied later.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test's support code fails by panicking"
)]

mod support;

use std::process::Command;
use support::site::{APP, PATIENCE, Site};
use support::{await_end, back_up, run_now, text};
use walwarden_testkit::{Cluster, Fault};

fn add_folder(site: &Site, name: &str) {
    let folder = site.cluster.new_server_folder(name);
    site.sql(&format!("SELECT walwarden.add_storage('{name}', 'file://{}')", folder.display()));
}

fn copies(site: &Site, backup: &str) -> String {
    site.sql(&format!(
        "SELECT string_agg(concat_ws(' ', storage, state, error_class), ', ' ORDER BY storage) \
         FROM walwarden.backup_copies WHERE backup = '{backup}'"
    ))
}

fn restores_equal(site: &Site, backup: &str, name: &str) {
    let job = site.sql(&format!("SELECT walwarden.restore('{backup}', '{name}')"));
    assert_eq!(await_end(&site.cluster, APP, &job)["state"], "completed");
    let rows = "SELECT md5(string_agg(c::text, '' ORDER BY id)) FROM customer AS c";
    assert_eq!(site.cluster.sql(name, rows), site.sql(rows));
}

/// All have it, it is the same everywhere, and each can be verified and lost by itself.
#[test]
fn one_pass_feeds_all_storages() {
    let site = Site::with_s3(Cluster::builder().preload_walwarden());
    add_folder(&site, "nas");
    site.sql("SELECT walwarden.schedule('all', storages => '{nas,s3,local}', verify_cron => '0 0 1 1 *')");
    let backup = back_up(&site.cluster, APP, "'all'");
    let id = text(&backup, "id");
    assert_eq!(backup["storage"], "nas, s3, local");
    assert_eq!(copies(&site, id), "local stored, nas stored, s3 stored");
    assert_eq!(
        site.sql("SELECT storage, copies, missing_copies FROM walwarden.backups"),
        "nas, s3, local|3|0"
    );
    assert_eq!(
        site.sql(&format!(
            "SELECT count(DISTINCT (body, signature)), count(*) FROM walwarden.manifest WHERE job_id = '{id}'"
        )),
        "1|3"
    );
    for storage in ["nas", "s3", "local"] {
        let verify = site.sql(&format!("SELECT walwarden.verify('{id}', storage => '{storage}')"));
        assert_eq!(await_end(&site.cluster, APP, &verify)["state"], "completed", "{storage}");
    }

    // Damage is of one copy: the backup is good, and restores take another one.
    let archive = site.cluster.folder().join("nas").join(text(&backup, "object_key"));
    let mut bytes = std::fs::read(&archive).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&archive, bytes).unwrap();
    let verify = site.sql(&format!("SELECT walwarden.verify('{id}', storage => 'nas')"));
    assert_eq!(await_end(&site.cluster, APP, &verify)["error_class"], "storage_corrupt");
    assert_eq!(site.sql("SELECT storage FROM walwarden.backup_copies WHERE damage IS NOT NULL"), "nas");
    assert_eq!(site.sql("SELECT damage IS NULL FROM walwarden.backups"), "t");
    restores_equal(&site, id, "from_another");
    assert_eq!(site.sql("SELECT storage FROM walwarden.jobs WHERE kind = 'restore'"), "s3");

    // A storage that is dropped is not known any more; what it has stays there.
    let refused = site.cluster.try_sql(APP, "SELECT walwarden.drop_storage('nas')").unwrap_err();
    assert!(refused.contains("is used by schedule \"all\""), "{refused}");
    site.sql("SELECT walwarden.unschedule('all'); SELECT walwarden.drop_storage('nas')");
    assert_eq!(copies(&site, id), "local stored, nas forgotten, s3 stored");
    assert!(archive.exists());
    site.assert_chain_verifies();
}

/// A storage that fails in the middle costs the backup its copy there and nothing else; the copy is made later.
#[test]
fn a_storage_that_fails_leaves_it_partial_and_is_made_up_for() {
    let site = Site::with_s3(Cluster::builder().preload_walwarden());
    site.sql("SELECT walwarden.add_storage('gone', 's3://no-such-bucket', options) FROM walwarden.storages WHERE name = 's3'");
    site.sql("SELECT walwarden.schedule('both', storages => '{s3,local,gone}')");
    site.sql("CREATE TABLE wide AS SELECT n, repeat(md5(n::text), 60) AS filler FROM generate_series(1, 20000) AS n");
    site.sql("SELECT walwarden.alter_storage(name, options => options || '{\"timeout\": 2}') FROM walwarden.storages WHERE name = 's3'");
    site.set_fault(Fault::CutAfter(1 << 20));
    let id = run_now(&site.cluster, APP, "'both', compression => 'none'");
    let backup = await_end(&site.cluster, APP, &id);
    assert_eq!(backup["state"], "partial", "{backup:#}");
    assert_eq!(
        copies(&site, &id),
        "gone missing storage_not_found, local stored, s3 missing storage_unreachable"
    );
    assert_eq!(site.sql("SELECT storage, copies, missing_copies FROM walwarden.backups"), "local|1|2");
    assert!(site.sql(&format!(
        "SELECT detail ->> 'copies' FROM walwarden.audit_chain WHERE job_id = '{id}' AND event = 'backup.partial'"
    ))
    .contains("local stored"));
    site.mend_network();
    restores_equal(&site, &id, "from_the_good_one");

    // Its time comes, and the tick has it copied.
    site.sql("UPDATE walwarden.backup_copy SET try_again_at = now() WHERE storage = 's3'");
    site.wake();
    let of_s3 = "SELECT id FROM walwarden.jobs WHERE kind = 'copy' AND storage = 's3'";
    site.await_true("the missing copy to be queued", PATIENCE, &format!("SELECT EXISTS ({of_s3})"));
    let copy = await_end(&site.cluster, APP, &site.sql(of_s3));
    assert_eq!(copy["state"], "completed", "{copy:#}");
    assert_eq!(copies(&site, &id), "gone missing storage_not_found, local stored, s3 stored");
    let verify = site.sql(&format!("SELECT walwarden.verify('{id}', storage => 's3')"));
    assert_eq!(await_end(&site.cluster, APP, &verify)["state"], "completed");

    // The server of the good one goes away while it is copied by hand: nothing stays behind, and it is still missing.
    site.sql("SELECT walwarden.add_storage('second', url || '/second', options) FROM walwarden.storages WHERE name = 's3'");
    let refused =
        site.cluster.try_sql(APP, &format!("SELECT walwarden.copy_backup('{id}', 's3')")).unwrap_err();
    assert!(refused.contains("has backup"), "{refused}");
    site.stall_network();
    let copy = site.sql(&format!("SELECT walwarden.copy_backup('{id}', 'second')"));
    site.await_state(&copy, "running", PATIENCE);
    site.sql(&format!("SELECT walwarden.cancel('{copy}')"));
    assert_eq!(await_end(&site.cluster, APP, &copy)["state"], "canceled");
    site.mend_network();
    site.await_true(
        "the remains to be removed",
        PATIENCE,
        "SELECT jobs_to_clean_up = 0 FROM walwarden.status",
    );
    let copy = site.sql(&format!("SELECT walwarden.copy_backup('{id}', 'second')"));
    assert_eq!(await_end(&site.cluster, APP, &copy)["state"], "completed");
    site.assert_chain_verifies();

    // Without any storage that takes it there is no backup.
    site.sql("SELECT walwarden.schedule('nowhere', storages => '{gone}')");
    let failed = await_end(&site.cluster, APP, &run_now(&site.cluster, APP, "'nowhere'"));
    assert_eq!(failed["error_class"], "storage_not_found");
    assert_eq!(copies(&site, text(&failed, "id")), "gone failed storage_not_found");
}

/// The address is good for anybody, for the archive, and for a while.
#[test]
fn an_archive_is_fetched_by_its_address() {
    let site = Site::with_s3(Cluster::builder().preload_walwarden());
    let backup = back_up(&site.cluster, APP, "storage => 's3'");
    let id = text(&backup, "id");
    let url = site.sql(&format!("SELECT walwarden.download_url('{id}', '5 minutes')"));
    let fetched =
        Command::new("curl").args(["--silent", "--show-error", "--fail", &url]).output().expect("curl");
    assert!(fetched.status.success(), "{}", String::from_utf8_lossy(&fetched.stderr));
    let file = site.cluster.folder().join("fetched.dump");
    std::fs::write(&file, &fetched.stdout).unwrap();
    assert_eq!(support::sha256sum(&file), text(&backup, "sha256"));
    let other =
        Command::new("curl").args(["--silent", "--fail", &url.replace(".dump?", ".globals.sql?")]).output();
    assert!(!other.expect("curl").status.success(), "an address is for one object");

    let refused = |call: &str, why: &str| {
        let error = site.cluster.try_sql(APP, &format!("SELECT walwarden.download_url({call})")).unwrap_err();
        assert!(error.contains(why), "{error}");
    };
    refused(&format!("'{id}', '8 days'"), "cannot be valid for this long");
    refused(&format!("'{id}', '-1 hour'"), "must not be negative");
    refused(&format!("'{id}', NULL"), "expires must not be NULL");
    refused("gen_random_uuid()", "does not exist");
    let local = back_up(&site.cluster, APP, "");
    refused(&format!("'{}'", text(&local, "id")), "objects in a folder have no address");
    let log = site.cluster.log();
    assert!(!log.contains("X-Amz-Signature"), "an address is as good as a key");
}

/// One pass, two forms: what is encrypted has a manifest of its own, and both are the same backup.
#[test]
fn plain_and_encrypted_copies_of_one_backup() {
    let site = Site::local(Cluster::builder().preload_walwarden());
    let identity = site.cluster.new_server_folder("keys").join("key");
    let made = Command::new("age-keygen").arg("--output").arg(&identity).output().expect("age-keygen");
    let recipient = String::from_utf8_lossy(&made.stderr).trim().rsplit(' ').next().unwrap().to_owned();
    std::fs::set_permissions(&identity, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    site.cluster.give_to_server(&identity);
    for name in ["sealed", "sealed_later", "other"] {
        let folder = site.cluster.new_server_folder(name);
        let of_whom = if name == "other" { OTHER_RECIPIENT } else { &recipient };
        site.sql(&format!(
            "SELECT walwarden.add_storage('{name}', 'file://{}', '{{\"age_recipients\": [\"{of_whom}\"]}}')",
            folder.display()
        ));
    }
    site.sql("SELECT walwarden.schedule('both', storages => '{sealed,local}')");
    let backup = back_up(&site.cluster, APP, "'both'");
    let id = text(&backup, "id");
    assert_eq!(copies(&site, id), "local stored, sealed stored");
    let sealed = site.cluster.folder().join("sealed").join(text(&backup, "object_key"));
    assert!(sealed.display().to_string().ends_with(".dump.age"));
    let plain = Command::new("age")
        .args(["--decrypt", "--identity"])
        .arg(&identity)
        .arg(&sealed)
        .output()
        .expect("age");
    let file = site.cluster.folder().join("decrypted.dump");
    std::fs::write(&file, &plain.stdout).unwrap();
    assert_eq!(support::sha256sum(&file), text(&backup, "sha256"));

    // Of the plain copy an encrypted one is made; what is encrypted goes as it is to the same people, and to nobody else.
    let copy = |to: &str| {
        let job = site.sql(&format!("SELECT walwarden.copy_backup('{id}', '{to}')"));
        await_end(&site.cluster, APP, &job)
    };
    assert_eq!(copy("other")["state"], "completed");
    assert_eq!(copy("sealed_later")["state"], "completed");
    for storage in ["local", "sealed", "sealed_later", "other"] {
        let verify = site.sql(&format!("SELECT walwarden.verify('{id}', storage => '{storage}')"));
        assert_eq!(await_end(&site.cluster, APP, &verify)["state"], "completed", "{storage}");
    }
    assert_eq!(site.sql("SELECT count(DISTINCT body), count(*) FROM walwarden.manifest"), "4|4");

    let alone = back_up(&site.cluster, APP, "storage => 'sealed'");
    let job = site.sql(&format!("SELECT walwarden.copy_backup('{}', 'other')", text(&alone, "id")));
    let refused = await_end(&site.cluster, APP, &job);
    assert_eq!(refused["error_class"], "wrong_state", "{refused:#}");
    assert!(text(&refused, "error_message").contains("is encrypted for others"));
    let job = site.sql(&format!("SELECT walwarden.copy_backup('{}', 'sealed_later')", text(&alone, "id")));
    assert_eq!(await_end(&site.cluster, APP, &job)["state"], "completed");
    let job = site.sql(&format!(
        "SELECT walwarden.restore('{}', 'unsealed', identity_file => '{}')",
        text(&alone, "id"),
        identity.display()
    ));
    assert_eq!(await_end(&site.cluster, APP, &job)["state"], "completed");
    site.assert_chain_verifies();
}

/// Whose secret key nobody here has.
const OTHER_RECIPIENT: &str = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";
