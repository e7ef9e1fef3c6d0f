//! The training loop: batches of a step, gradient, update; and evaluation, reports and checkpoints between steps.

use std::sync::atomic::{AtomicBool, Ordering};

use super::checkpoint::Checkpoint;
use super::lr_schedule::LrSchedule;
use super::optimizer::AdamW;
use crate::config::IntervalStrategy;
use crate::data::{BatchSampler, Example, batch_of};
use crate::network::{Batch, Mode, Network};

/// Settings of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TrainerSettings {
    /// The optimizer.
    pub optimizer: AdamW,
    /// Learning rates and the number of steps.
    pub lr_schedule: LrSchedule,
    /// Batches of a step.
    pub gradient_accumulation_steps: usize,
    /// Computes layers twice instead of keeping activations.
    pub gradient_checkpointing: bool,
    /// Seed of the run's random numbers.
    pub seed: u64,
    /// Steps between progress reports.
    pub logging_steps: u64,
    /// Reports after the first step too.
    pub logging_first_step: bool,
    /// Strategy of checkpoints, and steps between them.
    pub save: (IntervalStrategy, u64),
    /// Strategy of evaluations, and steps between them.
    pub eval: (IntervalStrategy, u64),
    /// Sequences of a batch in evaluations.
    pub eval_batch_size: usize,
}

/// Progress of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TrainingProgress {
    /// Completed steps.
    pub step: u64,
    /// Steps of the whole run.
    pub max_steps: u64,
    /// Completed epochs.
    pub epoch: f64,
    /// Mean loss of a token since the last report.
    pub loss: f64,
    /// Norm of the last gradient.
    pub grad_norm: f64,
    /// Learning rate of the last step.
    pub learning_rate: f64,
    /// Tokens computed since the start of this process.
    pub tokens: u64,
    /// Mean loss of a token of the evaluation set, after an evaluation.
    pub eval_loss: Option<f64>,
}

/// Receiver of a run's events.
pub trait TrainerCallback {
    /// Receives the end of a step. `report` asks for a progress line.
    fn on_step_end(&mut self, progress: &TrainingProgress, report: bool);

    /// Saves the run.
    ///
    /// # Errors
    /// When saving fails.
    fn on_save(&mut self, checkpoint: &Checkpoint, progress: &TrainingProgress) -> anyhow::Result<()>;
}

/// Outcome of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrainOutcome {
    /// All steps are done.
    Completed,
    /// A stop was requested.
    Stopped,
}

/// A run.
#[derive(Debug)]
pub struct Trainer<'a> {
    /// The model.
    pub network: &'a Network,
    /// Examples to train on.
    pub train_set: &'a [Example],
    /// Examples to evaluate on.
    pub eval_set: &'a [Example],
    /// Order of batches.
    pub sampler: &'a BatchSampler,
    /// Settings.
    pub settings: TrainerSettings,
}

