//! Google Cloud Storage: what leaves us, and what is made of the answers.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod fault_server;

use std::collections::HashSet;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use bytes::Bytes;
use fault_server::{BUCKET, Fault, FaultServer, files, quick};
use hyper::Method;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use walwarden_core::ErrorClass;
use walwarden_reach::{AllowList, Purpose};
use walwarden_store::{CredentialSource, Location, Removal, StorageOptions, Store, UploadItem};

const SMALL: &str = "org/x/small";
const LARGE: &str = "org/x/large";

/// A credentials file with a service account, in a folder that goes with the test.
struct Account {
    folder: tempfile::TempDir,
}

impl Account {
    fn new() -> Self {
        let account = Self { folder: tempfile::tempdir().unwrap() };
        let made = Command::new("openssl")
            .args(["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-outform", "PEM"])
            .output()
            .unwrap();
        assert!(made.status.success());
        let key = json!({
            "type": "service_account", "private_key": String::from_utf8(made.stdout).unwrap(),
            "private_key_id": "1", "client_email": "backup@example.iam.gserviceaccount.com",
            // Where a storage is, is said by its URL and its options alone.
            "gcs_base_url": "http://127.0.0.1:1",
        });
        let file = account.write("key.json", &key.to_string());
        account.write("credentials", &format!("[p]\ngoogle_service_account = {file}\n"));
        account
    }

    fn write(&self, name: &str, content: &str) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn store(&self, server: &FaultServer, more: Value) -> Store {
        let location = Location::parse(&format!("gs://{BUCKET}/some/prefix")).unwrap();
        let mut options = json!({"endpoint": server.endpoint(), "allow_http": true, "profile": "p"});
        for (name, value) in more.as_object().unwrap() {
            options[name] = value.clone();
        }
        let options = StorageOptions::parse(&location, &options).unwrap();
        let source = CredentialSource::from_variables([], Some(self.folder.path().join("credentials")));
        Store::open_with_policy(
            &location,
            &options,
            &source,
            &AllowList::parse(Purpose::Storage, "127.0.0.1").unwrap(),
            quick(),
        )
        .unwrap()
    }
}

