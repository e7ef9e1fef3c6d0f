//! Proxies: which requests pass through one, and what is checked then.
//!
//! A proxy resolves names itself, so the resolver sees only the proxy's own name. A name is therefore resolved here too, before
//! the request: if it has an address that the policy forbids, the request is refused. A name that has no address here is left
//! to the proxy, whose own rules then decide.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper_util::client::proxy::matcher::Matcher;
use reqwest::{NoProxy, Proxy};
use url::{Host, Url};

use crate::error::{Error, Result};
use crate::policy::Policy;

/// Time to resolve a name that a proxy resolves again. Clusters behind a proxy often resolve no names of the internet.
const LOOKUP: Duration = Duration::from_secs(2);
/// Most names that are remembered as checked.
const REMEMBERED: usize = 1024;

/// The proxies of a client. The default has none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProxySettings {
    /// URL of the proxy for `http` URLs; empty for none.
    pub http: String,
    /// URL of the proxy for `https` URLs; empty for none.
    pub https: String,
    /// Hosts, domains and networks that are reached without a proxy, separated by commas.
    pub no: String,
}

impl ProxySettings {
    /// Reads `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`, or their names in lower case.
    #[must_use]
    pub fn environment() -> Self {
        let read = |name: &str| {
            [name.to_owned(), name.to_lowercase()]
                .iter()
                .find_map(|name| std::env::var(name).ok())
                .map(|value| value.trim().to_owned())
                .filter(|value| !value.is_empty())
        };
        let all = read("ALL_PROXY");
        let of = |name: &str| read(name).or_else(|| all.clone()).unwrap_or_default();
        Self {
            http: of("HTTP_PROXY"),
            https: of("HTTPS_PROXY"),
            no: read("NO_PROXY").unwrap_or_default(),
        }
    }

    /// The same rules for the HTTP client.
    pub(super) fn for_client(&self) -> Result<Vec<Proxy>> {
        let given = |url: &'_ String| (!url.is_empty()).then(|| url.clone());
        let http = given(&self.http).map(Proxy::http).transpose();
        let https = given(&self.https).map(Proxy::https).transpose();
        let proxies = [http.map_err(Error::Setup)?, https.map_err(Error::Setup)?];
        let excepted = |proxy: Proxy| proxy.no_proxy(NoProxy::from_string(&self.no));
        Ok(proxies.into_iter().flatten().map(excepted).collect())
    }
}

/// The rules in use. Clones share what was checked.
#[derive(Clone)]
pub(super) struct Proxies {
    matcher: Arc<Matcher>,
    /// Hosts of the proxies. The resolver permits them whatever their addresses are: the operator chose them.
    hosts: Arc<BTreeSet<String>>,
    checked: Arc<Mutex<BTreeSet<String>>>,
}

impl fmt::Debug for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxies").field("hosts", &self.hosts).finish()
    }
}

impl Proxies {
    pub(super) fn new(settings: &ProxySettings) -> Self {
        let matcher = Matcher::builder()
            .http(settings.http.clone())
            .https(settings.https.clone())
            .no(settings.no.clone())
            .build();
        let everything = Matcher::builder()
            .http(settings.http.clone())
            .https(settings.https.clone())
            .build();
        let hosts = ["http://host.invalid/", "https://host.invalid/"];
        let hosts = hosts.iter().filter_map(|url| proxy_host(&everything, url));
        Self {
            hosts: Arc::new(hosts.collect()),
            matcher: Arc::new(matcher),
            checked: Arc::default(),
        }
    }

    /// Reports whether a host is one of the proxies.
    pub(super) fn is_proxy(&self, host: &str) -> bool {
        self.hosts.contains(&host.to_ascii_lowercase())
    }

    /// Checks the host of a URL that passes through a proxy, or is a proxy: the resolver checks neither.
    ///
    /// # Errors
    /// The host has an address that the policy forbids.
    pub(super) async fn check(&self, policy: &dyn Policy, url: &Url) -> Result<()> {
        // The policy itself has checked addresses that are written out.
        let Some(Host::Domain(name)) = url.host() else {
            return Ok(());
        };
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let passes = proxy_host(&self.matcher, url.as_str()).is_some();
        if !passes && !self.is_proxy(&name) || self.is_checked(&name) {
            return Ok(());
        }
        let lookup = tokio::time::timeout(LOOKUP, tokio::net::lookup_host((name.as_str(), 0)));
        if let Ok(Ok(addresses)) = lookup.await {
            // The proxy may choose any of them.
            for address in addresses {
                policy.check_address(&name, address.ip())?;
            }
        }
        self.remember(name);
        Ok(())
    }

    fn is_checked(&self, name: &str) -> bool {
        let checked = self.checked.lock().unwrap_or_else(PoisonError::into_inner);
        checked.contains(name)
    }

    fn remember(&self, name: String) {
        let mut checked = self.checked.lock().unwrap_or_else(PoisonError::into_inner);
        if checked.len() < REMEMBERED {
            checked.insert(name);
        }
    }
}

/// The host of the proxy that a URL passes through.
fn proxy_host(matcher: &Matcher, url: &str) -> Option<String> {
    let proxy = matcher.intercept(&url.parse().ok()?)?;
    Some(proxy.uri().host()?.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Refusal, WebPolicy};

    fn proxies(no: &str) -> Proxies {
        Proxies::new(&ProxySettings {
            http: "http://user:secret@Proxy.example:3128".to_owned(),
            https: "http://proxy.example:3128".to_owned(),
            no: no.to_owned(),
        })
    }

    async fn check(proxies: &Proxies, url: &str) -> Result<()> {
        let policy = WebPolicy::default();
        proxies.check(&policy, &Url::parse(url).unwrap()).await
    }

    #[tokio::test]
    async fn a_name_inside_is_not_sent_to_the_proxy() {
        let all = proxies("");
        let refused = check(&all, "https://LOCALHOST./").await;
        assert!(
            matches!(refused, Err(Error::Refused(Refusal::Address { .. }))),
            "{refused:?}"
        );
        // Without an address here, the proxy decides.
        check(&all, "https://data.invalid/").await.unwrap();
        assert!(all.is_checked("data.invalid"));
        // The resolver checks what does not pass through the proxy.
        check(&proxies("localhost"), "https://localhost/").await.unwrap();
    }

    #[tokio::test]
    async fn the_proxy_itself_is_checked_where_a_url_names_it() {
        let proxies = Proxies::new(&ProxySettings {
            http: "http://localhost:3128".to_owned(),
            no: "localhost".to_owned(),
            ..ProxySettings::default()
        });
        assert!(proxies.is_proxy("LocalHost") && !proxies.is_proxy("other"));
        assert!(check(&proxies, "http://localhost:3128/").await.is_err());
        assert!(!format!("{:?}", self::proxies("")).contains("secret"));
    }

    #[test]
    fn a_malformed_proxy_is_an_error() {
        let settings = |http: &str| ProxySettings {
            http: http.to_owned(),
            ..ProxySettings::default()
        };
        assert!(settings("http://").for_client().is_err());
        assert_eq!(settings("proxy:3128").for_client().unwrap().len(), 1);
        assert_eq!(ProxySettings::default().for_client().unwrap().len(), 0);
    }
}
