//! A bucket or container somewhere else, through one of the clients of the `object_store` crate with all of its own
//! retries switched off. What S3, Google and Azure have in common; each adds how it writes.

pub(crate) mod answer;
pub(crate) mod client_options;
pub(crate) mod connection;
pub(crate) mod document;
pub(crate) mod listing;
mod upload_listing;

use std::ops::Range;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use object_store::client::{HttpClient, HttpRequest, HttpRequestBody, HttpResponse};
use object_store::list::{PaginatedListOptions, PaginatedListStore};
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::signer::{HeaderMap, Method, Signer};
use object_store::{GetOptions, GetRange, ObjectStore, ObjectStoreExt};
use walwarden_core::ErrorClass;

use crate::backend::Head;
use crate::failure::Failure;
use crate::listing::{ListedObject, Page, Place};

/// How often credentials are asked for before the first time they were given: without any configured, the client asks
/// the machine's metadata service, and off the cloud nobody answers.
const FIRST_CREDENTIAL_ATTEMPTS: u32 = 3;

/// A client of the `object_store` crate.
pub(crate) trait Client: ObjectStore + MultipartStore + PaginatedListStore + Signer {
    /// What to do about missing credentials.
    const CREDENTIALS_HINT: &'static str;

    /// Asks for the credentials of the next request, and gives all that must not be shown.
    fn secrets(&self) -> impl Future<Output = object_store::Result<Vec<String>>> + Send;
}

/// One bucket or container, below one prefix.
pub(crate) struct Remote<C> {
    pub(crate) client: C,
    /// For requests that the client does not have.
    http: HttpClient,
    prefix: String,
    /// What must not be shown, besides credentials.
    secrets: Vec<String>,
    has_had_credentials: AtomicBool,
}

