//! Loads a model from a directory: weights, tokenizer, chat template and adapters, into a running engine.

mod adapters;
pub(crate) mod hub;
mod loaded_model;
mod memory;
mod phase;
pub(crate) mod special_tokens;

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use model::{ChatTemplate, Decoder, GenerationConfig, Spec, TensorStore, Tokenizer};

use crate::engine::{AdaptedModel, Engine, SchedulerLimits};
use crate::grammar::{Compiler, GrammarError};
use crate::metrics::Metrics;
use crate::reasoning;
use crate::settings::LoadSettings;
use crate::tool_calls::ToolCallFormat;
use adapters::Adapters;
pub(crate) use loaded_model::{LoadedModel, ModelChoice};
pub(crate) use phase::{ServerPhase, SharedPhase};
pub(crate) use special_tokens::SpecialTokens;

/// Default of `step_tokens`: a chunk of a prompt this long delays generating sequences by less than a second on slow machines.
const STEP_TOKENS: usize = 256;
/// Default of `max_sequences`.
const MAX_SEQUENCES: usize = 16;
/// Lower bound for the longest token: normalization may shorten texts.
const MIN_TOKEN_BYTES: usize = 64;
/// Default of `max_waiting`.
const MAX_WAITING: usize = 64;

/// Loads everything, which takes from a second to minutes, and reports the progress from 0 to 1.
pub(crate) fn load(
    settings: &LoadSettings,
    metrics: &Metrics,
    progress: &(dyn Fn(f32) + Sync),
) -> anyhow::Result<LoadedModel> {
    let dir = settings.weights_dir.as_path();
    let spec = Spec::open(dir).with_context(|| missing_weights(settings))?;
    let store = TensorStore::open(dir)?;
    memory::check_weights(&spec, store.bytes(), settings.precision)?;
    let tokenizer = Arc::new(Tokenizer::open(dir)?);
    let template = chat_template(settings.chat_template.as_deref(), dir)?;
    let generation = GenerationConfig::open(dir)?;
    let grammars = grammar_compiler(&tokenizer, spec.vocab_size, &generation);
    let adapters = Adapters::open(&settings.adapters, &settings.served_name)?;
    let (pool, threads) = compute_threads(settings.threads)?;
    let report = |fraction: f32| {
        metrics.load_progress(fraction);
        progress(fraction);
    };
    let merged = adapters.to_merge();
    let decoder = pool.install(|| Decoder::load(spec, &store, settings.precision, merged, &report))?;
    let loras = adapters.fit(&decoder)?;
    let adapter_names = loras.iter().map(|lora| lora.name().to_owned()).collect();
    let spec = decoder.spec().clone();
    let context = settings
        .max_context_tokens
        .map_or(spec.max_position_embeddings, |max| {
            max.min(spec.max_position_embeddings)
        })
        .max(1);
    let limits = limits(settings, &decoder, context)?;
    if limits.cache < context {
        tracing::warn!(
            context,
            fits = limits.cache,
            "the memory has room for fewer tokens than the context of the model"
        );
    }
    let context = context.min(limits.cache);
    metrics.cache_config(limits.cache);
    tracing::info!(
        weights_mb = decoder.weight_bytes() / 1_000_000, family = ?spec.family, threads, context, cache_positions = limits.cache,
        "model loaded"
    );
    let model = AdaptedModel { decoder, loras };
    let engine = Engine::start(model, Arc::clone(&tokenizer), pool, limits, metrics.clone())?;
    Ok(LoadedModel {
        name: settings.served_name.clone(),
        engine,
        tool_call_format: template
            .as_ref()
            .and_then(|template| ToolCallFormat::of_template(&template.source())),
        thinks: template
            .as_ref()
            .is_some_and(|template| template.source().contains(reasoning::END)),
        template,
        generation,
        grammars,
        context,
        vocab_size: spec.vocab_size,
        special_tokens: SpecialTokens::new(&tokenizer),
        max_token_bytes: max_token_bytes(&tokenizer),
        pipeline: settings.pipeline,
        merged_adapters: adapters.merged_names(),
        adapters: adapter_names,
        tokenizer,
    })
}

/// Returns the bytes of the longest token: a text of more than that for each position of the context cannot fit.
fn max_token_bytes(tokenizer: &Tokenizer) -> usize {
    let ids = 0..u32::try_from(tokenizer.vocab_size()).unwrap_or(u32::MAX);
    let longest = ids
        .filter_map(|id| tokenizer.id_to_token(id))
        .map(|token| token.len())
        .max();
    longest.unwrap_or(0).max(MIN_TOKEN_BYTES)
}

fn compute_threads(threads: Option<usize>) -> anyhow::Result<(rayon::ThreadPool, usize)> {
    let threads = threads
        .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from))
        .max(1);
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .thread_name(|index| format!("compute-{index}"))
        .build()
        .context("failed to start threads")?;
    Ok((pool, threads))
}

fn limits(settings: &LoadSettings, decoder: &Decoder, context: usize) -> anyhow::Result<SchedulerLimits> {
    let sequences = settings.max_sequences.unwrap_or(MAX_SEQUENCES).max(1);
    Ok(SchedulerLimits {
        sequences,
        queue: settings.max_waiting.unwrap_or(MAX_WAITING),
        step_tokens: settings.step_tokens.unwrap_or(STEP_TOKENS).max(1),
        cache: memory::cache_positions(
            settings.cache_mib,
            telemetry::host::available(),
            decoder.cache_bytes_per_position(),
            context,
            sequences,
        )?,
    })
}

/// Structured output is optional: without it the model serves all other requests.
fn grammar_compiler(
    tokenizer: &Tokenizer,
    vocab_size: usize,
    generation: &GenerationConfig,
) -> Result<Compiler, GrammarError> {
    let compiler = Compiler::new(tokenizer, vocab_size, &generation.eos_token_ids);
    if let Err(error) = &compiler {
        tracing::warn!(%error, "structured output is disabled");
    }
    compiler
}

fn missing_weights(settings: &LoadSettings) -> String {
    let dir = settings.weights_dir.display();
    match &settings.repository {
        Some(repository) => format!(
            "no model in {dir}: put the files of {repository} (config.json, *.safetensors, tokenizer.json) there, \
             set --weights-dir to their directory, or download them with --hub-endpoint"
        ),
        None => format!("no model in {dir}: set --weights-dir to its directory"),
    }
}

/// Returns the chat template of the flag, or the model's own. A flag with `{` or a line end is the template itself; escapes of
/// line ends and tabs are for shells.
fn chat_template(flag: Option<&str>, dir: &Path) -> anyhow::Result<Option<ChatTemplate>> {
    let Some(flag) = flag else {
        return Ok(ChatTemplate::open(dir)?);
    };
    let source = if flag.contains('{') || flag.contains('\n') {
        flag.replace("\\n", "\n").replace("\\t", "\t")
    } else {
        std::fs::read_to_string(flag).with_context(|| format!("failed to read --chat-template {flag}"))?
    };
    Ok(Some(ChatTemplate::with_source(dir, source)?))
}
