//! Reasons why a model cannot be placed, with their numbers.

use super::memory::{MemoryTerms, gib};

/// Reason why a model cannot run on an instance type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// The preset has no inference profile.
    #[error("the preset cannot be served")]
    NotServed,
    /// The preset has no tuning profile.
    #[error("the preset cannot be tuned")]
    NotTunable,
    /// The node has no NVIDIA GPU.
    #[error("needs an NVIDIA GPU, but the node has none")]
    NoGpu,
    /// One GPU cannot hold engine and cache, even without weights.
    #[error(
        "one GPU needs {} GiB before any weights ({} GiB for the engine, {} GiB of KV cache for {context_tokens} \
         tokens) and has {} GiB for use",
        gib(.memory.overhead_bytes_per_gpu()),
        gib(.memory.base_overhead_bytes_per_gpu),
        gib(.memory.kv_cache_bytes_per_gpu),
        gib(.memory.available_bytes_per_gpu)
    )]
    GpuTooSmall {
        /// Requested context, in tokens.
        context_tokens: u32,
        /// Memory terms; no memory is left for weights.
        memory: MemoryTerms,
    },
    /// The model cannot be divided further, because layers stay whole.
    #[error(
        "divided over as many GPUs as its layers allow ({parts}), the model still needs {} GiB of each, which has {} \
         GiB for use",
        gib(.memory.needed_bytes_per_gpu()),
        gib(.memory.available_bytes_per_gpu)
    )]
    PartTooLarge {
        /// Number of GPUs of the largest division.
        parts: u32,
        /// Memory terms of one of these GPUs.
        memory: MemoryTerms,
    },
    /// The user set a division that does not fit.
    #[error(
        "does not fit with {}, on nodes of {gpus_per_node} GPUs: layers are shared only by GPUs of one node, which must \
         divide the heads of the model",
        division(*.tensor_parallel, *.pipeline_parallel)
    )]
    FixedDivision {
        /// GPUs that share every layer, if set.
        tensor_parallel: Option<u32>,
        /// Stages of layers, if set.
        pipeline_parallel: Option<u32>,
        /// GPUs of one node.
        gpus_per_node: u32,
    },
    /// The model needs several nodes, but cannot span nodes.
    #[error("needs {min_gpus} GPUs, but one node has {gpus_per_node} and the model cannot span nodes")]
    NotDistributed {
        /// GPUs that the model's memory needs.
        min_gpus: u32,
        /// GPUs of one node.
        gpus_per_node: u32,
    },
    /// The node's memory holds neither the model without a GPU, nor what GPUs offload.
    #[error(
        "needs {} GiB of memory outside GPUs, but {} GiB are available",
        gib(*.needed_bytes),
        gib(*.available_bytes)
    )]
    HostMemoryTooSmall {
        /// Needed bytes.
        needed_bytes: u64,
        /// Available bytes.
        available_bytes: u64,
    },
}

fn division(tensor: Option<u32>, stages: Option<u32>) -> String {
    let tensor = tensor.map(|parts| format!("tensor-parallel-size {parts}"));
    let stages = stages.map(|parts| format!("pipeline-parallel-size {parts}"));
    let words: Vec<String> = tensor.into_iter().chain(stages).collect();
    words.join(" and ")
}
