//! The connections to one host, and to no other: what the setting `walwarden.storage_allow` does not permit is refused when
//! a client is made, and again by each address that a name has when something connects.

use std::sync::Arc;
use std::time::Duration;

use object_store::ClientOptions;
use object_store::client::{HttpClient, HttpConnector};
use reqwest::redirect;
use url::Url;
use walwarden_core::{Error, ErrorClass, Result};
use walwarden_reach::{AllowList, Host, JudgedResolver, SystemLookup};

use crate::remote::client_options::{CONNECT_TIMEOUT, USER_AGENT};
use crate::remote::listing::checked;

/// The variables that name a proxy, each also in lower case.
const PROXY_VARIABLES: [&str; 3] = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"];

/// Connections that are there already, for a client of the `object_store` crate.
#[derive(Debug, Clone)]
pub(crate) struct Shared(pub(crate) HttpClient);

impl HttpConnector for Shared {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(self.0.clone())
    }
}

impl Shared {
    /// For requests below this URL, and to `others` that the library knows by name. Nothing is looked up yet.
    ///
    /// # Errors
    /// `NotPermitted` where no request may go there, whatever addresses its name has.
    pub(crate) fn open(
        base: &str,
        others: &[&str],
        allow: &AllowList,
        allow_http: bool,
        timeout: Duration,
    ) -> Result<Self> {
        let mut unjudged = proxies(|name| std::env::var(name).ok());
        unjudged.extend(others.iter().map(|name| (*name).to_owned()));
        let resolver =
            JudgedResolver::new(permitted(base, allow)?, allow.clone(), Arc::new(SystemLookup), unjudged);
        let client = reqwest::Client::builder()
            .user_agent(USER_AGENT)
            .https_only(!allow_http)
            .http1_only()
            // To another host, nothing that was signed for this one is worth anything.
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT.min(timeout))
            .dns_resolver(resolver)
            .build()
            .map_err(|cause| {
                Error::new(ErrorClass::Configuration, "could not make an HTTP client")
                    .detail(cause.to_string())
            })?;
        Ok(Self(checked(HttpClient::new(client))))
    }
}

/// The host of a storage, if some request may go there.
///
/// # Errors
/// `NotPermitted` where none may, whatever addresses its name has.
pub(crate) fn permitted(base: &str, allow: &AllowList) -> Result<Host> {
    let host = Url::parse(base).ok().as_ref().and_then(Host::of);
    let host = host.ok_or_else(|| Error::internal("a storage's address is no URL with a host"))?;
    allow.may_permit(&host)?;
    Ok(host)
}

/// The names of the hosts that the environment says are proxies, in lower case.
fn proxies(variable: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let names = PROXY_VARIABLES.iter().flat_map(|name| [(*name).to_owned(), name.to_ascii_lowercase()]);
    names
        .filter_map(|name| variable(&name))
        .filter_map(|value| {
            let url = if value.contains("://") { value } else { format!("http://{value}") };
            Url::parse(&url).ok()?.host_str().map(str::to_ascii_lowercase)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use walwarden_reach::Purpose;

    #[test]
    fn proxies_are_found_in_either_spelling() {
        let variable = |name: &str| {
            let value = match name {
                "HTTPS_PROXY" => "http://user:canary@Proxy.internal:3128",
                "http_proxy" => "other.internal:3128",
                "ALL_PROXY" => "",
                _ => return None,
            };
            Some(value.to_owned())
        };
        assert_eq!(proxies(variable), ["other.internal", "proxy.internal"]);
    }

    #[test]
    fn where_nothing_may_go_no_client_is_made() {
        let open = |base: &str, allowed: &str| {
            let allow = AllowList::parse(Purpose::Storage, allowed).unwrap();
            Shared::open(base, &[], &allow, true, CONNECT_TIMEOUT).map(|_| ()).map_err(|error| error.class)
        };
        assert_eq!(open("http://127.0.0.1:9000/x", ""), Err(ErrorClass::NotPermitted));
        assert_eq!(open("http://127.0.0.1:9000/x", "127.0.0.1:9000"), Ok(()));
        assert_eq!(open("https://s3.example.com", ""), Ok(()));
        assert_eq!(open("https://s3.example.com", "only, *.example.org"), Err(ErrorClass::NotPermitted));
        assert_eq!(open("https://169.254.169.254", "169.254.169.254"), Err(ErrorClass::NotPermitted));
    }
}
