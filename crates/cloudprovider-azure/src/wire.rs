//! Bodies of ARM's agent-pool API. Reading is tolerant: unknown fields are skipped, and every field may be missing or
//! null.

use std::collections::BTreeMap;

use cloudprovider::{CapacityType, Instance, InstanceState, LaunchSpec, tags};
use serde::{Deserialize, Deserializer, Serialize};

use crate::{agent_pool, error};

/// Body of a PUT that creates a pool.
#[derive(Debug, Serialize)]
pub(crate) struct PoolRequest<'a> {
    properties: RequestProperties<'a>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct RequestProperties<'a> {
    count: u32,
    r#type: &'static str,
    mode: &'static str,
    os_type: &'static str,
    #[serde(rename = "osSKU")]
    os_sku: &'static str,
    #[serde(rename = "osDiskSizeGB", skip_serializing_if = "Option::is_none")]
    os_disk_gib: Option<u32>,
    vm_size: &'a str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    node_labels: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    node_taints: &'a [String],
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    tags: &'a BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    availability_zones: Vec<&'a str>,
    #[serde(flatten)]
    spot: Option<SpotRequest>,
}

/// A pool that Azure may take back. AKS labels and taints its nodes itself.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct SpotRequest {
    scale_set_priority: &'static str,
    /// The machine is deleted, so that a stopped one is not paid for.
    scale_set_eviction_policy: &'static str,
    /// At most the price of on-demand capacity.
    spot_max_price: i8,
}

impl SpotRequest {
    fn of(spec: &LaunchSpec) -> Option<Self> {
        (spec.capacity_type == CapacityType::Spot).then_some(Self {
            scale_set_priority: agent_pool::SPOT,
            scale_set_eviction_policy: "Delete",
            spot_max_price: -1,
        })
    }
}

impl<'a> PoolRequest<'a> {
    /// One Linux node of a scale set. Upstream sends the same, but for the mode.
    pub(crate) fn new(spec: &'a LaunchSpec) -> Self {
        Self {
            properties: RequestProperties {
                count: 1,
                r#type: "VirtualMachineScaleSets",
                mode: agent_pool::USER_MODE,
                os_type: "Linux",
                os_sku: agent_pool::os_sku(spec),
                os_disk_gib: spec.disk_gib,
                vm_size: &spec.instance_type,
                node_labels: agent_pool::node_labels(spec),
                node_taints: &spec.taints,
                tags: &spec.tags,
                availability_zones: spec.zone.as_deref().into_iter().collect(),
                spot: SpotRequest::of(spec),
            },
        }
    }
}

/// One page of a listing.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct PoolPage {
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) value: Vec<PoolBody>,
    pub(crate) next_link: Option<String>,
}

