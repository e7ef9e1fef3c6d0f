//! The loop: batches of a step, derivative, move; and what happens between steps.

use std::sync::atomic::{AtomicBool, Ordering};

use super::adamw::{AdamW, Moments};
use super::checkpoint::Checkpoint;
use super::schedule::LearningRate;
use crate::config::WhenToSave;
use crate::data::{Example, Order};
use crate::network::{Batch, Mode, Network};

/// How a run goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// The optimiser.
    pub adam: AdamW,
    /// Learning rates; also the number of steps.
    pub rate: LearningRate,
    /// Batches of a step.
    pub accumulation: usize,
    /// Layers are computed twice instead of kept.
    pub checkpointing: bool,
    /// Names the run's random numbers.
    pub seed: u64,
    /// Steps between progress reports.
    pub log_every: u64,
    /// A report after the first step too.
    pub log_first: bool,
    /// When checkpoints are written, and after how many steps.
    pub save: (WhenToSave, u64),
    /// When the held-out part is looked at, and after how many steps.
    pub evaluate: (WhenToSave, u64),
    /// Sequences of a batch then.
    pub evaluate_batch: usize,
}

/// Where a run is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Progress {
    /// Steps that are done.
    pub step: u64,
    /// Steps in all.
    pub steps: u64,
    /// Passes over the data that are done.
    pub epoch: f64,
    /// Mean loss of a token since the last report.
    pub loss: f64,
    /// Length of the last derivative.
    pub grad_norm: f64,
    /// Learning rate of the last step.
    pub learning_rate: f64,
    /// Tokens computed since the beginning of this process.
    pub tokens: u64,
    /// Mean loss of a token of the held-out part, when it was looked at.
    pub evaluated: Option<f64>,
}

/// What is told about a run.
pub trait Listener {
    /// A step is done. `report` says that it is time for a line.
    fn stepped(&mut self, progress: &Progress, report: bool);
    /// The run is to be saved.
    ///
    /// # Errors
    /// When it cannot be.
    fn save(&mut self, checkpoint: &Checkpoint, progress: &Progress) -> anyhow::Result<()>;
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// All steps are done.
    Completed,
    /// It was asked to stop.
    Stopped,
}

/// A run.
#[derive(Debug)]
pub struct Trainer<'a> {
    /// The model.
    pub network: &'a Network,
    /// What is trained on.
    pub examples: &'a [Example],
    /// What is held out.
    pub held_out: &'a [Example],
    /// Which batch comes when.
    pub order: &'a Order,
    /// How it goes.
    pub settings: Settings,
}

