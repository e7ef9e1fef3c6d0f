//! What a run is given: configuration, model description, tokenizer and dataset, read and put together.

use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use model::chat::Conversation;
use model::config::GenerationConfig;
use model::{ChatTemplate, Spec, TensorStore, Tokenizer};
use serde_json::Map;

use crate::args::Args;
use crate::config::{self, Config, Layers, Targets as Configured, WhenToSave};
use crate::data::{DataError, Example, Examples, Order, Texts, find, packed};
use crate::network::{
    ComputeDtype, LoadSettings, LoraSettings, Precision, Table, Targets, planned, trained_modules,
};
use kernels::Random;

/// Largest file with a template, in bytes.
const TEMPLATE_BYTES: u64 = 1 << 20;

/// Reads and checks the configuration.
pub(super) fn config(path: &Path) -> anyhow::Result<Config> {
    Ok(Config::parse(&text(path, config::BYTES)?)?)
}

fn text(path: &Path, limit: u64) -> anyhow::Result<String> {
    let failed = || format!("{} cannot be read", path.display());
    let mut out = String::new();
    fs::File::open(path)
        .with_context(failed)?
        .take(limit + 1)
        .read_to_string(&mut out)
        .with_context(failed)?;
    anyhow::ensure!(
        out.len() as u64 <= limit,
        "{} is larger than {limit} bytes",
        path.display()
    );
    Ok(out)
}

/// What was read.
#[derive(Debug)]
pub(super) struct Inputs {
    /// Directory of the model.
    pub(super) model: PathBuf,
    pub(super) spec: Spec,
    /// Whether its weights have more digits than bfloat16 keeps.
    wide: bool,
    pub(super) training: Vec<Example>,
    pub(super) held_out: Vec<Example>,
    pub(super) order: Order,
    /// Trained kinds of modules.
    pub(super) targets: Vec<String>,
}

impl Inputs {
    pub(super) fn read(args: &Args, config: &Config) -> anyhow::Result<Self> {
        let model = config
            .model
            .pretrained_model_name_or_path
            .as_ref()
            .map_or_else(|| args.model.clone(), PathBuf::from);
        let spec = Spec::open(&model)
            .with_context(|| format!("{} holds no model that can be tuned", model.display()))?;
        let targets = trained_modules(&spec, &targets(args, config))?;
        let store = TensorStore::open(&model)?;
        let first = store.names().find(|name| name.ends_with("embed_tokens.weight"));
        let wide = first.is_some_and(|name| store.is_wide(name));
        let (training, held_out) = split(examples(args, config, &model, &spec)?, config)?;
        Ok(Self {
            order: order(config, &training),
            model,
            spec,
            wide,
            training,
            held_out,
            targets,
        })
    }

    /// What linear modules and embeddings are kept in.
    pub(super) fn precisions(&self, config: &Config) -> (Precision, Precision) {
        let stored = if self.wide {
            Precision::F32
        } else {
            Precision::Bf16
        };
        let rest = precision(config).unwrap_or(stored);
        (quantised(config).unwrap_or(rest), rest)
    }

    pub(super) fn load_settings(&self, config: &Config, args: &Args) -> LoadSettings {
        let lora = &config.lora;
        LoadSettings {
            linear: quantised(config).or_else(|| precision(config)),
            rest: precision(config),
            quantised: if config.quantization.bnb_4bit_compute_dtype.ends_with("bfloat16") {
                ComputeDtype::Bf16
            } else {
                ComputeDtype::F32
            },
            skip: config.quantization.llm_int8_skip_modules.clone(),
            lora: LoraSettings {
                targets: targets(args, config),
                layers: lora.layers_to_transform.clone().map(|layers| match layers {
                    Layers::One(layer) => vec![layer],
                    Layers::Many(layers) => layers,
                }),
                rank: (lora.r, lora.rank_pattern.clone()),
                alpha: (lora.lora_alpha, lora.alpha_pattern.clone()),
                rslora: lora.use_rslora,
                dropout: lora.lora_dropout as f32,
                gaussian: lora.init_lora_weights.as_str() == Some("gaussian"),
            },
            seed: config.training.seed,
        }
    }

    /// Number of trained values, as far as it is known before loading.
    pub(super) fn trained_values(&self, config: &Config, args: &Args) -> anyhow::Result<usize> {
        Ok(planned(&self.spec, &self.load_settings(config, args).lora)?)
    }

