//! Reasons why a preset does not fit an instance type, and remedies.
//!
//! A remedy is reported only if a new estimate confirms it.

use instance_types::{ComputeCapability, InstanceType};

use crate::estimate::{Misfit, gib};

use super::verdict::Question;
use super::{Candidate, Outcome, context};

/// One reason why a preset does not fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// The preset cannot be placed on such nodes.
    #[error(transparent)]
    Misfit(#[from] Misfit),
    /// The context exceeds the model's maximum.
    #[error("a context of {wanted} tokens exceeds the model's maximum of {limit}")]
    ContextBeyondModel {
        /// Requested tokens.
        wanted: u32,
        /// Largest context of the model, in tokens.
        limit: u32,
    },
    /// The engine has no kernels for the model on such GPUs.
    #[error("needs GPUs of compute capability {needed}, but these have {available}")]
    ComputeCapabilityTooLow {
        /// Lowest supported capability.
        needed: ComputeCapability,
        /// Capability of the GPUs.
        available: ComputeCapability,
    },
    /// The preset needs more nodes than allowed.
    #[error("needs {needed} nodes, but at most {allowed} are allowed")]
    TooManyNodes {
        /// Needed nodes.
        needed: u32,
        /// Allowed nodes.
        allowed: u32,
    },
    /// The node has too little memory to run it on the CPU.
    #[error(
        "needs {} GiB of the node's memory, but {} GiB are available",
        gib(*.needed_bytes),
        gib(*.available_bytes)
    )]
    HostMemoryTooSmall {
        /// Needed bytes.
        needed_bytes: u64,
        /// Available bytes.
        available_bytes: u64,
    },
}

/// A change that would make a preset fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remedy {
    /// Request a shorter context.
    SmallerContext {
        /// Longest context that fits otherwise unchanged.
        context_tokens: u32,
    },
    /// Allow more nodes.
    MoreNodes {
        /// Needed nodes.
        nodes: u32,
    },
    /// Use another instance type: the best compared one of the same cloud.
    OtherInstanceType {
        /// Name of the instance type.
        instance_type: String,
        /// Needed nodes of this type.
        nodes: u32,
    },
}

impl std::fmt::Display for Remedy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::SmallerContext { context_tokens } => {
                write!(f, "request a context of at most {context_tokens} tokens")
            }
            Self::MoreNodes { nodes } => write!(f, "allow {nodes} nodes"),
            Self::OtherInstanceType { instance_type, nodes } => {
                let plural = if *nodes == 1 { "" } else { "s" };
                write!(f, "use {nodes} node{plural} of {instance_type}")
            }
        }
    }
}

/// Returns the remedies for this instance type.
pub(super) fn remedies(
    question: Question<'_>,
    instance_type: &InstanceType,
    context_tokens: u32,
    reasons: &[Reason],
) -> Vec<Remedy> {
    let smaller = context::largest_below(question, instance_type, context_tokens)
        .map(|context_tokens| Remedy::SmallerContext { context_tokens });
    let more = match reasons {
        [Reason::TooManyNodes { needed, .. }] => Some(Remedy::MoreNodes { nodes: *needed }),
        _ => None,
    };
    smaller.into_iter().chain(more).collect()
}

/// Adds the best candidate of the same cloud as a remedy to those that do not fit. The candidates must be ranked.
pub(super) fn add_other_types(candidates: &mut [Candidate]) {
    let fitting: Vec<_> = candidates
        .iter()
        .filter_map(Candidate::fit)
        .map(|(instance_type, fit)| {
            let remedy = Remedy::OtherInstanceType {
                instance_type: instance_type.name.clone(),
                nodes: fit.placement.nodes,
            };
            (instance_type.cloud, remedy)
        })
        .collect();
    for candidate in candidates {
        let cloud = candidate.instance_type.cloud;
        if let Outcome::Unfit(unfit) = &mut candidate.outcome {
            let best = fitting.iter().find(|(of, _)| *of == cloud);
            unfit.remedies.extend(best.map(|(_, remedy)| remedy.clone()));
        }
    }
}
