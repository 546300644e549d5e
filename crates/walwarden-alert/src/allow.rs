//! Where requests may go: to the internet by https, and to what the administrator has allowed besides.

use std::net::IpAddr;
use walwarden_core::address::AddressKind;
use walwarden_core::{Error, ErrorClass, Result};

/// What may be reached although it is private, this machine, or plain http: host names, `host:port`, addresses and
/// networks, separated by commas.
///
/// A host name opens private addresses and this machine to that name. Link-local addresses, those of metadata services and
/// the like are opened by an address or a network only, so that a name never leads there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowList(Vec<Rule>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    what: What,
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum What {
    /// In lower case.
    Name(String),
    Network {
        address: IpAddr,
        prefix: u8,
    },
}

/// Where a request goes.
#[derive(Debug, Clone, Copy)]
pub struct Destination<'a> {
    /// Whether it is not encrypted.
    pub plain: bool,
    /// The name, in lower case; None where there is only an address.
    pub name: Option<&'a str>,
    /// The port.
    pub port: u16,
}

impl AllowList {
    /// Reads the setting.
    ///
    /// # Errors
    /// `InvalidInput`, which names the entry that cannot be understood.
    pub fn parse(text: &str) -> Result<Self> {
        let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        let parsed: Result<_> = entries
            .map(|entry| {
                Rule::parse(entry).ok_or_else(|| {
                    Error::invalid(format!("\"{entry}\" is neither a host nor a network")).hint(
                        "Examples: hooks.internal, hooks.internal:8080, 127.0.0.1, 10.1.0.0/16, [::1]:8080.",
                    )
                })
            })
            .collect();
        parsed.map(Self)
    }

    /// That a request may go to every one of these addresses, of which there is at least one.
    ///
    /// # Errors
    /// `NotPermitted`.
    pub fn judge(&self, to: Destination<'_>, addresses: &[IpAddr]) -> Result<()> {
        let named = to.name.is_some_and(|name| self.rules_for(to.port).any(|rule| rule.is_name(name)));
        for address in addresses {
            let opened = self.rules_for(to.port).any(|rule| rule.holds(*address));
            match AddressKind::of(*address) {
                AddressKind::Public => {}
                AddressKind::Private | AddressKind::Loopback if named || opened => {}
                _ if opened => {}
                kind => return Err(refused(&format!("the webhook's host has a {kind} address"))),
            }
            if to.plain && !named && !opened {
                return Err(refused(PLAIN));
            }
        }
        Ok(())
    }

    /// The same before the addresses of a name are known: whether some addresses could do.
    ///
    /// # Errors
    /// `NotPermitted`.
    pub fn may_permit(&self, to: Destination<'_>) -> Result<()> {
        let could = |rule: &Rule| match (&rule.what, to.name) {
            (What::Name(of), Some(name)) => of == name,
            (What::Network { .. }, _) => true,
            (What::Name(_), None) => false,
        };
        if to.plain && !self.rules_for(to.port).any(could) {
            return Err(refused(PLAIN));
        }
        Ok(())
    }

    fn rules_for(&self, port: u16) -> impl Iterator<Item = &Rule> {
        self.0.iter().filter(move |rule| rule.port.is_none_or(|of| of == port))
    }
}

const PLAIN: &str = "the webhook's URL is plain http";

fn refused(what: &str) -> Error {
    Error::new(ErrorClass::NotPermitted, what)
        .hint("An administrator can allow it with the setting walwarden.webhook_allow.")
}

impl Rule {
    fn parse(entry: &str) -> Option<Self> {
        let rule = |what, port| Some(Self { what, port });
        if let Some((address, prefix)) = entry.split_once('/') {
            let address: IpAddr = address.parse().ok()?;
            let prefix: u8 = prefix.parse().ok()?;
            // As written, not canonical: ::ffff:0:0/96 is all of IPv4.
            let longest = if address.is_ipv4() { 32 } else { 128 };
            return if prefix <= longest { rule(What::Network { address, prefix }, None) } else { None };
        }
        if let Ok(address) = entry.parse() {
            return rule(What::single(address), None);
        }
        if let Some(rest) = entry.strip_prefix('[') {
            let (address, port) = rest.split_once(']')?;
            let port = match port.strip_prefix(':') {
                Some(port) => Some(port.parse().ok()?),
                None if port.is_empty() => None,
                None => return None,
            };
            return rule(What::single(IpAddr::V6(address.parse().ok()?)), port);
        }
        let (host, port) = match entry.split_once(':') {
            Some((host, port)) => (host, Some(port.parse().ok()?)),
            None => (entry, None),
        };
        if let Ok(address) = host.parse() {
            return rule(What::single(address), port);
        }
        let is_name = !host.is_empty()
            && host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_'))
            && host.chars().any(|c| c.is_ascii_alphabetic());
        if is_name { rule(What::Name(host.to_ascii_lowercase()), port) } else { None }
    }

