//! Pools of ours whose claim is gone: the second net under termination.
//!
//! Must never touch a pool that is not marked as ours for this cluster, and must never run on half a listing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cloudprovider::{CloudCall, Instance, InstanceState, Ownership};
use jiff::{SignedDuration, Timestamp};
use kaito_api::Claim;

use crate::settings::Settings;
use crate::time;

/// How long we must have seen a pool ourselves before it can be garbage: a claim made meanwhile has reached
/// every cache by then.
const SEEN_FOR: SignedDuration = SignedDuration::from_mins(2);
/// Most deletions a pass, so that a mistake stays small.
const MOST: usize = 5;

/// The deletions that are due. `claims` is every claim of either kind there is, being deleted or not; `first_seen` says
/// when this process first saw each pool, by name. Before carrying one out, the shell makes sure by a live
/// read that no claim of the pool's name has the claim's UID.
#[must_use]
pub fn collect(
    now: Timestamp,
    pools: &[Arc<Instance>],
    claims: &[Claim],
    first_seen: &BTreeMap<String, Timestamp>,
    settings: &Settings,
) -> Vec<CloudCall> {
    let claims: BTreeSet<&str> = claims.iter().map(Claim::uid).collect();
    let seen_long = |pool: &Instance| {
        first_seen
            .get(&pool.name)
            .is_some_and(|seen| time::after(*seen, SEEN_FOR) <= now)
    };
    let garbage: BTreeMap<&str, &Instance> = pools
        .iter()
        .filter(|pool| is_ours_without(pool, &claims, settings) && seen_long(pool))
        .filter(|pool| pool.state != InstanceState::Deleting)
        .map(|pool| (pool.name.as_str(), &**pool))
        .collect();
    garbage.into_values().take(MOST).map(delete).collect()
}

fn is_ours_without(pool: &Instance, claims: &BTreeSet<&str>, settings: &Settings) -> bool {
    let Ownership::Ours { claim_uid } = &pool.owner else {
        return false;
    };
    // Here no claim vouches for the pool, so its cluster must be exactly ours.
    let same_cluster = pool.cluster_id.as_deref().unwrap_or_default() == settings.cluster_id;
    same_cluster && !claim_uid.is_empty() && !claims.contains(claim_uid.as_str())
}

fn delete(pool: &Instance) -> CloudCall {
    CloudCall::Delete {
        name: pool.name.clone(),
        version: pool.version.clone(),
    }
}
