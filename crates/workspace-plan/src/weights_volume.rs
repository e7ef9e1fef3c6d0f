//! Volumes that keep the weights: those that a storage class does not provide, and those on a node that is gone.
//!
//! Kubernetes makes a claim for each place in the StatefulSet, and the StatefulSet owns it. A volume on the disk of a node is
//! lost with that node, and its claim would keep the pod from every other one. The next node of an agent pool has the name of
//! the last one, so the claim may even seem to fit. Then the StatefulSet is made again: its pods, which serve only together, and
//! their volumes go with it. They had copies of what the hub has: those that are lost by mistake are downloaded again.

use std::collections::BTreeSet;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kaito_api::conditions::WorkspaceReason;
use kaito_api::labels;
use plan::Kind;

use crate::context::PlanContext;
use crate::metadata;
use crate::missing::MissingObject;
use crate::observed::WeightsClaim;
use crate::pod_state;
use crate::problem::Problem;
use crate::warnings::{self, MAP, MOUNT, PROVISION};
use crate::workload::Workload;

/// Words of the scheduler about a volume that no node of the pod can mount. The second are those of newer versions.
const OTHER_NODE: [&str; 2] = [
    "volume node affinity conflict",
    "match PersistentVolume's node affinity",
];

/// Returns true if volumes of an earlier StatefulSet are there. Their names are those of the next one, which would take them.
pub(crate) fn awaits_earlier(context: &PlanContext<'_>) -> bool {
    let current = own_set(context).and_then(|set| set.metadata.uid.as_deref());
    let mut claims = context.observed.weights_claims.iter();
    claims.any(|observed| owner(&observed.claim).is_some_and(|owner| Some(owner) != current))
}

/// Returns true if a volume is lost, so that the StatefulSet must be made again with all its volumes.
pub(crate) fn is_lost(context: &PlanContext<'_>) -> bool {
    lost(context).next().is_some()
}

/// Returns the problem of the volumes that pods wait for.
pub(crate) fn problem(context: &PlanContext<'_>) -> Option<Problem> {
    if let Some(claim) = lost(context).next() {
        let name = metadata::name(&claim.metadata);
        let node = metadata::annotation(&claim.metadata, labels::SELECTED_NODE).unwrap_or_default();
        let cause = format!(
            "PersistentVolumeClaim {name} with the weights was on node {node}, which is gone; the volumes are replaced, and the \
             weights are downloaded again"
        );
        return Some(Problem::new(WorkspaceReason::WeightsVolumeLost, cause));
    }
    of_set(context).find_map(|(observed, _)| pending(context, &observed.claim))
}

fn pending(context: &PlanContext<'_>, claim: &PersistentVolumeClaim) -> Option<Problem> {
    let phase = claim.status.as_ref()?.phase.as_deref();
    if phase != Some("Pending") {
        return None;
    }
    let found = warnings::about(context, &claim.metadata);
    let (_, text) = found.into_iter().find(|(reason, _)| *reason == PROVISION)?;
    let what = format!("PersistentVolumeClaim {}", metadata::name(&claim.metadata));
    let missing: BTreeSet<MissingObject> = MissingObject::in_message(text).into_iter().collect();
    MissingObject::problem(&what, &missing).or_else(|| {
        let class = claim
            .spec
            .as_ref()?
            .storage_class_name
            .as_deref()
            .unwrap_or_default();
        let words = plan::text::cut(&plan::refusal::stable(text), 256);
        let cause = format!("{what} of storage class {class} has no volume for the weights: {words}");
        Some(Problem::new(WorkspaceReason::WeightsVolumePending, cause))
    })
}

/// Claims whose volumes are on nodes that are gone, while a pod waits for them: it fits no other node, or the volume is not on
/// the node that has the name.
fn lost<'a>(context: &PlanContext<'a>) -> impl Iterator<Item = &'a PersistentVolumeClaim> {
    let waits = |pod: &Pod| {
        let words = pod_state::unschedulable(pod).unwrap_or_default();
        let conflicts = OTHER_NODE.iter().any(|conflict| words.contains(conflict));
        let is_unmounted = !pod_state::has_begun(pod)
            && warnings::about(context, &pod.metadata)
                .iter()
                .any(|(reason, _)| [MOUNT, MAP].contains(reason));
        conflicts || is_unmounted
    };
    let lost: Vec<_> = of_set(context)
        .filter(|(observed, pod)| observed.node_is_gone && waits(pod))
        .map(|(observed, _)| observed.claim.as_ref())
        .collect();
    lost.into_iter()
}

/// Claims of the present StatefulSet with their pods, in the order of their pods.
fn of_set<'a>(context: &PlanContext<'a>) -> impl Iterator<Item = (&'a WeightsClaim, &'a Pod)> {
    let set = own_set(context).and_then(|set| set.metadata.uid.as_deref());
    let claims = &context.observed.weights_claims;
    let pods: Vec<(&str, &Pod)> = context.pods.iter().map(|(name, pod)| (*name, *pod)).collect();
    pods.into_iter().filter_map(move |(name, pod)| {
        let is_of = |observed: &&WeightsClaim| {
            let claim = metadata::name(&observed.claim.metadata);
            let owner = owner(&observed.claim);
            render::pod_of_weights_claim(claim) == Some(name) && owner.is_some() && owner == set
        };
        Some((claims.iter().find(is_of)?, pod))
    })
}

/// UID of the StatefulSet that owns the claim.
fn owner(claim: &PersistentVolumeClaim) -> Option<&str> {
    let mut owners = claim.metadata.owner_references.iter().flatten();
    let set = owners.find(|owner| owner.kind == Kind::StatefulSet.as_str())?;
    Some(&set.uid)
}

fn own_set<'a>(context: &PlanContext<'a>) -> Option<&'a StatefulSet> {
    match context.workload? {
        Workload::StatefulSet(set) => Some(set),
        Workload::Deployment(_) | Workload::Job(_) => None,
    }
}
