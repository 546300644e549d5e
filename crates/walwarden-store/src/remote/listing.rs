//! Whether an answer to a listing is a listing.
//!
//! `object_store` takes any XML for one, in which nothing is listed: an error that a server sends with status 200, or the
//! page of a proxy, would pass for an empty bucket. So the client's connections look into these answers first.

use std::fmt;
use std::pin::Pin;

use bytes::{Bytes, BytesMut};
use futures::TryStreamExt;
use object_store::client::{
    HttpClient, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody, HttpService,
};

/// How a request for a listing is known by its query: of S3 and Google, of Azure.
const LISTINGS: [&str; 2] = ["list-type=2", "comp=list&"];

/// A page has at most 1,000 keys of 1,024 bytes.
const MAX_PAGE: usize = 16 << 20;

#[derive(Debug)]
struct Checked(HttpClient);

/// Why an answer with status 200 is no listing.
#[derive(Debug)]
pub(crate) enum NoListing {
    /// It is something else, an error for instance.
    Other(String),
    /// It says that there is more, but not where.
    WithoutEnd,
}

/// The same connections, whose listings are listings.
pub(crate) fn checked(client: HttpClient) -> HttpClient {
    HttpClient::new(Checked(client))
}

impl HttpService for Checked {
    fn call<'this, 'answer>(
        &'this self,
        request: HttpRequest,
    ) -> Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'answer>>
    where
        'this: 'answer,
        Self: 'answer,
    {
        Box::pin(async move {
            let is_listing = request.uri().query().is_some_and(is_listing);
            let answer = self.0.execute(request).await?;
            if !is_listing || !answer.status().is_success() {
                return Ok(answer);
            }
            let (parts, body) = answer.into_parts();
            let body = whole(body).await?;
            check(&body).map_err(|why| HttpError::new(HttpErrorKind::Decode, why))?;
            Ok(HttpResponse::from_parts(parts, body.into()))
        })
    }
}

fn is_listing(query: &str) -> bool {
    // The names of parameters come in any order, so the last one has no ampersand.
    let query = format!("{query}&");
    LISTINGS.iter().any(|listing| query.contains(listing))
}

pub(crate) async fn whole(body: HttpResponseBody) -> Result<Bytes, HttpError> {
    let mut stream = body.bytes_stream();
    let mut bytes = BytesMut::new();
    while let Some(some) = stream.try_next().await? {
        if bytes.len() + some.len() > MAX_PAGE {
            let why = NoListing::Other("an answer without an end".to_owned());
            return Err(HttpError::new(HttpErrorKind::Decode, why));
        }
        bytes.extend_from_slice(&some);
    }
    Ok(bytes.freeze())
}

/// Text within a key is escaped, so what looks like an element is one.
fn check(body: &[u8]) -> Result<(), NoListing> {
    let text = String::from_utf8_lossy(body);
    // Azure's form says where it goes on, or nothing.
    if text.contains("<EnumerationResults") {
        return Ok(());
    }
    if !text.contains("<ListBucketResult") {
        return Err(NoListing::Other(text.into_owned()));
    }
    let goes_on = text.contains("<IsTruncated>true</IsTruncated>");
    if goes_on && !text.contains("<NextContinuationToken>") {
        return Err(NoListing::WithoutEnd);
    }
    Ok(())
}

impl fmt::Display for NoListing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Other(_) => "the answer is no listing",
            Self::WithoutEnd => "the listing ends early and does not say where it goes on",
        })
    }
}

impl std::error::Error for NoListing {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_listing_is_one() {
        let page = |rest: &str| {
            format!("<?xml version=\"1.0\"?><ListBucketResult xmlns=\"x\">{rest}</ListBucketResult>")
        };
        for good in [
            page(""),
            page("<IsTruncated>false</IsTruncated>"),
            "<EnumerationResults ContainerName=\"c\"><Blobs /><NextMarker /></EnumerationResults>".to_owned(),
            page("<IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>"),
        ] {
            assert!(check(good.as_bytes()).is_ok(), "{good}");
        }
        for other in ["", "<html>sign in</html>", "<Error><Code>SlowDown</Code></Error>"] {
            assert!(matches!(check(other.as_bytes()), Err(NoListing::Other(_))), "{other}");
        }
        let cut = page("<IsTruncated>true</IsTruncated><NextMarker>t</NextMarker>");
        assert!(matches!(check(cut.as_bytes()), Err(NoListing::WithoutEnd)));
    }
}
