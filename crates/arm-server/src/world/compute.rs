//! Lists of the compute provider: sizes with their restrictions, and quotas, from the state that also refuses pools.

use instance_types::{Catalog, Cloud, InstanceType};
use serde_json::{Value, json};

use super::World;
use super::offering::Offering;
use super::pool::Pool;
use super::quota;
use crate::config::OfferingRule;
use crate::errors::Named;
use crate::pattern;

/// Zones of the region.
const ZONES: [&str; 3] = ["1", "2", "3"];
/// Limit of a quota that is not enforced.
const UNLIMITED: u64 = 1_000_000;
/// The reason code of restrictions.
const REASON: &str = "NotAvailableForSubscription";

impl World {
    /// Sizes of the region, and other resources, as the service lists them together; none of another region.
    pub(crate) fn skus(&self, region: Option<&str>) -> Vec<Value> {
        let location = &self.site.location;
        if region.is_some_and(|region| !region.eq_ignore_ascii_case(location)) {
            return Vec::new();
        }
        let disk = json!({
            "resourceType": "disks", "name": "Premium_LRS", "tier": "Premium", "size": "P10", "locations": [location],
            "locationInfo": [{"location": location, "zones": ZONES, "zoneDetails": []}],
            "capabilities": [{"name": "MaxSizeGiB", "value": "128"}], "restrictions": [],
        });
        let sizes = catalog().map(|size| self.sku(size));
        [disk].into_iter().chain(sizes).collect()
    }

    fn sku(&self, size: &InstanceType) -> Value {
        let location = &self.site.location;
        let mut capabilities = vec![json!({"name": "MaxResourceVolumeMB", "value": "65536"})];
        let vcpus = quota::vcpus(&size.name);
        let mut add =
            |name: &str, value: u32| capabilities.push(json!({"name": name, "value": value.to_string()}));
        add("vCPUs", vcpus);
        add("vCPUsAvailable", vcpus);
        if let Some(gib) = size.memory_gib {
            add("MemoryGB", gib);
        }
        if size.gpus > 0 {
            add("GPUs", size.gpus);
        }
        json!({
            "resourceType": "virtualMachines", "name": size.name, "tier": "Standard",
            "size": size.name.trim_start_matches("Standard_"), "family": quota::family_of_sku(&size.name),
            "locations": [location],
            "locationInfo": [{"location": location, "zones": ZONES, "zoneDetails": []}],
            "capabilities": capabilities, "restrictions": self.restrictions(&size.name),
        })
    }

    /// Restrictions of a size: the rules that refuse it for the subscription.
    fn restrictions(&self, name: &str) -> Vec<Value> {
        let is_shut = |rule: &&OfferingRule| {
            let is_of = pattern::fits(&rule.vm_size.to_ascii_lowercase(), &name.to_ascii_lowercase());
            is_of && rule.most == 0 && rule.spot.is_none() && rule.error == Named::SkuRestricted
        };
        let rules = self.behavior.offerings.iter().filter(is_shut);
        let zones: Vec<Option<&str>> = rules.map(|rule| rule.zone.as_deref()).collect();
        let restriction = |kind: &str, zones: Value| {
            let mut info = json!({"locations": [self.site.location]});
            if !zones.is_null() {
                info["zones"] = zones;
            }
            json!({"type": kind, "values": [self.site.location], "restrictionInfo": info, "reasonCode": REASON})
        };
        let whole = zones
            .contains(&None)
            .then(|| restriction("Location", Value::Null));
        let closed: Vec<&str> = zones
            .into_iter()
            .flatten()
            .filter(|zone| !zone.is_empty())
            .collect();
        let zonal = (!closed.is_empty()).then(|| restriction("Zone", json!(closed)));
        whole.into_iter().chain(zonal).collect()
    }

