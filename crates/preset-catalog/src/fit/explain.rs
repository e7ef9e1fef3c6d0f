//! Terms of a GPU's memory, or of a node's memory without a GPU: formula, source and bytes.
//!
//! The bytes come from the placement, which decided. This module only adds text.

use std::fmt::Write as _;

use instance_types::InstanceType;

use crate::estimate::{
    EngineMemory, EngineOptions, GpuNode, HOST_AVAILABLE_PERCENT, HOST_ENGINE_BYTES, HostFit, HostFormat,
    Placement, WeightsFormat, cache_parts, gib, host_fit,
};
use crate::preset::{AttentionKind, HybridCache, ModelShape};

use super::term::{Term, TermKind};
use super::verdict::FitRequest;

const UPSTREAM: &str = "node estimator of KAITO 0.12";
const OURS: &str = "docs/estimator.md";

/// Lists the terms of a placement in the order of allocation; empty for tuning.
pub(super) fn terms(
    request: FitRequest<'_>,
    instance_type: &InstanceType,
    context_tokens: u32,
    placement: &Placement,
) -> Vec<Term> {
    let shape = &request.preset.shape;
    if !request.is_inference() {
        Vec::new()
    } else if placement.gpus_per_node == 0 {
        on_host(request, instance_type, context_tokens)
    } else {
        let settings = &request.options.settings;
        on_gpu(&settings.shape(shape), settings, context_tokens, placement)
    }
}

// `shape` is the model as the engine holds it in memory.
fn on_gpu(
    shape: &ModelShape,
    settings: &EngineOptions,
    context_tokens: u32,
    placement: &Placement,
) -> Vec<Term> {
    let memory = &placement.memory;
    let engine = settings.memory();
    let term = |kind, bytes, formula: String, source: &'static str| Term {
        kind,
        bytes,
        formula,
        source: source.into(),
    };
    vec![
        term(
            TermKind::Reserved,
            memory.gpu_bytes - memory.available_bytes_per_gpu,
            format!(
                "{} GiB of the GPU less the {} % that the engine may use",
                gib(memory.gpu_bytes),
                engine.available_percent
            ),
            UPSTREAM,
        ),
        term(
            TermKind::Weights,
            memory.weights_bytes_per_gpu,
            weights_formula(shape, settings, placement),
            if placement.pipeline_parallel > 1 {
                OURS
            } else {
                UPSTREAM
            },
        ),
        term(
            TermKind::Activations,
            memory.activations_bytes_per_gpu,
            format!("{} % of the weights on the GPU", engine.activations_percent),
            UPSTREAM,
        ),
        term(
            TermKind::Engine,
            memory.base_overhead_bytes_per_gpu,
            "fixed: 1.7 GiB of working memory and 0.6 GiB outside PyTorch".to_owned(),
            UPSTREAM,
        ),
        term(
            TermKind::KvCache,
            memory.kv_cache_bytes_per_gpu,
            cache_formula(shape, context_tokens, placement),
            OURS,
        ),
        term(
            TermKind::Headroom,
            memory.headroom_bytes_per_gpu(),
            "the rest, for more sequences".to_owned(),
            OURS,
        ),
    ]
}

fn weights_formula(shape: &ModelShape, settings: &EngineOptions, placement: &Placement) -> String {
    let form = match settings.weights {
        WeightsFormat::Published => "weight files",
        WeightsFormat::Float32 => "weights in 32 bits",
        WeightsFormat::BitsAndBytes => "weights in 4 bits, with embeddings as published",
    };
    let mut text = format!("{} GiB of {form}", gib(shape.weights_bytes));
    if let Some(method) = &shape.quantization {
        push(&mut text, format_args!(" ({method})"));
    }
    push(
        &mut text,
        format_args!(" x {} %", EngineMemory::VLLM.weights_percent),
    );
    push_stage(&mut text, shape, placement);
    push_tensor(&mut text, placement.tensor_parallel);
    if settings.offload_bytes_per_gpu > 0 {
        let offloaded = gib(settings.offload_bytes_per_gpu);
        push(
            &mut text,
            format_args!(", less {offloaded} GiB in the node's memory"),
        );
    }
    text
}

fn cache_formula(shape: &ModelShape, context_tokens: u32, placement: &Placement) -> String {
    let mut text = match (shape.hybrid_cache, shape.layers) {
        (Some(hybrid), Some(layers)) => hybrid_formula(shape, hybrid, layers, context_tokens, placement),
        _ => {
            let per_token = shape.kv_bytes_per_token;
            let mut text = format!("{context_tokens} tokens x {per_token} bytes per token");
            push_stage(&mut text, shape, placement);
            text
        }
    };
    push_heads(&mut text, shape, placement.tensor_parallel);
    text
}

