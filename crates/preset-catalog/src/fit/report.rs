//! The values of a fit report, without their computation.

use instance_types::InstanceType;

use crate::engine_image::EngineImage;
use crate::estimate::{EngineOptions, Placement};

use super::reason::{Reason, Remedy};
use super::term::Term;

/// Purpose of the nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Purpose {
    /// One replica for inference.
    #[default]
    Inference,
    /// One tuning job.
    Tuning,
}

/// Requirements of the user besides the context.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FitOptions {
    /// Purpose of the nodes.
    pub purpose: Purpose,
    /// Largest number of nodes; `None` for any number.
    pub max_nodes: Option<u32>,
    /// Image of the GPU engine, or of the tuner.
    pub engine: EngineImage,
    /// Settings of the engine that change the size.
    pub settings: EngineOptions,
}

/// Ranked instance types for a preset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FitReport {
    /// Short name of the preset.
    pub preset: String,
    /// Purpose of the nodes.
    pub purpose: Purpose,
    /// Context that must fit, in tokens.
    pub context_tokens: u32,
    /// One candidate per instance type, ranked as `docs/estimator.md` says.
    pub candidates: Vec<Candidate>,
}

impl FitReport {
    /// Returns the first candidate, if it fits.
    #[must_use]
    pub fn best(&self) -> Option<(&InstanceType, &Fit)> {
        self.fits().next()
    }

    /// Returns the candidates that fit, best first.
    pub fn fits(&self) -> impl Iterator<Item = (&InstanceType, &Fit)> {
        self.candidates.iter().filter_map(Candidate::fit)
    }
}

/// One instance type with the verdict for the preset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The instance type, with its list price if known.
    pub instance_type: InstanceType,
    /// The fit, or the reasons against it.
    pub outcome: FitOutcome,
}

impl Candidate {
    /// Returns the instance type and the fit; `None` if the preset does not fit.
    #[must_use]
    pub fn fit(&self) -> Option<(&InstanceType, &Fit)> {
        match &self.outcome {
            FitOutcome::Fits(fit) => Some((&self.instance_type, fit)),
            FitOutcome::Unfit(_) => None,
        }
    }
}

/// Verdict on a preset and an instance type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FitOutcome {
    /// The preset fits.
    Fits(Box<Fit>),
    /// The preset does not fit.
    Unfit(Unfit),
}

/// Layout and cost of a preset that fits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fit {
    /// Nodes, GPUs per node and layout of the model, exactly as the controller would choose them.
    pub placement: Placement,
    /// GPUs of all nodes; 0 on the CPU.
    pub gpus: u32,
    /// Longest context that fits the same number of nodes, up to the model's maximum; `None` for tuning, which is not
    /// sized by context.
    pub max_context_tokens: Option<u32>,
    /// List price of all nodes in millionths of a US dollar per hour; `None` if unknown.
    pub usd_micros_per_hour: Option<u64>,
    /// Bytes for more sequences on the fullest GPU, or in the node's memory on the CPU. `None` without sizing, or if the
    /// node's memory is unknown.
    pub headroom_bytes: Option<u64>,
    /// Terms of the fullest GPU's memory, or of the node's memory on the CPU. They add up to it exactly. Empty without
    /// sizing.
    pub explanation: Vec<Term>,
}

/// Reasons against a fit, and remedies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfit {
    /// All reasons; never empty.
    pub reasons: Vec<Reason>,
    /// Remedies, each sufficient alone; may be empty.
    pub remedies: Vec<Remedy>,
}
