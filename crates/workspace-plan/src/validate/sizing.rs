//! The number of nodes that a workload needs.
//!
//! It is computed once. From then on it is an annotation of the claims. A different result is reported, and a running
//! model is not moved.

use kaito_api::conditions::WorkspaceReason;
use kaito_api::labels;
use preset_catalog::estimate::{self, GpuNode, HostFit, HostFormat, MemoryTerms, Misfit, Placement, Work};
use preset_catalog::{Preset, Runtime};
use render::Hardware;

use crate::context::PlanContext;
use crate::node_count;
use crate::price;
use crate::problem::Problem;

/// Size of a workload.
#[derive(Clone, Debug)]
pub(super) struct Size {
    /// Number of nodes, and the division of the model over them.
    pub(super) placement: Placement,
    /// Reason for which a changed spec is not applied to the running workload.
    pub(super) update_blocked: Option<Problem>,
    /// The arithmetic behind the number of nodes, in one line; `None` if there was none.
    pub(super) summary: Option<String>,
}

/// The arithmetic behind the number of nodes. `kubectl kaito plan --explain` shows all of it.
fn summary(
    context: &PlanContext<'_>,
    preset: &Preset,
    hardware: &Hardware,
    work: Work,
    host: Option<HostFit>,
    placement: &Placement,
) -> Option<String> {
    let memory = &placement.memory;
    let price = price(context, hardware, placement.nodes);
    if memory.weights_bytes == 0 {
        let price = price.map(|price| format!("{price}{}", rounding(host)));
        return price.map(|price| nodes_for(placement.nodes, hardware, &price));
    }
    let context = match work {
        Work::Inference {
            context_tokens,
            options,
        } => {
            let settings = options.to_string();
            let and = if settings.is_empty() { "" } else { " and " };
            format!(" with {context_tokens} tokens of context{and}{settings}")
        }
        Work::Tuning => String::new(),
    };
    Some({
        format!(
            "{}{context} takes {} x {} ({} of {} GiB of each of {} GPUs){}.",
            preset.name,
            placement.nodes,
            if hardware.instance_type.is_empty() {
                "node"
            } else {
                &hardware.instance_type
            },
            tenths_of_gib(memory.needed_bytes_per_gpu()),
            tenths_of_gib(memory.gpu_bytes),
            placement
                .tensor_parallel
                .saturating_mul(placement.pipeline_parallel),
            price.map(|price| format!(", {price}")).unwrap_or_default(),
        )
    })
}

/// Says how the weights are rounded on a node without a GPU; empty if they are not.
fn rounding(host: Option<HostFit>) -> &'static str {
    match host.map(|host| host.format) {
        Some(HostFormat::EightBit) => ", with weights in 8 bits",
        Some(HostFormat::FourBit) => ", with weights in 4 bits",
        Some(HostFormat::Float32 | HostFormat::Published) | None => "",
    }
}

/// List price of all nodes; `None` if it is unknown, or nothing is bought.
fn price(context: &PlanContext<'_>, hardware: &Hardware, nodes: u32) -> Option<String> {
    let each = price::of(context.settings, &hardware.instance_type)?;
    let all = each.saturating_mul(u64::from(nodes));
    context.creates_nodes().then(|| price::shown(all))
}

fn nodes_for(nodes: u32, hardware: &Hardware, price: &str) -> String {
    format!("{nodes} x {} for {price}.", hardware.instance_type)
}

fn tenths_of_gib(bytes: u64) -> String {
    let tenths = (u128::from(bytes) * 10).div_ceil(1 << 30);
    format!("{}.{}", tenths / 10, tenths % 10)
}

/// Returns the size of a user's template, as the user sets it.
///
/// # Errors
/// When it is more than one Workspace may have.
pub(super) fn of_template(
    context: &PlanContext<'_>,
    count: u32,
    hardware: &Hardware,
) -> Result<Size, Problem> {
    let placement = divided(hardware.gpu, count);
    match node_count::running(context, count) {
        Some(nodes) if nodes != count => Ok(unchanged(
            hardware,
            nodes,
            &format!("resource.count is {count} now"),
        )),
        None if count > context.settings.max_nodes.get() => {
            Err(too_many(context, "resource.count asks for", count))
        }
        _ => Ok(Size {
            placement,
            update_blocked: None,
            summary: price(context, hardware, count).map(|price| nodes_for(count, hardware, &price)),
        }),
    }
}

fn too_many(context: &PlanContext<'_>, what: &str, nodes: u32) -> Problem {
    let limit = context.settings.max_nodes.get();
    let cause = format!("{what} {nodes} nodes, and a Workspace may have {limit}");
    Problem::new(WorkspaceReason::TooManyNodes, cause)
}

