//! Addresses of objects, fetched with curl: as they are, tampered with, and too late.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod bucket;

use std::process::Command;
use std::time::Duration;

use bucket::Bucket;
use bytes::Bytes;
use serde_json::json;
use walwarden_core::ErrorClass;
use walwarden_reach::{AllowList, Purpose};
use walwarden_store::{CredentialSource, Location, StorageOptions, Store};
use walwarden_testkit::{S3Server, wait_until};

const KEY: &str = "org/x/object.dump";
const CONTENT: Bytes = Bytes::from_static(b"some bytes");

/// The status and the body that a plain GET gives.
fn curl(url: &str) -> (String, Vec<u8>) {
    let file = tempfile::NamedTempFile::new().unwrap();
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--noproxy", "*", "--write-out", "%{http_code}", "--output"])
        .arg(file.path())
        .arg(url)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    (String::from_utf8(output.stdout).unwrap(), std::fs::read(file.path()).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_is_good_for_one_object_and_for_its_time() {
    let bucket = Bucket::plain();
    let store = bucket.store(json!({}));
    store.put_new(KEY, CONTENT).await.unwrap();
    store.put_new("org/x/other.dump", CONTENT).await.unwrap();
    let url = store.download_url(KEY, Duration::from_secs(3600)).await.unwrap();
    assert_eq!(format!("{url:?}"), "DownloadUrl(***)");
    assert!(!url.expose().contains(S3Server::ADMIN.1));
    assert_eq!(curl(url.expose()), ("200".to_owned(), CONTENT.to_vec()));

    // For another object, for longer, with another signature, with none.
    let other = url.expose().replace("object.dump", "other.dump");
    let longer = url.expose().replace("X-Amz-Expires=3600", "X-Amz-Expires=360000");
    let (front, _) = url.expose().rsplit_once('=').unwrap();
    let forged = format!("{front}={}", "0".repeat(64));
    let bare = url.expose().split('?').next().unwrap().to_owned();
    for tampered in [other, longer, forged, bare] {
        assert_ne!(tampered, url.expose());
        let (status, body) = curl(&tampered);
        assert_eq!(status, "403", "{tampered}");
        assert_ne!(body, CONTENT);
    }

    let short = store.download_url(KEY, Duration::from_secs(1)).await.unwrap();
    let expired = wait_until("the address to expire", Duration::from_secs(60), || {
        let (status, _) = curl(short.expose());
        (status != "200").then_some(status)
    });
    assert_eq!(expired, "403");
}

#[tokio::test]
async fn what_has_no_address_is_refused() {
    let bucket = Bucket::plain();
    let store = bucket.store(json!({}));
    let error = store.download_url(KEY, Duration::from_secs(60)).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::StorageNotFound);
    store.put_new(KEY, CONTENT).await.unwrap();
    for bad in
        [Duration::ZERO, Duration::from_millis(999), Duration::from_secs(7 * 86_400 + 1), Duration::MAX]
    {
        let error = store.download_url(KEY, bad).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::InvalidInput, "{bad:?}");
    }
    assert!(store.download_url(KEY, Duration::from_secs(7 * 86_400)).await.is_ok());

    let root = tempfile::tempdir().unwrap();
    let location = Location::from_folder(root.path()).unwrap();
    let options = StorageOptions::parse(&location, &json!({})).unwrap();
    let folder = Store::open(
        &location,
        &options,
        &CredentialSource::from_variables([], None),
        &AllowList::parse(Purpose::Storage, "127.0.0.1").unwrap(),
    )
    .unwrap();
    folder.put_new(KEY, CONTENT).await.unwrap();
    let error = folder.download_url(KEY, Duration::from_secs(60)).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::InvalidInput);
    assert!(error.hint.is_some());
}
