//! What an IP address is, by the special-purpose registries of IANA (RFC 6890 and its successors).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// How far an address reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Any host of the internet.
    Public,
    /// A host of the same network or cluster.
    Private,
    /// This machine.
    Loopback,
    /// A neighbour on the same link; clouds have their metadata services there.
    LinkLocal,
    /// A cloud's metadata service at an address that looks like any other.
    Metadata,
    /// No single host: multicast, reserved, for documents.
    Special,
}

/// Azure's platform endpoint; it is a public address that only machines of the cloud reach.
const AZURE_WIRE: Ipv4Addr = Ipv4Addr::new(168, 63, 129, 16);
/// Alibaba's metadata service.
const ALIBABA_METADATA: Ipv4Addr = Ipv4Addr::new(100, 100, 100, 200);
/// Oracle's second metadata service.
const ORACLE_METADATA: Ipv4Addr = Ipv4Addr::new(192, 0, 0, 192);

/// What the address is. IPv6 addresses that stand for an IPv4 address are what that is.
pub(crate) fn reach(address: IpAddr) -> Reach {
    match address {
        IpAddr::V4(address) => v4(address),
        IpAddr::V6(address) => embedded(address).map_or_else(|| v6(address), v4),
    }
}

fn v4(address: Ipv4Addr) -> Reach {
    if [AZURE_WIRE, ALIBABA_METADATA, ORACLE_METADATA].contains(&address) {
        return Reach::Metadata;
    }
    match address.octets() {
        [127, ..] => Reach::Loopback,
        [169, 254, ..] => Reach::LinkLocal,
        // RFC 1918, and RFC 6598's shared space, which clouds use for nodes and pods.
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] | [100, 64..=127, ..] => Reach::Private,
        // This network, protocol assignments, documents, 6to4 relays, benchmarks, multicast, reserved.
        [0, ..]
        | [192, 0, 0 | 2, _]
        | [192, 88, 99, _]
        | [198, 18..=19, ..]
        | [198, 51, 100, _]
        | [203, 0, 113, _]
        | [224..=255, ..] => Reach::Special,
        _ => Reach::Public,
    }
}

fn v6(address: Ipv6Addr) -> Reach {
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 1] => Reach::Loopback,
        [0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254] => Reach::Metadata,
        [0xfe80..=0xfebf, ..] => Reach::LinkLocal,
        // Unique local, and site local, its forerunner.
        [0xfc00..=0xfdff | 0xfec0..=0xfeff, ..] => Reach::Private,
        // NAT64 of a local network may lead anywhere.
        [0x0064, 0xff9b, 1, ..] => Reach::Special,
        // Teredo hides an IPv4 address; documents.
        [0x2001, 0, ..] | [0x2001, 0x0db8, ..] | [0x3fff, 0..=0x0fff, ..] => Reach::Special,
        // Global unicast is all there is of the internet.
        [0x2000..=0x3fff, ..] => Reach::Public,
        _ => Reach::Special,
    }
}

/// The IPv4 address that an IPv6 address stands for.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let join = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match address.segments() {
        // Neither the unspecified nor the loopback address.
        [0, 0, 0, 0, 0, 0, 0, 0..=1] => None,
        // Mapped, compatible, translated, NAT64 (RFC 6052), 6to4.
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x0064, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => Some(join(high, low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(addresses: &[&str], expected: Reach) {
        for address in addresses {
            assert_eq!(reach(address.parse().unwrap()), expected, "{address}");
        }
    }

    #[test]
    fn addresses_are_what_iana_says() {
        check(
            &[
                "8.8.8.8",
                "172.15.0.1",
                "172.32.0.1",
                "100.63.0.1",
                "100.128.0.1",
                "192.0.1.1",
            ],
            Reach::Public,
        );
        check(
            &[
                "10.1.2.3",
                "172.16.0.1",
                "172.31.255.255",
                "192.168.1.1",
                "100.64.0.1",
            ],
            Reach::Private,
        );
        check(
            &["127.0.0.1", "127.255.255.255", "::1", "::ffff:127.0.0.1"],
            Reach::Loopback,
        );
        check(
            &[
                "169.254.169.254",
                "169.254.0.1",
                "fe80::1",
                "::ffff:169.254.169.254",
            ],
            Reach::LinkLocal,
        );
        check(
            &["168.63.129.16", "100.100.100.200", "192.0.0.192", "fd00:ec2::254"],
            Reach::Metadata,
        );
        check(
            &[
                "0.0.0.0",
                "::",
                "224.0.0.1",
                "255.255.255.255",
                "240.0.0.1",
                "198.18.0.1",
                "203.0.113.9",
            ],
            Reach::Special,
        );
        check(&["2606:4700::1111", "2a00::1"], Reach::Public);
        check(&["fc00::1", "fdff::1", "fec0::1"], Reach::Private);
        check(
            &[
                "ff02::1",
                "2001:db8::1",
                "2001::1",
                "64:ff9b:1::1",
                "100::1",
                "4000::1",
            ],
            Reach::Special,
        );
    }

    #[test]
    fn an_address_in_disguise_is_what_it_hides() {
        check(
            &[
                "::10.0.0.1",
                "64:ff9b::10.0.0.1",
                "2002:0a00:0001::1",
                "::ffff:0:10.0.0.1",
            ],
            Reach::Private,
        );
        check(&["64:ff9b::169.254.169.254"], Reach::LinkLocal);
        check(&["64:ff9b::8.8.8.8", "::ffff:8.8.8.8"], Reach::Public);
    }
}
