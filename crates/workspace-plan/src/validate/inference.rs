//! The desired state of a Workspace that serves.

use kaito_api::conditions::WorkspaceReason;
use kaito_api::{InferenceSpec, PresetSpec, labels};
use preset_catalog::estimate::{self, DEFAULT_CONTEXT_TOKENS, HostFit, HostFormat, Work};
use preset_catalog::{Preset, Runtime};
use render::Hardware;

use super::hardware::Needs;
use super::{config, engine_image, hardware, preset, program, serving, sizing, sources, weights_image};
use crate::context::PlanContext;
use crate::desired::{Desired, DesiredInference, DesiredWorkload};
use crate::fits::NodeWork;
use crate::model_commit;
use crate::problem::Problem;
use crate::rung::Rung;

/// Returns the desired state of an inference spec on this rung.
pub(super) fn desired<'a>(
    context: &PlanContext<'a>,
    spec: &'a InferenceSpec,
    rung: Rung<'a>,
) -> Result<Desired<'a>, Problem> {
    match (&spec.preset, &spec.template) {
        (Some(preset), None) => of_preset(context, spec, preset, rung),
        (None, Some(template)) => of_template(context, template, rung),
        _ => Err(Problem::invalid(
            "exactly one of inference.preset and inference.template must be set",
        )),
    }
}

fn of_template<'a>(
    context: &PlanContext<'a>,
    template: &kaito_api::raw::RawObject,
    rung: Rung<'a>,
) -> Result<Desired<'a>, Problem> {
    model_commit::check_effect(context, "the Workspace has a template of its own")?;
    let template = render::parse_template(template)
        .map_err(|error| Problem::invalid(format!("inference.template is not a pod template: {error}")))?;
    let (hardware, replaced) = hardware::of_nodes(context, rung, NodeWork::Template, Needs::NONE)?;
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
        is_ladder: false,
        left_out: Vec::new(),
        notes: replaced.into_iter().collect(),
    })
}

fn of_preset<'a>(
    context: &PlanContext<'a>,
    spec: &'a InferenceSpec,
    wanted: &PresetSpec,
    rung: Rung<'a>,
) -> Result<Desired<'a>, Problem> {
    let adapters = sources::adapters(&spec.adapters)?;
    let (preset, note) = preset::find(context, wanted)?;
    let profile = preset.inference.as_ref();
    let profile = profile.ok_or_else(|| Problem::unsuitable(preset, "cannot be served"))?;
    let weights_image = weights_image::of(context)?;
    match weights_image {
        None => preset::check_access(context, preset, wanted)?,
        Some(_) => model_commit::check_effect(context, "the weights are in an image")?,
    }
    let has_own_image = !wanted.preset_options.image.trim().is_empty();
    let (settings, mut wrong) = unless_running(context, config::of_engine(context, has_own_image))?;
    let asked = asked_context(context, preset)?;
    let context_tokens = asked.or_else(|| settings.config.context_tokens(Runtime::Vllm));
    let node_work = NodeWork::Inference {
        preset,
        context_tokens: context_tokens.unwrap_or(DEFAULT_CONTEXT_TOKENS),
        options: settings.options(Runtime::Vllm),
    };
    // A node whose GPUs are not reported yet must not turn a large model into a slow one.
    let may_lack_gpus = preset.shape.is_small() || program::is_native_asked(context)?;
    let needs = Needs {
        gpu: !(profile.cpu && may_lack_gpus),
        known_type: !(profile.cpu && preset.shape.is_small()),
    };
    let (hardware, replaced) = hardware::of_nodes(context, rung, node_work, needs)?;
    let engine = program::engine(context, preset, profile, &hardware)?;
    if engine == Runtime::Vllm {
        engine_image::check(context, node_work, Some(profile), &hardware)?;
    }
    let checked = config::check(context, &settings, preset, &hardware, engine)
        .and_then(|()| max_context(asked, settings.config.context_tokens(engine)));
    let (max_context, wrong_for_model) = unless_running(context, checked)?;
    wrong = wrong.or(wrong_for_model);
    let serving = serving::of(context, engine)?;
    let hardware = hardware.with_memory_limit(serving.memory.as_deref());
    let work = Work::Inference {
        context_tokens: max_context.unwrap_or(DEFAULT_CONTEXT_TOKENS),
        options: settings.options(engine),
    };
    let host =
        (engine == Runtime::Native).then(|| host_fit(preset, &hardware, max_context, settings.config.host));
    let size = match wrong {
        None => sizing::of_preset(context, preset, &hardware, work, engine, host)?,
        Some(problem) => sizing::left_as_it_is(context, &hardware, problem)?,
    };
    let runs_on_cpu = engine == Runtime::Native && profile.cpu;
    let user_flags = match engine {
        Runtime::Vllm => settings.config.vllm,
        Runtime::Native => settings.config.native,
    };
    Ok(Desired {
        workload: DesiredWorkload::Inference(Box::new(DesiredInference {
            preset,
            profile,
            engine,
            placement: size.placement,
            host,
            max_context,
            user_flags,
            config_hash: settings.digest,
            weights_image,
            adapters,
            serving,
        })),
        nodes: size.placement.nodes,
        gpus_per_node: if runs_on_cpu {
            0
        } else {
            size.placement.gpus_per_node
        },
        hardware,
        disk_gib: weights_image::disk_gib(context, (preset, profile), weights_image),
        sizing_summary: size.summary,
        update_blocked: size.update_blocked,
        is_ladder: false,
        left_out: Vec::new(),
        notes: note.into_iter().chain(replaced).collect(),
    })
}

/// Memory of the model without a GPU. If the user insists on a node that is too small, the weights take as little as they can.
fn host_fit(
    preset: &Preset,
    hardware: &Hardware,
    max_context: Option<u32>,
    asked: Option<HostFormat>,
) -> HostFit {
    let (shape, tokens) = (&preset.shape, max_context.unwrap_or(DEFAULT_CONTEXT_TOKENS));
    estimate::host_fit(shape, hardware.gpu.host_bytes, tokens, asked)
        .unwrap_or_else(|_| HostFit::of(shape, tokens, asked.unwrap_or(HostFormat::FourBit)))
}

/// Returns the value. Where a model runs, a ConfigMap that is wrong is only reported, and the value is the default.
fn unless_running<T: Default>(
    context: &PlanContext<'_>,
    checked: Result<T, Problem>,
) -> Result<(T, Option<Problem>), Problem> {
    let is_pending = |problem: &Problem| problem.reason == WorkspaceReason::ConfigMapPending.into();
    match checked {
        Ok(value) => Ok((value, None)),
        Err(problem) if context.workload.is_some() && !is_pending(&problem) => {
            Ok((T::default(), Some(problem)))
        }
        Err(problem) => Err(problem),
    }
}

/// The longest context that annotation or ConfigMap ask for.
fn max_context(asked: Option<u32>, of_config: Option<u32>) -> Result<Option<u32>, Problem> {
    match (asked, of_config) {
        (Some(asked), Some(other)) if asked != other => Err(Problem::new(
            WorkspaceReason::ConfigMapInvalid,
            format!(
                "annotation {} is {asked}, and the ConfigMap of inference.config sets a context of {other} tokens; one of \
                 them must be absent",
                labels::MAX_CONTEXT
            ),
        )),
        (asked, other) => Ok(asked.or(other)),
    }
}

/// Longest context that the annotation asks for, if it is set.
fn asked_context(context: &PlanContext<'_>, preset: &Preset) -> Result<Option<u32>, Problem> {
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
