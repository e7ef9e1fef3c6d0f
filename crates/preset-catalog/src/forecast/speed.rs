//! Speed of one sequence, and the number of sequences at once.
//!
//! For each token of one sequence, a GPU or processor reads the active weights and the cache of the sequence, and does little
//! arithmetic. So its memory bandwidth bounds the speed. No engine reaches the bound; speculative decoding may pass it.

use instance_types::InstanceType;

use crate::estimate::{EngineOptions, gib};
use crate::fit::{Fit, TermKind};
use crate::preset::Preset;

use super::estimate::Estimate;

const OURS: &str = "docs/estimator.md";
const BYTES_OF_GB: u128 = 1_000_000_000;

/// Stages work one after the other on a token, so only the GPUs that share a layer add up.
pub(super) fn tokens_per_second(
    preset: &Preset,
    instance_type: &InstanceType,
    fit: &Fit,
    settings: &EngineOptions,
) -> Option<Estimate> {
    let placement = &fit.placement;
    if placement.gpus_per_node == 0 {
        return of_processors(instance_type, fit);
    }
    if settings.offload_bytes_per_gpu > 0 {
        return None;
    }
    let gb_per_second = instance_type.gpu_gb_per_second()?;
    let (shape, tensor) = (settings.shape(&preset.shape), placement.tensor_parallel.max(1));
    let published = preset.shape.weights_bytes.max(1);
    let active = preset.shape.active_weights_bytes.unwrap_or(published);
    // In the format in which the engine holds the weights.
    let weights = u128::from(active) * u128::from(shape.weights_bytes) / u128::from(published);
    let cache = u128::from(placement.memory.kv_cache_bytes_per_gpu) * u128::from(placement.pipeline_parallel);
    let read = (weights / u128::from(tensor) + cache).max(1);
    let value = u128::from(gb_per_second) * BYTES_OF_GB / read;
    let weights = gib(u64::try_from(weights).unwrap_or(u64::MAX));
    let cache = gib(u64::try_from(cache).unwrap_or(u64::MAX));
    let gpus = if tensor > 1 {
        format!(" over {tensor} GPUs")
    } else {
        String::new()
    };
    Some(Estimate {
        value: u64::try_from(value).unwrap_or(u64::MAX).max(1),
        formula: format!(
            "at most: {gb_per_second} GB/s of a GPU ÷ ({weights} GiB of weights{gpus} + {cache} GiB of KV cache) for each token"
        ),
        source: OURS.into(),
    })
}

/// Memory bandwidth of a vCPU in GB a second: a fair share of a server with eight channels of DDR4 and 64 threads.
const GB_PER_SECOND_OF_A_VCPU: u64 = 3;

/// Our own engine reads all weights and the cache for each token too.
fn of_processors(instance_type: &InstanceType, fit: &Fit) -> Option<Estimate> {
    let bytes = |kind| {
        let term = fit.explanation.iter().find(|term| term.kind == kind)?;
        Some(term.bytes)
    };
    let (weights, cache) = (bytes(TermKind::Weights)?, bytes(TermKind::KvCache)?);
    let vcpus = instance_type.vcpus?;
    let gb_per_second = u64::from(vcpus).saturating_mul(GB_PER_SECOND_OF_A_VCPU);
    let read = u128::from(weights.saturating_add(cache)).max(1);
    let value = u128::from(gb_per_second) * BYTES_OF_GB / read;
    Some(Estimate {
        value: u64::try_from(value).unwrap_or(u64::MAX).max(1),
        formula: format!(
            "at most: {vcpus} vCPUs x {GB_PER_SECOND_OF_A_VCPU} GB/s ÷ ({} GiB of weights + {} GiB of KV cache) for each token",
            gib(weights),
            gib(cache)
        ),
        source: OURS.into(),
    })
}

/// The headroom holds more caches of the planned length; whole copies of the model have their own.
pub(super) fn sequences(fit: &Fit) -> Option<Estimate> {
    let headroom = fit.headroom_bytes?;
    let terms = &fit.explanation;
    let cache = terms.iter().find(|term| term.kind == TermKind::KvCache)?.bytes;
    let copies = u64::from(fit.placement.data_parallel.max(1));
    let more = headroom.checked_div(cache)?;
    let of_copies = if copies > 1 {
        format!(", in each of {copies} copies")
    } else {
        String::new()
    };
    Some(Estimate {
        value: more.saturating_add(1).saturating_mul(copies),
        formula: format!(
            "1 + {} GiB of headroom ÷ {} GiB of KV cache of a sequence{of_copies}",
            gib(headroom),
            gib(cache)
        ),
        source: OURS.into(),
    })
}
