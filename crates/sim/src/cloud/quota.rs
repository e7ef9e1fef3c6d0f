//! Quotas of vCPUs: of each family of instance types, and of all spot instances together.

use std::collections::BTreeMap;

use cloudprovider::{CapacityType, ErrorClass, Offering, ProviderError};
use instance_types::Catalog;

use super::faults::error;

/// vCPUs of a type that the catalog does not know.
const UNKNOWN_VCPUS: u32 = 4;

/// Most vCPUs; what is not named is unlimited.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quotas {
    /// By family, without spot instances.
    pub families: BTreeMap<String, u32>,
    /// All spot instances.
    pub spot: Option<u32>,
}

impl Quotas {
    /// Returns the error of one more machine of the offering, if it exceeds a quota beside those that are sold.
    pub(super) fn over(
        &self,
        offering: &Offering,
        sold: impl Iterator<Item = Offering>,
    ) -> Option<ProviderError> {
        let is_spot = offering.capacity_type == CapacityType::Spot;
        let family = family(&offering.instance_type);
        let limit = if is_spot {
            self.spot
        } else {
            self.families.get(&family).copied()
        }?;
        let counts = |other: &Offering| {
            let spot = other.capacity_type == CapacityType::Spot;
            spot == is_spot && (is_spot || self::family(&other.instance_type) == family)
        };
        let used: u32 = sold.filter(counts).map(|other| vcpus(&other.instance_type)).sum();
        let asked = vcpus(&offering.instance_type);
        (used + asked > limit).then(|| {
            let left = limit.saturating_sub(used);
            let message =
                format!("Insufficient vcpu quota requested {asked}, remaining {left} for {family}.");
            error(ErrorClass::Quota, "ErrCode_InsufficientVCPUQuota", &message)
        })
    }
}

/// Family of an instance type: its name without the number of vCPUs.
#[must_use]
pub fn family(instance_type: &str) -> String {
    let name = instance_type.to_lowercase();
    let start = name.find(|c: char| c.is_ascii_digit()).unwrap_or(name.len());
    let (letters, rest) = name.split_at(start);
    [letters, rest.trim_start_matches(|c: char| c.is_ascii_digit())].concat()
}

fn vcpus(instance_type: &str) -> u32 {
    let catalog = Catalog::embedded().ok();
    let known = catalog.and_then(|catalog| catalog.lookup(instance_types::Cloud::Azure, instance_type));
    known.and_then(|known| known.vcpus).unwrap_or(UNKNOWN_VCPUS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_of_a_family_share_its_quota() {
        let [a, b] = ["Standard_NC24ads_A100_v4", "standard_nc96ads_a100_v4"].map(family);
        assert_eq!(a, b);
        assert_ne!(a, family("Standard_NC40ads_H100_v5"));
        assert_eq!(vcpus("Standard_NC24ads_A100_v4"), 24);
    }
}
