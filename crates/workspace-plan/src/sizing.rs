//! On how many nodes.
//!
//! The number is computed once. Once a workload runs, what it was made for stands on it as an annotation, and
//! a different answer is reported instead of moving a model that serves.

use kaito_api::conditions::WorkspaceReason;
use kaito_api::labels;
use preset_catalog::estimate::{self, GpuNode, MemoryTerms, Misfit, Placement, Work};
use preset_catalog::{Preset, Runtime};
use render::Hardware;

use crate::finding::Problem;
use crate::subject::Subject;
use crate::validate::{misfit, unsuitable};
use crate::workloads;

/// How large the workload is.
#[derive(Clone, Debug)]
pub(crate) struct Size {
    /// Nodes, and how the model is divided over them.
    pub(crate) placement: Placement,
    /// Why the running workload is left as it is.
    pub(crate) blocked: Option<Problem>,
    /// The sum in one line; absent where nothing was summed.
    pub(crate) sum: Option<String>,
}

/// What decided how many nodes, for people. The whole sum is `kubectl kaito plan --explain`.
fn sum(preset: &Preset, hardware: &Hardware, work: Work, placement: &Placement) -> Option<String> {
    let memory = &placement.memory;
    let context = match work {
        Work::Inference { context_tokens } => format!(" with {context_tokens} tokens of context"),
        Work::Tuning => String::new(),
    };
    (memory.weights_bytes > 0).then(|| {
        format!(
            "{}{context} takes {} x {} ({} of {} GiB of each of {} GPUs).",
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
        )
    })
}

fn tenths_of_gib(bytes: u64) -> String {
    let tenths = (u128::from(bytes) * 10).div_ceil(1 << 30);
    format!("{}.{}", tenths / 10, tenths % 10)
}

/// The size of a user's template: what the user says.
pub(crate) fn of_template(subject: &Subject<'_>, count: u32, hardware: &Hardware) -> Size {
    let placement = divided(hardware.gpu, count);
    match running(subject) {
        Some(nodes) if nodes != count => kept(hardware, nodes, &format!("resource.count is {count} now")),
        _ => Size {
            placement,
            blocked: None,
            sum: None,
        },
    }
}

/// The size of a preset on this hardware, or why it does not fit.
pub(crate) fn of_preset(
    subject: &Subject<'_>,
    preset: &Preset,
    hardware: &Hardware,
    work: Work,
    engine: Runtime,
) -> Result<Size, Problem> {
    let running = running(subject);
    let placed =
        estimate::place(preset, hardware.gpu, work).or_else(|why| bypassed(subject, hardware, why, running));
    let placed = placed.map(|placement| one_node_if_bypassed(subject, hardware, engine, placement));
    match (placed, running) {
        (Ok(placement), Some(nodes)) if placement.nodes != nodes => Ok(kept(
            hardware,
            nodes,
            &format!("the model needs {} nodes now", placement.nodes),
        )),
        (Ok(placement), _) if engine == Runtime::Native && placement.nodes > 1 => Err(unsuitable(
            preset,
            &format!(
                "needs {} nodes and the runtime native serves from one",
                placement.nodes
            ),
        )),
        (Ok(placement), _) => Ok(Size {
            placement,
            blocked: None,
            sum: sum(preset, hardware, work, &placement),
        }),
        (Err(why), Some(nodes)) => Ok(kept(hardware, nodes, &misfit(preset, hardware, &why).what)),
        (Err(why), None) => Err(misfit(preset, hardware, &why)),
    }
}

// The runtime native serves from one node: whoever bypasses the sums means that one will do.
fn one_node_if_bypassed(
    subject: &Subject<'_>,
    hardware: &Hardware,
    engine: Runtime,
    placement: Placement,
) -> Placement {
    let bypassed = subject.is_annotated(labels::BYPASS_RESOURCE_CHECKS);
    if bypassed && engine == Runtime::Native && placement.nodes > 1 {
        divided(hardware.gpu, 1)
    } else {
        placement
    }
}

/// Nodes that the running workload was made for.
pub(crate) fn running(subject: &Subject<'_>) -> Option<u32> {
    workloads::current(subject).map(|workload| workload.nodes())
}

fn kept(hardware: &Hardware, nodes: u32, why: &str) -> Size {
    let what = format!("{why}; what runs was made for {nodes} and is left as it is");
    Size {
        placement: divided(hardware.gpu, nodes),
        blocked: Some(Problem::new(WorkspaceReason::UpdateBlocked, what)),
        sum: None,
    }
}

// The user knows better than our sums, but not better than the hardware: some GPU there must be.
fn bypassed(
    subject: &Subject<'_>,
    hardware: &Hardware,
    why: Misfit,
    running: Option<u32>,
) -> Result<Placement, Misfit> {
    let asked = subject
        .workspace()
        .spec
        .resource
        .as_ref()
        .and_then(|resource| u32::try_from(resource.count).ok());
    let nodes = running.or(asked).unwrap_or(1).max(1);
    match why {
        _ if !subject.is_annotated(labels::BYPASS_RESOURCE_CHECKS) => Err(why),
        Misfit::GpuTooSmall { .. } | Misfit::PartTooLarge { .. } => Ok(divided(hardware.gpu, nodes)),
        Misfit::NotDistributed { .. } => Ok(divided(hardware.gpu, 1)),
        Misfit::NotServed | Misfit::NotTunable | Misfit::NoGpu => Err(why),
    }
}

/// Over all GPUs of that many nodes, unsized.
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
