//! The record of quota and restrictions, as a function of the survey of the subscription and of the claims.

use std::collections::{BTreeMap, BTreeSet};

use cloudprovider::{OfferedType, Quota, Quotas};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kaito_api::Claim;
use kaito_api::capacity::{CapacityRecord, TypeCapacity, VcpuQuota};

/// Most instance types of a record. A region has about a hundred with GPUs.
const MAX_TYPES: usize = 400;

/// Describes the instance types with GPUs and those of the claims, with the quotas that they count in.
#[must_use]
pub fn record(
    types: &[OfferedType],
    quotas: &Quotas,
    claims: &[Claim],
    read_at: Timestamp,
) -> CapacityRecord {
    let claimed: BTreeSet<String> = claims
        .iter()
        .filter_map(|claim| Some(claim.instance_type()?.to_lowercase()))
        .collect();
    let mut kept: Vec<(bool, String, &OfferedType)> = types
        .iter()
        .map(|found| (found, found.name.to_lowercase()))
        .map(|(found, name)| (!claimed.contains(&name), name, found))
        .filter(|(is_unclaimed, name, found)| (!is_unclaimed || found.gpus > 0) && is_key(name))
        .collect();
    // Those that are asked for stay in a record that is too long.
    kept.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
    kept.truncate(MAX_TYPES);
    let families: BTreeMap<String, VcpuQuota> = kept
        .iter()
        .filter_map(|(_, _, found)| {
            let quota = quotas.families.get(&found.family.to_lowercase())?;
            Some((found.family.clone(), shown(*quota)))
        })
        .collect();
    CapacityRecord {
        region: quotas.region.clone(),
        // The API server and the policy read whole seconds.
        read_at: Timestamp::from_second(read_at.as_second()).ok().map(Time),
        on_demand: quotas.on_demand.map(shown),
        spot: quotas.spot.map(shown),
        families,
        instance_types: kept
            .into_iter()
            .map(|(_, name, found)| (name, described(found)))
            .collect(),
    }
}

/// Returns true if the name can be part of a ConfigMap's key.
fn is_key(name: &str) -> bool {
    let is_legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !name.is_empty() && name.len() <= 100 && name.chars().all(is_legal)
}

fn shown(quota: Quota) -> VcpuQuota {
    VcpuQuota {
        limit: quota.limit,
        used: quota.used,
    }
}

fn described(found: &OfferedType) -> TypeCapacity {
    let mut zones = found.zones.clone();
    zones.sort();
    TypeCapacity {
        family: found.family.clone(),
        vcpus: found.vcpus,
        zones,
        restriction: found.restriction.clone().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use kaito_api::Machine;

    use super::*;

    fn offered(name: &str, gpus: u32) -> OfferedType {
        OfferedType {
            name: name.to_owned(),
            family: "standardNCADSA100v4Family".to_owned(),
            vcpus: 24,
            gpus,
            zones: vec!["3".to_owned(), "1".to_owned()],
            restriction: None,
        }
    }

    fn quotas() -> Quotas {
        let quota = |limit, used| Quota { limit, used };
        Quotas {
            region: "eastus2".to_owned(),
            on_demand: Some(quota(350, 10)),
            spot: None,
            families: [
                // The cloud spells families in several ways.
                ("standardncadsa100v4family".to_owned(), quota(96, 24)),
                ("standarddsv5family".to_owned(), quota(10, 0)),
            ]
            .into(),
        }
    }

    fn claim(instance_type: &str) -> Claim {
        let machine: Machine = serde_json::from_value(serde_json::json!({
            "apiVersion": "karpenter.sh/v1alpha5", "kind": "Machine", "metadata": {"name": "m"},
            "spec": {"requirements": [
                {"key": "node.kubernetes.io/instance-type", "operator": "In", "values": [instance_type]},
            ]},
        }))
        .unwrap();
        machine.into()
    }

    #[test]
    fn types_with_gpus_and_claimed_ones_are_shown_with_their_quotas() {
        let types = [
            offered("Standard_NC24ads_A100_v4", 1),
            offered("Standard_D8s_v5", 0),
            offered("Standard_D16s_v5", 0),
            offered("no key!", 1),
        ];
        let at = Timestamp::from_millisecond(1500).unwrap();
        let found = record(&types, &quotas(), &[claim("standard_d8S_v5")], at);
        let names: Vec<&String> = found.instance_types.keys().collect();
        assert_eq!(names, ["standard_d8s_v5", "standard_nc24ads_a100_v4"]);
        let a100 = found.instance_type("Standard_NC24ads_A100_v4").unwrap();
        assert_eq!((a100.vcpus, a100.zones.join(",")), (24, "1,3".to_owned()));
        let families: Vec<_> = found
            .families
            .iter()
            .map(|(name, quota)| (name.as_str(), quota.left()))
            .collect();
        assert_eq!(families, [("standardNCADSA100v4Family", 72)]);
        assert_eq!(found.on_demand.map(VcpuQuota::left), Some(340));
        assert_eq!(CapacityRecord::parse(&found.data()).unwrap(), found);
    }

    #[test]
    fn a_record_is_bounded_and_keeps_what_is_asked_for() {
        let mut types: Vec<OfferedType> = (0..2 * MAX_TYPES)
            .map(|n| offered(&format!("a{n:04}"), 1))
            .collect();
        types.push(offered("z", 0));
        let found = record(&types, &quotas(), &[claim("z")], Timestamp::UNIX_EPOCH);
        assert_eq!(found.instance_types.len(), MAX_TYPES);
        assert!(found.instance_type("z").is_some());
        let bytes: usize = found
            .data()
            .iter()
            .map(|(key, value)| key.len() + value.len())
            .sum();
        assert!(bytes < 200 * 1024, "{bytes}");
    }
}
