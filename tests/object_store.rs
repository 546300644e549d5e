//! The same backups on a real S3 server, and what becomes of a job when the server refuses, is somewhere else, or goes
//! away in the middle.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test's support code fails by panicking"
)]

mod support;

use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;
use support::{number, text};
use walwarden_testkit::{
    Archive, Cluster, ClusterBuilder, Fault, FaultProxy, S3Client, S3Object, S3Server, SampleDatabase,
    assert_same_database, wait_until,
};

/// Far more than anything here takes; a wait ends as soon as its condition holds.
const PATIENCE: Duration = Duration::from_secs(600);

/// The options of a storage on this endpoint, with more of them.
fn options(endpoint: &str, more: &[(&str, Value)]) -> Value {
    let mut options = json!({"endpoint": endpoint, "allow_http": true, "region": "us-east-1"});
    for (name, value) in more {
        options[*name] = value.clone();
    }
    options
}

fn add_storage(cluster: &Cluster, database: &str, name: &str, url: &str, options: &Value) {
    cluster.sql(database, &format!("SELECT walwarden.add_storage('{name}', '{url}', '{options}')"));
}

/// A cluster whose server has the keys in its environment.
fn with_keys_of(server: &S3Server) -> ClusterBuilder {
    Cluster::builder().envs(server.env())
}

/// A table whose rows cannot be compressed: 64 bytes each.
fn create_noise(cluster: &Cluster, database: &str, rows: u32) {
    let rows = format!("SELECT n, sha512(n::text::bytea) AS noise FROM generate_series(1, {rows}) AS n");
    cluster.sql(database, &format!("CREATE TABLE noise AS {rows}"));
}

/// A database with walwarden in it, and about 19 MB for an archive.
fn create_source(cluster: &Cluster, database: &str) {
    cluster.create_database(database);
    create_noise(cluster, database, 250_000);
    support::install(cluster, database);
}

/// A cluster with these profiles in its credentials file: name, access key, secret key. The file comes along.
fn start_with_profiles(builder: ClusterBuilder, profiles: &[(&str, (&str, &str))]) -> (Cluster, PathBuf) {
    let mut cluster = builder.create();
    let path = cluster.new_server_folder("credentials").join("file");
    let sections = profiles.iter().map(|(name, (access, secret))| {
        format!("[{name}]\naws_access_key_id = {access}\naws_secret_access_key = {secret}\n")
    });
    std::fs::write(&path, sections.collect::<String>()).expect("our own folder");
    set_mode(&path, 0o600);
    cluster.give_to_server(&path);
    cluster.append_config(&format!("walwarden.credentials_file = '{}'", path.display()));
    cluster.start();
    (cluster, path)
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("our own file");
}

/// Waits until a job has failed, and asserts that it says what, why and what to do.
fn failed(cluster: &Cluster, database: &str, storage: &str) -> Value {
    let job = support::run_now(cluster, database, &format!("storage => '{storage}'"));
    let row = support::await_end(cluster, database, &job);
    assert_eq!(text(&row, "state"), "failed", "{row:#}");
    for column in ["error_message", "error_detail", "error_hint"] {
        assert!(!text(&row, column).is_empty(), "{row:#}");
    }
    let noted = "SELECT detail ->> 'error_class' FROM walwarden.audit_chain WHERE event = 'backup.failed' ORDER BY seq DESC LIMIT 1";
    assert_eq!(cluster.sql(database, noted), text(&row, "error_class"));
    row
}

/// Giving up on a server that is gone is bounded by the storage's option `timeout`, which is 1 second here. The rest is
/// for slow machines.
fn assert_gave_up_in_time(cluster: &Cluster, database: &str, row: &Value) {
    let query = format!(
        "SELECT duration < interval '2 minutes' FROM walwarden.jobs WHERE id = '{}'",
        text(row, "id")
    );
    assert_eq!(cluster.sql(database, &query), "t", "{row:#}");
}

