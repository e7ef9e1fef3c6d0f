//! Claims of a Karpenter: its reports and its Events are shown with remedies that fit it. A claim that cannot launch is
//! withdrawn.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Event;
use kaito_api::{ClaimKind, NodeClassRef};
use plan::{Plan, Write};
use serde_json::{Value, json};
use workspace_plan::LaunchBackoff;

use crate::case::{Case, actions, condition};
use crate::objects::{self, claim_name, node_claim, parse, t};

const NO_TYPE: &str = "unable to find instance type";

fn class() -> NodeClassRef {
    NodeClassRef {
        group: "karpenter.example.com".into(),
        kind: "ExampleNodeClass".into(),
        name: "gpu".into(),
    }
}

/// A Workspace whose claim of this class has these steps since this second: each a status, a reason and a message.
fn claimed(class: &NodeClassRef, steps: [(&str, &str, &str); 3], since: i64) -> Case {
    let mut claim = serde_json::to_value(node_claim(0, None)).unwrap();
    claim["spec"]["nodeClassRef"] = serde_json::to_value(class).unwrap();
    let types = ["Launched", "Registered", "Initialized"];
    let conditions = types.iter().zip(steps).map(|(type_, (status, reason, message))| {
        json!({
            "type": type_, "status": status, "reason": reason, "message": message,
            "lastTransitionTime": t(since).to_string(),
        })
    });
    claim["status"] = json!({"nodeName": "", "conditions": conditions.collect::<Vec<Value>>()});
    let mut case = Case::serving("phi-4").claiming(ClaimKind::NodeClaim);
    case.settings.node_claims.class = class.clone();
    case.observed.claims = vec![parse::<kaito_api::NodeClaim>(claim).into()];
    case
}

const WAITING: (&str, &str, &str) = (
    "Unknown",
    "AwaitingReconciliation",
    "object is awaiting reconciliation",
);

fn failing(class: &NodeClassRef, since: i64) -> Case {
    claimed(
        class,
        [("Unknown", "LaunchFailed", NO_TYPE), WAITING, WAITING],
        since,
    )
}

fn deletions(plan: &Plan) -> usize {
    let is_deletion = |write: &&Write| matches!(write, Write::Delete(_));
    plan.writes.iter().filter(is_deletion).count()
}

#[test]
fn the_reason_of_a_karpenter_is_shown_with_a_remedy_that_is_not_azures() {
    let plan = failing(&class(), 0).plan();
    assert_eq!(plan_check::check(&plan), vec![]);
    let says = condition(&plan, "NodeClaimReady");
    let name = claim_name(0);
    let starts = format!(
        "False/NodeClaimNotLaunched: 0 of 1 NodeClaims are ready; NodeClaim {name}: LaunchFailed: {NO_TYPE}. "
    );
    assert!(says.starts_with(&starts), "{says}");
    assert!(
        says.contains("node class") && !says.contains("activity log"),
        "{says}"
    );
    // The same word of our provisioner keeps its own remedy.
    let says = condition(&failing(&NodeClassRef::kaito(), 0).plan(), "NodeClaimReady");
    assert!(says.contains("activity log"), "{says}");
}

#[test]
fn a_claim_that_fails_to_launch_is_withdrawn() {
    let case = |since| failing(&class(), since);
    let plan = case(-5).plan();
    assert_eq!(deletions(&plan), 0, "{:?}", actions(&plan));
    assert_eq!(plan.requeue.map(|after| after.as_secs()), Some(10));
    let plan = case(-15).plan();
    assert!(
        actions(&plan).contains(&format!("delete NodeClaim {}", claim_name(0))),
        "{:?}",
        actions(&plan)
    );
    assert_eq!(plan_check::check(&plan), vec![]);
    let launched = ("True", "Launched", "");
    let unregistered = ("Unknown", "NodeNotFound", "Node not registered with cluster");
    for (what, case) in [
        ("ours", failing(&NodeClassRef::kaito(), -900)),
        (
            "being launched",
            claimed(&class(), [WAITING, WAITING, WAITING], -900),
        ),
        (
            "launched",
            claimed(&class(), [launched, unregistered, WAITING], -900),
        ),
    ] {
        let plan = case.plan();
        assert_eq!(deletions(&plan), 0, "{what}: {:?}", actions(&plan));
        assert_eq!(plan.requeue, None, "{what}");
    }
    // A claim that terminates already is waited for.
    let mut terminating = case(-900);
    crate::objects::metadata(&mut terminating.observed.claims[0]).deletion_timestamp =
        Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(t(-5)));
    assert_eq!(deletions(&terminating.plan()), 0);
    assert_eq!(terminating.plan().requeue, None);
}

#[test]
fn a_lost_claim_has_the_reason_of_its_provisioner() {
    let lost = |cause: &str, events: &[(&str, &str)]| {
        let mut case = Case::serving("phi-4").claiming(ClaimKind::NodeClaim);
        let backoff = LaunchBackoff {
            uid: "lost".into(),
            cause: cause.into(),
            failed_at: case.now,
            failures: 1,
            ..LaunchBackoff::default()
        };
        case.observed.launch_backoffs.insert(claim_name(0), backoff);
        let event = |(uid, message): &(&str, &str)| -> Arc<Event> {
            Arc::new(parse(json!({
                "metadata": {"name": "e", "namespace": "default"}, "involvedObject": {"kind": "NodeClaim", "uid": uid},
                "reason": "InsufficientCapacityError", "message": message, "lastTimestamp": t(0).to_string(),
            })))
        };
        case.observed.warnings = events.iter().map(event).collect();
        let plan = case.plan();
        assert_eq!(plan_check::check(&plan), vec![]);
        condition(&plan, "NodeClaimReady")
    };
    let ice = (
        "lost",
        "NodeClaim c event: all requested instance types were unavailable",
    );
    for (cause, events, shown) in [
        ("", &[][..], "(its provisioner gave no reason)"),
        ("LaunchFailed: no", &[], "(LaunchFailed: no)"),
        ("", &[("another", ice.1)], "(its provisioner gave no reason)"),
        (
            "LaunchFailed: no",
            &[ice],
            "(InsufficientCapacityError: all requested instance types were unavailable)",
        ),
    ] {
        let says = lost(cause, events);
        assert!(
            says.starts_with("False/NodeClaimLost: 0 of 1 NodeClaims are ready; "),
            "{says}"
        );
        assert!(says.contains(shown), "{says} does not show {shown}");
    }
}

