//! Converts messages to resource plans. An incomplete message is refused.
//!
//! Checks only the form.

use instance_types::{ComputeCapability, InstanceType, ListPrice, Retirement};
use preset_catalog::estimate::{MemoryTerms, Misfit, Placement};
use preset_catalog::fit::{
    Candidate, Fit, FitOutcome, FitReport, Purpose, Reason, Remedy, Term, TermKind, Unfit,
};

use crate::from_wire::ConversionError;
use crate::v1;
use crate::v1::reason::{self, Detail};
use crate::v1::remedy;
use crate::vendor;

impl TryFrom<v1::ResourcePlan> for FitReport {
    type Error = ConversionError;

    fn try_from(message: v1::ResourcePlan) -> Result<Self, Self::Error> {
        let reader = Reader {
            preset: &message.preset,
        };
        Ok(Self {
            purpose: reader.purpose(message.purpose)?,
            context_tokens: message.context_tokens,
            candidates: message
                .candidates
                .into_iter()
                .map(|candidate| reader.candidate(candidate))
                .collect::<Result<_, _>>()?,
            preset: message.preset.clone(),
        })
    }
}

/// Converts the purpose of a request. Unspecified means inference.
///
/// # Errors
/// The number is unknown.
pub fn purpose(value: i32) -> Result<Purpose, ConversionError> {
    Reader { preset: "" }.purpose(value)
}

/// Converts the parts of one plan. Errors have the name of its preset.
#[derive(Clone, Copy)]
struct Reader<'a> {
    preset: &'a str,
}

