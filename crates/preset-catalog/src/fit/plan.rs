//! What a plan says: the values, without how they come about.

use instance_types::InstanceType;

use crate::estimate::Placement;

use super::{Reason, Remedy, Term};

/// What the nodes are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Purpose {
    /// One replica that serves.
    #[default]
    Inference,
    /// One tuning job.
    Tuning,
}

/// What the user wants beside the context.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PlanOptions {
    /// What the nodes are for.
    pub purpose: Purpose,
    /// More nodes than this are not wanted; `None` for any number.
    pub max_nodes: Option<u32>,
}

/// Instance types for a preset, best first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourcePlan {
    /// Short name of the preset.
    pub preset: String,
    /// What the nodes are for.
    pub purpose: Purpose,
    /// Tokens of the sequence that must fit.
    pub context_tokens: u32,
    /// One for each instance type that was asked about: those that fit first, then by price of all nodes (unknown
    /// last), number of nodes, headroom and name.
    pub candidates: Vec<Candidate>,
}

impl ResourcePlan {
    /// The first candidate, if it fits.
    #[must_use]
    pub fn best(&self) -> Option<(&InstanceType, &Fit)> {
        self.fits().next()
    }

    /// The candidates that fit, best first.
    pub fn fits(&self) -> impl Iterator<Item = (&InstanceType, &Fit)> {
        self.candidates.iter().filter_map(Candidate::fit)
    }
}

/// One instance type and whether the preset fits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The kind of node, with its list price where that is known.
    pub instance_type: InstanceType,
    /// Whether the preset fits, and how or why not.
    pub outcome: Outcome,
}

impl Candidate {
    /// The instance type and how the preset fits; `None` when it does not.
    #[must_use]
    pub fn fit(&self) -> Option<(&InstanceType, &Fit)> {
        match &self.outcome {
            Outcome::Fits(fit) => Some((&self.instance_type, fit)),
            Outcome::Unfit(_) => None,
        }
    }
}

/// Whether a preset fits nodes of a kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It does.
    Fits(Box<Fit>),
    /// It does not.
    Unfit(Unfit),
}

/// How a preset fits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fit {
    /// Nodes, GPUs of each, and how the model is divided over them; exactly what a controller would do.
    pub placement: Placement,
    /// GPUs of all nodes together; 0 on the CPU.
    pub gpus: u32,
    /// Longest context that fits the same number of nodes, at most what the model was made for; `None` for tuning,
    /// which is not sized by context.
    pub max_context_tokens: Option<u32>,
    /// List price of all nodes in millionths of a US dollar an hour; `None` where it is not known.
    pub usd_micros_per_hour: Option<u64>,
    /// Bytes that are left on the fullest GPU (of the node's memory, on the CPU) for further sequences; `None` when
    /// nothing was sized, or the memory of the node is not known.
    pub headroom_bytes: Option<u64>,
    /// What fills the fullest GPU (the memory of the node, on the CPU). The terms add up to its memory exactly. Empty
    /// when nothing was sized.
    pub explanation: Vec<Term>,
}

/// Why a preset does not fit, and what would help.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfit {
    /// Everything that stands in the way; never empty.
    pub reasons: Vec<Reason>,
    /// Each would make it fit by itself; empty when nothing would.
    pub remedies: Vec<Remedy>,
}
