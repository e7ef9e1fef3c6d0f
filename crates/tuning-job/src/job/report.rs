//! Tells people, the metrics and the disk about a run.

use std::time::Instant;

use crate::server::Shown;
use crate::train::{Checkpoint, Keeper, Listener, Progress};

/// Hears about every step.
#[derive(Debug)]
pub(super) struct Reporter<'a> {
    shown: &'a Shown,
    keeper: &'a Keeper,
    began: Instant,
    /// Steps that were done when this process began.
    first: Option<u64>,
}

impl<'a> Reporter<'a> {
    pub(super) fn new(shown: &'a Shown, keeper: &'a Keeper) -> Self {
        Self {
            shown,
            keeper,
            began: Instant::now(),
            first: None,
        }
    }
}

impl Listener for Reporter<'_> {
    fn stepped(&mut self, progress: &Progress, report: bool) {
        self.shown.stepped(progress);
        let first = *self.first.get_or_insert(progress.step - 1);
        if !report {
            return;
        }
        let seconds = self.began.elapsed().as_secs_f64();
        let per_step = seconds / (progress.step - first) as f64;
        let left = per_step * progress.steps.saturating_sub(progress.step) as f64;
        let short = |value: f64| format!("{value:.4}");
        tracing::info!(
            step = progress.step,
            of = progress.steps,
            epoch = %short(progress.epoch),
            loss = %short(progress.loss),
            eval_loss = progress.evaluated.map(short),
            grad_norm = %short(progress.grad_norm),
            learning_rate = %format!("{:.3e}", progress.learning_rate),
            tokens_per_second = (progress.tokens as f64 / seconds).round(),
            seconds_per_step = %short(per_step),
            seconds_left = left.round(),
            "progress"
        );
    }

    fn save(&mut self, checkpoint: &Checkpoint, progress: &Progress) -> anyhow::Result<()> {
        let place = self.keeper.save(checkpoint, progress.steps, progress.epoch)?;
        self.shown.saved();
        tracing::info!(step = progress.step, place = %place.display(), "checkpoint written");
        Ok(())
    }
}
