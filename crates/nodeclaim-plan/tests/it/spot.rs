//! Spot capacity that the cloud takes back, with a notice and without.

use std::sync::Arc;

use cloudprovider::{InstanceState, SpotMarks};
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kaito_api::ClaimKind;
use nodeclaim_plan::Settings;
use plan::Write;
use serde_json::{Value, json};

use crate::fixtures::{Case, NAME, deeds, instance, merged, message, node, pod, settings, t};

const MARKS: SpotMarks = SpotMarks {
    labels: &[("example.com/priority", "spot")],
    notices: &[
        ("PreemptionScheduled", ""),
        ("VMEventScheduled", "Preempt Scheduled"),
    ],
    taints: &[("example.com/draining", "spot-eviction")],
};

fn spot(change: &Value) -> Node {
    let labels = json!({"example.com/priority": "spot", "kaito.sh/kaitonodeclass": "default"});
    merged(&merged(&node(), &json!({"metadata": {"labels": labels}})), change)
}

fn conditions(type_: &str, status: &str, message: &str) -> Value {
    json!({"status": {"conditions": [
        {"type": "Ready", "status": "True"}, {"type": type_, "status": status, "message": message},
    ]}})
}

fn seen(kind: ClaimKind, node: Node) -> Case {
    let mut case = Case::found(instance(InstanceState::Succeeded)).node(spot(&json!({})));
    if kind == ClaimKind::NodeClaim {
        case = case.of_a_node_claim();
    }
    case.settings = Settings {
        spot_marks: MARKS,
        ..settings()
    };
    let mut case = case.stored();
    case.observed.nodes = vec![Arc::new(node)];
    case
}

#[test]
fn a_notice_ends_the_claim_at_once() {
    let tainted = json!({"spec": {"taints": [{"key": "example.com/draining", "value": "spot-eviction", "effect": "NoSchedule"}]}});
    let notices = [
        conditions(
            "PreemptionScheduled",
            "True",
            "Preempt Scheduled: Sat, 01 Aug 2026 05:41:02 GMT",
        ),
        conditions(
            "VMEventScheduled",
            "True",
            "Preempt Scheduled: Sat, 01 Aug 2026 05:41:02 GMT",
        ),
        tainted,
    ];
    for kind in ClaimKind::ALL {
        for notice in &notices {
            let plan = seen(kind, spot(notice)).plan();
            assert_eq!(
                deeds(&plan),
                format!("delete {} {NAME}", kind.as_str()),
                "{notice}"
            );
            assert_eq!(nodeclaim_plan::replacement(&plan), Some("spot_node_reclaimed"));
            assert_eq!(plan.events[0].reason, "SpotNodeReclaimed");
            assert!(
                message(&plan, "NodeHealthy").contains("takes the spot capacity"),
                "{plan:?}"
            );
        }
        let none = [
            conditions("PreemptionScheduled", "False", ""),
            conditions("PreemptionScheduled", "Unknown", ""),
            conditions(
                "VMEventScheduled",
                "True",
                "Reboot Scheduled: Sat, 01 Aug 2026 05:41:02 GMT",
            ),
        ];
        for notice in none {
            assert_eq!(deeds(&seen(kind, spot(&notice)).plan()), "", "{notice}");
        }
        // Nodes of other capacity are not taken back, whatever their kubelet says.
        let mut other = spot(&notices[0]);
        other
            .metadata
            .labels
            .as_mut()
            .unwrap()
            .remove("example.com/priority");
        assert_eq!(deeds(&seen(kind, other).plan()), "");
    }
}

#[test]
fn pods_get_the_time_that_the_notice_leaves() {
    let notice = conditions("PreemptionScheduled", "True", "");
    let mut case = seen(ClaimKind::NodeClaim, spot(&notice))
        .stored()
        .deleted_at(t(0))
        .at(t(1))
        .pod(pod("p"));
    let plan = case.plan();
    let graces = plan.writes.iter().filter_map(|write| match write {
        Write::Delete(delete) => Some((delete.target.name.as_str(), delete.grace_seconds)),
        _ => None,
    });
    assert_eq!(graces.collect::<Vec<_>>(), [("p", Some(25))]);
    assert!(
        deeds(&plan).contains("patch Node"),
        "it is closed to new pods: {}",
        deeds(&plan)
    );
    case.observed.pods.clear();
    case.observed.nodes = vec![Arc::new(merged(
        &spot(&notice),
        &json!({"metadata": {"labels": {"node.kubernetes.io/exclude-from-external-load-balancers": "karpenter"}},
            "spec": {"taints": [{"key": "karpenter.sh/disrupted", "effect": "NoSchedule"}]}}),
    ))];
    assert_eq!(deeds(&case.plan()), "cloud delete e1");
}

#[test]
fn a_spot_node_that_vanishes_without_notice_is_not_held() {
    let mut gone = spot(&json!({"status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}}));
    gone.metadata.deletion_timestamp = Some(Time(t(-60)));
    let mut case = seen(ClaimKind::Machine, gone.clone());
    case.observed.read_at = Some(t(0));
    case.observed.deletion_held_until = Some(t(100));
    let plan = case.plan();
    assert_eq!(deeds(&plan), format!("delete Machine {NAME}"));
    assert_eq!(nodeclaim_plan::replacement(&plan), Some("spot_node_reclaimed"));
    // A user may have deleted one whose kubelet still reports: that is held as any other.
    gone.status = node().status;
    case.observed.nodes = vec![Arc::new(gone)];
    assert_eq!(deeds(&case.plan()), "");
}
