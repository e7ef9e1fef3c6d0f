//! Instances of the cloud without a claim, from the record that gpu-provisioner publishes.

use jiff::Timestamp;
use kaito_api::fleet::{FleetInstance, FleetOwner, FleetRecord};
use kaito_api::labels::GPU_PROVISIONER;

use super::diagnosis::Diagnosis;
use super::facts::{CLAIMS, ClusterFacts};
use crate::money;
use crate::output::printable;

/// Finds such instances.
pub(super) fn examine(facts: &ClusterFacts, now: Timestamp) -> Vec<Diagnosis> {
    let Some(fleet) = &facts.fleet else {
        return Vec::new();
    };
    let mut found: Vec<Diagnosis> = fleet
        .instances
        .iter()
        .filter_map(|instance| judge(facts, instance, now))
        .collect();
    found.extend(held(fleet));
    found
}

/// Finds a provisioner that does nothing.
pub(super) fn held(fleet: &FleetRecord) -> Option<Diagnosis> {
    let message = format!("It launches and deletes nothing: {}", printable(&fleet.held));
    let remedy = "Restore the provisioner's cluster id, subscription, resource group and cluster name.";
    let subject = GPU_PROVISIONER.to_owned();
    (!fleet.held.is_empty()).then(|| Diagnosis::new("heldProvisioner", subject, message, remedy))
}

/// Returns the relation of an instance to the claims that exist now. The record may be older than the end of a claim.
pub(super) fn owner(facts: &ClusterFacts, instance: &FleetInstance) -> FleetOwner {
    let is_there = || facts.claims.iter().any(|claim| claim.name() == instance.name);
    match instance.owner {
        FleetOwner::Claimed if facts.knows(CLAIMS) && !is_there() => FleetOwner::Orphaned,
        owner => owner,
    }
}

fn judge(facts: &ClusterFacts, instance: &FleetInstance, now: Timestamp) -> Option<Diagnosis> {
    let (kind, message, remedy) = match owner(facts, instance) {
        FleetOwner::Claimed | FleetOwner::Foreign => return None,
        FleetOwner::Orphaned => (
            "orphanedInstance",
            "It was made for a claim that is gone.",
            "Nothing to do: gpu-provisioner deletes it some minutes after it found it. If it stays, look at its log.",
        ),
        FleetOwner::UnclaimedUpstream => (
            "unclaimedInstance",
            "Another gpu-provisioner made it, and no claim has its name. It is never deleted.",
            "If nothing uses it, delete it in the cloud.",
        ),
        FleetOwner::OtherCluster => (
            "instanceOfOtherCluster",
            "It was made for another cluster. It is never deleted here.",
            "If that cluster is gone, delete it in the cloud.",
        ),
    };
    let subject = format!("instance {}", printable(&instance.name));
    let message = format!(
        "{message} {}, {}.",
        printable(&instance.instance_type),
        printable(&instance.state)
    );
    let found = Diagnosis::new(kind, subject, message, remedy);
    let since = instance.since.as_ref().map(|time| time.0);
    Some(
        found
            .costing(money::price_of(&instance.instance_type))
            .since(since, now),
    )
}
