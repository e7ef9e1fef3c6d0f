//! Converts resource plans to messages. Every plan has a message.
//!
//! An absent value becomes an empty text or zero if the field has no presence.

use instance_types::{ComputeCapability, InstanceType, ListPrice};
use preset_catalog::estimate::{MemoryTerms, Misfit, Placement};
use preset_catalog::fit::{
    Candidate, Fit, FitOutcome, FitReport, Purpose, Reason, Remedy, Term, TermKind, Unfit,
};

use crate::v1;
use crate::v1::reason::{self, Detail};
use crate::v1::remedy;
use crate::vendor;

impl From<&FitReport> for v1::ResourcePlan {
    fn from(plan: &FitReport) -> Self {
        Self {
            preset: plan.preset.clone(),
            purpose: v1::PlanPurpose::from(plan.purpose).into(),
            context_tokens: plan.context_tokens,
            candidates: plan.candidates.iter().map(Into::into).collect(),
        }
    }
}

impl From<Purpose> for v1::PlanPurpose {
    fn from(purpose: Purpose) -> Self {
        match purpose {
            Purpose::Inference => Self::Inference,
            Purpose::Tuning => Self::Tuning,
        }
    }
}

impl From<&Candidate> for v1::Candidate {
    fn from(candidate: &Candidate) -> Self {
        let outcome = match &candidate.outcome {
            FitOutcome::Fits(fit) => v1::candidate::Outcome::Fit(fit.as_ref().into()),
            FitOutcome::Unfit(unfit) => v1::candidate::Outcome::Unfit(unfit.into()),
        };
        Self {
            instance_type: Some((&candidate.instance_type).into()),
            outcome: Some(outcome),
        }
    }
}

impl From<&InstanceType> for v1::InstanceType {
    fn from(instance_type: &InstanceType) -> Self {
        Self {
            name: instance_type.name.clone(),
            cloud: instance_type.cloud.to_string(),
            gpus: instance_type.gpus,
            gpu_memory_gib_total: instance_type.gpu_memory_gib_total,
            gpu_model: instance_type.gpu_model.clone().unwrap_or_default(),
            gpu_vendor: instance_type.vendor.map_or("", vendor::name).to_owned(),
            nvme: instance_type.nvme,
            compute_capability: instance_type
                .compute_capability
                .map(|capability| capability.to_string())
                .unwrap_or_default(),
            vcpus: instance_type.vcpus.unwrap_or_default(),
            memory_gib: instance_type.memory_gib.unwrap_or_default(),
            list_price: instance_type.list_price.as_ref().map(Into::into),
            retired: instance_type.retired.as_ref().map(|retired| v1::Retirement {
                since: retired.since.clone(),
                source: retired.source.clone(),
            }),
            unsupported: instance_type.unsupported.clone().unwrap_or_default(),
            file: instance_type.file.clone().unwrap_or_default(),
        }
    }
}

impl From<&ListPrice> for v1::ListPrice {
    fn from(price: &ListPrice) -> Self {
        Self {
            usd_micros_per_hour: price.usd_micros_per_hour,
            region: price.region.clone(),
            as_of: price.as_of.clone(),
            source: price.source.clone(),
        }
    }
}

impl From<&Fit> for v1::Fit {
    fn from(fit: &Fit) -> Self {
        Self {
            placement: Some(fit.placement.into()),
            gpus: fit.gpus,
            max_context_tokens: fit.max_context_tokens,
            usd_micros_per_hour: fit.usd_micros_per_hour,
            headroom_bytes: fit.headroom_bytes,
            explanation: fit.explanation.iter().map(Into::into).collect(),
        }
    }
}

impl From<Placement> for v1::Placement {
    fn from(placement: Placement) -> Self {
        Self {
            nodes: placement.nodes,
            gpus_per_node: placement.gpus_per_node,
            min_gpus: placement.min_gpus,
            tensor_parallel: placement.tensor_parallel,
            pipeline_parallel: placement.pipeline_parallel,
            data_parallel: placement.data_parallel,
            memory: Some(placement.memory.into()),
        }
    }
}

impl From<MemoryTerms> for v1::MemoryTerms {
    fn from(memory: MemoryTerms) -> Self {
        Self {
            weights_bytes: memory.weights_bytes,
            gpu_bytes: memory.gpu_bytes,
            available_bytes_per_gpu: memory.available_bytes_per_gpu,
            base_overhead_bytes_per_gpu: memory.base_overhead_bytes_per_gpu,
            kv_cache_bytes_per_gpu: memory.kv_cache_bytes_per_gpu,
            usable_bytes_per_gpu: memory.usable_bytes_per_gpu,
            weights_bytes_per_gpu: memory.weights_bytes_per_gpu,
            activations_bytes_per_gpu: memory.activations_bytes_per_gpu,
        }
    }
}

