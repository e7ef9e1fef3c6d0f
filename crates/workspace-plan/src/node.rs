//! Facts about one Node.

use k8s_openapi::api::core::v1::Node;
use kaito_api::{labels, quantity};
use render::Hardware;

use crate::context::PlanContext;
use crate::metadata;

/// Hardware of an instance type, if the tables know it.
pub(crate) fn known(context: &PlanContext<'_>, instance_type: &str) -> Option<Hardware> {
    context.instance_type(instance_type).map(Hardware::from)
}

/// Memory that pods may use on the Node, in bytes; `None` if it does not say so.
pub(crate) fn allocatable_memory(node: &Node) -> Option<u64> {
    let all = node.status.as_ref()?.allocatable.as_ref()?;
    render::bytes(&all.get("memory")?.0)
}

/// Name of the Node.
pub(crate) fn name(node: &Node) -> &str {
    metadata::name(&node.metadata)
}

/// Returns true if the Node is ready and not terminating.
pub(crate) fn is_ready(node: &Node) -> bool {
    metadata::is_live(&node.metadata) && has_condition(node, "Ready")
}

/// Returns true if the Node's condition of this type is `True`.
pub(crate) fn has_condition(node: &Node, condition: &str) -> bool {
    let conditions = node
        .status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten());
    conditions
        .into_iter()
        .any(|found| found.type_ == condition && found.status == "True")
}

/// Returns true if pods can request this many NVIDIA GPUs of the Node.
pub(crate) fn offers(node: &Node, gpus: u32) -> bool {
    gpus == 0 || offered(node) >= gpus
}

fn offered(node: &Node) -> u32 {
    let allocatable = node
        .status
        .as_ref()
        .and_then(|status| status.allocatable.as_ref());
    let amount = allocatable.and_then(|all| all.get(labels::NVIDIA_GPU));
    let units = amount
        .and_then(|amount| quantity::ceil_units(&amount.0))
        .unwrap_or_default();
    u32::try_from(units).unwrap_or(u32::MAX)
}
