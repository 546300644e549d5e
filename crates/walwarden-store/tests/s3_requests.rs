//! The requests that leave us with each option of S3 storages, for what no server here can show; and what is made of answers
//! to the requests that the client library does not have.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod fault_server;

use std::collections::HashSet;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fault_server::{Fault, FaultServer, KEY, SECRET, credentials, files, quick};
use hyper::{HeaderMap, Method};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use walwarden_core::ErrorClass;
use walwarden_reach::{AllowList, Purpose};
use walwarden_store::{CredentialSource, Removal, RetryPolicy, Store, UploadItem};

const SMALL: &str = "org/x/small";
const LARGE: &str = "org/x/large";
const CUSTOMER_KEY: &str = "bm9ib2R5IHNoYWxsIGtub3cgdGhpcyBwaHJhc2UhISE=";

/// The requests of a backup, by what they contain.
const PUT: &[&str] = &["PUT", "x/small"];
const BEGIN: &[&str] = &["POST", "x/large?uploads"];
const PART: &[&str] = &["PUT", "x/large?partNumber"];
const COMPLETE: &[&str] = &["POST", "x/large?uploadId"];
const HEAD: &[&str] = &["HEAD", "x/large"];
const GET: &[&str] = &["GET", "x/large"];
const DELETE: &[&str] = &["DELETE", "x/small"];
const ALL: [&[&str]; 7] = [PUT, BEGIN, PART, COMPLETE, HEAD, GET, DELETE];

/// Does what a backup does.
async fn back_up(store: &Store) {
    store.put_new(SMALL, Bytes::from_static(b"small")).await.unwrap();
    let begun = store.begin_upload(LARGE).await.unwrap();
    let (sender, receiver) = mpsc::channel(2);
    sender.send(UploadItem::Bytes(Bytes::from_static(b"large"))).await.unwrap();
    sender.send(UploadItem::End).await.unwrap();
    begun.run(receiver, 5 << 20, 1, Arc::default()).await.unwrap();
    assert_eq!(store.get(LARGE).await.unwrap(), "large");
    store.delete(SMALL).await.unwrap();
}

fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).map(|value| value.to_str().unwrap().to_owned())
}

/// The header is in these requests with this value, and in no other.
fn assert_sent(server: &FaultServer, name: &str, value: &str, requests: &[&[&str]]) {
    for request in ALL {
        let found = header(&server.headers_of(request), name);
        let expected = requests.contains(&request).then(|| value.to_owned());
        assert_eq!(found, expected, "{name} in {request:?}");
    }
}

async fn backed_up(options: Value) -> FaultServer {
    let server = FaultServer::start().await;
    back_up(&server.store_of(options, &credentials(KEY, SECRET))).await;
    server
}

#[tokio::test]
async fn encryption_is_asked_for_where_objects_come_into_being() {
    let kind = "x-amz-server-side-encryption";
    let server = backed_up(json!({"sse": "AES256"})).await;
    assert_sent(&server, kind, "AES256", &[PUT, BEGIN]);

    let server =
        backed_up(json!({"sse": "aws:kms", "sse_kms_key_id": "alias/backups", "sse_bucket_key": true})).await;
    assert_sent(&server, kind, "aws:kms", &[PUT, BEGIN]);
    assert_sent(&server, "x-amz-server-side-encryption-aws-kms-key-id", "alias/backups", &[PUT, BEGIN]);
    assert_sent(&server, "x-amz-server-side-encryption-bucket-key-enabled", "true", &[PUT, BEGIN]);

    let server = backed_up(json!({"sse": "aws:kms:dsse"})).await;
    assert_sent(&server, kind, "aws:kms:dsse", &[PUT, BEGIN]);
    assert_sent(&server, "x-amz-server-side-encryption-aws-kms-key-id", "", &[]);

    let server = backed_up(json!({})).await;
    assert_sent(&server, kind, "", &[]);
    assert_sent(&server, "if-none-match", "*", &[PUT]);
}

