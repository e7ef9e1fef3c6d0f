//! Learning rates over steps, by the formulas of transformers' `get_scheduler`.

use std::f64::consts::PI;

use crate::config::SchedulerType;

/// Learning rates of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LrSchedule {
    /// Shape of the curve.
    pub scheduler_type: SchedulerType,
    /// Highest rate.
    pub learning_rate: f64,
    /// Steps until the highest rate.
    pub warmup_steps: u64,
    /// Steps of the whole run.
    pub max_steps: u64,
}

impl LrSchedule {
    /// Returns the steps of the warm-up: `number`, or a share of all steps if it is below 1. If it is zero, `ratio` is that share.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "whole and positive"
    )]
    pub fn warmup_steps(max_steps: u64, number: f64, ratio: f64) -> u64 {
        let share = if number > 0.0 { number } else { ratio };
        if number >= 1.0 {
            number.ceil() as u64
        } else {
            (share * max_steps as f64).ceil() as u64
        }
    }

    /// Returns the rate of a step; steps count from 0 on.
    #[must_use]
    pub fn at(&self, step: u64) -> f64 {
        if self.scheduler_type == SchedulerType::Constant {
            return self.learning_rate;
        }
        if step < self.warmup_steps {
            return self.learning_rate * step as f64 / self.warmup_steps as f64;
        }
        let rest = self.max_steps.saturating_sub(self.warmup_steps).max(1) as f64;
        let progress = (step - self.warmup_steps) as f64 / rest;
        let share = match self.scheduler_type {
            SchedulerType::Linear => 1.0 - progress,
            SchedulerType::Cosine => 0.5 * (1.0 + (PI * progress).cos()),
            SchedulerType::Constant | SchedulerType::ConstantWithWarmup => 1.0,
        };
        self.learning_rate * share.max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(scheduler_type: SchedulerType) -> Vec<f64> {
        let rate = LrSchedule {
            scheduler_type,
            learning_rate: 1.0,
            warmup_steps: 2,
            max_steps: 6,
        };
        (0..7).map(|step| (rate.at(step) * 1e4).round() / 1e4).collect()
    }

    #[test]
    fn curves_match_transformers() {
        assert_eq!(
            rates(SchedulerType::Linear),
            [0.0, 0.5, 1.0, 0.75, 0.5, 0.25, 0.0]
        );
        assert_eq!(
            rates(SchedulerType::Cosine),
            [0.0, 0.5, 1.0, 0.8536, 0.5, 0.1464, 0.0]
        );
        assert_eq!(rates(SchedulerType::Constant), [1.0; 7]);
        assert_eq!(
            rates(SchedulerType::ConstantWithWarmup),
            [0.0, 0.5, 1.0, 1.0, 1.0, 1.0, 1.0]
        );
    }

    #[test]
    fn warmup_is_a_number_or_a_share() {
        assert_eq!(LrSchedule::warmup_steps(100, 7.0, 0.5), 7);
        assert_eq!(LrSchedule::warmup_steps(100, 0.1, 0.5), 10);
        assert_eq!(LrSchedule::warmup_steps(101, 0.0, 0.1), 11);
        assert_eq!(LrSchedule::warmup_steps(100, 0.0, 0.0), 0);
    }
}