impl From<&Term> for v1::Term {
    fn from(term: &Term) -> Self {
        Self {
            kind: v1::TermKind::from(term.kind).into(),
            bytes: term.bytes,
            formula: term.formula.clone(),
            source: term.source.clone().into_owned(),
        }
    }
}

impl From<TermKind> for v1::TermKind {
    fn from(kind: TermKind) -> Self {
        match kind {
            TermKind::Reserved => Self::Reserved,
            TermKind::Weights => Self::Weights,
            TermKind::Activations => Self::Activations,
            TermKind::Engine => Self::Engine,
            TermKind::KvCache => Self::KvCache,
            TermKind::Headroom => Self::Headroom,
        }
    }
}

impl From<&Unfit> for v1::Unfit {
    fn from(unfit: &Unfit) -> Self {
        Self {
            reasons: unfit.reasons.iter().map(Into::into).collect(),
            remedies: unfit.remedies.iter().map(Into::into).collect(),
        }
    }
}

impl From<&Reason> for v1::Reason {
    fn from(reason: &Reason) -> Self {
        let detail = match reason {
            Reason::Misfit(misfit) => misfit_detail(misfit),
            Reason::ContextBeyondModel { wanted, limit } => {
                Detail::ContextBeyondModel(reason::ContextBeyondModel {
                    wanted: *wanted,
                    limit: *limit,
                })
            }
            Reason::TooManyNodes { needed, allowed } => Detail::TooManyNodes(reason::TooManyNodes {
                needed: *needed,
                allowed: *allowed,
            }),
            Reason::NoCudaToolkit => Detail::NoCudaToolkit(reason::NoCudaToolkit {}),
            Reason::Unsupported { why } => Detail::Unsupported(reason::Unsupported { why: why.clone() }),
            Reason::Retired { since } => Detail::Retired(reason::Retired { since: since.clone() }),
            Reason::ComputeCapabilityTooLow { needed, available } => {
                Detail::ComputeCapabilityTooLow(reason::ComputeCapabilityTooLow {
                    needed: Some((*needed).into()),
                    available: Some((*available).into()),
                })
            }
        };
        Self {
            message: reason.to_string(),
            detail: Some(detail),
        }
    }
}

impl From<ComputeCapability> for reason::ComputeCapability {
    fn from(capability: ComputeCapability) -> Self {
        Self {
            major: capability.major.into(),
            minor: capability.minor.into(),
        }
    }
}

fn misfit_detail(misfit: &Misfit) -> Detail {
    match misfit {
        Misfit::NotServed => Detail::NotServed(reason::NotServed {}),
        Misfit::NotTunable => Detail::NotTunable(reason::NotTunable {}),
        Misfit::NoGpu => Detail::NoGpu(reason::NoGpu {}),
        Misfit::GpuTooSmall {
            context_tokens,
            memory,
        } => Detail::GpuTooSmall(reason::GpuTooSmall {
            context_tokens: *context_tokens,
            memory: Some((*memory).into()),
        }),
        Misfit::PartTooLarge { parts, memory } => Detail::PartTooLarge(reason::PartTooLarge {
            parts: *parts,
            memory: Some((*memory).into()),
        }),
        Misfit::FixedDivision {
            tensor_parallel,
            pipeline_parallel,
            gpus_per_node,
        } => Detail::FixedDivision(reason::FixedDivision {
            tensor_parallel: tensor_parallel.unwrap_or(0),
            pipeline_parallel: pipeline_parallel.unwrap_or(0),
            gpus_per_node: *gpus_per_node,
        }),
        Misfit::NotDistributed {
            min_gpus,
            gpus_per_node,
        } => Detail::NotDistributed(reason::NotDistributed {
            min_gpus: *min_gpus,
            gpus_per_node: *gpus_per_node,
        }),
        Misfit::HostMemoryTooSmall {
            needed_bytes,
            available_bytes,
        } => Detail::HostMemoryTooSmall(reason::HostMemoryTooSmall {
            needed_bytes: *needed_bytes,
            available_bytes: *available_bytes,
        }),
    }
}

impl From<&Remedy> for v1::Remedy {
    fn from(remedy: &Remedy) -> Self {
        let detail = match remedy {
            Remedy::SmallerContext { context_tokens } => remedy::Detail::ContextTokens(*context_tokens),
            Remedy::MoreNodes { nodes } => remedy::Detail::Nodes(*nodes),
            Remedy::OtherInstanceType { instance_type, nodes } => {
                remedy::Detail::OtherInstanceType(remedy::OtherInstanceType {
                    instance_type: instance_type.clone(),
                    nodes: *nodes,
                })
            }
        };
        Self {
            message: remedy.to_string(),
            detail: Some(detail),
        }
    }
}
