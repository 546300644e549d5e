//! Uploads in parts to S3, and the proof of what was stored.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod fault_server;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use fault_server::{BUCKET, Fault, FaultServer, SECRET, files, quick};
use hyper::Method;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use walwarden_core::{ErrorClass, Result};
use walwarden_store::{CheckOutcome, MIN_PART_SIZE, RetryPolicy, Store, UploadItem, Uploaded};

const OBJECT: &str = "org/default/db/1/archive.dump";
const PART: usize = MIN_PART_SIZE as usize;

/// Bytes that differ from part to part.
fn content(length: usize) -> Bytes {
    (0..length).map(|i| (i % 251) as u8 ^ (i / PART) as u8).collect::<Vec<u8>>().into()
}

async fn upload(store: &Store, content: &Bytes, chunk: usize, concurrency: usize) -> Result<Uploaded> {
    let upload = store.begin_upload(OBJECT).await?;
    let (sender, receiver) = mpsc::channel(2);
    let content = content.clone();
    let feeder = tokio::spawn(async move {
        let mut rest = content;
        while !rest.is_empty() {
            let now = rest.split_to(chunk.min(rest.len()));
            if sender.send(UploadItem::Bytes(now)).await.is_err() {
                return;
            }
        }
        let _ = sender.send(UploadItem::End).await;
    });
    let progress = Arc::new(AtomicU64::new(0));
    let uploaded = upload.run(receiver, PART, concurrency, Arc::clone(&progress)).await;
    feeder.await.unwrap();
    let uploaded = uploaded?;
    assert_eq!(progress.load(Ordering::Relaxed), uploaded.size);
    Ok(uploaded)
}

async fn verify(store: &Store, uploaded: &Uploaded) -> Result<()> {
    let progress = AtomicU64::new(0);
    store.verify_object(OBJECT, uploaded.size, &uploaded.parts, &uploaded.sha256, &progress, 3).await?;
    assert_eq!(progress.load(Ordering::Relaxed), uploaded.size);
    Ok(())
}

