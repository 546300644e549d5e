//! The clients for one bucket, from nothing but the storage's own options and an identity, and the way to send a request
//! that they do not have.

use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use md5::{Digest, Md5};
use object_store::aws::{
    AmazonS3, AmazonS3Builder, AmazonS3ConfigKey, AwsCredentialProvider, Checksum as ClientChecksum,
    S3ConditionalPut,
};
use object_store::client::HttpClient;
use object_store::signer::{HeaderMap, HeaderName, HeaderValue};
use object_store::{StaticCredentialProvider, aws::AwsCredential};
use url::Url;
use walwarden_core::{Error, ErrorClass, Result};
use walwarden_reach::AllowList;

use crate::credentials::Identity;
use crate::failure::one_line;
use crate::options::{Checksum, Encryption, ObjectLock, S3Options};
use crate::remote::client_options::{client_options, no_retries};
use crate::remote::connection::Shared;

/// What servers take for the default region.
const DEFAULT_REGION: &str = "us-east-1";

/// How long a customer's key is.
const CUSTOMER_KEY_LENGTH: usize = 32;

/// Everything a client is made of.
pub(super) struct Access {
    bucket: String,
    options: S3Options,
    region: String,
    credentials: AwsCredentialProvider,
    http: Shared,
    customer_key: Option<CustomerKey>,
}

/// The key of SSE-C, as requests have it.
#[derive(Clone)]
struct CustomerKey {
    base64: String,
    md5: String,
}

impl Access {
    /// Of the environment, nothing has a part in it but what is in `identity`, and the usual variables that name a proxy.
    /// The client is for everything that needs no header of its own.
    pub(super) fn open(
        bucket: &str,
        options: &S3Options,
        default_region: Option<&str>,
        identity: Identity,
        allow: &AllowList,
    ) -> Result<(Self, AmazonS3)> {
        let region = region(options, default_region).to_owned();
        let unusable = |error: object_store::Error| unusable(bucket, &error);
        let base = bucket_url(bucket, options, &region)?;
        let http = Shared::open(&base, &[], allow, options.allow_http, options.timeout)?;
        let customer_key = customer_key(options, &identity)?;
        let credentials = match identity {
            Identity::Profile(keys) => Arc::new(StaticCredentialProvider::new(AwsCredential {
                key_id: keys.access_key_id,
                secret_key: keys.secret_access_key,
                token: keys.session_token,
            })) as AwsCredentialProvider,
            // A client knows how to follow the variables, to hosts that they name; what it has found is shared by all others.
            Identity::Environment(variables) => {
                let builder = AmazonS3Builder::new()
                    .with_bucket_name(bucket)
                    .with_region(&region)
                    .with_retry(no_retries())
                    .with_client_options(client_options(options.allow_http, options.timeout));
                let builder = variables.into_iter().try_fold(builder, |builder, (name, value)| {
                    let key: AmazonS3ConfigKey = name
                        .to_ascii_lowercase()
                        .parse()
                        .map_err(|_| Error::internal(format!("client does not know the variable {name}")))?;
                    Ok::<_, Error>(builder.with_config(key, value))
                })?;
                Arc::clone(builder.build().map_err(unusable)?.credentials())
            }
        };
        let access = Self {
            bucket: bucket.to_owned(),
            options: options.clone(),
            region,
            credentials,
            http,
            customer_key,
        };
        let client = access.client(HeaderMap::new())?;
        Ok((access, client))
    }

    pub(super) fn options(&self) -> &S3Options {
        &self.options
    }

    pub(super) fn region(&self) -> &str {
        &self.region
    }

    pub(super) fn credentials(&self) -> &AwsCredentialProvider {
        &self.credentials
    }

    pub(super) fn http(&self) -> HttpClient {
        self.http.0.clone()
    }

    /// What must not be shown, besides credentials.
    pub(super) fn secrets(&self) -> Vec<String> {
        self.customer_key.iter().map(|key| key.base64.clone()).collect()
    }

