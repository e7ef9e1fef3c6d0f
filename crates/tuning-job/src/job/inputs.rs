//! Inputs of a run: configuration, model description, tokenizer and dataset.

use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use kernels::Random;
use model::chat::Conversation;
use model::config::GenerationConfig;
use model::{ChatTemplate, Spec, TensorStore, Tokenizer};
use serde_json::Map;

use crate::args::Args;
use crate::config::{self, Config, IntervalStrategy, LayersToTransform, TargetModules};
use crate::data::{BatchSampler, DataError, Example, ExampleEncoder, Examples, find_files, pack};
use crate::network::{
    ComputeDtype, LoadOptions, LoraOptions, ModuleSelection, Precision, QuantType, num_trainable_params,
    resolve_target_modules,
};

/// Largest file with a chat template, in bytes.
const TEMPLATE_BYTES: u64 = 1 << 20;

/// Reads and checks the configuration.
pub(super) fn config(path: &Path) -> anyhow::Result<Config> {
    Ok(Config::parse(&text(path, config::BYTES)?)?)
}

fn text(path: &Path, limit: u64) -> anyhow::Result<String> {
    let failed = || format!("failed to read {}", path.display());
    let mut out = String::new();
    fs::File::open(path)
        .with_context(failed)?
        .take(limit + 1)
        .read_to_string(&mut out)
        .with_context(failed)?;
    anyhow::ensure!(
        out.len() as u64 <= limit,
        "{} must have at most {limit} bytes",
        path.display()
    );
    Ok(out)
}

/// Inputs that were read and checked.
#[derive(Debug)]
pub(super) struct Inputs {
    /// Directory of the model.
    pub(super) model: PathBuf,
    pub(super) spec: Spec,
    /// True if weights in files have more digits than bfloat16.
    wide: bool,
    pub(super) train_set: Vec<Example>,
    pub(super) eval_set: Vec<Example>,
    pub(super) sampler: BatchSampler,
    /// Trained kinds of modules.
    pub(super) target_modules: Vec<String>,
}

impl Inputs {
    pub(super) fn read(args: &Args, config: &Config) -> anyhow::Result<Self> {
        let model = config
            .model
            .pretrained_model_name_or_path
            .as_ref()
            .map_or_else(|| args.model.clone(), PathBuf::from);
        let spec =
            Spec::open(&model).with_context(|| format!("{} must hold a supported model", model.display()))?;
        let target_modules = resolve_target_modules(&spec, &selection(args, config))?;
        let store = TensorStore::open(&model)?;
        let first = store.names().find(|name| name.ends_with("embed_tokens.weight"));
        let wide = first.is_some_and(|name| store.is_wide(name));
        let (train_set, eval_set) = split(examples(args, config, &model, &spec)?, config)?;
        Ok(Self {
            sampler: sampler(config, &train_set),
            model,
            spec,
            wide,
            train_set,
            eval_set,
            target_modules,
        })
    }

    /// Returns the precisions of linear modules and of other weights.
    pub(super) fn precisions(&self, config: &Config) -> (Precision, Precision) {
        let stored = if self.wide {
            Precision::F32
        } else {
            Precision::Bf16
        };
        let other = precision(config).unwrap_or(stored);
        (quantized(config).unwrap_or(other), other)
    }

    pub(super) fn load_options(&self, config: &Config, args: &Args) -> LoadOptions {
        let lora = &config.lora;
        LoadOptions {
            linear_precision: quantized(config).or_else(|| precision(config)),
            other_precision: precision(config),
            compute_dtype: if config.quantization.bnb_4bit_compute_dtype.ends_with("bfloat16") {
                ComputeDtype::Bf16
            } else {
                ComputeDtype::F32
            },
            skip_modules: config.quantization.llm_int8_skip_modules.clone(),
            lora: LoraOptions {
                target_modules: selection(args, config),
                layers_to_transform: lora.layers_to_transform.clone().map(|layers| match layers {
                    LayersToTransform::One(layer) => vec![layer],
                    LayersToTransform::Many(layers) => layers,
                }),
                rank: (lora.r, lora.rank_pattern.clone()),
                alpha: (lora.lora_alpha, lora.alpha_pattern.clone()),
                use_rslora: lora.use_rslora,
                dropout: lora.lora_dropout as f32,
                gaussian_init: lora.init_lora_weights.as_str() == Some("gaussian"),
            },
            seed: config.training.seed,
        }
    }

