//! The policy for URLs of users: any public host.

use std::net::IpAddr;

use url::{Host, Url};

use super::{Policy, Refusal, without_secrets};
use crate::address::{Reach, reach};

/// Names of the clouds' metadata services, refused whatever they resolve to.
const METADATA_NAMES: &[&str] = &[
    "metadata.google.internal",
    "metadata.google",
    "instance-data.ec2.internal",
];

/// Permits HTTPS to public addresses, and what the fields add.
#[derive(Clone, Debug, Default)]
pub struct WebPolicy {
    /// Permits plain HTTP.
    pub allow_http: bool,
    /// Permits private and loopback addresses.
    pub allow_private: bool,
    /// Names and addresses that are not checked.
    pub allowed_hosts: Vec<String>,
}

impl WebPolicy {
    fn allows(&self, host: &str) -> bool {
        self.allowed_hosts
            .iter()
            .any(|allowed| allowed.eq_ignore_ascii_case(host))
    }
}

impl Policy for WebPolicy {
    fn check(&self, url: &Url) -> Result<(), Refusal> {
        match url.scheme() {
            "https" => {}
            "http" if self.allow_http => {}
            "http" => {
                return Err(Refusal::PlainHttp {
                    url: without_secrets(url),
                });
            }
            other => {
                return Err(Refusal::Scheme {
                    scheme: other.to_owned(),
                });
            }
        }
        match url.host() {
            None => Err(Refusal::NoHost {
                url: without_secrets(url),
            }),
            Some(Host::Domain(name)) => self.check_name(name),
            Some(Host::Ipv4(address)) => self.check_address(&address.to_string(), address.into()),
            Some(Host::Ipv6(address)) => self.check_address(&address.to_string(), address.into()),
        }
    }

    fn check_name(&self, host: &str) -> Result<(), Refusal> {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        if self.allows(&host) {
            return Ok(());
        }
        if METADATA_NAMES.contains(&host.as_str()) {
            return Err(Refusal::MetadataService { host });
        }
        let local = host == "localhost" || host.ends_with(".localhost");
        if local && !self.allow_private {
            return Err(Refusal::ThisMachine { host });
        }
        Ok(())
    }

    fn check_address(&self, host: &str, address: IpAddr) -> Result<(), Refusal> {
        match reach(address) {
            Reach::Public => Ok(()),
            Reach::Private | Reach::Loopback if self.allow_private => Ok(()),
            _ if self.allows(host) => Ok(()),
            reach => Err(Refusal::Address {
                host: host.to_owned(),
                address,
                reach,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(policy: &WebPolicy, url: &str) -> bool {
        policy.check(&Url::parse(url).unwrap()).is_err()
    }

    #[test]
    fn only_the_public_internet_by_https() {
        let policy = WebPolicy::default();
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
            assert!(refused(&policy, url), "{url}");
        }
        for url in [
            "https://example.com/",
            "https://8.8.8.8/",
            "https://[2606:4700::1111]/",
        ] {
            assert!(!refused(&policy, url), "{url}");
        }
    }

    #[test]
    fn exceptions_go_no_further_than_they_say() {
        let private = WebPolicy {
            allow_private: true,
            ..WebPolicy::default()
        };
        assert!(!refused(&private, "https://10.0.0.1/"));
        assert!(!refused(&private, "https://localhost/"));
        assert!(refused(&private, "https://169.254.169.254/"));
        assert!(refused(&private, "https://168.63.129.16/"));
        assert!(refused(&private, "https://metadata.google.internal/"));
        assert!(refused(&private, "http://10.0.0.1/"));
        let host = WebPolicy {
            allowed_hosts: vec!["10.0.0.1".to_owned(), "Minio.local".to_owned()],
            ..WebPolicy::default()
        };
        assert!(!refused(&host, "https://10.0.0.1/"));
        assert!(refused(&host, "https://10.0.0.2/"));
        assert_eq!(host.check_address("minio.local", [10, 0, 0, 9].into()), Ok(()));
        assert!(host.check_address("other.local", [10, 0, 0, 9].into()).is_err());
    }
}