#[tokio::test]
async fn a_customers_key_goes_along_with_all_that_touches_bytes() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::set_permissions(file.path(), PermissionsExt::from_mode(0o600)).unwrap();
    let profile = |key: &str| {
        format!(
            "[p]\naws_access_key_id={KEY}\naws_secret_access_key={SECRET}\n{}\n",
            if key.is_empty() { String::new() } else { format!("sse_customer_key = {key}") }
        )
    };
    let source = CredentialSource::from_variables([], Some(file.path().to_owned()));
    std::fs::write(file.path(), profile(CUSTOMER_KEY)).unwrap();
    let server = FaultServer::start().await;
    let options = json!({"sse": "customer", "profile": "p", "checksum": "sha256"});
    back_up(&server.store_of(options.clone(), &source)).await;
    let name = |rest: &str| format!("x-amz-server-side-encryption-customer-{rest}");
    let requests = [PUT, BEGIN, PART, COMPLETE, HEAD, GET];
    assert_sent(&server, &name("key"), CUSTOMER_KEY, &requests);
    assert_sent(&server, &name("algorithm"), "AES256", &requests);
    // echo -n 'nobody shall know this phrase!!!' | openssl md5 -binary | base64
    assert_sent(&server, &name("key-md5"), "tKdsPHDTYsOoq8uJv0ZdMw==", &requests);

    let location = walwarden_store::Location::parse("s3://bucket").unwrap();
    let parsed = walwarden_store::StorageOptions::parse(&location, &options).unwrap();
    for bad in ["", "canary", "Y2FuYXJ5"] {
        std::fs::write(file.path(), profile(bad)).unwrap();
        let error = Store::open(
            &location,
            &parsed,
            &source,
            &AllowList::parse(Purpose::Storage, "127.0.0.1").unwrap(),
        )
        .unwrap_err();
        assert_eq!(error.class, ErrorClass::Configuration, "{bad}");
        assert!(!format!("{error:?}").contains("canary") && !format!("{error:?}").contains("Y2Fu"));
    }
}

#[tokio::test]
async fn locks_tags_and_checksums_are_in_the_requests_they_belong_to() {
    let server = backed_up(json!({
        "lock_mode": "compliance", "lock_days": 30, "tags": {"team": "db", "a b": "c/d"}, "conditional_writes": false
    }))
    .await;
    assert_sent(&server, "x-amz-object-lock-mode", "COMPLIANCE", &[PUT, BEGIN]);
    for request in [PUT, BEGIN] {
        let until = header(&server.headers_of(request), "x-amz-object-lock-retain-until-date").unwrap();
        let until: chrono::DateTime<chrono::Utc> = until.parse().unwrap();
        let left = until - chrono::Utc::now();
        assert!(left <= chrono::TimeDelta::days(30) && left > chrono::TimeDelta::days(29));
    }
    assert_sent(&server, "x-amz-tagging", "a+b=c%2Fd&team=db", &[PUT, BEGIN]);
    assert_sent(&server, "if-none-match", "*", &[]);
    // S3 demands a checksum with a lock.
    assert!(header(&server.headers_of(PUT), "x-amz-checksum-sha256").is_some());
    assert!(header(&server.headers_of(PART), "x-amz-checksum-sha256").is_some());
    assert_sent(&server, "x-amz-checksum-algorithm", "SHA256", &[BEGIN]);
}

/// A listing of uploads with this inside.
fn uploads(rest: &str) -> &'static str {
    let text = format!(
        "<?xml version=\"1.0\"?><ListMultipartUploadsResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
         {rest}</ListMultipartUploadsResult>"
    );
    Box::leak(text.into_boxed_str())
}

const ONE: &str = "<Upload><Key>some/prefix/org/x</Key><UploadId>first&amp;only</UploadId>\
                   <Initiated>2026-03-07T12:00:00.000Z</Initiated></Upload>";