    /// The client whose objects are locked, counted from `now`. Making one costs no connection.
    pub(super) fn locking_client(&self, lock: ObjectLock, now: DateTime<Utc>) -> Result<AmazonS3> {
        let until = now + TimeDelta::days(i64::from(lock.days));
        let until = HeaderValue::from_str(&until.to_rfc3339_opts(SecondsFormat::Secs, true))
            .map_err(|_| Error::internal("a retention date is not one of a header"))?;
        let mut headers = HeaderMap::new();
        headers.insert("x-amz-object-lock-mode", HeaderValue::from_static(lock.mode.name()));
        headers.insert("x-amz-object-lock-retain-until-date", until);
        self.client(headers)
    }

    /// The client that completes uploads, where it is another: Amazon wants a customer's key with that request too if
    /// there are checksums, and the client library leaves it out.
    pub(super) fn completing_client(&self) -> Result<Option<AmazonS3>> {
        match &self.customer_key {
            Some(_) => self.client(self.customer_key_headers()?).map(Some),
            None => Ok(None),
        }
    }

    /// The headers without which an object that is encrypted with a customer's key can be neither read nor looked at.
    pub(super) fn customer_key_headers(&self) -> Result<HeaderMap> {
        let mut headers = HeaderMap::new();
        let Some(key) = &self.customer_key else { return Ok(headers) };
        for (name, value) in [("algorithm", "AES256"), ("key", &key.base64), ("key-md5", &key.md5)] {
            let bad = |_| Error::internal("a customer's key is not one of a header");
            let name = format!("x-amz-server-side-encryption-customer-{name}");
            let name = HeaderName::try_from(name).map_err(|_| Error::internal("not the name of a header"))?;
            let mut value = HeaderValue::from_str(value).map_err(bad)?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        Ok(headers)
    }

    /// The URL of the bucket, without a slash at its end.
    pub(super) fn bucket_url(&self) -> Result<String> {
        bucket_url(&self.bucket, &self.options, &self.region)
    }

    /// A client that adds these headers to its requests, and signs them.
    fn client(&self, headers: HeaderMap) -> Result<AmazonS3> {
        let options = &self.options;
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(&self.bucket)
            .with_region(&self.region)
            .with_credentials(Arc::clone(&self.credentials))
            .with_virtual_hosted_style_request(!options.path_style)
            .with_conditional_put(S3ConditionalPut::ETagMatch)
            // Not every compatible server has the bulk request, which is also the one whose failures are hidden in a 200.
            .with_disable_bulk_delete(true)
            .with_disable_tagging(options.tags.is_empty())
            .with_retry(no_retries())
            .with_http_connector(self.http.clone())
            .with_client_options(
                client_options(options.allow_http, options.timeout).with_default_headers(headers),
            );
        if let Some(endpoint) = &options.endpoint {
            let address =
                if options.path_style { endpoint.clone() } else { with_bucket_host(endpoint, &self.bucket)? };
            builder = builder.with_endpoint(address);
        }
        builder = match options.checksum {
            Some(Checksum::Sha256) => builder.with_checksum_algorithm(ClientChecksum::SHA256),
            Some(Checksum::Crc64Nvme) => builder.with_checksum_algorithm(ClientChecksum::CRC64NVME),
            None => builder,
        };
        for (name, value) in self.encryption_settings() {
            let key: AmazonS3ConfigKey = name
                .parse()
                .map_err(|_| Error::internal(format!("client does not know the setting {name}")))?;
            builder = builder.with_config(key, value);
        }
        builder.build().map_err(|error| unusable(&self.bucket, &error))
    }

    /// As the client library calls them.
    fn encryption_settings(&self) -> Vec<(&'static str, String)> {
        const KIND: &str = "aws_server_side_encryption";
        const KEY_ID: &str = "aws_sse_kms_key_id";
        let with_key = |kind: &str, key_id: &Option<String>| {
            let key_id = key_id.iter().map(|id| (KEY_ID, id.clone()));
            [(KIND, kind.to_owned())].into_iter().chain(key_id).collect::<Vec<_>>()
        };
        match &self.options.encryption {
            None => Vec::new(),
            Some(Encryption::Service) => vec![(KIND, "AES256".to_owned())],
            Some(Encryption::Kms { key_id, bucket_key }) => {
                let mut settings = with_key("aws:kms", key_id);
                settings.extend(bucket_key.map(|on| ("aws_sse_bucket_key_enabled", on.to_string())));
                settings
            }
            Some(Encryption::DoubleKms { key_id }) => with_key("aws:kms:dsse", key_id),
            Some(Encryption::Customer) => {
                let key =
                    self.customer_key.iter().map(|key| ("aws_sse_customer_key_base64", key.base64.clone()));
                [(KIND, "sse-c".to_owned())].into_iter().chain(key).collect()
            }
        }
    }
}

/// The region that requests are signed for.
pub(super) fn region<'a>(options: &'a S3Options, default_region: Option<&'a str>) -> &'a str {
    options.region.as_deref().or(default_region).unwrap_or(DEFAULT_REGION)
}

/// The URL of a bucket, without a slash at its end.
pub(super) fn bucket_url(bucket: &str, options: &S3Options, region: &str) -> Result<String> {
    match (&options.endpoint, options.path_style) {
        (Some(endpoint), true) => Ok(format!("{endpoint}/{bucket}")),
        (Some(endpoint), false) => with_bucket_host(endpoint, bucket),
        (None, true) => Ok(format!("https://s3.{region}.amazonaws.com/{bucket}")),
        (None, false) => Ok(format!("https://{bucket}.s3.{region}.amazonaws.com")),
    }
}

fn unusable(bucket: &str, error: &object_store::Error) -> Error {
    Error::new(ErrorClass::Configuration, format!("could not set up the client for bucket \"{bucket}\""))
        .detail(one_line(&error.to_string()))
}

fn customer_key(options: &S3Options, identity: &Identity) -> Result<Option<CustomerKey>> {
    if options.encryption != Some(Encryption::Customer) {
        return Ok(None);
    }
    let refused = |detail: &str| {
        Error::new(ErrorClass::Configuration, "could not take the customer's key from the profile")
            .detail(detail)
            .hint("Put it into the profile as sse_customer_key: 32 random bytes in base64.")
    };
    let base64 = match identity {
        Identity::Profile(keys) => keys.sse_customer_key.clone(),
        Identity::Environment(_) => None,
    };
    let base64 = base64.ok_or_else(|| refused("The profile has none."))?;
    let key = BASE64_STANDARD.decode(&base64).map_err(|_| refused("It is not base64."))?;
    if key.len() != CUSTOMER_KEY_LENGTH {
        return Err(refused(&format!("It has {} bytes.", key.len())));
    }
    let md5 = BASE64_STANDARD.encode(Md5::digest(&key));
    Ok(Some(CustomerKey { base64, md5 }))
}

/// The endpoint of a server that wants the bucket in the host name.
fn with_bucket_host(endpoint: &str, bucket: &str) -> Result<String> {
    let bad = || Error::invalid("storage option \"endpoint\" cannot be combined with path_style = false");
    let mut url = Url::parse(endpoint).map_err(|_| bad())?;
    let host = url.domain().ok_or_else(bad)?;
    let host = format!("{bucket}.{host}");
    url.set_host(Some(&host)).map_err(|_| bad())?;
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bucket_goes_into_the_host_name() {
        assert_eq!(
            with_bucket_host("https://s3.example.com:9000/x", "b").unwrap(),
            "https://b.s3.example.com:9000/x"
        );
        assert!(with_bucket_host("https://127.0.0.1:9000", "b").is_err());
    }
}
