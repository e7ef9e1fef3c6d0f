//! Termination of a Machine: drain, delete, prove absence, release.

use cloudprovider::{CallKind, ErrorClass, InstanceLookup, InstanceState};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kaito_api::labels::TERMINATION_FINALIZER;
use plan::{Finalizer, Write};
use serde_json::{Value, json};

use crate::fixtures::{
    Case, NODE, conditions, deeds, error, foreign_instance, instance, merged, message, new_node, node,
    outcome, parse, pod, t, upstream_instance,
};

const RELEASE: Finalizer = Finalizer::Release(TERMINATION_FINALIZER);

fn terminating(case: Case) -> Case {
    case.deleted_at(t(0))
}

fn cordoned() -> k8s_openapi::api::core::v1::Node {
    merged(
        &node(),
        &json!({
            "metadata": {"labels": {"node.kubernetes.io/exclude-from-external-load-balancers": "karpenter"}},
            "spec": {"taints": [{"key": "karpenter.sh/disrupted", "effect": "NoSchedule"}]},
        }),
    )
}

fn draining() -> Case {
    terminating(Case::found(instance(InstanceState::Succeeded))).node(cordoned())
}

fn like(name: &str, body: Value) -> Pod {
    merged(&pod(name), &body)
}

#[track_caller]
fn check(case: &Case, expect: &str) {
    let plan = case.plan();
    assert_eq!(deeds(&plan), expect, "{:?}", plan.reasons);
    assert_eq!(plan.finalizer, Finalizer::Leave);
}

#[track_caller]
fn check_release(case: &Case) {
    let plan = case.plan();
    assert_eq!((plan.finalizer, deeds(&plan)), (RELEASE, String::new()));
    assert_eq!(plan.status, None);
}

#[test]
fn release_needs_proof() {
    check(&terminating(Case::new(InstanceLookup::Unknown)), "cloud get");
    check(&terminating(Case::absent(1)), "cloud get");
    check_release(&terminating(Case::absent(2)));
    check(
        &terminating(Case::absent(4)).last(outcome(CallKind::Create, t(-100), None)),
        "cloud get",
    );
    let lost = outcome(
        CallKind::Create,
        t(-100),
        Some(error(ErrorClass::Transient, "Timeout", "")),
    );
    check(&terminating(Case::absent(4)).last(lost.clone()), "cloud get");
    check_release(&terminating(Case::absent(4)).last(lost).at(t(30)));
    let refused = outcome(
        CallKind::Create,
        t(-1),
        Some(error(ErrorClass::Quota, "Quota", "")),
    );
    check_release(&terminating(Case::absent(2)).last(refused));
    let released = terminating(Case::absent(4)).machine(|machine| machine.metadata.finalizers = None);
    assert_eq!(released.plan(), plan::Plan::default());
}

#[test]
fn the_node_goes_before_the_machine() {
    check(
        &terminating(Case::absent(2)).node(cordoned()),
        &format!("patch Node {NODE}, delete Node {NODE}"),
    );
    let mut deleted = cordoned();
    deleted.metadata.deletion_timestamp = Some(Time(t(0)));
    check(
        &terminating(Case::absent(2)).node(deleted),
        &format!("patch Node {NODE}"),
    );
    check_release(&terminating(Case::absent(2)).node(new_node()));
}

#[test]
fn a_instance_of_somebody_else_stays() {
    check_release(&terminating(Case::found(foreign_instance(InstanceState::Succeeded))).node(new_node()));
    let case = terminating(Case::found(foreign_instance(InstanceState::Succeeded))).node(node());
    check(&case, &format!("patch Node {NODE}"));
    let adopted = terminating(Case::found(upstream_instance(InstanceState::Succeeded)));
    check(&adopted, "cloud delete e1");
}

