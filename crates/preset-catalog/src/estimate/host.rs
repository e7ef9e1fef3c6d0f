//! Memory of a node without a GPU, on which our own engine holds the model.
//!
//! A small model keeps the numbers of its files. The weights of others are rounded to 8 bits while they are loaded, or to 4 if 8 do not
//! fit. Processors read all weights for each token, so half the bits are twice the speed.

use crate::preset::ModelShape;

use super::memory::saturate;
use super::misfit::Misfit;

/// Allowance for tokenizer, server and buffers of the native engine: half a GiB.
pub(crate) const HOST_ENGINE_BYTES: u64 = 1 << 29;

/// Numbers in which our own engine holds the weights. Published weights have 16 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HostFormat {
    /// 32-bit floats, only on request.
    Float32,
    /// Those of the files.
    Published,
    /// 8-bit integers with a scale for each 32.
    EightBit,
    /// 4-bit integers with a scale and a minimum for each 32; embeddings have 8 bits.
    FourBit,
}

impl HostFormat {
    /// Formats that are chosen without a wish, the best one first.
    const fn choices(shape: &ModelShape) -> &'static [Self] {
        if shape.is_small() {
            &[Self::Published, Self::EightBit, Self::FourBit]
        } else {
            &[Self::EightBit, Self::FourBit]
        }
    }

    /// Returns the value of the server's flag `--dtype`.
    #[must_use]
    pub const fn dtype(self) -> &'static str {
        match self {
            Self::Float32 => "f32",
            Self::Published => "auto",
            Self::EightBit => "q8",
            Self::FourBit => "q4",
        }
    }

    /// Reads a value of the server's flag `--dtype`.
    #[must_use]
    pub fn of_dtype(text: &str) -> Option<Self> {
        match text {
            "f32" | "float32" => Some(Self::Float32),
            "auto" | "bf16" | "bfloat16" => Some(Self::Published),
            "q8" => Some(Self::EightBit),
            "q4" => Some(Self::FourBit),
            _ => None,
        }
    }

    /// Size of the weights relative to the published ones, in percent. Embeddings are at most a quarter of a model.
    #[must_use]
    pub const fn weights_percent(self) -> u64 {
        match self {
            Self::Float32 => 200,
            Self::Published => 100,
            Self::EightBit => 54,
            Self::FourBit => 37,
        }
    }

    /// Size of the cache relative to one of 16-bit numbers, in percent.
    #[must_use]
    pub const fn cache_percent(self) -> u64 {
        match self {
            Self::Float32 => 200,
            Self::Published | Self::EightBit | Self::FourBit => 100,
        }
    }
}

/// Memory that a model takes on a node without a GPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostFit {
    /// Numbers of the weights.
    pub format: HostFormat,
    /// Bytes of the weights.
    pub weights_bytes: u64,
    /// Bytes of the cache of the context.
    pub cache_bytes: u64,
}

impl HostFit {
    /// Returns the memory of the model in this format, whether it fits a node or not.
    #[must_use]
    pub fn of(shape: &ModelShape, context_tokens: u32, format: HostFormat) -> Self {
        let percent =
            |bytes: u64, percent: u64| saturate((u128::from(bytes) * u128::from(percent)).div_ceil(100));
        let cache = shape.kv_bytes_per_token.saturating_mul(u64::from(context_tokens));
        Self {
            format,
            weights_bytes: percent(shape.weights_bytes, format.weights_percent()),
            cache_bytes: percent(cache, format.cache_percent()),
        }
    }

    /// Memory without the cache of a context, in bytes.
    #[must_use]
    pub const fn least_bytes(&self) -> u64 {
        self.weights_bytes.saturating_add(HOST_ENGINE_BYTES)
    }

    /// All memory of the engine, in bytes.
    #[must_use]
    pub const fn needed_bytes(&self) -> u64 {
        self.least_bytes().saturating_add(self.cache_bytes)
    }
}

/// Chooses the numbers of the weights: those that are asked for, else the best ones that fit. If the memory is not known, all fit.
///
/// # Errors
/// [`Misfit::HostMemoryTooSmall`] with what the smallest allowed numbers need.
pub fn host_fit(
    shape: &ModelShape,
    available_bytes: Option<u64>,
    context_tokens: u32,
    asked: Option<HostFormat>,
) -> Result<HostFit, Misfit> {
    let allowed = asked
        .as_ref()
        .map_or(HostFormat::choices(shape), std::slice::from_ref);
    let available_bytes = available_bytes.unwrap_or(u64::MAX);
    let mut needed_bytes = u64::MAX;
    for format in allowed {
        let found = HostFit::of(shape, context_tokens, *format);
        if found.needed_bytes() <= available_bytes {
            return Ok(found);
        }
        needed_bytes = needed_bytes.min(found.needed_bytes());
    }
    Err(Misfit::HostMemoryTooSmall {
        needed_bytes,
        available_bytes,
    })
}
