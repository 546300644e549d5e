//! What kind of host an address belongs to: one of the internet, or one that only the machine's own surroundings reach.
//! Whoever may name an address that the server connects to must not reach the latter with it.
//!
//! Source: the special-purpose address registries of IANA (RFC 6890), and the metadata services of the large clouds.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What kind of host an address belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressKind {
    /// A host of the internet.
    Public,
    /// This machine.
    Loopback,
    /// The networks that everybody may use at home: RFC 1918, RFC 4193, and the shared one of RFC 6598.
    Private,
    /// The same cable.
    LinkLocal,
    /// Where cloud machines hand out their credentials.
    Metadata,
    /// Many hosts at once.
    Multicast,
    /// No host: `0.0.0.0/8` and `::`, which connect to this machine.
    Unspecified,
    /// None that a host of the internet has.
    Reserved,
}

impl AddressKind {
    /// The kind of an address. One of IPv6 that stands for one of IPv4 is of that one's kind.
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => of_v4(v4),
            IpAddr::V6(v6) => match v4_within(v6) {
                Some(v4) => of_v4(v4),
                None => of_v6(v6),
            },
        }
    }
}

impl fmt::Display for AddressKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Public => "public",
            Self::Loopback => "loopback",
            Self::Private => "private",
            Self::LinkLocal => "link-local",
            Self::Metadata => "metadata service",
            Self::Multicast => "multicast",
            Self::Unspecified => "unspecified",
            Self::Reserved => "reserved",
        })
    }
}

/// The address of IPv4 that one of IPv6 leads to: mapped (RFC 4291), translated (RFC 6052), 6to4 (RFC 3056).
fn v4_within(v6: Ipv6Addr) -> Option<Ipv4Addr> {
    if let Some(v4) = v6.to_ipv4_mapped() {
        return Some(v4);
    }
    let [a, b, c, d, e, f, g, h] = v6.segments();
    let v4 = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match (a, b, c, d, e, f) {
        (0x64, 0xff9b, 0, 0, 0, 0) => Some(v4(g, h)),
        (0x2002, ..) => Some(v4(b, c)),
        _ => None,
    }
}

fn of_v4(v4: Ipv4Addr) -> AddressKind {
    let [a, b, c, d] = v4.octets();
    match (a, b, c, d) {
        // Amazon, Google, Azure, Oracle, Hetzner and others; Amazon's containers; Azure's host; Oracle classic; Alibaba.
        (169, 254, 169, 254)
        | (169, 254, 170, 2 | 23)
        | (168, 63, 129, 16)
        | (192, 0, 0, 192)
        | (100, 100, 100, 200) => AddressKind::Metadata,
        (0, ..) => AddressKind::Unspecified,
        (127, ..) => AddressKind::Loopback,
        (10, ..) | (172, 16..=31, ..) | (192, 168, ..) | (100, 64..=127, ..) => AddressKind::Private,
        (169, 254, ..) => AddressKind::LinkLocal,
        (224..=239, ..) => AddressKind::Multicast,
        (192, 0, 0 | 2, _) | (198, 18 | 19, ..) | (198, 51, 100, _) | (203, 0, 113, _) | (240..=255, ..) => {
            AddressKind::Reserved
        }
        _ => AddressKind::Public,
    }
}

fn of_v6(v6: Ipv6Addr) -> AddressKind {
    let [a, b, ..] = v6.segments();
    if v6.is_unspecified() {
        return AddressKind::Unspecified;
    }
    if v6.is_loopback() {
        return AddressKind::Loopback;
    }
    match (a, b) {
        // Amazon's is fd00:ec2::254, Google's fd20:ce::254.
        (0xfd00, 0x0ec2) | (0xfd20, 0x00ce) => AddressKind::Metadata,
        (0xfe80..=0xfebf, _) => AddressKind::LinkLocal,
        // The latter are the site-local ones of old.
        (0xfc00..=0xfdff | 0xfec0..=0xfeff, _) => AddressKind::Private,
        (0xff00..=0xffff, _) => AddressKind::Multicast,
        // Protocols' own (Teredo among them), and documentation.
        (0x2001, 0..=0x01ff | 0x0db8) | (0x3fff, 0..=0x0fff) => AddressKind::Reserved,
        // Only 2000::/3 has been given out.
        (0x2000..=0x3fff, _) => AddressKind::Public,
        _ => AddressKind::Reserved,
    }
}

#[cfg(test)]
mod tests {
    use super::AddressKind::{self, *};

    #[test]
    fn every_address_has_its_kind() {
        for (kind, addresses) in [
            (
                Public,
                "1.1.1.1 9.255.255.255 11.0.0.0 172.15.0.1 172.32.0.1 192.167.0.1 100.63.0.1 100.128.0.1 169.253.0.1 \
                      223.255.255.255 2606:4700::1111 2a00:1450::1 ::ffff:1.1.1.1 64:ff9b::101:101 2002:101:101::",
            ),
            (Loopback, "127.0.0.1 127.255.255.254 ::1 ::ffff:127.0.0.1 64:ff9b::7f00:1 2002:7f00:1::1"),
            (
                Private,
                "10.0.0.1 172.16.0.1 172.31.255.255 192.168.1.1 100.64.0.1 fc00::1 fd12:3456::1 fec0::1 ::ffff:10.1.2.3",
            ),
            (LinkLocal, "169.254.0.1 fe80::1 febf::1 ::ffff:169.254.1.1"),
            (
                Metadata,
                "169.254.169.254 ::ffff:169.254.169.254 64:ff9b::a9fe:a9fe fd00:ec2::254 fd20:ce::254 100.100.100.200 \
                        168.63.129.16 192.0.0.192 169.254.170.2",
            ),
            (Multicast, "224.0.0.1 239.255.255.255 ff02::1"),
            (Unspecified, "0.0.0.0 0.1.2.3 ::"),
            (
                Reserved,
                "255.255.255.255 240.0.0.1 192.0.2.1 198.51.100.1 203.0.113.9 198.18.0.1 2001:db8::1 2001::1 3fff::1 \
                        100::1 ::7f00:1 4000::1 64:ff9b:1::1",
            ),
        ] {
            for address in addresses.split_whitespace() {
                assert_eq!(AddressKind::of(address.parse().unwrap()), kind, "{address}");
            }
        }
    }
}
