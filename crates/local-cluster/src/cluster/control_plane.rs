//! The command lines of etcd and the API server.

use std::path::Path;

use anyhow::Result;

use super::{ClusterOptions, Tier, home::Home};
use crate::nodes::HOST_ADDRESS;
use crate::ports;
use crate::process::ProcessSpec;

/// The ports of etcd and of the API server.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ports {
    etcd_client: u16,
    etcd_peer: u16,
    apiserver: u16,
    /// The address of the API server.
    address: &'static str,
}

impl Ports {
    pub(super) fn pick(tier: Tier) -> Result<Self> {
        let address = if tier == Tier::RealNodes {
            HOST_ADDRESS
        } else {
            "127.0.0.1"
        };
        let [etcd_client, etcd_peer, apiserver] = ports::reserve::<3>()?;
        Ok(Self {
            etcd_client,
            etcd_peer,
            apiserver,
            address,
        })
    }

    pub(super) fn server(&self) -> String {
        format!("https://{}:{}", self.address, self.apiserver)
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
            format!("--bind-address={}", ports.address),
            format!("--advertise-address={}", ports.address),
        ])
        .args(for_nodes(&pki, options.tier))
        .args([
            "--authorization-mode=Node,RBAC",
            "--service-cluster-ip-range=10.96.0.0/16",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--allow-privileged=true",
            // One file for the whole life of the cluster: readers remember offsets in it.
            "--audit-log-maxsize=4096",
        ])
        .args(&options.apiserver_args)
}

/// Flags for the nodes of a tier.
fn for_nodes(pki: &Path, tier: Tier) -> Vec<String> {
    if tier != Tier::RealNodes {
        // An endpoint in 127.0.0.0/8 would be refused.
        return vec!["--endpoint-reconciler-type=none".to_owned()];
    }
    let file = |flag: &str, name: &str| format!("--{flag}={}", pki.join(name).display());
    vec![
        file("client-ca-file", "ca.crt"),
        file("kubelet-client-certificate", "kubelet-client.crt"),
        file("kubelet-client-key", "kubelet-client.key"),
        "--kubelet-preferred-address-types=InternalIP".to_owned(),
        "--enable-admission-plugins=NodeRestriction".to_owned(),
        "--default-not-ready-toleration-seconds=5".to_owned(),
        "--default-unreachable-toleration-seconds=5".to_owned(),
        "--enable-aggregator-routing=true".to_owned(),
    ]
}
