//! Which hosts and folders storages may use: what the setting says, asked when a storage is defined and whenever it is used; no
//! redirect is followed, and TLS is verified.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test's support code fails by panicking"
)]

mod support;

use support::restores::fails;
use support::site::{APP, PATIENCE, Site};
use support::webhook_receiver::{Manner, WebhookReceiver};
use support::{await_end, back_up, run_now};
use walwarden_testkit::{Cluster, S3Server};

/// No word about storages in the settings.
const SILENT: &str = "walwarden.storage_allow = ''";

fn add_storage(name: &str, endpoint: &str) -> String {
    let options =
        format!(r#"{{"endpoint": "{endpoint}", "allow_http": true, "region": "us-east-1", "timeout": 5}}"#);
    format!("SELECT walwarden.add_storage('{name}', 's3://{}', '{options}')", S3Server::BUCKET)
}

fn allow(site: &Site, list: &str) {
    site.cluster.append_config(&format!("walwarden.storage_allow = '{list}'"));
    site.cluster.reload();
    let heard = format!("SELECT current_setting('walwarden.storage_allow') = '{list}'");
    site.await_true("the setting", PATIENCE, &heard);
}

fn refusal(site: &Site, statement: &str) -> String {
    site.cluster.try_sql(APP, statement).expect_err("it is refused")
}

#[test]
fn plain_http_takes_the_host_in_the_setting_and_is_asked_for_at_each_use() {
    let server = S3Server::start();
    let site = Site::local(Cluster::builder().config(SILENT).envs(server.env()));
    for endpoint in
        [server.endpoint(), "http://store.example.com".to_owned(), "http://2130706433:9000".to_owned()]
    {
        let told = refusal(&site, &add_storage("s3", &endpoint));
        assert!(told.contains("plain http") && told.contains("walwarden.storage_allow"), "{told}");
    }
    // A session cannot have it otherwise, not even with a value from before the library was loaded.
    let told = refusal(
        &site,
        &format!("SET walwarden.storage_allow = '127.0.0.1'; {}", add_storage("s3", &server.endpoint())),
    );
    assert!(told.contains("plain http") || told.contains("cannot be changed"), "{told}");

    allow(&site, &format!("store.example.com, {}", server.address()));
    site.sql(&add_storage("s3", &server.endpoint()));
    back_up(&site.cluster, APP, "storage => 's3'");
    for closed in ["127.0.0.1:1", "", "only, *.example.com"] {
        allow(&site, closed);
        let job = run_now(&site.cluster, APP, "storage => 's3'");
        let row = await_end(&site.cluster, APP, &job);
        fails(&row, "not_permitted", "the storage's host 127.0.0.1");
        assert!(row["error_hint"].as_str().unwrap().contains("walwarden.storage_allow"), "{row:#}");
    }
    allow(&site, "127.0.0.0/8");
    back_up(&site.cluster, APP, "storage => 's3'");
    allow(&site, "127.0.0.1/nonsense");
    let told = refusal(&site, &add_storage("other", &server.endpoint()));
    assert!(told.contains("setting walwarden.storage_allow: \"127.0.0.1/nonsense\""), "{told}");
}

/// Whatever the options and the setting say.
#[test]
fn nothing_goes_where_machines_hand_out_their_credentials() {
    let site = Site::local(Cluster::builder().config("walwarden.storage_allow = '0.0.0.0/0, ::/0'"));
    for endpoint in [
        "http://169.254.169.254",
        "https://169.254.169.254",
        "http://2852039166",
        "http://[::ffff:169.254.169.254]",
        "https://[fd00:ec2::254]",
        "http://[fe80::1]",
        "http://100.100.100.200",
    ] {
        let told = refusal(&site, &add_storage("s3", endpoint));
        assert!(told.contains("link-local") || told.contains("metadata"), "{endpoint}: {told}");
    }
}

/// The addresses of a name are known only when something connects.
#[test]
fn a_name_is_judged_by_its_addresses_when_it_is_used() {
    let server = S3Server::start_with_tls();
    let site = Site::local(
        Cluster::builder().config("walwarden.storage_allow = 'only, 10.0.0.0/8'").envs(server.env()),
    );
    site.sql(&add_storage("s3", &server.https_endpoint()));
    let job = run_now(&site.cluster, APP, "storage => 's3'");
    let row = await_end(&site.cluster, APP, &job);
    fails(&row, "not_permitted", "the storage's host localhost");
}

#[test]
fn no_redirect_is_followed() {
    let (elsewhere, here) = (WebhookReceiver::start(Manner::Take), WebhookReceiver::start(Manner::Take));
    here.behave(Manner::Redirect(elsewhere.url()));
    let environment = [("AWS_ACCESS_KEY_ID", "key"), ("AWS_SECRET_ACCESS_KEY", "secret")];
    let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let site = Site::local(Cluster::builder().envs(environment));
    let endpoint = format!("http://127.0.0.1:{}", here.port());
    site.sql(&add_storage("s3", &endpoint));
    let steps = site.sql("SELECT step, ok FROM walwarden.check_storage('s3')");
    assert!(steps.contains("|f"), "{steps}");
    assert!(here.connections() > 0);
    assert_eq!(elsewhere.connections(), 0);
}

#[test]
fn an_unknown_authority_is_refused_and_a_private_one_is_trusted_when_the_server_is_told() {
    let server = S3Server::start_with_tls();
    let site = Site::local(Cluster::builder().config(SILENT).envs(server.env()));
    site.sql(&add_storage("s3", &server.https_endpoint()));
    let job = run_now(&site.cluster, APP, "storage => 's3'");
    let row = await_end(&site.cluster, APP, &job);
    fails(&row, "storage_unreachable", "certificate");
    assert!(row["error_hint"].as_str().unwrap().contains("trust store"), "{row:#}");
    drop(site);

    let authority = [("SSL_CERT_FILE".to_owned(), server.authority().display().to_string())];
    // The server's user reads it.
    let site = Site::local(Cluster::builder().config(SILENT).envs(server.env()).envs(authority));
    site.sql(&add_storage("s3", &server.https_endpoint()));
    back_up(&site.cluster, APP, "storage => 's3'");
    // By name: the certificate is none for this one.
    let other = server.https_endpoint().replace("localhost", "127.0.0.1");
    site.sql(&add_storage("other", &other));
    let job = run_now(&site.cluster, APP, "storage => 'other'");
    fails(&await_end(&site.cluster, APP, &job), "storage_unreachable", "certificate");
}

#[test]
fn folders_are_for_those_who_may_write_files_of_the_server() {
    let site = Site::local(Cluster::builder().config(SILENT));
    let folder = site.cluster.new_server_folder("mounted");
    site.sql(
        "CREATE ROLE keeper LOGIN; GRANT USAGE ON SCHEMA walwarden TO keeper; \
         GRANT EXECUTE ON FUNCTION walwarden.add_storage(text, text, jsonb), walwarden.alter_storage(text, text, jsonb) TO keeper",
    );
    let as_keeper = |statement: &str| format!("SET SESSION AUTHORIZATION keeper; {statement}");
    let add = |name: &str, folder: &str| format!("SELECT walwarden.add_storage('{name}', 'file://{folder}')");
    let inside = format!("{}/backups", folder.display());
    for closed in [inside.as_str(), "/tmp", "/etc"] {
        let told = refusal(&site, &as_keeper(&add("kept", closed)));
        assert!(told.contains("pg_write_server_files") && told.contains("walwarden.storage_allow"), "{told}");
    }
    let told = refusal(&site, &as_keeper("SELECT walwarden.alter_storage('local', 'file:///tmp')"));
    assert!(told.contains("permission denied to store in folder"), "{told}");
    let default = site.cluster.data_dir().join("pg_walwarden/backups/more");
    site.sql(&as_keeper(&add("below", &default.display().to_string())));

    allow(&site, &folder.display().to_string());
    site.sql(&as_keeper(&add("kept", &inside)));
    let told = refusal(&site, &as_keeper(&add("beside", &format!("{}2", folder.display()))));
    assert!(told.contains("permission denied"), "{told}");
    back_up(&site.cluster, APP, "storage => 'kept'");
    // A superuser needs no list.
    site.sql(&add("anywhere", &format!("{}/anywhere", site.cluster.folder().display())));
    site.sql("GRANT pg_write_server_files TO keeper");
    site.sql(&as_keeper(&add("elsewhere", &format!("{}/elsewhere", site.cluster.folder().display()))));
}
