//! A folder as a storage, through the same interface as S3.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use walwarden_core::{ErrorClass, Result};
use walwarden_reach::{AllowList, Purpose};
use walwarden_store::{
    CheckOutcome, CredentialSource, Location, StorageOptions, Store, UploadItem, Uploaded,
};

const OBJECT: &str = "org/default/db/1/archive.dump";

fn store(root: &Path) -> Store {
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

async fn upload(store: &Store, chunks: Vec<Bytes>, part_size: usize, concurrency: usize) -> Result<Uploaded> {
    let upload = store.begin_upload(OBJECT).await?;
    let (sender, receiver) = mpsc::channel(1);
    let feeder = tokio::spawn(async move {
        for item in chunks.into_iter().map(UploadItem::Bytes).chain([UploadItem::End]) {
            if sender.send(item).await.is_err() {
                return;
            }
        }
    });
    let progress = Arc::new(AtomicU64::new(0));
    let uploaded = upload.run(receiver, part_size, concurrency, Arc::clone(&progress)).await;
    feeder.await.unwrap();
    assert_eq!(progress.load(Ordering::Relaxed), uploaded.as_ref().map_or(0, |u| u.size));
    uploaded
}

async fn verify(store: &Store, uploaded: &Uploaded) -> Result<()> {
    let progress = AtomicU64::new(0);
    let object =
        store.verify_object(OBJECT, uploaded.size, &uploaded.parts, &uploaded.sha256, &progress, 2).await;
    let parts = store.verify_uploaded(OBJECT, uploaded, &AtomicU64::new(0), 2).await;
    assert_eq!(object.clone().map_err(|e| e.to_string()), parts.map_err(|e| e.to_string()));
    object
}

fn count(folder: &Path) -> usize {
    folder.read_dir().unwrap().count()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_stream_is_stored_hashed_and_proven(
        chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..12),
        part_size in 1_usize..50,
        concurrency in 0_usize..4,
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let root = tempfile::tempdir().unwrap();
            let store = store(root.path());
            let content = chunks.concat();
            let chunks = chunks.into_iter().map(Bytes::from).collect();
            let uploaded = upload(&store, chunks, part_size, concurrency).await.unwrap();
            assert_eq!(uploaded.size, content.len() as u64);
            assert_eq!(uploaded.sha256, <[u8; 32]>::from(Sha256::digest(&content)));
            assert_eq!(uploaded.parts.len(), content.len().div_ceil(part_size));
            for (part, bytes) in uploaded.parts.iter().zip(content.chunks(part_size)) {
                assert_eq!(part.size, bytes.len() as u64);
                assert_eq!(part.sha256, <[u8; 32]>::from(Sha256::digest(bytes)));
            }
            verify(&store, &uploaded).await.unwrap();
            assert_eq!(store.get(OBJECT).await.unwrap(), content);
            store.delete(OBJECT).await.unwrap();
            assert_eq!(count(root.path()), 0);
        });
    }
}

#[tokio::test]
async fn any_flipped_byte_is_found() {
    let root = tempfile::tempdir().unwrap();
    let store = store(root.path());
    let content = Bytes::from_static(b"some twenty-six bytes long");
    let uploaded = upload(&store, vec![content.clone()], 7, 2).await.unwrap();
    for at in 0..content.len() {
        let mut bad = content.to_vec();
        bad[at] ^= 0x10;
        std::fs::write(root.path().join(OBJECT), &bad).unwrap();
        let error = verify(&store, &uploaded).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::StorageCorrupt);
        assert!(error.detail.unwrap().starts_with(&format!("the part at bytes {} to ", at / 7 * 7)));
    }
}

#[tokio::test]
async fn a_producer_that_dies_leaves_nothing() {
    let root = tempfile::tempdir().unwrap();
    let store = store(root.path());
    let begun = store.begin_upload(OBJECT).await.unwrap();
    let (sender, receiver) = mpsc::channel(1);
    sender.send(UploadItem::Bytes(Bytes::from_static(b"half"))).await.unwrap();
    drop(sender);
    let error = begun.run(receiver, 2, 1, Arc::default()).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Lost);
    assert_eq!(count(root.path()), 0);
}

