//! The offer of a cloud that a claim asks for.

use kaito_api::{Claim, labels};

/// Instance type of a claim, and the capacity types and zones that it may have.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Offer {
    /// In lower case.
    pub(crate) instance_type: String,
    /// Sorted; never empty.
    pub(crate) capacity_types: Vec<String>,
    /// Sorted; empty for any zone.
    pub(crate) zones: Vec<String>,
}

impl Offer {
    /// The offer of an instance type. Without capacity types it is on-demand, in any order.
    pub(crate) fn new(instance_type: &str, capacity_types: &[String], zones: &[String]) -> Self {
        let sorted = |values: &[String]| {
            let mut values = values.to_vec();
            values.sort();
            values.dedup();
            values
        };
        Self {
            instance_type: instance_type.to_lowercase(),
            capacity_types: match capacity_types {
                [] => vec![labels::ON_DEMAND.to_owned()],
                some => sorted(some),
            },
            zones: sorted(zones),
        }
    }

    /// The offer that the claim asks for; `None` if it names no instance type.
    #[must_use]
    pub fn of(claim: &Claim) -> Option<Self> {
        let requirements = claim.requirements();
        let values = |key: &str| {
            let all = requirements.iter();
            let found = all
                .filter(|requirement| requirement.key == key && requirement.operator == "In")
                .find(|requirement| !requirement.values.is_empty());
            found.map_or(&[][..], |requirement| requirement.values)
        };
        let (capacity_types, zones) = (values(labels::CAPACITY_TYPE), values(labels::ZONE));
        Some(Self::new(claim.instance_type()?, capacity_types, zones))
    }
}
