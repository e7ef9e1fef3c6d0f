//! The table against the registries of IANA, and against both lists that it replaced.

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
            "1.1.1.1",
            "13.107.42.14",
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
fn an_address_in_disguise_is_what_it_hides_and_never_public() {
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
    check(&["::ffff:168.63.129.16"], Reach::Metadata);
    check(
        &[
            "64:ff9b::8.8.8.8",
            "::ffff:8.8.8.8",
            "::8.8.8.8",
            "::ffff:0:8.8.8.8",
            "2002:808:808::1",
        ],
        Reach::Special,
    );
}

/// The rows of IANA's registries that are not globally reachable, and those that this crate refuses although they are.
/// Each with the address before and after, where that is public.
#[test]
fn every_row_of_the_registries_is_refused_from_end_to_end() {
    for (block, before, after) in [
        ("0.0.0.0-0.255.255.255", None, Some("1.0.0.0")),
        ("10.0.0.0-10.255.255.255", Some("9.255.255.255"), Some("11.0.0.0")),
        (
            "100.64.0.0-100.127.255.255",
            Some("100.63.255.255"),
            Some("100.128.0.0"),
        ),
        (
            "127.0.0.0-127.255.255.255",
            Some("126.255.255.255"),
            Some("128.0.0.0"),
        ),
        (
            "169.254.0.0-169.254.255.255",
            Some("169.253.255.255"),
            Some("169.255.0.0"),
        ),
        (
            "172.16.0.0-172.31.255.255",
            Some("172.15.255.255"),
            Some("172.32.0.0"),
        ),
        (
            "192.0.0.0-192.0.0.255",
            Some("191.255.255.255"),
            Some("192.0.1.0"),
        ),
        ("192.0.2.0-192.0.2.255", Some("192.0.1.255"), Some("192.0.3.0")),
        (
            "192.88.99.0-192.88.99.255",
            Some("192.88.98.255"),
            Some("192.88.100.0"),
        ),
        (
            "192.168.0.0-192.168.255.255",
            Some("192.167.255.255"),
            Some("192.169.0.0"),
        ),
        (
            "198.18.0.0-198.19.255.255",
            Some("198.17.255.255"),
            Some("198.20.0.0"),
        ),
        (
            "198.51.100.0-198.51.100.255",
            Some("198.51.99.255"),
            Some("198.51.101.0"),
        ),
        (
            "203.0.113.0-203.0.113.255",
            Some("203.0.112.255"),
            Some("203.0.114.0"),
        ),
        ("224.0.0.0-239.255.255.255", Some("223.255.255.255"), None),
        ("240.0.0.0-255.255.255.255", None, None),
        ("::-::1", None, None),
        ("::ffff:0:0-::ffff:ffff:ffff", None, None),
        ("::ffff:0:0:0-::ffff:0:ffff:ffff", None, None),
        ("64:ff9b::-64:ff9b::ffff:ffff", None, None),
        ("64:ff9b:1::-64:ff9b:1:ffff:ffff:ffff:ffff:ffff", None, None),
        ("100::-100::ffff:ffff:ffff:ffff", None, None),
        ("100:0:0:1::-100::1:ffff:ffff:ffff:ffff", None, None),
        (
            "2001::-2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff",
            Some("2000:ffff::"),
            Some("2001:200::"),
        ),
        // Rows within 2001::/23: Teredo, anycast, benchmarking, AMT, AS112, ORCHID, ORCHIDv2, drone identifiers.
        ("2001::-2001:0:ffff:ffff:ffff:ffff:ffff:ffff", None, None),
        ("2001:1::1-2001:1::3", None, None),
        ("2001:2::-2001:2:0:ffff:ffff:ffff:ffff:ffff", None, None),
        ("2001:3::-2001:3:ffff:ffff:ffff:ffff:ffff:ffff", None, None),
        ("2001:4:112::-2001:4:112:ffff:ffff:ffff:ffff:ffff", None, None),
        ("2001:10::-2001:1f:ffff:ffff:ffff:ffff:ffff:ffff", None, None),
        ("2001:20::-2001:2f:ffff:ffff:ffff:ffff:ffff:ffff", None, None),
        ("2001:30::-2001:3f:ffff:ffff:ffff:ffff:ffff:ffff", None, None),
        (
            "2001:db8::-2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
            Some("2001:db7:ffff::"),
            Some("2001:db9::"),
        ),
        (
            "2002::-2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            Some("2001:ffff::"),
            Some("2003::"),
        ),
        (
            "3fff::-3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff",
            Some("3ffe:ffff::"),
            Some("3fff:1000::"),
        ),
        ("5f00::-5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff", None, None),
        ("fc00::-fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", None, None),
        ("fe80::-febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", None, None),
        ("fec0::-feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", None, None),
        ("ff00::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", None, None),
    ] {
        let (first, last) = block.split_once('-').unwrap();
        for address in [first, last] {
            assert_ne!(reach(address.parse().unwrap()), Reach::Public, "{address}");
        }
        for address in [before, after].into_iter().flatten() {
            assert_eq!(reach(address.parse().unwrap()), Reach::Public, "{address}");
        }
    }
    // Globally reachable by the registries: AS112 and AMT.
    check(
        &["192.31.196.1", "192.52.193.1", "192.175.48.1", "2620:4f:8000::1"],
        Reach::Public,
    );
}

#[test]
fn only_the_whole_internet_is_public() {
    for private in [
        "127.0.0.1",
        "127.255.255.255",
        "0.0.0.0",
        "10.0.0.1",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "168.63.129.16",
        "192.0.0.192",
        "198.18.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "fd00::1",
        "fc00::1",
        "fe80::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b:1::1",
        "2002:7f00:1::",
        "2001::1",
        "2001:db8::1",
        "3fff::1",
        "fd00:ec2::254",
        "100::1",
        "::127.0.0.1",
    ] {
        assert_ne!(reach(private.parse().unwrap()), Reach::Public, "{private}");
    }
}