    /// A name of everything that decides how the run goes: the model, the data, and of the configuration what is not about
    /// reports and files.
    pub(super) fn fingerprint(&self, config: &Config, load: &LoadSettings) -> String {
        let mut deciding = config.training.clone();
        deciding.output_dir.clear();
        deciding.resume_from_checkpoint = None;
        (deciding.save_strategy, deciding.eval_strategy) = (WhenToSave::No, WhenToSave::No);
        (deciding.save_steps, deciding.logging_steps) = (1.0, 1.0);
        (deciding.save_total_limit, deciding.eval_steps) = (None, None);
        (deciding.logging_first_step, deciding.gradient_checkpointing) = (false, false);
        let mut hasher = DefaultHasher::new();
        format!("{deciding:?} {load:?} {:?} {:?}", self.spec, config.dataset).hash(&mut hasher);
        for example in &self.training {
            example.tokens.hash(&mut hasher);
            example.learnt.hash(&mut hasher);
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

fn quantised(config: &Config) -> Option<Precision> {
    let quantization = &config.quantization;
    let table = if quantization.bnb_4bit_quant_type == "nf4" {
        Table::Nf4
    } else {
        Table::Fp4
    };
    let double = quantization.bnb_4bit_use_double_quant;
    quantization
        .load_in_4bit
        .then_some(Precision::Quantised { table, double })
}

fn targets(args: &Args, config: &Config) -> Targets {
    let names = |names: &[String]| Targets::Named(names.iter().map(|name| name.trim().to_owned()).collect());
    match &config.lora.target_modules {
        Some(Configured::One(one)) if one == "all-linear" => Targets::All,
        Some(Configured::One(one)) => names(std::slice::from_ref(one)),
        Some(Configured::List(list)) => names(list),
        None if args.default_target_modules.is_empty() => Targets::Default,
        None => names(&args.default_target_modules),
    }
}

fn examples(args: &Args, config: &Config, model: &Path, spec: &Spec) -> anyhow::Result<Examples> {
    let (dataset, training) = (&config.dataset, &config.training);
    let files = find(
        &args.data,
        dataset.dataset_path.as_deref(),
        dataset.dataset_extension.as_deref(),
    )?;
    let tokenizer = Tokenizer::open(model)?;
    let template = template(config, model)?;
    let texts = Texts {
        end: end(config, model, &tokenizer)?,
        template: template.as_ref(),
        tokenizer: &tokenizer,
    };
    let all = Examples::read(&files, &texts, dataset, training)?;
    let longest = all
        .examples
        .iter()
        .map(|example| example.tokens.len())
        .max()
        .unwrap_or(0);
    anyhow::ensure!(
        longest <= spec.max_position_embeddings,
        "an example has {longest} tokens, the model knows {} positions: lower TrainingArguments.max_length",
        spec.max_position_embeddings
    );
    let known = |token: &u32| (*token as usize) < spec.vocab_size;
    anyhow::ensure!(
        all.examples
            .iter()
            .all(|example| example.tokens.iter().all(known)),
        "the tokenizer makes tokens that the model does not have: do they belong together?"
    );
    tracing::info!(
        files = files.len(),
        examples = all.examples.len(),
        tokens = all.tokens(),
        longest,
        cut = all.cut,
        empty = all.empty,
        "dataset read"
    );
    Ok(all)
}

/// The configured template: inline text, or the path of a file; else the model's own.
fn template(config: &Config, model: &Path) -> anyhow::Result<Option<ChatTemplate>> {
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

/// The token that ends a text: the configured one, the tokenizer's, or the model's.
fn end(config: &Config, model: &Path, tokenizer: &Tokenizer) -> anyhow::Result<u32> {
    if let Some(token) = &config.training.eos_token {
        let id = tokenizer.token_to_id(token);
        return id.with_context(|| {
            format!("training_config.TrainingArguments.eos_token: the model has no token `{token}`")
        });
    }
    let nothing = Conversation {
        messages: Vec::new(),
        tools: None,
        add_generation_prompt: false,
        arguments: Map::new(),
    };
    let spelled = ChatTemplate::with_source(model, "{{ eos_token }}".to_owned())?.render(&nothing)?;
    let own = tokenizer
        .token_to_id(&spelled)
        .or(GenerationConfig::open(model)?.eos_token_ids.first().copied());
    own.context("the model does not say which token ends a text: name it as TrainingArguments.eos_token")
}

/// Examples to train on, and those held out.
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
    let held = (((1.0 - config.dataset.train_test_split) * examples.len() as f64).ceil() as usize)
        .min(examples.len());
    let held_out = examples.split_off(examples.len() - held);
    if examples.is_empty() {
        return Err(DataError::Nothing(format!(
            "all {held} examples are held out, raise DatasetConfig.train_test_split"
        )));
    }
    Ok((examples, held_out))
}

fn order(config: &Config, examples: &[Example]) -> Order {
    let training = &config.training;
    let lengths: Vec<usize> = examples.iter().map(|example| example.tokens.len()).collect();
    let longest = lengths.iter().copied().max().unwrap_or(1);
    let groups = if training.packing {
        packed(&lengths, training.max_length.unwrap_or(longest).max(longest))
    } else {
        (0..examples.len()).map(|at| vec![at]).collect()
    };
    Order {
        groups,
        batch: training.per_device_train_batch_size,
        shuffle: config.dataset.shuffle_dataset.then_some(training.seed),
        drop_last: training.dataloader_drop_last && examples.len() >= training.per_device_train_batch_size,
    }
}
