//! How many nodes of a kind a model needs, and how it is spread over their GPUs.
//!
//! Whole-number arithmetic on bytes, rounded to the safe side, so the same question has the same answer
//! everywhere and the terms that are reported are the terms that decided. It plans one replica for the vLLM
//! engine's memory model and looks at nothing but its arguments.
//!
//! For a GPU with `g` bytes, `n` of them a node, and a context of `t` tokens:
//!
//! | term | bytes |
//! |---|---|
//! | available | `g` × 84 % |
//! | KV cache | `t` × bytes a token ÷ `n` |
//! | usable | (available − 2.3 GiB − KV cache) ÷ 1.05 |
//! | weights | all files × 102 % |
//! | GPUs | ⌊weights ÷ usable⌋ + 1 |
//! | nodes | ⌈GPUs ÷ `n`⌉ |
//!
//! Source of the formula and its constants: the node estimator of KAITO 0.12. One GPU more than the quotient is
//! taken even on an exact fit.

use instance_types::InstanceType;

use crate::preset::{InferenceProfile, ModelShape, Preset};

/// Context to size for when nobody says otherwise, in tokens.
pub const DEFAULT_CONTEXT_TOKENS: u32 = 2048;

/// Share of a GPU's memory that the engine may use; vLLM's `gpu-memory-utilization`.
const AVAILABLE_PERCENT: u64 = 84;
/// Weights in memory against weights on disk: alignment and buffers.
const WEIGHTS_PERCENT: u64 = 102;
/// Usable memory is divided by this to leave room for activations.
const ACTIVATIONS_PERCENT: u64 = 105;
/// What the engine and its CUDA graphs take on each GPU: 2.3 GiB.
const BASE_OVERHEAD_BYTES: u64 = (23_u64 << 30).div_ceil(10);

/// The GPUs of one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct GpuNode {
    /// NVIDIA GPUs of the node; 0 when it has none.
    pub gpus: u32,
    /// Bytes of GPU memory of the node, all GPUs together.
    pub memory_bytes_total: u64,
}

impl GpuNode {
    /// A node without a GPU that an engine could use.
    pub const CPU_ONLY: Self = Self {
        gpus: 0,
        memory_bytes_total: 0,
    };

    /// Bytes of one GPU; 0 without a GPU.
    #[must_use]
    pub fn memory_bytes_each(self) -> u64 {
        self.memory_bytes_total
            .checked_div(u64::from(self.gpus))
            .unwrap_or(0)
    }
}

impl From<&InstanceType> for GpuNode {
    /// Accelerators of other vendors don't count: no engine here can use them.
    fn from(instance_type: &InstanceType) -> Self {
        let gpus = instance_type.nvidia_gpus();
        Self {
            gpus,
            memory_bytes_total: u64::from(gpus) * instance_type.gpu_memory_bytes_each(),
        }
    }
}

/// What the nodes are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Serving, with room for a context of this many tokens.
    Inference {
        /// Tokens of one sequence, prompt and answer together.
        context_tokens: u32,
    },
    /// Tuning, which always takes one node.
    Tuning,
}

/// Where a model runs: how many nodes and how the model is divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placement {
    /// Nodes of one replica; at least 1.
    pub nodes: u32,
    /// GPUs that each node gives to it; 0 when it runs on the CPU.
    pub gpus_per_node: u32,
    /// GPUs that the memory of the model takes, which the nodes round up; 0 when it runs on the CPU.
    pub min_gpus: u32,
    /// GPUs of one node that share every layer.
    pub tensor_parallel: u32,
    /// Nodes that share the layers among them.
    pub pipeline_parallel: u32,
    /// Whole copies of the model in one node.
    pub data_parallel: u32,
    /// What decided; all zero when nothing had to be sized.
    pub memory: MemoryTerms,
}

impl Placement {
    const fn one_node(gpus: u32) -> Self {
        Self {
            nodes: 1,
            gpus_per_node: gpus,
            min_gpus: gpus,
            tensor_parallel: 1,
            pipeline_parallel: 1,
            data_parallel: 1,
            memory: MemoryTerms::NONE,
        }
    }
}

/// The terms of the estimate in bytes, in the order in which they are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryTerms {
    /// All weights as they are in memory, over all GPUs.
    pub weights_bytes: u64,
    /// Memory of one GPU.
    pub gpu_bytes: u64,
    /// What the engine may use of one GPU.
    pub available_bytes_per_gpu: u64,
    /// What the engine itself takes on one GPU.
    pub base_overhead_bytes_per_gpu: u64,
    /// Key and value cache of the context on one GPU.
    pub kv_cache_bytes_per_gpu: u64,
    /// What is left for weights on one GPU, after room for activations.
    pub usable_bytes_per_gpu: u64,
}

impl MemoryTerms {
    const NONE: Self = Self {
        weights_bytes: 0,
        gpu_bytes: 0,
        available_bytes_per_gpu: 0,
        base_overhead_bytes_per_gpu: 0,
        kv_cache_bytes_per_gpu: 0,
        usable_bytes_per_gpu: 0,
    };

    fn of(shape: &ModelShape, node: GpuNode, context_tokens: u32) -> Self {
        let gpu_bytes = node.memory_bytes_each();
        let available_bytes_per_gpu = percent(gpu_bytes, AVAILABLE_PERCENT);
        let cache = u128::from(context_tokens) * u128::from(shape.kv_bytes_per_token);
        let kv_cache_bytes_per_gpu = saturate(cache.div_ceil(u128::from(node.gpus.max(1))));
        let overhead = BASE_OVERHEAD_BYTES.saturating_add(kv_cache_bytes_per_gpu);
        let left = u128::from(available_bytes_per_gpu.saturating_sub(overhead));
        Self {
            weights_bytes: percent(shape.weights_bytes, WEIGHTS_PERCENT),
            gpu_bytes,
            available_bytes_per_gpu,
            base_overhead_bytes_per_gpu: BASE_OVERHEAD_BYTES,
            kv_cache_bytes_per_gpu,
            usable_bytes_per_gpu: saturate(left * 100 / u128::from(ACTIVATIONS_PERCENT)),
        }
    }

