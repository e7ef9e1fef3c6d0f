//! Hardware of the user's own nodes, read from their labels.
//!
//! The labels are those of NVIDIA's GPU feature discovery. Without them the instance type is looked up.

use instance_types::ComputeCapability;
use k8s_openapi::api::core::v1::Node;
use kaito_api::conditions::WorkspaceReason;
use kaito_api::labels;
use preset_catalog::estimate::GpuNode;
use render::Hardware;

use crate::context::PlanContext;
use crate::metadata::label;
use crate::node;
use crate::problem::Problem;

/// Returns the hardware of the weakest node among those that run the Workspace's pods, else among the ready ones.
///
/// So a model is never sized for more than its node has, and a node that joins later moves nothing.
pub(super) fn hardware(
    context: &PlanContext<'_>,
    instance_type: &str,
    needs_gpu: bool,
) -> Result<Hardware, Problem> {
    let all = candidates(context);
    let gpus = all
        .iter()
        .filter_map(|node| of_node(context, node))
        .filter(|hardware| hardware.gpu.gpus > 0);
    let weakest = gpus.min_by_key(|hardware| (hardware.gpu.memory_bytes_each(), hardware.gpu.gpus));
    match weakest {
        Some(hardware) => Ok(hardware),
        None if !needs_gpu => {
            let known = node::known(context, instance_type).unwrap_or_else(|| Hardware::cpu(instance_type));
            Ok(with_memory(known, &all))
        }
        None if all.is_empty() => Err(missing(context)),
        None => Err(unlabeled(&all)),
    }
}

fn candidates<'a>(context: &PlanContext<'a>) -> Vec<&'a Node> {
    let hosts = context
        .pods
        .values()
        .filter_map(|pod| pod.spec.as_ref()?.node_name.as_deref());
    let used: Vec<&Node> = hosts
        .filter_map(|name| context.nodes.get(name).copied())
        .collect();
    if used.is_empty() {
        return context
            .nodes
            .values()
            .copied()
            .filter(|node| node::is_ready(node))
            .collect();
    }
    used
}

fn of_node(context: &PlanContext<'_>, node: &Node) -> Option<Hardware> {
    let instance_type = label(&node.metadata, labels::INSTANCE_TYPE).unwrap_or_default();
    let known = node::known(context, instance_type);
    let Some((gpu, product)) = discovered(node) else {
        return known;
    };
    let compute_capability = capability(node).or_else(|| known.as_ref()?.compute_capability);
    Some(Hardware {
        instance_type: instance_type.to_owned(),
        gpu,
        accelerated: true,
        gpu_model: product.to_owned(),
        compute_capability,
        bfloat16: compute_capability.is_none_or(|capability| capability >= ComputeCapability::BFLOAT16),
    })
}

/// The hardware with the memory that pods may use on each of the nodes, if they say so.
fn with_memory(mut hardware: Hardware, all: &[&Node]) -> Hardware {
    let least = all.iter().filter_map(|node| node::allocatable_memory(node)).min();
    hardware.gpu.host_bytes = least.or(hardware.gpu.host_bytes);
    hardware
}

fn discovered(node: &Node) -> Option<(GpuNode, &str)> {
    let number = |key: &str| label(&node.metadata, key)?.parse::<u64>().ok();
    let product = label(&node.metadata, labels::NVIDIA_GPU_PRODUCT)?;
    let count = number(labels::NVIDIA_GPU_COUNT)?;
    // The driver reserves some MiB, so the memory of the product is the nearest GiB.
    let gib_each = number(labels::NVIDIA_GPU_MEMORY)?.checked_add(512)? / 1024;
    let gpu = GpuNode {
        gpus: u32::try_from(count).ok()?,
        memory_bytes_total: gib_each.checked_mul(count)?.checked_mul(1 << 30)?,
        host_bytes: None,
    };
    Some((gpu, product))
}

fn capability(node: &Node) -> Option<ComputeCapability> {
    let number = |key: &str| label(&node.metadata, key)?.parse::<u8>().ok();
    let major = number(labels::NVIDIA_COMPUTE_MAJOR)?;
    let minor = number(labels::NVIDIA_COMPUTE_MINOR).unwrap_or_default();
    Some(ComputeCapability { major, minor })
}

fn missing(context: &PlanContext<'_>) -> Problem {
    let wanted = render::node_labels(context.workspace(), false);
    let wanted: Vec<String> = wanted
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    let what = format!("no ready node carries {}", wanted.join(","));
    Problem::new(WorkspaceReason::ByoNodesMissing, what)
}

fn unlabeled(all: &[&Node]) -> Problem {
    let names: Vec<&str> = all.iter().take(3).map(|node| node::name(node)).collect();
    let what = format!(
        "node {} does not report its GPUs: it lacks the labels {}, {} and {} and its instance type is not known",
        names.join(", "),
        labels::NVIDIA_GPU_PRODUCT,
        labels::NVIDIA_GPU_COUNT,
        labels::NVIDIA_GPU_MEMORY
    );
    Problem::new(WorkspaceReason::NodePluginsNotReady, what)
}
