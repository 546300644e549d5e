//! What a storage says of its backups when nobody else remembers them.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod fault_server;

use bytes::Bytes;
use fault_server::{BUCKET, Fault, FaultServer, SECRET, quick};
use hyper::Method;
use std::time::Duration;
use walwarden_core::key::SigningKey;
use walwarden_core::manifest::{self, Manifest};
use walwarden_core::{ErrorClass, Result};
use walwarden_store::{Found, RetryPolicy, Store};

const GOLDEN: &[u8] = include_bytes!("../../walwarden-core/src/manifest/golden/manifest-v1.json");

/// The key that the golden manifest names (RFC 8032, section 7.1, test 1).
fn signing_key() -> SigningKey {
    let secret = [
        0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60, 0xba, 0x84, 0x4a, 0xf4, 0x92, 0xec, 0x2c, 0xc4, 0x44,
        0x49, 0xc5, 0x69, 0x7b, 0x32, 0x69, 0x19, 0x70, 0x3b, 0xac, 0x03, 0x1c, 0xae, 0x7f, 0x60,
    ];
    SigningKey::generate(secret)
}

/// The golden manifest as that of backup `number`, with objects of few bytes.
fn backup(number: u8) -> Manifest {
    let mut manifest = manifest::parse(GOLDEN).unwrap();
    let old = manifest.job.id.to_string();
    manifest.job.id = uuid::Uuid::from_u128(number.into());
    let new = manifest.job.id.to_string();
    manifest.archive.key = manifest.archive.key.replace(&old, &new);
    manifest.globals.as_mut().unwrap().key = manifest.archive.key.replace(".dump", ".globals.sql");
    manifest.tables.clear();
    (manifest.totals.tables, manifest.totals.rows, manifest.totals.raw_bytes) = (0, 0, 0);
    manifest.archive.parts.truncate(1);
    manifest.archive.parts[0].size = 5;
    manifest.archive.size = 5;
    manifest.globals.as_mut().unwrap().size = 3;
    manifest
}

fn key_of(manifest: &Manifest) -> String {
    manifest.archive.key.replace(".dump", ".manifest.json")
}

async fn put(store: &Store, manifest: &Manifest) {
    let key = key_of(manifest);
    let body = manifest::to_canonical_bytes(manifest).unwrap();
    let signature = signing_key().sign(&body).to_vec();
    for (key, bytes) in [
        (manifest.archive.key.clone(), vec![0; 5]),
        (manifest.globals.as_ref().unwrap().key.clone(), vec![0; 3]),
        (format!("{key}.sig"), signature),
        (key, body),
    ] {
        store.put_new(&key, Bytes::from(bytes)).await.unwrap();
    }
}

async fn replace(store: &Store, key: &str, bytes: impl Into<Bytes>) {
    store.delete(key).await.unwrap();
    store.put_new(key, bytes.into()).await.unwrap();
}

async fn discover(store: &Store, key: &SigningKey) -> Vec<Result<Found>> {
    let mut found = store.discover(key.public());
    let mut all = Vec::new();
    while let Some(one) = found.recv().await {
        all.push(one);
    }
    all
}

/// What is wrong with each backup, in the order of keys; nothing where it is empty.
async fn problems(store: &Store, key: &SigningKey) -> Vec<String> {
    let found = discover(store, key).await;
    found.into_iter().map(|found| found.unwrap().problem.unwrap_or_default()).collect()
}

#[tokio::test]
async fn every_good_backup_is_found() {
    let server = FaultServer::start().await;
    let store = server.store();
    assert!(discover(&store, &signing_key()).await.is_empty());
    for number in 1..=20 {
        put(&store, &backup(number)).await;
    }
    server.fail(Method::GET, "manifest.json", Fault::Status(503, "SlowDown"), 5);
    let found = discover(&store, &signing_key()).await;
    assert_eq!(found.len(), 20);
    for (number, found) in (1..).zip(found) {
        let found = found.unwrap();
        assert_eq!(found.problem, None);
        let proven = found.signed.unwrap();
        assert_eq!((found.key, &proven.manifest), (key_of(&backup(number)), &backup(number)));
        assert_eq!(found.place.unwrap().job, backup(number).job.id);
        signing_key().public().verify_strict(&proven.body, &proven.signature).unwrap();
    }
}