    /// Returns the number of trainable parameters, as far as it is known before loading.
    pub(super) fn num_trainable_params(&self, config: &Config, args: &Args) -> anyhow::Result<usize> {
        Ok(num_trainable_params(
            &self.spec,
            &self.load_options(config, args).lora,
        )?)
    }

    /// Returns a hash of everything that decides the results of the run: the model, the data, and the configuration without reports
    /// and files.
    pub(super) fn fingerprint(&self, config: &Config, options: &LoadOptions) -> String {
        let mut deciding = config.training.clone();
        deciding.output_dir.clear();
        deciding.resume_from_checkpoint = None;
        (deciding.save_strategy, deciding.eval_strategy) = (IntervalStrategy::No, IntervalStrategy::No);
        (deciding.save_steps, deciding.logging_steps) = (1.0, 1.0);
        (deciding.save_total_limit, deciding.eval_steps) = (None, None);
        (deciding.logging_first_step, deciding.gradient_checkpointing) = (false, false);
        let mut hasher = DefaultHasher::new();
        format!("{deciding:?} {options:?} {:?} {:?}", self.spec, config.dataset).hash(&mut hasher);
        for example in &self.train_set {
            example.tokens.hash(&mut hasher);
            example.loss_ranges.hash(&mut hasher);
        }
        format!("{:016x}", hasher.finish())
    }
}

fn precision(config: &Config) -> Option<Precision> {
    match config
        .model
        .torch_dtype
        .as_deref()
        .unwrap_or("auto")
        .trim_start_matches("torch.")
    {
        "float32" => Some(Precision::F32),
        "bfloat16" => Some(Precision::Bf16),
        "float16" => Some(Precision::F16),
        _ => None,
    }
}

fn quantized(config: &Config) -> Option<Precision> {
    let quantization = &config.quantization;
    let quant_type = if quantization.bnb_4bit_quant_type == "nf4" {
        QuantType::Nf4
    } else {
        QuantType::Fp4
    };
    let double_quant = quantization.bnb_4bit_use_double_quant;
    quantization.load_in_4bit.then_some(Precision::Quantized {
        quant_type,
        double_quant,
    })
}

fn selection(args: &Args, config: &Config) -> ModuleSelection {
    let names =
        |names: &[String]| ModuleSelection::Named(names.iter().map(|name| name.trim().to_owned()).collect());
    match &config.lora.target_modules {
        Some(TargetModules::One(one)) if one == "all-linear" => ModuleSelection::AllLinear,
        Some(TargetModules::One(one)) => names(std::slice::from_ref(one)),
        Some(TargetModules::List(list)) => names(list),
        None if args.default_target_modules.is_empty() => ModuleSelection::Default,
        None => names(&args.default_target_modules),
    }
}