    /// Quotas of a region; none of another one.
    pub(crate) fn usages(&self, region: &str) -> Vec<Value> {
        if !region.eq_ignore_ascii_case(&self.site.location) {
            return Vec::new();
        }
        let is_spot = |pool: &Pool| Offering::of(&pool.properties).spot;
        let mut all = vec![
            usage("availabilitySets", "Availability Sets", 0, 2500),
            usage(
                "cores",
                "Total Regional vCPUs",
                self.vcpus_of(|pool| !is_spot(pool)),
                UNLIMITED,
            ),
            usage(
                "lowPriorityCores",
                "Total Regional Low-priority vCPUs",
                self.vcpus_of(is_spot),
                self.behavior.spot_quota.map_or(UNLIMITED, u64::from),
            ),
        ];
        let mut families: Vec<&str> = catalog().map(|size| size.name.as_str()).collect();
        families.sort_by_key(|name| quota::family(name));
        families.dedup_by_key(|name| quota::family(name));
        all.extend(families.into_iter().map(|name| {
            let (used, limit) = self.quota_of(name);
            let family = quota::family_of_usage(name);
            usage(
                &family,
                &format!("{family} vCPUs"),
                used,
                limit.map_or(UNLIMITED, u64::from),
            )
        }));
        all
    }
}

fn usage(name: &str, words: &str, used: u64, limit: u64) -> Value {
    json!({
        "unit": "Count", "currentValue": used, "limit": limit, "name": {"value": name, "localizedValue": words},
    })
}

fn catalog() -> impl Iterator<Item = &'static InstanceType> {
    Catalog::embedded()
        .ok()
        .into_iter()
        .flat_map(|catalog| catalog.of(Cloud::Azure))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::Behavior;
    use crate::world::Condition;
    use crate::world::tests::world;

    const SIZE: &str = "Standard_NC24ads_A100_v4";

    fn create(world: &mut World, name: &str, more: &Value) {
        let mut sent = json!({"properties": {"vmSize": SIZE}});
        for (key, value) in more.as_object().into_iter().flatten() {
            sent["properties"][key] = value.clone();
        }
        world
            .put(Duration::ZERO, name, &sent, &Condition::default(), None, true)
            .unwrap();
    }

    fn left(world: &World, name: &str) -> (u64, u64) {
        let all = world.usages("EastUS");
        let found = all.iter().find(|usage| usage["name"]["value"] == name).unwrap();
        (
            found["currentValue"].as_u64().unwrap(),
            found["limit"].as_u64().unwrap(),
        )
    }

    #[test]
    fn quotas_are_those_that_refuse_pools() {
        let mut world = world(Behavior {
            quota: [("Standard_NC48ads_A100_v4".to_owned(), 48)].into(),
            spot_quota: Some(30),
            ..Behavior::quick(0)
        });
        create(&mut world, "a", &json!({}));
        create(&mut world, "b", &json!({"scaleSetPriority": "Spot"}));
        assert_eq!(left(&world, "standardNCADSA100V4Family"), (24, 48));
        assert_eq!(left(&world, "lowPriorityCores"), (24, 30));
        assert_eq!(left(&world, "cores"), (24, UNLIMITED));
        assert_eq!(left(&world, "standardNCADSH100V5Family"), (0, UNLIMITED));
        assert_eq!(world.usages("westus"), Vec::<Value>::new());
    }

    #[test]
    fn sizes_name_the_family_of_a_quota_and_their_restrictions() {
        let rule = |zone: Option<&str>, error| OfferingRule {
            vm_size: "standard_nc24*".into(),
            zone: zone.map(str::to_owned),
            error,
            ..OfferingRule::default()
        };
        let world = world(Behavior {
            offerings: vec![
                rule(Some("2"), Named::SkuRestricted),
                rule(None, Named::SkuRestricted),
                rule(Some("3"), Named::Capacity),
            ],
            ..Behavior::quick(0)
        });
        let all = world.skus(Some("eastus"));
        let find = |name: &str| all.iter().find(|sku| sku["name"] == name).unwrap();
        let found = find(SIZE);
        assert_eq!(found["restrictions"][0]["type"], "Location");
        assert_eq!(found["restrictions"][1]["restrictionInfo"]["zones"], json!(["2"]));
        assert_eq!(found["restrictions"].as_array().unwrap().len(), 2);
        assert_eq!(find("Standard_NC48ads_A100_v4")["restrictions"], json!([]));
        let family = found["family"].as_str().unwrap().to_lowercase();
        let names = world.usages("eastus");
        let is_of = |usage: &&Value| usage["name"]["value"].as_str().unwrap().to_lowercase() == family;
        assert_eq!(names.iter().filter(is_of).count(), 1, "{family}");
        assert!(all.iter().any(|sku| sku["resourceType"] == "disks"));
        assert_eq!(world.skus(Some("westus")), Vec::<Value>::new());
    }
}
