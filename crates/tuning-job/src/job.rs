//! One run from its files to its adapter: reads, decides with the pure parts, computes, writes. Blocks its thread.

mod inputs;
mod report;

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use anyhow::Context as _;
use model::TensorStore;

use crate::args::Args;
use crate::config::Config;
use crate::network::{LoadSettings, Network};
use crate::server::Shown;
use crate::train::{
    AdamW, AdapterConfig, Checkpoint, Ended, Estimate, Keeper, LearningRate, Settings, Trainer, complete,
    estimate, fail, save_adapter, withdraw,
};
use inputs::Inputs;
use report::Reporter;
use telemetry::host;

/// Runs a job until it is done, or `stop` is set; then a checkpoint is written.
///
/// # Errors
/// When anything cannot be read, does not fit together or into memory, or cannot be written.
pub(crate) fn run(args: &Args, shown: &Shown, stop: &AtomicBool) -> anyhow::Result<Ended> {
    let threads = args.threads.unwrap_or(0);
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .context("no threads to compute with")?;
    pool.install(|| run_here(args, shown, stop))
}

fn run_here(args: &Args, shown: &Shown, stop: &AtomicBool) -> anyhow::Result<Ended> {
    let config = inputs::config(&args.config)?;
    for key in &config.ignored {
        tracing::info!(key, "has no effect in this program");
    }
    let configured = || PathBuf::from(&config.training.output_dir);
    let output = args.output_dir.clone().unwrap_or_else(configured);
    withdraw(&output)?;
    let ended = tune(args, &config, output.clone(), shown, stop);
    if let Err(error) = &ended {
        shown.phase("failed");
        // Only where somebody could wait for a result; the reason is also what this program ends with.
        if let Err(unwritten) = std::fs::create_dir_all(&output)
            .map_err(anyhow::Error::from)
            .and_then(|()| Ok(fail(&output, &format!("{error:#}"))?))
        {
            tracing::warn!(%unwritten, "the failure could not be marked");
        }
    }
    ended
}

fn tune(
    args: &Args,
    config: &Config,
    output: PathBuf,
    shown: &Shown,
    stop: &AtomicBool,
) -> anyhow::Result<Ended> {
    shown.phase("reading");
    let inputs = Inputs::read(args, config)?;
    let settings = settings(config, &inputs);
    check_memory(args, config, &inputs)?;
    if stop.load(std::sync::atomic::Ordering::Relaxed) {
        return Ok(Ended::Stopped);
    }

    shown.phase("loading");
    let store = TensorStore::open(&inputs.model)?;
    let load = inputs.load_settings(config, args);
    let (network, values) = Network::load(inputs.spec.clone(), &store, &load, &|share| shown.loaded(share))?;
    tracing::info!(
        weights_mb = network.bytes() / 1_000_000,
        modules = network.modules().len(),
        trained = network.trained(),
        bfloat16 = network.is_rounded(),
        "model loaded"
    );
    let keeper = keeper(args, config, &inputs, &network, &load, output);
    let mut state = resume(config, &keeper, network.trained())?.unwrap_or_else(|| Checkpoint::begin(values));

    shown.phase("training");
    let trainer = Trainer {
        network: &network,
        examples: &inputs.training,
        held_out: &inputs.held_out,
        order: &inputs.order,
        settings,
    };
    let mut reporter = Reporter::new(shown, &keeper);
    let ended = trainer.run(&mut state, stop, &mut reporter)?;
    finish(ended, &state, &settings, &keeper, shown)?;
    Ok(ended)
}

