//! Tests of the sums.

use kaito_api::Machine;
use serde_json::json;

use super::*;

fn now() -> Timestamp {
    "2026-01-01T02:00:00Z".parse().unwrap()
}

fn workspace(namespace: &str, name: &str, model: &str) -> Workspace {
    serde_json::from_value(json!({
        "apiVersion": "kaito.sh/v1beta1", "kind": "Workspace",
        "metadata": {"name": name, "namespace": namespace, "creationTimestamp": "2026-01-01T00:00:00Z"},
        "inference": {"preset": {"name": model}},
    }))
    .unwrap()
}

fn claim(namespace: &str, workspace: &str, instance_type: &str) -> Claim {
    let machine: Machine = serde_json::from_value(json!({
        "apiVersion": "karpenter.sh/v1alpha5", "kind": "Machine",
        "metadata": {
            "name": "c",
            "labels": {"kaito.sh/workspace": workspace, "kaito.sh/workspacenamespace": namespace},
        },
        "spec": {"requirements": [
            {"key": "node.kubernetes.io/instance-type", "operator": "In", "values": [instance_type]},
        ]},
        "status": {"conditions": [
            {"type": "MachineLaunched", "status": "True", "lastTransitionTime": "2026-01-01T01:00:00Z"},
        ]},
    }))
    .unwrap();
    machine.into()
}

fn on_spot(claim: &Claim) -> Claim {
    let mut value = serde_json::to_value(claim).unwrap();
    value["metadata"]["labels"]["karpenter.sh/capacity-type"] = "spot".into();
    serde_json::from_value::<Machine>(value).unwrap().into()
}

#[test]
fn rows_are_summed_and_the_most_expensive_comes_first() {
    let workspaces = [
        workspace("a", "small", "phi-4"),
        workspace("a", "large", "llama-3.3-70b-instruct"),
        workspace("b", "small", "phi-4"),
    ];
    let claims = [
        on_spot(&claim("a", "small", "Standard_NC24ads_A100_v4")),
        claim("a", "large", "Standard_ND96isr_H100_v5"),
        claim("b", "small", "Standard_NC24ads_A100_v4"),
        claim("b", "other", "Standard_NC24ads_A100_v4"),
        claim("b", "small", "unheard-of"),
    ];
    let rows_by = |by| rows(&workspaces, Some(&claims), by, now());
    let text = shown(&rows_by(Group::Workspace), Group::Workspace, &[]);
    assert_eq!(
        text,
        "\
NAMESPACE  WORKSPACE  MODEL                   NODES  SPOT  GPUS  $/HOUR   SPENT  AGE
a          large      llama-3.3-70b-instruct      1     0     8   98.32   98.32   2h
a          small      phi-4                       1     1     1    3.67    3.67   2h
b          small      phi-4                       2     0     1    3.67    3.67   2h
TOTAL                                             4     1    10  105.67  105.67

$/HOUR is the list price. SPENT estimates from it and the ages of the nodes that exist now.
Spot nodes count at the on-demand price. The cloud bills less for them.
Nodes without a known price count as free: 1.
"
    );
    let models = rows_by(Group::Model);
    let names: Vec<(&str, u32)> = models
        .iter()
        .map(|row| (row.model.as_str(), row.workspaces))
        .collect();
    assert_eq!(names, [("llama-3.3-70b-instruct", 1), ("phi-4", 2)]);
    let namespaces = rows_by(Group::Namespace);
    assert_eq!(
        (namespaces[0].namespace.as_str(), namespaces[0].cost.nodes),
        ("a", 2)
    );
    assert_eq!(shown(&[], Group::Model, &[]), "There are no Workspaces.\n");
}
