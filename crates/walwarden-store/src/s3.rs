//! Amazon S3 and compatible servers, through the `object_store` crate with all of its own retries switched off.

mod answer;
mod client;
mod listing;

use std::ops::Range;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use object_store::aws::{AmazonS3, AwsCredential};
use object_store::list::{PaginatedListOptions, PaginatedListStore};
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutMode, PutMultipartOptions,
    PutOptions,
};
use walwarden_core::{ErrorClass, Result};

use crate::backend::Head;
use crate::credentials::Identity;
use crate::failure::Failure;
use crate::listing::{ListedObject, Page, Place};
use crate::options::S3Options;

/// How often credentials are asked for before the first time they were given: without any configured, the client asks
/// the machine's metadata service, and off the cloud nobody answers.
const FIRST_CREDENTIAL_ATTEMPTS: u32 = 3;

/// One bucket and prefix.
pub(crate) struct S3 {
    client: AmazonS3,
    prefix: String,
    attributes: Attributes,
    has_had_credentials: AtomicBool,
}

impl S3 {
    /// Makes the client; nothing is sent yet.
    pub(crate) fn open(
        bucket: &str,
        prefix: &str,
        options: &S3Options,
        default_region: Option<&str>,
        identity: Identity,
    ) -> Result<Self> {
        let mut attributes = Attributes::new();
        if let Some(class) = &options.storage_class {
            attributes.insert(Attribute::StorageClass, class.clone().into());
        }
        Ok(Self {
            client: client::build(bucket, options, default_region, identity)?,
            prefix: prefix.to_owned(),
            attributes,
            has_had_credentials: AtomicBool::new(false),
        })
    }

    pub(crate) async fn create(&self, key: &str, bytes: Bytes, limit: Duration) -> Result<(), Failure> {
        let path = self.path(key)?;
        let options = PutOptions {
            mode: PutMode::Create,
            attributes: self.attributes.clone(),
            ..PutOptions::default()
        };
        self.attempt(limit, self.client.put_opts(&path, bytes.into(), options)).await.map(|_| ())
    }

