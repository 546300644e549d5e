//! Single objects in S3: written once, read exactly, whatever the network and the server do.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod fault_server;

use std::time::{Duration, Instant};

use bytes::Bytes;
use fault_server::{BUCKET, Fault, FaultServer, KEY, SECRET, credentials, files, quick};
use hyper::Method;
use serde_json::json;
use walwarden_core::ErrorClass;
use walwarden_reach::{AllowList, Purpose};
use walwarden_store::{CredentialSource, Location, RetryPolicy, StorageOptions, Store};

const OBJECT: &str = "org/default/db/1/object";

fn bytes() -> Bytes {
    (0..100_000_u32).map(|i| (i % 241) as u8).collect::<Vec<u8>>().into()
}

/// Policies for faults that end only with the attempt's time.
fn impatient() -> RetryPolicy {
    RetryPolicy { attempt_timeout: Duration::from_millis(400), ..quick() }
}

#[tokio::test]
async fn objects_are_written_once_and_read_exactly() {
    let server = FaultServer::start().await;
    let store = server.store();
    assert!(!store.exists(OBJECT).await.unwrap());
    assert_eq!(store.size(OBJECT).await.unwrap_err().class, ErrorClass::StorageNotFound);
    assert_eq!(store.get(OBJECT).await.unwrap_err().class, ErrorClass::StorageNotFound);
    assert_eq!(store.get_range(OBJECT, 0, 1).await.unwrap_err().class, ErrorClass::StorageNotFound);

    store.put_new(OBJECT, bytes()).await.unwrap();
    assert_eq!(files(&server.bucket()), [format!("some/prefix/{OBJECT}")]);
    assert!(store.exists(OBJECT).await.unwrap());
    assert_eq!(store.size(OBJECT).await.unwrap(), 100_000);
    assert_eq!(store.get(OBJECT).await.unwrap(), bytes());
    assert_eq!(store.get_range(OBJECT, 99_990, 10).await.unwrap(), bytes().slice(99_990..));
    assert_eq!(store.get_range(OBJECT, 5, 0).await.unwrap(), Bytes::new());
    for (offset, length) in [(99_991, 10), (100_000, 1), (200_000, 5), (100_001, 0)] {
        let error = store.get_range(OBJECT, offset, length).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::StorageCorrupt, "{offset} {length}");
    }
    let error = store.get_range(OBJECT, u64::MAX, 2).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::InvalidInput);

    // The same bytes or others: an object that exists is a conflict.
    for again in [bytes(), Bytes::from_static(b"x")] {
        let error = store.put_new(OBJECT, again).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::StorageConflict);
        assert_eq!(
            error.message,
            format!("could not write object \"{OBJECT}\" in storage \"s3://{BUCKET}/some/prefix\"")
        );
    }
    store.delete(OBJECT).await.unwrap();
    store.delete(OBJECT).await.unwrap();
    assert!(!store.exists(OBJECT).await.unwrap());
}

#[tokio::test]
async fn an_empty_object_is_an_object() {
    let server = FaultServer::start().await;
    let store = server.store();
    store.put_new(OBJECT, Bytes::new()).await.unwrap();
    assert_eq!(store.get(OBJECT).await.unwrap(), Bytes::new());
    assert_eq!(store.size(OBJECT).await.unwrap(), 0);
}

#[tokio::test]
async fn every_passing_fault_of_a_put_is_overcome() {
    for fault in [
        Fault::Status(500, "InternalError"),
        Fault::Status(503, "SlowDown"),
        Fault::Status(503, ""),
        Fault::Status(429, ""),
        Fault::Status(400, "RequestTimeout"),
        Fault::Status(400, "ExpiredToken"),
        Fault::Status(403, "RequestTimeTooSkewed"),
        Fault::Status(409, "ConditionalRequestConflict"),
        Fault::OkWithError("InternalError"),
        Fault::Close,
        Fault::CloseMidBody,
        Fault::LoseReply,
        Fault::StatusAfter(500, "InternalError"),
        Fault::StatusAfter(503, ""),
    ] {
        let server = FaultServer::start().await;
        server.fail(Method::PUT, OBJECT, fault, 2);
        let store = server.store();
        store.put_new(OBJECT, bytes()).await.unwrap_or_else(|e| panic!("{fault:?}: {e}"));
        assert_eq!(store.get(OBJECT).await.unwrap(), bytes(), "{fault:?}");
        assert_ne!(server.faults_met(), 0);
    }
}

#[tokio::test]
async fn a_lost_reply_does_not_hide_someone_elses_object() {
    let server = FaultServer::start().await;
    let store = server.store();
    store.put_new(OBJECT, Bytes::from_static(b"theirs")).await.unwrap();
    for fault in [Fault::LoseReply, Fault::StatusAfter(500, "")] {
        server.fail(Method::PUT, OBJECT, fault, 1);
        let error = store.put_new(OBJECT, bytes()).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::StorageConflict, "{fault:?}");
    }
    // The same length, other bytes.
    server.fail(Method::PUT, OBJECT, Fault::LoseReply, 1);
    let error = store.put_new(OBJECT, Bytes::from_static(b"theirz")).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::StorageConflict);
    assert_eq!(store.get(OBJECT).await.unwrap(), Bytes::from_static(b"theirs"));
}

