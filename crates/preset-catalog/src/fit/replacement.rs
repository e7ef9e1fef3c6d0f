//! The current instance type that is bought instead of a retired one.
//!
//! It is the cheapest of which one node is sufficient. Its list price is at most half above that of the retired type.

use std::str::FromStr;

use instance_types::{ComputeCapability, InstanceType};

use super::report::{Fit, FitReport, Purpose};

/// Treatment of retired instance types that a Workspace names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RetiredTypes {
    /// A current type is bought instead.
    #[default]
    Replace,
    /// The Workspace is refused.
    Refuse,
}

impl RetiredTypes {
    /// Returns the name in settings.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Replace => "replace",
            Self::Refuse => "refuse",
        }
    }
}

impl FromStr for RetiredTypes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "replace" => Ok(Self::Replace),
            "refuse" => Ok(Self::Refuse),
            _ => Err("must be replace or refuse".to_owned()),
        }
    }
}

impl FitReport {
    /// Returns the replacement of a retired type for the preset; `None` if no type is cheap enough.
    #[must_use]
    pub fn replacement(&self, retired: &InstanceType) -> Option<(&InstanceType, &Fit)> {
        self.fits().find(|(instance_type, fit)| {
            let is_sufficient = match self.purpose {
                Purpose::Inference => instance_type.nvidia_gpus() > 0,
                // Tuning is not sized, so nothing may be smaller than before.
                Purpose::Tuning => covers(instance_type, retired),
            };
            fit.placement.nodes == 1 && is_sufficient && is_affordable(instance_type, retired)
        })
    }
}

/// Returns the replacement of a retired type for work that is not sized: tuning, and pods of the user's own.
///
/// `floor` is the lowest compute capability that the work needs.
#[must_use]
pub fn like_for_like<'a>(
    types: &[&'a InstanceType],
    retired: &InstanceType,
    floor: Option<ComputeCapability>,
) -> Option<&'a InstanceType> {
    let mut usable: Vec<&InstanceType> = types
        .iter()
        .copied()
        .filter(|candidate| candidate.retired.is_none() && candidate.compute_capability >= floor)
        .filter(|candidate| covers(candidate, retired) && is_affordable(candidate, retired))
        .collect();
    usable.sort_by_key(|candidate| (price(candidate), candidate.name.clone()));
    usable.first().copied()
}

/// Returns true if the price allows the replacement. Unknown prices do not.
#[must_use]
pub fn is_affordable(candidate: &InstanceType, retired: &InstanceType) -> bool {
    let prices = price(candidate).zip(price(retired));
    candidate.cloud == retired.cloud
        && prices.is_some_and(|(new, old)| new.saturating_mul(2) <= old.saturating_mul(3))
}

/// Returns true if a node has at least as much of everything.
fn covers(candidate: &InstanceType, retired: &InstanceType) -> bool {
    candidate.nvidia_gpus() >= retired.nvidia_gpus().max(1)
        && candidate.gpu_memory_bytes_each() >= retired.gpu_memory_bytes_each()
        && candidate.compute_capability >= retired.compute_capability
        && candidate.vcpus >= retired.vcpus
        && candidate.memory_gib >= retired.memory_gib
}

fn price(instance_type: &InstanceType) -> Option<u64> {
    let price = instance_type.list_price.as_ref();
    price.map(|price| price.usd_micros_per_hour)
}
