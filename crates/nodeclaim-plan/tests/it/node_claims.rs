//! NodeClaims, as far as they differ from Machines: their class, their conditions and their Nodes. The properties test
//! both kinds alike.

use cloudprovider::{CallKind, ErrorClass, InstanceLookup, InstanceState};
use jiff::Timestamp;
use kaito_api::{Claim, ClaimKind, NodeClaim};
use nodeclaim_plan::launch::spec::launch_spec;
use nodeclaim_plan::managed::{has_name_conflict, is_managed, is_managed_node};
use plan::Write;
use serde_json::{Value, json};

use crate::fixtures::{
    Case, NAME, NODE, PROVIDER_ID, UID, conditions, deeds, error, instance, machine, message, new_node, node,
    of_kind, orphan_plan, outcome, parse, pod, requeue, t,
};

fn claim() -> Claim {
    of_kind(ClaimKind::NodeClaim, &machine().into())
}

fn edited(pointer: &str, value: Value) -> Claim {
    let mut object = serde_json::to_value(claim()).unwrap();
    *object.pointer_mut(pointer).unwrap() = value;
    parse::<NodeClaim>(object).into()
}

fn succeeded() -> Case {
    Case::found(instance(InstanceState::Succeeded)).of_a_node_claim()
}

fn absent() -> Case {
    Case::absent(4).of_a_node_claim()
}

fn since(case: &Case, type_: &str) -> Timestamp {
    let object = serde_json::to_value(&case.observed.claim).unwrap();
    let all = object["status"]["conditions"].as_array().unwrap();
    let found = all.iter().find(|condition| condition["type"] == type_).unwrap();
    found["lastTransitionTime"].as_str().unwrap().parse().unwrap()
}

#[test]
fn only_claims_of_our_class_are_ours() {
    let foreign = json!({"group": "karpenter.azure.com", "kind": "AKSNodeClass", "name": "default"});
    let theirs = edited("/spec/nodeClassRef", foreign);
    assert!(is_managed(&claim()));
    assert!(
        !is_managed(&theirs),
        "a Workspace asked for it, but a Karpenter provides it"
    );
    let mut case = absent();
    case.observed.claim = theirs;
    assert!(case.plan().is_noop());
    // Made by a user: with our class, and without a Workspace.
    let bare = edited("/metadata/labels", json!({}));
    assert!(is_managed(&bare));
    let old = edited(
        "/spec/nodeClassRef",
        json!({"group": "", "kind": "", "name": "default"}),
    );
    assert!(is_managed(&old), "older definitions allowed an empty class");
}

#[test]
fn nodes_of_a_karpenter_are_not_ours() {
    let owner =
        |kind: &str| json!([{"apiVersion": "karpenter.sh/v1", "kind": kind, "name": NAME, "uid": UID}]);
    let mut theirs = node();
    theirs.metadata.owner_references = Some(parse(owner("NodeClaim")));
    assert!(
        !is_managed_node(&theirs),
        "it has our labels and the finalizer, but not our class"
    );
    let gone = InstanceLookup::Absent { reads: 4 };
    assert_eq!(deeds(&orphan_plan(&theirs, false, &gone)), "");
    let mut ours = theirs;
    let labels = ours.metadata.labels.get_or_insert_default();
    labels.insert("kaito.sh/kaitonodeclass".into(), "default".into());
    assert!(is_managed_node(&ours));
    assert!(deeds(&orphan_plan(&ours, false, &gone)).contains(&format!("delete Node {NODE}")));
    assert!(is_managed_node(&node()), "a Machine's");
}

#[test]
fn the_finalizer_and_the_intent_are_stored_before_the_instance_is_asked_for() {
    let plan = absent().metadata(|m| m.finalizers = None).plan();
    assert_eq!(deeds(&plan), format!("patch NodeClaim {NAME}, cloud create"));
    assert_eq!(
        conditions(&plan),
        "Unknown:InstanceCreating Unknown:AwaitingReconciliation Unknown:AwaitingReconciliation \
         Unknown:ReconcilingDependents"
    );
    assert_eq!(
        message(&plan, "Ready"),
        "Launched=Unknown, Registered=Unknown, Initialized=Unknown"
    );
}

#[test]
fn the_instance_is_the_one_a_machine_would_get() {
    let of_machine = launch_spec(&machine().into(), None, &Default::default()).unwrap();
    let of_claim = launch_spec(&claim(), None, &Default::default()).unwrap();
    assert_eq!(of_claim, of_machine);
}

