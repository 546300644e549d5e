//! What all clients of the `object_store` crate are told.

use std::time::Duration;

use object_store::{BackoffConfig, ClientOptions, HeaderValue, RetryConfig};

/// How long to wait for a connection, DNS included.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How requests name who sends them.
pub(crate) const USER_AGENT: &str = concat!("walwarden/", env!("CARGO_PKG_VERSION"));

/// All retries are made by `crate::retry`, which sees every answer.
pub(crate) fn no_retries() -> RetryConfig {
    RetryConfig { backoff: BackoffConfig::default(), max_retries: 0, retry_timeout: Duration::ZERO }
}

pub(crate) fn client_options(allow_http: bool, timeout: Duration) -> ClientOptions {
    ClientOptions::new()
        .with_allow_http(allow_http)
        .with_user_agent(HeaderValue::from_static(USER_AGENT))
        .with_connect_timeout(CONNECT_TIMEOUT.min(timeout))
        // The limit of a whole request depends on its bytes and is kept by whoever makes it.
        .with_timeout_disabled()
}
