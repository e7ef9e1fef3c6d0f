//! Fit of a preset on one instance type: the placement and additional limits.
//!
//! This is the only module below `fit` that calls `place`.

use instance_types::InstanceType;

use crate::estimate::{GpuNode, Misfit, Placement, Work, host_bytes, place};
use crate::preset::Preset;

use super::reason::Reason;
use super::report::{FitOptions, Purpose};

/// The request, equal for every instance type.
#[derive(Debug, Clone, Copy)]
pub(super) struct FitRequest<'a> {
    pub(super) preset: &'a Preset,
    pub(super) options: &'a FitOptions,
}

impl FitRequest<'_> {
    /// Returns the placement, or all reasons against it.
    pub(super) fn verdict(
        self,
        instance_type: &InstanceType,
        context_tokens: u32,
    ) -> Result<Placement, Vec<Reason>> {
        let placed = place(
            self.preset,
            GpuNode::from(instance_type),
            self.work(context_tokens),
        );
        if let Some(why) = &instance_type.unsupported {
            return Err(vec![Reason::Unsupported { why: why.clone() }]);
        }
        let mut reasons: Vec<Reason> = is_retired(instance_type).into_iter().collect();
        reasons.extend(self.no_kernels(instance_type));
        reasons.extend(self.no_toolkit(instance_type));
        reasons.extend(self.beyond_model(context_tokens));
        match placed {
            Ok(placement) => {
                reasons.extend(self.too_many_nodes(&placement));
                reasons.extend(self.offloads_too_much(instance_type, &placement));
                if reasons.is_empty() {
                    Ok(placement)
                } else {
                    Err(reasons)
                }
            }
            Err(misfit) => {
                reasons.insert(0, Reason::Misfit(misfit));
                Err(reasons)
            }
        }
    }

    pub(super) fn is_inference(self) -> bool {
        self.options.purpose == Purpose::Inference
    }

    fn work(self, context_tokens: u32) -> Work {
        match self.options.purpose {
            Purpose::Inference => Work::Inference {
                context_tokens,
                options: self.options.settings,
            },
            Purpose::Tuning => Work::Tuning,
        }
    }

    /// An unknown capability is accepted.
    fn no_kernels(self, instance_type: &InstanceType) -> Option<Reason> {
        let profile = self.preset.inference.as_ref().filter(|_| self.is_inference());
        let of_model = profile.and_then(|profile| profile.min_compute_capability);
        let needed = of_model.max(self.options.engine.min_compute_capability)?;
        let available = instance_type.compute_capability?;
        (available < needed).then_some(Reason::ComputeCapabilityTooLow { needed, available })
    }

    fn no_toolkit(self, instance_type: &InstanceType) -> Option<Reason> {
        let profile = self.preset.inference.as_ref().filter(|_| self.is_inference())?;
        let is_needed = profile.needs_cuda_toolkit && instance_type.nvidia_gpus() > 0;
        (is_needed && !self.options.engine.cuda_toolkit).then_some(Reason::NoCudaToolkit)
    }

    fn beyond_model(self, context_tokens: u32) -> Option<Reason> {
        let limit = self.preset.shape.max_context_tokens;
        (self.is_inference() && context_tokens > limit).then_some(Reason::ContextBeyondModel {
            wanted: context_tokens,
            limit,
        })
    }

    fn too_many_nodes(self, placement: &Placement) -> Option<Reason> {
        let allowed = self.options.max_nodes?;
        let needed = placement.nodes;
        (needed > allowed).then_some(Reason::TooManyNodes { needed, allowed })
    }

    /// The node's memory holds what the GPUs do not.
    fn offloads_too_much(self, instance_type: &InstanceType, placement: &Placement) -> Option<Reason> {
        if placement.gpus_per_node == 0 || !self.is_inference() {
            return None;
        }
        let available_bytes = host_bytes(instance_type)?;
        let needed_bytes = self.options.settings.offload_bytes(placement.gpus_per_node);
        (needed_bytes > available_bytes).then_some(Reason::Misfit(Misfit::HostMemoryTooSmall {
            needed_bytes,
            available_bytes,
        }))
    }
}

fn is_retired(instance_type: &InstanceType) -> Option<Reason> {
    let retired = instance_type.retired.as_ref()?;
    Some(Reason::Retired {
        since: retired.since.clone(),
    })
}
