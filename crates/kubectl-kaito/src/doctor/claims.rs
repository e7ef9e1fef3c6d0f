//! Claims that are orphaned, stuck or idle.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use kaito_api::conditions::{ClaimConditionType, ReasonText, Status};
use kaito_api::fleet::FleetOwner;
use kaito_api::{Claim, labels};
use kube::ResourceExt as _;

use super::diagnosis::{Diagnosis, NodeUse};
use super::facts::ClusterFacts;
use super::instances;
use crate::money::{self, Bill};
use crate::output::printable;

/// Time that a step or a deletion may take.
const PATIENCE: SignedDuration = SignedDuration::from_mins(15);
/// Time that a ready node may wait for its pods.
const IDLE: SignedDuration = SignedDuration::from_mins(5);

/// Use of a claim's node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ClaimUse {
    Orphaned,
    Terminating,
    Starting,
    Idle,
    Used,
}

/// Finds claims that cost without use.
pub(super) fn examine(facts: &ClusterFacts, now: Timestamp) -> Vec<Diagnosis> {
    let busy = busy_nodes(facts);
    let own = facts.claims.iter().filter(|claim| is_ours(claim));
    own.filter_map(|claim| judge(facts, claim, use_of(facts, claim, &busy), now))
        .collect()
}

/// Counts nodes by their use, those of claims and those that only the cloud knows.
pub(super) fn uses(facts: &ClusterFacts, now: Timestamp) -> Vec<NodeUse> {
    let busy = busy_nodes(facts);
    let claims = |usages: &[ClaimUse]| {
        let own = facts.claims.iter().filter(|claim| is_ours(claim));
        let chosen = own.filter(|claim| usages.contains(&use_of(facts, claim, &busy)));
        let bill = Bill::of_claims(chosen, now);
        (bill.nodes, bill.usd_micros_per_hour)
    };
    let of_cloud = |owners: &[FleetOwner]| {
        let all = facts.fleet.iter().flat_map(|fleet| &fleet.instances);
        let chosen = all.filter(|instance| owners.contains(&instances::owner(facts, instance)));
        chosen.fold((0u32, 0u64), |(count, price), instance| {
            let one = money::price_of(&instance.instance_type).unwrap_or(0);
            (count.saturating_add(1), price.saturating_add(one))
        })
    };
    let all = [
        ("in use", claims(&[ClaimUse::Used])),
        ("starting", claims(&[ClaimUse::Starting])),
        ("idle", claims(&[ClaimUse::Idle])),
        ("being deleted", claims(&[ClaimUse::Terminating])),
        ("claim without Workspace", claims(&[ClaimUse::Orphaned])),
        (
            "instance without claim",
            of_cloud(&[FleetOwner::Orphaned, FleetOwner::UnclaimedUpstream]),
        ),
        ("of another cluster", of_cloud(&[FleetOwner::OtherCluster])),
        ("foreign", of_cloud(&[FleetOwner::Foreign])),
    ];
    let shown = all.into_iter().filter(|(_, (count, _))| *count > 0);
    shown
        .map(|(usage, (count, usd_micros_per_hour))| NodeUse {
            usage,
            count,
            usd_micros_per_hour,
        })
        .collect()
}

/// Returns true if the claim was made for a Workspace or a RAG engine.
pub(super) fn is_ours(claim: &Claim) -> bool {
    let marks = claim.labels();
    marks.contains_key(labels::WORKSPACE) || marks.contains_key(labels::RAG_ENGINE)
}

/// Kind and name of a claim.
pub(super) fn subject(claim: &Claim) -> String {
    format!("{} {}", claim.claim_kind().as_str(), claim.name())
}

/// Price of a claim's node; `None` if there is none yet, or its price is unknown.
pub(super) fn price(claim: &Claim, now: Timestamp) -> Option<u64> {
    let bill = Bill::of_claims([claim], now);
    Some(bill.usd_micros_per_hour).filter(|price| *price > 0)
}

fn use_of(facts: &ClusterFacts, claim: &Claim, busy: &BTreeSet<&str>) -> ClaimUse {
    if claim.metadata().deletion_timestamp.is_some() {
        ClaimUse::Terminating
    } else if is_orphaned(facts, claim) {
        ClaimUse::Orphaned
    } else if !claim.is_true(ClaimConditionType::Initialized) {
        ClaimUse::Starting
    } else if busy.contains(claim.node_name()) || claim.labels().contains_key(labels::RAG_ENGINE) {
        ClaimUse::Used
    } else {
        ClaimUse::Idle
    }
}

fn is_orphaned(facts: &ClusterFacts, claim: &Claim) -> bool {
    let marks = claim.labels();
    if !marks.contains_key(labels::WORKSPACE) {
        return false;
    }
    facts.workspace_of(marks).is_none_or(|workspace| {
        let uid = marks.get(labels::WORKSPACE_UID);
        uid.is_some_and(|uid| uid != workspace.uid())
    })
}

