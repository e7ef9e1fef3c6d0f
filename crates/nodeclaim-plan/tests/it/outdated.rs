//! Outdated nodes: drift is shown, and nodes are replaced one after the other if the settings say so.

use std::sync::Arc;

use cloudprovider::{CloudCall, InstanceState, InstanceTracker};
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::Node;
use kaito_api::node_class::KaitoNodeClassSpec;
use kaito_api::{Claim, ClaimKind, KaitoNodeClass};
use nodeclaim_plan::{RepairAnswer, RepairHold, Settings, Source as _};
use plan::Plan;
use serde_json::json;

use crate::cluster_objects::{ClusterObjects, instance_of};
use crate::fixtures::{
    Case, NAME, UID, deeds, instance, machine, merged, message, patched, requeue, settings, t, with_status,
};

fn class(pods: u32) -> Option<Arc<KaitoNodeClass>> {
    let spec: KaitoNodeClassSpec = serde_json::from_value(json!({"maxPods": pods})).unwrap();
    Some(Arc::new(KaitoNodeClass::new("default", spec)))
}

fn node() -> Node {
    let label = json!({"metadata": {"labels": {"kaito.sh/kaitonodeclass": "default"}}});
    merged(&crate::fixtures::node(), &label)
}

/// A ready claim that was launched with this class, 1,000 seconds ago.
fn launched(kind: ClaimKind) -> Case {
    let mut asks = Case::absent(2);
    if kind == ClaimKind::NodeClaim {
        asks = asks.of_a_node_claim();
    }
    asks.settings = settings();
    asks.observed.class = class(60);
    let plan = asks.plan();
    assert!(matches!(plan.cloud, Some(CloudCall::Create(_))), "{plan:?}");
    let plan::Write::Patch(patch) = &plan.writes[0] else {
        panic!("{plan:?}")
    };
    let mark = patch.body["metadata"]["annotations"]["kaito.sh/launch-class"].clone();
    let mut case = Case::found(instance(InstanceState::Succeeded)).node(node());
    if kind == ClaimKind::NodeClaim {
        case = case.of_a_node_claim();
    }
    case.settings = settings();
    case.observed.class = class(60);
    let case = case.annotated("kaito.sh/launch-class", mark.as_str().unwrap());
    let case = case.stored();
    assert!(case.plan().is_noop(), "{:?}", case.plan());
    case
}

fn due(case: &Case) -> bool {
    nodeclaim_plan::due_node(case.now, &case.observed, &case.settings).is_some()
}

fn granted(mut case: Case) -> Plan<CloudCall> {
    case.observed.repair = RepairAnswer::Granted;
    case.plan()
}

#[test]
fn a_changed_class_is_shown_and_replaces_nothing_unasked() {
    for kind in ClaimKind::ALL {
        let mut case = launched(kind);
        case.observed.class = class(70);
        let plan = case.plan();
        let type_ = match kind {
            ClaimKind::Machine => "MachineDrifted",
            ClaimKind::NodeClaim => "Drifted",
        };
        let says = message(&plan, type_);
        assert!(
            says.contains("KaitoNodeClass default has changed") && says.contains("replaceDriftedNodes"),
            "{says}"
        );
        // It is ready all the same.
        assert!(message(&plan, "Ready").is_empty(), "{plan:?}");
        let case = case.store(&plan);
        assert!(case.plan().is_noop(), "{:?}", case.plan());
        assert!(!due(&case) && granted(case.clone()).is_noop());
        // The class is as it was.
        let mut back = case;
        back.observed.class = class(60);
        let plan = back.plan();
        assert!(
            plan.status.is_some() && message(&plan, type_).is_empty(),
            "{plan:?}"
        );
        // Without its class no node could replace this one.
        back.observed.class = None;
        let mut named = back.annotated("kaito.sh/node-class", "gone");
        if kind == ClaimKind::Machine {
            named.observed.class = None;
            assert!(message(&named.plan(), type_).is_empty());
        }
    }
}

#[test]
fn a_drifted_node_is_replaced_if_the_settings_say_so() {
    for kind in ClaimKind::ALL {
        let mut case = launched(kind);
        case.settings.replaces_drifted = true;
        assert!(!due(&case));
        case.observed.class = class(70);
        let case = case.stored();
        assert!(due(&case));
        assert!(case.plan().writes.is_empty());
        assert_eq!(requeue(&case.plan()), Some(60));
        let plan = granted(case.clone());
        assert_eq!(deeds(&plan), format!("delete {} {NAME}", kind.as_str()));
        assert_eq!(nodeclaim_plan::replacement(&plan), Some("node_drifted"));
        assert_eq!(plan.events[0].reason, "NodeClassDrifted");
        let kept = case.annotated("kaito.sh/do-not-repair", "true");
        assert!(!due(&kept) && granted(kept).writes.is_empty());
    }
}

#[test]
fn a_nodeclaim_ends_with_its_age_if_the_settings_say_so() {
    let mut case = launched(ClaimKind::NodeClaim);
    case.observed.claim = patched(&case.observed.claim, &json!({"spec": {"expireAfter": "720h"}}));
    let created = case
        .observed
        .claim
        .metadata()
        .creation_timestamp
        .as_ref()
        .unwrap()
        .0;
    let end = created + SignedDuration::from_hours(720);
    assert!(!due(&case.clone().at(end)) && requeue(&case.clone().at(end).plan()).is_none());
    case.settings.replaces_expired = true;
    let before = case.clone().at(end - SignedDuration::from_secs(5));
    assert!(!due(&before));
    assert_eq!(requeue(&before.plan()), Some(5));
    let plan = granted(case.clone().at(end));
    assert_eq!(nodeclaim_plan::replacement(&plan), Some("claim_expired"));
    assert_eq!(plan.events[0].reason, "Expired");
    case.observed.claim = patched(&case.observed.claim, &json!({"spec": {"expireAfter": "Never"}}));
    assert!(!due(&case.at(end)));
}

