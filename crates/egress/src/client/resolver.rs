//! Resolves names for the HTTP client, which connects to exactly the addresses that were checked here. So a name cannot
//! change its address between the check and the connection.

use std::net::SocketAddr;
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::proxies::Proxies;
use crate::policy::{Policy, Refusal};

/// Resolves names to those of their addresses that the policy permits. Names of proxies are exempt.
#[derive(Clone, Debug)]
pub(super) struct Resolver {
    pub(super) policy: Arc<dyn Policy>,
    pub(super) proxies: Proxies,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let policy = Arc::clone(&self.policy);
        let proxies = self.proxies.clone();
        Box::pin(async move {
            let host = name.as_str().trim_end_matches('.').to_owned();
            let is_proxy = proxies.is_proxy(&host);
            if !is_proxy {
                policy.check_name(&host)?;
            }
            // The client sets the port.
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            if is_proxy {
                return Ok(Box::new(found.into_iter()) as Addrs);
            }
            let permitted = permitted(policy.as_ref(), &host, found)?;
            Ok(Box::new(permitted.into_iter()) as Addrs)
        })
    }
}

/// The addresses that may be connected to; the last refusal if there is none.
fn permitted(policy: &dyn Policy, host: &str, found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, Refusal> {
    let mut refusal = Refusal::NoAddress {
        host: host.to_owned(),
    };
    let mut permitted = Vec::new();
    for address in found {
        match policy.check_address(host, address.ip()) {
            Ok(()) => permitted.push(address),
            Err(refused) => refusal = refused,
        }
    }
    if permitted.is_empty() {
        return Err(refusal);
    }
    Ok(permitted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::WebPolicy;

    #[test]
    fn of_mixed_answers_only_the_good_are_used() {
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        let policy = WebPolicy::default();
        let mixed = vec![at("10.0.0.1:0"), at("8.8.8.8:0"), at("[::1]:0")];
        assert_eq!(
            permitted(&policy, "rebind.example", mixed).unwrap(),
            [at("8.8.8.8:0")]
        );
        let error = permitted(&policy, "rebind.example", vec![at("10.0.0.1:0")]).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("rebind.example resolves to 10.0.0.1, which is a private address")
        );
    }
}
