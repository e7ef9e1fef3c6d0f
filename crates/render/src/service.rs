//! The Services of a Workspace.

use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kaito_api::{Workspace, labels, names};

use crate::{meta, paths};

/// Clients that may reach the Service of a Workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exposure {
    /// Clients inside the cluster.
    Cluster,
    /// Clients outside it too, through a load balancer.
    Public {
        /// CIDR blocks of the clients; empty allows all.
        from: Vec<String>,
    },
}

/// Encryption of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Plain text, at port 80.
    Http,
    /// TLS, at port 443.
    Https,
}

/// Renders the Service through which a Workspace is used; it has the Workspace's name. If the model spans nodes, it
/// selects only the first pod.
#[must_use]
pub fn service(
    workspace: &Workspace,
    spans_nodes: bool,
    exposure: &Exposure,
    transport: Transport,
) -> Service {
    let mut selector = meta::pod_labels(workspace);
    if spans_nodes {
        selector.insert(
            labels::STATEFUL_SET_POD.to_owned(),
            format!("{}-0", workspace.name()),
        );
    }
    let http = match transport {
        Transport::Http => port("http", 80, paths::HTTP_PORT),
        Transport::Https => port("https", 443, paths::HTTP_PORT),
    };
    let torch = port("torch", paths::TORCH_PORT, paths::TORCH_PORT);
    let (type_, ports, from) = match exposure {
        Exposure::Cluster => ("ClusterIP", vec![http, torch], &[][..]),
        // PyTorch's rendezvous trusts its peers, so it is never public.
        Exposure::Public { from } => ("LoadBalancer", vec![http], from.as_slice()),
    };
    Service {
        metadata: meta::owned(workspace, workspace.name().to_owned()),
        spec: Some(ServiceSpec {
            type_: Some(type_.to_owned()),
            ports: Some(ports),
            load_balancer_source_ranges: (!from.is_empty()).then(|| from.to_vec()),
            selector: Some(selector),
            // A tuning pod has no readiness probe, yet its metrics are read.
            publish_not_ready_addresses: workspace.spec.tuning.is_some().then_some(true),
            ..ServiceSpec::default()
        }),
        status: None,
    }
}

/// Renders the headless Service that gives the pods of a group their host names before they are ready.
#[must_use]
pub fn headless_service(workspace: &Workspace) -> Service {
    Service {
        metadata: meta::owned(workspace, names::headless_service(workspace.name())),
        spec: Some(ServiceSpec {
            cluster_ip: Some("None".to_owned()),
            publish_not_ready_addresses: Some(true),
            selector: Some(meta::pod_labels(workspace)),
            ..ServiceSpec::default()
        }),
        status: None,
    }
}

fn port(name: &str, port: i32, target: i32) -> ServicePort {
    ServicePort {
        name: Some(name.to_owned()),
        port,
        protocol: Some("TCP".to_owned()),
        target_port: Some(IntOrString::Int(target)),
        ..ServicePort::default()
    }
}