impl Reader<'_> {
    fn missing(self, field: &'static str) -> ConversionError {
        ConversionError::Missing {
            preset: self.preset.to_owned(),
            field,
        }
    }

    fn unknown(self, field: &'static str, value: &impl ToString) -> ConversionError {
        ConversionError::Unknown {
            preset: self.preset.to_owned(),
            field,
            value: value.to_string(),
        }
    }

    fn need<T>(self, field: &'static str, value: Option<T>) -> Result<T, ConversionError> {
        value.ok_or_else(|| self.missing(field))
    }

    fn purpose(self, value: i32) -> Result<Purpose, ConversionError> {
        match v1::PlanPurpose::try_from(value) {
            Ok(v1::PlanPurpose::Unspecified | v1::PlanPurpose::Inference) => Ok(Purpose::Inference),
            Ok(v1::PlanPurpose::Tuning) => Ok(Purpose::Tuning),
            Err(_) => Err(self.unknown("plan.purpose", &value)),
        }
    }

    fn candidate(self, message: v1::Candidate) -> Result<Candidate, ConversionError> {
        let instance_type = self.need("candidate.instance_type", message.instance_type)?;
        let outcome = match self.need("candidate.outcome", message.outcome)? {
            v1::candidate::Outcome::Fit(fit) => FitOutcome::Fits(Box::new(self.fit(fit)?)),
            v1::candidate::Outcome::Unfit(unfit) => FitOutcome::Unfit(self.unfit(unfit)?),
        };
        Ok(Candidate {
            instance_type: self.instance_type(instance_type)?,
            outcome,
        })
    }

    fn instance_type(self, message: v1::InstanceType) -> Result<InstanceType, ConversionError> {
        let cloud = message.cloud.parse();
        let capability = optional(message.compute_capability).map(|text| {
            let parsed = text.parse();
            parsed.map_err(|_| self.unknown("instance_type.compute_capability", &text))
        });
        let vendor = optional(message.gpu_vendor).map(|name| {
            let known = vendor::of(&name);
            known.ok_or_else(|| self.unknown("instance_type.gpu_vendor", &name))
        });
        Ok(InstanceType {
            name: message.name,
            cloud: cloud.map_err(|_| self.unknown("instance_type.cloud", &message.cloud))?,
            gpus: message.gpus,
            gpu_memory_gib_total: message.gpu_memory_gib_total,
            gpu_model: optional(message.gpu_model),
            vendor: vendor.transpose()?,
            nvme: message.nvme,
            compute_capability: capability.transpose()?,
            vcpus: known(message.vcpus),
            memory_gib: known(message.memory_gib),
            list_price: message.list_price.map(list_price),
            retired: message.retired.map(|retired| Retirement {
                since: retired.since,
                source: retired.source,
            }),
            unsupported: optional(message.unsupported),
            file: optional(message.file),
        })
    }

    fn fit(self, message: v1::Fit) -> Result<Fit, ConversionError> {
        let placement = self.need("fit.placement", message.placement)?;
        let memory = self.need("fit.placement.memory", placement.memory)?;
        Ok(Fit {
            placement: Placement {
                nodes: placement.nodes,
                gpus_per_node: placement.gpus_per_node,
                min_gpus: placement.min_gpus,
                tensor_parallel: placement.tensor_parallel,
                pipeline_parallel: placement.pipeline_parallel,
                data_parallel: placement.data_parallel,
                memory: memory_terms(memory),
            },
            gpus: message.gpus,
            max_context_tokens: message.max_context_tokens,
            usd_micros_per_hour: message.usd_micros_per_hour,
            headroom_bytes: message.headroom_bytes,
            explanation: message
                .explanation
                .into_iter()
                .map(|term| self.term(term))
                .collect::<Result<_, _>>()?,
        })
    }

    fn term(self, message: v1::Term) -> Result<Term, ConversionError> {
        let kind = match v1::TermKind::try_from(message.kind) {
            Ok(v1::TermKind::Reserved) => TermKind::Reserved,
            Ok(v1::TermKind::Weights) => TermKind::Weights,
            Ok(v1::TermKind::Activations) => TermKind::Activations,
            Ok(v1::TermKind::Engine) => TermKind::Engine,
            Ok(v1::TermKind::KvCache) => TermKind::KvCache,
            Ok(v1::TermKind::Headroom) => TermKind::Headroom,
            Ok(v1::TermKind::Unspecified) | Err(_) => return Err(self.unknown("term.kind", &message.kind)),
        };
        Ok(Term {
            kind,
            bytes: message.bytes,
            formula: message.formula,
            source: message.source.into(),
        })
    }

    fn unfit(self, message: v1::Unfit) -> Result<Unfit, ConversionError> {
        if message.reasons.is_empty() {
            return Err(self.missing("unfit.reasons"));
        }
        let reasons = message.reasons.iter().map(|reason| self.reason(reason));
        let remedies = message.remedies.into_iter().map(|remedy| self.remedy(remedy));
        Ok(Unfit {
            reasons: reasons.collect::<Result<_, _>>()?,
            remedies: remedies.collect::<Result<_, _>>()?,
        })
    }

    fn reason(self, message: &v1::Reason) -> Result<Reason, ConversionError> {
        Ok(match self.need("reason.detail", message.detail.clone())? {
            Detail::NotServed(_) => Misfit::NotServed.into(),
            Detail::NotTunable(_) => Misfit::NotTunable.into(),
            Detail::NoGpu(_) => Misfit::NoGpu.into(),
            Detail::NoCudaToolkit(_) => Reason::NoCudaToolkit,
            Detail::Unsupported(detail) => Reason::Unsupported { why: detail.why },
            Detail::Retired(detail) => Reason::Retired { since: detail.since },
            Detail::GpuTooSmall(detail) => Misfit::GpuTooSmall {
                context_tokens: detail.context_tokens,
                memory: memory_terms(self.need("reason.memory", detail.memory)?),
            }
            .into(),
            Detail::PartTooLarge(detail) => Misfit::PartTooLarge {
                parts: detail.parts,
                memory: memory_terms(self.need("reason.memory", detail.memory)?),
            }
            .into(),
            Detail::NotDistributed(detail) => Misfit::NotDistributed {
                min_gpus: detail.min_gpus,
                gpus_per_node: detail.gpus_per_node,
            }
            .into(),
            Detail::FixedDivision(detail) => Misfit::FixedDivision {
                tensor_parallel: Some(detail.tensor_parallel).filter(|parts| *parts > 0),
                pipeline_parallel: Some(detail.pipeline_parallel).filter(|parts| *parts > 0),
                gpus_per_node: detail.gpus_per_node,
            }
            .into(),
            Detail::ContextBeyondModel(detail) => Reason::ContextBeyondModel {
                wanted: detail.wanted,
                limit: detail.limit,
            },
            Detail::TooManyNodes(detail) => Reason::TooManyNodes {
                needed: detail.needed,
                allowed: detail.allowed,
            },
            Detail::HostMemoryTooSmall(detail) => Misfit::HostMemoryTooSmall {
                needed_bytes: detail.needed_bytes,
                available_bytes: detail.available_bytes,
            }
            .into(),
            Detail::ComputeCapabilityTooLow(detail) => Reason::ComputeCapabilityTooLow {
                needed: self.capability(detail.needed)?,
                available: self.capability(detail.available)?,
            },
        })
    }

    fn capability(
        self,
        message: Option<reason::ComputeCapability>,
    ) -> Result<ComputeCapability, ConversionError> {
        const FIELD: &str = "reason.compute_capability";
        let message = self.need(FIELD, message)?;
        let digit = |number: u32| u8::try_from(number).map_err(|_| self.unknown(FIELD, &number));
        Ok(ComputeCapability {
            major: digit(message.major)?,
            minor: digit(message.minor)?,
        })
    }

    fn remedy(self, message: v1::Remedy) -> Result<Remedy, ConversionError> {
        Ok(match self.need("remedy.detail", message.detail)? {
            remedy::Detail::ContextTokens(context_tokens) => Remedy::SmallerContext { context_tokens },
            remedy::Detail::Nodes(nodes) => Remedy::MoreNodes { nodes },
            remedy::Detail::OtherInstanceType(detail) => Remedy::OtherInstanceType {
                instance_type: detail.instance_type,
                nodes: detail.nodes,
            },
        })
    }
}

fn list_price(message: v1::ListPrice) -> ListPrice {
    ListPrice {
        usd_micros_per_hour: message.usd_micros_per_hour,
        region: message.region,
        as_of: message.as_of,
        source: message.source,
    }
}

const fn memory_terms(message: v1::MemoryTerms) -> MemoryTerms {
    MemoryTerms {
        weights_bytes: message.weights_bytes,
        gpu_bytes: message.gpu_bytes,
        available_bytes_per_gpu: message.available_bytes_per_gpu,
        base_overhead_bytes_per_gpu: message.base_overhead_bytes_per_gpu,
        kv_cache_bytes_per_gpu: message.kv_cache_bytes_per_gpu,
        usable_bytes_per_gpu: message.usable_bytes_per_gpu,
        weights_bytes_per_gpu: message.weights_bytes_per_gpu,
        activations_bytes_per_gpu: message.activations_bytes_per_gpu,
    }
}

fn known(number: u32) -> Option<u32> {
    (number > 0).then_some(number)
}

fn optional(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests;