#[tokio::test]
async fn uploads_are_listed_over_all_pages_and_past_passing_faults() {
    let server = FaultServer::start().await;
    let more = "<IsTruncated>true</IsTruncated><NextKeyMarker>some/prefix/org/x</NextKeyMarker>\
                <NextUploadIdMarker>first&amp;only</NextUploadIdMarker>";
    let others = "<IsTruncated>false</IsTruncated>\
                  <Upload><Key>some/prefix/organs/x</Key><UploadId>2</UploadId><Initiated>2026-03-07T12:00:00Z</Initiated></Upload>\
                  <Upload><Key>elsewhere/org/x</Key><UploadId>3</UploadId><Initiated>2026-03-07T12:00:00Z</Initiated></Upload>\
                  <Upload><Key>some/prefix/org/a b</Key><UploadId>4</UploadId><Initiated>2026-03-07T12:00:00Z</Initiated></Upload>\
                  <Upload><Key>some/prefix/org/a</Key><UploadId>5</UploadId><Initiated>2026-03-07T12:00:00Z</Initiated></Upload>";
    server.fail(Method::GET, "uploads=", Fault::Status(503, "SlowDown"), 1);
    server.fail(Method::GET, "uploads=", Fault::OkWithError("InternalError"), 1);
    server.fail(Method::GET, "uploads=", Fault::Close, 1);
    server.fail(Method::GET, "uploads=", Fault::Reply(uploads(&format!("{more}{ONE}"))), 1);
    server.fail(Method::GET, "key-marker=some", Fault::Reply(uploads(others)), 1);
    let found = server.store().list_uploads("org").await.unwrap();
    let found: Vec<_> = found.iter().map(|upload| (upload.key.as_str(), upload.id.as_str())).collect();
    assert_eq!(found, [("org/a", "5"), ("org/x", "first&only")]);
    let last = server.seen().pop().unwrap();
    assert!(
        last.contains("prefix=some%2Fprefix%2Forg%2F") && last.contains("upload-id-marker=first%26only"),
        "{last}"
    );
}

#[tokio::test]
async fn an_error_is_never_an_empty_listing_of_uploads() {
    let truncated = uploads("<IsTruncated>true</IsTruncated>");
    let again = uploads(
        "<IsTruncated>true</IsTruncated><NextKeyMarker>k</NextKeyMarker><NextUploadIdMarker>1</NextUploadIdMarker>",
    );
    let undated = uploads("<Upload><Key>some/prefix/org/x</Key><UploadId>1</UploadId></Upload>");
    for (fault, class) in [
        (Fault::OkWithError("AccessDenied"), ErrorClass::StoragePermission),
        (Fault::Reply(""), ErrorClass::Storage),
        (Fault::Reply("<html>sign in</html>"), ErrorClass::Storage),
        (Fault::Reply("<ListBucketResult></ListBucketResult>"), ErrorClass::Storage),
        (Fault::Reply(truncated), ErrorClass::Storage),
        (Fault::Reply(again), ErrorClass::Storage),
        (Fault::Reply(undated), ErrorClass::Storage),
        (Fault::Status(404, "NoSuchBucket"), ErrorClass::StorageNotFound),
        (Fault::Status(403, "SignatureDoesNotMatch"), ErrorClass::StoragePermission),
        (Fault::Status(501, "NotImplemented"), ErrorClass::Storage),
        (Fault::Status(500, ""), ErrorClass::StorageUnreachable),
    ] {
        let server = FaultServer::start().await;
        server.fail(Method::GET, "uploads=", fault, 10_000);
        let policy = RetryPolicy { budget: Duration::from_millis(200), ..quick() };
        let store = server.store_with(fault_server::BUCKET, SECRET, policy);
        let error = store.abort_orphans("org", &HashSet::new(), Duration::ZERO).await.unwrap_err();
        assert_eq!(error.class, class, "{fault:?}: {error}");
        assert!(!format!("{error:?}").contains(SECRET));
        assert!(!server.seen().iter().any(|line| line.starts_with("DELETE")));
    }
}

const VERSIONS: &str = "<ListVersionsResult><IsTruncated>false</IsTruncated>\
    <DeleteMarker><Key>some/prefix/org/x/small</Key><VersionId>3</VersionId></DeleteMarker>\
    <Version><Key>some/prefix/org/x/small</Key><VersionId>2</VersionId></Version>\
    <DeleteMarker><Key>some/prefix/org/x/small.sig</Key><VersionId>9</VersionId></DeleteMarker>\
    <Version><Key>some/prefix/org/x/small</Key><VersionId>1</VersionId></Version></ListVersionsResult>";

