//! Storages with `age_recipients`: what lies there is of use to the owner of a key alone, with walwarden or without it; and a
//! backup that nobody here can decrypt is verified as far as that goes.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test's support code fails by panicking"
)]

mod support;

use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use support::restores::{assert_nothing_is_left, completes, fails, restore};
use support::{LocalBackup, await_end, back_up, number, run, sha256sum, text};
use walwarden_testkit::{Archive, Cluster, SampleDatabase, assert_same_database};

/// A cluster with a database, and a storage for whose objects there is a key.
struct Vault {
    cluster: Cluster,
    folder: PathBuf,
    /// The identity file, readable by the server.
    key: PathBuf,
}

impl Vault {
    fn new() -> Self {
        let builder = Cluster::builder().config("max_worker_processes = 16").preload_walwarden();
        let cluster = builder.start();
        SampleDatabase::create_with_rows(&cluster, "shop", 20_000);
        support::install(&cluster, "shop");
        let folder = cluster.new_server_folder("vault");
        let (key, public) = new_key(&cluster, "key.txt");
        let (_, other) = new_key(&cluster, "other_owner.txt");
        let vault = Self { cluster, folder, key };
        vault.add_to("shop", &format!(r#"{{"age_recipients": ["{other}", "{public}"]}}"#));
        vault
    }

    fn add_to(&self, database: &str, options: &str) {
        let url = format!("file://{}", self.folder.display());
        self.sql_in(database, &format!("SELECT walwarden.add_storage('vault', '{url}', '{options}')"));
    }

    fn sql(&self, script: &str) -> String {
        self.sql_in("shop", script)
    }

    fn sql_in(&self, database: &str, script: &str) -> String {
        self.cluster.sql(database, script)
    }

    /// What a statement fails with.
    fn refused(&self, statement: &str) -> String {
        self.cluster.try_sql("shop", statement).expect_err("this must fail")
    }

    fn back_up(&self) -> LocalBackup {
        let backup =
            LocalBackup::of(&self.cluster, back_up(&self.cluster, "shop", "storage => 'vault', jobs => 2"));
        let file = |column: &str| self.folder.join(text(&backup.row, column));
        let (archive, globals, manifest) = (file("object_key"), file("globals_key"), file("manifest_key"));
        let signature = manifest.with_extension("json.sig");
        LocalBackup { archive, globals, manifest, signature, root: self.folder.clone(), row: backup.row }
    }

    /// Runs a statement that gives a job's id, and waits for its end.
    fn job(&self, call: &str) -> Value {
        let job = self.sql(&format!("SELECT walwarden.{call}"));
        await_end(&self.cluster, "shop", &job)
    }

    fn known(&self, job: &str) -> Value {
        let query = format!("SELECT row_to_json(b) FROM walwarden.backups AS b WHERE job = '{job}'");
        serde_json::from_str(&self.sql(&query)).expect("row_to_json gives JSON")
    }

    fn use_setting(&self, file: &Path) {
        self.sql(&format!("ALTER SYSTEM SET walwarden.identity_file = '{}'", file.display()));
        self.cluster.reload();
        let wait = format!("SELECT current_setting('walwarden.identity_file') = '{}'", file.display());
        walwarden_testkit::wait_until("the setting to arrive", support::site::PATIENCE, || {
            (self.sql(&wait) == "t").then_some(())
        });
    }
}

/// A new key: its identity file, which belongs to the server's user, and the public key.
fn new_key(cluster: &Cluster, name: &str) -> (PathBuf, String) {
    let file = cluster.folder().join(name);
    let made = run(Command::new("age-keygen").arg("-o").arg(&file));
    assert!(made.status.success(), "{made:?}");
    cluster.give_to_server(&file);
    let public = run(Command::new("age-keygen").arg("-y").arg(&file));
    (file, String::from_utf8(public.stdout).expect("text").trim().to_owned())
}

/// What the program `age` makes of an object.
fn decrypted(object: &Path, key: &Path) -> Vec<u8> {
    let output = run(Command::new("age").arg("--decrypt").arg("--identity").arg(key).arg(object));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

#[test]
fn age_and_pg_restore_bring_it_back_without_us() {
    let vault = Vault::new();
    let backup = vault.back_up();
    let manifest = backup.read_manifest();
    assert!(text(&backup.row, "object_key").ends_with(".dump.age"));
    assert!(text(&backup.row, "globals_key").ends_with(".globals.sql.age"));

    for (object, path, plain_name) in
        [("archive", &backup.archive, "plain.dump"), ("globals", &backup.globals, "plain.sql")]
    {
        let (said, plain) = (&manifest[object], vault.cluster.folder().join(plain_name));
        std::fs::write(&plain, decrypted(path, &vault.key)).expect("a file of ours");
        assert_eq!(text(said, "sha256"), sha256sum(&plain), "{object}");
        assert_eq!(number(said, "size"), plain.metadata().expect("metadata").len());
        let encryption = &said["encryption"];
        assert_eq!(text(encryption, "format"), "age");
        assert_eq!(encryption["recipients"].as_array().expect("recipients").len(), 2);
        assert_eq!(text(encryption, "sha256"), sha256sum(path));
        assert_eq!(number(encryption, "size"), path.metadata().expect("metadata").len());
    }
    assert_eq!(manifest["archive"]["parts"].as_array().expect("parts").len(), 0);
    // The job's row is about the archive, the copy's about the object: another storage may have it in another form.
    for row in [&backup.row, &vault.job(&format!("verify('{}')", text(&backup.row, "id")))] {
        completes(row);
        assert_eq!(text(row, "sha256"), text(&manifest["archive"], "sha256"));
        assert_eq!(number(row, "size_bytes"), number(&manifest["archive"], "size"));
    }
    assert_eq!(
        vault.sql(&format!(
            "SELECT size_bytes FROM walwarden.backup_copies WHERE backup = '{}'",
            text(&backup.row, "id")
        )),
        number(&manifest["archive"]["encryption"], "size").to_string()
    );

    let plain = std::fs::read(vault.cluster.folder().join("plain.dump")).expect("the plain archive");
    support::restore(&vault.cluster, Archive::Stdin(&plain), "by_hand", &[]);
    assert_same_database(&vault.cluster, "shop", "by_hand");
    let globals = std::fs::read_to_string(vault.cluster.folder().join("plain.sql")).expect("the globals");
    assert!(globals.contains("CREATE ROLE"), "{globals}");
    // Nothing of it lies in storage as it was.
    for object in [&backup.archive, &backup.globals] {
        let stored = std::fs::read(object).expect("the object");
        assert!(stored.starts_with(b"age-encryption.org/v1\n"));
        for hidden in [&b"PGDMP"[..], b"CREATE ", b"ROLE"] {
            assert!(!stored.windows(hidden.len()).any(|window| window == hidden), "{object:?}");
        }
    }
}

#[test]
fn an_identity_file_brings_all_of_it_back() {
    let vault = Vault::new();
    let backup = vault.back_up();
    let job = text(&backup.row, "id");
    let with = format!("identity_file => '{}'", vault.key.display());
    let cluster = &vault.cluster;

    completes(&restore(cluster, "shop", job, &format!("'again', jobs => 2, globals => true, {with}")));
    assert_same_database(cluster, "shop", "again");
    completes(&vault.job(&format!("restore_table('{job}', 'sales.orders', 'public.orders_again', {with})")));
    let rows = |table: &str| {
        vault.sql(&format!("SELECT count(*), sum(hashtextextended(t::text, 0)) FROM {table} AS t"))
    };
    assert_eq!(rows("public.orders_again"), rows("sales.orders"));
    let read = format!("walwarden.read_table('{job}', 'sales.orders', NULL::sales.orders, {with})");
    assert_eq!(rows(&read), rows("sales.orders"));
    let ids = format!("walwarden.read_table('{job}', 'sales.orders', {with}) AS t(id bigint)");
    assert_eq!(
        vault.sql(&format!("SELECT count(*), sum(id) FROM {ids}")),
        vault.sql("SELECT count(*), sum(id) FROM sales.orders")
    );

    // Rows alone, all of them, into the tables of a database that is there.
    completes(&restore(cluster, "shop", job, &format!("'rows', schema_only => true, {with}")));
    completes(&restore(cluster, "shop", job, &format!("'rows', data_only => true, {with}")));
    assert_eq!(
        vault.sql_in("rows", "SELECT count(*), sum(hashtextextended(t::text, 0)) FROM sales.orders AS t"),
        rows("sales.orders")
    );

    let tested = vault.job(&format!("restore_test('{job}'::uuid, {with})"));
    completes(&tested);
    assert_eq!(text(&tested["options"], "identity_file"), vault.key.display().to_string());
    let verified = vault.job(&format!("verify('{job}', {with})"));
    completes(&verified);
    assert_eq!(verified["unchecked"], Value::Null);
    assert_eq!(text(&vault.known(job), "verified"), "full");
    assert_nothing_is_left(cluster, "shop");
    // The file's content is nowhere: not in a table, not in the log.
    let secret = std::fs::read_to_string(&vault.key).expect("the key");
    let secret = secret.lines().last().expect("a line");
    assert!(secret.starts_with("AGE-SECRET-KEY-") && !cluster.log().contains(secret));
    let dump = cluster.pg_dump("shop", &["--schema=walwarden", "--inserts"]);
    assert!(!String::from_utf8_lossy(&dump).contains(secret));
    assert_eq!(vault.sql("SELECT * FROM walwarden.verify_audit_chain() WHERE NOT ok"), "");
}

#[test]
fn without_the_right_identity_it_is_told_at_once() {
    let vault = Vault::new();
    let job = text(&vault.back_up().row, "id").to_owned();
    let (stranger, public) = new_key(&vault.cluster, "stranger.txt");
    let calls = |with: &str| {
        [
            format!("SELECT walwarden.restore('{job}', 'again'{with})"),
            format!("SELECT walwarden.restore_table('{job}', 'sales.orders', 'public.again'{with})"),
            format!("SELECT walwarden.restore_test('{job}'::uuid{with})"),
            format!("SELECT * FROM walwarden.read_table('{job}', 'sales.orders'{with}) AS t(id bigint)"),
            format!("SELECT * FROM walwarden.read_table('{job}', 'sales.orders', NULL::sales.orders{with})"),
        ]
    };
    for call in calls("") {
        let told = vault.refused(&call);
        assert!(told.contains("is encrypted, and there is no identity file"), "{call}: {told}");
        assert!(told.contains("HINT") && told.contains("walwarden.identity_file"), "{told}");
    }
    for call in calls(&format!(", identity_file => '{}'", stranger.display())) {
        let told = vault.refused(&call);
        assert!(told.contains("does not decrypt this backup") && told.contains(&public), "{call}: {told}");
    }
    let told = vault
        .refused(&format!("SELECT walwarden.verify('{job}', identity_file => '{}')", stranger.display()));
    assert!(told.contains("does not decrypt this backup"), "{told}");
    assert_eq!(vault.sql("SELECT count(*) FROM walwarden.jobs WHERE kind <> 'backup'"), "0");

    // The setting does for all, and for what nobody calls; an identity that is not the backup's is no damage.
    vault.use_setting(&stranger);
    let told = vault.refused(&format!("SELECT walwarden.restore('{job}', 'again')"));
    assert!(told.contains("does not decrypt this backup"), "{told}");
    vault.use_setting(&vault.key);
    completes(&restore(&vault.cluster, "shop", &job, "'again'"));
    completes(&vault.job(&format!("restore_test('{job}'::uuid)")));
    completes(&vault.job(&format!("restore_table('{job}', 'sales.orders', 'public.again')")));
    let ids = format!("walwarden.read_table('{job}', 'sales.orders') AS t(id bigint)");
    assert_eq!(
        vault.sql(&format!("SELECT count(*) FROM {ids}")),
        vault.sql("SELECT count(*) FROM sales.orders")
    );
    assert_eq!(vault.job(&format!("verify('{job}')"))["unchecked"], Value::Null);
    assert_eq!(vault.known(&job)["damage"], Value::Null);
}

#[test]
fn what_cannot_be_decrypted_is_verified_byte_by_byte() {
    let vault = Vault::new();
    let backup = vault.back_up();
    let job = text(&backup.row, "id").to_owned();
    let with = format!("identity_file => '{}'", vault.key.display());
    let notice = vault.cluster.psql("shop", &format!("SELECT walwarden.verify('{job}')"));
    assert!(String::from_utf8_lossy(&notice.stderr).contains("its blocks and rows are not"), "{notice:?}");
    await_end(&vault.cluster, "shop", String::from_utf8_lossy(&notice.stdout).trim());
    let row = vault.job(&format!("verify('{job}')"));
    completes(&row);
    assert!(text(&row, "unchecked").starts_with("blocks and rows"), "{row:#}");
    assert_eq!(text(&vault.known(&job), "verified"), "stored");
    let row = vault.job(&format!("verify('{job}', 'manifest')"));
    completes(&row);
    assert_eq!((text(&vault.known(&job), "verified"), &row["unchecked"]), ("manifest", &Value::Null));

    let length = std::fs::read(&backup.archive).expect("the archive").len();
    let changes: [(&Path, usize, &str); 5] = [
        (&backup.archive, 0, ".dump.age"),
        (&backup.archive, 150, ""),
        (&backup.archive, length / 2, ""),
        (&backup.archive, length - 1, ""),
        (&backup.globals, 300, ".globals.sql.age"),
    ];
    for (path, at, place) in changes {
        let original = std::fs::read(path).expect("the object");
        let mut changed = original.clone();
        changed[at] ^= 1;
        std::fs::write(path, &changed).expect("an object can be overwritten");
        for call in [format!("verify('{job}')"), format!("verify('{job}', {with})")] {
            let row = vault.job(&call);
            fails(&row, "storage_corrupt", place);
        }
        assert_ne!(vault.known(&job)["damage"], Value::Null);
        let row = restore(&vault.cluster, "shop", &job, &format!("'again', globals => true, {with}"));
        fails(&row, "storage_corrupt", place);
        std::fs::write(path, &original).expect("an object can be overwritten");
        // What was found with the key is not forgotten because somebody without it finds nothing.
        completes(&vault.job(&format!("verify('{job}')")));
        assert_ne!(vault.known(&job)["damage"], Value::Null);
        completes(&vault.job(&format!("verify('{job}', {with})")));
        assert_eq!(vault.known(&job)["damage"], Value::Null);
    }
    for depth in ["manifest", "full"] {
        let original = std::fs::read(&backup.archive).expect("the archive");
        std::fs::write(&backup.archive, &original[..length - 16]).expect("an object can be overwritten");
        fails(&vault.job(&format!("verify('{job}', '{depth}')")), "storage_corrupt", ".dump.age");
        std::fs::write(&backup.archive, &original).expect("an object can be overwritten");
    }
    assert_nothing_is_left(&vault.cluster, "shop");
}

#[test]
fn naming_a_file_of_the_server_takes_the_right_to_read_it() {
    let vault = Vault::new();
    let job = text(&vault.back_up().row, "id").to_owned();
    vault.sql(
        "CREATE ROLE clerk LOGIN; GRANT USAGE ON SCHEMA walwarden TO clerk; \
         GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA walwarden TO clerk; GRANT CREATE ON DATABASE shop TO clerk",
    );
    let mut clerk = vault.cluster.client_as("clerk", "shop");
    let mut told = |file: &str| {
        let call = format!("SELECT walwarden.verify('{job}', identity_file => '{file}')");
        let error = clerk.simple_query(&call).expect_err("this must fail");
        let error = error.as_db_error().expect("an error of the server").clone();
        (
            error.code().code().to_owned(),
            format!("{} {}", error.message(), error.detail().unwrap_or_default()),
        )
    };
    let key = vault.key.display().to_string();
    // The same whether it is there or not.
    let denied = told(&key);
    assert_eq!(denied.0, "42501", "{denied:?}");
    assert_eq!(told("/does/not/exist"), denied);
    for call in [
        format!("SELECT walwarden.restore('{job}', 'again', identity_file => '{key}')"),
        format!(
            "SELECT walwarden.restore_table('{job}', 'sales.orders', 'public.x', identity_file => '{key}')"
        ),
        format!("SELECT walwarden.restore_test('{job}'::uuid, identity_file => '{key}')"),
        format!("SELECT walwarden.read_table('{job}', 'sales.orders', identity_file => '{key}')"),
    ] {
        let error = vault.cluster.client_as("clerk", "shop").simple_query(&call).expect_err("this must fail");
        assert_eq!(error.code().map(|code| code.code()), Some("42501"), "{call}");
    }
    vault.sql("GRANT pg_read_server_files TO clerk");
    let (class, text) = told("/does/not/exist");
    assert_eq!(class, "F0000", "{text}");
    assert_eq!(told("relative").0, "22023");
    std::fs::set_permissions(&vault.key, PermissionsExt::from_mode(0o644)).expect("a file of ours");
    let (class, text) = told(&key);
    assert!(class == "F0000" && text.contains("open to its group or to others"), "{text}");
    std::fs::set_permissions(&vault.key, PermissionsExt::from_mode(0o600)).expect("a file of ours");
    let call = format!("SELECT walwarden.verify('{job}', identity_file => '{key}')");
    assert!(clerk.simple_query(&call).is_ok());
}

/// After a total loss nothing is known but the storage, the public key of the manifests, and the identity file.
#[test]
fn encrypted_backups_are_discovered() {
    let vault = Vault::new();
    let backup = vault.back_up();
    let job = text(&backup.row, "id");
    let key = vault.sql("SELECT walwarden.public_key()");
    vault.cluster.create_database("rescue");
    support::install(&vault.cluster, "rescue");
    vault.add_to("rescue", "{}");
    let found = format!("SELECT job, size_bytes, problem FROM walwarden.discover('vault', '{key}')");
    assert_eq!(
        vault.sql_in("rescue", &found),
        format!("{job}|{}|", backup.archive.metadata().expect("metadata").len())
    );
    let with = format!("identity_file => '{}'", vault.key.display());
    completes(&restore(&vault.cluster, "rescue", job, &format!("'again', {with}")));
    assert_same_database(&vault.cluster, "shop", "again");
}

#[test]
fn a_secret_key_is_no_recipient() {
    let vault = Vault::new();
    let secret = std::fs::read_to_string(&vault.key).expect("the key");
    let secret = secret.lines().last().expect("a line");
    let told = vault.refused(&format!(
        "SELECT walwarden.alter_storage('vault', options => '{{\"age_recipients\": [\"{secret}\"]}}')"
    ));
    assert!(told.contains("is a secret key") && told.contains("make a new one"), "{told}");
    assert!(!told.contains(secret), "{told}");
    // Without recipients what follows is plain; what was made before stays as it is.
    let before = vault.back_up();
    vault.sql("SELECT walwarden.alter_storage('vault', options => '{}')");
    let after = vault.back_up();
    assert!(text(&after.row, "object_key").ends_with(".dump"));
    assert!(std::fs::read(&after.archive).expect("the archive").starts_with(b"PGDMP"));
    let with = format!("identity_file => '{}'", vault.key.display());
    for (name, backup) in [("before", &before), ("after", &after)] {
        completes(&restore(&vault.cluster, "shop", text(&backup.row, "id"), &format!("'{name}', {with}")));
        assert_same_database(&vault.cluster, "shop", name);
    }
}
