//! Memory terms of one GPU for a given division of a model.
//!
//! Needs are rounded up and usable memory down to whole bytes, so that reported terms equal those that decided. This module
//! knows no nodes and chooses nothing.

use crate::preset::{AttentionKind, HybridCache, ModelShape};

use super::Division;

/// Memory model of an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EngineMemory {
    /// Share of a GPU's memory that the engine may use, in percent.
    pub available_percent: u64,
    /// Weights in memory relative to weights on disk, in percent: alignment and buffers.
    pub weights_percent: u64,
    /// Working memory for activations, in percent of the weights on the GPU.
    pub activations_percent: u64,
    /// Bytes of the engine itself on each GPU.
    pub base_overhead_bytes: u64,
    /// Bytes of the weights of each GPU that stay in the node's memory.
    pub offload_bytes: u64,
}

impl EngineMemory {
    /// vLLM with our flags. The numbers are those of KAITO 0.12's node estimator. It measured 1.7 GiB of working memory
    /// and 0.6 GiB outside `PyTorch`; 84 % is `gpu-memory-utilization`.
    pub const VLLM: Self = Self {
        available_percent: 84,
        weights_percent: 102,
        activations_percent: 5,
        base_overhead_bytes: (23_u64 << 30).div_ceil(10),
        offload_bytes: 0,
    };
}

/// Terms of the estimate in bytes, in the order of computation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryTerms {
    /// All weights in memory, on all GPUs.
    pub weights_bytes: u64,
    /// Memory of one GPU.
    pub gpu_bytes: u64,
    /// Usable memory of one GPU.
    pub available_bytes_per_gpu: u64,
    /// Memory of the engine itself on one GPU.
    pub base_overhead_bytes_per_gpu: u64,
    /// KV cache of the context on one GPU.
    pub kv_cache_bytes_per_gpu: u64,
    /// Memory for weights on one GPU, after activations.
    pub usable_bytes_per_gpu: u64,
    /// Largest part of the weights on one GPU.
    pub weights_bytes_per_gpu: u64,
    /// Memory for activations on one GPU.
    pub activations_bytes_per_gpu: u64,
}

impl MemoryTerms {
    /// Terms without sizing: all zero.
    pub const NONE: Self = Self {
        weights_bytes: 0,
        gpu_bytes: 0,
        available_bytes_per_gpu: 0,
        base_overhead_bytes_per_gpu: 0,
        kv_cache_bytes_per_gpu: 0,
        usable_bytes_per_gpu: 0,
        weights_bytes_per_gpu: 0,
        activations_bytes_per_gpu: 0,
    };

    pub(super) fn of(
        shape: &ModelShape,
        gpu_bytes: u64,
        division: Division,
        context_tokens: u32,
        engine: &EngineMemory,
    ) -> Self {
        let available = percent_down(gpu_bytes, engine.available_percent);
        let weights = percent_up(shape.weights_bytes, engine.weights_percent);
        let kv_cache = cache_per_gpu(shape, division, context_tokens);
        let largest = Share::of_stage(shape.layers, division.stages).divided_by(u128::from(division.tensor));
        // Activations are those of all layers, wherever the weights are.
        let part = largest.of(u128::from(weights));
        let weights_per_gpu = part.saturating_sub(engine.offload_bytes);
        let overhead = engine.base_overhead_bytes.saturating_add(kv_cache);
        let left = u128::from(available.saturating_sub(overhead));
        Self {
            weights_bytes: weights,
            gpu_bytes,
            available_bytes_per_gpu: available,
            base_overhead_bytes_per_gpu: engine.base_overhead_bytes,
            kv_cache_bytes_per_gpu: kv_cache,
            usable_bytes_per_gpu: saturate(left * 100 / u128::from(100 + engine.activations_percent)),
            weights_bytes_per_gpu: weights_per_gpu,
            activations_bytes_per_gpu: percent_up(part, engine.activations_percent),
        }
    }

    /// Memory of one GPU without weights and activations.
    #[must_use]
    pub const fn overhead_bytes_per_gpu(&self) -> u64 {
        self.base_overhead_bytes_per_gpu
            .saturating_add(self.kv_cache_bytes_per_gpu)
    }

    /// Total memory that one GPU must hold.
    #[must_use]
    pub const fn needed_bytes_per_gpu(&self) -> u64 {
        self.overhead_bytes_per_gpu()
            .saturating_add(self.weights_bytes_per_gpu)
            .saturating_add(self.activations_bytes_per_gpu)
    }

