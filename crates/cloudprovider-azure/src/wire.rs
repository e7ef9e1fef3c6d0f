//! Bodies of ARM's agent-pool API. Reading is tolerant: unknown fields are skipped, and every field may be missing or
//! null.

use std::collections::BTreeMap;

use cloudprovider::{Instance, InstanceState, LaunchSpec, tags};
use serde::{Deserialize, Deserializer, Serialize};

use crate::{agent_pool, error};

mod options;

use self::options::{OptionsRequest, SpotRequest};

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
    os_sku: &'a str,
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
    #[serde(flatten)]
    options: OptionsRequest<'a>,
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
                options: OptionsRequest::of(&spec.options),
            },
        }
    }
}

/// One page of a listing.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", bound = "T: Deserialize<'de>")]
pub(crate) struct Page<T> {
    #[serde(default = "Vec::new", deserialize_with = "null_is_default")]
    pub(crate) value: Vec<T>,
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
    #[serde(rename = "capacityReservationGroupID")]
    reservation: Option<String>,
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
            capacity_type: agent_pool::capacity_type(
                properties.scale_set_priority.as_deref(),
                properties.reservation.as_deref(),
            ),
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

pub(crate) fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
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
mod tests;
