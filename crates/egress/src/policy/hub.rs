//! The policy for a model hub: its host, and the hosts that it may redirect to.
//!
//! Names of models come from users and redirects from a server, so without this a name could lead to any address that the
//! pod reaches.

use std::net::IpAddr;

use url::Url;

use super::{Policy, Refusal};
use crate::address::{Reach, reach};

/// An endpoint that is not the URL of a hub.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("--hub-endpoint {endpoint:?}: {problem}")]
pub struct BadEndpoint {
    endpoint: String,
    problem: &'static str,
}

/// Permits one hub and its redirect hosts, over HTTPS at public addresses unless the endpoint itself says otherwise.
#[derive(Debug, Clone)]
pub struct HubPolicy {
    endpoint: Url,
    host: String,
    /// The host of the endpoint may have addresses that are not public.
    private: bool,
    redirect_hosts: Vec<String>,
}

impl HubPolicy {
    /// Creates the policy of a hub. It may redirect to hosts such as `cdn.example.com` or `*.example.com`. If `private`, the
    /// hub's name may have addresses that are not public; so it may if the endpoint is written as such an address.
    ///
    /// # Errors
    /// The endpoint is not the URL of a hub.
    pub fn new(endpoint: &str, redirect_hosts: &[String], private: bool) -> Result<Self, BadEndpoint> {
        let bad = |problem| BadEndpoint {
            endpoint: endpoint.to_owned(),
            problem,
        };
        let url = Url::parse(endpoint).map_err(|_| bad("it must be a URL"))?;
        if !["http", "https"].contains(&url.scheme()) {
            return Err(bad("it must begin with https:// or http://"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(bad("it must not hold credentials; use --hub-token-file"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(bad("it must have no query and no fragment"));
        }
        let host = host_of(&url).ok_or_else(|| bad("it must name a host"))?;
        let written_private =
            host.parse().is_ok_and(|address| reach(address) != Reach::Public) || host == "localhost";
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

    /// The URL of the hub.
    #[must_use]
    pub fn endpoint(&self) -> &Url {
        &self.endpoint
    }

    /// Reports whether a token sent to the endpoint can be read on the way.
    #[must_use]
    pub fn exposes_tokens(&self) -> bool {
        self.endpoint.scheme() == "http" && !self.private
    }
}

impl Policy for HubPolicy {
    fn check(&self, url: &Url) -> Result<(), Refusal> {
        let host = host_of(url).unwrap_or_default();
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Refusal::Credentials);
        }
        let own = host == self.host;
        if !own && !self.redirect_hosts.iter().any(|pattern| matches(pattern, &host)) {
            return Err(Refusal::Host { host });
        }
        if url.scheme() != "https" && !(own && url.scheme() == self.endpoint.scheme()) {
            return Err(Refusal::Unencrypted { host });
        }
        let port = url.port_or_known_default();
        let own_port = own && port == self.endpoint.port_or_known_default();
        if !own_port && port != Some(443) {
            return Err(Refusal::Port {
                host,
                port: port.unwrap_or_default(),
            });
        }
        match host.parse() {
            Ok(address) => self.check_address(&host, address),
            Err(_) => Ok(()),
        }
    }

    fn check_name(&self, _host: &str) -> Result<(), Refusal> {
        // Only names that passed `check` are resolved.
        Ok(())
    }

    fn check_address(&self, host: &str, address: IpAddr) -> Result<(), Refusal> {
        let own = host.eq_ignore_ascii_case(&self.host);
        if reach(address) == Reach::Public || (self.private && own) {
            return Ok(());
        }
        Err(Refusal::PrivateHub {
            host: host.to_owned(),
        })
    }
}

/// The host in lower case, IPv6 without brackets.
fn host_of(url: &Url) -> Option<String> {
    let host = url.host_str()?.trim_start_matches('[').trim_end_matches(']');
    (!host.is_empty()).then(|| host.trim_end_matches('.').to_lowercase())
}

fn matches(pattern: &str, host: &str) -> bool {
    match pattern.strip_prefix('*') {
        Some(suffix) => suffix.starts_with('.') && host.len() > suffix.len() && host.ends_with(suffix),
        None => pattern == host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(endpoint: &str) -> HubPolicy {
        let hosts = ["cdn.example.com", "*.hf.co"].map(str::to_owned);
        HubPolicy::new(endpoint, &hosts, false).unwrap()
    }

    #[track_caller]
    fn check(access: &HubPolicy, url: &str, expected: Option<&str>) {
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

    fn allows(policy: &HubPolicy, host: &str) -> bool {
        policy.check_address(host, [10, 1, 2, 3].into()).is_ok()
    }

    #[test]
    fn a_private_endpoint_is_the_only_private_address() {
        let hub = access("http://10.1.2.3:8080/mirror");
        check(&hub, "http://10.1.2.3:8080/x", None);
        check(&hub, "http://10.1.2.3/x", Some("port 80"));
        check(&hub, "http://10.1.2.4:8080/x", Some("neither the hub"));
        assert!(allows(&hub, "10.1.2.3"));
        assert!(!allows(&hub, "cdn.example.com"));
        let named = access("https://hub.example.com");
        assert!(!allows(&named, "hub.example.com"));
        let told = HubPolicy::new("https://hub.example.com", &[], true).unwrap();
        assert!(allows(&told, "HUB.example.com"));
        let literal = HubPolicy::new("https://hub.example.com", &["10.0.0.1".to_owned()], true).unwrap();
        check(&literal, "https://10.0.0.1/", Some("not public"));
    }

    #[test]
    fn endpoints() {
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
            assert!(HubPolicy::new(bad, &[], false).is_err(), "{bad}");
        }
    }
}
