//! Objects that would leak or stop if the operator were uninstalled now.

use jiff::Timestamp;
use kaito_api::fleet::FleetOwner;
use kaito_api::labels::GPU_PROVISIONER;
use kube::ResourceExt as _;

use super::claims::{is_ours, price, subject};
use super::diagnosis::Diagnosis;
use super::facts::{ClusterFacts, component};
use super::instances;
use super::nodes::is_registered;
use super::programs::is_held;
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
        .filter(|instance| instances::owner(facts, instance) == FleetOwner::Orphaned)
        .map(|instance| {
            let message = "It has no claim, and only gpu-provisioner would delete it.".to_owned();
            let remedy = "Wait some minutes until gpu-provisioner has deleted it.";
            let subject = format!("instance {}", printable(&instance.name));
            Diagnosis::new("instance", subject, message, remedy)
                .costing(money::price_of(&instance.instance_type))
        });
    let unread = facts.unlisted.iter().map(|kind| {
        let message = "You may not list them, so some may be left.".to_owned();
        let remedy = "Repeat this as a user who may.";
        Diagnosis::new("unread", (*kind).to_owned(), message, remedy)
    });
    let left = workspaces.chain(claims).chain(nodes).chain(instances);
    left.chain(unread).chain(record(facts, now)).collect()
}

/// Finds reasons for which instances may exist that the record of gpu-provisioner does not show.
fn record(facts: &ClusterFacts, now: Timestamp) -> Vec<Diagnosis> {
    let found = |kind, message: String, remedy| {
        Diagnosis::new(kind, "record of instances".to_owned(), message, remedy)
    };
    let lease = facts
        .leases
        .iter()
        .find(|lease| lease.name_any() == GPU_PROVISIONER);
    let is_deployed = facts
        .deployments
        .iter()
        .any(|one| component(one) == GPU_PROVISIONER);
    let Some(fleet) = &facts.fleet else {
        // Another program makes the nodes, or the user does.
        if lease.is_none() && !is_deployed && !facts.deployments.is_empty() {
            return Vec::new();
        }
        let message = "There is none that you may read, so instances may be left in the cloud.".to_owned();
        let remedy = "Start gpu-provisioner and repeat this once it has listed them. Otherwise look for agent pools with the tag \
            kaito-managed-by=gpu-provisioner in the cloud.";
        return vec![found("noRecord", message, remedy)];
    };
    let mut all: Vec<Diagnosis> = instances::held(fleet).into_iter().collect();
    if fleet.left_out > 0 {
        let message = format!("It has no room for {} instances.", fleet.left_out);
        let remedy = "Look for agent pools with the tag kaito-managed-by=gpu-provisioner in the cloud.";
        all.push(found("shortRecord", message, remedy));
    }
    let is_renewed = lease.is_some_and(|lease| is_held(lease, now));
    if !is_renewed || fleet.silent {
        let message = match is_renewed {
            true => "It may be old: the cloud does not list its instances.",
            false => "It may be old: no replica of gpu-provisioner leads, so nothing is listed or deleted.",
        };
        let remedy = "See the log of gpu-provisioner, and repeat this once it lists instances again.";
        all.push(found("oldRecord", message.to_owned(), remedy));
    }
    all
}
