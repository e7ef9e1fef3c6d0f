//! Tests of the Node object.

use std::time::Duration;

use super::*;
use crate::config::{ArmServerConfig, Behavior, BootRule};
use crate::world::{Condition, NodeTask, World};

pub(in crate::boot) fn plan(mode: BootMode, vm_size: &str) -> NodePlan {
    let boot = vec![BootRule {
        mode,
        ..BootRule::default()
    }];
    let behavior = Behavior {
        boot,
        ..Behavior::quick(0)
    };
    let mut world = World::new(
        &ArmServerConfig {
            behavior,
            ..ArmServerConfig::default()
        },
        Timestamp::UNIX_EPOCH,
    );
    let sent = json!({"properties": {"vmSize": vm_size, "nodeLabels": {"kaito.sh/workspace": "w", "agentpool": "no"},
        "nodeTaints": ["sku=gpu:NoSchedule", "plain:NoExecute"]}});
    world
        .put(Duration::ZERO, "ws1", &sent, &Condition::default(), None, true)
        .unwrap();
    world.advance(Duration::ZERO);
    match world.node_tasks(Duration::ZERO).pop() {
        Some(NodeTask::Make(plan)) => *plan,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_node_carries_what_aks_puts_there() {
    let node = object(&plan(BootMode::Normal, "Standard_NC12s_v3"));
    let labels = node.metadata.labels.unwrap();
    for (key, value) in [
        ("agentpool", "ws1"),
        ("kubernetes.azure.com/agentpool", "ws1"),
        ("kubernetes.azure.com/mode", "user"),
        ("kubernetes.azure.com/accelerator", "nvidia"),
        ("kaito.sh/workspace", "w"),
        ("node.kubernetes.io/instance-type", "Standard_NC12s_v3"),
        ("topology.kubernetes.io/region", "eastus"),
    ] {
        assert_eq!(labels.get(key).map(String::as_str), Some(value), "{key}");
    }
    assert_eq!(labels["kubernetes.io/hostname"], node.metadata.name.unwrap());
    assert_eq!(node.metadata.annotations.unwrap()["kwok.x-k8s.io/node"], "fake");
    let taints = node.spec.unwrap().taints.unwrap();
    assert_eq!(
        (taints[0].value.as_deref(), taints[0].effect.as_str()),
        (Some("gpu"), "NoSchedule")
    );
    assert_eq!(
        (taints[1].key.as_str(), taints[1].value.as_deref()),
        ("plain", None)
    );
}

#[test]
fn the_status_says_what_it_has() {
    let status = status(&plan(BootMode::Normal, "Standard_NC12s_v3"), None);
    assert_eq!(status["status"]["allocatable"]["nvidia.com/gpu"], "2");
    assert_eq!(status["status"]["capacity"]["cpu"], "12");
    assert_eq!(status["status"].get("conditions"), None);
}

#[test]
fn nodes_may_lack_gpus_or_readiness() {
    let bare = status(
        &plan(BootMode::NoGpus, "Standard_NC12s_v3"),
        Some(Timestamp::UNIX_EPOCH),
    );
    assert_eq!(bare["status"]["allocatable"].get("nvidia.com/gpu"), None);
    assert_eq!(bare["status"]["conditions"][0]["status"], "True");
    let down = status(
        &plan(BootMode::NotReady, "Standard_NC12s_v3"),
        Some(Timestamp::UNIX_EPOCH),
    );
    assert_eq!(down["status"]["conditions"][0]["status"], "False");
    assert_eq!(
        down["status"]["conditions"][0]["lastTransitionTime"],
        "1970-01-01T00:00:00Z"
    );
}
