//! The guard against changed settings: claims whose instance belongs to another cluster, by its id or by its place.
//!
//! Such an instance is paid for and may serve. It is neither adopted nor let go, and nothing new is launched beside it,
//! until an administrator restores the settings.

use cloudprovider::{Instance, InstanceLookup, InstanceTracker, Ownership};
use kaito_api::Claim;
use kaito_api::labels::{LAUNCHED_IN, TERMINATION_FINALIZER};
use kube::ResourceExt as _;

use crate::managed;
use crate::settings::Settings;

/// Returns the conflict of a claim with the settings, if there is one.
pub(crate) fn conflict(claim: &Claim, lookup: &InstanceLookup, settings: &Settings) -> Option<String> {
    launched_elsewhere(claim, settings).or_else(|| match lookup {
        InstanceLookup::Found(instance) => of_other_id(claim, instance, settings),
        InstanceLookup::Unknown | InstanceLookup::Absent { .. } => None,
    })
}

/// Returns the first conflict of any claim with the settings.
#[must_use]
pub fn first_conflict(claims: &[Claim], tracker: &InstanceTracker, settings: &Settings) -> Option<String> {
    let ours = |claim: &&Claim| {
        let held = claim
            .finalizers()
            .iter()
            .any(|held| held == TERMINATION_FINALIZER);
        managed::is_managed(claim) && held
    };
    let mut claims: Vec<&Claim> = claims.iter().filter(ours).collect();
    claims.sort_by_key(|claim| claim.name());
    claims
        .into_iter()
        .find_map(|claim| conflict(claim, &tracker.lookup(claim.name()), settings))
}

/// The note on the claim outlives the instance: a wrong cluster shows no instance, which proves nothing.
fn launched_elsewhere(claim: &Claim, settings: &Settings) -> Option<String> {
    let noted = claim.annotations().get(LAUNCHED_IN)?;
    let differs = !settings.place.is_empty() && *noted != settings.place;
    differs.then(|| {
        format!(
            "instance {} was launched in {noted}, and the provisioner is set to {}",
            claim.name(),
            settings.place
        )
    })
}

/// The UID proves that the instance is the claim's, so another id can only be an earlier setting.
fn of_other_id(claim: &Claim, instance: &Instance, settings: &Settings) -> Option<String> {
    let is_claims = matches!(&instance.owner, Ownership::Ours { claim_uid } if claim_uid == claim.uid() && !claim_uid.is_empty());
    let id = instance.cluster_id.as_deref().filter(|_| is_claims)?;
    let differs = !settings.cluster_id.is_empty() && id != settings.cluster_id;
    differs.then(|| {
        format!(
            "instance {} has the cluster id {id}, and the provisioner is set to {}",
            instance.name, settings.cluster_id
        )
    })
}
