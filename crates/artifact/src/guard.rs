//! Which hosts and addresses may be reached.
//!
//! A URL of a Workspace is a wish of its author, and the pod that follows it sits inside the cluster: it must
//! not become a way to the cloud's metadata, to the node or to other tenants' services (SSRF). So names are
//! resolved here, the addresses checked, and exactly those connected to; see [`Resolver`].

mod address;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

pub(crate) use address::{Reach, reach};

use crate::error::{Error, Result};

/// Names of the clouds' metadata services, whatever they resolve to.
const METADATA_NAMES: &[&str] = &[
    "metadata.google.internal",
    "metadata.google",
    "instance-data.ec2.internal",
];

/// What may be reached.
#[derive(Clone, Debug, Default)]
pub(crate) struct Guard {
    pub(crate) allow_http: bool,
    /// Also loopback.
    pub(crate) allow_private: bool,
    /// Names and addresses that are not checked.
    pub(crate) allowed_hosts: Vec<String>,
}

/// Why a name was not resolved; it travels inside the HTTP client's error.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Refusal(String);

impl Guard {
    /// Checks what can be told without resolving: scheme, name, and an address written as such.
    ///
    /// # Errors
    /// When it may not be reached.
    pub(crate) fn check(&self, url: &Url) -> Result<()> {
        match url.scheme() {
            "https" => {}
            "http" if self.allow_http => {}
            "http" => {
                return Err(Error::Refused(format!(
                    "{} is plain http, which anybody on the way can change: use https, or --allow-http with a checksum",
                    shown(url)
                )));
            }
            other => {
                return Err(Error::Refused(format!(
                    "{other} is no scheme to download by: use https"
                )));
            }
        }
        let host = url
            .host()
            .ok_or_else(|| Error::Usage(format!("{} names no host", shown(url))))?;
        let refused = match host {
            Host::Domain(name) => self.refuses_name(name),
            Host::Ipv4(address) => self.refuses(&address.to_string(), address.into()),
            Host::Ipv6(address) => self.refuses(&address.to_string(), address.into()),
        };
        refused.map_or(Ok(()), |why| Err(Error::Refused(why)))
    }

    fn allows(&self, host: &str) -> bool {
        self.allowed_hosts
            .iter()
            .any(|allowed| allowed.eq_ignore_ascii_case(host))
    }

    fn refuses_name(&self, name: &str) -> Option<String> {
        let plain = name.trim_end_matches('.').to_ascii_lowercase();
        if self.allows(&plain) {
            return None;
        }
        let local = plain == "localhost" || plain.ends_with(".localhost");
        if METADATA_NAMES.contains(&plain.as_str()) {
            return Some(format!(
                "{plain} is a metadata service, which must not be reached from here"
            ));
        }
        (local && !self.allow_private).then(|| format!("{plain} is this machine itself: {HINT}"))
    }

    fn refuses(&self, host: &str, address: IpAddr) -> Option<String> {
        let what = match reach(address) {
            Reach::Public => return None,
            Reach::Private | Reach::Loopback if self.allow_private => return None,
            _ if self.allows(host) => return None,
            Reach::Private => "a private address",
            Reach::Loopback => "a loopback address",
            Reach::LinkLocal => "a link-local address, where metadata services are",
            Reach::Metadata => "the address of a metadata service",
            Reach::Special => "no address of a host",
        };
        let name = if host == address.to_string() {
            String::new()
        } else {
            format!("{host} resolves to ")
        };
        Some(format!("{name}{address}, which is {what}: {HINT}"))
    }

    /// Those of the addresses that may be connected to.
    fn permitted(&self, host: &str, found: Vec<SocketAddr>) -> std::result::Result<Vec<SocketAddr>, Refusal> {
        let mut why = format!("{host} has no address");
        let mut permitted = Vec::new();
        for address in found {
            match self.refuses(host, address.ip()) {
                None => permitted.push(address),
                Some(refusal) => why = refusal,
            }
        }
        if permitted.is_empty() {
            return Err(Refusal(why));
        }
        Ok(permitted)
    }
}