#[tokio::test]
async fn each_fault_is_told_and_hides_no_other_backup() {
    let server = FaultServer::start().await;
    let store = server.store();
    for number in 1..=12 {
        put(&store, &backup(number)).await;
    }
    let key = |number| key_of(&backup(number));
    let mut flipped = store.get(&key(2)).await.unwrap().to_vec();
    flipped[100] ^= 1;
    replace(&store, &key(2), flipped).await;
    store.delete(&format!("{}.sig", key(3))).await.unwrap();
    store.delete(&backup(4).archive.key).await.unwrap();
    replace(&store, &backup(5).archive.key, "four").await;
    store.delete(&backup(6).globals.unwrap().key).await.unwrap();
    // One of another backup, with its signature.
    for suffix in ["", ".sig"] {
        let bytes = store.get(&format!("{}{suffix}", key(1))).await.unwrap();
        replace(&store, &format!("{}{suffix}", key(7)), bytes).await;
    }
    replace(&store, &format!("{}.sig", key(8)), "short").await;
    let signed = |body: &[u8]| signing_key().sign(body).to_vec();
    replace(&store, &key(9), "{}").await;
    replace(&store, &format!("{}.sig", key(9)), signed(b"{}")).await;
    let mut other_key = backup(10);
    other_key.key_id = "0123456789abcdef".to_owned();
    let body = manifest::to_canonical_bytes(&other_key).unwrap();
    replace(&store, &format!("{}.sig", key(10)), signed(&body)).await;
    replace(&store, &key(10), body).await;
    // Elsewhere than it belongs.
    let misplaced = key(11).replace("/db/", "/else/");
    store.put_new(&misplaced, store.get(&key(11)).await.unwrap()).await.unwrap();

    let told = problems(&store, &signing_key()).await;
    let expected: [&[&str]; 13] = [
        &[],
        &["2.manifest.json", "is not what key 21fe31dfa154a261 has signed"],
        &["3.manifest.json.sig", "is missing"],
        &["4.dump", "is missing"],
        &["5.dump", "has 4 bytes instead of 5"],
        &["6.globals.sql", "is missing"],
        &["7.manifest.json", "is of job 00000000-0000-0000-0000-000000000001"],
        &["8.manifest.json.sig", "has 5 bytes instead of 64"],
        &["9.manifest.json", "is not a manifest"],
        &["a.manifest.json", "0123456789abcdef"],
        &[],
        &[],
        &["b.manifest.json", "does not have the key of a manifest"],
    ];
    assert_eq!(told.len(), expected.len());
    for (told, expected) in told.iter().zip(expected) {
        assert_eq!(told.is_empty(), expected.is_empty(), "{told}");
        assert!(expected.iter().all(|part| told.contains(part)), "{told} says {expected:?}");
    }

    let stranger = SigningKey::generate([7; 32]);
    let told = problems(&store, &stranger).await;
    assert!(told.iter().all(|problem| !problem.is_empty()));
    assert!(
        told[0].contains("key 21fe31dfa154a261 has signed it")
            && told[0].contains(&stranger.public().key_id())
    );
}

#[tokio::test]
async fn a_storage_that_fails_is_an_error_and_no_problem_of_a_backup() {
    for request in ["list-type", ".sig"] {
        let server = FaultServer::start().await;
        put(&server.store(), &backup(1)).await;
        let policy = RetryPolicy { budget: Duration::from_millis(200), ..quick() };
        server.fail(Method::GET, request, Fault::Status(500, ""), 10_000);
        let mut found = discover(&server.store_with(BUCKET, SECRET, policy), &signing_key()).await;
        assert_eq!(found.pop().unwrap().unwrap_err().class, ErrorClass::StorageUnreachable, "{request}");
        assert!(found.is_empty());
    }
}

#[tokio::test]
async fn who_stops_listening_stops_it() {
    let server = FaultServer::start().await;
    let store = server.store();
    for number in 1..=40 {
        put(&store, &backup(number)).await;
    }
    drop(store.discover(signing_key().public()));
    let mut found = store.discover(signing_key().public());
    found.recv().await.unwrap().unwrap();
    drop(found);
    tokio::time::sleep(Duration::from_millis(200)).await;
    let fetched =
        server.seen().iter().filter(|seen| seen.starts_with("GET ") && seen.contains(".sig")).count();
    assert!(fetched < 20, "{fetched}");
}
