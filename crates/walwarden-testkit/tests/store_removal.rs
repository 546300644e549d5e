//! Removal for good: all versions of an object, unless a lock keeps one of them.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod bucket;

use bucket::{Bucket, two_parts, upload};
use bytes::Bytes;
use chrono::{TimeDelta, Utc};
use serde_json::json;
use walwarden_core::ErrorClass;
use walwarden_store::{Removal, Retention};
use walwarden_testkit::S3Server;

const KEY: &str = "org/x/object";
const CONTENT: Bytes = Bytes::from_static(b"some bytes");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_left_without_versions() {
    let bucket = Bucket::plain();
    let store = bucket.store(json!({}));
    assert_eq!(store.remove(KEY).await.unwrap(), Removal::Gone, "nothing was there");
    store.put_new(KEY, CONTENT).await.unwrap();
    store.put_new("org/x/object.sig", CONTENT).await.unwrap();
    assert_eq!(store.retained(KEY).await.unwrap(), None);
    assert_eq!(store.remove(KEY).await.unwrap(), Removal::Gone);
    assert!(!store.exists(KEY).await.unwrap());
    assert!(store.exists("org/x/object.sig").await.unwrap(), "another key with the same beginning");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_version_goes_and_no_marker_stays() {
    let bucket = Bucket::with_versions();
    let store = bucket.store(json!({}));
    store.put_new(KEY, CONTENT).await.unwrap();
    store.put_new("org/x/object.sig", CONTENT).await.unwrap();
    // Somebody overwrites it, and deletes it as any client would.
    bucket.client().put(bucket.name, &Bucket::full(KEY), b"other bytes");
    bucket.client().delete(bucket.name, &Bucket::full(KEY));
    let versions = bucket.client().versions(bucket.name, &Bucket::full(KEY));
    assert_eq!(versions.len(), 4, "{versions:?}");
    assert!(!store.exists(KEY).await.unwrap());
    assert_eq!(store.remove(KEY).await.unwrap(), Removal::Gone);
    let left = bucket.client().versions(bucket.name, &Bucket::full("org"));
    assert_eq!(left.iter().map(|v| v.key.as_str()).collect::<Vec<_>>(), [Bucket::full("org/x/object.sig")]);
    assert_eq!(store.remove(KEY).await.unwrap(), Removal::Gone);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_written_with_a_lock_stays() {
    for mode in ["governance", "compliance"] {
        let bucket = Bucket::with_lock();
        let store = bucket.store(json!({"lock_mode": mode, "lock_days": 3}));
        let before = Utc::now();
        store.put_new(KEY, CONTENT).await.unwrap();
        upload(&store, "org/x/large", &two_parts()).await.unwrap();
        for key in [KEY, "org/x/large"] {
            let headers = bucket.client().head(bucket.name, &Bucket::full(key), &[]);
            assert_eq!(headers["x-amz-object-lock-mode"], mode.to_ascii_uppercase(), "{key}");
            let Some(Retention { until: Some(until) }) = store.retained(key).await.unwrap() else {
                panic!("{key} is not kept")
            };
            // In whole seconds.
            let length = until - before;
            assert!(length > TimeDelta::days(3) - TimeDelta::seconds(2), "{key}: {length}");
            assert!(until <= Utc::now() + TimeDelta::days(3), "{key}");

            let versions = bucket.client().versions(bucket.name, &Bucket::full(key));
            assert_eq!(store.remove(key).await.unwrap(), Removal::Retained { until: Some(until) }, "{key}");
            assert_eq!(bucket.client().versions(bucket.name, &Bucket::full(key)), versions, "untouched");
            assert_eq!(bucket.client().delete_version(bucket.name, &versions[0].key, &versions[0].id), 403);
            assert!(store.exists(key).await.unwrap());
        }
        // Hidden by a plain delete, it is kept all the same.
        bucket.client().delete(bucket.name, &Bucket::full(KEY));
        assert!(!store.exists(KEY).await.unwrap());
        assert!(matches!(store.remove(KEY).await.unwrap(), Removal::Retained { until: Some(_) }));
        assert!(matches!(store.retained(KEY).await.unwrap(), Some(Retention { until: Some(_) })));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_legal_hold_keeps_an_object_until_it_is_lifted() {
    let bucket = Bucket::with_lock();
    let store = bucket.store(json!({}));
    store.put_new(KEY, CONTENT).await.unwrap();
    bucket.client().set_legal_hold(bucket.name, &Bucket::full(KEY), true);
    assert_eq!(store.retained(KEY).await.unwrap(), Some(Retention { until: None }));
    assert_eq!(store.remove(KEY).await.unwrap(), Removal::Retained { until: None });
    assert!(store.exists(KEY).await.unwrap());
    bucket.client().set_legal_hold(bucket.name, &Bucket::full(KEY), false);
    assert_eq!(store.retained(KEY).await.unwrap(), None);
    assert_eq!(store.remove(KEY).await.unwrap(), Removal::Gone);
    assert_eq!(bucket.client().versions(bucket.name, ""), []);
}

/// The check of a locking storage leaves nothing, because its probes are not locked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_of_a_locking_storage_cleans_up() {
    let bucket = Bucket::with_lock();
    let steps = bucket.store(json!({"lock_mode": "compliance", "lock_days": 1})).check().await;
    assert!(steps.iter().all(|step| step.is_ok() && step.note().is_none()), "{steps:#?}");
    assert_eq!(bucket.client().versions(bucket.name, ""), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_permission_is_no_lock() {
    let bucket = Bucket::plain();
    let store = bucket.store(json!({}));
    store.put_new(KEY, CONTENT).await.unwrap();
    let reader = bucket.open(S3Server::READ_ONLY, json!({})).unwrap();
    let error = reader.remove(KEY).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::StoragePermission);
    assert!(error.hint.unwrap().contains("s3:DeleteObjectVersion"));
    assert!(store.exists(KEY).await.unwrap());
}
