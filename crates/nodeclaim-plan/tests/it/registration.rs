//! Registration: the write to the Node, and that it is made once.

use cloudprovider::InstanceState;
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use plan::Write;
use serde_json::{Value, json};

use crate::fixtures::{Case, NODE, conditions, deeds, instance, merged, new_node, node, parse, t};

fn case() -> Case {
    Case::found(instance(InstanceState::Succeeded))
}

fn node_patch(case: &Case) -> Option<Value> {
    case.plan().writes.into_iter().find_map(|write| match write {
        Write::Patch(patch) if patch.target.name == NODE => Some(patch.body),
        _ => None,
    })
}

#[test]
fn the_whole_patch() {
    let startup = parse(json!([{"key": "setup", "effect": "NoExecute"}]));
    let mut starting = new_node();
    starting.spec.as_mut().unwrap().taints = Some(parse(json!([
        {"key": "karpenter.sh/unregistered", "effect": "NoExecute"},
        {"key": "sku", "value": "other", "effect": "NoSchedule"},
    ])));
    let case = case()
        .machine(|machine| machine.spec.startup_taints = startup)
        .annotated("karpenter.sh/do-not-disrupt", "true")
        .annotated("kaito.sh/operation-url", "https://op")
        .node(starting);
    // Whether JSON objects keep the order of their keys depends on what else is built.
    insta::with_settings!({ sort_maps => true }, {
        insta::assert_yaml_snapshot!(node_patch(&case), @r#"
        metadata:
          annotations:
            karpenter.sh/do-not-disrupt: "true"
          finalizers:
            - karpenter.sh/termination
          labels:
            apps: phi-4
            kaito.sh/workspacenamespace: default
            karpenter.sh/provisioner-name: default
            karpenter.sh/registered: "true"
          ownerReferences:
            - apiVersion: karpenter.sh/v1alpha5
              blockOwnerDeletion: true
              kind: Machine
              name: ws0a1b2c3d4
              uid: 7d1f4a52-0c3e-4b0a-9d57-6b8f1f0c2a11
        spec:
          taints:
            - effect: NoSchedule
              key: sku
              value: other
            - effect: NoExecute
              key: setup
        "#);
    });
}

#[test]
fn a_patched_node_is_not_patched_again() {
    let starting = case().node(new_node());
    let patched: Node = merged(&new_node(), &node_patch(&starting).unwrap());
    assert_eq!(node_patch(&case().node(patched)), None);
    assert_eq!(node_patch(&case().node(node())), None);
}

#[test]
fn a_startup_taint_that_was_removed_does_not_come_back() {
    let startup = parse(json!([{"key": "setup", "effect": "NoExecute"}]));
    let case = case()
        .machine(|machine| machine.spec.startup_taints = startup)
        .node(node());
    assert_eq!(node_patch(&case), None);
}

#[test]
fn labels_of_the_kubelet_are_not_fought_over() {
    let relabel = |machine: &mut kaito_api::Machine| {
        let labels = machine.metadata.labels.as_mut().unwrap();
        labels.insert("kubernetes.io/os".into(), "windows".into());
        labels.insert("apps".into(), "new".into());
    };
    let patch = node_patch(&case().machine(relabel).node(node())).unwrap();
    assert_eq!(patch, json!({"metadata": {"labels": {"apps": "new"}}}));
}

#[test]
fn two_nodes_are_one_too_many_until_they_are_not() {
    let mut other = new_node();
    other.metadata.name = Some("aks-other".into());
    other.metadata.uid = Some("other".into());
    let case = case().node(node()).node(other);
    let plan = case.plan();
    assert_eq!(deeds(&plan), "");
    assert_eq!(
        conditions(&plan),
        "Unknown:MultipleNodesFound False:MultipleNodesFound Unknown:MultipleNodesFound False:MultipleNodesFound"
    );
    let mut one = case.stored();
    one.observed.nodes.pop();
    assert_eq!(conditions(&one.plan()), "True: True: True: True:");
}

#[test]
fn a_node_of_an_earlier_machine_is_not_this_ones() {
    let mut old = node();
    old.metadata.owner_references.as_mut().unwrap()[0].uid = "earlier".into();
    old.metadata.deletion_timestamp = Some(Time(t(-5)));
    let plan = case().node(old).plan();
    assert_eq!(deeds(&plan), "");
    assert!(conditions(&plan).starts_with("Unknown:NodeNotFound"));
}

#[test]
fn deleting_the_node_deletes_the_machine() {
    let mut going = node();
    going.metadata.deletion_timestamp = Some(Time(t(-5)));
    let mut deleted = case().node(going.clone());
    deleted.observed.read_at = Some(t(-1));
    assert_eq!(deeds(&deleted.plan()), "delete Machine ws0a1b2c3d4");
    going.metadata.finalizers = None;
    assert_eq!(deeds(&case().node(going).plan()), "");
}

#[test]
fn a_node_of_a_workspace_gets_a_label_that_no_kubelet_may_set() {
    let labeled = case().machine(|machine| {
        let labels = machine.metadata.labels.get_or_insert_default();
        labels.insert("kaito.sh/workspace-uid".to_owned(), "u1".to_owned());
    });
    let patch = node_patch(&labeled.node(new_node())).unwrap();
    let key = "node-restriction.kubernetes.io/kaito-workspace-uid";
    assert_eq!(patch["metadata"]["labels"][key], "u1");
}
