//! The program that serves or tunes, chosen by the annotation, the preset and the hardware.
//!
//! A missing GPU alone makes nothing run on CPUs. Only presets that may do so run there, and only on nodes without GPUs.

use kaito_api::labels;
use preset_catalog::estimate::{Misfit, tunes_on_cpu};
use preset_catalog::{InferenceProfile, Preset, Runtime};
use render::{Hardware, Tuner};

use crate::context::PlanContext;
use crate::problem::Problem;

/// Returns the engine that the annotation names, else the preset's first. Without a GPU it is our own.
///
/// `transformers`, which upstream serves with on GPUs, is vLLM there and our own engine elsewhere.
pub(super) fn engine(
    context: &PlanContext<'_>,
    preset: &Preset,
    profile: &InferenceProfile,
    hardware: &Hardware,
) -> Result<Runtime, Problem> {
    let requested = match requested(context)? {
        None => None,
        Some(RequestedRuntime::Vllm) => Some(Runtime::Vllm),
        Some(RequestedRuntime::Native) => Some(Runtime::Native),
        Some(RequestedRuntime::Transformers) if hardware.gpu.gpus > 0 => Some(Runtime::Vllm),
        Some(RequestedRuntime::Transformers) => Some(Runtime::Native),
    };
    let has_gpus = hardware.gpu.gpus > 0;
    let preferred = if profile.cpu && !has_gpus && profile.runtimes.contains(&Runtime::Native) {
        Some(Runtime::Native)
    } else {
        // Our own engine would not use the GPUs, even where a preset prefers it.
        let mut usable = profile.runtimes.iter().copied();
        usable.find(|runtime| !has_gpus || *runtime != Runtime::Native)
    };
    let engine = requested.or(preferred).unwrap_or(Runtime::Vllm);
    if !profile.runtimes.contains(&engine) {
        return Err(Problem::unsuitable(
            preset,
            &format!("is not served by the runtime {}", engine.as_str()),
        ));
    }
    if engine == Runtime::Native && hardware.gpu.gpus > 0 {
        return Err(Problem::unsuitable(
            preset,
            &format!(
                "would not use the GPUs of {}: the runtime native computes on processors",
                hardware.instance_type
            ),
        ));
    }
    Ok(engine)
}

/// Returns the program that tunes: ours on nodes without GPUs, the base image's scripts on others.
///
/// Neither can do the other's work, so the annotation only confirms the choice.
pub(super) fn tuner(
    context: &PlanContext<'_>,
    preset: &Preset,
    hardware: &Hardware,
) -> Result<Tuner, Problem> {
    let native = match requested(context)? {
        Some(RequestedRuntime::Native) => true,
        Some(RequestedRuntime::Vllm) => false,
        // The base image tunes with transformers whatever serves.
        Some(RequestedRuntime::Transformers) | None => tunes_on_cpu(preset) && hardware.gpu.gpus == 0,
    };
    let tuner = if native { Tuner::Native } else { Tuner::Scripts };
    match (tuner, hardware.gpu.gpus) {
        (Tuner::Native, _) if !tunes_on_cpu(preset) => Err(Problem::unsuitable(
            preset,
            "is too large for the runtime native, which tunes on processors",
        )),
        (Tuner::Native, 1..) => Err(Problem::unsuitable(
            preset,
            &format!(
                "would not use the GPUs of {}: the runtime native tunes on processors",
                hardware.instance_type
            ),
        )),
        (Tuner::Scripts, 0) => Err(Problem::misfit(preset, hardware, &Misfit::NoGpu)),
        (Tuner::Native, 0) | (Tuner::Scripts, 1..) => Ok(tuner),
    }
}

/// Returns true if the annotation asks for our own engine, which computes on processors.
pub(super) fn is_native_asked(context: &PlanContext<'_>) -> Result<bool, Problem> {
    Ok(requested(context)? == Some(RequestedRuntime::Native))
}

/// Value of the annotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RequestedRuntime {
    Vllm,
    Native,
    Transformers,
}

fn requested(context: &PlanContext<'_>) -> Result<Option<RequestedRuntime>, Problem> {
    let Some(text) = context.workspace().annotation(labels::RUNTIME) else {
        return Ok(None);
    };
    match text.to_lowercase().as_str() {
        "vllm" => Ok(Some(RequestedRuntime::Vllm)),
        "native" => Ok(Some(RequestedRuntime::Native)),
        "transformers" => Ok(Some(RequestedRuntime::Transformers)),
        other => Err(Problem::invalid(format!(
            "annotation {} is {other:?}, neither vllm nor native",
            labels::RUNTIME
        ))),
    }
}
