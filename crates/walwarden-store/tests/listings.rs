//! Listings: every object and nothing else, in S3 and in a folder, or an error.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod fault_server;

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use fault_server::{BUCKET, Fault, FaultServer, SECRET, quick};
use hyper::Method;
use walwarden_core::ErrorClass;
use walwarden_reach::{AllowList, Purpose};
use walwarden_store::{CredentialSource, Location, RetryPolicy, StorageOptions, Store};

fn folder(root: &Path) -> Store {
    let location = Location::from_folder(root).unwrap();
    let options = StorageOptions::parse(&location, &serde_json::json!({})).unwrap();
    Store::open(
        &location,
        &options,
        &CredentialSource::from_variables([], None),
        &AllowList::parse(Purpose::Storage, "127.0.0.1").unwrap(),
    )
    .unwrap()
}

/// Objects that a listing of `org` has, and some that it has not.
async fn fill(store: &Store) {
    for key in ["org/b", "org/a/x.dump", "org/a/y/z", "org/a.b", "organs", "other/org/x"] {
        store.put_new(key, Bytes::from(vec![0; key.len()])).await.unwrap();
    }
}

async fn listed(store: &Store) -> Vec<(String, u64)> {
    store.list("org").await.unwrap().into_iter().map(|object| (object.key, object.size)).collect()
}

fn expected() -> Vec<(String, u64)> {
    ["org/a.b", "org/a/x.dump", "org/a/y/z", "org/b"].map(|key| (key.to_owned(), key.len() as u64)).to_vec()
}

#[tokio::test]
async fn what_is_below_a_folder_is_listed_with_its_size() {
    let server = FaultServer::start().await;
    let root = tempfile::tempdir().unwrap();
    for store in [server.store(), folder(root.path())] {
        assert_eq!(listed(&store).await, []);
        fill(&store).await;
        assert_eq!(listed(&store).await, expected());
        assert_eq!(store.list("org/a").await.unwrap().len(), 2);
        assert_eq!(store.list("org/b").await.unwrap(), [], "an object is no folder");
        for (after, left) in [("org/a/x.dump", 2), ("org/a/x", 3), ("org/zzz", 0), ("org/a.b", 3), ("a", 4)] {
            let newer = store.list_after("org", after).await.unwrap();
            let keys: Vec<_> = newer.into_iter().map(|object| (object.key, object.size)).collect();
            assert_eq!(keys, expected()[4 - left..], "after {after}");
        }
        for bad in ["", "/", "..", "org/"] {
            assert_eq!(store.list(bad).await.unwrap_err().class, ErrorClass::InvalidInput);
        }
    }
}

#[tokio::test]
async fn every_page_is_asked_for() {
    let server = FaultServer::start().await;
    let inside = server.bucket().join("some/prefix/org");
    std::fs::create_dir_all(&inside).unwrap();
    for number in 0..2500 {
        std::fs::write(inside.join(format!("{number:05}")), b"x").unwrap();
    }
    server.fail(Method::GET, "continuation-token", Fault::Status(503, "SlowDown"), 2);
    let objects = server.store().list("org").await.unwrap();
    let keys: Vec<String> = (0..2500).map(|number| format!("org/{number:05}")).collect();
    assert_eq!(objects.into_iter().map(|object| object.key).collect::<Vec<_>>(), keys);
    assert_eq!(server.faults_met(), 2);
}

#[tokio::test]
async fn every_passing_fault_of_a_listing_is_overcome() {
    for fault in [
        Fault::Status(500, "InternalError"),
        Fault::Status(503, ""),
        Fault::Status(400, "RequestTimeout"),
        Fault::Status(403, "RequestTimeTooSkewed"),
        Fault::Status(409, "OperationAborted"),
        Fault::OkWithError("InternalError"),
        Fault::OkWithError(""),
        Fault::Close,
        Fault::LoseReply,
        Fault::TruncateBody,
        Fault::ShortBody,
    ] {
        let server = FaultServer::start().await;
        let store = server.store();
        fill(&store).await;
        server.fail(Method::GET, "list-type", fault, 2);
        assert_eq!(listed(&store).await, expected(), "{fault:?}");
        assert_eq!(server.faults_met(), 2, "{fault:?}");
    }
}

#[tokio::test]
async fn an_error_is_never_an_empty_listing() {
    let policy = RetryPolicy { budget: Duration::from_millis(300), ..quick() };
    for (fault, class) in [
        (Fault::OkWithError("AccessDenied"), ErrorClass::StoragePermission),
        (Fault::OkWithError("InternalError"), ErrorClass::StorageUnreachable),
        (Fault::OkWithError(""), ErrorClass::Storage),
        (Fault::Status(404, "NoSuchBucket"), ErrorClass::StorageNotFound),
        (Fault::Status(403, "AccessDenied"), ErrorClass::StoragePermission),
        (Fault::Close, ErrorClass::StorageUnreachable),
    ] {
        let server = FaultServer::start().await;
        server.fail(Method::GET, "list-type", fault, 10_000);
        let store = server.store_with(BUCKET, SECRET, policy.clone());
        let error = store.list("org").await.unwrap_err();
        assert_eq!(error.class, class, "{fault:?}: {error}");
        assert!(error.message.contains("could not list folder \"org\""), "{error}");
        assert!(!format!("{error:?}").contains(SECRET));
    }
    let server = FaultServer::start().await;
    let error = server.store_with("nowhere", SECRET, policy.clone()).list("org").await.unwrap_err();
    assert_eq!(error.class, ErrorClass::StorageNotFound);
    let error = server.store_with(BUCKET, "another-secret", policy).list("org").await.unwrap_err();
    assert_eq!(error.class, ErrorClass::StoragePermission);
}

#[tokio::test]
async fn staged_files_links_and_odd_names_are_no_objects() {
    let root = tempfile::tempdir().unwrap();
    let store = folder(root.path());
    fill(&store).await;
    let upload = store.begin_upload("org/a/unfinished").await.unwrap();
    let inside = root.path().join("org");
    std::os::unix::fs::symlink(inside.join("b"), inside.join("link")).unwrap();
    std::os::unix::fs::symlink(root.path().join("other"), inside.join("linked")).unwrap();
    std::os::unix::fs::symlink(&inside, inside.join("circle")).unwrap();
    std::fs::write(inside.join("a b"), b"").unwrap();
    std::fs::write(inside.join("ümlaut"), b"").unwrap();
    assert_eq!(listed(&store).await, expected());
    store.abort_upload("org/a/unfinished", upload.id()).await.unwrap();

    std::fs::rename(&inside, root.path().join("elsewhere")).unwrap();
    std::os::unix::fs::symlink(root.path().join("elsewhere"), &inside).unwrap();
    assert_eq!(listed(&store).await, []);
}

#[tokio::test]
async fn a_folder_that_cannot_be_read_is_an_error() {
    if rustix::process::geteuid().is_root() {
        // Root may read everything.
        return;
    }
    let root = tempfile::tempdir().unwrap();
    let store = folder(root.path());
    fill(&store).await;
    let closed = root.path().join("org/a");
    std::fs::set_permissions(&closed, std::os::unix::fs::PermissionsExt::from_mode(0o000)).unwrap();
    let error = store.list("org").await.unwrap_err();
    std::fs::set_permissions(&closed, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    assert_eq!(error.class, ErrorClass::StoragePermission);
}
