//! Estimate of the nodes that a model needs, and its layout on their GPUs.
//!
//! Integer arithmetic on bytes makes the result exact and reproducible. The estimate covers one replica with vLLM's memory
//! model and depends only on its arguments. It is the smallest number of nodes for which, on the fullest GPU,
//!
//! > weights + activations + engine + KV cache < usable memory
//!
//! | term | bytes on one GPU |
//! |---|---|
//! | usable | memory × 84 % |
//! | weights | all files × 102 % × layers of the largest stage ÷ all layers ÷ tensor parallelism |
//! | activations | weights × 5 % |
//! | engine | 2.3 GiB |
//! | KV cache | tokens × bytes per token × the same share of layers ÷ the parts into which heads can be divided |
//!
//! The source is the node estimator of KAITO 0.12, which divides everything evenly. `docs/estimator.md` lists the
//! differences and their reasons. The estimate covers one sequence of the requested length.

mod division;
mod gpu_node;
mod host;
mod memory;
mod misfit;
mod options;

use crate::preset::{InferenceProfile, ModelShape, Preset};

use division::{Division, Fixed};
pub(crate) use gpu_node::HOST_AVAILABLE_PERCENT;
pub use gpu_node::{GpuNode, host_bytes};
pub(crate) use host::HOST_ENGINE_BYTES;
pub use host::{HostFit, HostFormat, host_fit};
pub use memory::{EngineMemory, MemoryTerms};
pub(crate) use memory::{cache_parts, gib};
pub use misfit::Misfit;
pub use options::{CacheFormat, EngineOptions, WeightsFormat};

/// Default context, in tokens.
pub const DEFAULT_CONTEXT_TOKENS: u32 = 2048;

/// Work of the nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Inference with a context of this length.
    Inference {
        /// Tokens of one sequence, prompt and completion together.
        context_tokens: u32,
        /// Settings of the engine.
        options: EngineOptions,
    },
    /// Tuning, which always uses one node.
    Tuning,
}

impl Work {
    /// Inference with a context of this length and an engine with our own settings.
    #[must_use]
    pub const fn inference(context_tokens: u32) -> Self {
        Self::Inference {
            context_tokens,
            options: EngineOptions::DEFAULT,
        }
    }
}

/// Placement of a model: number of nodes and layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placement {
    /// Nodes of one replica; at least 1.
    pub nodes: u32,
    /// GPUs per node; 0 on the CPU.
    pub gpus_per_node: u32,
    /// GPUs that the model's memory needs, before rounding up to nodes; 0 on the CPU.
    pub min_gpus: u32,
    /// Tensor parallelism: GPUs of one node that share every layer.
    pub tensor_parallel: u32,
    /// Pipeline parallelism: stages of layers. One per node, or more if the heads cannot be divided over all GPUs of a
    /// node.
    pub pipeline_parallel: u32,
    /// Data parallelism: whole copies of the model in one node.
    pub data_parallel: u32,
    /// Memory terms of the decision; all zero without sizing.
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

/// Returns true if the preset can be tuned on a node without a GPU: a larger one would take days.
#[must_use]
pub fn tunes_on_cpu(preset: &Preset) -> bool {
    let runs = preset.inference.as_ref().is_some_and(|profile| profile.cpu);
    runs && preset.tuning.is_some() && preset.shape.is_small()
}

/// Estimates the nodes for one replica of the model, even if it must not span nodes.
///
/// # Errors
/// [`Misfit::NoGpu`] without GPUs; [`Misfit::GpuTooSmall`] if a GPU has no memory left for weights;
/// [`Misfit::PartTooLarge`] if the model cannot be divided far enough.
pub fn estimate(shape: &ModelShape, node: GpuNode, context_tokens: u32) -> Result<Placement, Misfit> {
    estimate_for(&EngineMemory::VLLM, shape, node, context_tokens)
}

/// Works as [`estimate`], with the memory model of another engine.
///
/// # Errors
/// Fails as [`estimate`] does.
pub fn estimate_for(
    engine: &EngineMemory,
    shape: &ModelShape,
    node: GpuNode,
    context_tokens: u32,
) -> Result<Placement, Misfit> {
    estimate_divided(engine, shape, node, context_tokens, Fixed::default())
}

fn estimate_divided(
    engine: &EngineMemory,
    shape: &ModelShape,
    node: GpuNode,
    context_tokens: u32,
    fixed: Fixed,
) -> Result<Placement, Misfit> {
    if node.gpus == 0 {
        return Err(Misfit::NoGpu);
    }
    let request = EstimateRequest {
        engine,
        shape,
        node,
        context_tokens,
        fixed,
    };
    request
        .on_one_node()
        .or_else(|| request.on_several_nodes())
        .ok_or_else(|| request.misfit())
}

