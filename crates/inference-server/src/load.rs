//! From a directory to a model that answers.

mod adapters;
pub(crate) mod config_file;
pub(crate) mod hub;
pub(crate) mod memory;
pub(crate) mod phase;

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use model::{ChatTemplate, Decoder, GenerationConfig, Precision, Spec, TensorStore, Tokenizer};

use crate::args::{Args, Dtype, Pipeline};
use crate::engine::scheduler::Limits;
use crate::engine::{Adapted, Engine};
use crate::grammar::{Compiler, Refusal};
use crate::metrics::Metrics;
use crate::tool_calls::Form;
use adapters::Adapters;

/// Tokens of one step unless flags say otherwise: a piece of a prompt this long keeps those who generate waiting for less
/// than a second on slow machines.
const STEP_TOKENS: usize = 256;
const SEQUENCES: usize = 16;
const WAITING: usize = 64;

/// A model that answers, and what handlers need to know of it.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) name: String,
    pub(crate) engine: Engine,
    pub(crate) tokenizer: Arc<Tokenizer>,
    pub(crate) template: Option<ChatTemplate>,
    /// How the model writes calls of functions, if its template tells.
    pub(crate) calls: Option<Form>,
    pub(crate) generation: GenerationConfig,
    /// Makes forms for answers, or says why this model cannot have any.
    pub(crate) guides: Result<Compiler, Refusal>,
    /// Most positions of a request.
    pub(crate) context: usize,
    pub(crate) vocabulary: usize,
    pub(crate) pipeline: Pipeline,
    /// Adapters that are part of the weights.
    pub(crate) merged: Vec<String>,
    /// Adapters that requests may name, in the order the engine knows them.
    pub(crate) variants: Vec<String>,
}

/// What a request's `model` stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Variant {
    pub(crate) name: String,
    /// Place among the adapters; the model as loaded without one.
    pub(crate) adapter: Option<usize>,
}

impl Served {
    /// What `model` of a request stands for, if there is such a model.
    pub(crate) fn variant(&self, asked: Option<&str>) -> Option<Variant> {
        let asked = asked.unwrap_or(&self.name);
        let adapter = self.variants.iter().position(|name| name == asked);
        (adapter.is_some() || asked == self.name).then(|| Variant {
            name: asked.to_owned(),
            adapter,
        })
    }
}

/// Loads everything; takes from a second to minutes and tells `metrics` and `progress` how far it is.
pub(crate) fn load(
    args: &Args,
    metrics: &Metrics,
    progress: &(dyn Fn(f32) + Sync),
) -> anyhow::Result<Served> {
    let dir = args.weights_dir.as_path();
    let spec = Spec::open(dir).with_context(|| missing_weights(args))?;
    let store = TensorStore::open(dir)?;
    let precision = Precision::from(args.dtype.unwrap_or(Dtype::Auto));
    check_memory(&spec, store.bytes(), precision)?;
    let tokenizer = Arc::new(Tokenizer::open(dir)?);
    let template = template(args, dir)?;
    let generation = GenerationConfig::open(dir)?;
    let guides = guides(&tokenizer, spec.vocab_size, &generation);
    let adapters = Adapters::open(args)?;
    let threads = args
        .threads
        .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads.max(1))
        .thread_name(|index| format!("compute-{index}"))
        .build()
        .context("threads cannot be started")?;
    let told = |share: f32| {
        metrics.loaded(share);
        progress(share);
    };
    let decoder = pool.install(|| Decoder::load(spec, &store, precision, adapters.to_merge(), &told))?;
    let loras = adapters.fitted(&decoder)?;
    let variants = loras.iter().map(|lora| lora.name().to_owned()).collect();
    let spec = decoder.spec().clone();
    let context = args
        .max_context_tokens
        .map_or(spec.max_position_embeddings, |asked| {
            asked.min(spec.max_position_embeddings)
        })
        .max(1);
    let sequences = args.max_sequences.unwrap_or(SEQUENCES).max(1);
    let cache = memory::cache_positions(
        args.cache_mib,
        telemetry::host::available(),
        spec.kv_cache_bytes_per_token(),
        context,
        sequences,
    );
    let limits = Limits {
        sequences,
        queue: args.max_waiting.unwrap_or(WAITING),
        step_tokens: args.step_tokens.unwrap_or(STEP_TOKENS).max(1),
        cache,
    };
    tracing::info!(
        weights_mb = decoder.weight_bytes() / 1_000_000, family = ?spec.family, threads, context, cache_positions = cache,
        "model loaded"
    );
    let model = Adapted { decoder, loras };
    let engine = Engine::start(model, Arc::clone(&tokenizer), pool, limits, metrics.clone())?;
    Ok(Served {
        name: args.served_name(),
        engine,
        tokenizer,
        calls: template
            .as_ref()
            .and_then(|template| Form::of(&template.source())),
        template,
        generation,
        guides,
        context,
        vocabulary: spec.vocab_size,
        pipeline: args.pipeline,
        merged: adapters.merged(),
        variants,
    })
}

/// A tokenizer that is unfit for constrained answers is fit for all others.
fn guides(
    tokenizer: &Tokenizer,
    vocabulary: usize,
    generation: &GenerationConfig,
) -> Result<Compiler, Refusal> {
    let guides = Compiler::new(tokenizer, vocabulary, &generation.eos_token_ids);
    if let Err(refusal) = &guides {
        tracing::warn!("answers of a prescribed form {refusal}");
    }
    guides
}

fn missing_weights(args: &Args) -> String {
    let dir = args.weights_dir.display();
    match &args.model {
        Some(model) => format!(
            "no model in {dir}: put the files of {model} (config.json, *.safetensors, tokenizer.json) there, \
             name their directory with --weights-dir, or have them fetched with --hub-endpoint"
        ),
        None => format!("no model in {dir}: name its directory with --weights-dir"),
    }
}

/// Refuses before memory is taken: being killed half-way says nothing to anybody.
pub(crate) fn check_memory(spec: &Spec, stored: u64, precision: Precision) -> anyhow::Result<()> {
    let parameters = spec.num_parameters();
    let needed = match precision {
        Precision::Auto => stored,
        Precision::F32 => parameters * 4,
        Precision::Bf16 => parameters * 2,
        Precision::Q8 => parameters * 17 / 16,
    };
    if let Some(free) = telemetry::host::available() {
        ensure!(
            needed <= free,
            "the weights take {} MB and {} MB are free: raise the memory limit, or try --dtype q8",
            needed / 1_000_000,
            free / 1_000_000
        );
    }
    Ok(())
}

fn template(args: &Args, dir: &Path) -> anyhow::Result<Option<ChatTemplate>> {
    let Some(given) = &args.chat_template else {
        return Ok(ChatTemplate::open(dir)?);
    };
    let source = if given.contains('{') || given.contains('\n') {
        given.replace("\\n", "\n").replace("\\t", "\t")
    } else {
        std::fs::read_to_string(given).with_context(|| format!("--chat-template {given} cannot be read"))?
    };
    Ok(Some(ChatTemplate::with_source(dir, source)?))
}