impl<C: Client> Remote<C> {
    pub(crate) fn new(client: C, http: HttpClient, prefix: &str, secrets: Vec<String>) -> Self {
        let has_had_credentials = AtomicBool::new(false);
        Self { client, http, prefix: prefix.to_owned(), secrets, has_had_credentials }
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
        // With the slash: "org" must not list "organs".
        let prefix = format!("{}/", self.path(&place.folder)?);
        let offset = place.after.as_deref().map(|key| self.path(key)).transpose()?;
        let options = PaginatedListOptions {
            page_token: place.token.clone(),
            offset: offset.map(|path| path.to_string()),
            ..PaginatedListOptions::default()
        };
        let answer = self.attempt(limit, self.client.list_paginated(Some(&prefix), options)).await?;
        let objects = answer.result.objects.into_iter().filter_map(|object| {
            let key = self.key(object.location.as_ref())?.to_owned();
            Some(ListedObject { key, size: object.size })
        });
        let more = match answer.page_token {
            Some(token) if place.token.as_ref() == Some(&token) => return Err(same_page()),
            token => token.map(|token| Place {
                folder: place.folder.clone(),
                token: Some(token),
                after: place.after.clone(),
            }),
        };
        Ok(Page { objects: objects.collect(), more: more.into_iter().collect() })
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

    /// Completes an upload through `client`, which may be another than ours.
    pub(crate) async fn complete(
        &self,
        client: &C,
        key: &str,
        id: &str,
        tags: &[String],
        limit: Duration,
    ) -> Result<(), Failure> {
        let path = self.path(key)?;
        let parts = tags.iter().map(|tag| PartId { content_id: tag.clone() }).collect();
        let id = id.to_owned();
        self.attempt(limit, client.complete_multipart(&path, &id, parts)).await.map(|_| ())
    }

    pub(crate) async fn abort(&self, key: &str, id: &str, limit: Duration) -> Result<(), Failure> {
        let path = self.path(key)?;
        let id = id.to_owned();
        unless_missing(self.attempt(limit, self.client.abort_multipart(&path, &id)).await)
    }

    /// A URL with which anybody can read the object until it expires.
    pub(crate) async fn signed_url(
        &self,
        key: &str,
        expires: Duration,
        limit: Duration,
    ) -> Result<String, Failure> {
        let path = self.path(key)?;
        self.attempt(limit, self.client.signed_url(Method::GET, &path, expires)).await.map(String::from)
    }

    /// Fetches an address as anybody would: without our credentials.
    pub(crate) async fn fetch(&self, url: &str, limit: Duration) -> Result<Bytes, Failure> {
        let mut failed = match tokio::time::timeout(limit, self.send(get(url)?)).await {
            Ok(Ok((_, body))) => return Ok(body),
            Ok(Err(failure)) => failure,
            Err(_) => Failure::timeout(limit),
        };
        failed.redact(url);
        Err(failed)
    }

    /// Sends a request that is complete, and reads the answer; one without success is judged.
    pub(crate) async fn send(&self, request: HttpRequest) -> Result<(HeaderMap, Bytes), Failure> {
        let reply: HttpResponse =
            self.http.execute(request).await.map_err(|error| answer::judge_transport(&error))?;
        let (parts, body) = reply.into_parts();
        let body = listing::whole(body).await.map_err(|error| answer::judge_transport(&error))?;
        if parts.status.is_success() {
            return Ok((parts.headers, body));
        }
        Err(answer::judge_status(parts.status.as_u16(), &String::from_utf8_lossy(&body)))
    }

    pub(crate) fn path(&self, key: &str) -> Result<Path, Failure> {
        let full = if self.prefix.is_empty() { key.to_owned() } else { format!("{}/{key}", self.prefix) };
        Path::parse(full).map_err(|_| Failure::internal("an object key could not be made into a path"))
    }

    /// The key of what lies at `path` in the bucket, if that is below our prefix.
    pub(crate) fn key<'a>(&self, path: &'a str) -> Option<&'a str> {
        if self.prefix.is_empty() { Some(path) } else { path.strip_prefix(&self.prefix)?.strip_prefix('/') }
    }

    /// Runs one request of the client library with time limit; its failure is judged and free of secrets.
    pub(crate) async fn attempt<T>(
        &self,
        limit: Duration,
        request: impl Future<Output = object_store::Result<T>>,
    ) -> Result<T, Failure> {
        self.attempt_own(limit, async { request.await.map_err(|error| answer::judge(&error)) }).await
    }

    /// The same for a request whose failures are judged already.
    pub(crate) async fn attempt_own<T>(
        &self,
        limit: Duration,
        request: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let mut secrets = self.secrets.clone();
        let work = async {
            secrets.extend(self.credentials().await?);
            request.await
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
            for secret in &secrets {
                failure.redact(secret);
            }
            failure
        })
    }

    /// The secrets of the next request. Asked for first, so that the failures of those who give them are told from the
    /// storage's.
    async fn credentials(&self) -> Result<Vec<String>, Failure> {
        let none = |detail: &str| {
            Failure::new(ErrorClass::StoragePermission, format!("no credentials: {detail}"))
                .hint(C::CREDENTIALS_HINT)
        };
        let mut attempts = 0;
        loop {
            attempts += 1;
            match self.client.secrets().await {
                // The client library panics on a request header it cannot build.
                Ok(secrets) if secrets.iter().any(|secret| secret.chars().any(char::is_control)) => {
                    return Err(none("the credentials hold a control character"));
                }
                Ok(secrets) => {
                    self.has_had_credentials.store(true, Ordering::Relaxed);
                    return Ok(secrets);
                }
                Err(error) => {
                    let cause = answer::judge(&error);
                    let failure = none(&cause.detail);
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

/// A plain GET.
pub(crate) fn get(url: &str) -> Result<HttpRequest, Failure> {
    let mut request = HttpRequest::new(HttpRequestBody::empty());
    *request.uri_mut() = url.parse().map_err(|_| Failure::internal("a request could not be built"))?;
    Ok(request)
}

/// A listing that would never end.
pub(crate) fn same_page() -> Failure {
    Failure::new(ErrorClass::Storage, "the server lists the same page again and again")
}

/// Deleting what does not exist is fine; a missing bucket is not.
pub(crate) fn unless_missing(result: Result<(), Failure>) -> Result<(), Failure> {
    match result {
        Err(failure) if failure.is_missing => Ok(()),
        other => other,
    }
}
