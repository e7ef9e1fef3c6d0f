//! Facts that a Node states about itself.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Node, NodeCondition, Taint};
use kaito_api::labels::{DO_NOT_REPAIR, INITIALIZED, TERMINATION_FINALIZER};
use kube::ResourceExt as _;

/// Returns true if a Node carries our finalizer.
pub(crate) fn has_finalizer(node: &Node) -> bool {
    node.finalizers().iter().any(|f| f == TERMINATION_FINALIZER)
}

/// Returns true if these annotations, of a Node or of its claim, forbid to replace the Node.
pub(crate) fn forbid_replacement(annotations: &BTreeMap<String, String>) -> bool {
    annotations
        .get(DO_NOT_REPAIR)
        .is_some_and(|value| value == "true")
}

/// Returns the provider id of a Node, unless it is empty.
pub(crate) fn provider_id(node: &Node) -> Option<&str> {
    node.spec
        .as_ref()?
        .provider_id
        .as_deref()
        .filter(|id| !id.is_empty())
}

/// Returns the conditions of a Node.
pub(crate) fn conditions(node: &Node) -> &[NodeCondition] {
    node.status
        .as_ref()
        .and_then(|status| status.conditions.as_deref())
        .unwrap_or_default()
}

/// Returns true if the kubelet reports the Node as ready.
pub(crate) fn is_ready(node: &Node) -> bool {
    conditions(node)
        .iter()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// Returns true if the kubelet of the Node does not report any more.
pub(crate) fn is_silent(node: &Node) -> bool {
    conditions(node)
        .iter()
        .any(|condition| condition.type_ == "Ready" && condition.status == "Unknown")
}

/// Returns true if the Node was once fit for work.
pub(crate) fn is_initialized(node: &Node) -> bool {
    has_label(node, INITIALIZED)
}

/// Returns true if the Node has this label with the value `true`.
pub(crate) fn has_label(node: &Node, key: &str) -> bool {
    node.labels().get(key).is_some_and(|value| value == "true")
}

/// Returns the taints of a Node.
pub(crate) fn taints(node: &Node) -> &[Taint] {
    node.spec
        .as_ref()
        .and_then(|spec| spec.taints.as_deref())
        .unwrap_or_default()
}

/// Returns a taint as `key=value:Effect`, the form that `kubectl` and clouds use.
pub(crate) fn taint_text(taint: &Taint) -> String {
    format!(
        "{}={}:{}",
        taint.key,
        taint.value.as_deref().unwrap_or_default(),
        taint.effect
    )
}