const HINT: &str =
    "only hosts of the public internet are reached unless --allow-private or --allow-host says otherwise";

/// Resolves names for the HTTP client, which connects to nothing but what is returned here.
#[derive(Clone, Debug)]
pub(crate) struct Resolver(pub(crate) Arc<Guard>);

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = Arc::clone(&self.0);
        Box::pin(async move {
            let host = name.as_str().trim_end_matches('.').to_owned();
            if let Some(why) = guard.refuses_name(&host) {
                return Err(Refusal(why).into());
            }
            // The port is put in by the client.
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let permitted = guard.permitted(&host, found)?;
            Ok(Box::new(permitted.into_iter()) as Addrs)
        })
    }
}

/// The URL without what may be secret: user, password, query.
pub(crate) fn shown(url: &Url) -> String {
    let mut plain = url.clone();
    plain.set_query(None);
    plain.set_fragment(None);
    // These fail for URLs that can have no user, which then have none to hide.
    let _ = plain.set_username("");
    let _ = plain.set_password(None);
    plain.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(guard: &Guard, url: &str) -> bool {
        guard.check(&Url::parse(url).unwrap()).is_err()
    }

    #[test]
    fn only_the_public_internet_by_https() {
        let guard = Guard::default();
        for url in [
            "http://example.com/",
            "ftp://example.com/",
            "file:///etc/passwd",
            "https://localhost/",
            "https://a.LocalHost./",
            "https://metadata.google.internal/",
            "https://127.0.0.1/",
            "https://127.1/",
            "https://2130706433/",
            "https://0x7f000001/",
            "https://0177.0.0.1/",
            "https://[::1]/",
            "https://[::ffff:127.0.0.1]/",
            "https://[fd00:ec2::254]/",
            "https://169.254.169.254/latest/meta-data",
            "https://10.0.0.1/",
            "https://0.0.0.0/",
        ] {
            assert!(refused(&guard, url), "{url}");
        }
        for url in [
            "https://example.com/",
            "https://8.8.8.8/",
            "https://[2606:4700::1111]/",
        ] {
            assert!(!refused(&guard, url), "{url}");
        }
    }

    #[test]
    fn exceptions_go_no_further_than_they_say() {
        let private = Guard {
            allow_private: true,
            ..Guard::default()
        };
        assert!(!refused(&private, "https://10.0.0.1/"));
        assert!(!refused(&private, "https://localhost/"));
        assert!(refused(&private, "https://169.254.169.254/"));
        assert!(refused(&private, "https://168.63.129.16/"));
        assert!(refused(&private, "https://metadata.google.internal/"));
        assert!(refused(&private, "http://10.0.0.1/"));
        let host = Guard {
            allowed_hosts: vec!["10.0.0.1".to_owned(), "Minio.local".to_owned()],
            ..Guard::default()
        };
        assert!(!refused(&host, "https://10.0.0.1/"));
        assert!(refused(&host, "https://10.0.0.2/"));
        assert_eq!(host.refuses("minio.local", [10, 0, 0, 9].into()), None);
        assert!(host.refuses("other.local", [10, 0, 0, 9].into()).is_some());
    }

    #[test]
    fn of_mixed_answers_only_the_good_are_used() {
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        let guard = Guard::default();
        let mixed = vec![at("10.0.0.1:0"), at("8.8.8.8:0"), at("[::1]:0")];
        assert_eq!(
            guard.permitted("rebind.example", mixed).unwrap(),
            [at("8.8.8.8:0")]
        );
        let error = guard
            .permitted("rebind.example", vec![at("10.0.0.1:0")])
            .unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("rebind.example resolves to 10.0.0.1, which is a private address")
        );
    }

    #[test]
    fn secrets_are_not_shown() {
        let url = Url::parse("https://user:pass@example.com/a/b?sig=secret#sha256=x").unwrap();
        assert_eq!(shown(&url), "https://example.com/a/b");
    }
}
