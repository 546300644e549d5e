//! Where requests may go: what a setting says, and what is so without it.

use crate::host::Host;
use std::fmt;
use std::net::IpAddr;
use std::path::{Component, Path, PathBuf};
use walwarden_core::address::AddressKind;
use walwarden_core::{Error, ErrorClass, Result};

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Telling somebody. Without a word in the setting: the internet, by https.
    Webhook,
    /// Storing backups. Without a word in the setting: the internet, private networks and this machine, by https. Never
    /// link-local addresses and metadata services, where cloud machines hand out their credentials and no storage is.
    Storage,
}

/// What may be reached beyond that: host names, names that begin with `*.`, `host:port`, addresses and networks, separated by
/// commas; for storages also folders. The word `only` closes everything that is not on the list.
///
/// A host name opens private addresses, this machine and plain http to that name. Other kinds of addresses, those of metadata
/// services among them, are opened by an address or a network only, so that a name never leads there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowList {
    purpose: Purpose,
    only: bool,
    rules: Vec<Rule>,
    folders: Vec<PathBuf>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    what: What,
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum What {
    /// In lower case.
    Name(String),
    /// What a name ends with, from the dot on, in lower case.
    Suffix(String),
    Network {
        address: IpAddr,
        prefix: u8,
    },
}

impl Purpose {
    /// The name of its setting.
    pub fn setting(self) -> &'static str {
        match self {
            Self::Webhook => "walwarden.webhook_allow",
            Self::Storage => "walwarden.storage_allow",
        }
    }

    fn permits_unasked(self, kind: AddressKind) -> bool {
        match self {
            Self::Webhook => kind == AddressKind::Public,
            Self::Storage => {
                matches!(kind, AddressKind::Public | AddressKind::Private | AddressKind::Loopback)
            }
        }
    }

    fn permits_never(self, kind: AddressKind) -> bool {
        self == Self::Storage && matches!(kind, AddressKind::LinkLocal | AddressKind::Metadata)
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Webhook => "webhook",
            Self::Storage => "storage",
        })
    }
}

impl AllowList {
    /// Reads the setting of this purpose.
    ///
    /// # Errors
    /// `Configuration`, which names the entry that cannot be understood.
    pub fn parse(purpose: Purpose, text: &str) -> Result<Self> {
        let mut list = Self { purpose, only: false, rules: Vec::new(), folders: Vec::new() };
        for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            if entry.eq_ignore_ascii_case("only") {
                list.only = true;
            } else if let (Purpose::Storage, Some(folder)) = (purpose, folder(entry)) {
                list.folders.push(folder);
            } else {
                list.rules.push(Rule::parse(entry).ok_or_else(|| unreadable(purpose, entry))?);
            }
        }
        Ok(list)
    }

    /// What it is for.
    pub fn purpose(&self) -> Purpose {
        self.purpose
    }

    /// Whether a folder is one of those, or below one.
    pub fn has_folder(&self, folder: &Path) -> bool {
        let is_plain = folder.components().all(|part| part != Component::ParentDir);
        is_plain && self.folders.iter().any(|listed| folder.starts_with(listed))
    }

    /// That a request may go to every one of these addresses of a host, of which there is at least one.
    ///
    /// # Errors
    /// `NotPermitted`.
    pub fn judge(&self, to: &Host, addresses: &[IpAddr]) -> Result<()> {
        let named = to.name().is_some_and(|name| self.rules_for(to.port).any(|rule| rule.is_name(name)));
        for address in addresses {
            let opened = self.rules_for(to.port).any(|rule| rule.holds(*address));
            let kind = AddressKind::of(*address);
            let is_near = matches!(kind, AddressKind::Private | AddressKind::Loopback);
            if self.purpose.permits_never(kind)
                || !(self.purpose.permits_unasked(kind) || opened || (named && is_near))
            {
                return Err(self.refused(to, &format!("has a {kind} address")));
            }
            if !named && !opened {
                self.require_unlisted(to)?;
            }
        }
        Ok(())
    }

    /// The same before the addresses of a name are known: whether some addresses could do. Of an address it is the judgement.
    ///
    /// # Errors
    /// `NotPermitted`.
    pub fn may_permit(&self, to: &Host) -> Result<()> {
        if let Some(address) = to.address() {
            return self.judge(to, &[address]);
        }
        let could = |rule: &Rule| match &rule.what {
            What::Network { .. } => true,
            _ => to.name().is_some_and(|name| rule.is_name(name)),
        };
        if self.rules_for(to.port).any(could) { Ok(()) } else { self.require_unlisted(to) }
    }

    /// That a host which is not on the list may be reached.
    fn require_unlisted(&self, to: &Host) -> Result<()> {
        if to.plain {
            return Err(self.refused(to, "may not be reached by plain http"));
        }
        if self.only {
            return Err(self.refused(to, "is none of those that may be reached"));
        }
        Ok(())
    }

    fn refused(&self, to: &Host, what: &str) -> Error {
        let purpose = self.purpose;
        Error::new(ErrorClass::NotPermitted, format!("the {purpose}'s host {to} {what}"))
            .hint(format!("An administrator can allow it with the setting {}.", purpose.setting()))
    }

    fn rules_for(&self, port: u16) -> impl Iterator<Item = &Rule> {
        self.rules.iter().filter(move |rule| rule.port.is_none_or(|of| of == port))
    }
}

