//! Why a preset does not fit nodes of a kind, and what would make it fit.
//!
//! A remedy is only named after the question was asked again with it.

use instance_types::{ComputeCapability, InstanceType};

use crate::estimate::{Misfit, gib};

use super::verdict::Question;
use super::{Candidate, Outcome, context};

/// Something that stands in the way.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// The preset cannot be placed on such nodes.
    #[error(transparent)]
    Misfit(#[from] Misfit),
    /// The model was not made for a context of this length.
    #[error("a context of {wanted} tokens was asked for and the model was made for {limit}")]
    ContextBeyondModel {
        /// Tokens that were asked for.
        wanted: u32,
        /// Tokens that the model was made for.
        limit: u32,
    },
    /// The engine has no kernels for the model on such GPUs.
    #[error("needs GPUs of compute capability {needed} and these have {available}")]
    ComputeCapabilityTooLow {
        /// The lowest that will do.
        needed: ComputeCapability,
        /// That of the GPUs.
        available: ComputeCapability,
    },
    /// It fits, on more nodes than are wanted.
    #[error("needs {needed} nodes and at most {allowed} are allowed")]
    TooManyNodes {
        /// Nodes that it takes.
        needed: u32,
        /// Nodes that are allowed.
        allowed: u32,
    },
    /// The node has too little memory to run it on the CPU.
    #[error(
        "needs {} GiB of the node's memory and {} GiB are free",
        gib(*.needed_bytes),
        gib(*.available_bytes)
    )]
    HostMemoryTooSmall {
        /// Bytes that it takes.
        needed_bytes: u64,
        /// Bytes that the node has for it.
        available_bytes: u64,
    },
}

/// Something that would make a preset fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remedy {
    /// Ask for less context: at most this many tokens.
    SmallerContext {
        /// The longest context that fits as everything else is.
        context_tokens: u32,
    },
    /// Allow more nodes: at least this many.
    MoreNodes {
        /// Nodes that it takes.
        nodes: u32,
    },
    /// Take another instance type: the best of those that were asked about, in the same cloud.
    OtherInstanceType {
        /// Its name.
        instance_type: String,
        /// Nodes that it takes of it.
        nodes: u32,
    },
}

impl std::fmt::Display for Remedy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::SmallerContext { context_tokens } => {
                write!(f, "ask for a context of at most {context_tokens} tokens")
            }
            Self::MoreNodes { nodes } => write!(f, "allow {nodes} nodes"),
            Self::OtherInstanceType { instance_type, nodes } => {
                let plural = if *nodes == 1 { "" } else { "s" };
                write!(f, "use {nodes} node{plural} of {instance_type}")
            }
        }
    }
}

/// What would help with this instance type.
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

/// Names, for those that don't fit, the best candidate of the same cloud that does. The candidates are ranked.
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
