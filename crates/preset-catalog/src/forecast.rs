//! Estimates about a placement that fits, for people who pay: its speed, its sequences at once and its time to ready.
//!
//! No decision depends on them: sizing and ranking do not read this module. Each estimate has its formula and its source.
//! `docs/estimator.md` describes them.

mod estimate;
mod speed;
mod start;

use instance_types::InstanceType;

use crate::estimate::EngineOptions;
use crate::fit::Fit;
use crate::preset::Preset;

pub use estimate::Estimate;
pub use start::{Stage, StartHistory, StartSample};

/// Estimates for one instance type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forecast {
    /// Most tokens a second that one sequence can get; `None` if the memory bandwidth is not known.
    pub tokens_per_second: Option<Estimate>,
    /// Sequences of the planned context whose caches fit at once; `None` if the memory is not known.
    pub sequences: Option<Estimate>,
    /// Seconds of the stages of the first start, in their order.
    pub stages: Vec<(Stage, Estimate)>,
}

impl Forecast {
    /// Returns the seconds from the Workspace to its first answer.
    #[must_use]
    pub fn seconds_to_ready(&self) -> u64 {
        self.stages.iter().map(|(_, estimate)| estimate.value).sum()
    }
}

/// Estimates inference with a preset that fits an instance type. `history` has measured starts, or none.
#[must_use]
pub fn forecast(
    preset: &Preset,
    instance_type: &InstanceType,
    fit: &Fit,
    settings: &EngineOptions,
    history: &StartHistory,
) -> Forecast {
    Forecast {
        tokens_per_second: speed::tokens_per_second(preset, instance_type, fit, settings),
        sequences: speed::sequences(fit),
        stages: start::stages(preset, instance_type, history),
    }
}

#[cfg(test)]
mod tests;
