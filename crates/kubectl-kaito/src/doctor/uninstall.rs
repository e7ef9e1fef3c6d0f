//! Objects that would leak or stop if the operator were uninstalled now.

use jiff::Timestamp;
use kaito_api::fleet::FleetOwner;
use kube::ResourceExt as _;

use super::claims::{is_ours, price, subject};
use super::diagnosis::Diagnosis;
use super::facts::ClusterFacts;
use super::nodes::is_registered;
use crate::money;
use crate::output::printable;

/// Finds Workspaces, claims, Nodes and instances that need a running operator.
pub(super) fn examine(facts: &ClusterFacts, now: Timestamp) -> Vec<Diagnosis> {
    let workspaces = facts.workspaces.iter().map(|workspace| {
        let (namespace, name) = (workspace.namespace(), workspace.name());
        Diagnosis::new(
            "workspace",
            format!("Workspace {namespace}/{name}"),
            "It could not be deleted any more, and nothing would repair it.".to_owned(),
            &format!("Delete it, and wait: `kubectl --namespace {namespace} delete workspace {name}`."),
        )
    });
    let claims = facts.claims.iter().filter(|claim| is_ours(claim)).map(|claim| {
        let remedy = format!(
            "It goes with its Workspace. Else: `kubectl delete {} {}`.",
            claim.claim_kind().plural(),
            claim.name()
        );
        let message = "Its node would run, and cost, until it is deleted in the cloud.".to_owned();
        Diagnosis::new("claim", subject(claim), message, &remedy).costing(price(claim, now))
    });
    let nodes = facts.nodes.iter().filter(|node| is_registered(node)).map(|node| {
        let message = "Its deletion would never end: only a provisioner removes its finalizer.".to_owned();
        let remedy = "It goes with its claim; wait.";
        Diagnosis::new("node", format!("Node {}", node.name_any()), message, remedy)
    });
    let fleet = facts.fleet.iter().flat_map(|fleet| &fleet.instances);
    let instances = fleet
        .filter(|instance| instance.owner == FleetOwner::Orphaned)
        .map(|instance| {
            let message = "It has no claim, and only gpu-provisioner would delete it.".to_owned();
            let remedy = "Wait some minutes until gpu-provisioner has deleted it.";
            let subject = format!("instance {}", printable(&instance.name));
            Diagnosis::new("instance", subject, message, remedy)
                .costing(money::price_of(&instance.instance_type))
        });
    workspaces.chain(claims).chain(nodes).chain(instances).collect()
}
