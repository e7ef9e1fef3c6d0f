//! The command lines of etcd and the API server.

use std::path::Path;

use anyhow::Result;

use super::{ClusterOptions, home::Home};
use crate::ports;
use crate::process::ProcessSpec;

/// The ports of etcd and of the API server.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ports {
    etcd_client: u16,
    etcd_peer: u16,
    apiserver: u16,
}

impl Ports {
    pub(super) fn pick() -> Result<Self> {
        let [etcd_client, etcd_peer, apiserver] = ports::reserve::<3>()?;
        Ok(Self {
            etcd_client,
            etcd_peer,
            apiserver,
        })
    }

    pub(super) fn server(&self) -> String {
        format!("https://127.0.0.1:{}", self.apiserver)
    }

    /// The prefix of this cluster's keys in etcd. It is unique, so an API server that is wrongly connected to another
    /// cluster's etcd does no harm there.
    fn etcd_prefix(&self) -> String {
        format!("/local-{}-{}", std::process::id(), self.apiserver)
    }

    fn etcd(&self) -> String {
        format!("http://127.0.0.1:{}", self.etcd_client)
    }

    pub(super) fn etcd_health(&self) -> String {
        format!("{}/health", self.etcd())
    }
}

pub(super) fn etcd(program: &Path, home: &Home, ports: &Ports) -> ProcessSpec {
    let client = ports.etcd();
    let peer = format!("http://127.0.0.1:{}", ports.etcd_peer);
    ProcessSpec::new("etcd", program).args([
        format!("--data-dir={}", home.etcd().display()),
        // The data is thrown away: safety on power loss only costs time.
        "--unsafe-no-fsync".to_owned(),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=default={peer}"),
        "--log-level=warn".to_owned(),
    ])
}

pub(super) fn apiserver(program: &Path, home: &Home, ports: &Ports, options: &ClusterOptions) -> ProcessSpec {
    let pki = home.pki();
    let file = |name: &str| pki.join(name).display().to_string();
    ProcessSpec::new("kube-apiserver", program)
        .args([
            format!("--etcd-servers={}", ports.etcd()),
            format!("--etcd-prefix={}", ports.etcd_prefix()),
            format!("--secure-port={}", ports.apiserver),
            format!("--tls-cert-file={}", file("apiserver.crt")),
            format!("--tls-private-key-file={}", file("apiserver.key")),
            format!("--token-auth-file={}", file("tokens.csv")),
            format!("--service-account-signing-key-file={}", file("sa.key")),
            format!("--service-account-key-file={}", file("sa.pub")),
            format!("--audit-policy-file={}", home.audit_policy().display()),
            format!("--audit-log-path={}", home.audit_log().display()),
        ])
        .args([
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            // An endpoint in 127.0.0.0/8 would be refused.
            "--endpoint-reconciler-type=none",
            "--authorization-mode=Node,RBAC",
            "--service-cluster-ip-range=10.96.0.0/16",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--allow-privileged=true",
            // One file for the whole life of the cluster: readers remember offsets in it.
            "--audit-log-maxsize=4096",
        ])
        .args(&options.apiserver_args)
}