/// Writes the adapter, or a checkpoint where the run was stopped.
fn finish(
    ended: Ended,
    state: &Checkpoint,
    settings: &Settings,
    keeper: &Keeper,
    shown: &Shown,
) -> anyhow::Result<()> {
    let peak_mb = host::peak().unwrap_or(0) / 1_000_000;
    if ended == Ended::Stopped {
        shown.phase("stopped");
        if state.step > 0 {
            let place = keeper.save(state, settings.rate.steps, 0.0)?;
            tracing::info!(step = state.step, place = %place.display(), peak_mb, "stopped, checkpoint written");
        }
        return Ok(());
    }
    save_adapter(&keeper.dir, &keeper.adapter, &keeper.modules, &state.values)?;
    let now = jiff::Timestamp::now().strftime("%Y-%m-%d-%H-%M-%S").to_string();
    complete(&keeper.dir, &now)?;
    shown.phase("completed");
    tracing::info!(steps = state.step, place = %keeper.dir.display(), peak_mb, "adapter written");
    Ok(())
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "checked to be positive, and rounded"
)]
fn settings(config: &Config, inputs: &Inputs) -> Settings {
    let training = &config.training;
    let per_pass = Trainer::steps_per_pass(&inputs.order, training.gradient_accumulation_steps);
    let steps = training
        .max_steps
        .unwrap_or_else(|| (training.num_train_epochs * per_pass as f64).ceil() as u64);
    // A number below one is a share of all steps.
    let every = |number: f64| {
        let number = if number < 1.0 {
            number * steps as f64
        } else {
            number
        };
        (number.round() as u64).max(1)
    };
    Settings {
        adam: AdamW {
            beta1: training.adam_beta1,
            beta2: training.adam_beta2,
            epsilon: training.adam_epsilon,
            weight_decay: training.weight_decay,
            max_norm: training.max_grad_norm,
        },
        rate: LearningRate {
            schedule: training.lr_scheduler_type,
            peak: training.learning_rate,
            warmup: LearningRate::warmup(steps, training.warmup_steps, training.warmup_ratio),
            steps,
        },
        accumulation: training.gradient_accumulation_steps,
        checkpointing: training.gradient_checkpointing,
        seed: training.seed,
        log_every: every(training.logging_steps),
        log_first: training.logging_first_step,
        save: (training.save_strategy, every(training.save_steps)),
        evaluate: (
            training.eval_strategy,
            every(training.eval_steps.unwrap_or(training.logging_steps)),
        ),
        evaluate_batch: training.per_device_eval_batch_size,
    }
}

/// Refuses what would be killed for want of memory halfway through.
fn check_memory(args: &Args, config: &Config, inputs: &Inputs) -> anyhow::Result<()> {
    let (linear, rest) = inputs.precisions(config);
    let tokens = inputs.order.most_tokens(&inputs.training);
    let checkpointing = config.training.gradient_checkpointing;
    let trained = inputs.trained_values(config, args)?;
    let needed = estimate(&inputs.spec, linear, rest, trained, tokens, checkpointing);
    let mb = |bytes: u64| bytes / 1_000_000;
    let Estimate {
        weights,
        trained,
        kept,
        working,
    } = needed;
    tracing::info!(
        total_mb = mb(needed.total()),
        weights_mb = mb(weights),
        trained_mb = mb(trained),
        kept_mb = mb(kept),
        working_mb = mb(working),
        "memory estimate"
    );
    let Some(free) = host::available().filter(|free| needed.total() > *free) else {
        return Ok(());
    };
    let advice = "lower per_device_train_batch_size or max_length, set gradient_checkpointing: true, or load_in_4bit: true";
    let text = format!(
        "about {} MB are needed and {} MB are free: {advice}",
        mb(needed.total()),
        mb(free)
    );
    anyhow::ensure!(args.ignore_memory, "{text}; --ignore-memory tries it anyway");
    tracing::warn!("{text}");
    Ok(())
}

fn keeper(
    args: &Args,
    config: &Config,
    inputs: &Inputs,
    network: &Network,
    load: &LoadSettings,
    output: PathBuf,
) -> Keeper {
    let lora = &config.lora;
    Keeper {
        dir: output,
        fingerprint: inputs.fingerprint(config, load),
        limit: config.training.save_total_limit,
        adapter: AdapterConfig {
            base_model: args
                .base_model_name
                .clone()
                .unwrap_or_else(|| inputs.model.display().to_string()),
            r: lora.r,
            alpha: lora.lora_alpha,
            dropout: lora.lora_dropout,
            targets: inputs.targets.clone(),
            rank_pattern: lora.rank_pattern.clone(),
            alpha_pattern: lora.alpha_pattern.clone(),
            layers: load.lora.layers.clone(),
            rslora: lora.use_rslora,
        },
        modules: network.modules().to_vec(),
    }
}

/// The checkpoint to go on from, if there is one.
fn resume(config: &Config, keeper: &Keeper, trained: usize) -> anyhow::Result<Option<Checkpoint>> {
    use crate::train::CheckpointError;
    use serde_json::Value;

    let newest = keeper.list().pop().map(|(_, dir)| dir);
    let loaded = match (&config.training.resume_from_checkpoint, newest) {
        (Some(Value::Bool(false)), _) | (None, None) => return Ok(None),
        (Some(Value::String(dir)), _) => keeper.load(dir.as_ref(), trained)?,
        (Some(_), None) => {
            return Err(CheckpointError::None {
                path: keeper.dir.clone(),
            }
            .into());
        }
        (Some(_), Some(dir)) => keeper.load(&dir, trained)?,
        (None, Some(dir)) => match keeper.load(&dir, trained) {
            Err(error) => {
                tracing::warn!(%error, "beginning anew");
                return Ok(None);
            }
            Ok(loaded) => loaded,
        },
    };
    tracing::info!(step = loaded.step, "going on from a checkpoint");
    Ok(Some(loaded))
}