struct EstimateRequest<'a> {
    engine: &'a EngineMemory,
    shape: &'a ModelShape,
    node: GpuNode,
    context_tokens: u32,
    fixed: Fixed,
}

impl EstimateRequest<'_> {
    fn on_one_node(&self) -> Option<Placement> {
        division::of_one_node(self.shape, self.node, self.fixed)
            .into_iter()
            .find_map(|division| self.placement(1, division))
    }

    /// Binary search for the smallest number: more nodes never hold less.
    fn on_several_nodes(&self) -> Option<Placement> {
        if self.fixed.stages.is_some() {
            let nodes = division::fixed_nodes(self.shape, self.node.gpus, self.fixed);
            return self.on_nodes(nodes.filter(|nodes| *nodes > 1)?);
        }
        let most = division::most_nodes(self.shape, self.node.gpus, self.fixed);
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
        let division = division::of_nodes(self.shape, self.node.gpus, nodes, self.fixed)?;
        self.placement(nodes, division)
    }

    fn placement(&self, nodes: u32, division: Division) -> Option<Placement> {
        let memory = self.memory(division);
        let even = memory.weights_bytes.checked_div(memory.usable_bytes_per_gpu)?;
        // One node fewer was not enough, even if an even division would fit.
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

    /// Returns the reason why even the largest useful number of nodes is not enough.
    fn misfit(&self) -> Misfit {
        if self.fixed != Fixed::default() {
            return Misfit::FixedDivision {
                tensor_parallel: self.fixed.tensor,
                pipeline_parallel: self.fixed.stages,
                gpus_per_node: self.node.gpus,
            };
        }
        let most = division::most_nodes(self.shape, self.node.gpus, self.fixed).max(1);
        let division = division::of_nodes(self.shape, self.node.gpus, most, self.fixed).unwrap_or(Division {
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

/// Places one replica of the preset, or one tuning job.
///
/// A preset that runs on a CPU uses one node if the node has no GPU, and the memory of the node must hold it.
///
/// ```
/// use preset_catalog::Catalog;
/// use preset_catalog::estimate::{GpuNode, Work, place};
///
/// let catalog = Catalog::embedded()?;
/// let preset = catalog.find("phi-4").ok_or("unknown preset")?;
/// let node = GpuNode { gpus: 1, memory_bytes_total: 80 << 30, host_bytes: None };
/// let placement = place(preset, node, Work::inference(2048))?;
/// assert_eq!((placement.nodes, placement.gpus_per_node), (1, 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Fails if the preset does not support this work or does not fit; see [`Misfit`].
pub fn place(preset: &Preset, node: GpuNode, work: Work) -> Result<Placement, Misfit> {
    match work {
        Work::Tuning => place_tuning(preset, node),
        Work::Inference {
            context_tokens,
            options,
        } => {
            let profile = preset.inference.as_ref().ok_or(Misfit::NotServed)?;
            place_inference(&preset.shape, profile, node, context_tokens, &options)
        }
    }
}

fn place_tuning(preset: &Preset, node: GpuNode) -> Result<Placement, Misfit> {
    match (&preset.tuning, node.gpus) {
        (None, _) => Err(Misfit::NotTunable),
        (Some(_), 0) if tunes_on_cpu(preset) => Ok(Placement::one_node(0)),
        (Some(_), 0) => Err(Misfit::NoGpu),
        (Some(_), gpus) => Ok(Placement::one_node(gpus)),
    }
}

fn place_inference(
    shape: &ModelShape,
    profile: &InferenceProfile,
    node: GpuNode,
    context_tokens: u32,
    options: &EngineOptions,
) -> Result<Placement, Misfit> {
    if profile.cpu && node.gpus == 0 {
        host_fit(shape, node.host_bytes, context_tokens, options.host)?;
        return Ok(Placement::one_node(0));
    }
    let (engine, held) = (options.memory(), options.shape(shape));
    let fixed = Fixed {
        tensor: options.tensor_parallel,
        stages: options.pipeline_parallel,
    };
    let placement = estimate_divided(&engine, &held, node, context_tokens, fixed)?;
    if placement.nodes > 1 && !profile.distributed {
        return Err(Misfit::NotDistributed {
            min_gpus: placement.min_gpus,
            gpus_per_node: node.gpus,
        });
    }
    Ok(placement)
}
