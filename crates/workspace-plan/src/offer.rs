//! The offer of a cloud that a claim asks for.

use kaito_api::{AllowedOfferings, Claim};

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
    pub(crate) fn new(instance_type: &str, allowed: &AllowedOfferings) -> Self {
        let sorted = |mut values: Vec<String>| {
            values.sort();
            values.dedup();
            values
        };
        let types = allowed.capacity_types_or_default().into_iter();
        Self {
            instance_type: instance_type.to_lowercase(),
            capacity_types: sorted(types.map(str::to_owned).collect()),
            zones: sorted(allowed.zones.clone()),
        }
    }

    /// The offer that the claim asks for; `None` if it names no instance type.
    #[must_use]
    pub fn of(claim: &Claim) -> Option<Self> {
        Some(Self::new(
            claim.instance_type()?,
            &AllowedOfferings::of_claim(claim),
        ))
    }
}
