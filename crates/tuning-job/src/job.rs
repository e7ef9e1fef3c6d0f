//! One run, from its files to its adapter: reads, decides with the pure modules, computes, writes. Blocks its thread.

mod inputs;
mod report;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;
use model::TensorStore;
use telemetry::host;

use crate::args::Args;
use crate::config::Config;
use crate::network::{LoadOptions, Network};
use crate::status::JobStatus;
use crate::train::{
    AdamW, AdapterConfig, Checkpoint, CheckpointManager, LrSchedule, MemoryEstimate, MemoryNeeds,
    TrainOutcome, Trainer, TrainerSettings, remove_markers, save_adapter, write_completion_marker,
    write_failure_marker,
};
use inputs::Inputs;
use report::Reporter;

/// Runs a job until it is done, or `stop` is set; then it writes a checkpoint.
///
/// # Errors
/// When a file is missing or invalid, memory does not suffice, or writing fails.
pub(crate) fn run(args: &Args, status: &JobStatus, stop: &AtomicBool) -> anyhow::Result<TrainOutcome> {
    let threads = args.threads.unwrap_or(0);
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .context("failed to start threads")?;
    pool.install(|| run_in_pool(args, status, stop))
}

fn run_in_pool(args: &Args, status: &JobStatus, stop: &AtomicBool) -> anyhow::Result<TrainOutcome> {
    let config = inputs::config(&args.config)?;
    for key in &config.ignored {
        tracing::info!(key, "ignoring key without effect in this program");
    }
    let configured = || PathBuf::from(&config.training.output_dir);
    let output = args.output_dir.clone().unwrap_or_else(configured);
    remove_markers(&output)?;
    let outcome = tune(args, &config, output.clone(), status, stop);
    if let Err(error) = &outcome {
        status.set_phase("failed");
        // A pusher in another container waits for the marker. The program ends with the same reason.
        if let Err(unwritten) = std::fs::create_dir_all(&output)
            .map_err(anyhow::Error::from)
            .and_then(|()| Ok(write_failure_marker(&output, &format!("{error:#}"))?))
        {
            tracing::warn!(error = %unwritten, "failed to write failure marker");
        }
    }
    outcome
}

fn tune(
    args: &Args,
    config: &Config,
    output: PathBuf,
    status: &JobStatus,
    stop: &AtomicBool,
) -> anyhow::Result<TrainOutcome> {
    status.set_phase("reading");
    let inputs = Inputs::read(args, config)?;
    let settings = settings(config, &inputs);
    check_memory(args, config, &inputs)?;
    if stop.load(Ordering::Relaxed) {
        return Ok(TrainOutcome::Stopped);
    }

    status.set_phase("loading");
    let store = TensorStore::open(&inputs.model)?;
    let options = inputs.load_options(config, args);
    let (network, params) = Network::load(inputs.spec.clone(), &store, &options, &|ratio| {
        status.set_load_ratio(ratio);
    })?;
    tracing::info!(
        weights_mb = network.weight_bytes() / 1_000_000,
        modules = network.modules().len(),
        trainable_params = network.num_trainable_params(),
        bfloat16 = network.rounds_to_bf16(),
        "loaded model"
    );
    let checkpoints = checkpoint_manager(args, config, &inputs, &network, &options, output);
    let mut state = resume(config, &checkpoints, network.num_trainable_params())?
        .unwrap_or_else(|| Checkpoint::begin(params));

    status.set_phase("training");
    let trainer = Trainer {
        network: &network,
        train_set: &inputs.train_set,
        eval_set: &inputs.eval_set,
        sampler: &inputs.sampler,
        settings,
    };
    let mut reporter = Reporter::new(status, &checkpoints);
    let outcome = trainer.run(&mut state, stop, &mut reporter)?;
    finish(outcome, &state, &settings, &checkpoints, status)?;
    Ok(outcome)
}

/// Writes the adapter, or a checkpoint if the run was stopped.
fn finish(
    outcome: TrainOutcome,
    state: &Checkpoint,
    settings: &TrainerSettings,
    checkpoints: &CheckpointManager,
    status: &JobStatus,
) -> anyhow::Result<()> {
    let peak_mb = host::peak().unwrap_or(0) / 1_000_000;
    if outcome == TrainOutcome::Stopped {
        status.set_phase("stopped");
        if state.step > 0 {
            let dir = checkpoints.save(state, settings.lr_schedule.max_steps, 0.0)?;
            tracing::info!(step = state.step, dir = %dir.display(), peak_mb, "stopped and wrote checkpoint");
        }
        return Ok(());
    }
    save_adapter(
        &checkpoints.dir,
        &checkpoints.adapter,
        &checkpoints.modules,
        &state.trainable_params,
    )?;
    let now = jiff::Timestamp::now().strftime("%Y-%m-%d-%H-%M-%S").to_string();
    write_completion_marker(&checkpoints.dir, &now)?;
    status.set_phase("completed");
    tracing::info!(steps = state.step, dir = %checkpoints.dir.display(), peak_mb, "wrote adapter");
    Ok(())
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "checked to be positive, and rounded"
)]
fn settings(config: &Config, inputs: &Inputs) -> TrainerSettings {
    let training = &config.training;
    let per_epoch = Trainer::steps_per_epoch(&inputs.sampler, training.gradient_accumulation_steps);
    let max_steps = training
        .max_steps
        .unwrap_or_else(|| (training.num_train_epochs * per_epoch as f64).ceil() as u64);
    // A number below one is a share of all steps.
    let steps = |number: f64| {
        let number = if number < 1.0 {
            number * max_steps as f64
        } else {
            number
        };
        (number.round() as u64).max(1)
    };
    TrainerSettings {
        optimizer: AdamW {
            beta1: training.adam_beta1,
            beta2: training.adam_beta2,
            eps: training.adam_epsilon,
            weight_decay: training.weight_decay,
            max_grad_norm: training.max_grad_norm,
        },
        lr_schedule: LrSchedule {
            scheduler_type: training.lr_scheduler_type,
            learning_rate: training.learning_rate,
            warmup_steps: LrSchedule::warmup_steps(max_steps, training.warmup_steps, training.warmup_ratio),
            max_steps,
        },
        gradient_accumulation_steps: training.gradient_accumulation_steps,
        gradient_checkpointing: training.gradient_checkpointing,
        seed: training.seed,
        logging_steps: steps(training.logging_steps),
        logging_first_step: training.logging_first_step,
        save: (training.save_strategy, steps(training.save_steps)),
        eval: (
            training.eval_strategy,
            steps(training.eval_steps.unwrap_or(training.logging_steps)),
        ),
        eval_batch_size: training.per_device_eval_batch_size,
    }
}