#[tokio::test]
async fn a_lost_reply_is_cleared_up_even_if_looking_fails_at_first() {
    let server = FaultServer::start().await;
    server.fail(Method::PUT, OBJECT, Fault::LoseReply, 1);
    server.fail(Method::HEAD, OBJECT, Fault::Status(500, ""), 2);
    server.store().put_new(OBJECT, bytes()).await.unwrap();
}

#[tokio::test]
async fn every_passing_fault_of_a_read_is_overcome() {
    for fault in [
        Fault::Status(500, "InternalError"),
        Fault::Status(503, ""),
        Fault::Status(400, "RequestTimeout"),
        Fault::Status(409, "OperationAborted"),
        Fault::OkWithError("InternalError"),
        Fault::OkWithError("AccessDenied"),
        Fault::Close,
        Fault::LoseReply,
        Fault::TruncateBody,
        Fault::ShortBody,
    ] {
        let server = FaultServer::start().await;
        let store = server.store();
        store.put_new(OBJECT, bytes()).await.unwrap();
        server.fail(Method::GET, OBJECT, fault, 2);
        assert_eq!(
            store.get(OBJECT).await.unwrap_or_else(|e| panic!("{fault:?}: {e}")),
            bytes(),
            "{fault:?}"
        );
        server.fail(Method::GET, OBJECT, fault, 2);
        assert_eq!(store.get_range(OBJECT, 7, 1000).await.unwrap(), bytes().slice(7..1007), "{fault:?}");
        assert_eq!(server.faults_met(), 4);
    }
}

#[tokio::test]
async fn every_passing_fault_of_looking_and_deleting_is_overcome() {
    for fault in [
        Fault::Status(500, ""),
        Fault::Status(503, ""),
        Fault::Close,
        Fault::LoseReply,
        Fault::Status(409, ""),
    ] {
        let server = FaultServer::start().await;
        let store = server.store();
        store.put_new(OBJECT, bytes()).await.unwrap();
        server.fail(Method::HEAD, OBJECT, fault, 2);
        assert!(store.exists(OBJECT).await.unwrap_or_else(|e| panic!("{fault:?}: {e}")));
        server.fail(Method::DELETE, OBJECT, fault, 2);
        store.delete(OBJECT).await.unwrap_or_else(|e| panic!("{fault:?}: {e}"));
        assert!(!store.exists(OBJECT).await.unwrap());
        assert_eq!(server.faults_met(), 4);
    }
}

#[tokio::test]
async fn a_server_that_hangs_is_left_in_time() {
    let server = FaultServer::start().await;
    let store = server.store_with(BUCKET, SECRET, impatient());
    server.fail(Method::PUT, OBJECT, Fault::Hang, 1);
    store.put_new(OBJECT, bytes()).await.unwrap();
    server.fail(Method::GET, OBJECT, Fault::Hang, 1);
    assert_eq!(store.get(OBJECT).await.unwrap(), bytes());

    let policy = RetryPolicy { budget: Duration::from_millis(600), ..impatient() };
    let store = server.store_with(BUCKET, SECRET, policy);
    server.fail(Method::GET, OBJECT, Fault::Hang, 100);
    let started = Instant::now();
    let error = store.get_range(OBJECT, 0, 10).await.unwrap_err();
    assert!(started.elapsed() < Duration::from_secs(5));
    assert_eq!(error.class, ErrorClass::StorageUnreachable);
    assert!(error.detail.unwrap().contains("no answer within"));
}

#[tokio::test]
async fn a_fault_that_does_not_pass_ends_with_its_class() {
    let policy = RetryPolicy { budget: Duration::from_millis(300), ..quick() };
    for (fault, class) in [
        (Fault::Status(500, "InternalError"), ErrorClass::StorageUnreachable),
        (Fault::Status(503, "SlowDown"), ErrorClass::StorageUnreachable),
        (Fault::Status(400, "RequestTimeout"), ErrorClass::StorageUnreachable),
        (Fault::Close, ErrorClass::StorageUnreachable),
        (Fault::Status(409, "ConditionalRequestConflict"), ErrorClass::Storage),
        (Fault::Status(507, ""), ErrorClass::StorageFull),
        (Fault::Status(403, "QuotaExceeded"), ErrorClass::StorageFull),
        (Fault::Status(403, "AccessDenied"), ErrorClass::StoragePermission),
        (Fault::Status(400, "Surprise"), ErrorClass::Storage),
    ] {
        let server = FaultServer::start().await;
        server.fail(Method::PUT, OBJECT, fault, 10_000);
        let error =
            server.store_with(BUCKET, SECRET, policy.clone()).put_new(OBJECT, bytes()).await.unwrap_err();
        assert_eq!(error.class, class, "{fault:?}: {error}");
        let detail = error.detail.unwrap();
        assert!(!detail.contains(SECRET) && detail.len() <= 600 && !detail.contains('\n'), "{detail}");
    }
}