fn two_parts() -> Bytes {
    (0..(5 << 20) + 1000).map(|n: u32| (n % 251) as u8).collect::<Vec<_>>().into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_is_written_read_and_removed() {
    let (server, account) = (FaultServer::start_google().await, Account::new());
    let store = account.store(&server, json!({}));
    assert_eq!(store.url(), "gs://backups/some/prefix");
    store.put_new(SMALL, Bytes::from_static(b"small")).await.unwrap();
    let conflict = store.put_new(SMALL, Bytes::from_static(b"other")).await.unwrap_err();
    assert_eq!(conflict.class, ErrorClass::StorageConflict);

    server.fail(Method::PUT, "partNumber=1", Fault::Status(503, ""), 1);
    server.fail(Method::POST, "uploadId", Fault::LoseReply, 1);
    let begun = store.begin_upload(LARGE).await.unwrap();
    let (sender, receiver) = mpsc::channel(2);
    sender.send(UploadItem::Bytes(two_parts())).await.unwrap();
    sender.send(UploadItem::End).await.unwrap();
    let uploaded = begun.run(receiver, 5 << 20, 2, Arc::default()).await.unwrap();
    let progress = AtomicU64::new(0);
    store.verify_object(LARGE, uploaded.size, &uploaded.parts, &uploaded.sha256, &progress, 2).await.unwrap();
    assert_eq!(store.get_range(SMALL, 1, 3).await.unwrap(), "mal");

    let listed = store.list("org").await.unwrap();
    let listed: Vec<_> = listed.iter().map(|object| (object.key.as_str(), object.size)).collect();
    assert_eq!(listed, [(LARGE, (5 << 20) + 1000), (SMALL, 5)]);
    for key in [SMALL, LARGE] {
        assert_eq!(store.retained(key).await.unwrap(), None);
        assert_eq!(store.remove(key).await.unwrap(), Removal::Gone);
        assert_eq!(store.remove(key).await.unwrap(), Removal::Gone);
    }
    assert!(files(&server.bucket()).is_empty());
    for line in server.seen() {
        let bearer = server.headers_of(&[&line])["authorization"].to_str().unwrap().to_owned();
        assert!(bearer.starts_with("Bearer ey"), "{line}");
    }
}

#[tokio::test]
async fn the_storage_class_is_in_the_requests_that_make_objects() {
    let (server, account) = (FaultServer::start_google().await, Account::new());
    let store = account.store(&server, json!({"storage_class": "NEARLINE"}));
    store.put_new(SMALL, Bytes::from_static(b"small")).await.unwrap();
    let begun = store.begin_upload(LARGE).await.unwrap();
    for request in [["PUT", "small"], ["POST", "uploads"]] {
        assert_eq!(server.headers_of(&request)["x-goog-storage-class"], "NEARLINE");
    }
    store.abort_upload(LARGE, begun.id()).await.unwrap();
    assert!(server.pending_uploads().is_empty());
}

#[tokio::test]
async fn uploads_that_nobody_completed_are_found() {
    const FOUND: &str = "<ListMultipartUploadsResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
        <Upload><Key>some/prefix/org/x</Key><UploadId>1</UploadId><Initiated>2026-03-07T12:00:00.123Z</Initiated></Upload>\
        <IsTruncated>false</IsTruncated></ListMultipartUploadsResult>";
    let (server, account) = (FaultServer::start_google().await, Account::new());
    let store = account.store(&server, json!({}));
    server.fail(Method::GET, "uploads=", Fault::Status(503, ""), 1);
    server.fail(Method::GET, "uploads=", Fault::Reply(FOUND), 1);
    server.fail(Method::DELETE, "uploadId=1", Fault::Reply(""), 1);
    let aborted = store.abort_orphans("org", &HashSet::new(), Duration::from_secs(3600)).await.unwrap();
    assert_eq!(aborted.iter().map(|upload| upload.key.as_str()).collect::<Vec<_>>(), ["org/x"]);
    assert!(
        server
            .seen()
            .iter()
            .any(|line| line.starts_with("GET /backups?prefix=some%2Fprefix%2Forg%2F&uploads="))
    );
    server.fail(Method::GET, "uploads=", Fault::Reply("<html/>"), 10_000);
    assert!(store.list_uploads("org").await.is_err());
}

#[tokio::test]
async fn what_a_retention_policy_keeps_is_retained() {
    let (server, account) = (FaultServer::start_google().await, Account::new());
    let store = account.store(&server, json!({}));
    store.put_new(SMALL, Bytes::from_static(b"small")).await.unwrap();
    server.fail(Method::DELETE, "small", Fault::Status(403, "RetentionPolicyNotMet"), 1);
    assert_eq!(store.remove(SMALL).await.unwrap(), Removal::Retained { until: None });
    server.fail(Method::DELETE, "small", Fault::Status(403, "AccessDenied"), 1);
    assert_eq!(store.remove(SMALL).await.unwrap_err().class, ErrorClass::StoragePermission);
}

#[tokio::test]
async fn addresses_are_signed_with_the_accounts_key() {
    let (server, account) = (FaultServer::start_google().await, Account::new());
    let store = account.store(&server, json!({}));
    store.put_new(SMALL, Bytes::from_static(b"small")).await.unwrap();
    let url = store.download_url(SMALL, Duration::from_secs(600)).await.unwrap();
    for part in
        ["/backups/some", "X-Goog-Algorithm=GOOG4-RSA-SHA256", "X-Goog-Expires=600", "X-Goog-Signature="]
    {
        assert!(url.expose().contains(part), "{part}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_check_passes_but_for_what_this_server_lacks() {
    let (server, account) = (FaultServer::start_google().await, Account::new());
    let steps = account.store(&server, json!({})).check().await;
    assert!(steps.iter().all(walwarden_store::CheckStep::is_ok), "{steps:#?}");
    let noted: Vec<_> = steps.iter().filter(|step| step.note().is_some()).map(|step| step.step).collect();
    assert_eq!(noted, ["find an upload"]);
    assert!(files(&server.bucket()).is_empty() && server.pending_uploads().is_empty());
}

#[tokio::test]
async fn an_error_in_a_listing_is_never_an_empty_one() {
    let (server, account) = (FaultServer::start_google().await, Account::new());
    let store = account.store(&server, json!({}));
    server.fail(Method::GET, "list-type", Fault::OkWithError("AccessDenied"), 10_000);
    assert_eq!(store.list("org").await.unwrap_err().class, ErrorClass::StoragePermission);
}