fn jobs_to_clean_up(cluster: &Cluster, database: &str) -> String {
    cluster.sql(database, "SELECT jobs_to_clean_up FROM walwarden.status")
}

/// What of backups is in the bucket; the audit chain comes in its own time.
fn of_backups(client: &S3Client) -> Vec<S3Object> {
    let mut objects = client.list(S3Server::BUCKET, "");
    objects.retain(|object| !object.key.contains("/audit/"));
    objects
}

fn assert_bucket_is_empty(server: &S3Server) {
    let client = server.client();
    assert_eq!(of_backups(&client), []);
    assert_eq!(client.pending_uploads(S3Server::BUCKET), [""; 0]);
}

/// What is restored from a bucket is what is restored from a folder, and a backup is four objects and nothing else. Two
/// storages in one bucket do not get into each other's way.
#[test]
fn round_trip_through_a_bucket() {
    let server = S3Server::start();
    let cluster = with_keys_of(&server).start();
    SampleDatabase::create_with_rows(&cluster, "shop", 20_000);
    create_noise(&cluster, "shop", 250_000);
    support::install(&cluster, "shop");
    add_storage(&cluster, "shop", "whole", "s3://walwarden", &options(&server.endpoint(), &[]));
    let in_parts = options(&server.endpoint(), &[("part_size", json!("5MB"))]);
    add_storage(&cluster, "shop", "parts", "s3://walwarden/deep/prefix", &in_parts);

    let client = server.client();
    for (storage, prefix) in [("whole", ""), ("parts", "deep/prefix/")] {
        let row = support::back_up(&cluster, "shop", &format!("storage => '{storage}'"));
        let stem = format!("{prefix}{}", text(&row, "object_key").strip_suffix("dump").unwrap());
        let keys: Vec<String> =
            client.list(S3Server::BUCKET, &stem).into_iter().map(|object| object.key).collect();
        let endings = ["dump", "globals.sql", "manifest.json", "manifest.json.sig"];
        assert_eq!(keys, endings.map(|ending| format!("{stem}{ending}")));

        let files = endings.map(|ending| {
            let path = cluster.folder().join(format!("{storage}.{ending}"));
            std::fs::write(&path, client.get(S3Server::BUCKET, &format!("{stem}{ending}")).unwrap()).unwrap();
            path
        });
        let [archive, globals, manifest_file, signature] = &files;
        let manifest: Value = serde_json::from_slice(&std::fs::read(manifest_file).unwrap()).unwrap();
        assert_eq!(support::sha256sum(archive), text(&manifest["archive"], "sha256"));
        assert_eq!(support::sha256sum(globals), text(&manifest["globals"], "sha256"));
        let key = support::public_key(&cluster, "shop");
        assert!(support::openssl_verifies(&key, manifest_file, signature));
        if storage == "parts" {
            let parts = manifest["archive"]["parts"].as_array().unwrap();
            let sizes: Vec<u64> = parts.iter().map(|part| number(part, "size")).collect();
            let (last, others) = sizes.split_last().unwrap();
            assert!(
                others.len() >= 2 && others.iter().all(|size| *size == 5 << 20) && *last <= 5 << 20,
                "{sizes:?}"
            );
        }
        let bytes = std::fs::read(archive).unwrap();
        support::restore(&cluster, Archive::Stdin(&bytes), storage, &[]);
        assert_same_database(&cluster, "shop", storage);
    }
    assert_eq!(of_backups(&client).len(), 8);
    assert_eq!(client.pending_uploads(S3Server::BUCKET), [""; 0]);
    assert_eq!(jobs_to_clean_up(&cluster, "shop"), "0");
}

