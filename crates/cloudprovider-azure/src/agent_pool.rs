//! Rules of AKS for agent pools: names, disks, images, labels, states, and the marks that show whose a pool is.

use std::collections::BTreeMap;

use cloudprovider::{CapacityType, InstanceState, LaunchLimits, LaunchSpec, Ownership};
use kaito_api::labels::{CREATION_TIMESTAMP, MACHINE_TYPE, NODE_POOL, RAG_ENGINE, WORKSPACE};

/// Priority of pools that Azure may take back.
pub(crate) const SPOT: &str = "Spot";
/// Mode of pools that run workloads.
pub(crate) const USER_MODE: &str = "User";
/// Mode of pools that run the cluster's own pods.
const SYSTEM_MODE: &str = "System";
/// Image family besides Ubuntu.
const AZURE_LINUX: &str = "azurelinux";
/// Beginning of the names of GPU sizes.
const GPU_SIZE: &str = "Standard_N";

/// Limits of AKS: names of Linux pools have at most 12 characters, system disks 30 to 2048 GiB.
pub(crate) fn limits(region: &str) -> LaunchLimits {
    LaunchLimits {
        name_max: 12,
        disk_gib: 30..=2048,
        image_families: &["ubuntu", AZURE_LINUX],
        zones: &["1", "2", "3"],
        region: region.to_owned(),
    }
}

/// Reads `scaleSetPriority` and `capacityReservationGroupID`.
pub(crate) fn capacity_type(priority: Option<&str>, reservation: Option<&str>) -> CapacityType {
    match priority {
        Some(priority) if priority.eq_ignore_ascii_case(SPOT) => CapacityType::Spot,
        _ if reservation.is_some_and(|group| !group.is_empty()) => CapacityType::Reserved,
        _ => CapacityType::OnDemand,
    }
}

/// `osSKU` of a launch: that of its node class, otherwise that of its image family.
pub(crate) fn os_sku(spec: &LaunchSpec) -> &str {
    if let Some(os) = &spec.options.os {
        return os;
    }
    match &spec.image_family {
        Some(family) if family.trim().eq_ignore_ascii_case(AZURE_LINUX) => "AzureLinux",
        _ => "Ubuntu",
    }
}

/// Labels of the Node: those of the launch, and whether the size has GPUs.
pub(crate) fn node_labels(spec: &LaunchSpec) -> BTreeMap<String, String> {
    let gpu = spec.instance_type.contains(GPU_SIZE);
    let machine_type = if gpu { "gpu" } else { "cpu" };
    let mut labels = spec.labels.clone();
    labels.insert(MACHINE_TYPE.to_owned(), machine_type.to_owned());
    labels
}

/// Reads whose a pool is. System pools are never ours.
pub(crate) fn owner(
    mode: Option<&str>,
    tags: &BTreeMap<String, String>,
    labels: &BTreeMap<String, String>,
) -> Ownership {
    if mode == Some(SYSTEM_MODE) {
        return Ownership::Foreign;
    }
    let has = |key: &str| labels.contains_key(key);
    let upstream = has(CREATION_TIMESTAMP) && has(NODE_POOL) && (has(WORKSPACE) || has(RAG_ENGINE));
    Ownership::from_tags(tags).unwrap_or(if upstream {
        Ownership::Upstream
    } else {
        Ownership::Foreign
    })
}

/// Reads `provisioningState` in any letter case. An absent word means that the pool is being changed.
pub(crate) fn state(word: &str) -> InstanceState {
    match word.to_ascii_lowercase().as_str() {
        "creating" => InstanceState::Creating,
        "succeeded" => InstanceState::Succeeded,
        "failed" => InstanceState::Failed,
        "canceled" | "cancelled" => InstanceState::Canceled,
        "deleting" => InstanceState::Deleting,
        _ => InstanceState::Changing(word.to_owned()),
    }
}

/// Returns true if a pool is stopped or being stopped, by `provisioningState` and `powerState.code`.
pub(crate) fn is_stopped(state: &str, power: &str) -> bool {
    let is = |text: &str, word: &str| text.eq_ignore_ascii_case(word);
    is(state, "stopping") || (is(power, "stopped") && !is(state, "starting"))
}

#[cfg(test)]
mod tests {
    use cloudprovider::tags;

    use super::*;

    fn spec(instance_type: &str, family: Option<&str>) -> LaunchSpec {
        LaunchSpec {
            instance_type: instance_type.to_owned(),
            image_family: family.map(str::to_owned),
            ..LaunchSpec::default()
        }
    }

    #[test]
    fn sizes_and_images() {
        for (instance_type, family, expected) in [
            ("Standard_D2s_v5", None, "Ubuntu cpu"),
            ("Standard_NC24ads_A100_v4", None, "Ubuntu gpu"),
            ("Standard_NC24ads_A100_v4", Some("AzureLinux"), "AzureLinux gpu"),
            ("Standard_NC24ads_A100_v4", Some(" azurelinux "), "AzureLinux gpu"),
            ("Standard_NC24ads_A100_v4", Some("Ubuntu"), "Ubuntu gpu"),
        ] {
            let spec = spec(instance_type, family);
            let machine_type = &node_labels(&spec)[MACHINE_TYPE];
            assert_eq!(format!("{} {machine_type}", os_sku(&spec)), expected);
        }
    }

    #[test]
    fn owners() {
        let ours = tags::of_claim("u1", "c1");
        let keys = |keys: &[&str]| -> BTreeMap<String, String> {
            keys.iter()
                .map(|key| ((*key).to_owned(), "x".to_owned()))
                .collect()
        };
        let none = BTreeMap::new();
        let upstream = keys(&[CREATION_TIMESTAMP, NODE_POOL, WORKSPACE]);
        let claim_uid = "u1".to_owned();
        assert_eq!(owner(Some("User"), &ours, &none), Ownership::Ours { claim_uid });
        assert_eq!(owner(Some("System"), &ours, &upstream), Ownership::Foreign);
        assert_eq!(owner(None, &none, &upstream), Ownership::Upstream);
        assert_eq!(
            owner(None, &none, &keys(&[NODE_POOL, WORKSPACE])),
            Ownership::Foreign
        );
        assert_eq!(owner(None, &keys(&[tags::MANAGED_BY]), &none), Ownership::Foreign);
    }
}
