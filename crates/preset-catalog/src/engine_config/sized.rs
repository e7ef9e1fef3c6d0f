//! Flags of vLLM that change the size of a model.

use std::collections::BTreeMap;

use crate::estimate::{CacheFormat, EngineOptions, WeightsFormat};

use super::error::EngineConfigError;

/// Largest number of GPUs or nodes over which anything is divided.
const MOST_PARTS: u32 = 1024;
/// Largest part of the weights in the node's memory, in GiB.
const MOST_OFFLOADED: f64 = 65_536.0;

/// Returns what the flags change, and the longest context.
pub(super) fn options(
    flags: &BTreeMap<String, String>,
) -> Result<(EngineOptions, Option<u32>), EngineConfigError> {
    let text = |name: &str| {
        flags
            .get(name)
            .map(|text| (format!("vllm.{name}"), text.as_str()))
    };
    let parts = |name: &str| {
        let Some((place, text)) = text(name) else {
            return Ok(None);
        };
        match whole(&place, text, 1)? {
            parts if parts <= MOST_PARTS => Ok(Some(parts)),
            _ => Err(wrong(&place, text, &format!("at most {MOST_PARTS}"))),
        }
    };
    let memory_percent = match text("gpu-memory-utilization") {
        Some((place, text)) => Some(percent(&place, text)?),
        None => None,
    };
    let offload_bytes = match text("cpu-offload-gb") {
        Some((place, text)) => offloaded(&place, text)?,
        None => 0,
    };
    let word = |name: &str| text(name).map(|(_, text)| text.to_ascii_lowercase());
    let weights = match (word("dtype").as_deref(), word("quantization").as_deref()) {
        (_, Some("bitsandbytes")) => WeightsFormat::BitsAndBytes,
        (Some("float" | "float32"), None) => WeightsFormat::Float32,
        _ => WeightsFormat::Published,
    };
    let cache = match word("kv-cache-dtype") {
        Some(format) if format.starts_with("fp8") => CacheFormat::EightBit,
        _ => CacheFormat::OfModel,
    };
    let max_model_len = match text("max-model-len") {
        None | Some((_, "auto" | "-1")) => None,
        Some((place, text)) => Some(whole(&place, text, 1)?),
    };
    let options = EngineOptions {
        memory_percent,
        cache,
        weights,
        tensor_parallel: parts("tensor-parallel-size")?,
        pipeline_parallel: parts("pipeline-parallel-size")?,
        offload_bytes_per_gpu: offload_bytes,
        host: None,
    };
    Ok((options, max_model_len))
}

/// A whole number of at least `least`.
pub(super) fn whole(place: &str, text: &str, least: u32) -> Result<u32, EngineConfigError> {
    let number = text.parse().ok().filter(|number| *number >= least);
    number.ok_or_else(|| wrong(place, text, &format!("a whole number of at least {least}")))
}

/// A share from 0 to 1, as the user wrote it.
pub(super) fn share(place: &str, text: &str) -> Result<String, EngineConfigError> {
    let share: Option<f64> = text.parse().ok();
    match share.filter(|share| (0.0..=1.0).contains(share)) {
        Some(_) => Ok(text.to_owned()),
        None => Err(wrong(place, text, "a number from 0 to 1")),
    }
}

/// The family of a quantization: an engine may read the files of one method with several kernels.
pub(super) fn family(method: &str) -> &str {
    let method = method.split_once('_').map_or(method, |(family, _)| family);
    match method {
        "compressed-tensors" | "fp8" | "modelopt" => method,
        other => other.trim_end_matches("-marlin"),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the number is from 0.01 to 1"
)]
fn percent(place: &str, text: &str) -> Result<u32, EngineConfigError> {
    let share: Option<f64> = text.parse().ok();
    let share = share.filter(|share| (0.01..=1.0).contains(share));
    let share = share.ok_or_else(|| wrong(place, text, "a number from 0.01 to 1"))?;
    // Without the addend 0.29 would be 28 %.
    Ok((share * 100.0 + 1e-6) as u32)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the number is from 0 to 2^46"
)]
fn offloaded(place: &str, text: &str) -> Result<u64, EngineConfigError> {
    let gib: Option<f64> = text.parse().ok();
    let gib = gib.filter(|gib| (0.0..=MOST_OFFLOADED).contains(gib));
    let gib = gib.ok_or_else(|| wrong(place, text, "a number of GiB"))?;
    Ok((gib * 1_073_741_824.0) as u64)
}

fn wrong(place: &str, text: &str, must: &str) -> EngineConfigError {
    EngineConfigError::malformed(format!("{place} is {text:?} and must be {must}"))
}
