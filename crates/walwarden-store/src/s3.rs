//! Amazon S3 and compatible services: what they have beyond the other kinds of storage.

mod access;
mod probing;
mod removal;
mod requests;
mod versions;

use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use chrono::Utc;
use object_store::aws::AmazonS3;
use object_store::signer::{HeaderMap, Method};
use object_store::{
    Attribute, Attributes, ObjectStore, PutMode, PutMultipartOptions, PutOptions, TagSet,
    multipart::MultipartStore,
};
use walwarden_core::Result;
use walwarden_reach::AllowList;

use crate::backend::Head;
use crate::credentials::Identity;
use crate::failure::Failure;
use crate::listing::{Page, Place};
use crate::options::S3Options;
use crate::remote::{Client, Remote};
use crate::uploads_found::{UploadPage, UploadPlace};
use access::Access;

pub(crate) use probing::BucketState;

/// One bucket and prefix.
#[derive(Clone)]
pub(crate) struct S3 {
    remote: std::sync::Arc<Remote<AmazonS3>>,
    access: std::sync::Arc<Access>,
    attributes: Attributes,
    tags: TagSet,
    is_locking: bool,
}

impl Client for AmazonS3 {
    const CREDENTIALS_HINT: &'static str = "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the server's environment, give the machine a role, or name \
         a profile of the credentials file in the storage option \"profile\".";

    async fn secrets(&self) -> object_store::Result<Vec<String>> {
        let credential = self.credentials().get_credential().await?;
        // The key's id is shown, but it goes into a header as the others do.
        let odd_id = credential.key_id.chars().any(char::is_control).then(|| credential.key_id.clone());
        let secret = credential.secret_key.clone();
        Ok([Some(secret), credential.token.clone(), odd_id].into_iter().flatten().collect())
    }
}

impl S3 {
    /// Makes the client; nothing is sent yet.
    pub(crate) fn open(
        bucket: &str,
        prefix: &str,
        options: &S3Options,
        default_region: Option<&str>,
        identity: Identity,
        allow: &AllowList,
    ) -> Result<Self> {
        let mut attributes = Attributes::new();
        if let Some(class) = &options.storage_class {
            attributes.insert(Attribute::StorageClass, class.clone().into());
        }
        let mut tags = TagSet::default();
        for (name, value) in &options.tags {
            tags.push(name, value);
        }
        let (access, client) = Access::open(bucket, options, default_region, identity, allow)?;
        let secrets = access.secrets();
        Ok(Self {
            remote: Remote::new(client, access.http(), prefix, secrets).into(),
            access: access.into(),
            attributes,
            tags,
            is_locking: options.lock.is_some(),
        })
    }

    /// Where requests go.
    pub(crate) fn address(bucket: &str, options: &S3Options, default_region: Option<&str>) -> Result<String> {
        access::bucket_url(bucket, options, access::region(options, default_region))
    }

    /// The same bucket, in which nothing is locked by us: for probes, which must go again.
    pub(crate) fn without_lock(&self) -> Self {
        Self { is_locking: false, ..self.clone() }
    }

    pub(crate) fn options(&self) -> &S3Options {
        self.access.options()
    }

    pub(crate) async fn create(&self, key: &str, bytes: Bytes, limit: Duration) -> Result<(), Failure> {
        let mode = if self.options().conditional_writes {
            PutMode::Create
        } else {
            // The service cannot say no, so it is asked first.
            if self.remote.head(key, limit).await?.is_some() {
                return Err(Failure::exists());
            }
            PutMode::Overwrite
        };
        let path = self.remote.path(key)?;
        let options = PutOptions {
            mode,
            attributes: self.attributes.clone(),
            tags: self.tags.clone(),
            ..PutOptions::default()
        };
        let client = self.writer()?;
        self.remote.attempt(limit, client.put_opts(&path, bytes.into(), options)).await.map(|_| ())
    }

    pub(crate) async fn head(&self, key: &str, limit: Duration) -> Result<Option<Head>, Failure> {
        self.remote.head(key, limit).await
    }

    pub(crate) async fn read(
        &self,
        key: &str,
        range: Range<u64>,
        limit: Duration,
    ) -> Result<(Bytes, u64), Failure> {
        self.remote.read(key, range, limit).await
    }

    pub(crate) async fn delete(&self, key: &str, limit: Duration) -> Result<(), Failure> {
        self.remote.delete(key, limit).await
    }

    pub(crate) async fn list(&self, place: &Place, limit: Duration) -> Result<Page, Failure> {
        self.remote.list(place, limit).await
    }

    pub(crate) async fn begin(&self, key: &str, limit: Duration) -> Result<String, Failure> {
        let path = self.remote.path(key)?;
        let options = PutMultipartOptions {
            attributes: self.attributes.clone(),
            tags: self.tags.clone(),
            ..PutMultipartOptions::default()
        };
        let client = self.writer()?;
        self.remote.attempt(limit, client.create_multipart_opts(&path, options)).await
    }

    pub(crate) async fn put_part(
        &self,
        key: &str,
        id: &str,
        index: usize,
        bytes: Bytes,
        limit: Duration,
    ) -> Result<String, Failure> {
        self.remote.put_part(key, id, index, bytes, limit).await
    }

    pub(crate) async fn complete(
        &self,
        key: &str,
        id: &str,
        tags: &[String],
        limit: Duration,
    ) -> Result<(), Failure> {
        let client = self.access.completing_client().map_err(unbuildable)?;
        self.remote.complete(client.as_ref().unwrap_or(&self.remote.client), key, id, tags, limit).await
    }

    pub(crate) async fn abort(&self, key: &str, id: &str, limit: Duration) -> Result<(), Failure> {
        self.remote.abort(key, id, limit).await
    }

    pub(crate) async fn signed_url(
        &self,
        key: &str,
        expires: Duration,
        limit: Duration,
    ) -> Result<String, Failure> {
        self.remote.signed_url(key, expires, limit).await
    }

    /// Fetches an address as anybody would.
    pub(crate) async fn fetch(&self, url: &str, limit: Duration) -> Result<Bytes, Failure> {
        self.remote.fetch(url, limit).await
    }

    pub(crate) async fn list_uploads(
        &self,
        place: &UploadPlace,
        limit: Duration,
    ) -> Result<UploadPage, Failure> {
        let query = self.remote.upload_query(place)?;
        let query: Vec<(&str, &str)> = query.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let answer = self.request(Method::GET, None, &query, HeaderMap::new(), limit).await?;
        self.remote.read_uploads(&answer.body, place)
    }

    /// The client for requests that bring an object into being: what it writes is locked, counted from now.
    fn writer(&self) -> Result<AmazonS3, Failure> {
        match self.options().lock.filter(|_| self.is_locking) {
            Some(lock) => self.access.locking_client(lock, Utc::now()).map_err(unbuildable),
            None => Ok(self.remote.client.clone()),
        }
    }
}

/// What was built once with the same options can be built again.
fn unbuildable(error: walwarden_core::Error) -> Failure {
    Failure::internal(&error.to_string())
}