fn examples(args: &Args, config: &Config, model: &Path, spec: &Spec) -> anyhow::Result<Examples> {
    let (dataset, training) = (&config.dataset, &config.training);
    let files = find_files(
        &args.data,
        dataset.dataset_path.as_deref(),
        dataset.dataset_extension.as_deref(),
    )?;
    let tokenizer = Tokenizer::open(model)?;
    let chat_template = chat_template(config, model)?;
    let encoder = ExampleEncoder {
        eos_token_id: eos_token_id(config, model, &tokenizer)?,
        chat_template: chat_template.as_ref(),
        tokenizer: &tokenizer,
    };
    let all = Examples::read(&files, &encoder, dataset, training)?;
    let longest = all
        .examples
        .iter()
        .map(|example| example.tokens.len())
        .max()
        .unwrap_or(0);
    anyhow::ensure!(
        longest <= spec.max_position_embeddings,
        "an example has {longest} tokens, the model has {} positions: lower TrainingArguments.max_length",
        spec.max_position_embeddings
    );
    let known = |token: &u32| (*token as usize) < spec.vocab_size;
    anyhow::ensure!(
        all.examples
            .iter()
            .all(|example| example.tokens.iter().all(known)),
        "the tokenizer must belong to the model: it has tokens above the vocabulary size"
    );
    tracing::info!(
        files = files.len(),
        examples = all.examples.len(),
        tokens = all.tokens(),
        longest,
        truncated = all.truncated,
        empty = all.empty,
        "read dataset"
    );
    Ok(all)
}

/// Returns the configured template, inline or from a file, else the model's.
fn chat_template(config: &Config, model: &Path) -> anyhow::Result<Option<ChatTemplate>> {
    let Some(given) = &config.model.chat_template else {
        return Ok(ChatTemplate::open(model)?);
    };
    let source = if given.contains(['{', '\n']) {
        given.replace("\\n", "\n").replace("\\t", "\t")
    } else {
        text(Path::new(given), TEMPLATE_BYTES)?
    };
    Ok(Some(ChatTemplate::with_source(model, source)?))
}

/// Returns the end-of-sequence token: the configured one, the tokenizer's, or the model's.
fn eos_token_id(config: &Config, model: &Path, tokenizer: &Tokenizer) -> anyhow::Result<u32> {
    if let Some(token) = &config.training.eos_token {
        let id = tokenizer.token_to_id(token);
        return id.with_context(|| {
            format!("training_config.TrainingArguments.eos_token: the model has no token `{token}`")
        });
    }
    let empty = Conversation {
        messages: Vec::new(),
        tools: None,
        add_generation_prompt: false,
        chat_template_kwargs: Map::new(),
    };
    let text = ChatTemplate::with_source(model, "{{ eos_token }}".to_owned())?.render(&empty)?;
    let own = tokenizer
        .token_to_id(&text)
        .or(GenerationConfig::open(model)?.eos_token_ids.first().copied());
    own.context("the model names no end-of-sequence token: set TrainingArguments.eos_token")
}

/// Splits examples into train set and evaluation set.
fn split(all: Examples, config: &Config) -> Result<(Vec<Example>, Vec<Example>), DataError> {
    let mut examples = all.examples;
    if config.dataset.shuffle_dataset {
        Random::new(&[config.dataset.shuffle_seed, 0x0c]).shuffle(&mut examples);
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a length"
    )]
    let count = (((1.0 - config.dataset.train_test_split) * examples.len() as f64).ceil() as usize)
        .min(examples.len());
    let eval_set = examples.split_off(examples.len() - count);
    if examples.is_empty() {
        return Err(DataError::Nothing(format!(
            "all {count} examples are in the evaluation set; raise DatasetConfig.train_test_split"
        )));
    }
    Ok((examples, eval_set))
}

fn sampler(config: &Config, examples: &[Example]) -> BatchSampler {
    let training = &config.training;
    let lengths: Vec<usize> = examples.iter().map(|example| example.tokens.len()).collect();
    let longest = lengths.iter().copied().max().unwrap_or(1);
    let groups = if training.packing {
        pack(&lengths, training.max_length.unwrap_or(longest).max(longest))
    } else {
        (0..examples.len()).map(|at| vec![at]).collect()
    };
    BatchSampler {
        groups,
        batch_size: training.per_device_train_batch_size,
        shuffle_seed: config.dataset.shuffle_dataset.then_some(training.seed),
        drop_last: training.dataloader_drop_last && examples.len() >= training.per_device_train_batch_size,
    }
}
