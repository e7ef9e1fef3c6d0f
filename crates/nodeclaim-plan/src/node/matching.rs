//! Which Node is the claim's. Looks only; the joining itself is registration's.

use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt as _;

use crate::context::Ctx;
use crate::ownership;

/// What the Nodes of the pool amount to.
pub(crate) enum Found<'a> {
    /// Exactly one, and its provider id names the pool.
    One(&'a Node),
    /// None yet; why, for people.
    None(String),
    /// Several, by name.
    Many(String),
}

/// Looks for the one Node of the claim's pool.
pub(crate) fn find<'a>(ctx: &Ctx<'a>) -> Found<'a> {
    let candidates: Vec<&Node> = ctx
        .nodes
        .iter()
        .copied()
        .filter(|node| may_be_own(node, ctx))
        .collect();
    match candidates[..] {
        [] => Found::None(format!("no Node of agent pool {} has joined", ctx.name())),
        [node] => match ownership::provider_id(node) {
            None => Found::None(format!("Node {} has no provider id", node.name_any())),
            Some(id) if names_pool(id, &ctx.name()) => Found::One(node),
            Some(id) => Found::None(format!(
                "Node {} has provider id {id}, which does not name agent pool {}",
                node.name_any(),
                ctx.name()
            )),
        },
        _ => {
            let names: Vec<String> = candidates.iter().map(|node| node.name_any()).collect();
            Found::Many(names.join(", "))
        }
    }
}

// A Node that is on its way out, or that was joined to an earlier Machine of this name, is not the one.
fn may_be_own(node: &Node, ctx: &Ctx<'_>) -> bool {
    node.metadata.deletion_timestamp.is_none()
        && ownership::owner_uid(node).is_none_or(|uid| uid == ctx.uid())
}

/// Whether a provider id has the pool's name as a word of its own: every cloud builds instance ids from names,
/// separated by dashes or slashes.
fn names_pool(provider_id: &str, pool: &str) -> bool {
    provider_id
        .split(|c: char| !c.is_ascii_alphanumeric())
        .any(|word| word.eq_ignore_ascii_case(pool))
}

#[cfg(test)]
mod tests {
    use super::names_pool;

    #[test]
    fn a_provider_id_names_its_pool_as_a_whole_word() {
        let id = "azure:///subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/virtualMachineScaleSets/aks-ws0a1-12345678-vmss/virtualMachines/0";
        assert!(names_pool(id, "ws0a1"));
        assert!(names_pool("kwok://WS0A1/0", "ws0a1"));
        assert!(!names_pool(id, "ws0a"));
        assert!(!names_pool("", "ws0a1"));
    }
}