#[test]
fn pods_fit_the_nodes_of_a_karpenter_after_machines_are_chosen() {
    let requires_label = |case: &Case| {
        let plan = case.plan();
        assert_eq!(plan_check::check(&plan), vec![]);
        let deployment = plan.writes.iter().find_map(|write| match write {
            Write::Apply(manifest) if manifest.kind() == plan::Kind::Deployment => {
                Some(format!("{manifest:?}"))
            }
            _ => None,
        });
        deployment
            .expect("a Deployment is created")
            .contains("node-restriction.kubernetes.io/kaito-workspace-uid")
    };
    let on_nodes_of = |class: &NodeClassRef| {
        let mut case = Case::serving("phi-4")
            .claiming(ClaimKind::NodeClaim)
            .with_nodes(1, 1)
            .claiming(ClaimKind::Machine);
        case.settings.isolation.restricted_label = true;
        let mut claim = serde_json::to_value(node_claim(0, None)).unwrap();
        claim["spec"]["nodeClassRef"] = serde_json::to_value(class).unwrap();
        case.observed.claims = vec![parse::<kaito_api::NodeClaim>(claim).into()];
        case
    };
    assert!(requires_label(&on_nodes_of(&NodeClassRef::kaito())));
    assert!(!requires_label(&on_nodes_of(&class())));
}

/// A model that serves on the Node of a Machine, which is lost and replaced by one of a Karpenter.
fn moved_to_a_karpenter(node_labels: &Value) -> Case {
    let mut case = Case::serving("phi-4").with_nodes(1, 1);
    case.settings.isolation.restricted_label = true;
    let label = |case: &mut Case, labels: &Value| {
        let node = Arc::make_mut(&mut case.observed.nodes[0]);
        let all = node.metadata.labels.get_or_insert_default();
        all.extend(parse::<std::collections::BTreeMap<String, String>>(
            labels.clone(),
        ));
    };
    let own = json!({"kaito.sh/workspace": "w", "kaito.sh/workspacenamespace": "default"});
    label(&mut case, &own);
    label(
        &mut case,
        &json!({"node-restriction.kubernetes.io/kaito-workspace-uid": "uid-of-w"}),
    );
    let mut case = case.stored().stored().answering().stored();
    assert!(case.plan().is_noop(), "{:?}", case.plan());
    // A new version of the operator, too.
    case.settings.images.base = "example.com/base:2".to_owned();
    let mut claim = serde_json::to_value(node_claim(0, None)).unwrap();
    claim["spec"]["nodeClassRef"] = serde_json::to_value(class()).unwrap();
    case.observed.claims = vec![parse::<kaito_api::NodeClaim>(claim).into()];
    case.observed.nodes = vec![Arc::new(objects::node(&claim_name(0), true, 1))];
    label(&mut case, &own);
    label(&mut case, node_labels);
    case
}

#[test]
fn pods_follow_their_nodes_to_another_provisioner_and_nothing_else_changes() {
    let before = moved_to_a_karpenter(&json!({}));
    let image = |case: &Case| {
        let deployment = case.observed.workloads.deployment.as_deref().unwrap();
        let pods = deployment.spec.template.spec.as_ref().unwrap();
        let affinity = serde_json::to_string(&pods.affinity).unwrap();
        (
            pods.containers[0].image.clone(),
            affinity.contains("node-restriction"),
        )
    };
    let (old, required) = image(&before);
    assert!(required);
    let after = before.stored();
    assert_eq!(image(&after), (old.clone(), false));
    let says = condition(&after.plan(), "WorkspaceReady");
    assert!(says.contains("UpgradeAvailable: "), "{says}");
    // The revision that follows is the recorded one in everything but the placement, so nothing replaces it unasked.
    let mut after = after.stored();
    assert!(actions(&after.plan()).is_empty(), "{:?}", after.plan());
    Arc::make_mut(after.observed.workloads.deployment.as_mut().unwrap()).status = None;
    assert!(actions(&after.plan()).is_empty(), "{:?}", after.plan());
    assert_eq!(image(&after), (old, false));
}

#[test]
fn pods_keep_their_placement_while_their_nodes_admit_them() {
    let labels = json!({"node-restriction.kubernetes.io/kaito-workspace-uid": "uid-of-w"});
    let case = moved_to_a_karpenter(&labels);
    assert!(actions(&case.plan()).is_empty(), "{:?}", case.plan());
}

#[test]
fn pods_follow_their_nodes_without_a_record_if_none_serves() {
    let mut case = moved_to_a_karpenter(&json!({}));
    case.observed.revisions.clear();
    let workload = |plan: &Plan| {
        let is_deployment = |write: &&Write| matches!(write, Write::Apply(manifest) if manifest.kind() == plan::Kind::Deployment);
        plan.writes.iter().filter(is_deployment).count()
    };
    assert_eq!(workload(&case.plan()), 0);
    Arc::make_mut(case.observed.workloads.deployment.as_mut().unwrap()).status = None;
    assert_eq!(workload(&case.plan()), 1);
}
