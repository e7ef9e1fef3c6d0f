//! Learning rates over steps, by the formulas of transformers' `get_scheduler`.

use std::f64::consts::PI;

use crate::config::Schedule;

/// How the learning rate moves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LearningRate {
    /// Shape of the curve.
    pub schedule: Schedule,
    /// Highest rate.
    pub peak: f64,
    /// Steps until then.
    pub warmup: u64,
    /// Steps in all.
    pub steps: u64,
}

impl LearningRate {
    /// Steps of the warm-up: a number, or a share of all steps where it is below 1; a ratio where it is zero.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "whole and positive"
    )]
    pub fn warmup(steps: u64, number: f64, ratio: f64) -> u64 {
        let share = if number > 0.0 { number } else { ratio };
        if number >= 1.0 {
            number.ceil() as u64
        } else {
            (share * steps as f64).ceil() as u64
        }
    }

    /// The rate of a step; steps count from 0 on.
    #[must_use]
    pub fn at(&self, step: u64) -> f64 {
        if self.schedule == Schedule::Constant {
            return self.peak;
        }
        if step < self.warmup {
            return self.peak * step as f64 / self.warmup as f64;
        }
        let rest = self.steps.saturating_sub(self.warmup).max(1) as f64;
        let gone = (step - self.warmup) as f64 / rest;
        let share = match self.schedule {
            Schedule::Linear => 1.0 - gone,
            Schedule::Cosine => 0.5 * (1.0 + (PI * gone).cos()),
            Schedule::Constant | Schedule::ConstantWithWarmup => 1.0,
        };
        self.peak * share.max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(schedule: Schedule) -> Vec<f64> {
        let rate = LearningRate {
            schedule,
            peak: 1.0,
            warmup: 2,
            steps: 6,
        };
        (0..7).map(|step| (rate.at(step) * 1e4).round() / 1e4).collect()
    }

    #[test]
    fn curves_are_those_of_transformers() {
        assert_eq!(rates(Schedule::Linear), [0.0, 0.5, 1.0, 0.75, 0.5, 0.25, 0.0]);
        assert_eq!(rates(Schedule::Cosine), [0.0, 0.5, 1.0, 0.8536, 0.5, 0.1464, 0.0]);
        assert_eq!(rates(Schedule::Constant), [1.0; 7]);
        assert_eq!(
            rates(Schedule::ConstantWithWarmup),
            [0.0, 0.5, 1.0, 1.0, 1.0, 1.0, 1.0]
        );
    }

    #[test]
    fn a_warmup_is_a_number_or_a_share() {
        assert_eq!(LearningRate::warmup(100, 7.0, 0.5), 7);
        assert_eq!(LearningRate::warmup(100, 0.1, 0.5), 10);
        assert_eq!(LearningRate::warmup(101, 0.0, 0.1), 11);
        assert_eq!(LearningRate::warmup(100, 0.0, 0.0), 0);
    }
}
