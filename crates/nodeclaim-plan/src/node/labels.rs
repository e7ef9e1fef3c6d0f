//! Labels of a claim that its Node gets.

use kaito_api::labels::CAPACITY_TYPE;
use kaito_api::node_labels::may_label_nodes;

/// Domains of the programs that create claims.
const OWN_DOMAINS: [&str; 2] = ["kaito.sh", "karpenter.sh"];

/// Returns true if a claim's label with this key is copied to its Node.
///
/// Part of a claim's labels come from a Workspace's selector. Labels that decide where other pods run, or to which
/// agent pool a Node belongs, are never copied. The controller rejects them too. The capacity type of a Node is that of its
/// instance, whatever the claim says.
pub(crate) fn is_copied(key: &str) -> bool {
    let domain = key.split_once('/').map(|(domain, _)| domain);
    if key == CAPACITY_TYPE {
        return false;
    }
    may_label_nodes(key) || domain.is_some_and(|domain| OWN_DOMAINS.contains(&domain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_that_decide_about_others_are_not_copied() {
        for key in [
            "apps",
            "example.com/team",
            "kaito.sh/workspace",
            "karpenter.sh/nodepool",
        ] {
            assert!(is_copied(key), "{key}");
        }
        for key in [
            "node-restriction.kubernetes.io/tenant",
            "node-role.kubernetes.io/control-plane",
            "agentpool",
            "kubernetes.azure.com/agentpool",
            "nvidia.com/gpu.product",
        ] {
            assert!(!is_copied(key), "{key}");
        }
    }
}
