//! Where the registry may connect to on behalf of whoever asks for a model: decided by host, scheme, port and address.
//!
//! Names come from users and redirects from a server, so without this a name could make the registry speak to
//! whatever its pod can reach. Pure; `http` asks before every request, every redirect and every connection.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use reqwest::Url;

/// Why an address is not spoken to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("{0} is neither the hub nor one of the hosts that it may redirect to (--hub-redirect-host)")]
    Host(String),
    #[error("{0} would be spoken to without encryption")]
    Plain(String),
    #[error("port {port} of {host} is not a port of the hub")]
    Port { host: String, port: u16 },
    #[error("an address with credentials is not followed")]
    Credentials,
    #[error(
        "{0} has an address that is not public; if that is where the hub is, say so with --hub-allow-private-endpoint"
    )]
    Private(String),
}

/// An endpoint that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("--hub-endpoint {endpoint:?} cannot be used: {problem}")]
pub struct BadEndpoint {
    endpoint: String,
    problem: &'static str,
}

/// What may be spoken to.
#[derive(Debug, Clone)]
pub(crate) struct Access {
    endpoint: Url,
    host: String,
    /// The host of the endpoint may have addresses that are not public.
    private: bool,
    redirect_hosts: Vec<String>,
}

impl Access {
    /// The hub at this address, and hosts such as `cdn.example.com` or `*.example.com` that it may redirect to.
    pub(crate) fn new(endpoint: &str, redirect_hosts: &[String], private: bool) -> Result<Self, BadEndpoint> {
        let bad = |problem| BadEndpoint {
            endpoint: endpoint.to_owned(),
            problem,
        };
        let url = Url::parse(endpoint).map_err(|_| bad("it is not a URL"))?;
        if !["http", "https"].contains(&url.scheme()) {
            return Err(bad("it begins with neither https:// nor http://"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(bad("it holds credentials; use --hub-token-file"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(bad("it has a query or a fragment"));
        }
        let host = host_of(&url).ok_or_else(|| bad("it names no host"))?;
        let written_private =
            literal(&host).is_some_and(|address| !is_public(address)) || host == "localhost";
        Ok(Self {
            private: private || written_private,
            redirect_hosts: redirect_hosts
                .iter()
                .filter(|host| !host.is_empty())
                .map(|host| host.to_lowercase())
                .collect(),
            endpoint: url,
            host,
        })
    }

    /// The address of something below the endpoint.
    pub(crate) fn url(&self, path: &[&str]) -> Url {
        let mut url = self.endpoint.clone();
        // Fails for addresses without a host only, which were refused.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url
    }

    /// The endpoint as it was written.
    pub(crate) fn endpoint(&self) -> &str {
        self.endpoint.as_str().trim_end_matches('/')
    }

    /// A token sent to the endpoint can be read on the way by anybody.
    pub(crate) fn exposes_tokens(&self) -> bool {
        self.endpoint.scheme() == "http" && !self.private
    }

    /// Whether this address may be asked.
    pub(crate) fn check(&self, url: &Url) -> Result<(), Refused> {
        let host = host_of(url).unwrap_or_default();
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Refused::Credentials);
        }
        let own = host == self.host;
        if !own && !self.redirect_hosts.iter().any(|pattern| matches(pattern, &host)) {
            return Err(Refused::Host(host));
        }
        if url.scheme() != "https" && !(own && url.scheme() == self.endpoint.scheme()) {
            return Err(Refused::Plain(host));
        }
        let port = url.port_or_known_default();
        let own_port = own && port == self.endpoint.port_or_known_default();
        if !own_port && port != Some(443) {
            return Err(Refused::Port {
                host,
                port: port.unwrap_or_default(),
            });
        }
        match literal(&host) {
            Some(address) if !self.allows(&host, address) => Err(Refused::Private(host)),
            _ => Ok(()),
        }
    }

    /// Whether a connection to this address of the host may be made.
    pub(crate) fn allows(&self, host: &str, address: IpAddr) -> bool {
        is_public(address) || (self.private && host.eq_ignore_ascii_case(&self.host))
    }
}

/// In lower case, IPv6 without brackets.
fn host_of(url: &Url) -> Option<String> {
    let host = url.host_str()?.trim_start_matches('[').trim_end_matches(']');
    (!host.is_empty()).then(|| host.trim_end_matches('.').to_lowercase())
}

fn literal(host: &str) -> Option<IpAddr> {
    host.parse().ok()
}

fn matches(pattern: &str, host: &str) -> bool {
    match pattern.strip_prefix('*') {
        Some(suffix) => suffix.starts_with('.') && host.len() > suffix.len() && host.ends_with(suffix),
        None => pattern == host,
    }
}

/// Reachable from everywhere: in none of the special ranges of
/// <https://www.iana.org/assignments/iana-ipv4-special-registry> and its sister for IPv6.
pub(crate) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !(a == 0
        || a == 10
        || a == 127
        || a >= 224
        || (a == 100 && (64..128).contains(&b))
        || (a == 169 && b == 254)
        || (a == 172 && (16..32).contains(&b))
        || (a == 192 && b == 168)
        || (a == 192 && b == 0 && (c == 0 || c == 2))
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && (b == 18 || b == 19))
        || (a == 198 && b == 51 && c == 100)
        || (a == 203 && b == 0 && c == 113)
        // Azure's platform address, which every VM reaches.
        || address == Ipv4Addr::new(168, 63, 129, 16))
}

