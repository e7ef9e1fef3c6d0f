//! Settings of the engine that change the size of a model.

use std::borrow::Cow;
use std::fmt;

use crate::preset::ModelShape;

use super::host::HostFormat;
use super::memory::{EngineMemory, gib, saturate};

/// Share of the published weights that bitsandbytes keeps, in percent. Layers shrink to about 28 %; embeddings stay, and are
/// up to a quarter of a small model.
const BITS_AND_BYTES_PERCENT: u128 = 50;

/// Effect of a user's flags; the default changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EngineOptions {
    /// Share of a GPU's memory that the engine may use, in percent; `None` for the engine's default.
    pub memory_percent: Option<u32>,
    /// Numbers of the KV cache.
    pub cache: CacheFormat,
    /// Numbers of the weights.
    pub weights: WeightsFormat,
    /// GPUs that share every layer; `None` for any number.
    pub tensor_parallel: Option<u32>,
    /// Stages of layers; `None` for any number.
    pub pipeline_parallel: Option<u32>,
    /// Bytes of the weights of each GPU that stay in the node's memory.
    pub offload_bytes_per_gpu: u64,
    /// Numbers of the weights on a node without a GPU; `None` for the best ones that fit.
    pub host: Option<HostFormat>,
}

/// Numbers of the KV cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CacheFormat {
    /// Those of the model.
    #[default]
    OfModel,
    /// One byte for each number.
    EightBit,
}

/// Numbers of the weights in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WeightsFormat {
    /// As published. Other methods of quantization load the published weights first, so they need the same room.
    #[default]
    Published,
    /// Four bytes for each number, of weights that are not quantized.
    Float32,
    /// Quantized to four bits while they are loaded.
    BitsAndBytes,
}

impl EngineOptions {
    /// Our own settings.
    pub const DEFAULT: Self = Self {
        memory_percent: None,
        cache: CacheFormat::OfModel,
        weights: WeightsFormat::Published,
        tensor_parallel: None,
        pipeline_parallel: None,
        offload_bytes_per_gpu: 0,
        host: None,
    };

    /// Returns the model as the engine holds it in memory.
    pub(crate) fn shape<'a>(&self, shape: &'a ModelShape) -> Cow<'a, ModelShape> {
        let is_published = shape.quantization.is_some();
        let weights = match self.weights {
            WeightsFormat::Float32 if !is_published => 200,
            WeightsFormat::BitsAndBytes if !is_published => BITS_AND_BYTES_PERCENT,
            WeightsFormat::Published | WeightsFormat::Float32 | WeightsFormat::BitsAndBytes => 100,
        };
        let cache = match (self.cache, self.weights) {
            (CacheFormat::EightBit, _) => 50,
            (CacheFormat::OfModel, WeightsFormat::Float32) => 200,
            (CacheFormat::OfModel, _) => 100,
        };
        if (weights, cache) == (100, 100) {
            return Cow::Borrowed(shape);
        }
        let scaled = |bytes: u64, percent: u128| saturate((u128::from(bytes) * percent).div_ceil(100));
        Cow::Owned(ModelShape {
            weights_bytes: scaled(shape.weights_bytes, weights),
            kv_bytes_per_token: scaled(shape.kv_bytes_per_token, cache),
            ..shape.clone()
        })
    }

    /// Bytes of the weights of all GPUs of a node that stay in the node's memory.
    #[must_use]
    pub const fn offload_bytes(&self, gpus_per_node: u32) -> u64 {
        self.offload_bytes_per_gpu.saturating_mul(gpus_per_node as u64)
    }

    /// Returns the memory model of the engine with these settings.
    pub(crate) fn memory(&self) -> EngineMemory {
        let of_default = EngineMemory::VLLM;
        EngineMemory {
            available_percent: self
                .memory_percent
                .map_or(of_default.available_percent, |percent| {
                    u64::from(percent.min(100))
                }),
            offload_bytes: self.offload_bytes_per_gpu,
            ..of_default
        }
    }
}

/// Lists the settings in words; empty for the default.
impl fmt::Display for EngineOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let weights = match self.weights {
            WeightsFormat::Published => None,
            WeightsFormat::Float32 => Some("weights in 32 bits".to_owned()),
            WeightsFormat::BitsAndBytes => Some("weights in 4 bits".to_owned()),
        };
        let cache = match self.cache {
            CacheFormat::OfModel => None,
            CacheFormat::EightBit => Some("8-bit KV cache".to_owned()),
        };
        let offload = (self.offload_bytes_per_gpu > 0).then(|| {
            let gib = gib(self.offload_bytes_per_gpu);
            format!("{gib} GiB of weights of each GPU in the node's memory")
        });
        let parts = |what: &'static str| move |parts| format!("{what} parallelism {parts}");
        let words = [
            self.memory_percent
                .map(|percent| format!("{percent} % of GPU memory")),
            weights,
            cache,
            offload,
            self.tensor_parallel.map(parts("tensor")),
            self.pipeline_parallel.map(parts("pipeline")),
        ];
        let words: Vec<String> = words.into_iter().flatten().collect();
        f.write_str(&words.join(", "))
    }
}
