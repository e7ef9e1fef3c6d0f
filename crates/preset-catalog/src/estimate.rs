//! How many nodes of a kind a model needs, and how it is divided over their GPUs.
//!
//! Whole-number arithmetic on bytes, so the same question has the same answer everywhere. It plans one replica for
//! the vLLM engine's memory model and looks at nothing but its arguments. The smallest number of nodes is taken for
//! which, on the GPU that holds the most,
//!
//! > weights + activations + engine + KV cache < what the engine may use
//!
//! | term | bytes on one GPU |
//! |---|---|
//! | may use | memory × 84 % |
//! | weights | all files × 102 % × layers of the largest stage ÷ all layers ÷ tensor parallelism |
//! | activations | weights × 5 % |
//! | engine | 2.3 GiB |
//! | KV cache | tokens × bytes a token × the same share of layers ÷ the parts into which heads can be divided |
//!
//! Source: the node estimator of KAITO 0.12, which divides everything evenly. `docs/estimator.md` lists where this
//! one differs and why. One sequence of the wanted length is sized for.

mod division;
mod memory;

use instance_types::InstanceType;

use crate::preset::{InferenceProfile, ModelShape, Preset};

use division::Division;
pub(crate) use memory::cache_parts;
pub use memory::{EngineMemory, MemoryTerms};

/// Context to size for when nobody says otherwise, in tokens.
pub const DEFAULT_CONTEXT_TOKENS: u32 = 2048;

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
    /// Stages that share the layers among them: one a node, or more where the heads cannot be divided over all GPUs of
    /// a node.
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

/// Why a model cannot run on nodes of a kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// The preset has no inference profile.
    #[error("the preset cannot be served")]
    NotServed,
    /// The preset has no tuning profile.
    #[error("the preset cannot be tuned")]
    NotTunable,
    /// The node has no NVIDIA GPU.
    #[error("needs an NVIDIA GPU and the node has none")]
    NoGpu,
    /// One GPU cannot even hold what comes before the weights.
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
    /// The model cannot be cut small enough: layers stay whole.
    #[error(
        "divided over as many GPUs as its layers allow ({parts}), the model still needs {} GiB of each, which has {} \
         GiB for use",
        gib(.memory.needed_bytes_per_gpu()),
        gib(.memory.available_bytes_per_gpu)
    )]
    PartTooLarge {
        /// GPUs over which it would be divided.
        parts: u32,
        /// The terms of one of them.
        memory: MemoryTerms,
    },
    /// The model takes several nodes and cannot be divided.
    #[error("needs {min_gpus} GPUs, one node has {gpus_per_node}, and the model cannot span nodes")]
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
/// [`Misfit::NoGpu`] without GPUs; [`Misfit::GpuTooSmall`] when nothing of a GPU is left for weights;
/// [`Misfit::PartTooLarge`] when the model cannot be cut small enough.
pub fn estimate(shape: &ModelShape, node: GpuNode, context_tokens: u32) -> Result<Placement, Misfit> {
    estimate_for(&EngineMemory::VLLM, shape, node, context_tokens)
}

/// [`estimate`] for an engine that uses memory in its own way.
///
/// # Errors
/// As for [`estimate`].
pub fn estimate_for(
    engine: &EngineMemory,
    shape: &ModelShape,
    node: GpuNode,
    context_tokens: u32,
) -> Result<Placement, Misfit> {
    if node.gpus == 0 {
        return Err(Misfit::NoGpu);
    }
    let question = Question {
        engine,
        shape,
        node,
        context_tokens,
    };
    question
        .on_one_node()
        .or_else(|| question.on_several_nodes())
        .ok_or_else(|| question.misfit())
}

struct Question<'a> {
    engine: &'a EngineMemory,
    shape: &'a ModelShape,
    node: GpuNode,
    context_tokens: u32,
}

impl Question<'_> {
    fn on_one_node(&self) -> Option<Placement> {
        division::of_one_node(self.shape, self.node)
            .into_iter()
            .find_map(|division| self.placement(1, division))
    }

    /// More nodes never hold less, so the smallest number is found by halving.
    fn on_several_nodes(&self) -> Option<Placement> {
        let most = division::most_nodes(self.shape, self.node.gpus);
        if most < 2 {
            return None;
        }
        let mut best = self.on_nodes(most)?;
        let (mut too_few, mut enough) = (1, most);
        while enough - too_few > 1 {
            let middle = too_few + (enough - too_few) / 2;
            match self.on_nodes(middle) {
                Some(placement) => (best, enough) = (placement, middle),
                None => too_few = middle,
            }
        }
        Some(best)
    }

    fn on_nodes(&self, nodes: u32) -> Option<Placement> {
        let division = division::of_nodes(self.shape, self.node.gpus, nodes)?;
        self.placement(nodes, division)
    }

    fn placement(&self, nodes: u32, division: Division) -> Option<Placement> {
        let memory = self.memory(division);
        let even = memory.weights_bytes.checked_div(memory.usable_bytes_per_gpu)?;
        // One node fewer was not enough, whatever an even division would say.
        let least = nodes
            .saturating_sub(1)
            .saturating_mul(self.node.gpus)
            .saturating_add(1);
        let most = division.tensor.saturating_mul(division.stages).max(least);
        memory.fit().then(|| Placement {
            nodes,
            gpus_per_node: self.node.gpus,
            min_gpus: u32::try_from(even.saturating_add(1))
                .unwrap_or(u32::MAX)
                .clamp(least, most),
            tensor_parallel: division.tensor,
            pipeline_parallel: division.stages,
            data_parallel: division.copies,
            memory,
        })
    }

    fn memory(&self, division: Division) -> MemoryTerms {
        let gpu_bytes = self.node.memory_bytes_each();
        MemoryTerms::of(self.shape, gpu_bytes, division, self.context_tokens, self.engine)
    }

    /// Why not even the most nodes that make sense are enough.
    fn misfit(&self) -> Misfit {
        let most = division::most_nodes(self.shape, self.node.gpus).max(1);
        let division = division::of_nodes(self.shape, self.node.gpus, most).unwrap_or(Division {
            tensor: 1,
            stages: 1,
            copies: self.node.gpus,
        });
        let memory = self.memory(division);
        if memory.usable_bytes_per_gpu == 0 {
            return Misfit::GpuTooSmall {
                context_tokens: self.context_tokens,
                memory,
            };
        }
        Misfit::PartTooLarge {
            parts: division.tensor.saturating_mul(division.stages),
            memory,
        }
    }
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
        (Some(_), 0) if preset.inference.as_ref().is_some_and(|profile| profile.cpu) => {
            Ok(Placement::one_node(0))
        }
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

/// For messages: GiB to the nearest hundredth.
pub(crate) fn gib(bytes: u64) -> String {
    let hundredths = (u128::from(bytes) * 100 + (1 << 29)) >> 30;
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}
