//! Garbage collection: instances of ours whose claim is gone. A safety net under termination; `orphan.rs` is the one for
//! Nodes.
//!
//! It must never touch an instance that is not marked as ours for this cluster, and never run on half a listing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cloudprovider::{CloudCall, Instance, InstanceState, Ownership};
use jiff::{SignedDuration, Timestamp};
use kaito_api::Claim;

use crate::settings::Settings;
use crate::time;

/// Time that this process must have seen an instance before that can be garbage. A claim made meanwhile has reached every
/// cache by then.
const SEEN_FOR: SignedDuration = SignedDuration::from_mins(2);
/// Most deletions in one run, so that a mistake stays small.
const MAX_DELETIONS: usize = 5;

/// Returns the deletions that are due.
///
/// `claims` are all claims of either kind, also those that are being deleted. `first_seen` has the time at which this
/// process first saw each instance, by name. The caller confirms each deletion by a live read: no claim of the instance's
/// name may have the UID of its claim.
#[must_use]
pub fn collect(
    now: Timestamp,
    instances: &[Arc<Instance>],
    claims: &[Claim],
    first_seen: &BTreeMap<String, Timestamp>,
    settings: &Settings,
) -> Vec<CloudCall> {
    let claims: BTreeSet<&str> = claims.iter().map(Claim::uid).collect();
    let seen_long = |instance: &Instance| {
        first_seen
            .get(&instance.name)
            .is_some_and(|seen| time::after(*seen, SEEN_FOR) <= now)
    };
    let garbage: BTreeMap<&str, &Instance> = instances
        .iter()
        .filter(|instance| is_unclaimed(instance, &claims, settings) && seen_long(instance))
        .filter(|instance| instance.state != InstanceState::Deleting)
        .map(|instance| (instance.name.as_str(), &**instance))
        .collect();
    garbage.into_values().take(MAX_DELETIONS).map(delete).collect()
}

fn is_unclaimed(instance: &Instance, claims: &BTreeSet<&str>, settings: &Settings) -> bool {
    let Ownership::Ours { claim_uid } = &instance.owner else {
        return false;
    };
    // No claim vouches for the instance, so its cluster must be exactly ours.
    let same_cluster = instance.cluster_id.as_deref().unwrap_or_default() == settings.cluster_id;
    same_cluster && !claim_uid.is_empty() && !claims.contains(claim_uid.as_str())
}

fn delete(instance: &Instance) -> CloudCall {
    CloudCall::Delete {
        name: instance.name.clone(),
        version: instance.version.clone(),
    }
}
