//! The search for the Node of a claim. Looks only; registration makes the Node the claim's.

use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt as _;

use crate::context::PlanContext;
use crate::node::facts::provider_id;
use crate::node::ownership::owner_uid;

/// The result of the search.
pub(crate) enum NodeMatch<'a> {
    /// Exactly one Node, and its provider id names the instance.
    One(&'a Node),
    /// No such Node yet; the text says why.
    None(String),
    /// Several Nodes; the text lists their names.
    Many(String),
}

/// Searches for the one Node of the claim's instance.
pub(crate) fn find<'a>(context: &PlanContext<'a>) -> NodeMatch<'a> {
    let name = context.name;
    let candidates: Vec<&Node> = context
        .nodes
        .iter()
        .copied()
        .filter(|node| may_be_own(node, context.claim.uid()))
        .collect();
    match candidates[..] {
        [] => NodeMatch::None(format!("no Node of instance {name} has joined")),
        [node] => match provider_id(node) {
            None => NodeMatch::None(format!("Node {} has no provider id", node.name_any())),
            Some(id) if names_instance(id, name) => NodeMatch::One(node),
            Some(id) => NodeMatch::None(format!(
                "Node {} has provider id {id}, which does not name instance {name}",
                node.name_any(),
            )),
        },
        _ => {
            let names: Vec<String> = candidates.iter().map(|node| node.name_any()).collect();
            NodeMatch::Many(names.join(", "))
        }
    }
}

// Excludes a Node that is being deleted, and one of an earlier claim of this name.
fn may_be_own(node: &Node, claim_uid: &str) -> bool {
    node.metadata.deletion_timestamp.is_none() && owner_uid(node).is_none_or(|uid| uid == claim_uid)
}

/// Returns true if the provider id has the instance's name as a whole word. Every cloud builds provider ids from names,
/// separated by dashes or slashes.
fn names_instance(provider_id: &str, name: &str) -> bool {
    provider_id
        .split(|c: char| !c.is_ascii_alphanumeric())
        .any(|word| word.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::names_instance;

    #[test]
    fn a_provider_id_names_its_instance_as_a_whole_word() {
        let id = "azure:///subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/virtualMachineScaleSets/aks-ws0a1-12345678-vmss/virtualMachines/0";
        assert!(names_instance(id, "ws0a1"));
        assert!(names_instance("kwok://WS0A1/0", "ws0a1"));
        assert!(!names_instance(id, "ws0a"));
        assert!(!names_instance("", "ws0a1"));
    }
}