    /// What one GPU must hold beside weights.
    #[must_use]
    pub const fn overhead_bytes_per_gpu(&self) -> u64 {
        self.base_overhead_bytes_per_gpu
            .saturating_add(self.kv_cache_bytes_per_gpu)
    }
}

/// Why a model can't run on nodes of a kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// The preset has no inference profile.
    #[error("the preset can't be served")]
    NotServed,
    /// The preset has no tuning profile.
    #[error("the preset can't be tuned")]
    NotTunable,
    /// The node has no NVIDIA GPU.
    #[error("needs an NVIDIA GPU and the node has none")]
    NoGpu,
    /// One GPU can't even hold what comes before the weights.
    #[error(
        "one GPU needs {} GiB before any weights ({} GiB for the engine, {} GiB of KV cache for {context_tokens} \
         tokens) and has {} GiB for use",
        gib(.memory.overhead_bytes_per_gpu()),
        gib(.memory.base_overhead_bytes_per_gpu),
        gib(.memory.kv_cache_bytes_per_gpu),
        gib(.memory.available_bytes_per_gpu)
    )]
    GpuTooSmall {
        /// The context that was asked for, in tokens.
        context_tokens: u32,
        /// The terms; nothing is usable for weights.
        memory: MemoryTerms,
    },
    /// The model takes several nodes and can't be divided.
    #[error("needs {min_gpus} GPUs, one node has {gpus_per_node}, and the model can't span nodes")]
    NotDistributed {
        /// GPUs that the memory of the model takes.
        min_gpus: u32,
        /// GPUs of one node.
        gpus_per_node: u32,
    },
}

/// Nodes of this kind for one replica of the model, ignoring whether it may span nodes.
///
/// # Errors
/// [`Misfit::NoGpu`] without GPUs; [`Misfit::GpuTooSmall`] when nothing of a GPU is left for weights.
pub fn estimate(shape: &ModelShape, node: GpuNode, context_tokens: u32) -> Result<Placement, Misfit> {
    if node.gpus == 0 {
        return Err(Misfit::NoGpu);
    }
    let memory = MemoryTerms::of(shape, node, context_tokens);
    let Some(quotient) = memory.weights_bytes.checked_div(memory.usable_bytes_per_gpu) else {
        return Err(Misfit::GpuTooSmall {
            context_tokens,
            memory,
        });
    };
    let min_gpus = u32::try_from(quotient.saturating_add(1)).unwrap_or(u32::MAX);
    let nodes = min_gpus.div_ceil(node.gpus);
    let (tensor_parallel, data_parallel) = within_node(shape, node, nodes);
    Ok(Placement {
        nodes,
        gpus_per_node: node.gpus,
        min_gpus,
        tensor_parallel,
        pipeline_parallel: nodes,
        data_parallel,
        memory,
    })
}

/// Nodes of this kind for one replica of the preset, or for one tuning job.
///
/// A preset that runs on a CPU takes one node when the node has no GPU.
///
/// # Errors
/// When the preset isn't made for this work, or doesn't fit: see [`Misfit`].
pub fn place(preset: &Preset, node: GpuNode, work: Work) -> Result<Placement, Misfit> {
    match work {
        Work::Tuning => place_tuning(preset, node),
        Work::Inference { context_tokens } => {
            let profile = preset.inference.as_ref().ok_or(Misfit::NotServed)?;
            place_inference(&preset.shape, profile, node, context_tokens)
        }
    }
}

fn place_tuning(preset: &Preset, node: GpuNode) -> Result<Placement, Misfit> {
    match (&preset.tuning, node.gpus) {
        (None, _) => Err(Misfit::NotTunable),
        (Some(_), 0) => Err(Misfit::NoGpu),
        (Some(_), gpus) => Ok(Placement::one_node(gpus)),
    }
}

fn place_inference(
    shape: &ModelShape,
    profile: &InferenceProfile,
    node: GpuNode,
    context_tokens: u32,
) -> Result<Placement, Misfit> {
    if profile.cpu && node.gpus == 0 {
        return Ok(Placement::one_node(0));
    }
    let placement = estimate(shape, node, context_tokens)?;
    if placement.nodes > 1 && !profile.distributed {
        return Err(Misfit::NotDistributed {
            min_gpus: placement.min_gpus,
            gpus_per_node: node.gpus,
        });
    }
    Ok(placement)
}

/// (tensor parallel, data parallel): whole copies when each GPU has twice the room of the weights, else every
/// layer divided over all GPUs of the node.
fn within_node(shape: &ModelShape, node: GpuNode, nodes: u32) -> (u32, u32) {
    let copies = u128::from(shape.weights_bytes) * u128::from(node.gpus) * 2;
    if nodes == 1 && node.gpus > 1 && copies < u128::from(node.memory_bytes_total) {
        (1, node.gpus)
    } else {
        (node.gpus, 1)
    }
}

fn percent(bytes: u64, percent: u64) -> u64 {
    saturate(u128::from(bytes) * u128::from(percent) / 100)
}

fn saturate(bytes: u128) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

/// For messages: GiB to the nearest hundredth.
fn gib(bytes: u64) -> String {
    let hundredths = (u128::from(bytes) * 100 + (1 << 29)) >> 30;
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}