/// The same by parts alone, several side by side.
async fn verify_side_by_side(store: &Store, uploaded: &Uploaded) -> Result<()> {
    let progress = AtomicU64::new(0);
    store.verify_uploaded(OBJECT, uploaded, &progress, 3).await?;
    assert_eq!(progress.load(Ordering::Relaxed), uploaded.size);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_of_every_length_become_equal_parts() {
    let server = FaultServer::start().await;
    let store = server.store();
    for (length, chunk) in [(0, 1), (1, 1), (PART, 1 << 20), (PART + 1, PART + 1), (2 * PART + 17, 300_001)] {
        let content = content(length);
        let uploaded = upload(&store, &content, chunk, 2).await.unwrap();
        assert_eq!(uploaded.size, length as u64);
        assert_eq!(uploaded.sha256, <[u8; 32]>::from(Sha256::digest(&content)));
        let mut offset = 0;
        for part in &uploaded.parts {
            assert_eq!(part.offset, offset as u64);
            let bytes = &content[offset..offset + part.size as usize];
            assert_eq!(part.sha256, <[u8; 32]>::from(Sha256::digest(bytes)));
            offset += part.size as usize;
            assert!(part.size == PART as u64 || offset == length);
        }
        assert_eq!(offset, length);
        verify(&store, &uploaded).await.unwrap();
        verify_side_by_side(&store, &uploaded).await.unwrap();
        let read = store.get(OBJECT).await.unwrap();
        assert!(read == content);
        store.delete(OBJECT).await.unwrap();
        assert!(server.pending_uploads().is_empty(), "{:?}", server.pending_uploads());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_passing_fault_of_an_upload_is_overcome() {
    let content = content(PART + 100);
    for (method, what, faults) in [
        (
            Method::POST,
            "?uploads",
            vec![
                Fault::Status(500, ""),
                Fault::Status(400, "RequestTimeout"),
                Fault::Close,
                Fault::LoseReply,
                Fault::TruncateBody,
            ],
        ),
        (
            Method::PUT,
            "partNumber=1",
            vec![
                Fault::Status(503, "SlowDown"),
                Fault::Status(400, "RequestTimeout"),
                Fault::Status(409, "OperationAborted"),
                Fault::OkWithError("InternalError"),
                Fault::Close,
                Fault::CloseMidBody,
                Fault::LoseReply,
                Fault::StatusAfter(500, ""),
            ],
        ),
        (
            Method::POST,
            "?uploadId",
            vec![
                Fault::Status(500, "InternalError"),
                Fault::Status(409, "ConditionalRequestConflict"),
                Fault::OkWithError("InternalError"),
                Fault::OkWithError("Surprise"),
                Fault::Close,
                Fault::LoseReply,
                Fault::StatusAfter(503, "SlowDown"),
                Fault::TruncateBody,
                Fault::ShortBody,
            ],
        ),
    ] {
        for fault in faults {
            let server = FaultServer::start().await;
            let store = server.store();
            server.fail(method.clone(), what, fault, 2);
            let uploaded = upload(&store, &content, 1 << 20, 2)
                .await
                .unwrap_or_else(|e| panic!("{method} {what} {fault:?}: {e}"));
            verify(&store, &uploaded).await.unwrap();
            assert_eq!(files(&server.bucket()).len(), 1);
            assert_ne!(server.faults_met(), 0);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hanging_part_is_left_in_time() {
    let server = FaultServer::start().await;
    let policy = RetryPolicy { attempt_timeout: Duration::from_millis(500), ..quick() };
    let store = server.store_with(BUCKET, SECRET, policy);
    // Parts have the time of their bytes besides, so the part that hangs is the small last one.
    server.fail(Method::PUT, "partNumber=2", Fault::Hang, 1);
    let uploaded = upload(&store, &content(PART + 9), PART, 2).await.unwrap();
    verify(&store, &uploaded).await.unwrap();
    assert_eq!(server.faults_met(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_upload_leaves_nothing() {
    let policy = RetryPolicy { budget: Duration::from_millis(300), ..quick() };
    for (method, what, fault, class) in [
        (Method::PUT, "partNumber=2", Fault::Status(500, ""), ErrorClass::StorageUnreachable),
        (Method::PUT, "partNumber=1", Fault::Status(403, "AccessDenied"), ErrorClass::StoragePermission),
        (Method::POST, "?uploadId", Fault::Status(500, ""), ErrorClass::StorageUnreachable),
        (Method::POST, "?uploadId", Fault::Status(400, "EntityTooSmall"), ErrorClass::Storage),
    ] {
        let server = FaultServer::start().await;
        let store = server.store_with(BUCKET, SECRET, policy.clone());
        server.fail(method, what, fault, 10_000);
        let error = upload(&store, &content(3 * PART), 1 << 20, 2).await.unwrap_err();
        assert_eq!(error.class, class, "{what} {fault:?}: {error}");
        assert!(!store.exists(OBJECT).await.unwrap());
        assert!(server.pending_uploads().is_empty(), "{:?}", server.pending_uploads());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_abort_is_told() {
    let server = FaultServer::start().await;
    let policy = RetryPolicy { budget: Duration::from_millis(100), ..quick() };
    let store = server.store_with(BUCKET, SECRET, policy);
    server.fail(Method::PUT, "partNumber=1", Fault::Status(403, "AccessDenied"), 1);
    server.fail(Method::DELETE, "uploadId", Fault::Status(500, ""), 10_000);
    let error = upload(&store, &content(10), 10, 1).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::StoragePermission);
    assert!(error.detail.unwrap().contains("could not be aborted either"));
}

#[tokio::test]
async fn a_producer_that_dies_completes_nothing() {
    let server = FaultServer::start().await;
    let store = server.store();
    let begun = store.begin_upload(OBJECT).await.unwrap();
    let (sender, receiver) = mpsc::channel(2);
    sender.send(UploadItem::Bytes(Bytes::from_static(b"half of it"))).await.unwrap();
    drop(sender);
    let error = begun.run(receiver, PART, 2, Arc::default()).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Lost);
    assert!(!store.exists(OBJECT).await.unwrap());
    assert!(server.pending_uploads().is_empty());
}

#[tokio::test]
async fn a_failed_part_ends_the_upload_while_the_producer_is_silent() {
    let server = FaultServer::start().await;
    let store = server.store();
    server.fail(Method::PUT, "partNumber=1", Fault::Status(403, "AccessDenied"), 1);
    let begun = store.begin_upload(OBJECT).await.unwrap();
    let (sender, receiver) = mpsc::channel(2);
    sender.send(UploadItem::Bytes(content(PART))).await.unwrap();
    let error =
        tokio::time::timeout(Duration::from_secs(5), begun.run(receiver, PART, 2, Arc::default())).await;
    assert_eq!(error.unwrap().unwrap_err().class, ErrorClass::StoragePermission);
    drop(sender);
}

#[tokio::test]
async fn a_crashed_upload_is_aborted_by_its_id() {
    let server = FaultServer::start().await;
    let store = server.store();
    let begun = store.begin_upload(OBJECT).await.unwrap();
    let id = begun.id().to_owned();
    let (sender, receiver) = mpsc::channel(2);
    sender.send(UploadItem::Bytes(content(PART + 1))).await.unwrap();
    // The future is dropped, as in a crash or a cancel.
    let _ =
        tokio::time::timeout(Duration::from_millis(500), begun.run(receiver, PART, 2, Arc::default())).await;
    assert!(!server.pending_uploads().is_empty());
    server.store().abort_upload(OBJECT, &id).await.unwrap();
    assert!(server.pending_uploads().is_empty(), "{:?}", server.pending_uploads());
}

#[tokio::test]
async fn an_upload_never_replaces_an_object() {
    let server = FaultServer::start().await;
    let store = server.store();
    store.put_new(OBJECT, Bytes::from_static(b"first")).await.unwrap();
    assert_eq!(store.begin_upload(OBJECT).await.unwrap_err().class, ErrorClass::StorageConflict);
    store.delete(OBJECT).await.unwrap();

    // It comes into being while the upload runs.
    let begun = store.begin_upload(OBJECT).await.unwrap();
    let (sender, receiver) = mpsc::channel(2);
    store.put_new(OBJECT, Bytes::from_static(b"first")).await.unwrap();
    sender.send(UploadItem::Bytes(Bytes::from_static(b"second"))).await.unwrap();
    sender.send(UploadItem::End).await.unwrap();
    let error = begun.run(receiver, PART, 2, Arc::default()).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::StorageConflict);
    assert_eq!(store.get(OBJECT).await.unwrap(), Bytes::from_static(b"first"));
    assert!(server.pending_uploads().is_empty());
}

#[tokio::test]
async fn parts_smaller_than_s3_takes_are_refused() {
    let server = FaultServer::start().await;
    let store = server.store();
    for size in [0, PART - 1, usize::MAX] {
        let begun = store.begin_upload(OBJECT).await.unwrap();
        let (_sender, receiver) = mpsc::channel(1);
        let error = begun.run(receiver, size, 1, Arc::default()).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::InvalidInput);
    }
    assert!(server.pending_uploads().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_bad_part_is_named() {
    let server = FaultServer::start().await;
    let store = server.store();
    let uploaded = upload(&store, &content(3 * PART), 1 << 20, 2).await.unwrap();
    let both = async || [verify(&store, &uploaded).await, verify_side_by_side(&store, &uploaded).await];
    assert!(both().await.iter().all(Result::is_ok));

    // Flipped on its way back.
    server.fail(Method::GET, OBJECT, Fault::FlipByte, 1);
    let error = verify(&store, &uploaded).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::StorageCorrupt);
    server.fail(Method::GET, OBJECT, Fault::FlipByte, 1);
    let error = verify_side_by_side(&store, &uploaded).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::StorageCorrupt);

    // Flipped in storage: parts two and three.
    let file = server.bucket().join("some/prefix").join(OBJECT);
    let good = std::fs::read(&file).unwrap();
    let mut bad = good.clone();
    bad[PART + 5] ^= 1;
    bad[2 * PART] ^= 1;
    std::fs::write(&file, &bad).unwrap();
    for error in both().await.map(Result::unwrap_err) {
        assert_eq!(error.class, ErrorClass::StorageCorrupt);
        let told = error.detail.unwrap();
        assert!(told.starts_with(&format!("the part at bytes {PART} to {} has", 2 * PART - 1)), "{told}");
    }

    // Shorter, longer, gone.
    std::fs::write(&file, &good[..good.len() - 1]).unwrap();
    assert_eq!(both().await.map(|result| result.unwrap_err().class), [ErrorClass::StorageCorrupt; 2]);
    std::fs::write(&file, [&good[..], b"x"].concat()).unwrap();
    assert_eq!(both().await.map(|result| result.unwrap_err().class), [ErrorClass::StorageCorrupt; 2]);
    std::fs::remove_file(&file).unwrap();
    assert_eq!(both().await.map(|result| result.unwrap_err().class), [ErrorClass::StorageNotFound; 2]);
}

/// What was uploaded and is not covered by parts would not be compared.
#[tokio::test]
async fn parts_with_a_gap_prove_nothing() {
    let server = FaultServer::start().await;
    let store = server.store();
    let mut uploaded = upload(&store, &content(2 * PART), 1 << 20, 1).await.unwrap();
    uploaded.parts.pop();
    assert_eq!(verify_side_by_side(&store, &uploaded).await.unwrap_err().class, ErrorClass::InvalidInput);
}

#[tokio::test]
async fn the_whole_hash_is_compared_too() {
    let server = FaultServer::start().await;
    let store = server.store();
    let mut uploaded = upload(&store, &content(100), 100, 1).await.unwrap();
    uploaded.sha256[0] ^= 1;
    assert_eq!(verify(&store, &uploaded).await.unwrap_err().class, ErrorClass::StorageCorrupt);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_good_storage_passes_the_check_and_is_left_clean() {
    let server = FaultServer::start().await;
    let steps = server.store().check().await;
    assert!(steps.iter().all(walwarden_store::CheckStep::is_ok), "{steps:#?}");
    // What this small server does not have, and a backup can do without.
    let (notes, passed): (Vec<_>, Vec<_>) = steps.iter().partition(|step| step.note().is_some());
    assert_eq!(
        notes.iter().map(|step| step.step).collect::<Vec<_>>(),
        ["ask about versions and locks", "find an upload"]
    );
    assert_eq!(
        passed.iter().map(|step| step.step).collect::<Vec<_>>(),
        [
            "look for a missing object",
            "write a new object",
            "refuse to overwrite",
            "read an object",
            "list objects",
            "upload in parts",
            "read back by ranges",
            "abort an upload",
            "sign a download address",
            "delete objects",
        ]
    );
    assert!(files(&server.bucket()).is_empty());
    assert!(server.pending_uploads().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storage_that_overwrites_gets_a_warning() {
    let server = FaultServer::start().await;
    server.fail(Method::PUT, ".walwarden-check", Fault::IgnoreCondition, 3);
    let steps = server.store().check().await;
    assert!(steps.iter().all(walwarden_store::CheckStep::is_ok), "{steps:#?}");
    let warning = steps.iter().find(|step| step.step == "refuse to overwrite").unwrap();
    assert!(matches!(warning.outcome, CheckOutcome::Warning(_)));
    assert!(warning.note().unwrap().starts_with("Create-only puts are ignored"));
    assert!(files(&server.bucket()).is_empty());
}

#[tokio::test]
async fn a_check_that_wrote_nothing_has_nothing_to_delete() {
    let server = FaultServer::start().await;
    server.fail(Method::HEAD, ".walwarden-check", Fault::Status(403, "AccessDenied"), 1);
    let steps = server.store().check().await;
    assert_eq!(steps.iter().map(|step| step.step).collect::<Vec<_>>(), ["look for a missing object"]);
    assert_eq!(server.seen().len(), 1, "{:?}", server.seen());
}

#[tokio::test]
async fn a_check_ends_with_the_step_that_failed_and_cleans_up() {
    let server = FaultServer::start().await;
    server.fail(Method::POST, "?uploads", Fault::Status(403, "AccessDenied"), 1);
    let steps = server.store().check().await;
    let failed: Vec<_> = steps.iter().filter(|step| !step.is_ok()).collect();
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0].step, "upload in parts");
    let note = failed[0].note().unwrap();
    assert!(note.contains("AccessDenied: ") && note.contains(". Check the credentials, "), "{note}");
    assert!(files(&server.bucket()).is_empty());

    let steps = server.store_with(BUCKET, "wrong", quick()).check().await;
    assert_eq!(steps.len(), 1);
    assert!(!steps[0].is_ok());
}