/// A pool in a response.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct PoolBody {
    pub(crate) name: Option<String>,
    #[serde(deserialize_with = "null_is_default")]
    properties: PoolProperties,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PoolProperties {
    vm_size: Option<String>,
    #[serde(deserialize_with = "null_is_default")]
    provisioning_state: String,
    mode: Option<String>,
    #[serde(deserialize_with = "text_values")]
    node_labels: BTreeMap<String, String>,
    #[serde(deserialize_with = "null_is_default")]
    node_taints: Vec<Option<String>>,
    #[serde(deserialize_with = "text_values")]
    tags: BTreeMap<String, String>,
    e_tag: Option<String>,
    scale_set_priority: Option<String>,
    #[serde(deserialize_with = "null_is_default")]
    availability_zones: Vec<String>,
    #[serde(deserialize_with = "null_is_default")]
    power_state: PowerState,
    #[serde(deserialize_with = "null_is_default")]
    status: PoolStatus,
    node_image_version: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PowerState {
    #[serde(deserialize_with = "null_is_default")]
    code: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PoolStatus {
    /// Error of the last failed operation; kept until another succeeds.
    provisioning_error: Option<serde_json::Value>,
}

impl PoolBody {
    /// Converts the pool for the port; `None` if the body names no pool.
    pub(crate) fn into_instance(self) -> Option<Instance> {
        let properties = self.properties;
        let owner = agent_pool::owner(
            properties.mode.as_deref(),
            &properties.tags,
            &properties.node_labels,
        );
        let state = agent_pool::state(&properties.provisioning_state);
        let ended_badly = matches!(state, InstanceState::Failed | InstanceState::Canceled);
        let failure = properties
            .status
            .provisioning_error
            .filter(|error| ended_badly && !error.is_null());
        Some(Instance {
            failure: failure.and_then(|error| error::from_instance(&error)),
            stopped: agent_pool::is_stopped(&properties.provisioning_state, &properties.power_state.code),
            name: self.name.filter(|name| !name.is_empty())?,
            state,
            owner,
            cluster_id: tags::cluster_id(&properties.tags),
            instance_type: properties.vm_size,
            capacity_type: agent_pool::capacity_type(properties.scale_set_priority.as_deref()),
            zones: properties.availability_zones,
            labels: properties.node_labels,
            // Recordings show `[""]` for a pool without taints.
            taints: properties
                .node_taints
                .into_iter()
                .flatten()
                .filter(|taint| !taint.is_empty())
                .collect(),
            version: properties.e_tag,
            image: properties.node_image_version,
        })
    }
}

/// The document of a long-running operation.
#[derive(Debug, Deserialize)]
#[serde(default)]
#[derive(Default)]
pub(crate) struct OperationBody {
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) status: String,
    pub(crate) error: Option<serde_json::Value>,
}

fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

fn text_values<'de, D>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error>
where
    D: Deserializer<'de>,
{
    let map = Option::<BTreeMap<String, Option<String>>>::deserialize(deserializer)?.unwrap_or_default();
    Ok(map
        .into_iter()
        .map(|(key, value)| (key, value.unwrap_or_default()))
        .collect())
}

#[cfg(test)]
mod tests {
    use cloudprovider::ErrorClass;
    use serde_json::json;

    use super::*;

    fn pool(value: serde_json::Value) -> Instance {
        serde_json::from_value::<PoolBody>(value)
            .unwrap()
            .into_instance()
            .unwrap()
    }

    #[test]
    fn anything_may_be_missing_or_null() {
        for properties in [
            json!(null),
            json!({}),
            json!({"nodeLabels": null, "nodeTaints": null, "tags": null}),
        ] {
            let pool = pool(json!({"name": "a", "properties": properties, "novel": {"x": 1}}));
            assert_eq!((pool.instance_type, pool.labels.len()), (None, 0));
            assert!(matches!(pool.state, InstanceState::Changing(_)));
        }
        assert_eq!(
            serde_json::from_str::<PoolBody>("{}").unwrap().into_instance(),
            None
        );
    }

    #[test]
    fn odd_values_are_read() {
        let pool = pool(
            json!({"name": "a", "properties": {"nodeTaints": ["", null, "sku=gpu:NoSchedule"],
            "tags": {"a": null}, "eTag": "e1", "provisioningState": "UpgradingNodeImageVersion"}}),
        );
        assert_eq!(pool.taints, ["sku=gpu:NoSchedule"]);
        assert_eq!(pool.version.as_deref(), Some("e1"));
        assert_eq!(
            pool.state,
            InstanceState::Changing("UpgradingNodeImageVersion".into())
        );
    }

    #[test]
    fn the_reason_of_a_failed_pool_is_read_from_the_pool() {
        let body = |state: &str, status: serde_json::Value| json!({"name": "a", "properties": {"provisioningState": state, "status": status}});
        let error = json!({"provisioningError": {"code": "CreateVMSSAgentPoolFailed", "message": "Unable to create",
            "details": [{"code": "AllocationFailed", "message": "We do not have sufficient capacity."}]}});
        let failure = pool(body("Failed", error.clone())).failure.unwrap();
        assert_eq!(
            (failure.class, failure.code.as_str()),
            (ErrorClass::Capacity, "AllocationFailed")
        );
        // It describes an earlier operation while another runs, or after one succeeded.
        assert_eq!(pool(body("Succeeded", error.clone())).failure, None);
        assert_eq!(pool(body("Deleting", error)).failure, None);
        for none in [
            json!(null),
            json!({}),
            json!({"provisioningError": null}),
            json!({"provisioningError": {}}),
        ] {
            assert_eq!(pool(body("Failed", none)).failure, None);
        }
    }

    #[test]
    fn stopped_pools_are_seen() {
        let stopped = |state: &str, power: serde_json::Value| {
            pool(json!({"name": "a", "properties": {"provisioningState": state, "powerState": power}}))
                .stopped
        };
        assert!(stopped("Succeeded", json!({"code": "Stopped"})));
        assert!(stopped("Stopping", json!({"code": "Running"})));
        assert!(!stopped("Starting", json!({"code": "Stopped"})), "it runs soon");
        for power in [
            json!({"code": "Running"}),
            json!({}),
            json!({"code": null}),
            json!(null),
        ] {
            assert!(!stopped("Succeeded", power));
        }
    }

    #[test]
    fn a_request_is_that_of_upstream_and_the_mode() {
        let spec = LaunchSpec {
            name: "p".into(),
            instance_type: "Standard_NC24ads_A100_v4".into(),
            disk_gib: Some(1024),
            taints: vec!["sku=gpu:NoSchedule".into()],
            ..LaunchSpec::default()
        };
        assert_eq!(
            serde_json::to_value(PoolRequest::new(&spec)).unwrap(),
            json!({"properties": {"count": 1, "type": "VirtualMachineScaleSets", "mode": "User", "osType": "Linux",
                "osSKU": "Ubuntu", "osDiskSizeGB": 1024, "vmSize": "Standard_NC24ads_A100_v4",
                "nodeLabels": {"kaito.sh/machine-type": "gpu"}, "nodeTaints": ["sku=gpu:NoSchedule"]}})
        );
    }

    #[test]
    fn zones_and_spot_are_sent_and_read_back() {
        let spec = LaunchSpec {
            name: "p".into(),
            instance_type: "Standard_D4s_v5".into(),
            capacity_type: CapacityType::Spot,
            zone: Some("2".into()),
            ..LaunchSpec::default()
        };
        let sent = serde_json::to_value(PoolRequest::new(&spec)).unwrap();
        let properties = &sent["properties"];
        let expected = json!({"availabilityZones": ["2"], "scaleSetPriority": "Spot", "scaleSetEvictionPolicy": "Delete",
            "spotMaxPrice": -1});
        for (key, value) in expected.as_object().unwrap() {
            assert_eq!(&properties[key], value, "{key}");
        }
        assert_eq!(properties.get("nodeTaints"), None, "AKS adds the taint itself");
        let found = pool(json!({"name": "p", "properties": properties.clone()}));
        assert_eq!(found.offering(), Some(spec.offering()));
        let plain = pool(
            json!({"name": "p", "properties": {"vmSize": "S", "availabilityZones": null, "scaleSetPriority": "Regular"}}),
        );
        assert_eq!(
            (plain.capacity_type, plain.zones.len()),
            (CapacityType::OnDemand, 0)
        );
    }
}
