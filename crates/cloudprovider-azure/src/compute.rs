//! Bodies of the compute provider: virtual machine sizes of a region with their restrictions, and quotas.
//!
//! Reading is tolerant: unknown fields are skipped, and an entry that lacks a needed one is left out.

use cloudprovider::{OfferedType, Quota, Quotas};
use serde::Deserialize;

use crate::wire::null_is_default;

/// Version of the list of sizes.
pub(crate) const SKUS_VERSION: &str = "2021-07-01";
/// Version of the list of quotas.
pub(crate) const USAGES_VERSION: &str = "2024-07-01";

/// An entry of the list of sizes. The list also has disks, sets and images.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct SkuBody {
    #[serde(deserialize_with = "null_is_default")]
    resource_type: String,
    #[serde(deserialize_with = "null_is_default")]
    name: String,
    #[serde(deserialize_with = "null_is_default")]
    family: String,
    #[serde(deserialize_with = "null_is_default")]
    location_info: Vec<LocationInfo>,
    #[serde(deserialize_with = "null_is_default")]
    capabilities: Vec<Capability>,
    #[serde(deserialize_with = "null_is_default")]
    restrictions: Vec<Restriction>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct LocationInfo {
    #[serde(deserialize_with = "null_is_default")]
    location: String,
    #[serde(deserialize_with = "null_is_default")]
    zones: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Capability {
    #[serde(deserialize_with = "null_is_default")]
    name: String,
    #[serde(deserialize_with = "null_is_default")]
    value: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Restriction {
    #[serde(rename = "type", deserialize_with = "null_is_default")]
    kind: String,
    #[serde(deserialize_with = "null_is_default")]
    reason_code: String,
    #[serde(deserialize_with = "null_is_default")]
    restriction_info: RestrictionInfo,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RestrictionInfo {
    #[serde(deserialize_with = "null_is_default")]
    locations: Vec<String>,
    #[serde(deserialize_with = "null_is_default")]
    zones: Vec<String>,
}

impl SkuBody {
    /// The size in this region; `None` for other resources, and for a size without family or processors.
    pub(crate) fn into_offered(self, region: &str) -> Option<OfferedType> {
        let count = |name: &str| {
            let found = self.capabilities.iter().find(|found| found.name == name)?;
            found.value.trim().parse::<u32>().ok()
        };
        let (vcpus, gpus) = (count("vCPUs")?, count("GPUs").unwrap_or_default());
        let is_size = self.resource_type.eq_ignore_ascii_case("virtualMachines");
        if !is_size || self.name.is_empty() || self.family.is_empty() || vcpus == 0 {
            return None;
        }
        let here = |locations: &[String]| {
            locations.is_empty() || locations.iter().any(|place| place.eq_ignore_ascii_case(region))
        };
        let restrictions = self
            .restrictions
            .iter()
            .filter(|found| here(&found.restriction_info.locations));
        let (mut closed, mut restriction): (Vec<&str>, Option<String>) = (Vec::new(), None);
        for found in restrictions {
            if found.kind.eq_ignore_ascii_case("Zone") {
                closed.extend(found.restriction_info.zones.iter().map(String::as_str));
            } else if found.kind.eq_ignore_ascii_case("Location") {
                let code = Some(found.reason_code.as_str()).filter(|code| !code.is_empty());
                restriction.get_or_insert_with(|| code.unwrap_or("restricted").to_owned());
            }
        }
        let own = self
            .location_info
            .iter()
            .filter(|info| info.location.eq_ignore_ascii_case(region));
        let zones = own.flat_map(|info| info.zones.iter());
        let zones = zones
            .filter(|zone| !closed.contains(&zone.as_str()))
            .cloned()
            .collect();
        Some(OfferedType {
            zones,
            restriction,
            vcpus,
            gpus,
            name: self.name,
            family: self.family,
        })
    }
}

/// An entry of the list of quotas. It also counts disks, addresses and sets.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct UsageBody {
    limit: Option<i64>,
    current_value: Option<i64>,
    #[serde(deserialize_with = "null_is_default")]
    name: UsageName,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct UsageName {
    #[serde(deserialize_with = "null_is_default")]
    value: String,
}

/// Gathers the quotas of a region. A negative limit is none.
pub(crate) fn quotas(region: &str, usages: Vec<UsageBody>) -> Quotas {
    let mut quotas = Quotas {
        region: region.to_owned(),
        ..Quotas::default()
    };
    for usage in usages {
        let limit = usage.limit.and_then(|limit| u64::try_from(limit).ok());
        let Some((limit, used)) = limit.zip(usage.current_value) else {
            continue;
        };
        let quota = Quota {
            limit,
            used: u64::try_from(used).unwrap_or_default(),
        };
        match usage.name.value.to_lowercase() {
            name if name.is_empty() => {}
            name if name == "cores" => quotas.on_demand = Some(quota),
            name if name == "lowprioritycores" => quotas.spot = Some(quota),
            name => {
                quotas.families.insert(name, quota);
            }
        }
    }
    quotas
}

/// The part of a managed cluster that is read.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ClusterBody {
    #[serde(deserialize_with = "null_is_default")]
    location: String,
}

impl ClusterBody {
    /// The region, in Azure's short spelling.
    pub(crate) fn region(&self) -> String {
        short_region(&self.location)
    }
}

/// The short spelling of a region: `East US 2` is `eastus2`.
pub(crate) fn short_region(text: &str) -> String {
    let letters = text.chars().filter(char::is_ascii_alphanumeric);
    letters.map(|c| c.to_ascii_lowercase()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// An entry as the service writes it, with this change.
    fn sku(change: impl FnOnce(&mut Value)) -> Option<OfferedType> {
        let mut body = json!({
            "resourceType": "virtualMachines", "name": "Standard_NC24ads_A100_v4", "tier": "Standard",
            "size": "NC24ads_A100_v4", "family": "StandardNCADSA100v4Family", "locations": ["eastus2"],
            "locationInfo": [{"location": "eastus2", "zones": ["3", "1"], "zoneDetails": []}],
            "capabilities": [
                {"name": "MaxResourceVolumeMB", "value": "65536"}, {"name": "vCPUs", "value": "24"},
                {"name": "MemoryGB", "value": "220"}, {"name": "vCPUsAvailable", "value": "24"},
                {"name": "GPUs", "value": "1"}, {"name": "LowPriorityCapable", "value": "True"},
            ],
            "restrictions": [],
        });
        change(&mut body);
        serde_json::from_value::<SkuBody>(body)
            .unwrap()
            .into_offered("eastus2")
    }

    fn restriction(kind: &str, location: &str, zones: &[&str]) -> Value {
        json!({
            "type": kind, "values": [location], "reasonCode": "NotAvailableForSubscription",
            "restrictionInfo": {"locations": [location], "zones": zones},
        })
    }

    #[test]
    fn a_size_has_family_processors_and_zones() {
        let expected = OfferedType {
            name: "Standard_NC24ads_A100_v4".to_owned(),
            family: "StandardNCADSA100v4Family".to_owned(),
            vcpus: 24,
            gpus: 1,
            zones: vec!["3".to_owned(), "1".to_owned()],
            restriction: None,
        };
        assert_eq!(sku(|_| {}), Some(expected.clone()));
        let with = |restrictions: Value| sku(|body| body["restrictions"] = restrictions).unwrap();
        let closed = with(json!([restriction("Zone", "eastus2", &["1", "2"])]));
        assert_eq!((closed.zones, closed.restriction), (vec!["3".to_owned()], None));
        let shut = with(json!([
            restriction("Location", "EastUS2", &[]),
            restriction("Zone", "eastus2", &["1", "2", "3"]),
        ]));
        assert_eq!(shut.zones, Vec::<String>::new());
        assert_eq!(shut.restriction.as_deref(), Some("NotAvailableForSubscription"));
        assert_eq!(with(json!([restriction("Location", "westus", &[])])), expected);
        assert_eq!(
            with(json!([{"type": "Novel", "reasonCode": "QuotaId"}])),
            expected
        );
        assert_eq!(with(Value::Null), expected);
        let unnamed = with(json!([{"type": "Location"}]));
        assert_eq!(unnamed.restriction.as_deref(), Some("restricted"));
    }

    #[test]
    fn other_resources_and_incomplete_sizes_are_left_out() {
        assert_eq!(sku(|body| body["resourceType"] = "disks".into()), None);
        assert_eq!(sku(|body| body["family"] = Value::Null), None);
        assert_eq!(sku(|body| body["capabilities"] = json!([])), None);
        assert_eq!(sku(|body| body["capabilities"][1]["value"] = "many".into()), None);
        let cpu = sku(|body| body["capabilities"] = json!([{"name": "vCPUs", "value": "8"}]));
        assert_eq!(cpu.map(|found| (found.vcpus, found.gpus)), Some((8, 0)));
        let regional = sku(|body| body["locationInfo"] = json!([{"location": "eastus2"}]));
        assert_eq!(regional.map(|found| found.zones), Some(Vec::new()));
    }

    #[test]
    fn quotas_are_those_of_families_of_all_and_of_spot_nodes() {
        let usage = |name: &str, used: Value, limit: Value| {
            json!({
                "unit": "Count", "currentValue": used, "limit": limit,
                "name": {"value": name, "localizedValue": "for people"},
            })
        };
        let list = json!([
            usage("availabilitySets", json!(0), json!(2500)),
            usage("cores", json!(30), json!(100)),
            usage("virtualMachines", json!(2), json!(25000)),
            usage("lowPriorityCores", json!(0), json!(3)),
            usage("standardNCADSA100v4Family", json!(24), json!(96)),
            usage("Standard NCASv3_T4 Family", json!(0), json!(-1)),
            usage("standardNVFamily", Value::Null, json!(9)),
            {"name": null},
        ]);
        let found = quotas("eastus2", serde_json::from_value(list).unwrap());
        let quota = |limit, used| Quota { limit, used };
        assert_eq!(
            (found.on_demand, found.spot),
            (Some(quota(100, 30)), Some(quota(3, 0)))
        );
        assert_eq!(found.families["standardncadsa100v4family"], quota(96, 24));
        for unknown in ["standard ncasv3_t4 family", "standardnvfamily", ""] {
            assert!(!found.families.contains_key(unknown), "{unknown}");
        }
    }

    #[test]
    fn regions_have_one_spelling() {
        for text in ["eastus2", "East US 2", " EastUS2 "] {
            assert_eq!(short_region(text), "eastus2");
        }
    }
}