impl Trainer<'_> {
    /// Steps of one pass over the data.
    #[must_use]
    pub fn steps_per_pass(order: &Order, accumulation: usize) -> u64 {
        order.batches().div_ceil(accumulation).max(1) as u64
    }

    /// Goes on from `state` until all steps are done or `stop` is set, which takes effect after the batch at hand.
    ///
    /// # Errors
    /// When the loss is no number any more, or saving fails.
    pub fn run(
        &self,
        state: &mut Checkpoint,
        stop: &AtomicBool,
        listener: &mut dyn Listener,
    ) -> anyhow::Result<Ended> {
        let settings = &self.settings;
        let per_pass = Self::steps_per_pass(self.order, settings.accumulation);
        let mut grads = vec![0.0; state.values.len()];
        let mut batches = Vec::new();
        let mut pass = None;
        let (mut sum, mut steps_in_sum) = (0.0, 0_u32);
        let mut progress = Progress {
            step: state.step,
            steps: settings.rate.steps,
            epoch: state.step as f64 / per_pass as f64,
            ..Progress::default()
        };
        while state.step < settings.rate.steps {
            let (number, within) = (state.step / per_pass, state.step % per_pass);
            if pass != Some(number) {
                (batches, pass) = (self.order.pass(number), Some(number));
            }
            let own = batches
                .chunks(settings.accumulation)
                .nth(within as usize)
                .unwrap_or_default();
            let Some((loss, tokens)) = self.derive(state, own, &mut grads, stop) else {
                return Ok(Ended::Stopped);
            };
            anyhow::ensure!(
                loss.is_finite(),
                "the loss of step {} is no number: lower TrainingArguments.learning_rate, or keep weights as float32",
                state.step + 1
            );
            let rate = settings.rate.at(state.step);
            state.step += 1;
            progress.grad_norm =
                settings
                    .adam
                    .step(&mut state.values, &grads, &mut state.moments, state.step, rate);
            (sum, steps_in_sum) = (sum + loss, steps_in_sum + 1);
            progress.step = state.step;
            progress.epoch = state.step as f64 / per_pass as f64;
            progress.learning_rate = rate;
            progress.tokens += tokens;
            progress.loss = sum / f64::from(steps_in_sum);
            self.after(state, per_pass, &mut progress, listener)?;
            if progress.step.is_multiple_of(settings.log_every) {
                (sum, steps_in_sum) = (0.0, 0);
            }
        }
        Ok(Ended::Completed)
    }

    /// Mean loss of a step's tokens and their number, derivatives in `grads`. Nothing when stopped.
    fn derive(
        &self,
        state: &Checkpoint,
        batches: &[Vec<usize>],
        grads: &mut [f32],
        stop: &AtomicBool,
    ) -> Option<(f64, u64)> {
        let batches: Vec<Batch> = batches
            .iter()
            .map(|batch| Batch::of(batch.iter().map(|at| &self.examples[*at])))
            .collect();
        // Every token of a step weighs the same, in whichever batch it is.
        let targets: usize = batches.iter().map(Batch::targets).sum();
        let factor = 1.0 / targets.max(1) as f32;
        grads.fill(0.0);
        let (mut loss, mut tokens) = (0.0, 0);
        for (index, batch) in batches.iter().enumerate() {
            if stop.load(Ordering::Relaxed) {
                return None;
            }
            let mode = Mode {
                dropout: Some([self.settings.seed ^ state.step.rotate_left(32), index as u64]),
                checkpointing: self.settings.checkpointing,
            };
            loss += self.network.train(&state.values, grads, batch, mode, factor);
            tokens += batch.tokens.len() as u64;
        }
        Some((loss / targets.max(1) as f64, tokens))
    }

    /// What happens between steps: a look at the held-out part, a report, a checkpoint.
    fn after(
        &self,
        state: &Checkpoint,
        per_pass: u64,
        progress: &mut Progress,
        listener: &mut dyn Listener,
    ) -> anyhow::Result<()> {
        let settings = &self.settings;
        let is_last = state.step == settings.rate.steps;
        let is_due = |(when, every): (WhenToSave, u64)| match when {
            WhenToSave::No => false,
            WhenToSave::Steps => state.step.is_multiple_of(every),
            WhenToSave::Epoch => state.step.is_multiple_of(per_pass) || is_last,
        };
        let evaluate = is_due(settings.evaluate) && !self.held_out.is_empty();
        progress.evaluated = evaluate.then(|| self.evaluate(&state.values));
        let is_time = state.step.is_multiple_of(settings.log_every) || is_last || evaluate;
        listener.stepped(progress, is_time || (settings.log_first && state.step == 1));
        if is_due(settings.save) {
            listener.save(state, progress)?;
        }
        Ok(())
    }

    /// Mean loss of a token of the held-out part.
    fn evaluate(&self, values: &[f32]) -> f64 {
        let (mut loss, mut targets) = (0.0, 0);
        for examples in self.held_out.chunks(self.settings.evaluate_batch) {
            let batch = Batch::of(examples);
            loss += self.network.loss(values, &batch);
            targets += batch.targets();
        }
        loss / f64::from(u32::try_from(targets.max(1)).unwrap_or(u32::MAX))
    }
}

impl Checkpoint {
    /// A run that has not begun.
    #[must_use]
    pub fn begin(values: Vec<f32>) -> Self {
        Self {
            step: 0,
            moments: Moments::new(values.len()),
            values,
        }
    }
}
