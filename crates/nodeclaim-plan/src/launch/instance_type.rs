//! The instance type that a claim asks for: exactly one.

use std::collections::BTreeSet;

use kaito_api::Claim;
use kaito_api::labels::{INSTANCE_TYPE, INSTANCE_TYPE_BETA};

use crate::launch::invalid::InvalidClaim;

/// Returns the instance type that a claim asks for.
///
/// # Errors
/// Fails if the requirements leave none or several.
pub(crate) fn instance_type(claim: &Claim) -> Result<String, InvalidClaim> {
    let left = allowed(claim, &[INSTANCE_TYPE, INSTANCE_TYPE_BETA]).ok_or(InvalidClaim::NoInstanceType)?;
    let names: Vec<String> = left.into_iter().filter(|name| !name.is_empty()).collect();
    match &names[..] {
        [] => Err(InvalidClaim::NoInstanceTypeLeft),
        [one] => Ok(one.clone()),
        several => Err(InvalidClaim::SeveralInstanceTypes(several.join(", "))),
    }
}

/// Returns the values that the requirements on a label allow, under all of its names; `None` if no requirement lists any.
fn allowed(claim: &Claim, keys: &[&str]) -> Option<BTreeSet<String>> {
    let all = claim.requirements();
    let of_operator = |operator: &'static str| {
        all.iter()
            .filter(move |r| keys.contains(&r.key) && r.operator == operator)
            .map(|r| r.values.iter().cloned().collect::<BTreeSet<_>>())
    };
    let allowed = of_operator("In").reduce(|a, b| &a & &b)?;
    Some(of_operator("NotIn").fold(allowed, |a, b| &a - &b))
}
