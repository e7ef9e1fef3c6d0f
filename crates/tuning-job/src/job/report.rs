//! Reports of a run: log lines, metrics and checkpoints.

use std::time::Instant;

use crate::status::JobStatus;
use crate::train::{Checkpoint, CheckpointManager, TrainerCallback, TrainingProgress};

/// Callback that logs progress and writes checkpoints.
#[derive(Debug)]
pub(super) struct Reporter<'a> {
    status: &'a JobStatus,
    checkpoints: &'a CheckpointManager,
    started: Instant,
    /// Completed steps at the start of this process.
    first: Option<u64>,
}

impl<'a> Reporter<'a> {
    pub(super) fn new(status: &'a JobStatus, checkpoints: &'a CheckpointManager) -> Self {
        Self {
            status,
            checkpoints,
            started: Instant::now(),
            first: None,
        }
    }
}

impl TrainerCallback for Reporter<'_> {
    fn on_step_end(&mut self, progress: &TrainingProgress, report: bool) {
        self.status.on_step_end(progress);
        let first = *self.first.get_or_insert(progress.step - 1);
        if !report {
            return;
        }
        let seconds = self.started.elapsed().as_secs_f64();
        let per_step = seconds / (progress.step - first) as f64;
        let left = per_step * progress.max_steps.saturating_sub(progress.step) as f64;
        let short = |value: f64| format!("{value:.4}");
        tracing::info!(
            step = progress.step,
            max_steps = progress.max_steps,
            epoch = %short(progress.epoch),
            loss = %short(progress.loss),
            eval_loss = progress.eval_loss.map(short),
            grad_norm = %short(progress.grad_norm),
            learning_rate = %format!("{:.3e}", progress.learning_rate),
            tokens_per_second = (progress.tokens as f64 / seconds).round(),
            seconds_per_step = %short(per_step),
            seconds_left = left.round(),
            "progress"
        );
    }

    fn on_save(&mut self, checkpoint: &Checkpoint, progress: &TrainingProgress) -> anyhow::Result<()> {
        let dir = self
            .checkpoints
            .save(checkpoint, progress.max_steps, progress.epoch)?;
        self.status.count_checkpoint();
        tracing::info!(step = progress.step, dir = %dir.display(), "wrote checkpoint");
        Ok(())
    }
}
