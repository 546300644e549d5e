//! A bucket of a real S3 server, as the store under test sees it and as an outsider does.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use walwarden_core::Result;
use walwarden_reach::{AllowList, Purpose};
use walwarden_store::{CredentialSource, Location, StorageOptions, Store, UploadItem, Uploaded};
use walwarden_testkit::{S3Client, S3Server};

/// The prefix of every store here.
pub const PREFIX: &str = "some/prefix";

/// The key of a customer: 32 bytes in base64.
pub const CUSTOMER_KEY: &str = "bm9ib2R5IHNoYWxsIGtub3cgdGhpcyBwaHJhc2UhISE=";

pub struct Bucket {
    pub server: S3Server,
    pub name: &'static str,
    folder: tempfile::TempDir,
}

#[allow(dead_code, reason = "not every test file uses all of them")]
impl Bucket {
    pub fn plain() -> Self {
        Self::of(S3Server::start(), S3Server::BUCKET)
    }

    pub fn with_versions() -> Self {
        let server = S3Server::start();
        server.client().create_bucket("versioned");
        server.client().enable_versions("versioned");
        Self::of(server, "versioned")
    }

    pub fn with_lock() -> Self {
        let server = S3Server::start();
        server.client().create_bucket_with_lock("locked");
        Self::of(server, "locked")
    }

    fn of(server: S3Server, name: &'static str) -> Self {
        Self { server, name, folder: tempfile::tempdir().unwrap() }
    }

    pub fn client(&self) -> S3Client {
        self.server.client()
    }

    /// Where `key` of the store lies in the bucket.
    pub fn full(key: &str) -> String {
        format!("{PREFIX}/{key}")
    }

    pub fn store(&self, more: Value) -> Store {
        self.open(S3Server::ADMIN, more).unwrap()
    }

    pub fn open(&self, (access, secret): (&str, &str), more: Value) -> Result<Store> {
        let location = Location::parse(&format!("s3://{}/{PREFIX}", self.name)).unwrap();
        let mut options = json!({
            "endpoint": self.server.endpoint(), "allow_http": true, "region": "us-east-1", "profile": "ours"
        });
        for (name, value) in more.as_object().unwrap() {
            options[name] = value.clone();
        }
        let options = StorageOptions::parse(&location, &options)?;
        let credentials = CredentialSource::from_variables([], Some(self.credentials(access, secret)));
        Store::open(
            &location,
            &options,
            &credentials,
            &AllowList::parse(Purpose::Storage, "127.0.0.1").unwrap(),
        )
    }

    fn credentials(&self, access: &str, secret: &str) -> PathBuf {
        let path = self.folder.path().join(format!("credentials of {access}"));
        let content = format!(
            "[ours]\naws_access_key_id = {access}\naws_secret_access_key = {secret}\nsse_customer_key = {CUSTOMER_KEY}\n"
        );
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path
    }
}

/// Uploads `bytes` in parts of 5 MiB.
#[allow(dead_code, reason = "not every test file uses it")]
pub async fn upload(store: &Store, key: &str, bytes: &Bytes) -> Result<Uploaded> {
    let begun = store.begin_upload(key).await?;
    let (sender, receiver) = mpsc::channel(2);
    sender.send(UploadItem::Bytes(bytes.clone())).await.unwrap();
    sender.send(UploadItem::End).await.unwrap();
    begun.run(receiver, 5 << 20, 2, Arc::default()).await
}

/// Bytes for two parts.
#[allow(dead_code, reason = "not every test file uses it")]
pub fn two_parts() -> Bytes {
    (0..(5 << 20) + 1000).map(|n: u32| (n % 251) as u8).collect::<Vec<_>>().into()
}
