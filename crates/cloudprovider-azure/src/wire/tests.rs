//! Tests of bodies.

use cloudprovider::{CapacityType, ErrorClass, NodeOptions};
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
        pool(json!({"name": "a", "properties": {"provisioningState": state, "powerState": power}})).stopped
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

#[test]
fn options_of_a_node_class_are_sent() {
    let spec = LaunchSpec {
        name: "p".into(),
        instance_type: "Standard_NC24ads_A100_v4".into(),
        capacity_type: CapacityType::Reserved,
        options: NodeOptions {
            subnet: Some("s".into()),
            pod_subnet: Some("q".into()),
            os: Some("Ubuntu2404".into()),
            local_disk: Some(true),
            gpu_driver: Some(false),
            gpu_partition: Some("MIG2g".into()),
            fips: true,
            encryption_at_host: true,
            max_pods: Some(60),
            reservation: Some("r".into()),
            proximity_group: Some("g".into()),
        },
        ..LaunchSpec::default()
    };
    let sent = serde_json::to_value(PoolRequest::new(&spec)).unwrap();
    let expected = json!({"vnetSubnetID": "s", "podSubnetID": "q", "osSKU": "Ubuntu2404", "osDiskType": "Ephemeral",
        "gpuProfile": {"driver": "None"}, "gpuInstanceProfile": "MIG2g", "enableFIPS": true,
        "enableEncryptionAtHost": true, "maxPods": 60, "capacityReservationGroupID": "r",
        "proximityPlacementGroupID": "g"});
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(&sent["properties"][key], value, "{key}");
    }
    let found = pool(json!({"name": "p", "properties": sent["properties"].clone()}));
    assert_eq!(found.capacity_type, CapacityType::Reserved);
}