#[tokio::test]
async fn wrong_keys_missing_buckets_and_dead_servers_are_told_apart() {
    let server = FaultServer::start().await;
    let store = server.store_with(BUCKET, "another-secret-canary", quick());
    let started = Instant::now();
    for error in [
        store.put_new(OBJECT, bytes()).await.unwrap_err(),
        store.get(OBJECT).await.unwrap_err(),
        store.exists(OBJECT).await.unwrap_err(),
        store.delete(OBJECT).await.unwrap_err(),
        store.begin_upload(OBJECT).await.unwrap_err(),
    ] {
        assert_eq!(error.class, ErrorClass::StoragePermission, "{error}");
        assert!(!format!("{error:?}").contains("canary"));
        assert!(error.hint.is_some());
    }
    assert!(started.elapsed() < Duration::from_secs(2), "final answers are not repeated");

    server.fail(Method::PUT, OBJECT, Fault::Status(404, "NoSuchBucket"), 1);
    let error = server.store().put_new(OBJECT, bytes()).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::StorageNotFound);
    assert!(error.hint.unwrap().contains("bucket"));
    server.fail(Method::DELETE, OBJECT, Fault::Status(404, "NoSuchBucket"), 1);
    assert_eq!(server.store().delete(OBJECT).await.unwrap_err().class, ErrorClass::StorageNotFound);

    // A port nobody listens on.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let location = Location::parse("s3://bucket").unwrap();
    let options = json!({"endpoint": format!("http://{free}"), "allow_http": true});
    let options = StorageOptions::parse(&location, &options).unwrap();
    let policy = RetryPolicy { budget: Duration::from_millis(200), ..quick() };
    let store = Store::open_with_policy(
        &location,
        &options,
        &credentials(KEY, SECRET),
        &AllowList::parse(Purpose::Storage, "127.0.0.1").unwrap(),
        policy,
    )
    .unwrap();
    let error = store.put_new(OBJECT, bytes()).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::StorageUnreachable);
    assert!(error.detail.unwrap().contains("refused"));
}

#[tokio::test]
async fn without_credentials_the_error_says_so_and_soon() {
    let server = FaultServer::start().await;
    let location = Location::parse("s3://bucket").unwrap();
    let options = StorageOptions::parse(&location, &server.options()).unwrap();
    let nowhere = [("AWS_METADATA_ENDPOINT".to_owned(), "http://127.0.0.1:1".to_owned())];
    let source = CredentialSource::from_variables(nowhere, None);
    let store =
        Store::open(&location, &options, &source, &AllowList::parse(Purpose::Storage, "127.0.0.1").unwrap())
            .unwrap();
    let started = Instant::now();
    let error = store.put_new(OBJECT, bytes()).await.unwrap_err();
    assert!(started.elapsed() < Duration::from_secs(10));
    assert_eq!(error.class, ErrorClass::StoragePermission);
    assert!(error.detail.unwrap().starts_with("no credentials"));
    assert!(error.hint.unwrap().contains("AWS_ACCESS_KEY_ID"));
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn a_profile_of_the_credentials_file_is_used() {
    use std::os::unix::fs::PermissionsExt;
    let server = FaultServer::start().await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::set_permissions(file.path(), PermissionsExt::from_mode(0o600)).unwrap();
    let content = format!(
        "[default]\naws_access_key_id=no\naws_secret_access_key=no\n[backup]\naws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\n"
    );
    std::fs::write(file.path(), content).unwrap();
    let location = Location::parse(&format!("s3://{BUCKET}")).unwrap();
    let mut options = server.options();
    options["profile"] = json!("backup");
    let options = StorageOptions::parse(&location, &options).unwrap();
    // The environment's keys are wrong, and must not be heeded.
    let variables = [
        ("AWS_ACCESS_KEY_ID", "no"),
        ("AWS_SECRET_ACCESS_KEY", "no"),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:1"),
    ];
    let source = CredentialSource::from_variables(
        variables.map(|(name, value)| (name.to_owned(), value.to_owned())),
        Some(file.path().to_owned()),
    );
    let store =
        Store::open(&location, &options, &source, &AllowList::parse(Purpose::Storage, "127.0.0.1").unwrap())
            .unwrap();
    store.put_new(OBJECT, bytes()).await.unwrap();
    assert!(!format!("{store:?} {source:?} {options:?}").contains(SECRET));
}

#[tokio::test]
async fn dropping_a_future_cancels_it() {
    let server = FaultServer::start().await;
    let store = server.store();
    server.fail(Method::PUT, OBJECT, Fault::Hang, 1);
    let canceled = tokio::time::timeout(Duration::from_millis(100), store.put_new(OBJECT, bytes())).await;
    assert!(canceled.is_err());
    store.put_new(OBJECT, bytes()).await.unwrap();
}
