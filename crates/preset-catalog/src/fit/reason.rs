//! Reasons why a preset does not fit an instance type, and remedies, as values.

use instance_types::ComputeCapability;

use crate::estimate::Misfit;

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
    /// The engine compiles kernels for the model, and its image lacks the compiler.
    #[error("needs a CUDA toolkit, which the image of the engine lacks")]
    NoCudaToolkit,
    /// The cloud creates no such node any more.
    #[error("is retired: the cloud creates none since {since}")]
    Retired {
        /// Day of the retirement, `YYYY-MM-DD`.
        since: String,
    },
    /// No engine runs on such nodes.
    #[error("is not supported: {why}")]
    Unsupported {
        /// The reason, as a clause.
        why: String,
    },
    /// The preset needs more nodes than allowed.
    #[error("needs {needed} nodes, but at most {allowed} are allowed")]
    TooManyNodes {
        /// Needed nodes.
        needed: u32,
        /// Allowed nodes.
        allowed: u32,
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