/// A server that says no: the job fails at once, says so in its class, message and hint, and leaves nothing behind,
/// neither in the bucket nor to be cleaned up later. The recovery point stays where it was.
#[test]
fn refusals_have_their_class_and_leave_nothing() {
    let server = S3Server::start();
    let profiles = [
        ("right", S3Server::ADMIN),
        ("wrong secret", (S3Server::ADMIN.0, "not-the-secret")),
        ("unknown key", ("nobody", "not-the-secret")),
        ("read only", S3Server::READ_ONLY),
    ];
    let (cluster, _) = start_with_profiles(Cluster::builder(), &profiles);
    cluster.create_database("shop");
    support::install(&cluster, "shop");
    let good = support::back_up(&cluster, "shop", "");
    let cases = [
        ("wrong secret", S3Server::BUCKET, "storage_permission"),
        ("unknown key", S3Server::BUCKET, "storage_permission"),
        ("read only", S3Server::BUCKET, "storage_permission"),
        ("right", "no-such-bucket", "storage_not_found"),
    ];
    for (profile, bucket, class) in cases {
        let options = options(&server.endpoint(), &[("profile", json!(profile))]);
        let storage = format!("{profile} {bucket}");
        add_storage(&cluster, "shop", &storage, &format!("s3://{bucket}"), &options);
        let row = failed(&cluster, "shop", &storage);
        assert_eq!(text(&row, "error_class"), class, "{row:#}");
        assert!(text(&row, "error_message").contains(bucket), "{row:#}");
        assert_bucket_is_empty(&server);
        assert_eq!(jobs_to_clean_up(&cluster, "shop"), "0", "{storage}");
        let status = "SELECT last_backup, failure_class FROM walwarden.status";
        assert_eq!(cluster.sql("shop", status), format!("{}|{class}", text(&good, "id")));
        assert_eq!(cluster.sql("shop", "SELECT count(*) FROM walwarden.backups"), "1");
    }
}

/// A server that goes away while parts are on their way: the job fails, what it left is known, and is removed once the
/// server is back, by whichever leader comes next.
#[test]
fn a_server_gone_halfway_is_cleaned_up_when_it_is_back() {
    let server = S3Server::start();
    let proxy = FaultProxy::new(server.address());
    let cluster = with_keys_of(&server).start();
    create_source(&cluster, "shop");
    let more = [("timeout", json!(1)), ("part_size", json!("5MB"))];
    add_storage(&cluster, "shop", "s3", "s3://walwarden", &options(&proxy.endpoint(), &more));

    proxy.set(Fault::CutAfter(7 << 20));
    let row = failed(&cluster, "shop", "s3");
    assert!(proxy.has_struck());
    assert_eq!(text(&row, "error_class"), "storage_unreachable", "{row:#}");
    assert_gave_up_in_time(&cluster, "shop", &row);
    assert_eq!(jobs_to_clean_up(&cluster, "shop"), "1");
    assert_eq!(
        server.client().pending_uploads(S3Server::BUCKET),
        [text(&upload_key(&cluster), "upload_key")]
    );
    assert_eq!(cluster.sql("shop", "SELECT count(*) FROM walwarden.backups"), "0");

    proxy.set(Fault::Pass);
    support::back_up(&cluster, "shop", "storage => 'local'");
    await_cleaned(&cluster);
    assert_bucket_is_empty(&server);
}

/// The cleaner was there.
fn await_cleaned(cluster: &Cluster) {
    wait_until("the remains to be removed", PATIENCE, || {
        (jobs_to_clean_up(cluster, "shop") == "0").then_some(())
    });
}

fn upload_key(cluster: &Cluster) -> Value {
    let query = "SELECT cleanup FROM walwarden.backup_copy WHERE cleanup IS NOT NULL";
    serde_json::from_str(&cluster.sql("shop", query)).expect("JSON")
}

