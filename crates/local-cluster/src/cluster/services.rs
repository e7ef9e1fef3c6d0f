//! DNS and an image registry, which nodes need beside the control plane. They are processes of the host.

use std::fs;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::home::Home;
use crate::assets::{Assets, Tool};
use crate::nodes::{DNS_ADDRESS, DNS_PORT, HOST_ADDRESS, HOST_NAME, REGISTRY_ADDRESS, program};
use crate::process::ProcessSpec;

/// The parts. Writes their configuration.
pub(super) fn parts(assets: &Assets, home: &Home) -> Result<[ProcessSpec; 2]> {
    fs::write(home.dns(), dns_configuration(home)).context("failed to write the configuration of DNS")?;
    let registry_file = home.dir().join("registry.yaml");
    fs::write(&registry_file, registry_configuration(home))
        .context("failed to write the registry's configuration")?;
    let registry = program("docker-registry").context("there is no docker-registry")?;
    Ok([
        ProcessSpec::new("coredns", assets.path(Tool::CoreDns)?)
            .args(["-conf".into(), home.dns().into_os_string()]),
        ProcessSpec::new("registry", registry).args(["serve".into(), registry_file.into_os_string()]),
    ])
}

fn dns_configuration(home: &Home) -> String {
    format!(
        ".:{DNS_PORT} {{\n    bind {HOST_ADDRESS}\n    errors\n    \
         hosts {{\n        {HOST_ADDRESS} {HOST_NAME}\n        fallthrough\n    }}\n    \
         kubernetes cluster.local in-addr.arpa {{\n        kubeconfig {} local\n        pods insecure\n        ttl 5\n    \
         }}\n    cache 5\n}}\n",
        home.kubeconfig_of("coredns").display()
    )
}

fn registry_configuration(home: &Home) -> String {
    format!(
        "version: 0.1\nlog: {{level: warn}}\n\
         storage: {{filesystem: {{rootdirectory: {}}}, delete: {{enabled: true}}}}\n\
         http: {{addr: \"{REGISTRY_ADDRESS}\"}}\n",
        home.registry().display()
    )
}

/// The objects by which pods find DNS: the path of a collection, and the object.
pub(super) fn dns_objects() -> [(&'static str, Value); 2] {
    let ports = |name: &str, protocol: &str| json!({"name": name, "protocol": protocol, "port": 53, "targetPort": DNS_PORT});
    let endpoint = |name: &str, protocol: &str| json!({"name": name, "protocol": protocol, "port": DNS_PORT});
    let labels = json!({"k8s-app": "kube-dns", "kubernetes.io/service-name": "kube-dns"});
    [
        (
            "/api/v1/namespaces/kube-system/services",
            json!({
                "apiVersion": "v1", "kind": "Service", "metadata": {"name": "kube-dns", "labels": {"k8s-app": "kube-dns"}},
                "spec": {"clusterIP": DNS_ADDRESS, "ports": [ports("dns", "UDP"), ports("dns-tcp", "TCP")]},
            }),
        ),
        (
            "/apis/discovery.k8s.io/v1/namespaces/kube-system/endpointslices",
            json!({
                "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
                "metadata": {"name": "kube-dns-host", "labels": labels},
                "endpoints": [{"addresses": [HOST_ADDRESS], "conditions": {"ready": true}}],
                "ports": [endpoint("dns", "UDP"), endpoint("dns-tcp", "TCP")],
            }),
        ),
    ]
}