fn folder(entry: &str) -> Option<PathBuf> {
    let path = PathBuf::from(entry);
    let is_plain = path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    (path.is_absolute() && is_plain).then_some(path)
}

fn unreadable(purpose: Purpose, entry: &str) -> Error {
    let (kinds, folder) = match purpose {
        Purpose::Webhook => ("neither a host nor a network", ""),
        Purpose::Storage => ("neither a host nor a network nor a folder", ", /mnt/backups"),
    };
    Error::new(ErrorClass::Configuration, format!("setting {}: \"{entry}\" is {kinds}", purpose.setting())).hint(
        format!(
            "Examples: store.internal, store.internal:8080, *.example.com, 127.0.0.1, 10.1.0.0/16, [::1]:8080{folder}; \
             and the word only."
        ),
    )
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
        let (host, what): (_, fn(String) -> What) = match host.strip_prefix('*') {
            Some(suffix) if suffix.starts_with('.') && suffix.len() > 1 => (suffix, What::Suffix),
            Some(_) => return None,
            None => (host, What::Name),
        };
        let is_name = !host.is_empty()
            && host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_'))
            && host.chars().any(|c| c.is_ascii_alphabetic());
        if is_name { rule(what(host.to_ascii_lowercase()), port) } else { None }
    }

    fn is_name(&self, name: &str) -> bool {
        match &self.what {
            What::Name(of) => of == name,
            What::Suffix(end) => name.len() > end.len() && name.ends_with(end),
            What::Network { .. } => false,
        }
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
    use url::Url;

    const HTTPS: &str = "https://hooks.example.com";
    const HTTP: &str = "http://hooks.example.com:8080";

    fn host(url: &str) -> Host {
        Host::of(&Url::parse(url).unwrap()).unwrap()
    }

    fn is_permitted(purpose: Purpose, allowed: &str, to: &str, addresses: &str) -> bool {
        let addresses: Vec<IpAddr> = addresses.split_whitespace().map(|a| a.parse().unwrap()).collect();
        let (list, host) = (AllowList::parse(purpose, allowed).unwrap(), host(to));
        let outcome = list.judge(&host, &addresses);
        assert!(outcome.is_err() || list.may_permit(&host).is_ok());
        outcome.is_ok()
    }

    fn judge(allowed: &str, to: &str, addresses: &str) -> bool {
        is_permitted(Purpose::Webhook, allowed, to, addresses)
    }

    fn store(allowed: &str, to: &str, addresses: &str) -> bool {
        is_permitted(Purpose::Storage, allowed, to, addresses)
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
            "*.",
            "*example.com",
            "a.*.com",
            "/mnt/backups",
            "a b",
            "1.2.3",
            "host:",
        ] {
            let error = AllowList::parse(Purpose::Webhook, &format!("127.0.0.1, {bad}")).unwrap_err();
            assert!(error.message.contains(bad), "{bad}");
        }
        let empty = |text| AllowList::parse(Purpose::Storage, text).unwrap();
        assert_eq!(empty(" , "), empty(""));
    }

    #[test]
    fn storages_may_be_near_by_https_but_never_where_credentials_are_handed_out() {
        for near in ["1.1.1.1", "10.0.0.1", "127.0.0.1", "::1", "fd00::1"] {
            assert!(store("", HTTPS, near), "{near}");
            assert!(!store("", HTTP, near), "{near}");
            assert!(store("hooks.example.com:8080", HTTP, near), "{near}");
            assert!(store(near, HTTP, near), "{near}");
        }
        for never in ["169.254.169.254", "169.254.1.1", "fe80::1", "fd00:ec2::254", "::ffff:169.254.169.254"]
        {
            for allowed in ["", "hooks.example.com", "0.0.0.0/0, ::/0", never] {
                assert!(!store(allowed, HTTPS, never), "{allowed}: {never}");
                assert!(
                    !store(allowed, HTTPS, &format!("1.1.1.1 {never}")),
                    "{allowed}: any of them: {never}"
                );
            }
        }
        assert!(!store("", HTTPS, "0.0.0.0") && store("0.0.0.0", HTTPS, "0.0.0.0"));
    }

    #[test]
    fn an_end_of_names_is_as_good_as_a_name() {
        let s3 = "https://bucket.s3.eu-central-1.amazonaws.com";
        for (allowed, to, expected) in [
            ("only, *.amazonaws.com", s3, true),
            ("only, *.AmazonAWS.com:443", s3, true),
            ("only, *.amazonaws.com:444", s3, false),
            ("only, *.amazonaws.com", "https://amazonaws.com", false),
            ("only, *.amazonaws.com", "https://evilamazonaws.com", false),
            ("only, *.amazonaws.com", "https://amazonaws.com.example.com", false),
            ("*.internal", "http://store.internal", true),
            ("*.internal", "http://internal", false),
        ] {
            assert_eq!(store(allowed, to, "10.0.0.1"), expected, "{allowed}: {to}");
        }
    }

    #[test]
    fn only_closes_what_is_not_listed() {
        for (allowed, addresses, expected) in [
            ("only", "1.1.1.1", false),
            ("other.example.com, ONLY", "1.1.1.1", false),
            ("only, hooks.example.com", "1.1.1.1", true),
            ("only, 10.0.0.0/8", "10.1.1.1", true),
            ("only, 10.0.0.0/8", "10.1.1.1 1.1.1.1", false),
        ] {
            assert_eq!(judge(allowed, HTTPS, addresses), expected, "{allowed}");
            assert_eq!(store(allowed, HTTPS, addresses), expected, "{allowed}");
        }
        let list = AllowList::parse(Purpose::Storage, "only, other.example.com").unwrap();
        assert!(list.may_permit(&host(HTTPS)).is_err(), "known before any address is");
        let error = list.may_permit(&host("https://10.0.0.1:9000")).unwrap_err();
        assert!(error.message.contains("10.0.0.1:9000") && error.hint.unwrap().contains("storage_allow"));
    }

    #[test]
    fn folders_are_listed_whole() {
        let list = AllowList::parse(Purpose::Storage, "/mnt/backups/, 10.0.0.0/8").unwrap();
        for (folder, expected) in [
            ("/mnt/backups", true),
            ("/mnt/backups/a/b", true),
            ("/mnt/backups2", false),
            ("/mnt", false),
            ("/mnt/backups/../../etc", false),
            ("mnt/backups", false),
        ] {
            assert_eq!(list.has_folder(Path::new(folder)), expected, "{folder}");
        }
        assert!(AllowList::parse(Purpose::Storage, "/mnt/../etc").is_err());
    }
}