#[test]
fn an_impossible_requirement_is_rejected_by_name() {
    let requires = |key: &str, values: &[&str]| {
        let size =
            json!({"key": "node.kubernetes.io/instance-type", "operator": "In", "values": ["Standard_X"]});
        edited(
            "/spec/requirements",
            json!([size, {"key": key, "operator": "In", "values": values}]),
        )
    };
    for (claim, says) in [
        (
            requires("karpenter.sh/capacity-type", &["leased"]),
            "leave none of on-demand, spot and reserved",
        ),
        (
            requires("topology.kubernetes.io/zone", &["eastus-1"]),
            "leave no zone",
        ),
    ] {
        let mut case = absent();
        case.observed.claim = claim;
        let plan = case.plan();
        assert_eq!(plan.cloud, None);
        let says_so = "False:InvalidNodeClaim Unknown:AwaitingReconciliation Unknown:AwaitingReconciliation False:UnhealthyDependents";
        assert_eq!(conditions(&plan), says_so);
        assert!(
            message(&plan, "Launched")
                .to_lowercase()
                .contains(&says.to_lowercase())
        );
    }
    let either = requires("karpenter.sh/capacity-type", &["spot", "on-demand"]);
    assert!(launch_spec(&either, None, &Default::default()).is_ok());
}

#[test]
fn a_refusal_is_unknown_unless_it_lasts() {
    for (class, status, reason) in [
        (ErrorClass::Quota, "Unknown", "SubscriptionQuotaReached"),
        (ErrorClass::Capacity, "Unknown", "AllocationFailure"),
        (ErrorClass::SkuUnavailable, "False", "SKUNotAvailable"),
        (ErrorClass::Invalid, "False", "InvalidRequest"),
    ] {
        let refused = outcome(CallKind::Create, t(-1), Some(error(class, "Code", "words")));
        let plan = absent().last(refused).plan();
        let says = conditions(&plan);
        assert!(says.starts_with(&format!("{status}:{reason} ")), "{says}");
        assert!(
            plan.events
                .iter()
                .any(|event| event.reason == reason && event.warning)
        );
    }
}

#[test]
fn a_node_is_registered_with_its_class_and_its_claim() {
    let plan = succeeded().node(new_node()).plan();
    let Some(Write::Patch(patch)) = plan
        .writes
        .iter()
        .find(|write| matches!(write, Write::Patch(patch) if patch.target.name == NODE))
    else {
        panic!("{}", deeds(&plan))
    };
    let metadata = &patch.body["metadata"];
    assert_eq!(metadata["labels"]["kaito.sh/kaitonodeclass"], "default");
    assert_eq!(metadata["labels"]["karpenter.sh/registered"], "true");
    assert_eq!(metadata["labels"]["karpenter.sh/initialized"], "true");
    assert_eq!(metadata["ownerReferences"][0]["apiVersion"], "karpenter.sh/v1");
    assert_eq!(metadata["ownerReferences"][0]["kind"], "NodeClaim");
    assert_eq!(
        conditions(&plan),
        "True:Launched True:Registered True:Initialized True:Ready"
    );
    let status = plan.status.unwrap();
    assert_eq!(
        (&status["nodeName"], &status["providerID"]),
        (&json!(NODE), &json!(PROVIDER_ID))
    );
    assert_eq!(status["allocatable"]["nvidia.com/gpu"], "1");
    let generations = status["conditions"].as_array().unwrap();
    assert!(
        generations
            .iter()
            .all(|condition| condition["observedGeneration"] == 1)
    );
}

#[test]
fn the_status_names_the_image_of_the_node() {
    let mut made = instance(InstanceState::Succeeded);
    made.image = Some("AKSUbuntu-2204gen2containerd-202601.01.0".into());
    let plan = Case::found(made).of_a_node_claim().node(new_node()).plan();
    assert_eq!(
        plan.status.unwrap()["imageID"],
        "AKSUbuntu-2204gen2containerd-202601.01.0"
    );
}

