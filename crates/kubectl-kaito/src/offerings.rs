//! Capacity types and zones that a Workspace names: what they mean for its nodes and their price.

use anyhow::anyhow;
use kaito_api::allowed_offerings::{AllowedOfferings, CAPACITY_TYPES_FORM, ZONES_FORM};
use kaito_api::labels::{CAPACITY_TYPES, SPOT, ZONES};
use serde_json::{Value, json};

use crate::output::printable;

/// Reads the annotations of a Workspace.
///
/// # Errors
/// If one of them cannot be read.
pub(crate) fn of(workspace: &Value) -> anyhow::Result<AllowedOfferings> {
    let read = |annotation: &str, parse: fn(&str) -> Option<Vec<String>>, form: &str| {
        let text = workspace["metadata"]["annotations"][annotation].as_str();
        let text = text.map(str::trim).filter(|text| !text.is_empty());
        let Some(text) = text else {
            return Ok(Vec::new());
        };
        parse(text).ok_or_else(|| anyhow!("annotation {annotation} must be {form}"))
    };
    Ok(AllowedOfferings {
        capacity_types: read(
            CAPACITY_TYPES,
            AllowedOfferings::parse_capacity_types,
            CAPACITY_TYPES_FORM,
        )?,
        zones: read(ZONES, AllowedOfferings::parse_zones, ZONES_FORM)?,
    })
}

/// Describes them in lines for people; empty if the Workspace names none.
pub(crate) fn lines(offerings: &AllowedOfferings) -> String {
    let list = |words: &[String]| printable(&words.join(", then "));
    let mut text = match (offerings.capacity_types.as_slice(), offerings.zones.as_slice()) {
        ([], []) => return String::new(),
        ([], zones) => format!("Nodes are asked for in zone {}.\n", list(zones)),
        (types, []) => format!("Nodes are asked for as {}.\n", list(types)),
        (types, zones) => format!(
            "Nodes are asked for as {}, in zone {}.\n",
            list(types),
            list(zones)
        ),
    };
    if offerings.capacity_types.iter().any(|word| word == SPOT) {
        text.push_str(
            "Prices are those of on-demand nodes, by which ceilings count.\nSpot nodes cost less, and the cloud may take them back.\n",
        );
    }
    text
}

/// Adds them to a plan as JSON, if the Workspace names any.
pub(crate) fn add(plan: &mut Value, offerings: &AllowedOfferings) {
    let named = [
        ("capacityTypes", &offerings.capacity_types),
        ("zones", &offerings.zones),
    ];
    for (key, values) in named.into_iter().filter(|(_, values)| !values.is_empty()) {
        plan[key] = json!(values);
    }
}
