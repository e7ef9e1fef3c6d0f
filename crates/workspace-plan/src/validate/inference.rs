//! The desired state of a Workspace that serves.

use kaito_api::conditions::WorkspaceReason;
use kaito_api::{InferenceSpec, PresetSpec, labels};
use preset_catalog::estimate::{DEFAULT_CONTEXT_TOKENS, Work};
use preset_catalog::{InferenceProfile, Preset, Runtime};
use render::Hardware;

use super::{hardware, preset, program, sizing, sources};
use crate::context::PlanContext;
use crate::desired::{Desired, DesiredInference, DesiredWorkload};
use crate::problem::Problem;

/// Returns the desired state of an inference spec.
pub(super) fn desired<'a>(
    context: &PlanContext<'a>,
    spec: &'a InferenceSpec,
) -> Result<Desired<'a>, Problem> {
    match (&spec.preset, &spec.template) {
        (Some(preset), None) => of_preset(context, spec, preset),
        (None, Some(template)) => of_template(context, template),
        _ => Err(Problem::invalid(
            "exactly one of inference.preset and inference.template must be set",
        )),
    }
}

fn of_template<'a>(
    context: &PlanContext<'a>,
    template: &kaito_api::raw::RawObject,
) -> Result<Desired<'a>, Problem> {
    let template = render::parse_template(template)
        .map_err(|error| Problem::invalid(format!("inference.template is not a pod template: {error}")))?;
    let hardware = hardware::of_nodes(context, false)?;
    let resource = context.workspace().spec.resource.as_ref();
    let count = resource.map_or(1, |resource| resource.count);
    let count = u32::try_from(count).unwrap_or(1).max(1);
    let size = sizing::of_template(context, count, &hardware)?;
    Ok(Desired {
        workload: DesiredWorkload::Template(Box::new(template)),
        nodes: size.placement.nodes,
        gpus_per_node: size.placement.gpus_per_node,
        hardware,
        disk_gib: 0,
        sizing_summary: size.summary,
        update_blocked: size.update_blocked,
        note: None,
    })
}

fn of_preset<'a>(
    context: &PlanContext<'a>,
    spec: &'a InferenceSpec,
    wanted: &PresetSpec,
) -> Result<Desired<'a>, Problem> {
    let adapters = sources::adapters(&spec.adapters)?;
    let (preset, note) = preset::find(context, wanted)?;
    let profile = preset.inference.as_ref();
    let profile = profile.ok_or_else(|| Problem::unsuitable(preset, "cannot be served"))?;
    preset::check_access(context, preset, wanted)?;
    let max_context = max_context(context, preset)?;
    let hardware = hardware::of_nodes(context, !profile.cpu)?;
    let engine = program::engine(context, preset, profile, &hardware)?;
    if engine == Runtime::Vllm {
        check_compute_capability(context, preset, profile, &hardware)?;
    }
    let work = Work::Inference {
        context_tokens: max_context.unwrap_or(DEFAULT_CONTEXT_TOKENS),
    };
    let size = sizing::of_preset(context, preset, &hardware, work, engine)?;
    let runs_on_cpu = engine == Runtime::Native && profile.cpu;
    Ok(Desired {
        workload: DesiredWorkload::Inference(DesiredInference {
            preset,
            profile,
            engine,
            placement: size.placement,
            max_context,
            adapters,
        }),
        nodes: size.placement.nodes,
        gpus_per_node: if runs_on_cpu {
            0
        } else {
            size.placement.gpus_per_node
        },
        hardware,
        disk_gib: profile.disk_gib,
        sizing_summary: size.summary,
        update_blocked: size.update_blocked,
        note,
    })
}

/// Checks that the engine has kernels for the GPUs, as far as their compute capability is known.
///
/// A running workload has proved it already.
fn check_compute_capability(
    context: &PlanContext<'_>,
    preset: &Preset,
    profile: &InferenceProfile,
    hardware: &Hardware,
) -> Result<(), Problem> {
    let known = profile.min_compute_capability.zip(hardware.compute_capability);
    let Some((needed, available)) = known.filter(|(needed, available)| available < needed) else {
        return Ok(());
    };
    let is_bypassed = context.workspace().is_annotated(labels::BYPASS_RESOURCE_CHECKS);
    if context.workload.is_some() || is_bypassed {
        return Ok(());
    }
    let cause = format!(
        "preset {} needs GPUs of compute capability {needed}, and {} has {available}",
        preset.name, hardware.instance_type
    );
    Err(Problem::new(WorkspaceReason::GpuTooOld, cause))
}

/// Longest context that the annotation asks for, if it is set.
fn max_context(context: &PlanContext<'_>, preset: &Preset) -> Result<Option<u32>, Problem> {
    let Some(text) = context.workspace().annotation(labels::MAX_CONTEXT) else {
        return Ok(None);
    };
    let limit = preset.shape.max_context_tokens;
    match text.parse::<u32>() {
        Ok(tokens) if (1..=limit).contains(&tokens) => Ok(Some(tokens)),
        Ok(_) | Err(_) => Err(Problem::invalid(format!(
            "annotation {} is {text:?} and must be a number from 1 to {limit}, the longest context of preset {}",
            labels::MAX_CONTEXT,
            preset.name
        ))),
    }
}
