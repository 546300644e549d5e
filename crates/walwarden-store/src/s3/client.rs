//! The client for one bucket, from nothing but the storage's own options and an identity.

use std::time::Duration;

use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey, S3ConditionalPut};
use object_store::{BackoffConfig, ClientOptions, HeaderValue, RetryConfig};
use url::Url;
use walwarden_core::{Error, ErrorClass, Result};

use crate::credentials::Identity;
use crate::failure::one_line;
use crate::options::S3Options;
use crate::s3::listing::CheckedListings;

/// What servers take for the default region.
const DEFAULT_REGION: &str = "us-east-1";

/// How long to wait for a connection, DNS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Makes the client. Of the environment, nothing has a part in it but what is in `identity`, and the usual variables
/// that name a proxy.
pub(super) fn build(
    bucket: &str,
    options: &S3Options,
    default_region: Option<&str>,
    identity: Identity,
) -> Result<AmazonS3> {
    let region = options.region.as_deref().or(default_region).unwrap_or(DEFAULT_REGION);
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(bucket)
        .with_region(region)
        .with_virtual_hosted_style_request(!options.path_style)
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        // Not every compatible server has the bulk request, which is also the one whose failures are hidden in a 200.
        .with_disable_bulk_delete(true)
        .with_disable_tagging(true)
        .with_retry(no_retries())
        .with_http_connector(CheckedListings)
        .with_client_options(client_options(options));
    if let Some(endpoint) = &options.endpoint {
        let address = if options.path_style { endpoint.clone() } else { with_bucket_host(endpoint, bucket)? };
        builder = builder.with_endpoint(address);
    }
    builder = match identity {
        Identity::Profile(keys) => {
            let builder =
                builder.with_access_key_id(keys.access_key_id).with_secret_access_key(keys.secret_access_key);
            match keys.session_token {
                Some(token) => builder.with_token(token),
                None => builder,
            }
        }
        Identity::Environment(variables) => {
            variables.into_iter().try_fold(builder, |builder, (name, value)| {
                let key: AmazonS3ConfigKey = name
                    .to_ascii_lowercase()
                    .parse()
                    .map_err(|_| Error::internal(format!("client does not know the variable {name}")))?;
                Ok::<_, Error>(builder.with_config(key, value))
            })?
        }
    };
    builder.build().map_err(|error| {
        Error::new(ErrorClass::Configuration, format!("could not set up the client for bucket \"{bucket}\""))
            .detail(one_line(&error.to_string()))
    })
}

/// All retries are made by `crate::retry`, which sees every answer.
fn no_retries() -> RetryConfig {
    RetryConfig { backoff: BackoffConfig::default(), max_retries: 0, retry_timeout: Duration::ZERO }
}

fn client_options(options: &S3Options) -> ClientOptions {
    ClientOptions::new()
        .with_allow_http(options.allow_http)
        .with_user_agent(HeaderValue::from_static(concat!("walwarden/", env!("CARGO_PKG_VERSION"))))
        .with_connect_timeout(CONNECT_TIMEOUT.min(options.timeout))
        // The limit of a whole request depends on its bytes and is kept by whoever makes it.
        .with_timeout_disabled()
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