    fn is_name(&self, name: &str) -> bool {
        matches!(&self.what, What::Name(of) if of == name)
    }

    fn holds(&self, address: IpAddr) -> bool {
        let What::Network { address: network, prefix } = &self.what else { return false };
        let inside = |address: IpAddr| match (*network, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                (network.to_bits() ^ address.to_bits()).checked_shr(32 - u32::from(*prefix)).unwrap_or(0) == 0
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                (network.to_bits() ^ address.to_bits()).checked_shr(128 - u32::from(*prefix)).unwrap_or(0)
                    == 0
            }
            _ => false,
        };
        inside(address) || inside(address.to_canonical())
    }
}

impl What {
    fn single(address: IpAddr) -> Self {
        let address = address.to_canonical();
        Self::Network { address, prefix: if address.is_ipv4() { 32 } else { 128 } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HTTPS: Destination<'_> = Destination { plain: false, name: Some("hooks.example.com"), port: 443 };
    const HTTP: Destination<'_> = Destination { plain: true, name: Some("hooks.example.com"), port: 8080 };

    fn judge(allowed: &str, to: Destination<'_>, addresses: &str) -> bool {
        let addresses: Vec<IpAddr> = addresses.split_whitespace().map(|a| a.parse().unwrap()).collect();
        let outcome = AllowList::parse(allowed).unwrap().judge(to, &addresses);
        assert!(outcome.is_err() || AllowList::parse(allowed).unwrap().may_permit(to).is_ok());
        outcome.is_ok()
    }

    #[test]
    fn only_the_internet_by_https_unless_allowed() {
        assert!(judge("", HTTPS, "1.1.1.1 2606:4700::1111"));
        for address in [
            "127.0.0.1",
            "::1",
            "10.0.0.1",
            "192.168.1.1",
            "fd00::1",
            "169.254.169.254",
            "fd00:ec2::254",
            "fe80::1",
            "0.0.0.0",
            "::",
            "224.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::7f00:1",
            "2002:a00:1::",
            "100.100.100.200",
            "255.255.255.255",
        ] {
            assert!(!judge("", HTTPS, address), "{address}");
            assert!(!judge("", HTTPS, &format!("1.1.1.1 {address}")), "any of them: {address}");
            assert!(judge(address, HTTPS, address), "{address} by itself");
        }
        assert!(!judge("", HTTP, "1.1.1.1"));
    }

    #[test]
    fn a_name_opens_private_addresses_but_never_metadata() {
        for allowed in ["hooks.example.com", "Hooks.Example.COM:8080", "other, hooks.example.com"] {
            assert!(judge(allowed, HTTP, "10.0.0.1 127.0.0.1 1.1.1.1"), "{allowed}");
            for address in ["169.254.169.254", "fe80::1", "0.0.0.0", "::ffff:169.254.169.254", "224.0.0.1"] {
                assert!(!judge(allowed, HTTP, address), "{allowed}: {address}");
            }
        }
        assert!(!judge("hooks.example.com:8081", HTTP, "10.0.0.1"));
        assert!(!judge("example.com", HTTP, "10.0.0.1"));
        assert!(judge("hooks.example.com, 169.254.0.0/16", HTTP, "169.254.1.1"));
    }

    #[test]
    fn a_network_opens_what_is_in_it() {
        assert!(judge("10.1.0.0/16", HTTP, "10.1.255.255"));
        assert!(!judge("10.1.0.0/16", HTTP, "10.2.0.0"));
        assert!(!judge("10.1.0.0/16", HTTP, "10.1.0.1 1.1.1.1"), "http to an address outside of it");
        assert!(judge("10.1.0.0/16", HTTPS, "10.1.0.1 1.1.1.1"));
        assert!(judge("127.0.0.1/32", HTTP, "::ffff:127.0.0.1"));
        assert!(judge("0.0.0.0/0", HTTP, "169.254.169.254"));
        assert!(!judge("0.0.0.0/0", HTTP, "::1"));
        assert!(judge("::/0", HTTPS, "fd00:ec2::254"));
        assert!(judge("fd00::/8", HTTPS, "fd12::1"));
        assert!(judge("127.0.0.1:8080", HTTP, "127.0.0.1"));
        assert!(!judge("127.0.0.1:8081", HTTP, "127.0.0.1"));
        assert!(judge("[::1]:8080", HTTP, "::1"));
    }

    #[test]
    fn what_cannot_be_understood_is_named() {
        for bad in [
            "10.0.0.0/33",
            "::/129",
            "host/8",
            "http://host",
            "host:port",
            "[::1",
            "[::1]x",
            "*",
            "a b",
            "1.2.3",
            "host:",
        ] {
            let error = AllowList::parse(&format!("127.0.0.1, {bad}")).unwrap_err();
            assert!(error.message.contains(bad), "{bad}");
        }
        assert_eq!(AllowList::parse(" , ").unwrap(), AllowList::default());
    }
}
