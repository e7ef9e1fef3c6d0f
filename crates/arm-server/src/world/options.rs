//! Checks of the optional properties of a pool.

use serde_json::{Map, Value};

use super::offering;
use crate::envelope::{ArmError, flat};
use crate::errors::invalid;

/// Checks zones and priority.
pub(super) fn check_offering(sent: &Map<String, Value>) -> Result<(), ArmError> {
    let text = |key: &str| sent.get(key).and_then(Value::as_str);
    let spot = text("scaleSetPriority") == Some("Spot");
    if spot && text("mode") == Some("System") {
        let message = "A system agent pool cannot have the priority Spot.";
        return Err(invalid("agentPoolProfile.scaleSetPriority", message));
    }
    if !spot && (text("scaleSetEvictionPolicy").is_some() || sent.contains_key("spotMaxPrice")) {
        let message = "scaleSetEvictionPolicy and spotMaxPrice can only be set with scaleSetPriority Spot.";
        return Err(invalid("agentPoolProfile.scaleSetEvictionPolicy", message));
    }
    match offering::zones(sent)
        .iter()
        .find(|zone| !matches!(zone.as_str(), "1" | "2" | "3"))
    {
        Some(zone) => Err(unknown_zone(zone)),
        None => Ok(()),
    }
}

/// Words that a property may have.
const WORDS: [(&str, &[&str]); 3] = [
    (
        "osSKU",
        &["Ubuntu", "Ubuntu2204", "Ubuntu2404", "AzureLinux", "AzureLinux3"],
    ),
    ("osDiskType", &["Managed", "Ephemeral"]),
    (
        "gpuInstanceProfile",
        &["MIG1g", "MIG2g", "MIG3g", "MIG4g", "MIG7g"],
    ),
];
/// Properties that name another resource, and its kind.
const IDS: [(&str, &str); 4] = [
    ("vnetSubnetID", "/subnets/"),
    ("podSubnetID", "/subnets/"),
    ("capacityReservationGroupID", "/capacityReservationGroups/"),
    ("proximityPlacementGroupID", "/proximityPlacementGroups/"),
];

/// Checks network, disk, image and groups.
pub(super) fn check_options(sent: &Map<String, Value>) -> Result<(), ArmError> {
    let text = |key: &str| sent.get(key).and_then(Value::as_str);
    let wrong = |key: &str| {
        let target = format!("agentPoolProfile.{key}");
        Err(invalid(
            &target,
            &format!("The value of parameter {target} is invalid."),
        ))
    };
    for (key, words) in WORDS {
        if text(key).is_some_and(|word| !words.contains(&word)) {
            return wrong(key);
        }
    }
    for (key, kind) in IDS {
        if text(key).is_some_and(|id| !id.starts_with("/subscriptions/") || !id.contains(kind)) {
            return wrong(key);
        }
    }
    if text("podSubnetID").is_some() && text("vnetSubnetID").is_none() {
        return wrong("podSubnetID");
    }
    match sent.get("maxPods").and_then(Value::as_u64) {
        Some(pods) if !(10..=250).contains(&pods) => wrong("maxPods"),
        _ => Ok(()),
    }
}

fn unknown_zone(zone: &str) -> ArmError {
    let message = format!(
        "Preflight validation check for resource(s) for container service failed. Message: The zone(s) '{zone}' for resource \
         'agentpool' is not supported. The supported zones are '1,2,3'."
    );
    flat(400, "AvailabilityZoneNotSupported", &message, "")
}