#[test]
fn cordon_drain_delete() {
    let case = terminating(Case::found(instance(InstanceState::Succeeded))).node(node());
    let busy = case.clone().pod(pod("a"));
    check(&busy, &format!("patch Node {NODE}, evict a"));
    let plan = busy.plan();
    let Write::Patch(patch) = &plan.writes[0] else {
        panic!("{plan:?}")
    };
    // Whether JSON objects keep the order of their keys depends on what else is built.
    insta::with_settings!({ sort_maps => true }, {
        insta::assert_yaml_snapshot!(patch.body, @r"
        metadata:
          labels:
            node.kubernetes.io/exclude-from-external-load-balancers: karpenter
        spec:
          taints:
            - effect: NoSchedule
              key: sku
              value: gpu
            - effect: NoSchedule
              key: karpenter.sh/disrupted
        ");
    });
    assert!(conditions(&plan).ends_with("False:Draining"));
    assert!(message(&plan, "Ready").starts_with("Waiting for pod default/a to end."));
    check(&case, &format!("patch Node {NODE}"));
    check(&draining(), "cloud delete e1");
    check(&draining().pod(pod("a")), "evict a");
    check(
        &terminating(Case::found(instance(InstanceState::Succeeded)))
            .node(new_node())
            .pod(pod("a")),
        "cloud delete e1",
    );
}

#[test]
fn pods_that_are_not_waited_for() {
    for body in [
        json!({"metadata": {"annotations": {"kubernetes.io/config.mirror": "x"}}}),
        json!({"metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "u"}]}}),
        json!({"status": {"phase": "Succeeded"}}),
        json!({"status": {"phase": "Failed"}}),
        json!({"spec": {"tolerations": [{"operator": "Exists"}]}}),
        json!({"spec": {"tolerations": [{"key": "karpenter.sh/disrupted", "operator": "Exists"}]}}),
        json!({"spec": {"tolerations": [{"key": "karpenter.sh/disrupted", "effect": "NoSchedule"}]}}),
        json!({"metadata": {"deletionTimestamp": t(-61).to_string()}}),
        json!({"spec": {"nodeName": "another"}}),
    ] {
        check(&draining().pod(like("a", body)), "cloud delete e1");
    }
    for body in [
        json!({"spec": {"tolerations": [{"operator": "Exists", "effect": "NoExecute"}]}}),
        json!({"spec": {"tolerations": [{"key": "sku", "operator": "Exists"}]}}),
    ] {
        check(&draining().pod(like("a", body)), "evict a");
    }
    check(
        &draining().pod(like(
            "a",
            json!({"metadata": {"deletionTimestamp": t(-59).to_string()}}),
        )),
        "",
    );
}

#[test]
fn pods_go_in_four_groups() {
    let daemon = json!({"metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "DaemonSet", "name": "n", "uid": "u"}]}});
    let critical = json!({"spec": {"priorityClassName": "system-node-critical"}});
    let both: Pod = merged(&like("d", daemon.clone()), &critical);
    let mut pods = vec![like("c", critical), like("b", daemon), pod("a"), both, pod("a2")];
    for expect in [
        "evict a, evict a2",
        "evict b",
        "evict c",
        "evict d",
        "cloud delete e1",
    ] {
        let case = pods.iter().cloned().fold(draining(), Case::pod);
        check(&case, expect);
        pods.retain(|pod| !expect.contains(&format!("evict {}", pod.metadata.name.as_deref().unwrap())));
    }
}

#[test]
fn a_drain_is_bounded() {
    let shy = like(
        "shy",
        json!({"metadata": {"annotations": {"karpenter.sh/do-not-disrupt": "true"}}}),
    );
    let case = draining().pod(shy).pod(pod("a"));
    check(&case, "evict a");
    assert!(message(&case.plan(), "Ready").starts_with("Pod default/shy asks not to be disrupted."));
    check(&case.clone().at(t(600)), "delete Pod a, delete Pod shy");
    let Write::Delete(delete) = &case.clone().at(t(600)).plan().writes[0] else {
        panic!()
    };
    assert_eq!((delete.uid.as_str(), delete.grace_seconds), ("uid-a", Some(60)));
    check(&case.at(t(720)), "cloud delete e1");
}

#[test]
fn few_pods_are_evicted_at_a_time() {
    let case = (0..30)
        .map(|i| pod(&format!("p{i:02}")))
        .fold(draining(), Case::pod);
    let plan = case.plan();
    assert_eq!(plan.writes.len(), 10);
    assert!(deeds(&plan).starts_with("evict p00, evict p01"));
}

#[test]
fn volumes_are_waited_for() {
    let mut case = draining();
    let attachment = json!({
        "metadata": {"name": "csi-1"},
        "spec": {"attacher": "disk.csi.azure.com", "nodeName": NODE, "source": {"persistentVolumeName": "pv-1"}},
        "status": {"attached": true},
    });
    case.observed
        .attachments
        .push(std::sync::Arc::new(parse(attachment)));
    check(&case, "");
    assert!(conditions(&case.plan()).ends_with("False:AwaitingVolumeDetachment"));
    check(&case.at(t(600)), "cloud delete e1");
}

#[test]
fn deletion_is_asked_for_until_it_happens() {
    let creating = terminating(Case::found(instance(InstanceState::Creating))).at(t(100));
    let last = |kind, class: Option<ErrorClass>| {
        creating.clone().last(outcome(
            kind,
            t(99),
            class.map(|class| error(class, "Code", "words")),
        ))
    };
    check(&creating, "cloud delete e1");
    check(&last(CallKind::Create, None), "cloud delete e1");
    check(&last(CallKind::Delete, None), "");
    check(&last(CallKind::Delete, None).at(t(200)), "cloud delete e1");
    check(&last(CallKind::Delete, Some(ErrorClass::Busy)), "cloud abort");
    check(&last(CallKind::Abort, None), "");
    check(
        &last(CallKind::Abort, Some(ErrorClass::Busy)).at(t(101)),
        "cloud delete e1",
    );
    check(
        &last(CallKind::Delete, Some(ErrorClass::Precondition)).at(t(99)),
        "cloud get",
    );
    check(
        &last(CallKind::Delete, Some(ErrorClass::Precondition)).at(t(101)),
        "cloud delete e1",
    );
    let denied = last(CallKind::Delete, Some(ErrorClass::Unauthorized));
    check(&denied, "");
    assert!(message(&denied.plan(), "Ready").starts_with("Code: words. Give the provisioner's identity"));
    let mut cancelled = last(CallKind::Abort, None);
    cancelled.observed.instance = Case::found(instance(InstanceState::Canceled)).observed.instance;
    check(&cancelled, "cloud delete e1");
    let deleting = terminating(Case::found(instance(InstanceState::Deleting)))
        .node(cordoned())
        .pod(pod("a"));
    check(&deleting, "");
    assert!(conditions(&deleting.plan()).ends_with("False:InstanceTerminating"));
}

#[test]
fn a_deletion_that_does_not_end_is_reported_with_its_reason() {
    let mut deleting = terminating(Case::found(instance(InstanceState::Deleting))).at(t(1000));
    deleting.observed.state_since = Some(t(101));
    assert!(conditions(&deleting.plan()).ends_with("False:InstanceTerminating"));
    let stuck = deleting.at(t(1001));
    assert!(conditions(&stuck.plan()).ends_with("False:InstanceNotDeleted"));
    let text = message(&stuck.plan(), "Ready");
    assert!(
        text.starts_with("Instance ws0a1b2c3d4 is being deleted for more than 15 minutes. Look up"),
        "{text}"
    );
    assert_eq!(stuck.plan().events.len(), 1);
    assert!(stuck.stored().at(t(9000)).plan().is_noop());
    // The deletion ended with an error, which the cloud keeps with the instance.
    let mut failed = instance(InstanceState::Failed);
    failed.failure = Some(error(
        ErrorClass::Blocked,
        "PodDrainFailure",
        "a budget holds pod x",
    ));
    let failed = terminating(Case::found(failed)).at(t(300));
    let again = failed.last(outcome(CallKind::Delete, t(100), None));
    check(&again, "cloud delete e1");
    let text = message(&again.plan(), "Ready");
    assert!(
        text.starts_with("PodDrainFailure: a budget holds pod x"),
        "{text}"
    );
}