/// The same with the server killed and started again, and with the clean-up done by a tick: no job is needed for it.
#[test]
fn a_tick_cleans_up_after_a_server_that_died() {
    let mut server = S3Server::start();
    let proxy = FaultProxy::new(server.address());
    let cluster = with_keys_of(&server).preload_walwarden().start();
    create_source(&cluster, "shop");
    let more = [("timeout", json!(1)), ("part_size", json!("5MB"))];
    add_storage(&cluster, "shop", "s3", "s3://walwarden", &options(&proxy.endpoint(), &more));

    // Stalled first, so that the server is surely killed with an upload under way.
    proxy.set(Fault::StallAfter(7 << 20));
    let job = support::run_now(&cluster, "shop", "storage => 's3'");
    wait_until("the upload to be halfway", PATIENCE, || proxy.has_struck().then_some(()));
    server.kill();
    proxy.set(Fault::Pass);
    let row = support::await_end(&cluster, "shop", &job);
    assert_eq!(text(&row, "state"), "failed", "{row:#}");
    assert_eq!(text(&row, "error_class"), "storage_unreachable", "{row:#}");
    assert_eq!(jobs_to_clean_up(&cluster, "shop"), "1");

    server.start_again();
    // A change of a schedule makes the launcher look at once.
    cluster.sql("shop", "SELECT walwarden.schedule('by hand')");
    await_cleaned(&cluster);
    assert_bucket_is_empty(&server);
}

/// A server that cannot be reached at all: told as such, with nothing to clean up.
#[test]
fn an_unreachable_server() {
    let server = S3Server::start();
    let proxy = FaultProxy::new(server.address());
    proxy.set(Fault::Refuse);
    let cluster = with_keys_of(&server).start();
    cluster.create_database("shop");
    support::install(&cluster, "shop");
    let options = options(&proxy.endpoint(), &[("timeout", json!(1))]);
    add_storage(&cluster, "shop", "s3", "s3://walwarden", &options);
    let row = failed(&cluster, "shop", "s3");
    assert_eq!(text(&row, "error_class"), "storage_unreachable", "{row:#}");
    assert_gave_up_in_time(&cluster, "shop", &row);

    proxy.set(Fault::Pass);
    support::back_up(&cluster, "shop", "storage => 'local'");
    await_cleaned(&cluster);
    assert_bucket_is_empty(&server);
    support::back_up(&cluster, "shop", "storage => 's3'");
    assert_eq!(of_backups(&server.client()).len(), 4);
}

/// Keys from a profile of a credentials file, read anew for every job; a file that others can read is refused before a
/// request is sent.
#[test]
fn a_profile_of_a_credentials_file() {
    let server = S3Server::start();
    let profiles = [("default", ("nobody", "nothing")), ("backup", S3Server::ADMIN)];
    let (cluster, path) = start_with_profiles(Cluster::builder(), &profiles);
    cluster.create_database("shop");
    support::install(&cluster, "shop");
    let profile = |name: &str| options(&server.endpoint(), &[("profile", json!(name))]);
    add_storage(&cluster, "shop", "s3", "s3://walwarden", &profile("backup"));
    add_storage(&cluster, "shop", "unknown", "s3://walwarden", &profile("nobody"));

    support::back_up(&cluster, "shop", "storage => 's3'");
    assert_eq!(of_backups(&server.client()).len(), 4);

    assert_eq!(text(&failed(&cluster, "shop", "unknown"), "error_class"), "configuration");
    for mode in [0o640, 0o604, 0o620] {
        set_mode(&path, mode);
        let row = failed(&cluster, "shop", "s3");
        assert_eq!(text(&row, "error_class"), "configuration", "{row:#}");
        assert!(text(&row, "error_hint").contains("chmod 0600"), "{row:#}");
        assert!(!row.to_string().contains(S3Server::ADMIN.1));
    }
    set_mode(&path, 0o600);
    support::back_up(&cluster, "shop", "storage => 's3'");
    assert_eq!(of_backups(&server.client()).len(), 8);
    assert_eq!(jobs_to_clean_up(&cluster, "shop"), "0");
}