    /// Returns the unused memory of one GPU; 0 if the model does not fit.
    #[must_use]
    pub const fn headroom_bytes_per_gpu(&self) -> u64 {
        self.available_bytes_per_gpu
            .saturating_sub(self.needed_bytes_per_gpu())
    }

    /// An exact fit does not count as a fit, as in upstream.
    pub(super) const fn fit(&self) -> bool {
        self.needed_bytes_per_gpu() < self.available_bytes_per_gpu
    }
}

/// A fraction, at most 1.
#[derive(Debug, Clone, Copy)]
struct Share {
    part: u128,
    whole: u128,
}

impl Share {
    /// Largest of `stages` parts if layers stay whole; an even part if the layers are unknown.
    fn of_stage(layers: Option<u32>, stages: u32) -> Self {
        let stages = stages.max(1);
        match layers.filter(|layers| *layers > 0) {
            Some(layers) => Self {
                part: u128::from(layers.div_ceil(stages)),
                whole: u128::from(layers),
            },
            None => Self {
                part: 1,
                whole: u128::from(stages),
            },
        }
    }

    fn divided_by(self, parts: u128) -> Self {
        Self {
            whole: self.whole.saturating_mul(parts.max(1)),
            ..self
        }
    }

    /// Multiplies and rounds up to a whole byte.
    fn of(self, bytes: u128) -> u64 {
        saturate(bytes.saturating_mul(self.part).div_ceil(self.whole))
    }
}

fn cache_per_gpu(shape: &ModelShape, division: Division, context_tokens: u32) -> u64 {
    let stage = Share::of_stage(shape.layers, division.stages);
    let heads = u128::from(cache_parts(shape, division.tensor));
    let tokens = u128::from(context_tokens);
    let per_token = u128::from(shape.kv_bytes_per_token);
    let (Some(hybrid), Some(layers)) = (shape.hybrid_cache, shape.layers.filter(|layers| *layers > 0)) else {
        return stage.divided_by(heads).of(tokens * per_token);
    };
    let kept = kept_tokens(hybrid.in_stage(layers, division.stages), tokens);
    let a_layer = Share {
        part: 1,
        whole: u128::from(layers),
    };
    let growing = a_layer.divided_by(heads).of(kept.saturating_mul(per_token));
    let state = stage
        .divided_by(u128::from(division.tensor))
        .of(u128::from(hybrid.state_bytes));
    growing.saturating_add(state)
}

/// Cached tokens, counted once for each layer that caches them.
fn kept_tokens(hybrid: HybridCache, tokens: u128) -> u128 {
    let windowed = tokens.min(u128::from(hybrid.window_tokens));
    u128::from(hybrid.full_layers) * tokens + u128::from(hybrid.window_layers) * windowed
}

impl HybridCache {
    /// Largest cache of one of `stages` stages. Layers of a kind are spread over the model, so a stage has its share and,
    /// if the spread is uneven, one more.
    #[must_use]
    pub(crate) fn in_stage(self, layers: u32, stages: u32) -> Self {
        let stage = layers.div_ceil(stages.max(1));
        let most = |kind: u32| {
            let part = (u64::from(kind) * u64::from(stage)).div_ceil(u64::from(layers.max(1)));
            u32::try_from(part + 1).map_or(kind, |part| part.min(kind).min(stage))
        };
        Self {
            full_layers: most(self.full_layers),
            window_layers: most(self.window_layers),
            ..self
        }
    }
}

/// Number of parts into which tensor parallelism divides keys and values. Heads stay whole, so GPUs beyond the number of
/// heads hold copies, and a latent vector is not divided.
#[must_use]
pub(crate) fn cache_parts(shape: &ModelShape, tensor: u32) -> u32 {
    match (shape.attention, shape.kv_heads) {
        (Some(AttentionKind::Mla | AttentionKind::Mqa), _) => 1,
        (_, Some(heads)) => tensor.min(heads).max(1),
        (_, None) => tensor.max(1),
    }
}

fn percent_down(bytes: u64, percent: u64) -> u64 {
    saturate(u128::from(bytes) * u128::from(percent) / 100)
}

fn percent_up(bytes: u64, percent: u64) -> u64 {
    saturate((u128::from(bytes) * u128::from(percent)).div_ceil(100))
}

pub(super) fn saturate(bytes: u128) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

/// Formats bytes as GiB for messages, rounded to hundredths.
pub(crate) fn gib(bytes: u64) -> String {
    let hundredths = (u128::from(bytes) * 100 + (1 << 29)) >> 30;
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}
