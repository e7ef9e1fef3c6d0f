//! Nodes that are brought along: what they have is read off their labels.
//!
//! Labels are those of NVIDIA's GPU feature discovery; without them the node's instance type is looked up.

use instance_types::ComputeCapability;
use k8s_openapi::api::core::v1::Node;
use kaito_api::conditions::WorkspaceReason;
use kaito_api::labels;
use preset_catalog::estimate::GpuNode;
use render::Hardware;

use crate::finding::Problem;
use crate::nodes;
use crate::subject::{Subject, label};

/// What each node has: the weakest of those that run the Workspace's pods, else of those that are ready, so that
/// a model is never promised more than the node it lands on, and a node that joins later moves nothing.
pub(crate) fn hardware(subject: &Subject<'_>, needs_gpu: bool) -> Result<Hardware, Problem> {
    let all = candidates(subject);
    let gpus = all
        .iter()
        .filter_map(|node| of_node(subject, node))
        .filter(|hardware| hardware.gpu.gpus > 0);
    let weakest = gpus.min_by_key(|hardware| (hardware.gpu.memory_bytes_each(), hardware.gpu.gpus));
    let named = nodes::instance_type(subject);
    match weakest {
        Some(hardware) => Ok(hardware),
        None if !needs_gpu => Ok(nodes::known(subject, named).unwrap_or_else(|| Hardware::cpu(named))),
        None if all.is_empty() => Err(missing(subject)),
        None => Err(unlabelled(&all)),
    }
}

fn candidates<'a>(subject: &Subject<'a>) -> Vec<&'a Node> {
    let hosts = subject
        .pods
        .values()
        .filter_map(|pod| pod.spec.as_ref()?.node_name.as_deref());
    let used: Vec<&Node> = hosts
        .filter_map(|name| subject.nodes.get(name).copied())
        .collect();
    if used.is_empty() {
        return subject
            .nodes
            .values()
            .copied()
            .filter(|node| nodes::is_ready(node))
            .collect();
    }
    used
}

fn of_node(subject: &Subject<'_>, node: &Node) -> Option<Hardware> {
    let instance_type = label(&node.metadata, labels::INSTANCE_TYPE).unwrap_or_default();
    let known = nodes::known(subject, instance_type);
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

fn discovered(node: &Node) -> Option<(GpuNode, &str)> {
    let number = |key: &str| label(&node.metadata, key)?.parse::<u64>().ok();
    let product = label(&node.metadata, labels::NVIDIA_GPU_PRODUCT)?;
    let count = number(labels::NVIDIA_GPU_COUNT)?;
    // The driver keeps some MiB for itself; the nearest GiB is what the product has.
    let gib_each = number(labels::NVIDIA_GPU_MEMORY)?.checked_add(512)? / 1024;
    let gpu = GpuNode {
        gpus: u32::try_from(count).ok()?,
        memory_bytes_total: gib_each.checked_mul(count)?.checked_mul(1 << 30)?,
    };
    Some((gpu, product))
}

fn capability(node: &Node) -> Option<ComputeCapability> {
    let number = |key: &str| label(&node.metadata, key)?.parse::<u8>().ok();
    let major = number(labels::NVIDIA_COMPUTE_MAJOR)?;
    let minor = number(labels::NVIDIA_COMPUTE_MINOR).unwrap_or_default();
    Some(ComputeCapability { major, minor })
}

fn missing(subject: &Subject<'_>) -> Problem {
    let wanted = render::node_labels(subject.workspace(), false);
    let wanted: Vec<String> = wanted
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    let what = format!("no ready node carries {}", wanted.join(","));
    Problem::new(WorkspaceReason::ByoNodesMissing, what)
}

fn unlabelled(all: &[&Node]) -> Problem {
    let names: Vec<&str> = all.iter().take(3).map(|node| nodes::name(node)).collect();
    let what = format!(
        "node {} tells nothing of its GPUs: it lacks the labels {}, {} and {} and its instance type is not known",
        names.join(", "),
        labels::NVIDIA_GPU_PRODUCT,
        labels::NVIDIA_GPU_COUNT,
        labels::NVIDIA_GPU_MEMORY
    );
    Problem::new(WorkspaceReason::NodePluginsNotReady, what)
}