async fn with_versions() -> (FaultServer, Store) {
    let server = FaultServer::start().await;
    let store = server.store();
    store.put_new(SMALL, Bytes::from_static(b"small")).await.unwrap();
    server.fail(Method::GET, "versions=", Fault::Reply(VERSIONS), 1);
    (server, store)
}

#[tokio::test]
async fn every_version_is_looked_at_before_the_first_is_deleted() {
    let (server, store) = with_versions().await;
    server.fail(Method::HEAD, "versionId", Fault::Status(503, ""), 1);
    server.fail(Method::DELETE, "versionId=2", Fault::Status(500, "InternalError"), 1);
    server.fail(Method::HEAD, "versionId", Fault::Reply(""), 3);
    server.fail(Method::DELETE, "versionId", Fault::Reply(""), 3);
    assert_eq!(store.remove(SMALL).await.unwrap(), Removal::Gone);
    let seen = server.seen();
    let order: Vec<String> = seen
        .iter()
        .filter_map(|line| line.split_once("?versionId=").map(|(front, id)| format!("{} {id}", &front[..4])))
        .collect();
    assert_eq!(order, ["HEAD 2", "HEAD 2", "HEAD 1", "DELE 2", "DELE 2", "DELE 1", "DELE 3"]);
}

#[tokio::test]
async fn a_refusal_is_a_lock_where_there_is_one() {
    const LOCKING: &str =
        "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled></ObjectLockConfiguration>";
    const KEEPING: &str = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
    for (refusal, lock, is_kept) in [
        (Fault::Status(403, "AccessDenied"), Fault::Reply(LOCKING), true),
        (
            Fault::Status(403, "AccessDenied"),
            Fault::Status(404, "ObjectLockConfigurationNotFoundError"),
            false,
        ),
        (Fault::Status(403, "AccessDenied"), Fault::Status(403, "AccessDenied"), false),
        (Fault::Status(400, "ObjectLocked"), Fault::Status(403, "AccessDenied"), true),
    ] {
        let (server, store) = with_versions().await;
        server.fail(Method::HEAD, "versionId", Fault::Reply(""), 10);
        server.fail(Method::GET, "versioning=", Fault::Reply(KEEPING), 1);
        server.fail(Method::GET, "object-lock=", lock, 1);
        server.fail(Method::DELETE, "versionId", refusal, 1);
        let removed = store.remove(SMALL).await;
        if is_kept {
            assert_eq!(removed.unwrap(), Removal::Retained { until: None }, "{refusal:?} {lock:?}");
        } else {
            assert_eq!(removed.unwrap_err().class, ErrorClass::StoragePermission, "{refusal:?} {lock:?}");
        }
    }
}

#[tokio::test]
async fn where_versions_cannot_be_listed_the_object_is_deleted_as_any_client_would() {
    for fault in [
        Fault::Status(403, "AccessDenied"),
        Fault::Status(501, "NotImplemented"),
        Fault::Status(405, "MethodNotAllowed"),
        Fault::Reply("<ListBucketResult></ListBucketResult>"),
        Fault::Reply("<ListVersionsResult></ListVersionsResult>"),
    ] {
        let server = FaultServer::start().await;
        let store = server.store();
        store.put_new(SMALL, Bytes::from_static(b"small")).await.unwrap();
        server.fail(Method::GET, "versions=", fault, 10);
        assert_eq!(store.retained(SMALL).await.unwrap(), None);
        assert_eq!(store.remove(SMALL).await.unwrap(), Removal::Gone, "{fault:?}");
        assert!(files(&server.bucket()).is_empty());
        assert_eq!(store.remove(SMALL).await.unwrap(), Removal::Gone);
    }
    // An answer that is neither a listing nor a refusal stops everything.
    let server = FaultServer::start().await;
    let policy = RetryPolicy { budget: Duration::from_millis(200), ..quick() };
    let store = server.store_with(fault_server::BUCKET, SECRET, policy);
    store.put_new(SMALL, Bytes::from_static(b"small")).await.unwrap();
    server.fail(Method::GET, "versions=", Fault::Reply("<html>sign in</html>"), 10_000);
    assert_eq!(store.remove(SMALL).await.unwrap_err().class, ErrorClass::Storage);
    assert_eq!(files(&server.bucket()).len(), 1);
}