fn busy_nodes(facts: &ClusterFacts) -> BTreeSet<&str> {
    let ended = |phase: Option<&str>| phase.is_some_and(|phase| phase == "Succeeded" || phase == "Failed");
    let pods = facts.pods.iter().filter(|pod| {
        let status = pod.status.as_ref();
        !ended(status.and_then(|status| status.phase.as_deref()))
    });
    pods.filter_map(|pod| pod.spec.as_ref()?.node_name.as_deref())
        .collect()
}

fn judge(facts: &ClusterFacts, claim: &Claim, usage: ClaimUse, now: Timestamp) -> Option<Diagnosis> {
    let found = |kind, message: String, remedy: &str, since: Option<Timestamp>| {
        let found = Diagnosis::new(kind, subject(claim), message, remedy);
        Some(found.costing(price(claim, now)).since(since, now))
    };
    let long = |since: Option<Timestamp>, limit| since.is_some_and(|since| now.duration_since(since) > limit);
    let created = claim.metadata().creation_timestamp.as_ref().map(|time| time.0);
    match usage {
        ClaimUse::Used => None,
        ClaimUse::Orphaned => {
            let marks = claim.labels();
            let name = |key: &str| printable(marks.get(key).map_or("", String::as_str));
            let (namespace, name) = (name(labels::WORKSPACE_NAMESPACE), name(labels::WORKSPACE));
            let message = format!("Its Workspace {namespace}/{name} does not exist.");
            let remedy = format!(
                "Delete it: `kubectl delete {} {}`.",
                claim.claim_kind().plural(),
                claim.name()
            );
            found("orphanedClaim", message, &remedy, created)
        }
        ClaimUse::Terminating => {
            let since = claim.metadata().deletion_timestamp.as_ref().map(|time| time.0);
            if !long(since, PATIENCE) {
                return None;
            }
            let cause = claim
                .termination_condition()
                .filter(|cause| cause.status != Status::True);
            let cause = cause.map_or_else(String::new, |cause| {
                format!(" {}: {}", printable(cause.reason), printable(cause.message))
            });
            let remedy = remedy_of(claim.termination_condition().map(|cause| cause.reason)).unwrap_or(
                "Look at the log of gpu-provisioner; only a running provisioner releases the claim.",
            );
            found(
                "stuckDeletion",
                format!("Its deletion does not end.{cause}"),
                remedy,
                since,
            )
        }
        ClaimUse::Starting => {
            let (step, since, reason, message) = unfinished(claim, created);
            let remedy = remedy_of(Some(&reason));
            if !long(since, PATIENCE) && remedy.is_none() {
                return None;
            }
            let message = format!("It is not {step}. {reason}: {message}");
            let remedy =
                remedy.unwrap_or("Look at the log of gpu-provisioner, or of the cluster's Karpenter.");
            found("stuckClaim", message, remedy, since)
        }
        ClaimUse::Idle => {
            let ready = claim.condition(ClaimConditionType::Initialized);
            let since = ready.and_then(|ready| ready.since);
            if !long(since, IDLE) {
                return None;
            }
            let workspace = facts.workspace_of(claim.labels());
            let name = workspace.map(|workspace| format!("{}/{}", workspace.namespace(), workspace.name()));
            let name = name.unwrap_or_default();
            let message = format!("Its node is ready, and no pod of Workspace {name} runs on it.");
            let remedy = format!("See `kubectl kaito status` of {name}, or delete the Workspace.");
            found("idleNode", message, &remedy, since)
        }
    }
}

/// The first unfinished step: its name, since when, its reason and its message.
fn unfinished(
    claim: &Claim,
    created: Option<Timestamp>,
) -> (&'static str, Option<Timestamp>, String, String) {
    let names = ["launched", "registered", "initialized"];
    let mut steps = ClaimConditionType::STEPS.into_iter().zip(names);
    let found = steps.find(|(step, _)| !claim.is_true(*step));
    let (step, name) = found.unwrap_or((ClaimConditionType::Launched, "launched"));
    match claim.condition(step) {
        Some(condition) => (
            name,
            condition.since.or(created),
            printable(condition.reason),
            printable(condition.message),
        ),
        None => (
            name,
            created,
            "NoStatus".to_owned(),
            "no provisioner has seen it".to_owned(),
        ),
    }
}

fn remedy_of(reason: Option<&str>) -> Option<&'static str> {
    let text = ReasonText::find(reason?)?;
    Some(text.remedy).filter(|remedy| !remedy.is_empty() && !remedy.starts_with("Nothing to do"))
}
