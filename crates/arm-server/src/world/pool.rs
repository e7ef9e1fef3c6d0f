//! One agent pool: the request, the defaults of the server, and the body of a response.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::options::{check_offering, check_options};
use crate::envelope::ArmError;
use crate::errors::invalid;

/// State of a pool after its operation.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Ending {
    Succeed,
    Fail(ArmError),
    Remove,
    Cancel,
}

/// The running operation.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Running {
    pub(super) operation: String,
    /// Time of its end; `None` never ends.
    pub(super) ends_at: Option<Duration>,
    pub(super) ending: Ending,
}

/// A pool.
#[derive(Clone, Debug)]
pub(super) struct Pool {
    pub(super) name: String,
    pub(super) properties: Map<String, Value>,
    pub(super) state: String,
    pub(super) etag: String,
    pub(super) running: Option<Running>,
    /// Error of the last operation, which `status.provisioningError` shows.
    pub(super) failure: Option<ArmError>,
    pub(super) born: Duration,
    /// Time at which its nodes boot, once.
    pub(super) boot_at: Option<Duration>,
    /// Number in the name of its scale set.
    pub(super) number: u32,
}

/// Collections that are omitted while empty.
const COLLECTIONS: [&str; 3] = ["nodeLabels", "nodeTaints", "tags"];
/// Properties that only the server sets.
const READ_ONLY: [&str; 5] = [
    "status",
    "provisioningState",
    "eTag",
    "currentOrchestratorVersion",
    "nodeImageVersion",
];

