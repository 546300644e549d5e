//! The part of a URL that decides whether a request may go there.

use std::fmt;
use std::net::IpAddr;
use url::Url;

/// A host and port, and whether what goes there is encrypted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    pub(crate) plain: bool,
    /// In lower case.
    pub(crate) name: Option<String>,
    pub(crate) address: Option<IpAddr>,
    pub(crate) port: u16,
    shown: String,
}

impl Host {
    /// That of an http or https URL; None of any other, and where it names none.
    pub fn of(url: &Url) -> Option<Self> {
        let plain = match url.scheme() {
            "https" => false,
            "http" => true,
            _ => return None,
        };
        let (name, address) = match url.host()? {
            // The parser has made it lower case, and an address of what is one in any notation.
            url::Host::Domain("") => return None,
            url::Host::Domain(name) => (Some(name.to_owned()), None),
            url::Host::Ipv4(address) => (None, Some(IpAddr::V4(address))),
            url::Host::Ipv6(address) => (None, Some(IpAddr::V6(address))),
        };
        let port = url.port_or_known_default().filter(|port| *port != 0)?;
        let host = url.host_str().unwrap_or_default();
        let shown = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        Some(Self { plain, name, address, port, shown })
    }

    /// The name, in lower case; None where there is only an address.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The address, where there is no name.
    pub fn address(&self) -> Option<IpAddr> {
        self.address
    }
}

/// Host, and port where the URL has one.
impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}
