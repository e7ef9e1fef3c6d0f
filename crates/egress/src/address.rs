//! The kinds of IP addresses, from the special-purpose registries of IANA (RFC 6890 and its successors).
//!
//! <https://www.iana.org/assignments/iana-ipv4-special-registry> and
//! <https://www.iana.org/assignments/iana-ipv6-special-registry>. The table is stricter than their column `Globally
//! Reachable` in one way: a block with exceptions inside, such as `2001::/23`, is refused whole.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The reach of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Any host of the internet.
    Public,
    /// A host of the same network or cluster.
    Private,
    /// This machine.
    Loopback,
    /// A neighbor on the same link. Clouds have metadata services there.
    LinkLocal,
    /// A metadata service of a cloud at an address that looks like any other.
    Metadata,
    /// Not the address of one host: multicast, reserved, documentation, translation.
    Special,
}

use Reach::{LinkLocal, Loopback, Metadata, Private, Special};

/// Blocks of IPv4 that are not public. The first block that holds an address decides.
const V4: &[(Ipv4Addr, u32, Reach)] = &[
    // Azure's platform endpoint: a public address that only machines of the cloud reach.
    (Ipv4Addr::new(168, 63, 129, 16), 32, Metadata),
    // Alibaba's metadata service.
    (Ipv4Addr::new(100, 100, 100, 200), 32, Metadata),
    // Oracle's second metadata service.
    (Ipv4Addr::new(192, 0, 0, 192), 32, Metadata),
    // This network.
    (Ipv4Addr::new(0, 0, 0, 0), 8, Special),
    (Ipv4Addr::new(10, 0, 0, 0), 8, Private),
    // Shared space of RFC 6598, which clouds use for nodes and pods.
    (Ipv4Addr::new(100, 64, 0, 0), 10, Private),
    (Ipv4Addr::new(127, 0, 0, 0), 8, Loopback),
    (Ipv4Addr::new(169, 254, 0, 0), 16, LinkLocal),
    (Ipv4Addr::new(172, 16, 0, 0), 12, Private),
    // Protocol assignments; the anycast addresses .9 and .10 inside are of no use here.
    (Ipv4Addr::new(192, 0, 0, 0), 24, Special),
    // Documentation.
    (Ipv4Addr::new(192, 0, 2, 0), 24, Special),
    // 6to4 relays.
    (Ipv4Addr::new(192, 88, 99, 0), 24, Special),
    (Ipv4Addr::new(192, 168, 0, 0), 16, Private),
    // Benchmarking.
    (Ipv4Addr::new(198, 18, 0, 0), 15, Special),
    // Documentation.
    (Ipv4Addr::new(198, 51, 100, 0), 24, Special),
    (Ipv4Addr::new(203, 0, 113, 0), 24, Special),
    // Multicast, then reserved with the broadcast address.
    (Ipv4Addr::new(224, 0, 0, 0), 4, Special),
    (Ipv4Addr::new(240, 0, 0, 0), 4, Special),
];

/// Blocks of IPv6 that are not public. The first block that holds an address decides.
const V6: &[(Ipv6Addr, u32, Reach)] = &[
    // Amazon's metadata service.
    (v6(&[0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254]), 128, Metadata),
    (v6(&[0, 0, 0, 0, 0, 0, 0, 1]), 128, Loopback),
    (v6(&[]), 128, Special),
    // IPv4-mapped, IPv4-translated, IPv4-compatible.
    (v6(&[0, 0, 0, 0, 0, 0xffff]), 96, Special),
    (v6(&[0, 0, 0, 0, 0xffff]), 96, Special),
    (v6(&[]), 96, Special),
    // NAT64 with the well-known prefix, and of a local network. A translator leads to any IPv4 address.
    (v6(&[0x64, 0xff9b]), 96, Special),
    (v6(&[0x64, 0xff9b, 1]), 48, Special),
    // Discard-only, and the dummy prefix.
    (v6(&[0x100]), 64, Special),
    (v6(&[0x100, 0, 0, 1]), 64, Special),
    // Protocol assignments: Teredo, benchmarking, AMT, ORCHID, ORCHIDv2 and others.
    (v6(&[0x2001]), 23, Special),
    // Documentation.
    (v6(&[0x2001, 0xdb8]), 32, Special),
    // 6to4, which leads to any IPv4 address.
    (v6(&[0x2002]), 16, Special),
    // Documentation.
    (v6(&[0x3fff]), 20, Special),
    // Segment routing.
    (v6(&[0x5f00]), 16, Special),
    // Unique local, link-local, and site-local, the forerunner of unique local.
    (v6(&[0xfc00]), 7, Private),
    (v6(&[0xfe80]), 10, LinkLocal),
    (v6(&[0xfec0]), 10, Private),
    // Multicast.
    (v6(&[0xff00]), 8, Special),
];

/// The only block of IPv6 that is assigned as global unicast.
const GLOBAL_UNICAST: (Ipv6Addr, u32) = (v6(&[0x2000]), 3);

/// An address from its first segments.
const fn v6(first: &[u16]) -> Ipv6Addr {
    let mut bits = 0;
    let mut index = 0;
    while index < 8 {
        let segment = if index < first.len() {
            first[index] as u128
        } else {
            0
        };
        bits = (bits << 16) | segment;
        index += 1;
    }
    Ipv6Addr::from_bits(bits)
}

/// The reach of an address.
///
/// An IPv6 address that stands for an IPv4 address is never public, since a translator decides where it leads. If the hidden
/// address is not public either, its reach is returned.
#[must_use]
pub fn reach(address: IpAddr) -> Reach {
    match address {
        IpAddr::V4(address) => reach_v4(address),
        IpAddr::V6(address) => match hidden(address).map(reach_v4) {
            None => reach_v6(address),
            Some(Reach::Public) => Special,
            Some(reach) => reach,
        },
    }
}

fn reach_v4(address: Ipv4Addr) -> Reach {
    let block = V4
        .iter()
        .find(|(block, length, _)| shares(address.to_bits().into(), block.to_bits().into(), 32 - length));
    block.map_or(Reach::Public, |(.., reach)| *reach)
}

fn reach_v6(address: Ipv6Addr) -> Reach {
    let within = |block: Ipv6Addr, length: u32| shares(address.to_bits(), block.to_bits(), 128 - length);
    if let Some((.., reach)) = V6.iter().find(|(block, length, _)| within(*block, *length)) {
        return *reach;
    }
    if within(GLOBAL_UNICAST.0, GLOBAL_UNICAST.1) {
        Reach::Public
    } else {
        Special
    }
}

/// Reports whether two addresses agree in all but the last `rest` bits.
fn shares(address: u128, block: u128, rest: u32) -> bool {
    let kept = |bits: u128| bits.checked_shr(rest).unwrap_or(0);
    kept(address) == kept(block)
}

/// The IPv4 address that an IPv6 address stands for: mapped, compatible, translated, NAT64 (RFC 6052), 6to4.
fn hidden(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let join = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match address.segments() {
        // The unspecified and the loopback address.
        [0, 0, 0, 0, 0, 0, 0, 0..=1] => None,
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x0064, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => Some(join(high, low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