impl Pool {
    pub(super) fn vm_size(&self) -> &str {
        self.properties
            .get("vmSize")
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    pub(super) fn count(&self) -> u64 {
        self.properties
            .get("count")
            .and_then(Value::as_u64)
            .unwrap_or_default()
    }

    /// Returns true if its nodes have machines: neither failed nor canceled.
    pub(super) fn has_machines(&self) -> bool {
        let ends_badly = self
            .running
            .as_ref()
            .is_some_and(|running| matches!(running.ending, Ending::Fail(_)) && self.state == "Creating");
        !ends_badly && !matches!(self.state.as_str(), "Failed" | "Canceled")
    }

    /// Returns true while an operation runs.
    pub(super) fn is_busy(&self) -> bool {
        self.running.is_some()
    }

    /// The body of GET; entity tags came with api-version 2024-09-01.
    pub(super) fn body(&self, cluster_id: &str, with_etag: bool) -> Value {
        let mut properties = self.properties.clone();
        for key in COLLECTIONS {
            let empty = properties.get(key).is_some_and(|value| match value {
                Value::Object(map) => map.is_empty(),
                Value::Array(list) => list.is_empty(),
                _ => true,
            });
            if empty {
                properties.remove(key);
            }
        }
        properties.insert("provisioningState".to_owned(), json!(self.state));
        if let Some(failure) = &self.failure {
            properties.insert("status".to_owned(), json!({"provisioningError": failure.inner()}));
        }
        if with_etag {
            properties.insert("eTag".to_owned(), json!(self.etag));
        }
        json!({
            "id": format!("{cluster_id}/agentPools/{}", self.name),
            "name": self.name,
            "type": "Microsoft.ContainerService/managedClusters/agentPools",
            "properties": properties,
        })
    }
}

/// Checks a request and fills in defaults.
pub(super) fn completed(name: &str, sent: &Value) -> Result<Map<String, Value>, ArmError> {
    check_name(name)?;
    let Some(sent) = sent.get("properties").and_then(Value::as_object) else {
        return Err(invalid(
            "properties",
            "Required parameter properties is missing (null).",
        ));
    };
    check(sent)?;
    let mut properties = defaults();
    for (key, value) in sent {
        if !READ_ONLY.contains(&key.as_str()) {
            properties.insert(key.clone(), value.clone());
        }
    }
    if properties
        .get("osDiskSizeGB")
        .is_none_or(|size| size.as_u64().unwrap_or_default() == 0)
    {
        properties.insert("osDiskSizeGB".to_owned(), json!(128));
    }
    let is_gpu = sent
        .get("vmSize")
        .and_then(Value::as_str)
        .is_some_and(|size| size.starts_with("Standard_N"));
    if is_gpu && !properties.contains_key("gpuProfile") {
        properties.insert("gpuProfile".to_owned(), json!({"driver": "Install"}));
    }
    if sent
        .get("scaleSetPriority")
        .is_some_and(|priority| priority == "Spot")
    {
        mark_as_spot(&mut properties);
    }
    let sku = properties
        .get("osSKU")
        .and_then(Value::as_str)
        .unwrap_or("Ubuntu")
        .to_owned();
    properties.insert(
        "nodeImageVersion".to_owned(),
        json!(format!("AKS{sku}-2204gen2containerd-202501.05.0")),
    );
    Ok(properties)
}

/// The service marks nodes of spot capacity itself.
fn mark_as_spot(properties: &mut Map<String, Value>) {
    let key = "kubernetes.azure.com/scalesetpriority";
    if let Some(labels) = properties
        .entry("nodeLabels")
        .or_insert_with(|| json!({}))
        .as_object_mut()
    {
        labels.insert(key.to_owned(), json!("spot"));
    }
    if let Some(taints) = properties
        .entry("nodeTaints")
        .or_insert_with(|| json!([]))
        .as_array_mut()
    {
        taints.push(json!(format!("{key}=spot:NoSchedule")));
    }
}

fn defaults() -> Map<String, Value> {
    let value = json!({
        "count": 1, "osDiskType": "Managed", "kubeletDiskType": "OS", "maxPods": 110,
        "type": "VirtualMachineScaleSets", "enableAutoScaling": false, "scaleDownMode": "Delete",
        "powerState": {"code": "Running"}, "orchestratorVersion": "1.34.2", "currentOrchestratorVersion": "1.34.2",
        "enableNodePublicIP": false, "mode": "User", "enableEncryptionAtHost": false, "enableUltraSSD": false,
        "osType": "Linux", "osSKU": "Ubuntu", "upgradeSettings": {"maxSurge": "10%", "maxUnavailable": "0"},
        "enableFIPS": false, "securityProfile": {"enableVTPM": false, "enableSecureBoot": false},
    });
    value.as_object().cloned().unwrap_or_default()
}

fn check_name(name: &str) -> Result<(), ArmError> {
    let mut bytes = name.bytes();
    let good = bytes.next().is_some_and(|first| first.is_ascii_lowercase())
        && name.len() <= 12
        && bytes.all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    if good {
        return Ok(());
    }
    let message = format!(
        "The value of parameter agentPoolProfile.name is invalid. Error details: {name} must match '^[a-z][a-z0-9]{{0,11}}$'."
    );
    Err(invalid("agentPoolProfile.name", &message))
}

fn check(sent: &Map<String, Value>) -> Result<(), ArmError> {
    if sent
        .get("vmSize")
        .and_then(Value::as_str)
        .is_none_or(str::is_empty)
    {
        return Err(invalid(
            "agentPoolProfile.vmSize",
            "Required parameter agentPoolProfile.vmSize is missing (null).",
        ));
    }
    let within = |key: &str, max: u64| {
        sent.get(key)
            .is_none_or(|v| v.is_null() || v.as_u64().is_some_and(|n| n <= max))
    };
    if !within("count", 1000) {
        return Err(invalid(
            "agentPoolProfile.count",
            "The value of parameter agentPoolProfile.count is invalid.",
        ));
    }
    if !within("osDiskSizeGB", 2048) {
        return Err(invalid(
            "agentPoolProfile.osDiskSizeGB",
            "The value of parameter agentPoolProfile.osDiskSizeGB is invalid.",
        ));
    }
    check_offering(sent)?;
    check_options(sent)?;
    let labels = sent.get("nodeLabels").and_then(Value::as_object);
    if let Some(key) = labels
        .into_iter()
        .flatten()
        .map(|label| label.0)
        .find(|key| key.starts_with("kubernetes.azure.com/"))
    {
        let message = format!("Label key {key} is reserved: the prefix kubernetes.azure.com is not allowed.");
        return Err(invalid("agentPoolProfile.nodeLabels", &message));
    }
    let taints = sent.get("nodeTaints").and_then(Value::as_array);
    if taints
        .into_iter()
        .flatten()
        .any(|taint| taint.as_str().and_then(parse_taint).is_none())
    {
        return Err(invalid(
            "agentPoolProfile.nodeTaints",
            "A taint must have the format key=value:effect.",
        ));
    }
    Ok(())
}

/// Key, value and effect of a taint.
pub(crate) fn parse_taint(taint: &str) -> Option<(&str, &str, &str)> {
    let (pair, effect) = taint.rsplit_once(':')?;
    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
    let known = matches!(effect, "NoSchedule" | "PreferNoSchedule" | "NoExecute");
    (known && !key.is_empty()).then_some((key, value, effect))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_open_is_filled_in() {
        let sent =
            json!({"properties": {"vmSize": "S", "osDiskSizeGB": 0, "novel": 1, "provisioningState": "x"}});
        let properties = completed("a", &sent).unwrap();
        assert_eq!(properties["osDiskSizeGB"], 128);
        assert_eq!(
            (&properties["mode"], &properties["novel"]),
            (&json!("User"), &json!(1))
        );
        assert_eq!(properties.get("provisioningState"), None);
    }

    #[test]
    fn wrong_requests_are_refused() {
        let with = |key: &str, value: Value| {
            let mut sent = json!({"properties": {"vmSize": "S"}});
            sent["properties"][key] = value;
            completed("a", &sent).unwrap_err().status
        };
        assert_eq!(with("vmSize", json!("")), 400);
        assert_eq!(with("count", json!(1001)), 400);
        assert_eq!(with("osDiskSizeGB", json!(4096)), 400);
        assert_eq!(with("nodeLabels", json!({"kubernetes.azure.com/mode": "x"})), 400);
        assert_eq!(with("nodeTaints", json!(["a=b"])), 400);
        assert_eq!(with("osSKU", json!("Windows")), 400);
        assert_eq!(with("vnetSubnetID", json!("s")), 400);
        assert_eq!(with("podSubnetID", json!("/subscriptions/s/subnets/p")), 400);
        assert_eq!(with("maxPods", json!(5)), 400);
        assert_eq!(with("gpuInstanceProfile", json!("MIG9g")), 400);
        for name in ["", "A", "1a", "a-b", "abcdefghijklm"] {
            assert!(
                completed(name, &json!({"properties": {"vmSize": "S"}})).is_err(),
                "{name}"
            );
        }
        assert!(completed("a", &json!({})).is_err());
    }

    #[test]
    fn empty_collections_are_not_shown() {
        let pool = Pool {
            name: "a".into(),
            properties: completed(
                "a",
                &json!({"properties": {"vmSize": "S", "nodeLabels": {}, "tags": null, "nodeTaints": []}}),
            )
            .unwrap(),
            state: "Creating".into(),
            etag: "e".into(),
            running: None,
            failure: None,
            born: Duration::ZERO,
            boot_at: None,
            number: 1,
        };
        let body = pool.body("/subscriptions/s/resourcegroups/g", true);
        assert_eq!(body["properties"]["eTag"], "e");
        for key in COLLECTIONS {
            assert_eq!(body["properties"].get(key), None);
        }
        assert_eq!(pool.body("", false)["properties"].get("eTag"), None);
    }
}