/// The check does every step of a backup, and leaves nothing behind; with too few rights it says which step fails.
#[test]
fn checking_a_storage() {
    let server = S3Server::start();
    let profiles = [("right", S3Server::ADMIN), ("read only", S3Server::READ_ONLY)];
    let (cluster, _) = start_with_profiles(Cluster::builder(), &profiles);
    cluster.create_database("shop");
    support::install(&cluster, "shop");
    for profile in ["right", "read only"] {
        let options = options(&server.endpoint(), &[("profile", json!(profile))]);
        add_storage(&cluster, "shop", profile, "s3://walwarden/prefix", &options);
    }
    for storage in ["right", "local"] {
        let check = format!(
            "SELECT count(*) > 5, bool_and(ok), count(note) FROM walwarden.check_storage('{storage}')"
        );
        assert_eq!(cluster.sql("shop", &check), "t|t|0", "{storage}");
    }
    let check =
        "SELECT step, note LIKE '%AccessDenied%' FROM walwarden.check_storage('read only') WHERE NOT ok";
    assert_eq!(cluster.sql("shop", check), "write a new object|t");
    assert_bucket_is_empty(&server);
}

/// The keys show nowhere: not in the log with everything logged, not in a table or view, not in an object.
#[test]
fn no_secret_shows_anywhere() {
    const CANARY: &str = "canary-3f9c1b7e5d";
    let server = S3Server::start();
    // By profiles: PostgreSQL itself logs the environment it is started with at debug3.
    let builder = Cluster::builder().preload_walwarden();
    let builder = ["log_min_messages = debug5", "log_statement = all", "debug_print_plan = on"]
        .iter()
        .fold(builder, |builder, line| builder.config(line));
    let profiles = [("right", S3Server::ADMIN), ("wrong", (S3Server::ADMIN.0, CANARY))];
    let (cluster, _) = start_with_profiles(builder, &profiles);
    cluster.create_database("shop");
    support::install(&cluster, "shop");
    for (storage, profile) in [("s3", "right"), ("wrong", "wrong")] {
        let options = options(&server.endpoint(), &[("profile", json!(profile))]);
        add_storage(&cluster, "shop", storage, "s3://walwarden", &options);
    }
    cluster.sql("shop", "SELECT walwarden.schedule('nightly', '0 2 * * *', storage => 's3')");

    let row = support::back_up(&cluster, "shop", "'nightly'");
    failed(&cluster, "shop", "wrong");
    for storage in ["s3", "wrong"] {
        cluster.sql("shop", &format!("SELECT * FROM walwarden.check_storage('{storage}')"));
    }

    let mut seen = vec![("the server's log".to_owned(), cluster.log().into_bytes())];
    let relations = cluster.sql(
        "shop",
        "SELECT oid::regclass FROM pg_class WHERE relnamespace = 'walwarden'::regnamespace AND relkind IN ('r', 'v')",
    );
    for relation in relations.lines() {
        let rows = cluster.sql("shop", &format!("SELECT r::text FROM {relation} AS r"));
        seen.push((relation.to_owned(), rows.into_bytes()));
    }
    for view in ["pg_settings", "pg_file_settings", "pg_stat_activity"] {
        seen.push((
            view.to_owned(),
            cluster.sql("shop", &format!("SELECT v::text FROM {view} AS v")).into_bytes(),
        ));
    }
    let client = server.client();
    for object in client.list(S3Server::BUCKET, "") {
        seen.push((object.key.clone(), client.get(S3Server::BUCKET, &object.key).unwrap()));
    }
    let archive = client.get(S3Server::BUCKET, text(&row, "object_key")).unwrap();
    seen.push((
        "the archive's script".to_owned(),
        cluster.pg_restore(&["--file=-"], Archive::Stdin(&archive)).stdout,
    ));

    assert!(
        seen.len() > 20
            && seen.iter().any(|(name, bytes)| name.ends_with("manifest.json") && !bytes.is_empty())
    );
    for (name, bytes) in &seen {
        for secret in [S3Server::ADMIN.1, CANARY] {
            let shows = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!shows, "{secret} in {name}");
        }
    }
}
