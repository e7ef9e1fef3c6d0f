//! What one object cannot tell about itself: is the spec possible with the presets, the instance types and the
//! objects that there are?
//!
//! Everything that can be refused is refused here, before anything is written or paid for.

use std::sync::Arc;

use kaito_api::conditions::WorkspaceReason;
use kaito_api::{InferenceSpec, PresetSpec, TuningSpec, labels};
use preset_catalog::estimate::{DEFAULT_CONTEXT_TOKENS, Misfit, Work};
use preset_catalog::{InferenceProfile, Preset, Runtime, TuningMethod};
use render::Hardware;

use crate::finding::Problem;
use crate::inference::{Serving, What};
use crate::observed::PresetLookup;
use crate::sizing::{self, Size};
use crate::subject::Subject;
use crate::tuning::Tuned;
use crate::{nodes, runtime, sources, workloads};

/// What a good spec asks for.
#[derive(Debug)]
pub(crate) enum Wanted<'a> {
    Serving(Serving<'a>),
    Tuning(Tuned<'a>),
}

/// What the Workspace asks for, or why it cannot have it.
pub(crate) fn wanted<'a>(subject: &Subject<'a>) -> Result<Wanted<'a>, Problem> {
    let spec = &subject.workspace().spec;
    let wanted = match (&spec.inference, &spec.tuning) {
        (Some(inference), None) => Wanted::Serving(serving(subject, inference)?),
        (None, Some(tuning)) => Wanted::Tuning(tuned(subject, tuning)?),
        _ => return Err(invalid("exactly one of inference and tuning must be set")),
    };
    workloads::check_names(subject, &wanted)?;
    Ok(wanted)
}

pub(crate) fn invalid(what: impl Into<String>) -> Problem {
    Problem::new(WorkspaceReason::InvalidSpec, what)
}

fn serving<'a>(subject: &Subject<'a>, spec: &'a InferenceSpec) -> Result<Serving<'a>, Problem> {
    match (&spec.preset, &spec.template) {
        (Some(wanted), None) => preset_serving(subject, spec, wanted),
        (None, Some(raw)) => {
            let template = render::parse_template(raw)
                .map_err(|error| invalid(format!("inference.template is not a pod template: {error}")))?;
            let hardware = nodes::hardware(subject, false)?;
            let count = subject
                .workspace()
                .spec
                .resource
                .as_ref()
                .map_or(1, |resource| resource.count);
            let size = sizing::of_template(subject, u32::try_from(count).unwrap_or(1).max(1), &hardware);
            let gpu = hardware.gpu.gpus > 0;
            Ok(Serving {
                what: What::Template(Box::new(template)),
                size,
                hardware,
                gpu,
                disk_gib: 0,
                notes: Vec::new(),
            })
        }
        _ => Err(invalid(
            "exactly one of inference.preset and inference.template must be set",
        )),
    }
}

fn preset_serving<'a>(
    subject: &Subject<'a>,
    spec: &'a InferenceSpec,
    wanted: &PresetSpec,
) -> Result<Serving<'a>, Problem> {
    let adapters = sources::adapters(&spec.adapters)?;
    let (preset, notes) = preset(subject, wanted)?;
    let profile = preset
        .inference
        .as_ref()
        .ok_or_else(|| unsuitable(preset, "cannot be served"))?;
    let max_context = max_context(subject, preset)?;
    let hardware = nodes::hardware(subject, !profile.cpu)?;
    let engine = runtime::engine(subject, preset, profile, &hardware)?;
    if engine == Runtime::Vllm {
        check_kernels(subject, preset, profile, &hardware)?;
    }
    let context_tokens = max_context.unwrap_or(DEFAULT_CONTEXT_TOKENS);
    let size = sizing::of_preset(
        subject,
        preset,
        &hardware,
        Work::Inference { context_tokens },
        engine,
    )?;
    let gpu = size.placement.gpus_per_node > 0 && !(engine == Runtime::Native && profile.cpu);
    let what = What::Preset {
        preset,
        profile,
        engine,
        max_context,
        adapters,
    };
    Ok(Serving {
        what,
        size,
        hardware,
        gpu,
        disk_gib: profile.disk_gib,
        notes,
    })
}

/// The GPUs are new enough for the engine's kernels, as far as that is known. What runs has proved it.
fn check_kernels(
    subject: &Subject<'_>,
    preset: &Preset,
    profile: &InferenceProfile,
    hardware: &Hardware,
) -> Result<(), Problem> {
    let known = profile.min_compute_capability.zip(hardware.compute_capability);
    let Some((needed, available)) = known.filter(|(needed, available)| available < needed) else {
        return Ok(());
    };
    if workloads::current(subject).is_some() || subject.is_annotated(labels::BYPASS_RESOURCE_CHECKS) {
        return Ok(());
    }
    let what = format!(
        "preset {} needs GPUs of compute capability {needed}, and {} has {available}",
        preset.name, hardware.instance_type
    );
    Err(Problem::new(WorkspaceReason::GpuTooOld, what))
}

