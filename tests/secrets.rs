//! No secret is shown anywhere: not in the server's log at debug5, not in a table or view, an error, a dump, a notification or an object in
//! storage, as it is or encoded, whether what it is for succeeds or fails.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test's support code fails by panicking"
)]

mod support;

use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use support::restores::restore;
use support::site::{APP, PATIENCE, Site};
use support::webhook_receiver::{Manner, WebhookReceiver};
use support::{await_end, back_up, run, run_now, text};
use walwarden_testkit::{Cluster, S3Server, wait_until};

/// Bytes of a key of SSE-C.
const CUSTOMER_KEY: &[u8; 32] = b"canary-customer-key-0123456789ab";
const WRONG_SECRET: &str = "canary+wrong/secret=key";
const SESSION_TOKEN: &str = "canary+session/token==";
const HOOK_PATH: &str = "canary-hook-path";
const HOOK_QUERY: &str = "canary+hook/query";
const HOOK_SECRET: &str = "canary/hmac+secret";
const AZURE_KEY: &[u8] = b"canary-azure-account-key-0123456789";
const GOOGLE_KEY: &str = "canary-google-private-key";
const MISPLACED: &str = "canary-misplaced-line";

/// What must be nowhere.
struct Secrets(Vec<(String, Vec<u8>)>);

impl Secrets {
    fn add(&mut self, what: &str, bytes: impl AsRef<[u8]>) {
        self.0.push((what.to_owned(), bytes.as_ref().to_vec()));
    }

    /// Each with all its forms.
    fn forms(&self) -> Vec<(String, Vec<u8>)> {
        let mut forms = Vec::new();
        for (what, bytes) in &self.0 {
            let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
            let percent: String = bytes.iter().fold(String::new(), |mut all, b| {
                if b.is_ascii_alphanumeric() || b"-_.~".contains(b) {
                    all.push(char::from(*b));
                } else {
                    write!(all, "%{b:02X}").unwrap();
                }
                all
            });
            let base64 = base64(bytes);
            let unpadded = base64.trim_end_matches('=').to_owned();
            let url_safe = unpadded.replace('+', "-").replace('/', "_");
            forms.push((what.clone(), bytes.clone()));
            for (form, text) in [
                ("hexadecimal", hex.clone()),
                ("hexadecimal", hex.to_uppercase()),
                ("percent", percent.clone()),
                ("percent", percent.to_lowercase()),
                ("base64", unpadded),
                ("base64url", url_safe),
                ("backwards", String::from_utf8_lossy(bytes).chars().rev().collect()),
            ] {
                forms.push((format!("{what}, {form}"), text.into_bytes()));
            }
        }
        forms
    }

    fn assert_not_in(&self, place: &str, bytes: &[u8]) {
        // One character a byte, so that a text's own search does it.
        let text: String = bytes.iter().copied().map(char::from).collect();
        for (form, secret) in self.forms() {
            let secret: String = secret.into_iter().map(char::from).collect();
            if let Some(at) = text.find(&secret) {
                let before: String = text[..at].chars().rev().take(200).collect();
                panic!("{place} has {form} after: {}", before.chars().rev().collect::<String>());
            }
        }
    }
}

fn base64(bytes: &[u8]) -> String {
    let mut command = Command::new("openssl");
    let path = std::env::temp_dir().join(format!("walwarden-base64-{}", std::process::id()));
    std::fs::write(&path, bytes).unwrap();
    let output = run(command.args(["base64", "-A", "-in"]).arg(&path));
    std::fs::remove_file(&path).unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn private(cluster: &Cluster, name: &str, content: &str) -> PathBuf {
    let path = cluster.folder().join(name);
    std::fs::write(&path, content).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
    cluster.give_to_server(&path);
    path
}

/// An identity file of age, its secret line, and the public key.
fn new_identity(cluster: &Cluster, name: &str) -> (PathBuf, String, String) {
    let file = cluster.folder().join(name);
    assert!(run(Command::new("age-keygen").arg("-o").arg(&file)).status.success());
    cluster.give_to_server(&file);
    let content = std::fs::read_to_string(&file).unwrap();
    let secret = content.lines().find(|line| line.starts_with("AGE-SECRET-KEY-")).unwrap().to_owned();
    let public = run(Command::new("age-keygen").arg("-y").arg(&file));
    (file, secret, String::from_utf8(public.stdout).unwrap().trim().to_owned())
}

fn files(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, into);
        } else {
            into.push(path);
        }
    }
}

