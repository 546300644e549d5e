//! The address of an S3-compatible server.

use std::net::IpAddr;

use serde_json::{Map, Value};
use url::{Host, Url};
use walwarden_core::address::AddressKind;
use walwarden_core::{Error, Result};

use super::values::{boolean, text};

/// The options `endpoint`, if it is given, and `allow_http`.
pub(super) fn parse(object: &Map<String, Value>) -> Result<(Option<String>, bool)> {
    let allow_http = boolean(object, "allow_http")?.unwrap_or(false);
    let endpoint = text(object, "endpoint")?.map(|url| normalize(url, allow_http)).transpose()?;
    Ok((endpoint, allow_http))
}

/// The endpoint without a slash at its end, if it is one a backup may be sent to.
///
/// Refused are: other schemes than http and https; http without `allow_http`; credentials, a query or a fragment; and
/// link-local addresses and the like, where cloud machines hand out their credentials and no storage ever is.
pub(super) fn normalize(endpoint: &str, allow_http: bool) -> Result<String> {
    let refused =
        |detail: &str| Err(Error::invalid("storage option \"endpoint\" has an invalid value").detail(detail));
    let Ok(url) = Url::parse(endpoint) else {
        return refused("The value must be a URL such as \"https://s3.example.com\".");
    };
    match url.scheme() {
        "https" => {}
        "http" if allow_http => {}
        "http" => {
            return Err(Error::invalid("storage option \"endpoint\" is a plain http address")
                .detail("Everything sent there can be read and changed on the way.")
                .hint("Use https, or set the option \"allow_http\" to true."));
        }
        _ => return refused("The value must begin with \"https://\" or \"http://\"."),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Error::invalid("storage option \"endpoint\" holds credentials")
            .hint("Credentials come from the environment or from a profile of the credentials file."));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return refused("The value must not have a query or a fragment.");
    }
    let address = match url.host() {
        Some(Host::Domain(name)) if !name.is_empty() => None,
        Some(Host::Ipv4(address)) => Some(IpAddr::V4(address)),
        Some(Host::Ipv6(address)) => Some(IpAddr::V6(address)),
        _ => return refused("The value must name a host."),
    };
    if let Some(AddressKind::LinkLocal | AddressKind::Metadata) = address.map(AddressKind::of) {
        return refused("The value must not be a link-local address or that of a metadata service.");
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::normalize;

    #[test]
    fn https_is_normal_and_http_must_be_allowed() {
        assert_eq!(normalize("https://S3.example.com/", false).unwrap(), "https://s3.example.com");
        assert_eq!(
            normalize("https://x.example.com/storage/v1/s3", false).unwrap(),
            "https://x.example.com/storage/v1/s3"
        );
        assert_eq!(normalize("http://127.0.0.1:9000", true).unwrap(), "http://127.0.0.1:9000");
        assert!(normalize("http://127.0.0.1:9000", false).is_err());
    }

    #[test]
    fn what_no_storage_is_at_is_refused() {
        for bad in [
            "",
            "s3.example.com",
            "ftp://x",
            "file:///x",
            "https://",
            "https://u:canary@x",
            "https://canary@x",
            "https://x?a=b",
            "https://x#f",
            "http://169.254.169.254",
            "http://[fe80::1]",
            "http://[fd00:ec2::254]",
            "http://[::ffff:169.254.169.254]",
            "http://0xa9fea9fe",
            "http://100.100.100.200",
        ] {
            let error = normalize(bad, true).unwrap_err();
            assert!(!format!("{error:?}").contains("canary"));
        }
    }
}
