//! The offerings that a claim allows by its requirements, and the labels that say which was bought.

use cloudprovider::{CapacityType, Offering};
use kaito_api::labels::{CAPACITY_TYPE, INSTANCE_TYPE, ZONE};
use serde_json::{Value, json};

use crate::json;

/// Every offering of the claim's instance type that it allows; on-demand in any zone without requirements.
pub(crate) fn of(claim: &Value) -> Vec<Offering> {
    let types = values(claim, CAPACITY_TYPE).into_iter();
    let mut types: Vec<CapacityType> = types.filter_map(CapacityType::parse).collect();
    if types.is_empty() {
        types.push(CapacityType::OnDemand);
    }
    let mut zones: Vec<Option<String>> = values(claim, ZONE)
        .into_iter()
        .map(|zone| Some(zone.to_owned()))
        .collect();
    if zones.is_empty() {
        zones.push(None);
    }
    let instance_type = instance_type(claim);
    let in_zones = |capacity_type: CapacityType| {
        let instance_type = instance_type.clone();
        zones.clone().into_iter().map(move |zone| Offering {
            instance_type: instance_type.clone(),
            capacity_type,
            zone,
        })
    };
    types.into_iter().flat_map(in_zones).collect()
}

/// The first instance type that the claim allows; empty if it names none.
pub(crate) fn instance_type(claim: &Value) -> String {
    let first = values(claim, INSTANCE_TYPE).into_iter().next();
    first.unwrap_or_default().to_owned()
}

/// Labels a claim with what was bought for it.
pub(super) fn label(claim: &mut Value, bought: &Offering) {
    let path = |key| ["metadata", "labels", key];
    json::set(claim, &path(CAPACITY_TYPE), json!(bought.capacity_type.as_str()));
    if let Some(zone) = &bought.zone {
        json::set(claim, &path(ZONE), json!(zone));
    }
}

fn values<'a>(claim: &'a Value, key: &str) -> Vec<&'a str> {
    let mut all = json::list(claim, &["spec", "requirements"]).iter();
    let found = all.find(|one| json::text(one, &["key"]) == key);
    let values = found.map(|found| json::list(found, &["values"]));
    values.into_iter().flatten().filter_map(Value::as_str).collect()
}