impl Trainer<'_> {
    /// Returns the steps of an epoch.
    #[must_use]
    pub fn steps_per_epoch(sampler: &BatchSampler, gradient_accumulation_steps: usize) -> u64 {
        sampler.num_batches().div_ceil(gradient_accumulation_steps).max(1) as u64
    }

    /// Continues from `state` until all steps are done or `stop` is set, which takes effect after the current batch.
    ///
    /// # Errors
    /// When the loss is not finite any more, or saving fails.
    pub fn run(
        &self,
        state: &mut Checkpoint,
        stop: &AtomicBool,
        callback: &mut dyn TrainerCallback,
    ) -> anyhow::Result<TrainOutcome> {
        let settings = &self.settings;
        let max_steps = settings.lr_schedule.max_steps;
        let per_epoch = Self::steps_per_epoch(self.sampler, settings.gradient_accumulation_steps);
        let mut gradient = vec![0.0; state.trainable_params.len()];
        let mut batches = Vec::new();
        let mut current = None;
        let (mut sum, mut steps_in_sum) = (0.0, 0_u32);
        let mut progress = TrainingProgress {
            step: state.step,
            max_steps,
            epoch: state.step as f64 / per_epoch as f64,
            ..TrainingProgress::default()
        };
        while state.step < max_steps {
            let (epoch, within) = (state.step / per_epoch, state.step % per_epoch);
            if current != Some(epoch) {
                (batches, current) = (self.sampler.epoch(epoch), Some(epoch));
            }
            let own = batches
                .chunks(settings.gradient_accumulation_steps)
                .nth(within as usize)
                .unwrap_or_default();
            let Some((loss, tokens)) = self.forward_backward(state, own, &mut gradient, stop) else {
                return Ok(TrainOutcome::Stopped);
            };
            anyhow::ensure!(
                loss.is_finite(),
                "the loss of step {} must be finite: lower TrainingArguments.learning_rate, or keep weights as float32",
                state.step + 1
            );
            let rate = settings.lr_schedule.at(state.step);
            state.step += 1;
            progress.grad_norm = settings.optimizer.step(
                &mut state.trainable_params,
                &gradient,
                &mut state.moments,
                state.step,
                rate,
            );
            (sum, steps_in_sum) = (sum + loss, steps_in_sum + 1);
            progress.step = state.step;
            progress.epoch = state.step as f64 / per_epoch as f64;
            progress.learning_rate = rate;
            progress.tokens += tokens;
            progress.loss = sum / f64::from(steps_in_sum);
            self.after_step(state, per_epoch, &mut progress, callback)?;
            if progress.step.is_multiple_of(settings.logging_steps) {
                (sum, steps_in_sum) = (0.0, 0);
            }
        }
        Ok(TrainOutcome::Completed)
    }

    /// Returns the mean loss of a step's labels and its number of tokens. Writes the gradient. Returns nothing when stopped.
    fn forward_backward(
        &self,
        state: &Checkpoint,
        batches: &[Vec<usize>],
        gradient: &mut [f32],
        stop: &AtomicBool,
    ) -> Option<(f64, u64)> {
        let batches: Vec<Batch> = batches
            .iter()
            .map(|batch| batch_of(batch.iter().map(|at| &self.train_set[*at])))
            .collect();
        // Every label of a step has the same weight, in whichever batch it is.
        let labels: usize = batches.iter().map(Batch::num_labels).sum();
        let grad_scale = 1.0 / labels.max(1) as f32;
        gradient.fill(0.0);
        let (mut loss, mut tokens) = (0.0, 0);
        for (index, batch) in batches.iter().enumerate() {
            if stop.load(Ordering::Relaxed) {
                return None;
            }
            let mode = Mode {
                dropout_seed: Some([self.settings.seed ^ state.step.rotate_left(32), index as u64]),
                gradient_checkpointing: self.settings.gradient_checkpointing,
            };
            let params = &state.trainable_params;
            loss += self
                .network
                .forward_backward(params, gradient, batch, mode, grad_scale);
            tokens += batch.tokens.len() as u64;
        }
        Some((loss / labels.max(1) as f64, tokens))
    }

    /// Evaluates, reports and saves when due.
    fn after_step(
        &self,
        state: &Checkpoint,
        per_epoch: u64,
        progress: &mut TrainingProgress,
        callback: &mut dyn TrainerCallback,
    ) -> anyhow::Result<()> {
        let settings = &self.settings;
        let is_last = state.step == settings.lr_schedule.max_steps;
        let is_due = |(strategy, steps): (IntervalStrategy, u64)| match strategy {
            IntervalStrategy::No => false,
            IntervalStrategy::Steps => state.step.is_multiple_of(steps),
            IntervalStrategy::Epoch => state.step.is_multiple_of(per_epoch) || is_last,
        };
        let evaluate = is_due(settings.eval) && !self.eval_set.is_empty();
        progress.eval_loss = evaluate.then(|| self.evaluate(&state.trainable_params));
        let is_time = state.step.is_multiple_of(settings.logging_steps) || is_last || evaluate;
        callback.on_step_end(
            progress,
            is_time || (settings.logging_first_step && state.step == 1),
        );
        if is_due(settings.save) {
            callback.on_save(state, progress)?;
        }
        Ok(())
    }

    /// Returns the mean loss of a token of the evaluation set.
    fn evaluate(&self, params: &[f32]) -> f64 {
        let (mut loss, mut labels) = (0.0, 0);
        for examples in self.eval_set.chunks(self.settings.eval_batch_size) {
            let batch = batch_of(examples);
            loss += self.network.loss(params, &batch);
            labels += batch.num_labels();
        }
        loss / f64::from(u32::try_from(labels.max(1)).unwrap_or(u32::MAX))
    }
}
