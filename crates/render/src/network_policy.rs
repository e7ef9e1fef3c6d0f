//! The NetworkPolicy of a Workspace's pods.
//!
//! Engines listen on more ports than the API's: Ray's head node runs the code of every client, and PyTorch's rendezvous
//! trusts its peers. Those ports are open to the pods of the same Workspace only.

use k8s_openapi::api::networking::v1::{
    NetworkPolicy, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kaito_api::{Workspace, names};

use crate::{meta, paths};

/// Renders the policy: everyone may reach the API, and the pods of a Workspace that spans nodes may reach each other.
#[must_use]
pub fn network_policy(workspace: &Workspace, spans_nodes: bool) -> NetworkPolicy {
    let api = NetworkPolicyIngressRule {
        ports: Some(vec![NetworkPolicyPort {
            port: Some(IntOrString::Int(paths::HTTP_PORT)),
            protocol: Some("TCP".to_owned()),
            ..NetworkPolicyPort::default()
        }]),
        ..NetworkPolicyIngressRule::default()
    };
    let group = spans_nodes.then(|| NetworkPolicyIngressRule {
        from: Some(vec![NetworkPolicyPeer {
            pod_selector: Some(meta::pod_selector(workspace)),
            ..NetworkPolicyPeer::default()
        }]),
        ..NetworkPolicyIngressRule::default()
    });
    NetworkPolicy {
        metadata: meta::owned(workspace, names::network_policy(workspace.name())),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(meta::pod_selector(workspace)),
            policy_types: Some(vec!["Ingress".to_owned()]),
            ingress: Some([api].into_iter().chain(group).collect()),
            ..NetworkPolicySpec::default()
        }),
    }
}
