//! The status of a claim before it has the shape of either kind.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kaito_api::Claim;
use kaito_api::labels::NVIDIA_GPU;
use kaito_api::quantity::ceil_units;
use kube::ResourceExt as _;

use crate::condition::ConditionUpdate;
use crate::node::facts::provider_id;
use crate::status::findings::Findings;

/// Resources that are copied from the Node; the others say nothing about a claim.
const COPIED: [&str; 5] = ["cpu", "memory", "pods", "ephemeral-storage", NVIDIA_GPU];

/// Everything that the status of either kind is computed from.
pub(crate) struct StatusReport<'a> {
    /// Launched, registered, initialized.
    pub(crate) stages: [ConditionUpdate; 3],
    /// Health and drift.
    pub(crate) findings: Findings,
    /// Cause for which a claim that is being deleted waits.
    pub(crate) waiting_for: Option<ConditionUpdate>,
    /// Source of the Node's facts.
    pub(crate) node: NodeSource<'a>,
}

/// Source of the Node's name, provider id and resources.
pub(crate) enum NodeSource<'a> {
    /// There is no Node.
    None,
    /// The stored status.
    Stored,
    /// This Node.
    Observed(&'a Node),
}

/// Name, provider id and resources of a Node.
pub(crate) struct NodeFacts {
    pub(crate) node_name: String,
    pub(crate) provider_id: String,
    pub(crate) capacity: BTreeMap<String, Quantity>,
    pub(crate) allocatable: BTreeMap<String, Quantity>,
}

impl NodeFacts {
    pub(crate) fn of(node: &Node, claim: &Claim) -> Self {
        let status = node.status.as_ref();
        let mut capacity = copied(status.and_then(|status| status.capacity.as_ref()));
        keep_gpus(&mut capacity, node, claim);
        Self {
            node_name: node.name_any(),
            provider_id: provider_id(node).unwrap_or_default().to_owned(),
            capacity,
            allocatable: copied(status.and_then(|status| status.allocatable.as_ref())),
        }
    }
}

fn copied(all: Option<&BTreeMap<String, Quantity>>) -> BTreeMap<String, Quantity> {
    let all = all.into_iter().flatten();
    all.filter(|(name, _)| COPIED.contains(&name.as_str()))
        .map(|(n, q)| (n.clone(), q.clone()))
        .collect()
}

/// Keeps the largest number of GPUs that this Node ever had. A kubelet forgets those of a device plugin that is gone.
fn keep_gpus(capacity: &mut BTreeMap<String, Quantity>, node: &Node, claim: &Claim) {
    let stored = claim
        .capacity(NVIDIA_GPU)
        .filter(|_| claim.node_name() == node.name_any());
    let units = |quantity: &Quantity| ceil_units(&quantity.0).unwrap_or_default();
    if let Some(stored) = stored
        && units(stored) > capacity.get(NVIDIA_GPU).map_or(0, units)
    {
        capacity.insert(NVIDIA_GPU.to_owned(), stored.clone());
    }
}
