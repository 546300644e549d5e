//! The URL of a webhook.

use std::fmt;
use url::Url;
use walwarden_core::{Error, Result};
use walwarden_reach::Host;

/// A URL that a request can be sent to. It may be a secret: it is shown by its host only.
#[derive(Clone)]
pub struct Target {
    url: Url,
    host: Host,
}

impl Target {
    /// A URL from the credentials file, which may be a secret.
    ///
    /// # Errors
    /// `InvalidInput`, without the URL.
    pub fn parse(url: &str) -> Result<Self> {
        let url = Url::parse(url)
            .map_err(|_| invalid("is not a URL").hint("Example: https://hooks.example.com/backups"))?;
        if !matches!(url.scheme(), "https" | "http") {
            return Err(invalid("begins neither with \"https://\" nor with \"http://\""));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(invalid("holds credentials"));
        }
        if url.port() == Some(0) {
            return Err(invalid("has no port"));
        }
        let host = Host::of(&url).ok_or_else(|| invalid("names no host"))?;
        Ok(Self { url, host })
    }

    /// A URL that stands in a table, where no secret may be.
    ///
    /// # Errors
    /// `InvalidInput`, also where a secret may be in it.
    pub fn parse_public(url: &str) -> Result<Self> {
        let target = Self::parse(url)?;
        if target.url.query().is_some() || target.url.fragment().is_some() {
            return Err(invalid("has a query or a fragment, which may be a secret"));
        }
        Ok(target)
    }

    /// Host and port: for people, who are shown no more of the URL, and for what decides whether a request may go there.
    pub fn host(&self) -> &Host {
        &self.host
    }

    pub(crate) fn url(&self) -> &Url {
        &self.url
    }
}

fn invalid(what: &str) -> Error {
    Error::invalid(format!("the URL of the webhook {what}"))
        .hint("A URL that is a secret stands in a profile of the credentials file, as webhook_url.")
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({}/...)", self.host)
    }
}

#[cfg(test)]
mod tests {
    use super::Target;

    #[test]
    fn secrets_have_no_place_in_a_table_and_are_never_shown() {
        for bad in [
            "https://canary@example.com/x",
            "https://u:canary@example.com/x",
            "https://example.com/x?canary",
            "https://example.com/x#canary",
            "ftp://example.com/canary",
            "canary",
            "https://example.com:0/canary",
            "https://example.com:99999/canary",
            "file:///canary",
            "https://",
        ] {
            let error = Target::parse_public(bad).unwrap_err();
            assert!(!format!("{error:?}").contains("canary"), "{bad}: {error:?}");
        }
        let target = Target::parse("https://Example.COM:8443/canary?canary=canary").unwrap();
        assert_eq!(target.host().to_string(), "example.com:8443");
        assert!(!format!("{target:?}").contains("canary"));
    }

    #[test]
    fn an_address_is_one_in_every_notation() {
        for (url, address) in [
            ("http://127.0.0.1/", "127.0.0.1"),
            ("http://2130706433/", "127.0.0.1"),
            ("http://0x7f.1/", "127.0.0.1"),
            ("http://0177.0.0.1/", "127.0.0.1"),
            ("http://127.0.0.1./", "127.0.0.1"),
            ("http://１２７.0.0.1/", "127.0.0.1"),
            ("http://[::ffff:7f00:1]/", "::ffff:127.0.0.1"),
        ] {
            assert_eq!(Target::parse(url).unwrap().host().address(), Some(address.parse().unwrap()), "{url}");
        }
        assert_eq!(Target::parse("http://example.com").unwrap().host().address(), None);
    }
}