fn replacing() -> Settings {
    Settings {
        replaces_expired: true,
        // The brake is tested elsewhere.
        node_deletion_percent: 100,
        repair_rules: "Ready=Unknown:10m".parse().unwrap(),
        ..settings()
    }
}

/// Expired NodeClaims of one Workspace of `nodes` nodes: the first `ready` of `size` are ready.
fn fleet(size: usize, ready: usize, nodes: usize) -> (ClusterObjects, InstanceTracker) {
    let all = (0..size).map(|i| {
        let name = format!("ws{i:09}");
        let mut claim = machine();
        claim.metadata.name = Some(name.clone());
        claim.metadata.uid = Some(format!("uid-{name}"));
        let labels = claim.metadata.labels.get_or_insert_default();
        labels.insert("kaito.sh/workspace-uid".into(), "one".into());
        let annotations = claim.metadata.annotations.get_or_insert_default();
        annotations.insert("kaito.sh/node-count".into(), nodes.to_string());
        let text = serde_json::to_string(&node()).unwrap();
        let text = text.replace(NAME, &name).replace(UID, &format!("uid-{name}"));
        let node: Node = serde_json::from_str(&text).unwrap();
        let mut case = Case::found(instance_of(&name)).node(node.clone());
        case.observed.claim = claim.into();
        let mut case = case.of_a_node_claim();
        case.observed.claim = patched(&case.observed.claim, &json!({"spec": {"expireAfter": "1s"}}));
        case.settings = replacing();
        let case = case.stored();
        let mut claim = case.observed.claim;
        if i >= ready {
            claim = with_status(&claim, &json!({"conditions": []}));
        }
        (claim, (name, node))
    });
    let (claims, nodes): (Vec<Claim>, _) = all.unzip();
    let source = ClusterObjects { claims, nodes };
    let mut tracker = InstanceTracker::default();
    for claim in source.fleet() {
        tracker.view(claim.name(), claim.uid(), t(-1));
    }
    tracker.on_list(t(90_000), source.instances());
    (source, tracker)
}

fn answer(source: &ClusterObjects, tracker: &mut InstanceTracker, index: usize) -> RepairAnswer {
    let (claim, none) = (source.claims[index].clone(), SignedDuration::ZERO);
    let live = source.nodes[claim.name()].clone();
    let now = t(90_001);
    let mut observed = nodeclaim_plan::observe(source, tracker, claim, &replacing(), now, none);
    if nodeclaim_plan::due_node(now, &observed, &replacing()).is_some() {
        let live = Some(Some(live));
        nodeclaim_plan::authorize(source, tracker, &mut observed, live, &replacing(), (now, none));
    }
    observed.repair
}

#[test]
fn a_workspace_loses_one_outdated_node_at_a_time() {
    // Claims, ready ones, nodes of the Workspace, and whether the first claim is replaced.
    for (size, ready, nodes, replaced) in [
        (1, 1, 1, true),
        (2, 2, 2, true),
        (3, 3, 3, true),
        (2, 1, 2, false),
        // Another one is being replaced, and its successor is not there yet.
        (1, 1, 2, false),
        (3, 2, 3, false),
    ] {
        let (source, mut tracker) = fleet(size, ready, nodes);
        let expected = if replaced {
            RepairAnswer::Granted
        } else {
            RepairAnswer::Held(RepairHold::Others)
        };
        assert_eq!(
            answer(&source, &mut tracker, 0),
            expected,
            "{ready} of {size}, {nodes}"
        );
    }
}

#[test]
fn no_outdated_node_is_replaced_while_another_is_ill() {
    let (mut source, mut tracker) = fleet(2, 2, 1);
    let name = source.claims[1].name().to_owned();
    let ill = json!({"status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}});
    let node = merged(&source.nodes[&name], &ill);
    source.nodes.insert(name, node);
    assert_eq!(
        answer(&source, &mut tracker, 0),
        RepairAnswer::Held(RepairHold::Others)
    );
}

#[test]
fn a_node_that_is_kept_does_not_hold_outdated_ones() {
    for (annotation, expected) in [
        ("false", RepairAnswer::Held(RepairHold::Others)),
        ("true", RepairAnswer::Granted),
    ] {
        let (mut source, mut tracker) = fleet(2, 2, 1);
        let name = source.claims[1].name().to_owned();
        let since = t(0).to_string();
        let ill = json!({
            "metadata": {"annotations": {"kaito.sh/do-not-repair": annotation}},
            "status": {"conditions": [{"type": "Ready", "status": "Unknown", "lastTransitionTime": since}]},
        });
        let mut case = Case::found(instance_of(&name)).node(merged(&source.nodes[&name], &ill));
        case.observed.claim = source.claims[1].clone();
        case.settings = replacing();
        let case = case.at(t(1)).stored();
        source.nodes.insert(name, case.observed.nodes[0].as_ref().clone());
        source.claims[1] = case.observed.claim;
        assert_eq!(answer(&source, &mut tracker, 0), expected);
    }
}
