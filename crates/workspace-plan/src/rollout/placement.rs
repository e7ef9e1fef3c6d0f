//! Placement of kept renderings: affinity and tolerations follow the nodes.
//!
//! A rendering may require labels, or lack tolerations, of nodes that were there when it was applied. Nodes that replace
//! them may differ, for example because another provisioner makes them. Then the pods would wait for ever. So the kept
//! rendering takes the placement of the new one, and nothing else of it.

use k8s_openapi::api::core::v1::{
    Node, NodeSelectorRequirement, NodeSelectorTerm, PodSpec, Taint, Toleration,
};
use plan::Manifest;

use crate::context::PlanContext;
use crate::metadata;

/// Returns the kept workload; with the placement of the rendered one, if only that fits a node of the Workspace.
pub(super) fn follow(context: &PlanContext<'_>, mut kept: Manifest, rendered: &Manifest) -> Manifest {
    let (Some(old), Some(new)) = (pod_spec(&mut kept), pod_spec_of(rendered)) else {
        return kept;
    };
    if strands(context, old, new) {
        old.affinity.clone_from(&new.affinity);
        old.tolerations.clone_from(&new.tolerations);
    }
    kept
}

/// Returns true if a node of the Workspace excludes pods of the one spec, and not those of the other.
pub(super) fn strands(context: &PlanContext<'_>, old: &PodSpec, new: &PodSpec) -> bool {
    let mut live = context
        .nodes
        .values()
        .filter(|node| metadata::is_live(&node.metadata));
    live.any(|node| !admits(node, old) && admits(node, new))
}

/// Returns the spec of the rendered pods.
pub(super) fn pod_spec_of(workload: &Manifest) -> Option<&PodSpec> {
    match workload {
        Manifest::Deployment(object) => object.spec.template.spec.as_ref(),
        Manifest::StatefulSet(object) => object.spec.template.spec.as_ref(),
        _ => None,
    }
}

fn pod_spec(workload: &mut Manifest) -> Option<&mut PodSpec> {
    match workload {
        Manifest::Deployment(object) => object.spec.template.spec.as_mut(),
        Manifest::StatefulSet(object) => object.spec.template.spec.as_mut(),
        _ => None,
    }
}

/// Returns true if labels and taints of the node admit the pods. Resources are not compared.
fn admits(node: &Node, pods: &PodSpec) -> bool {
    let taints = node.spec.iter().flat_map(|spec| spec.taints.iter().flatten());
    let tolerations = pods.tolerations.as_deref().unwrap_or_default();
    let mut excluding = taints.filter(|taint| taint.effect != "PreferNoSchedule");
    excluding.all(|taint| tolerations.iter().any(|toleration| tolerates(toleration, taint)))
        && is_selected(node, pods)
}

fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let effect = toleration.effect.as_deref().unwrap_or_default();
    let key = toleration.key.as_deref().unwrap_or_default();
    let has_value = toleration.operator.as_deref() == Some("Exists")
        || toleration.value.as_deref().unwrap_or_default() == taint.value.as_deref().unwrap_or_default();
    (effect.is_empty() || effect == taint.effect) && (key.is_empty() || key == taint.key) && has_value
}

fn is_selected(node: &Node, pods: &PodSpec) -> bool {
    let required = pods
        .affinity
        .as_ref()
        .and_then(|affinity| affinity.node_affinity.as_ref())
        .and_then(|nodes| nodes.required_during_scheduling_ignored_during_execution.as_ref());
    required.is_none_or(|required| required.node_selector_terms.iter().any(|term| holds(node, term)))
}

fn holds(node: &Node, term: &NodeSelectorTerm) -> bool {
    let mut all = term.match_expressions.iter().flatten();
    all.all(|requirement| is_met(node, requirement))
}

fn is_met(node: &Node, requirement: &NodeSelectorRequirement) -> bool {
    let labels = node.metadata.labels.as_ref();
    let found = labels.and_then(|labels| labels.get(&requirement.key));
    let is_listed = found.is_some_and(|value| requirement.values.iter().flatten().any(|one| one == value));
    match requirement.operator.as_str() {
        "In" => is_listed,
        "NotIn" => !is_listed,
        "Exists" => found.is_some(),
        "DoesNotExist" => found.is_none(),
        // Users compare numbers, in both renderings alike.
        _ => true,
    }
}