/// Tries what a test expects to fail or not to matter, and keeps what is said.
struct Said<'a> {
    site: &'a Site,
    all: String,
}

impl Said<'_> {
    fn run(&mut self, statement: &str) -> bool {
        // Whatever is said goes to the client too, at the most talkative.
        let script = format!("SET client_min_messages = debug5; {statement}");
        let output = self.site.cluster.psql(APP, &script);
        self.all.push_str(&String::from_utf8_lossy(&output.stdout));
        self.all.push_str(&String::from_utf8_lossy(&output.stderr));
        output.status.success()
    }

    fn fails(&mut self, statement: &str) {
        assert!(!self.run(statement), "{statement}");
    }

    /// A job that fails, with what its row says.
    fn job_fails(&mut self, call: &str) {
        let job = self.site.sql(&format!("SELECT walwarden.{call}"));
        let row = await_end(&self.site.cluster, APP, &job);
        assert_eq!(text(&row, "state"), "failed", "{call}: {row:#}");
        self.all.push_str(&row.to_string());
    }
}

#[test]
#[allow(clippy::too_many_lines, reason = "one story: everything is used, then everything is looked through")]
fn no_secret_is_shown_anywhere() {
    let server = S3Server::start();
    let hook = WebhookReceiver::start(Manner::Take);
    let builder = Cluster::builder()
        .preload_walwarden()
        .config("walwarden.webhook_allow = '127.0.0.1'")
        .config("log_min_messages = debug5")
        .config("log_min_error_statement = debug5")
        .config("log_error_verbosity = verbose")
        .config("log_statement = all")
        .config("log_connections = on")
        .config("log_disconnections = on")
        .config("log_duration = on");
    let site = Site::local(builder);
    let cluster = &site.cluster;
    let mut secrets = Secrets(Vec::new());
    let (identity, identity_secret, recipient) = new_identity(cluster, "identity");
    let (other_identity, other_secret, _) = new_identity(cluster, "other");
    let google = private(
        cluster,
        "google.json",
        &format!(
            r#"{{"type": "service_account", "client_email": "a@b", "private_key_id": "1", "private_key": "{GOOGLE_KEY}"}}"#
        ),
    );
    let credentials = private(
        cluster,
        "credentials",
        &format!(
            "[good]\naws_access_key_id = {access}\naws_secret_access_key = {secret}\nsse_customer_key = {customer}\n\
             [wrong]\naws_access_key_id = {access}\naws_secret_access_key = {WRONG_SECRET}\n\
             [token]\naws_access_key_id = {access}\naws_secret_access_key = {secret}\naws_session_token = {SESSION_TOKEN}\n\
             [unpaired]\naws_secret_access_key = {WRONG_SECRET}\nsse_customer_key = {MISPLACED}\n\
             [short]\naws_access_key_id = {access}\naws_secret_access_key = {secret}\nsse_customer_key = {MISPLACED}\n\
             [azure]\nazure_account_key = {azure}\n[google]\ngoogle_service_account = {google}\n\
             [hook]\nwebhook_url = {url}/{HOOK_PATH}?q={HOOK_QUERY}\nwebhook_secret = {HOOK_SECRET}\n\
             [down]\nwebhook_url = http://127.0.0.1:1/{HOOK_PATH}?q={HOOK_QUERY}\nwebhook_secret = {HOOK_SECRET}\n\
             [far]\nwebhook_url = http://hooks.example.com/{HOOK_PATH}\nwebhook_secret = {HOOK_SECRET}\n",
            access = S3Server::ADMIN.0,
            secret = S3Server::ADMIN.1,
            customer = base64(CUSTOMER_KEY),
            azure = base64(AZURE_KEY),
            google = google.display(),
            url = hook.url(),
        ),
    );
    secrets.add("the S3 secret", S3Server::ADMIN.1);
    secrets.add("the wrong S3 secret", WRONG_SECRET);
    secrets.add("the session token", SESSION_TOKEN);
    secrets.add("the customer's key", CUSTOMER_KEY);
    secrets.add("the webhook's path", HOOK_PATH);
    secrets.add("the webhook's query", HOOK_QUERY);
    secrets.add("the webhook's secret", HOOK_SECRET);
    secrets.add("the key of Azure", AZURE_KEY);
    secrets.add("the key of Google", GOOGLE_KEY);
    secrets.add("a line of the credentials file", MISPLACED);
    secrets.add("the identity", &identity_secret);
    secrets.add("the other identity", &other_secret);

    let mut said = Said { site: &site, all: String::new() };
    site.sql(&format!(
        "ALTER SYSTEM SET walwarden.credentials_file = '{}'; SELECT pg_reload_conf()",
        credentials.display()
    ));
    site.await_true("the setting", PATIENCE, "SELECT current_setting('walwarden.credentials_file') <> ''");
    let storage = |name: &str, bucket: &str, more: &str| {
        format!(
            "SELECT walwarden.add_storage('{name}', 's3://{bucket}', \
             '{{\"endpoint\": \"{}\", \"allow_http\": true, \"region\": \"us-east-1\", \"timeout\": 2{more}}}')",
            server.endpoint()
        )
    };
    let bucket = S3Server::BUCKET;
    for (name, bucket, more) in [
        ("plain", bucket.to_owned(), r#", "profile": "good""#.to_owned()),
        ("customer", format!("{bucket}/c"), r#", "profile": "good", "sse": "customer""#.to_owned()),
        (
            "vault",
            format!("{bucket}/v"),
            format!(r#", "profile": "good", "age_recipients": ["{recipient}"]"#),
        ),
        ("wrong", format!("{bucket}/w"), r#", "profile": "wrong""#.to_owned()),
        ("token", format!("{bucket}/t"), r#", "profile": "token""#.to_owned()),
        ("unpaired", format!("{bucket}/u"), r#", "profile": "unpaired""#.to_owned()),
        ("short", format!("{bucket}/s"), r#", "profile": "short", "sse": "customer""#.to_owned()),
        ("nowhere", "no-such-bucket".to_owned(), r#", "profile": "good""#.to_owned()),
    ] {
        assert!(said.run(&storage(name, &bucket, &more)), "{name}: {}", said.all);
    }
    said.fails(&storage("bad", bucket, &format!(r#", "secret_access_key": "{}""#, "x")));
    for (name, url, profile) in
        [("azure", "az://account/container", "azure"), ("google", "gs://bucket-of-google", "google")]
    {
        assert!(said.run(&format!(
            "SELECT walwarden.add_storage('{name}', '{url}', \
             '{{\"endpoint\": \"http://127.0.0.1:1\", \"allow_http\": true, \"profile\": \"{profile}\", \"timeout\": 2}}')"
        )));
    }
    for (name, arguments) in [
        ("hook", "profile => 'hook'"),
        ("chat", "profile => 'hook', format => 'slack'"),
        ("down", "profile => 'down'"),
        ("far", "profile => 'far'"),
    ] {
        site.sql(&format!(
            "SELECT walwarden.add_webhook('{name}', {arguments}, events => '{{backup.completed,backup.failed,verify.failed,restore.failed}}')"
        ));
    }

    // What succeeds.
    back_up(cluster, APP, "");
    let mut jobs = Vec::new();
    for storage in ["plain", "customer", "vault"] {
        let row = back_up(cluster, APP, &format!("storage => '{storage}'"));
        jobs.push(text(&row, "id").to_owned());
        assert!(said.run(&format!("SELECT * FROM walwarden.check_storage('{storage}')")));
    }
    let with = format!("identity_file => '{}'", identity.display());
    let (plain, vault) = (&jobs[0], &jobs[2]);
    for call in [
        format!("verify('{plain}')"),
        format!("verify('{}')", jobs[1]),
        format!("verify('{vault}', {with})"),
        format!("restore_test('{vault}'::uuid, {with})"),
        format!("restore_table('{vault}', 'public.customer', 'public.again', {with})"),
    ] {
        let job = site.sql(&format!("SELECT walwarden.{call}"));
        let row = await_end(cluster, APP, &job);
        assert_eq!(text(&row, "state"), "completed", "{call}: {row:#}");
    }
    assert_eq!(text(&restore(cluster, APP, vault, &format!("'again', {with}")), "state"), "completed");
    let read = format!(
        "SELECT count(*) FROM walwarden.read_table('{vault}', 'public.customer', {with}) AS t(id integer)"
    );
    assert!(said.run(&read));
    // Not through `said`: the address itself is for its caller, and for nobody else.
    let url = site.sql(&format!("SELECT walwarden.download_url('{plain}')"));
    let (_, signature) = url.split_once("X-Amz-Signature=").expect("a signed address");
    secrets.add("the signature of a download", signature);

    // What fails.
    for storage in ["wrong", "token", "unpaired", "short", "nowhere", "azure", "google"] {
        let row = await_end(cluster, APP, &run_now(cluster, APP, &format!("storage => '{storage}'")));
        // Some servers take a token for nothing.
        assert!(storage == "token" || row["state"] == "failed", "{row:#}");
        said.all.push_str(&row.to_string());
        said.run(&format!("SELECT * FROM walwarden.check_storage('{storage}')"));
        said.run(&format!("SELECT * FROM walwarden.discover('{storage}', walwarden.public_key())"));
    }
    let other = format!("identity_file => '{}'", other_identity.display());
    said.fails(&format!("SELECT walwarden.verify('{vault}', {other})"));
    said.fails(&format!("SELECT walwarden.restore('{vault}', 'never', {other})"));
    // Files of another kind.
    for file in [&credentials, &google] {
        said.fails(&format!(
            "SELECT walwarden.restore('{vault}', 'never', identity_file => '{}')",
            file.display()
        ));
    }
    // What was right when it was asked for.
    let broken = private(cluster, "broken", &format!("{identity_secret}\n"));
    let job = site.sql(&format!(
        "BEGIN; SELECT walwarden.restore('{vault}', 'never', identity_file => '{}'); ROLLBACK",
        broken.display()
    ));
    assert!(!job.is_empty());
    let wrong_endpoint = r#"{"endpoint": "http://127.0.0.1:1", "allow_http": true, "region": "us-east-1", "timeout": 1, "profile": "good"}"#;
    site.sql(&format!("SELECT walwarden.alter_storage('plain', options => '{wrong_endpoint}')"));
    said.job_fails(&format!("verify('{plain}')"));
    said.job_fails(&format!("restore('{plain}', 'never')"));
    said.run("SELECT * FROM walwarden.send_test_notification()");
    hook.behave(Manner::Status(500));
    said.run("SELECT * FROM walwarden.send_test_notification()");
    hook.behave(Manner::Redirect(format!("{}/elsewhere", hook.url())));
    said.run("SELECT * FROM walwarden.send_test_notification()");
    hook.behave(Manner::Take);
    site.await_true(
        "every webhook to be tried",
        PATIENCE,
        "SELECT bool_and(EXISTS (SELECT FROM walwarden.notifications AS n WHERE n.webhook = w.name AND n.attempts > 0)) \
           FROM walwarden.webhooks AS w",
    );
    // A file that others can read, and one that is none.
    std::fs::set_permissions(&credentials, PermissionsExt::from_mode(0o644)).unwrap();
    said.fails("SELECT * FROM walwarden.check_storage('customer')");
    std::fs::set_permissions(&credentials, PermissionsExt::from_mode(0o600)).unwrap();
    std::fs::write(&credentials, format!("{MISPLACED}\n[good\naws_secret_access_key {WRONG_SECRET}\n"))
        .unwrap();
    said.fails("SELECT * FROM walwarden.check_storage('customer')");
    said.run("SELECT * FROM walwarden.send_test_notification()");

    // The signing key: its lines, and the seed that they hold.
    let pem = std::fs::read_to_string(cluster.data_dir().join("pg_walwarden/keys/signing.pem"))
        .expect("the signing key");
    let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    secrets.add("the signing key", &body);
    secrets.add("the seed of the signing key", seed(&pem, cluster));

    // Everywhere.
    wait_until("the jobs to end", PATIENCE, || {
        (site.sql("SELECT count(*) FROM walwarden.jobs WHERE finalized_at IS NULL") == "0").then_some(())
    });
    secrets.assert_not_in("what was said", said.all.as_bytes());
    let relations = site.sql("SELECT relname FROM pg_class WHERE relnamespace = 'walwarden'::regnamespace AND relkind IN ('r', 'v')");
    for relation in relations.lines() {
        let rows = site.sql(&format!("SELECT t::text, to_jsonb(t) FROM walwarden.{relation} AS t"));
        secrets.assert_not_in(&format!("walwarden.{relation}"), rows.as_bytes());
    }
    for query in [
        "SELECT t::text FROM pg_stat_activity AS t",
        "SELECT t::text FROM pg_settings AS t",
        "SELECT t::text FROM pg_file_settings AS t",
    ] {
        secrets.assert_not_in(query, site.sql(query).as_bytes());
    }
    for database in [APP, "again"] {
        secrets.assert_not_in("pg_dump", &cluster.pg_dump::<&str>(database, &[]));
    }
    let globals = run(&mut cluster.program("pg_dumpall"));
    assert!(globals.status.success());
    secrets.assert_not_in("pg_dumpall", &globals.stdout);
    let mut stored = Vec::new();
    files(&cluster.data_dir().join("pg_walwarden/backups"), &mut stored);
    for path in stored {
        secrets.assert_not_in(&path.display().to_string(), &std::fs::read(&path).unwrap());
    }
    let client = server.client();
    let mut readable = 0;
    for object in client.list(bucket, "").iter().filter(|object| !object.key.starts_with("c/")) {
        if let Some(bytes) = client.get(bucket, &object.key) {
            secrets.assert_not_in(&object.key, &bytes);
            readable += 1;
        }
    }
    assert!(readable >= 8, "{readable} objects of two backups");
    let taken = hook.taken();
    assert!(taken.len() >= 4, "{taken:?}");
    for taken in taken {
        secrets.assert_not_in("a notification", format!("{:?} {}", taken.headers, taken.body).as_bytes());
    }
    let log = std::fs::read(cluster.folder().join("log")).expect("the log");
    assert!(String::from_utf8_lossy(&log).contains("DEBUG:"), "debug5");
    println!("{} bytes of log", log.len());
    secrets.assert_not_in("the log", &log);
}

/// The 32 bytes of an Ed25519 key: the last of its PKCS#8 form.
fn seed(pem: &str, cluster: &Cluster) -> Vec<u8> {
    let path = cluster.folder().join("key.pem");
    std::fs::write(&path, pem).unwrap();
    let output = run(Command::new("openssl").args(["pkey", "-outform", "DER", "-in"]).arg(&path));
    std::fs::remove_file(&path).unwrap();
    assert!(output.status.success() && output.stdout.len() >= 48, "{output:?}");
    output.stdout[16..48].to_vec()
}
