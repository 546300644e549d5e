//! Azure Blob Storage, through Microsoft's own emulator.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use walwarden_core::ErrorClass;
use walwarden_reach::{AllowList, Purpose};
use walwarden_store::{CheckStep, CredentialSource, Location, Removal, StorageOptions, Store, UploadItem};
use walwarden_testkit::AzureServer;

const SMALL: &str = "org/x/small";
const LARGE: &str = "org/x/large";
const CONTENT: Bytes = Bytes::from_static(b"some bytes");

struct Container {
    server: AzureServer,
    folder: tempfile::TempDir,
}

impl Container {
    fn new() -> Self {
        Self { server: AzureServer::start(), folder: tempfile::tempdir().unwrap() }
    }

    fn open(&self, key: &str, more: Value) -> walwarden_core::Result<Store> {
        let url = format!("az://{}/{}/some/prefix", AzureServer::ACCOUNT, AzureServer::CONTAINER);
        let location = Location::parse(&url).unwrap();
        let mut options =
            json!({"endpoint": self.server.endpoint(), "allow_http": true, "profile": "p", "timeout": 5});
        for (name, value) in more.as_object().unwrap() {
            options[name] = value.clone();
        }
        let options = StorageOptions::parse(&location, &options).unwrap();
        let credentials = CredentialSource::from_variables([], Some(self.credentials(key)));
        Store::open(
            &location,
            &options,
            &credentials,
            &AllowList::parse(Purpose::Storage, "127.0.0.1").unwrap(),
        )
    }

    fn store(&self, more: Value) -> Store {
        self.open(AzureServer::KEY, more).unwrap()
    }

    fn credentials(&self, key: &str) -> PathBuf {
        let path = self.folder.path().join("credentials");
        std::fs::write(&path, format!("[p]\nazure_account_key = {key}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path
    }
}

fn two_parts() -> Bytes {
    (0..(5 << 20) + 1000).map(|n: u32| (n % 251) as u8).collect::<Vec<_>>().into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_is_written_read_and_removed() {
    let container = Container::new();
    let store = container.store(json!({}));
    assert!(!store.exists(SMALL).await.unwrap());
    assert_eq!(store.get(SMALL).await.unwrap_err().class, ErrorClass::StorageNotFound);
    store.put_new(SMALL, CONTENT).await.unwrap();
    let conflict = store.put_new(SMALL, Bytes::from_static(b"other")).await.unwrap_err();
    assert_eq!(conflict.class, ErrorClass::StorageConflict);
    assert_eq!(store.get(SMALL).await.unwrap(), CONTENT);

    let begun = store.begin_upload(LARGE).await.unwrap();
    let (sender, receiver) = mpsc::channel(2);
    sender.send(UploadItem::Bytes(two_parts())).await.unwrap();
    sender.send(UploadItem::End).await.unwrap();
    let uploaded = begun.run(receiver, 5 << 20, 2, Arc::default()).await.unwrap();
    let progress = AtomicU64::new(0);
    store.verify_object(LARGE, uploaded.size, &uploaded.parts, &uploaded.sha256, &progress, 2).await.unwrap();

    let listed = store.list("org").await.unwrap();
    let listed: Vec<_> = listed.iter().map(|object| (object.key.as_str(), object.size)).collect();
    assert_eq!(listed, [(LARGE, (5 << 20) + 1000), (SMALL, 10)]);
    for key in [SMALL, LARGE] {
        assert_eq!(store.retained(key).await.unwrap(), None);
        assert_eq!(store.remove(key).await.unwrap(), Removal::Gone);
        assert_eq!(store.remove(key).await.unwrap(), Removal::Gone);
    }
    assert_eq!(store.list("org").await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_aborted_upload_leaves_no_blob() {
    let container = Container::new();
    let store = container.store(json!({}));
    let begun = store.begin_upload(LARGE).await.unwrap();
    let id = begun.id().to_owned();
    let (sender, receiver) = mpsc::channel(2);
    sender.send(UploadItem::Bytes(two_parts())).await.unwrap();
    drop(sender);
    assert_eq!(begun.run(receiver, 5 << 20, 2, Arc::default()).await.unwrap_err().class, ErrorClass::Lost);
    store.abort_upload(LARGE, &id).await.unwrap();
    assert!(!store.exists(LARGE).await.unwrap());
    assert_eq!(store.list("org").await.unwrap(), []);
    assert_eq!(store.list_uploads("org").await.unwrap(), []);
    // What waits there does not get into the next one's way.
    let begun = store.begin_upload(LARGE).await.unwrap();
    let (sender, receiver) = mpsc::channel(2);
    sender.send(UploadItem::Bytes(CONTENT)).await.unwrap();
    sender.send(UploadItem::End).await.unwrap();
    begun.run(receiver, 5 << 20, 2, Arc::default()).await.unwrap();
    assert_eq!(store.get(LARGE).await.unwrap(), CONTENT);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn addresses_can_be_fetched_and_not_changed() {
    let container = Container::new();
    let store = container.store(json!({}));
    store.put_new(SMALL, CONTENT).await.unwrap();
    let url = store.download_url(SMALL, Duration::from_secs(600)).await.unwrap();
    let curl = |url: &str| {
        let output =
            Command::new("curl").args(["--silent", "--fail", "--noproxy", "*", url]).output().unwrap();
        (output.status.success(), output.stdout)
    };
    assert_eq!(curl(url.expose()), (true, CONTENT.to_vec()));
    let (ok, _) = curl(&url.expose().replace("sig=", "sig=A"));
    assert!(!ok);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_check_passes_and_wrong_keys_are_told() {
    let container = Container::new();
    let steps = container.store(json!({})).check().await;
    assert!(steps.iter().all(CheckStep::is_ok), "{steps:#?}");
    let noted: Vec<_> = steps.iter().filter(|step| step.note().is_some()).map(|step| step.step).collect();
    assert_eq!(noted, ["find an upload"], "{steps:#?}");

    let wrong = container.open("Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5", json!({})).unwrap();
    let error = wrong.put_new(SMALL, CONTENT).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::StoragePermission, "{error}");
    assert!(!format!("{error:?}").contains("Y2FuYXJ5"));
    let error = container.open("can*ary", json!({})).unwrap_err();
    assert!(!format!("{error:?}").contains("can*ary"), "{error:?}");
}
