//! Uploads that nobody completed: found in a bucket and in a folder, and aborted if they are old and nobody's.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod bucket;

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use bucket::Bucket;
use bytes::Bytes;
use chrono::{TimeDelta, Utc};
use serde_json::json;
use walwarden_core::ErrorClass;
use walwarden_reach::{AllowList, Purpose};
use walwarden_store::{CredentialSource, Location, StorageOptions, Store};
use walwarden_testkit::S3Server;

fn folder(root: &Path) -> Store {
    let location = Location::from_folder(root).unwrap();
    let options = StorageOptions::parse(&location, &json!({})).unwrap();
    Store::open(
        &location,
        &options,
        &CredentialSource::from_variables([], None),
        &AllowList::parse(Purpose::Storage, "127.0.0.1").unwrap(),
    )
    .unwrap()
}

/// Begins an upload and forgets it, as a crash does; gives its id.
async fn forget(store: &Store, key: &str) -> String {
    store.begin_upload(key).await.unwrap().id().to_owned()
}

async fn orphans_are_found_and_aborted(store: &Store) {
    let before = Utc::now() - TimeDelta::minutes(5);
    assert_eq!(store.list_uploads("org").await.unwrap(), []);
    let first = forget(store, "org/b/1.dump").await;
    let second = forget(store, "org/b/1.dump").await;
    let known = forget(store, "org/a/2.dump").await;
    forget(store, "organs/3.dump").await;
    store.put_new("org/b/object", Bytes::from_static(b"x")).await.unwrap();

    let found = store.list_uploads("org").await.unwrap();
    let keys: Vec<_> = found.iter().map(|upload| upload.key.as_str()).collect();
    assert_eq!(keys, ["org/a/2.dump", "org/b/1.dump", "org/b/1.dump"]);
    let ids: HashSet<_> = found.iter().map(|upload| upload.id.clone()).collect();
    assert_eq!(ids, HashSet::from([first.clone(), second.clone(), known.clone()]));
    assert!(found.iter().all(|upload| upload.initiated > before && upload.initiated <= Utc::now()));
    assert_eq!(store.list_uploads("org/a").await.unwrap().len(), 1);

    let known = HashSet::from([known]);
    assert_eq!(store.abort_orphans("org", &known, Duration::from_secs(3600)).await.unwrap(), []);
    assert_eq!(store.list_uploads("org").await.unwrap().len(), 3);
    let aborted = store.abort_orphans("org", &known, Duration::ZERO).await.unwrap();
    let ids: HashSet<_> = aborted.into_iter().map(|upload| upload.id).collect();
    assert_eq!(ids, HashSet::from([first, second]));
    let left = store.list_uploads("org").await.unwrap();
    assert_eq!(left.iter().map(|upload| upload.key.as_str()).collect::<Vec<_>>(), ["org/a/2.dump"]);
    assert_eq!(store.list_uploads("organs").await.unwrap().len(), 1);
    assert!(store.exists("org/b/object").await.unwrap());
    for bad in ["", "/", "..", "org/"] {
        assert_eq!(store.list_uploads(bad).await.unwrap_err().class, ErrorClass::InvalidInput);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orphans_in_a_bucket() {
    let bucket = Bucket::plain();
    orphans_are_found_and_aborted(&bucket.store(json!({}))).await;
    let mut pending = bucket.client().pending_uploads(bucket.name);
    pending.sort();
    assert_eq!(pending, [Bucket::full("org/a/2.dump"), Bucket::full("organs/3.dump")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orphans_in_a_folder() {
    let root = tempfile::tempdir().unwrap();
    orphans_are_found_and_aborted(&folder(root.path())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_page_of_uploads_is_asked_for() {
    let bucket = Bucket::plain();
    let store = bucket.store(json!({}));
    // A page has a thousand.
    for number in 0..1050 {
        forget(&store, &format!("org/many/{number:04}")).await;
    }
    let found = store.list_uploads("org").await.unwrap();
    let keys: Vec<_> = found.into_iter().map(|upload| upload.key).collect();
    assert_eq!(keys, (0..1050).map(|number| format!("org/many/{number:04}")).collect::<Vec<_>>());
    assert_eq!(store.abort_orphans("org", &HashSet::new(), Duration::ZERO).await.unwrap().len(), 1050);
    assert_eq!(bucket.client().pending_uploads(bucket.name), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_aborted_is_an_error_with_its_count() {
    let bucket = Bucket::plain();
    let store = bucket.store(json!({}));
    forget(&store, "org/1").await;
    forget(&store, "org/2").await;
    let reader = bucket.open(S3Server::READ_ONLY, json!({})).unwrap();
    let error = reader.abort_orphans("org", &HashSet::new(), Duration::ZERO).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::StoragePermission);
    assert!(error.detail.unwrap().ends_with("2 uploads could not be aborted, 0 were"));
    assert_eq!(store.list_uploads("org").await.unwrap().len(), 2);
}
