//! Garbage collection: instances of ours whose claim is gone. A safety net under termination; `orphan.rs` is the one for
//! Nodes.
//!
//! It must never touch an instance that is not marked as ours for this cluster, and never run on half a listing.

use std::collections::{BTreeMap, BTreeSet};

use cloudprovider::{CallOutcome, CloudCall, Instance, InstanceState, InstanceTracker, Ownership};
use jiff::{SignedDuration, Timestamp};
use kaito_api::Claim;

use crate::settings::Settings;
use crate::{backoff, instance_deletion, time};

/// Time that this process must have seen an instance before that can be garbage. A claim made meanwhile has reached every
/// cache by then.
const SEEN_FOR: SignedDuration = SignedDuration::from_mins(2);
/// Most deletions in one run, so that a mistake stays small.
pub const MAX_DELETIONS: usize = 5;
/// Most live reads in one run. Instances that turn out to have a claim cost one each.
const MAX_CANDIDATES: usize = 20;

/// An instance whose deletion is due, unless a live read shows its claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Orphan {
    /// UID of the claim that the instance was made for.
    pub claim_uid: String,
    /// The deletion.
    pub delete: CloudCall,
}

/// Returns the deletions that are due, those first that failed least.
///
/// `claims` are all claims of either kind, also those that are being deleted. The caller confirms each deletion by a live
/// read: no claim of the instance's name may have the UID of its claim. It carries out at most [`MAX_DELETIONS`] of them.
#[must_use]
pub fn collect(
    now: Timestamp,
    tracker: &InstanceTracker,
    claims: &[Claim],
    settings: &Settings,
) -> Vec<Orphan> {
    let claims: BTreeSet<&str> = claims.iter().map(Claim::uid).collect();
    let seen_long = |instance: &Instance| {
        tracker
            .first_seen()
            .get(&instance.name)
            .is_some_and(|seen| time::after(*seen, SEEN_FOR) <= now)
    };
    let mut garbage: BTreeMap<(u32, String), Orphan> = BTreeMap::new();
    for instance in tracker.instances() {
        if instance.state == InstanceState::Deleting || !seen_long(&instance) {
            continue;
        }
        let last = tracker.last_delete(&instance.name);
        if let Some(claim_uid) = unclaimed(&instance, &claims, settings)
            && is_due(now, last, claim_uid, settings)
        {
            // One whose deletion fails again and again never holds up the others.
            let failures = last.map_or(0, |call| call.failures);
            garbage.insert((failures, instance.name.clone()), orphan(&instance, claim_uid));
        }
    }
    garbage.into_values().take(MAX_CANDIDATES).collect()
}

/// Returns the instances that upstream's gpu-provisioner made and that no claim has the name of, sorted.
///
/// They carry no UID and no cluster, so nothing proves that they are garbage. They are reported, never deleted.
#[must_use]
pub fn unclaimed_upstream(tracker: &InstanceTracker, claims: &[Claim]) -> Vec<String> {
    let claims: BTreeSet<&str> = claims.iter().map(Claim::name).collect();
    let mut names: Vec<String> = tracker
        .instances()
        .iter()
        .filter(|instance| instance.owner == Ownership::Upstream && !claims.contains(instance.name.as_str()))
        .map(|instance| instance.name.clone())
        .collect();
    names.sort();
    names
}

/// Returns true if an instance was made from exactly this cluster, so that it may be garbage.
pub(crate) fn is_of_cluster(instance: &Instance, settings: &Settings) -> bool {
    instance.cluster_id.as_deref().unwrap_or_default() == settings.cluster_id
}

/// Returns the UID of the claim of an instance of ours that has none any more.
fn unclaimed<'a>(instance: &'a Instance, claims: &BTreeSet<&str>, settings: &Settings) -> Option<&'a str> {
    let Ownership::Ours { claim_uid } = &instance.owner else {
        return None;
    };
    // No claim vouches for the instance, so its cluster must be exactly ours.
    let is_garbage =
        is_of_cluster(instance, settings) && !claim_uid.is_empty() && !claims.contains(claim_uid.as_str());
    is_garbage.then_some(claim_uid.as_str())
}

fn is_due(now: Timestamp, last: Option<&CallOutcome>, claim_uid: &str, settings: &Settings) -> bool {
    last.is_none_or(|call| match backoff::due(call, claim_uid, settings) {
        Some(due) => due <= now,
        None => !instance_deletion::is_fresh(call, now),
    })
}

fn orphan(instance: &Instance, claim_uid: &str) -> Orphan {
    Orphan {
        claim_uid: claim_uid.to_owned(),
        delete: CloudCall::Delete {
            name: instance.name.clone(),
            version: instance.version.clone(),
        },
    }
}