#[tokio::test]
async fn a_canceled_upload_is_cleaned_up_by_its_id_later() {
    let root = tempfile::tempdir().unwrap();
    let begun = store(root.path()).begin_upload(OBJECT).await.unwrap();
    let id = begun.id().to_owned();
    let (sender, receiver) = mpsc::channel(1);
    sender.send(UploadItem::Bytes(Bytes::from_static(b"half"))).await.unwrap();
    let _ = tokio::time::timeout(Duration::from_millis(100), begun.run(receiver, 2, 1, Arc::default())).await;
    assert_ne!(count(root.path()), 0);

    let later = store(root.path());
    assert!(!later.exists(OBJECT).await.unwrap());
    later.abort_upload(OBJECT, &id).await.unwrap();
    later.abort_upload(OBJECT, &id).await.unwrap();
    assert_eq!(count(root.path()), 0);
}

#[tokio::test]
async fn an_upload_never_replaces_an_object() {
    let root = tempfile::tempdir().unwrap();
    let store = store(root.path());
    let begun = store.begin_upload(OBJECT).await.unwrap();
    store.put_new(OBJECT, Bytes::from_static(b"first")).await.unwrap();
    let (sender, receiver) = mpsc::channel(1);
    sender.send(UploadItem::End).await.unwrap();
    let error = begun.run(receiver, 2, 1, Arc::default()).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::StorageConflict);
    assert_eq!(store.get(OBJECT).await.unwrap(), Bytes::from_static(b"first"));
    assert_eq!(store.begin_upload(OBJECT).await.unwrap_err().class, ErrorClass::StorageConflict);
}

#[tokio::test]
async fn keys_cannot_leave_the_folder() {
    let root = tempfile::tempdir().unwrap();
    let store = store(root.path());
    for key in ["../x", "/etc/passwd", "a/../../x", "", "a/", ".hidden"] {
        assert_eq!(store.get(key).await.unwrap_err().class, ErrorClass::InvalidInput);
        assert_eq!(store.put_new(key, Bytes::new()).await.unwrap_err().class, ErrorClass::InvalidInput);
        assert_eq!(store.delete(key).await.unwrap_err().class, ErrorClass::InvalidInput);
        assert_eq!(store.begin_upload(key).await.unwrap_err().class, ErrorClass::InvalidInput);
    }
}

#[tokio::test]
async fn a_folder_passes_the_check_and_is_left_empty() {
    let root = tempfile::tempdir().unwrap();
    let steps = store(root.path()).check().await;
    assert!(steps.iter().all(|step| step.outcome == CheckOutcome::Passed), "{steps:#?}");
    assert_eq!(count(root.path()), 0);
}

#[tokio::test]
async fn a_reader_gives_the_range_and_the_storage_s_own_errors() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let bytes: Vec<u8> = (0..20_000_000_u32).map(|n| (n % 251) as u8).collect();
    upload(&store, vec![Bytes::from(bytes.clone())], 6_000_000, 2).await.unwrap();
    for range in [0..20_000_000, 17..9_000_000, 5..5, 19_999_999..20_000_000] {
        let mut reader = store.reader(OBJECT, range.clone(), 2).unwrap();
        let read = tokio::task::spawn_blocking(move || {
            let mut read = Vec::new();
            std::io::Read::read_to_end(&mut reader, &mut read).map(|_| read)
        });
        assert!(read.await.unwrap().unwrap() == bytes[range.start as usize..range.end as usize]);
    }
    for (key, range, class) in
        [(OBJECT, 0..20_000_001, ErrorClass::StorageCorrupt), ("org/no", 0..1, ErrorClass::StorageNotFound)]
    {
        let mut reader = store.reader(key, range, 2).unwrap();
        let read = tokio::task::spawn_blocking(move || {
            std::io::copy(&mut reader, &mut std::io::sink()).unwrap_err().into_inner().unwrap()
        });
        let error = read.await.unwrap().downcast::<walwarden_core::Error>().unwrap();
        assert_eq!(error.class, class);
    }
}