#[test]
fn times_follow_the_status_and_begin_with_the_claim() {
    let born = t(-60);
    let creating = absent().stored();
    assert_eq!(since(&creating, "Launched"), born);
    assert_eq!(since(&creating, "Ready"), born);
    let mut ready = creating.at(t(300)).node(new_node());
    ready.observed.instance = InstanceLookup::Found(std::sync::Arc::new(instance(InstanceState::Succeeded)));
    let ready = ready.stored();
    for type_ in ["Launched", "Registered", "Initialized", "Ready"] {
        assert_eq!(since(&ready, type_), t(300), "{type_}");
    }
}

#[test]
fn a_node_is_waited_for_from_the_moment_its_instance_is_done() {
    // The claim is an hour old: its instance took long.
    let waiting = succeeded().at(t(3600)).stored();
    let plan = waiting.clone().at(t(3600 + 60)).plan();
    assert_eq!(requeue(&plan), Some(14 * 60));
    assert_eq!(deeds(&plan), "");
    let plan = waiting.at(t(3600 + 15 * 60)).plan();
    assert!(deeds(&plan).contains("cloud delete"), "{}", deeds(&plan));
}

#[test]
fn a_terminating_claim_shows_its_progress() {
    let mut registered = node();
    registered.metadata.owner_references = Some(parse(json!([
        {"apiVersion": "karpenter.sh/v1", "kind": "NodeClaim", "name": NAME, "uid": UID},
    ])));
    let ready = succeeded().node(registered).stored();
    let going = ready.deleted_at(t(0)).pod(pod("p"));
    let plan = going.plan();
    assert_eq!(
        conditions(&plan),
        "True:Launched True:Registered True:Initialized True:Ready Unknown:Draining"
    );
    assert!(
        message(&plan, "Drained").contains("default/p"),
        "{}",
        message(&plan, "Drained")
    );
    let mut empty = going;
    empty.observed.pods.clear();
    // The taint against new pods first, then the instance.
    let mut empty = empty.stored();
    for node in &mut empty.observed.nodes {
        let spec = std::sync::Arc::make_mut(node).spec.get_or_insert_default();
        let taint = json!({"key": "karpenter.sh/disrupted", "effect": "NoSchedule"});
        spec.taints.get_or_insert_default().push(parse(taint));
        let labels = std::sync::Arc::make_mut(node)
            .metadata
            .labels
            .get_or_insert_default();
        labels.insert(
            "node.kubernetes.io/exclude-from-external-load-balancers".into(),
            "karpenter".into(),
        );
    }
    let plan = empty.plan();
    assert!(deeds(&plan).ends_with("cloud delete e1"), "{}", deeds(&plan));
    assert!(
        conditions(&plan).ends_with("True:Drained True:VolumesDetached True:InstanceTerminating"),
        "{}",
        conditions(&plan)
    );
}

#[test]
fn its_own_grace_period_bounds_the_drain() {
    let mut object = serde_json::to_value(claim()).unwrap();
    object["spec"]["terminationGracePeriod"] = "30s".into();
    let mut registered = node();
    registered.metadata.owner_references = Some(parse(json!([
        {"apiVersion": "karpenter.sh/v1", "kind": "NodeClaim", "name": NAME, "uid": UID},
    ])));
    let mut case = succeeded();
    case.observed.claim = parse::<NodeClaim>(object).into();
    let case = case.node(registered).pod(pod("p")).deleted_at(t(0));
    assert!(deeds(&case.plan()).contains("evict p"));
    assert!(deeds(&case.at(t(31)).plan()).contains("delete Pod p"));
}

#[test]
fn of_two_claims_of_one_name_the_younger_has_a_conflict() {
    let machine: Claim = machine().into();
    let later = edited("/metadata/creationTimestamp", json!(t(-1).to_string()));
    assert!(has_name_conflict(&later, &machine) && !has_name_conflict(&machine, &later));
    assert!(
        has_name_conflict(&claim(), &machine) && !has_name_conflict(&machine, &claim()),
        "of one age, the Machine stays"
    );
    let foreign = json!({"group": "karpenter.azure.com", "kind": "AKSNodeClass", "name": "default"});
    let foreign = edited("/spec/nodeClassRef", foreign);
    assert!(!has_name_conflict(&machine, &foreign) && !has_name_conflict(&claim(), &claim()));
    let mut case = absent();
    case.observed.has_name_conflict = true;
    let plan = case.plan();
    assert!(plan.writes.is_empty() && plan.cloud.is_none(), "{}", deeds(&plan));
    assert!(
        conditions(&plan).starts_with("False:ClaimNameConflict "),
        "{}",
        conditions(&plan)
    );
}
