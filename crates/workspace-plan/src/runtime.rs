//! Which program serves or tunes: what the annotation asks for, what the preset can, and what the nodes have.
//!
//! Nothing runs on processors because a GPU is missing: only presets that are small enough for it, and only on
//! nodes that have no GPU.

use kaito_api::labels;
use preset_catalog::estimate::Misfit;
use preset_catalog::{InferenceProfile, Preset, Runtime};
use render::{Hardware, Tuner};

use crate::finding::Problem;
use crate::subject::Subject;
use crate::validate::{invalid, misfit, unsuitable};

/// The engine that is asked for, else the preset's favourite; without a GPU it can only be ours.
pub(crate) fn engine(
    subject: &Subject<'_>,
    preset: &Preset,
    profile: &InferenceProfile,
    hardware: &Hardware,
) -> Result<Runtime, Problem> {
    let asked = match asked(subject)? {
        None => None,
        Some(Asked::Vllm) => Some(Runtime::Vllm),
        Some(Asked::Native | Asked::Transformers) => Some(Runtime::Native),
    };
    let without_gpu = profile.cpu && hardware.gpu.gpus == 0 && profile.runtimes.contains(&Runtime::Native);
    let favourite = if without_gpu {
        Some(Runtime::Native)
    } else {
        profile.runtimes.first().copied()
    };
    let engine = asked.or(favourite).unwrap_or(Runtime::Vllm);
    if !profile.runtimes.contains(&engine) {
        return Err(unsuitable(
            preset,
            &format!("is not served by the runtime {}", engine.as_str()),
        ));
    }
    Ok(engine)
}

/// The preset may run without a GPU.
pub(crate) fn runs_on_cpu(preset: &Preset) -> bool {
    preset
        .inference
        .as_ref()
        .is_some_and(|profile| profile.cpu && profile.runtimes.contains(&Runtime::Native))
}

/// The program that tunes: ours on nodes without a GPU, the base image's scripts on the others. Neither can do
/// the other's work, so an annotation only says what the user takes for granted.
pub(crate) fn tuner(subject: &Subject<'_>, preset: &Preset, hardware: &Hardware) -> Result<Tuner, Problem> {
    let native = match asked(subject)? {
        Some(Asked::Native) => true,
        Some(Asked::Vllm) => false,
        // The base image tunes with transformers whatever serves.
        Some(Asked::Transformers) | None => runs_on_cpu(preset) && hardware.gpu.gpus == 0,
    };
    let tuner = if native { Tuner::Native } else { Tuner::Scripts };
    match (tuner, hardware.gpu.gpus) {
        (Tuner::Native, _) if !runs_on_cpu(preset) => Err(unsuitable(
            preset,
            "is too large for the runtime native, which tunes on processors",
        )),
        (Tuner::Native, 1..) => Err(unsuitable(
            preset,
            &format!(
                "would not use the GPUs of {}: the runtime native tunes on processors",
                hardware.instance_type
            ),
        )),
        (Tuner::Scripts, 0) => Err(misfit(preset, hardware, &Misfit::NoGpu)),
        (Tuner::Native, 0) | (Tuner::Scripts, 1..) => Ok(tuner),
    }
}

/// What the annotation says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Vllm,
    Native,
    Transformers,
}

fn asked(subject: &Subject<'_>) -> Result<Option<Asked>, Problem> {
    let Some(text) = subject.annotation(labels::RUNTIME) else {
        return Ok(None);
    };
    match text.to_lowercase().as_str() {
        "vllm" => Ok(Some(Asked::Vllm)),
        "native" => Ok(Some(Asked::Native)),
        "transformers" => Ok(Some(Asked::Transformers)),
        other => Err(invalid(format!(
            "annotation {} is {other:?}, neither vllm nor native",
            labels::RUNTIME
        ))),
    }
}