fn tuned<'a>(subject: &Subject<'a>, spec: &'a TuningSpec) -> Result<Tuned<'a>, Problem> {
    let wanted = spec
        .preset
        .as_ref()
        .ok_or_else(|| invalid("tuning.preset must be set"))?;
    let input = sources::input(&spec.input)?;
    let output = sources::output(&spec.output)?;
    let method = TuningMethod::ALL
        .into_iter()
        .find(|method| method.as_str().eq_ignore_ascii_case(&spec.method));
    let method = method.ok_or_else(|| {
        invalid(format!(
            "tuning.method {:?} is neither lora nor qlora",
            spec.method
        ))
    })?;
    let (preset, notes) = preset(subject, wanted)?;
    let profile = preset
        .tuning
        .as_ref()
        .ok_or_else(|| unsuitable(preset, "cannot be tuned"))?;
    if !profile.methods.contains(&method) {
        return Err(unsuitable(
            preset,
            &format!("cannot be tuned by {}", method.as_str()),
        ));
    }
    let hardware = nodes::hardware(subject, !runtime::runs_on_cpu(preset))?;
    let tuner = runtime::tuner(subject, preset, &hardware)?;
    let Size { placement, sum, .. } =
        sizing::of_preset(subject, preset, &hardware, Work::Tuning, Runtime::Vllm)?;
    Ok(Tuned {
        spec,
        preset,
        profile,
        method,
        tuner,
        input,
        output,
        hardware,
        nodes: placement.nodes,
        sum,
        notes,
    })
}

/// The preset, and what has to be said beside it.
fn preset<'a>(subject: &Subject<'a>, wanted: &PresetSpec) -> Result<(&'a Preset, Vec<Problem>), Problem> {
    let unavailable = |message: &str| Problem::new(WorkspaceReason::PresetRegistryUnavailable, message);
    let (preset, notes): (&'a Arc<Preset>, _) = match &subject.observed.preset {
        PresetLookup::Found(preset) => (preset, Vec::new()),
        PresetLookup::Unavailable {
            message,
            last_good: Some(preset),
        } => (preset, vec![unavailable(message)]),
        PresetLookup::Unavailable {
            message,
            last_good: None,
        } => return Err(unavailable(message)),
        PresetLookup::Unknown { near } => return Err(unknown(&wanted.name, near)),
        PresetLookup::NotNeeded => return Err(unavailable("the preset was not looked up yet")),
    };
    match &preset.deprecated {
        Some(why) => Err(Problem::new(
            WorkspaceReason::PresetDeprecated,
            format!("preset {}: {why}", preset.name),
        )),
        None => Ok((preset, notes)),
    }
}

fn unknown(name: &str, near: &[String]) -> Problem {
    let mut near = near.to_vec();
    near.sort();
    let hint = if near.is_empty() {
        String::new()
    } else {
        format!("; did you mean {}?", near.join(", "))
    };
    Problem::new(
        WorkspaceReason::PresetUnknown,
        format!("there is no preset {name}{hint}"),
    )
}

pub(crate) fn unsuitable(preset: &Preset, what: &str) -> Problem {
    Problem::new(
        WorkspaceReason::PresetUnsuitable,
        format!("preset {} {what}", preset.name),
    )
}

/// The refusal of a model that does not go where it should.
pub(crate) fn misfit(preset: &Preset, hardware: &Hardware, misfit: &Misfit) -> Problem {
    let reason = match misfit {
        Misfit::NotServed | Misfit::NotTunable => WorkspaceReason::PresetUnsuitable,
        Misfit::NoGpu
        | Misfit::GpuTooSmall { .. }
        | Misfit::PartTooLarge { .. }
        | Misfit::NotDistributed { .. } => WorkspaceReason::ModelDoesNotFit,
    };
    let on = if hardware.instance_type.is_empty() {
        "the nodes"
    } else {
        &hardware.instance_type
    };
    Problem::new(reason, format!("preset {} on {on}: {misfit}", preset.name))
}

/// The longest context that is asked for, if it is asked for.
fn max_context(subject: &Subject<'_>, preset: &Preset) -> Result<Option<u32>, Problem> {
    let Some(text) = subject.annotation(labels::MAX_CONTEXT) else {
        return Ok(None);
    };
    let limit = preset.shape.max_context_tokens;
    match text.parse::<u32>() {
        Ok(tokens) if (1..=limit).contains(&tokens) => Ok(Some(tokens)),
        Ok(_) | Err(_) => Err(invalid(format!(
            "annotation {} is {text:?} and must be a number from 1 to {limit}, the longest context of preset {}",
            labels::MAX_CONTEXT,
            preset.name
        ))),
    }
}
