//! Initialization: the checks that a registered Node is fit for work, in their order.

use cloudprovider::InstanceState;
use k8s_openapi::api::core::v1::Node;
use serde_json::{Value, json};

use crate::fixtures::{Case, conditions, instance, message, new_node, node, parse};

#[track_caller]
fn check(spec: Value, node: Node, expect: &str, text: &str) {
    let case = Case::found(instance(InstanceState::Succeeded))
        .node(node)
        .machine(|machine| {
            let mut whole = serde_json::to_value(&machine.spec).unwrap();
            whole
                .as_object_mut()
                .unwrap()
                .extend(spec.as_object().unwrap().clone());
            machine.spec = parse(whole);
        });
    let plan = case.plan();
    assert_eq!(conditions(&plan), format!("True: True: {expect} {expect}"));
    let text_shown = message(&plan, "MachineInitialized");
    assert!(text_shown.starts_with(text), "{text_shown}");
}

fn tainted(taint: Value) -> Node {
    let mut node = new_node();
    node.spec.as_mut().unwrap().taints = Some(vec![parse(taint)]);
    node
}

#[test]
fn what_a_node_must_be() {
    let unready = || Node {
        status: None,
        ..new_node()
    };
    check(
        json!({}),
        unready(),
        "False:NodeNotReady",
        "Node aks-ws0a1b2c3d4-12345678-vmss000000 is not ready. Look",
    );
    let startup = json!({"startupTaints": [{"key": "setup", "value": "x", "effect": "NoSchedule"}]});
    check(startup.clone(), unready(), "False:NodeNotReady", "Node");
    check(
        startup,
        new_node(),
        "False:StartupTaintsExist",
        "Start-up taint setup=x:NoSchedule is still on Node",
    );
    let starting = || tainted(json!({"key": "node.kubernetes.io/not-ready", "effect": "NoExecute"}));
    check(
        json!({}),
        starting(),
        "False:KnownEphemeralTaintsExist",
        "Taint node.kubernetes.io/not-ready=:NoExecute",
    );
    let uninitialized = json!({"key": "node.cloudprovider.kubernetes.io/uninitialized", "value": "true", "effect": "NoSchedule"});
    check(
        json!({}),
        tainted(uninitialized),
        "False:KnownEphemeralTaintsExist",
        "Taint",
    );
    let pressure = json!({"key": "node.kubernetes.io/memory-pressure", "effect": "NoSchedule"});
    check(json!({}), tainted(pressure), "True:", "");
    let wants =
        |name: &str, amount: &str| json!({"resources": {"requests": {"storage": "80Gi", name: amount}}});
    check(
        wants("amd.com/gpu", "1"),
        new_node(),
        "False:ResourceNotRegistered",
        "Node",
    );
    check(wants("amd.com/gpu", "0"), new_node(), "True:", "");
    check(wants("nvidia.com/gpu", "1"), new_node(), "True:", "");
}

#[test]
fn readiness_that_is_lost_later_is_not_our_business() {
    check(
        json!({}),
        Node {
            status: None,
            ..node()
        },
        "True:",
        "",
    );
}