/// Returns the size of a preset on this hardware. `host` is its memory there without a GPU.
///
/// # Errors
/// When the model does not fit.
pub(super) fn of_preset(
    context: &PlanContext<'_>,
    preset: &Preset,
    hardware: &Hardware,
    work: Work,
    engine: Runtime,
    host: Option<HostFit>,
) -> Result<Size, Problem> {
    let placed = estimate::place(preset, hardware.gpu, work).or_else(|why| bypassed(context, hardware, why));
    let placed = placed.map(|placement| one_node_if_bypassed(context, hardware, engine, placement));
    let planned = placed.as_ref().map_or(0, |placement| placement.nodes);
    match (placed, node_count::running(context, planned)) {
        (Ok(placement), Some(nodes)) if placement.nodes != nodes => Ok(unchanged(
            hardware,
            nodes,
            &format!("the model needs {} nodes now", placement.nodes),
        )),
        (Ok(placement), None) if placement.nodes > context.settings.max_nodes.get() => {
            let what = format!("preset {} needs", preset.name);
            Err(too_many(context, &what, placement.nodes))
        }
        (Ok(placement), _) if engine == Runtime::Native && placement.nodes > 1 => Err(Problem::unsuitable(
            preset,
            &format!(
                "needs {} nodes and the runtime native serves from one",
                placement.nodes
            ),
        )),
        (Ok(placement), _) => Ok(Size {
            placement,
            update_blocked: None,
            summary: summary(context, preset, hardware, work, host, &placement),
        }),
        (Err(why), Some(nodes)) => Ok(unchanged(
            hardware,
            nodes,
            &Problem::misfit(preset, hardware, &why).cause,
        )),
        (Err(why), None) => Err(Problem::misfit(preset, hardware, &why)),
    }
}

// The native runtime serves from one node, so a user who bypasses the checks means one node.
fn one_node_if_bypassed(
    context: &PlanContext<'_>,
    hardware: &Hardware,
    engine: Runtime,
    placement: Placement,
) -> Placement {
    let bypassed = context.workspace().is_annotated(labels::BYPASS_RESOURCE_CHECKS);
    if bypassed && engine == Runtime::Native && placement.nodes > 1 {
        divided(hardware.gpu, 1)
    } else {
        placement
    }
}

/// Returns the size of a running workload that is left as it is for this problem.
///
/// # Errors
/// With the problem, if nothing runs.
pub(super) fn left_as_it_is(
    context: &PlanContext<'_>,
    hardware: &Hardware,
    problem: Problem,
) -> Result<Size, Problem> {
    match node_count::running(context, 0) {
        Some(nodes) => Ok(Size {
            placement: divided(hardware.gpu, nodes),
            update_blocked: Some(problem),
            summary: None,
        }),
        None => Err(problem),
    }
}

fn unchanged(hardware: &Hardware, nodes: u32, why: &str) -> Size {
    let cause = format!("{why}; what runs was made for {nodes} and is left as it is");
    Size {
        placement: divided(hardware.gpu, nodes),
        update_blocked: Some(Problem::new(WorkspaceReason::UpdateBlocked, cause)),
        summary: None,
    }
}

// The user may overrule our arithmetic but not the hardware: there must be a GPU.
fn bypassed(context: &PlanContext<'_>, hardware: &Hardware, why: Misfit) -> Result<Placement, Misfit> {
    let requested = context
        .workspace()
        .spec
        .resource
        .as_ref()
        .and_then(|resource| u32::try_from(resource.count).ok());
    let nodes = requested.unwrap_or(1).max(1);
    match why {
        _ if !context.workspace().is_annotated(labels::BYPASS_RESOURCE_CHECKS) => Err(why),
        Misfit::GpuTooSmall { .. } | Misfit::PartTooLarge { .. } => Ok(divided(hardware.gpu, nodes)),
        Misfit::NotDistributed { .. } | Misfit::HostMemoryTooSmall { .. } => Ok(divided(hardware.gpu, 1)),
        // The user's own numbers could contradict ours.
        Misfit::FixedDivision { .. } => Err(why),
        Misfit::NotServed | Misfit::NotTunable | Misfit::NoGpu => Err(why),
    }
}

/// A placement over all GPUs of this many nodes, without arithmetic.
fn divided(node: GpuNode, nodes: u32) -> Placement {
    Placement {
        nodes,
        gpus_per_node: node.gpus,
        min_gpus: node.gpus.saturating_mul(nodes),
        tensor_parallel: node.gpus.max(1),
        pipeline_parallel: nodes,
        data_parallel: 1,
        memory: MemoryTerms {
            gpu_bytes: node.memory_bytes_each(),
            ..MemoryTerms::NONE
        },
    }
}
