//! Node affinity and tolerations of pods.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Affinity, NodeAffinity, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, Taint, Toleration,
};
use kaito_api::{Workspace, labels, selector};

use crate::platform::Platform;

/// Labels that a node of the Workspace carries: the user's selector and, if nodes are created for it, the Workspace's
/// name.
#[must_use]
pub fn node_labels(workspace: &Workspace, claimed: bool) -> BTreeMap<String, String> {
    let resource = workspace.spec.resource.as_ref();
    let mut wanted = resource
        .map(|resource| selector::labels(&resource.label_selector))
        .unwrap_or_default();
    if claimed {
        wanted.insert(labels::WORKSPACE.to_owned(), workspace.name().to_owned());
        wanted.insert(
            labels::WORKSPACE_NAMESPACE.to_owned(),
            workspace.namespace().to_owned(),
        );
    }
    wanted
}

/// Tolerations of our pods, in a fixed order.
pub(crate) fn tolerations(workspace: &Workspace, platform: &Platform) -> Vec<Toleration> {
    let toleration = |key: &str, value: Option<&str>| Toleration {
        key: Some(key.to_owned()),
        operator: Some(value.map_or("Exists", |_| "Equal").to_owned()),
        value: value.map(str::to_owned),
        effect: Some("NoSchedule".to_owned()),
        ..Toleration::default()
    };
    let mut all = vec![
        toleration(labels::NVIDIA_GPU, None),
        toleration(labels::GPU_TAINT, Some(labels::GPU_TAINT_VALUE)),
    ];
    if platform.aks {
        all.push(toleration(labels::AKS_SPOT, Some("spot")));
    }
    if platform.claimed {
        all.extend(platform.node_taints.iter().map(tolerated));
    }
    if platform.claimed && platform.isolation.taint {
        all.push(toleration(labels::WORKSPACE_TAINT, Some(workspace.uid())));
    }
    all
}

fn tolerated(taint: &Taint) -> Toleration {
    Toleration {
        key: Some(taint.key.clone()),
        operator: Some("Equal".to_owned()),
        value: taint.value.clone(),
        effect: Some(taint.effect.clone()),
        ..Toleration::default()
    }
}

/// Affinity to the nodes of the Workspace; `None` if any node will do.
pub(crate) fn affinity(workspace: &Workspace, platform: &Platform) -> Option<Affinity> {
    with_nodes(None, workspace, platform)
}

/// Affinity to the nodes of the Workspace, added to every alternative of the user's affinity.
pub(crate) fn with_nodes(
    base: Option<Affinity>,
    workspace: &Workspace,
    platform: &Platform,
) -> Option<Affinity> {
    let mut wanted = node_labels(workspace, platform.claimed);
    if platform.claimed && platform.isolation.restricted_label {
        wanted.insert(
            labels::RESTRICTED_WORKSPACE_UID.to_owned(),
            workspace.uid().to_owned(),
        );
    }
    let wanted = requirements(wanted);
    if wanted.is_empty() {
        return base;
    }
    let mut affinity = base.unwrap_or_default();
    let node = affinity.node_affinity.get_or_insert_with(NodeAffinity::default);
    let required = node
        .required_during_scheduling_ignored_during_execution
        .get_or_insert_with(NodeSelector::default);
    if required.node_selector_terms.is_empty() {
        required.node_selector_terms.push(NodeSelectorTerm::default());
    }
    for term in &mut required.node_selector_terms {
        term.match_expressions
            .get_or_insert_default()
            .extend(wanted.iter().cloned());
    }
    Some(affinity)
}

fn requirements(wanted: BTreeMap<String, String>) -> Vec<NodeSelectorRequirement> {
    let requirement = |(key, value)| NodeSelectorRequirement {
        key,
        operator: "In".to_owned(),
        values: Some(vec![value]),
    };
    wanted.into_iter().map(requirement).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ClaimContents, Downloads, Images, Isolation, Outgoing};

    #[test]
    fn pods_tolerate_the_taints_of_all_nodes() {
        let contents = r#"{"taints": [
            {"key": "dedicated", "value": "models", "effect": "NoSchedule"}, {"key": "costly", "effect": "NoExecute"}
        ]}"#;
        let contents: ClaimContents = contents.parse().unwrap();
        let mut platform = Platform {
            images: Images::of_registry("registry.example.com/kaito", "0.1.0"),
            downloads: Downloads::default(),
            outgoing: Outgoing::default(),
            claimed: true,
            aks: false,
            image_volumes: false,
            node_taints: contents.taints,
            isolation: Isolation::default(),
        };
        let tolerated = |platform: &Platform| {
            let all = tolerations(&Workspace::default(), platform).into_iter();
            let shown = all.map(|one| format!("{:?} {:?} {:?}", one.key, one.value, one.effect));
            shown.collect::<Vec<_>>().join("\n").replace("Some", "")
        };
        let all = tolerated(&platform);
        assert!(
            all.contains(r#"("dedicated") ("models") ("NoSchedule")"#),
            "{all}"
        );
        assert!(all.contains(r#"("costly") None ("NoExecute")"#), "{all}");
        // Nodes that exist have taints of their own owner.
        platform.claimed = false;
        assert!(!tolerated(&platform).contains("dedicated"));
    }
}