/// Of the global unicast range, without what leads back to an IPv4 address or nowhere.
fn is_public_v6(address: Ipv6Addr) -> bool {
    if let Some(mapped) = address.to_ipv4_mapped() {
        return is_public_v4(mapped);
    }
    let [first, second, ..] = address.segments();
    let global = (0x2000..0x4000).contains(&first);
    let special =
        first == 0x2002 || (first == 0x2001 && (second < 0x200 || second == 0xdb8)) || first == 0x3fff;
    global && !special
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(endpoint: &str) -> Access {
        let hosts = ["cdn.example.com", "*.hf.co"].map(str::to_owned);
        Access::new(endpoint, &hosts, false).unwrap()
    }

    #[test]
    fn only_the_whole_internet_is_public() {
        for public in [
            "1.1.1.1",
            "13.107.42.14",
            "172.32.0.1",
            "100.63.0.1",
            "2606:4700::1111",
            "2a00::1",
        ] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
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
            assert!(!is_public(private.parse().unwrap()), "{private}");
        }
    }

    #[track_caller]
    fn check(access: &Access, url: &str, expected: Option<&str>) {
        let refused = access.check(&Url::parse(url).unwrap()).err();
        let text = refused.map(|refused| refused.to_string());
        match (expected, &text) {
            (None, None) => {}
            (Some(expected), Some(text)) if text.contains(expected) => {}
            _ => panic!("{url}: {text:?}"),
        }
    }

    #[test]
    fn hosts_schemes_and_ports() {
        let hub = access("https://huggingface.co");
        for good in [
            "https://huggingface.co/a/b",
            "https://HUGGINGFACE.co./a",
            "https://cdn.example.com/x?sig=1",
            "https://cas.eu.hf.co/x",
        ] {
            check(&hub, good, None);
        }
        for (bad, why) in [
            ("https://example.com/", "neither the hub"),
            ("https://hf.co/", "neither the hub"),
            ("https://evil-hf.co/", "neither the hub"),
            ("https://hf.co.evil.com/", "neither the hub"),
            ("https://huggingface.co.evil.com/", "neither the hub"),
            ("http://huggingface.co/", "without encryption"),
            ("http://cdn.example.com/", "without encryption"),
            ("ftp://huggingface.co/", "without encryption"),
            ("https://huggingface.co:8443/", "port 8443"),
            ("https://user@huggingface.co/", "credentials"),
            ("https://127.0.0.1/", "neither the hub"),
            ("https://169.254.169.254/metadata", "neither the hub"),
            ("https://2130706433/", "neither the hub"),
            ("https://0x7f.1/", "neither the hub"),
            ("https://[::1]/", "neither the hub"),
            ("https://[::ffff:a9fe:a9fe]/", "neither the hub"),
            ("file:///etc/passwd", "neither the hub"),
        ] {
            check(&hub, bad, Some(why));
        }
    }

    #[test]
    fn a_private_endpoint_is_the_only_private_address() {
        let hub = access("http://10.1.2.3:8080/mirror");
        check(&hub, "http://10.1.2.3:8080/x", None);
        check(&hub, "http://10.1.2.3/x", Some("port 80"));
        check(&hub, "http://10.1.2.4:8080/x", Some("neither the hub"));
        assert!(hub.allows("10.1.2.3", "10.1.2.3".parse().unwrap()));
        assert!(!hub.allows("cdn.example.com", "10.1.2.3".parse().unwrap()));
        let named = access("https://hub.example.com");
        assert!(!named.allows("hub.example.com", "10.1.2.3".parse().unwrap()));
        let told = Access::new("https://hub.example.com", &[], true).unwrap();
        assert!(told.allows("HUB.example.com", "10.1.2.3".parse().unwrap()));
        let literal = Access::new("https://hub.example.com", &["10.0.0.1".to_owned()], true).unwrap();
        check(&literal, "https://10.0.0.1/", Some("not public"));
    }

    #[test]
    fn endpoints() {
        assert_eq!(
            access("https://h.co/mirror/").url(&["a", "b c", "d?e"]).as_str(),
            "https://h.co/mirror/a/b%20c/d%3Fe"
        );
        assert!(access("http://h.co").exposes_tokens() && !access("http://127.0.0.1").exposes_tokens());
        for bad in [
            "",
            "huggingface.co",
            "ftp://h.co",
            "https://",
            "https://u:p@h.co",
            "https://h.co/?x",
            "https://h.co/#x",
        ] {
            assert!(Access::new(bad, &[], false).is_err(), "{bad}");
        }
    }
}
