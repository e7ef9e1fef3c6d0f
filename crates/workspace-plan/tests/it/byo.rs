//! Nodes that are brought along are used as they are, and none is asked for.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Node;
use serde_json::{Value, json};

use crate::case::{Case, actions, check, condition};
use crate::objects::{brought, parse, pod};

fn with(nodes: Vec<Node>) -> Case {
    let mut case = Case::serving("phi-4").byo();
    case.observed.nodes = nodes.into_iter().map(Arc::new).collect();
    case
}

fn discovered(product: &str, count: u32, mib: u32) -> Value {
    json!({"nvidia.com/gpu.product": product, "nvidia.com/gpu.count": count.to_string(), "nvidia.com/gpu.memory": mib.to_string()})
}

#[test]
fn a_node_with_gpu_labels_serves() {
    let case = with(vec![brought("a", true, discovered("A100", 1, 81_920), 1)]);
    assert_eq!(
        actions(&case.plan()),
        [
            "apply NetworkPolicy",
            "apply Service",
            "apply ControllerRevision",
            "apply Deployment"
        ]
    );
    let plan = case.plan();
    assert_eq!(
        condition(&plan, "MachineReady"),
        "",
        "there are no Machines to speak of"
    );
    assert_eq!(plan.status.unwrap()["workerNodes"], json!(["a"]));
}

#[test]
fn missing_nodes_are_reported_with_the_labels_they_need() {
    check(
        &with(vec![]),
        "ResourceReady",
        "False/NodesMissing: no ready node carries apps=w. Label enough",
        &[],
    );
    let unready = brought("a", false, discovered("A100", 1, 81_920), 1);
    check(
        &with(vec![unready]),
        "ResourceReady",
        "False/NodesMissing: no ready node",
        &[],
    );
    let bare = brought("a", true, json!({}), 1);
    check(
        &with(vec![bare]),
        "ResourceReady",
        "False/NodePluginsNotReady: node a does not report its GPUs",
        &[],
    );
}

#[test]
fn a_known_instance_type_needs_no_gpu_labels() {
    let labels = json!({"node.kubernetes.io/instance-type": "Standard_NC24ads_A100_v4"});
    let case = with(vec![brought("a", true, labels, 1)]);
    assert_eq!(
        actions(&case.plan()),
        [
            "apply NetworkPolicy",
            "apply Service",
            "apply ControllerRevision",
            "apply Deployment"
        ]
    );
}

#[test]
fn the_weakest_node_decides_until_the_model_runs_somewhere() {
    let strong = brought("a", true, discovered("H100", 1, 81_559), 1);
    let weak = brought("b", true, discovered("T4", 1, 15_360), 1);
    let both = with(vec![strong.clone(), weak.clone()]);
    let says = condition(&both.plan(), "ResourceReady");
    assert!(!says.starts_with("True"), "two T4 would be needed: {says}");
    let mut running = with(vec![strong.clone()]).stored();
    running.observed.nodes = vec![Arc::new(strong), Arc::new(weak)];
    running.observed.pods = vec![Arc::new(parse(json!({
        "metadata": {"name": "p"}, "spec": {"containers": [], "nodeName": "a"}, "status": {},
    })))];
    assert_eq!(
        actions(&running.plan()),
        [""; 0],
        "a node that joins moves nothing"
    );
    running.observed.pods = vec![Arc::new(pod("p", json!({})))];
}

#[test]
fn absurd_labels_are_no_gpus() {
    for labels in [
        discovered("X", u32::MAX, u32::MAX),
        json!({"nvidia.com/gpu.product": "X", "nvidia.com/gpu.count": "many", "nvidia.com/gpu.memory": "-1"}),
        json!({"nvidia.com/gpu.product": "X"}),
    ] {
        let plan = with(vec![brought("a", true, labels, 1)]).plan();
        assert_eq!(plan_check::check(&plan), vec![]);
    }
}