/// Refuses a run that would exceed the available memory halfway through.
fn check_memory(args: &Args, config: &Config, inputs: &Inputs) -> anyhow::Result<()> {
    let (linear_precision, other_precision) = inputs.precisions(config);
    let needs = MemoryNeeds {
        spec: &inputs.spec,
        linear_precision,
        other_precision,
        trainable_params: inputs.num_trainable_params(config, args)?,
        tokens: inputs.sampler.max_tokens_per_batch(&inputs.train_set),
        gradient_checkpointing: config.training.gradient_checkpointing,
    };
    let estimate = needs.estimate();
    let mb = |bytes: u64| bytes / 1_000_000;
    let MemoryEstimate {
        weights,
        trainable,
        activations,
        working,
    } = estimate;
    tracing::info!(
        total_mb = mb(estimate.total()),
        weights_mb = mb(weights),
        trainable_mb = mb(trainable),
        activations_mb = mb(activations),
        working_mb = mb(working),
        "estimated memory"
    );
    let Some(free) = host::available().filter(|free| estimate.total() > *free) else {
        return Ok(());
    };
    let advice = "lower per_device_train_batch_size or max_length, set gradient_checkpointing: true, or load_in_4bit: true";
    let text = format!(
        "about {} MB are needed and {} MB are free: {advice}",
        mb(estimate.total()),
        mb(free)
    );
    anyhow::ensure!(args.ignore_memory, "{text}; --ignore-memory tries it anyway");
    tracing::warn!("{text}");
    Ok(())
}

fn checkpoint_manager(
    args: &Args,
    config: &Config,
    inputs: &Inputs,
    network: &Network,
    options: &LoadOptions,
    output: PathBuf,
) -> CheckpointManager {
    let lora = &config.lora;
    CheckpointManager {
        dir: output,
        fingerprint: inputs.fingerprint(config, options),
        limit: config.training.save_total_limit,
        adapter: AdapterConfig {
            base_model: args
                .base_model_name
                .clone()
                .unwrap_or_else(|| inputs.model.display().to_string()),
            r: lora.r,
            lora_alpha: lora.lora_alpha,
            lora_dropout: lora.lora_dropout,
            target_modules: inputs.target_modules.clone(),
            rank_pattern: lora.rank_pattern.clone(),
            alpha_pattern: lora.alpha_pattern.clone(),
            layers_to_transform: options.lora.layers_to_transform.clone(),
            use_rslora: lora.use_rslora,
        },
        modules: network.modules().to_vec(),
    }
}

/// Reads the newest checkpoint that is whole: a disk that was lost with its node may have damaged the last one.
fn newest_whole(checkpoints: &CheckpointManager, num_params: usize) -> Option<Checkpoint> {
    let newest_first = checkpoints.list().into_iter().rev();
    let mut loaded = newest_first.map(|(_, dir)| checkpoints.load(&dir, num_params));
    loaded.find_map(|result| {
        let warn = |error: &_| tracing::warn!(%error, "failed to load checkpoint");
        result.inspect_err(warn).ok()
    })
}

/// Returns the checkpoint to continue from, if there is one.
fn resume(
    config: &Config,
    checkpoints: &CheckpointManager,
    num_params: usize,
) -> anyhow::Result<Option<Checkpoint>> {
    use crate::train::CheckpointError;
    use serde_json::Value;

    let newest = checkpoints.list().pop().map(|(_, dir)| dir);
    let loaded = match (&config.training.resume_from_checkpoint, newest) {
        (Some(Value::Bool(false)), _) | (None, None) => return Ok(None),
        (Some(Value::String(dir)), _) => checkpoints.load(dir.as_ref(), num_params)?,
        (Some(_), None) => {
            return Err(CheckpointError::None {
                path: checkpoints.dir.clone(),
            }
            .into());
        }
        (Some(_), Some(dir)) => checkpoints.load(&dir, num_params)?,
        (None, Some(_)) => {
            let Some(loaded) = newest_whole(checkpoints, num_params) else {
                tracing::warn!("found no checkpoint of this run; starting from step 0");
                return Ok(None);
            };
            loaded
        }
    };
    tracing::info!(step = loaded.step, "continuing from checkpoint");
    Ok(Some(loaded))
}
