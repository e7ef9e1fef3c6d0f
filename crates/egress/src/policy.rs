//! The rules on which URLs and addresses a client may reach.
//!
//! A user chooses the URL, and the pod that requests it runs inside the cluster. So it must not reach the cloud's metadata,
//! the node or services of other tenants (SSRF).

mod hub;
mod web;

use std::fmt;
use std::net::IpAddr;

use url::Url;

use crate::address::Reach;

pub use hub::{BadEndpoint, HubPolicy};
pub use web::WebPolicy;

/// The rules of one client. It asks before every request, every redirect and every connection.
pub trait Policy: fmt::Debug + Send + Sync {
    /// Checks what is known without resolving a name.
    ///
    /// # Errors
    /// The URL may not be requested.
    fn check(&self, url: &Url) -> Result<(), Refusal>;

    /// Checks a name before it is resolved.
    ///
    /// # Errors
    /// The name may not be resolved.
    fn check_name(&self, host: &str) -> Result<(), Refusal>;

    /// Checks an address that a host has.
    ///
    /// # Errors
    /// The address may not be connected to.
    fn check_address(&self, host: &str, address: IpAddr) -> Result<(), Refusal>;
}

/// A request or connection that the policy forbids.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Plain HTTP.
    #[error("{url} is plain http, which anyone on the way can change: use https")]
    PlainHttp {
        /// The URL.
        url: String,
    },
    /// Another scheme.
    #[error("the scheme must be https, not {scheme:?}")]
    Scheme {
        /// The scheme.
        scheme: String,
    },
    /// A URL without a host.
    #[error("{url} must name a host")]
    NoHost {
        /// The URL.
        url: String,
    },
    /// The name of a metadata service.
    #[error("{host} is a metadata service, which must not be reached from here")]
    MetadataService {
        /// The name.
        host: String,
    },
    /// A name for this machine.
    #[error("{host} is this machine itself")]
    ThisMachine {
        /// The name.
        host: String,
    },
    /// An address that is not public.
    #[error("{}, which is {}", resolved(host, *address), described(*reach))]
    Address {
        /// The name or the address, as in the URL.
        host: String,
        /// The address.
        address: IpAddr,
        /// The reach of the address.
        reach: Reach,
    },
    /// A name without an address.
    #[error("{host} has no address")]
    NoAddress {
        /// The name.
        host: String,
    },
    /// A host that is neither the hub nor one that it may redirect to.
    #[error("{host} is neither the hub nor one of the hosts that it may redirect to (--hub-redirect-host)")]
    Host {
        /// The host.
        host: String,
    },
    /// A host of the hub without TLS.
    #[error("{host} would be reached without encryption")]
    Unencrypted {
        /// The host.
        host: String,
    },
    /// A port that the hub does not use.
    #[error("port {port} of {host} is not a port of the hub")]
    Port {
        /// The host.
        host: String,
        /// The port.
        port: u16,
    },
    /// A redirect with a user or a password.
    #[error("a URL with credentials must not be followed")]
    Credentials,
    /// A host of the hub with a private address.
    #[error(
        "{host} has an address that is not public; if the hub is there, set --hub-allow-private-endpoint"
    )]
    PrivateHub {
        /// The host.
        host: String,
    },
    /// A token over plain HTTP.
    #[error("a token must not be sent to {url} without encryption: use https")]
    ExposedToken {
        /// The URL.
        url: String,
    },
}

fn resolved(host: &str, address: IpAddr) -> String {
    if host == address.to_string() {
        host.to_owned()
    } else {
        format!("{host} resolves to {address}")
    }
}

const fn described(reach: Reach) -> &'static str {
    match reach {
        Reach::Public => "a public address",
        Reach::Private => "a private address",
        Reach::Loopback => "a loopback address",
        Reach::LinkLocal => "a link-local address, where metadata services are",
        Reach::Metadata => "the address of a metadata service",
        Reach::Special => "not the address of a host",
    }
}

/// The URL without its possible secrets: user, password, query, fragment.
#[must_use]
pub fn without_secrets(url: &Url) -> String {
    let mut plain = url.clone();
    plain.set_query(None);
    plain.set_fragment(None);
    // These fail for URLs that can have no user, and so have none to hide.
    let _ = plain.set_username("");
    let _ = plain.set_password(None);
    plain.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        let url = Url::parse("https://user:pass@example.com/a/b?sig=secret#sha256=x").unwrap();
        assert_eq!(without_secrets(&url), "https://example.com/a/b");
    }
}
