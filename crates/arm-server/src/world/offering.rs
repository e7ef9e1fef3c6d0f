//! The offering that a pool is made from: size, zones and priority.

use serde_json::{Map, Value};

use crate::config::OfferingRule;
use crate::pattern;

/// The offering that a pool is made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Offering {
    vm_size: String,
    /// Zones of the pool; empty if the service chooses.
    zones: Vec<String>,
    pub(super) spot: bool,
}

impl Offering {
    pub(super) fn of(properties: &Map<String, Value>) -> Self {
        let text = |key: &str| properties.get(key).and_then(Value::as_str).unwrap_or_default();
        Self {
            vm_size: text("vmSize").to_owned(),
            zones: zones(properties),
            spot: text("scaleSetPriority") == "Spot",
        }
    }

    /// Returns true if a rule is about this offering.
    pub(super) fn is_of(&self, rule: &OfferingRule) -> bool {
        let lower = |text: &str| text.to_ascii_lowercase();
        let zone = rule.zone.as_ref().is_none_or(|zone| {
            if zone.is_empty() {
                self.zones.is_empty()
            } else {
                self.zones.contains(zone)
            }
        });
        pattern::fits(&lower(&rule.vm_size), &lower(&self.vm_size))
            && zone
            && rule.spot.is_none_or(|spot| spot == self.spot)
    }
}

/// Zones of a pool, as the request named them.
pub(super) fn zones(properties: &Map<String, Value>) -> Vec<String> {
    let all = properties.get("availabilityZones").and_then(Value::as_array);
    let names = all.into_iter().flatten().filter_map(Value::as_str);
    names.map(str::to_owned).collect()
}
