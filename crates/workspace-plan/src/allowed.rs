//! Capacity types and zones that the nodes of a Workspace may have: its annotations, else the administrator's defaults.
//!
//! They do not change the size of a Workspace. So a change concerns claims without an instance and those to come; what was
//! bought stays.

use kaito_api::allowed_offerings::{AllowedOfferings, CAPACITY_TYPES_FORM, ZONES_FORM};
use kaito_api::conditions::ClaimConditionType;
use kaito_api::{Claim, labels};

use crate::annotations::parsed;
use crate::claims;
use crate::context::PlanContext;
use crate::metadata::is_live;
use crate::problem::Problem;

/// Returns what the nodes of the Workspace may have.
///
/// # Errors
/// If an annotation cannot be read.
pub(crate) fn allowed(context: &PlanContext<'_>) -> Result<AllowedOfferings, Problem> {
    let defaults = &context.settings.offerings;
    let types = parsed(
        context,
        labels::CAPACITY_TYPES,
        AllowedOfferings::parse_capacity_types,
        CAPACITY_TYPES_FORM,
    )?;
    let zones = parsed(context, labels::ZONES, AllowedOfferings::parse_zones, ZONES_FORM)?;
    Ok(AllowedOfferings {
        capacity_types: types.unwrap_or_else(|| defaults.capacity_types.clone()),
        zones: zones.unwrap_or_else(|| defaults.zones.clone()),
    })
}

/// Returns true if a claim of ours has no instance yet and asks for others than these. Another one takes its place.
pub(crate) fn is_outdated(claim: &Claim, wanted: &AllowedOfferings) -> bool {
    let has_instance = claim.is_true(ClaimConditionType::Launched)
        || !claim.node_name().is_empty()
        || !claim.provider_id().is_empty();
    is_live(claim.metadata())
        && !claims::is_legacy(claim)
        && !has_instance
        && !AllowedOfferings::of_claim(claim).is_same(wanted)
}
