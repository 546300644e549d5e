//! Every option of S3 storages that the server knows: what is written with it, by a small put and by an upload in parts, is
//! kept with it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod bucket;

use std::sync::atomic::AtomicU64;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bucket::{Bucket, CUSTOMER_KEY, two_parts, upload};
use bytes::Bytes;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use walwarden_core::ErrorClass;
use walwarden_store::Store;
use walwarden_testkit::S3Server;

const SMALL: &str = "org/x/small";
const LARGE: &str = "org/x/large";
const CONTENT: Bytes = Bytes::from_static(b"some bytes");

/// Writes both objects, and proves both as a backup does.
async fn write_both(store: &Store) {
    store.put_new(SMALL, CONTENT).await.unwrap();
    let bytes = two_parts();
    let uploaded = upload(store, LARGE, &bytes).await.unwrap();
    assert_eq!(uploaded.parts.len(), 2);
    let progress = AtomicU64::new(0);
    store.verify_object(LARGE, uploaded.size, &uploaded.parts, &uploaded.sha256, &progress, 2).await.unwrap();
    assert_eq!(store.get(SMALL).await.unwrap(), CONTENT);
    assert_eq!(store.get_range(LARGE, 5 << 20, 10).await.unwrap(), bytes.slice(5 << 20..(5 << 20) + 10));
    assert_eq!(store.size(LARGE).await.unwrap(), bytes.len() as u64);
    let conflict = store.put_new(SMALL, CONTENT).await.unwrap_err();
    assert_eq!(conflict.class, ErrorClass::StorageConflict);
}

/// Both objects are kept with a header of this value.
fn assert_kept(bucket: &Bucket, header: &str, value: &str) {
    for key in [SMALL, LARGE] {
        let headers = bucket.client().head(bucket.name, &Bucket::full(key), &[]);
        assert_eq!(headers.get(header).map(String::as_str), Some(value), "{key}: {headers:?}");
    }
}

async fn written(more: Value) -> (Bucket, Store) {
    let bucket = Bucket::plain();
    let store = bucket.store(more);
    write_both(&store).await;
    (bucket, store)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_storage_class_is_kept() {
    let (bucket, _) = written(json!({"storage_class": "STANDARD_IA"})).await;
    assert_kept(&bucket, "x-amz-storage-class", "STANDARD_IA");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tags_are_kept() {
    let (bucket, _) = written(json!({"tags": {"team": "db", "keep for": "7 years + 1/2"}})).await;
    for key in [SMALL, LARGE] {
        let tags = bucket.client().tags(bucket.name, &Bucket::full(key));
        let expected = [("keep for", "7 years + 1/2"), ("team", "db")];
        assert_eq!(tags, expected.map(|(name, value)| (name.to_owned(), value.to_owned())), "{key}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_encrypts() {
    let (bucket, _) = written(json!({"sse": "AES256"})).await;
    assert_kept(&bucket, "x-amz-server-side-encryption", "AES256");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_encrypts_with_a_key_of_kms() {
    let (bucket, _) = written(json!({"sse": "aws:kms", "sse_kms_key_id": "backups-key"})).await;
    assert_kept(&bucket, "x-amz-server-side-encryption", "aws:kms");
    assert_kept(&bucket, "x-amz-server-side-encryption-aws-kms-key-id", "backups-key");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_customers_key_is_needed_for_every_request() {
    for checksum in ["none", "sha256"] {
        let (bucket, store) = written(json!({"sse": "customer", "checksum": checksum})).await;
        for key in [SMALL, LARGE] {
            assert_eq!(bucket.client().get_status(bucket.name, &Bucket::full(key)), 400, "{key}");
        }
        let without = bucket.store(json!({}));
        assert!(without.get(SMALL).await.is_err());
        assert_eq!(store.retained(SMALL).await.unwrap(), None);
        let error = store.download_url(SMALL, std::time::Duration::from_secs(60)).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::InvalidInput);
        assert!(!format!("{store:?} {error:?}").contains(CUSTOMER_KEY));
        let steps = store.check().await;
        assert!(steps.iter().all(walwarden_store::CheckStep::is_ok), "{steps:#?}");
        assert!(!format!("{steps:?}").contains(CUSTOMER_KEY));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn checksums_go_along_and_are_kept() {
    let (bucket, _) = written(json!({"checksum": "sha256"})).await;
    let mode = [("x-amz-checksum-mode", "ENABLED")];
    let headers = bucket.client().head(bucket.name, &Bucket::full(SMALL), &mode);
    let sha256 = BASE64_STANDARD.encode(Sha256::digest(&CONTENT));
    assert_eq!(headers.get("x-amz-checksum-sha256"), Some(&sha256), "{headers:?}");
    let headers = bucket.client().head(bucket.name, &Bucket::full(LARGE), &mode);
    assert!(headers["x-amz-checksum-sha256"].ends_with("-2"), "{headers:?}");

    let (bucket, _) = written(json!({"checksum": "crc64nvme"})).await;
    for key in [SMALL, LARGE] {
        let headers = bucket.client().head(bucket.name, &Bucket::full(key), &mode);
        assert!(headers.contains_key("x-amz-checksum-crc64nvme"), "{key}: {headers:?}");
    }
}

/// Without conditional writes, an object that is there is still never overwritten by us.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_without_conditional_writes_is_asked_first() {
    let (_bucket, store) = written(json!({"conditional_writes": false})).await;
    let steps = store.check().await;
    assert!(steps.iter().all(walwarden_store::CheckStep::is_ok), "{steps:#?}");
    let noted: Vec<_> = steps.iter().filter(|step| step.note().is_some()).map(|step| step.step).collect();
    assert_eq!(noted, ["refuse to overwrite"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_good_bucket_passes_every_step_of_the_check() {
    for bucket in [Bucket::plain(), Bucket::with_versions(), Bucket::with_lock()] {
        let steps = bucket.store(json!({})).check().await;
        assert!(
            steps.iter().all(|step| step.is_ok() && step.note().is_none()),
            "{}: {steps:#?}",
            bucket.name
        );
        assert_eq!(steps.len(), 12);
        assert_eq!(bucket.client().versions(bucket.name, ""), [], "{}", bucket.name);
        assert_eq!(bucket.client().pending_uploads(bucket.name), [""; 0]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_says_what_a_bucket_or_an_identity_cannot_do() {
    let bucket = Bucket::plain();
    let locking = bucket.store(json!({"lock_mode": "governance", "lock_days": 1}));
    let steps = locking.check().await;
    let failed: Vec<_> = steps.iter().filter(|step| !step.is_ok()).collect();
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0].step, "ask about versions and locks");
    assert!(failed[0].note().unwrap().contains("Object Lock"));

    let reading = bucket.open(S3Server::READ_ONLY, json!({})).unwrap();
    let steps = reading.check().await;
    let failed: Vec<_> = steps.iter().filter(|step| !step.is_ok()).map(|step| step.step).collect();
    assert_eq!(failed, ["write a new object"]);
    assert_eq!(bucket.client().list(bucket.name, ""), []);
}
