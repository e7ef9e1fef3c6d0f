//! Asks a part of the cluster over HTTP whether it is ready. Reads nothing but the status.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use super::credentials::ClusterCredentials;

/// A client that trusts the authority of one cluster.
#[derive(Debug)]
pub(super) struct Probe {
    agent: ureq::Agent,
}

impl Probe {
    pub(super) fn new(credentials: &ClusterCredentials) -> Result<Self> {
        Self::trusting(credentials.ca.as_bytes())
    }

    pub(super) fn trusting(ca: &[u8]) -> Result<Self> {
        let ca = Certificate::from_pem(ca).context("the certificate authority is unreadable")?;
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::new_with_certs(&[ca]))
            .build();
        let config = ureq::Agent::config_builder()
            .tls_config(tls)
            .proxy(None) // everything asked here is on this machine
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(5)));
        Ok(Self {
            agent: config.build().into(),
        })
    }

    /// Creates an object at `address`, the collection of its kind.
    pub(super) fn create(&self, address: &str, token: &str, object: &str) -> Result<()> {
        let mut response = self
            .agent
            .post(address)
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/json")
            .send(object)
            .with_context(|| format!("failed to post to {address}"))?;
        let body = response.body_mut().read_to_string().unwrap_or_default();
        ensure!(
            response.status() == 201,
            "{address} answered {}: {body}",
            response.status()
        );
        Ok(())
    }

    /// Ok when `address` answers 200, else why not.
    pub(super) fn ok(&self, address: &str, token: Option<&str>) -> Result<(), String> {
        let mut request = self.agent.get(address);
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        match request.call() {
            Ok(response) if response.status() == 200 => Ok(()),
            Ok(response) => Err(format!("{address} answered {}", response.status())),
            Err(error) => Err(format!("{address}: {error}")),
        }
    }
}