    pub(crate) async fn head(&self, key: &str, limit: Duration) -> Result<Option<Head>, Failure> {
        let path = self.path(key)?;
        match self.attempt(limit, self.client.head(&path)).await {
            Ok(meta) => Ok(Some(Head { size: meta.size, e_tag: meta.e_tag })),
            // The answer to HEAD has no body, so a missing bucket looks the same; whatever is done next will tell.
            Err(failure) if failure.is_missing => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    pub(crate) async fn read(
        &self,
        key: &str,
        range: Range<u64>,
        limit: Duration,
    ) -> Result<(Bytes, u64), Failure> {
        let path = self.path(key)?;
        let length = range.end - range.start;
        // A range is asked for even if it is the whole object: then the client accepts nothing but a partial answer
        // for exactly this range, and an error document sent with status 200 cannot pass for data.
        let options = GetOptions { range: Some(GetRange::Bounded(range.clone())), ..GetOptions::default() };
        let answer = async {
            let answer = self.client.get_opts(&path, options).await?;
            let size = answer.meta.size;
            // Of a range that goes beyond the object, nothing is read.
            let bytes = if size < range.end { None } else { Some(answer.bytes().await?) };
            Ok((bytes, size))
        };
        let (bytes, size) = self.attempt(limit, answer).await?;
        let Some(bytes) = bytes else { return Err(Failure::ends_early(size, range.end)) };
        if bytes.len() as u64 != length {
            return Err(
                Failure::corrupt(format!("{} bytes came instead of {length}", bytes.len())).retriable()
            );
        }
        Ok((bytes, size))
    }

    pub(crate) async fn delete(&self, key: &str, limit: Duration) -> Result<(), Failure> {
        let path = self.path(key)?;
        unless_missing(self.attempt(limit, self.client.delete(&path)).await)
    }

    pub(crate) async fn list(&self, place: &Place, limit: Duration) -> Result<Page, Failure> {
        let prefix = self.path(&place.folder)?;
        // With the slash: "org" must not list "organs".
        let prefix = format!("{prefix}/");
        let options =
            PaginatedListOptions { page_token: place.token.clone(), ..PaginatedListOptions::default() };
        let answer = self.attempt(limit, self.client.list_paginated(Some(&prefix), options)).await?;
        let root = if self.prefix.is_empty() { String::new() } else { format!("{}/", self.prefix) };
        let objects = answer.result.objects.into_iter().filter_map(|object| {
            let key = object.location.as_ref().strip_prefix(&root)?.to_owned();
            Some(ListedObject { key, size: object.size })
        });
        let more = match answer.page_token {
            Some(token) if place.token.as_ref() == Some(&token) => {
                return Err(Failure::new(
                    ErrorClass::Storage,
                    "the server lists the same page again and again",
                ));
            }
            token => token.map(|token| Place { folder: place.folder.clone(), token: Some(token) }),
        };
        Ok(Page { objects: objects.collect(), more: more.into_iter().collect() })
    }

    pub(crate) async fn begin(&self, key: &str, limit: Duration) -> Result<String, Failure> {
        let path = self.path(key)?;
        let options =
            PutMultipartOptions { attributes: self.attributes.clone(), ..PutMultipartOptions::default() };
        self.attempt(limit, self.client.create_multipart_opts(&path, options)).await
    }

    pub(crate) async fn put_part(
        &self,
        key: &str,
        id: &str,
        index: usize,
        bytes: Bytes,
        limit: Duration,
    ) -> Result<String, Failure> {
        let path = self.path(key)?;
        let id = id.to_owned();
        self.attempt(limit, self.client.put_part(&path, &id, index, bytes.into()))
            .await
            .map(|part| part.content_id)
    }

    pub(crate) async fn complete(
        &self,
        key: &str,
        id: &str,
        tags: &[String],
        limit: Duration,
    ) -> Result<(), Failure> {
        let path = self.path(key)?;
        let parts = tags.iter().map(|tag| PartId { content_id: tag.clone() }).collect();
        let id = id.to_owned();
        self.attempt(limit, self.client.complete_multipart(&path, &id, parts)).await.map(|_| ())
    }

    pub(crate) async fn abort(&self, key: &str, id: &str, limit: Duration) -> Result<(), Failure> {
        let path = self.path(key)?;
        let id = id.to_owned();
        unless_missing(self.attempt(limit, self.client.abort_multipart(&path, &id)).await)
    }

    fn path(&self, key: &str) -> Result<Path, Failure> {
        let full = if self.prefix.is_empty() { key.to_owned() } else { format!("{}/{key}", self.prefix) };
        Path::parse(full).map_err(|_| Failure::internal("an object key could not be made into a path"))
    }

    /// Runs one request with time limit; its failure is judged and free of secrets.
    async fn attempt<T>(
        &self,
        limit: Duration,
        request: impl Future<Output = object_store::Result<T>>,
    ) -> Result<T, Failure> {
        let mut credential = None;
        let work = async {
            credential = Some(self.credential().await?);
            request.await.map_err(|error| answer::judge(&error))
        };
        // The client library panics where a request cannot be built. Every known cause is refused earlier; an unknown
        // one must not end the thread.
        let guarded = AssertUnwindSafe(tokio::time::timeout(limit, work)).catch_unwind().await;
        let result = match guarded {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(Failure::timeout(limit)),
            Err(_) => Err(Failure::internal("the storage client panicked")),
        };
        result.map_err(|mut failure| {
            if let Some(credential) = credential {
                failure.redact(&credential.secret_key);
                failure.redact(credential.token.as_deref().unwrap_or_default());
            }
            failure
        })
    }

    /// The credentials of the next request. Asked for first, so that their failures are told from the storage's.
    async fn credential(&self) -> Result<Arc<AwsCredential>, Failure> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            match self.client.credentials().get_credential().await {
                Ok(credential) => {
                    if !is_sendable(&credential) {
                        return Err(no_credentials("the credentials hold a control character"));
                    }
                    self.has_had_credentials.store(true, Ordering::Relaxed);
                    return Ok(credential);
                }
                Err(error) => {
                    let cause = answer::judge(&error);
                    let failure = no_credentials(&cause.detail);
                    if self.has_had_credentials.load(Ordering::Relaxed) && cause.is_retriable {
                        return Err(failure.retriable());
                    }
                    if attempts >= FIRST_CREDENTIAL_ATTEMPTS {
                        return Err(failure);
                    }
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
}

/// The client library panics on a request header it cannot build.
fn is_sendable(credential: &AwsCredential) -> bool {
    let mut fields = [&credential.key_id, &credential.secret_key].into_iter().chain(&credential.token);
    !fields.any(|field| field.chars().any(char::is_control))
}

fn no_credentials(detail: &str) -> Failure {
    Failure::new(ErrorClass::StoragePermission, format!("no credentials: {detail}")).hint(
        "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the server's environment, give the machine a role, or name \
         a profile of the credentials file in the storage option \"profile\".",
    )
}

/// Deleting what does not exist is fine; a missing bucket is not.
fn unless_missing(result: Result<(), Failure>) -> Result<(), Failure> {
    match result {
        Err(failure) if failure.is_missing => Ok(()),
        other => other,
    }
}
