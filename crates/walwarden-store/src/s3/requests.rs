//! Requests that the client library does not have: signed as its own, sent over its connections, judged as its answers.

use std::time::Duration;

use bytes::Bytes;
use object_store::aws::AwsAuthorizer;
use object_store::path::Path;
use object_store::signer::{HeaderMap, Method};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{S3, unbuildable};
use crate::failure::Failure;
use crate::remote::{answer, get};

/// What signatures leave as it is (RFC 3986, "unreserved").
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// An answer with a status of success.
pub(super) struct Answer {
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Answer {
    /// A header that is text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

impl S3 {
    /// Sends a request without a body. `path` is that of an object, or none for the bucket itself. One attempt.
    pub(super) async fn request(
        &self,
        method: Method,
        path: Option<&Path>,
        query: &[(&str, &str)],
        headers: HeaderMap,
        limit: Duration,
    ) -> Result<Answer, Failure> {
        let url = self.url(path, query)?;
        self.remote.attempt_own(limit, self.send(method, &url, headers)).await
    }

    async fn send(&self, method: Method, url: &str, headers: HeaderMap) -> Result<Answer, Failure> {
        let credential = self.access.credentials().get_credential().await;
        let credential = credential.map_err(|error| answer::judge(&error))?;
        let mut request = get(url)?;
        *request.method_mut() = method;
        *request.headers_mut() = headers;
        AwsAuthorizer::new(&credential, "s3", self.access.region())
            .try_authorize(&mut request, None)
            .map_err(|_| Failure::internal("a request could not be signed"))?;
        let (headers, body) = self.remote.send(request).await?;
        Ok(Answer { headers, body })
    }

    fn url(&self, path: Option<&Path>, query: &[(&str, &str)]) -> Result<String, Failure> {
        let mut url = self.access.bucket_url().map_err(unbuildable)?;
        for segment in path.iter().flat_map(|path| path.as_ref().split('/')) {
            url.push('/');
            url.extend(utf8_percent_encode(segment, ENCODED));
        }
        let pairs: Vec<String> = query
            .iter()
            .map(|(name, value)| {
                format!("{}={}", utf8_percent_encode(name, ENCODED), utf8_percent_encode(value, ENCODED))
            })
            .collect();
        if !pairs.is_empty() {
            url.push('?');
            url.push_str(&pairs.join("&"));
        }
        Ok(url)
    }
}