fn hybrid_formula(
    shape: &ModelShape,
    hybrid: HybridCache,
    layers: u32,
    context_tokens: u32,
    placement: &Placement,
) -> String {
    let stages = placement.pipeline_parallel;
    let held = hybrid.in_stage(layers, stages);
    let per_layer = shape.kv_bytes_per_token / u64::from(layers.max(1));
    let mut text = format!("{per_layer} bytes per token in {}", held.full_layers);
    if stages > 1 {
        let stage = layers.div_ceil(stages);
        push(
            &mut text,
            format_args!(" of the {stage} layers of the largest of {stages} stages"),
        );
    } else {
        push(&mut text, format_args!(" of {layers} layers"));
    }
    push(&mut text, format_args!(" x {context_tokens} tokens"));
    if held.window_layers > 0 {
        let (count, window) = (held.window_layers, held.window_tokens);
        push(&mut text, format_args!(", in {count} x the last {window}"));
    }
    if held.state_bytes > 0 {
        let state = gib(held.state_bytes);
        push(
            &mut text,
            format_args!(", and {state} GiB of state in all layers"),
        );
    }
    text
}

fn push_stage(text: &mut String, shape: &ModelShape, placement: &Placement) {
    let stages = placement.pipeline_parallel;
    if stages < 2 {
        return;
    }
    match shape.layers {
        Some(layers) => push(
            text,
            format_args!(
                ", {} of {layers} layers in the largest of {stages} stages",
                layers.div_ceil(stages)
            ),
        ),
        None => push(text, format_args!(", over {stages} stages")),
    }
}

fn push_tensor(text: &mut String, tensor: u32) {
    if tensor > 1 {
        push(text, format_args!(", over {tensor} GPUs"));
    }
}

/// Describes how tensor parallelism divides the cache, and the limit.
fn push_heads(text: &mut String, shape: &ModelShape, tensor: u32) {
    let parts = cache_parts(shape, tensor);
    if parts == tensor {
        push_tensor(text, tensor);
    } else if shape.attention == Some(AttentionKind::Mla) {
        push(
            text,
            format_args!(", whole on each of {tensor} GPUs since the latent vector cannot be divided"),
        );
    } else {
        let heads = if parts == 1 { "head" } else { "heads" };
        push(
            text,
            format_args!(", {parts} KV {heads} over {tensor} GPUs, so each is kept more than once"),
        );
    }
}

fn on_host(request: FitRequest<'_>, instance_type: &InstanceType, context_tokens: u32) -> Vec<Term> {
    let shape = &request.preset.shape;
    let available = GpuNode::from(instance_type).host_bytes;
    let asked = request.options.settings.host;
    let Ok(fit) = host_fit(shape, available, context_tokens, asked) else {
        return Vec::new();
    };
    let term = |kind, bytes, formula: String| Term {
        kind,
        bytes,
        formula,
        source: OURS.into(),
    };
    let mut terms = vec![
        term(
            TermKind::Weights,
            fit.weights_bytes,
            host_weights_formula(shape, &fit),
        ),
        term(
            TermKind::Engine,
            HOST_ENGINE_BYTES,
            "fixed: tokenizer, server and buffers".to_owned(),
        ),
        term(
            TermKind::KvCache,
            fit.cache_bytes,
            format!(
                "{context_tokens} tokens x {} bytes per token{}",
                shape.kv_bytes_per_token,
                if fit.format == HostFormat::Float32 {
                    " x 2, in 32 bits"
                } else {
                    ""
                }
            ),
        ),
    ];
    if let (Some(available), Some(total)) = (available, instance_type.memory_gib) {
        let total = u64::from(total) << 30;
        let reserved = format!(
            "{} GiB of the node less the {HOST_AVAILABLE_PERCENT} % that pods may use",
            gib(total)
        );
        terms.insert(0, term(TermKind::Reserved, total - available, reserved));
        terms.push(term(
            TermKind::Headroom,
            available.saturating_sub(fit.needed_bytes()),
            "the rest, for more sequences".to_owned(),
        ));
    }
    terms
}

fn host_weights_formula(shape: &ModelShape, fit: &HostFit) -> String {
    let files = format!("{} GiB of weight files", gib(shape.weights_bytes));
    let percent = fit.format.weights_percent();
    let how = match fit.format {
        HostFormat::Published => return files,
        HostFormat::Float32 => "in 32 bits",
        HostFormat::EightBit => "rounded to 8 bits",
        HostFormat::FourBit => "rounded to 4 bits, with embeddings in 8",
    };
    format!("{files} x {percent} %: {how}")
}

// Writes to a String never fail.
fn push(text: &mut String, words: std::fmt::Arguments<'_>) {
    let _ = text.write_fmt(words);
}
