//! Labels that a user may put on Nodes, through the `labelSelector` of a Workspace.
//!
//! A Node's labels decide which pods come to it and which programs manage it. A user who chose any label could attract the
//! pods of others, or take a Node from its owner.

/// Domains whose labels belong to Kubernetes, to clouds, to device plugins, to Karpenter and to us; with all subdomains.
pub const RESERVED_DOMAINS: [&str; 10] = [
    "kubernetes.io",
    "k8s.io",
    "x-k8s.io",
    "kaito.sh",
    "karpenter.sh",
    "k8s.aws",
    "amazonaws.com",
    "azure.com",
    "cloud.google.com",
    "nvidia.com",
];

/// Domain inside a reserved one whose labels describe applications and decide nothing.
pub const OPEN_DOMAIN: &str = "app.kubernetes.io";

/// Keys without a domain that belong to AKS.
pub const RESERVED_KEYS: [&str; 1] = [crate::labels::AGENT_POOL];

/// Returns true if a label with this key may be copied from a Workspace to the Nodes that are created for it.
///
/// Existing nodes are only read, so any key may select them.
///
/// ```
/// use kaito_api::node_labels::may_label_nodes;
///
/// assert!(may_label_nodes("apps") && may_label_nodes("example.com/team"));
/// assert!(!may_label_nodes("node-restriction.kubernetes.io/tenant"));
/// ```
#[must_use]
pub fn may_label_nodes(key: &str) -> bool {
    let Some((domain, _)) = key.split_once('/') else {
        return !RESERVED_KEYS.contains(&key);
    };
    domain == OPEN_DOMAIN
        || !RESERVED_DOMAINS.iter().any(|reserved| {
            domain
                .strip_suffix(reserved)
                .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_others_are_reserved() {
        for key in [
            "apps",
            "app",
            "a/b",
            "example.com/a",
            "notkubernetes.io/a",
            "kubernetes.io",
            "agentpools",
            "app.kubernetes.io/name",
        ] {
            assert!(may_label_nodes(key), "{key}");
        }
        for key in [
            "kubernetes.io/arch",
            "node-role.kubernetes.io/control-plane",
            "node-restriction.kubernetes.io/tenant",
            "kaito.sh/workspace",
            "karpenter.kaito.sh/workspace-name",
            "karpenter.sh/nodepool",
            "kubernetes.azure.com/mode",
            "nvidia.com/gpu.product",
            "agentpool",
        ] {
            assert!(!may_label_nodes(key), "{key}");
        }
    }
}
