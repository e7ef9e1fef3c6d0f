//! Launch: the calls to the cloud and the conditions, for each state of the instance.

use cloudprovider::{CallKind, CallOutcome, Deferral, ErrorClass, InstanceLookup, InstanceState};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kaito_api::Machine;
use kaito_api::conditions::ClaimReason;
use kaito_api::labels::LAUNCH_STARTED;
use plan::{Finalizer, Write};

use crate::fixtures::{
    Case, NODE, PROVIDER_ID, assert_pause, conditions, deeds, error, foreign_instance, instance, message,
    new_node, node, ours, outcome, parse, requeue, t, upstream_instance,
};

/// The intent to create is stored before the request is sent.
const CREATE: &str = "patch Machine ws0a1b2c3d4, cloud create";
const NOT_LAUNCHED: &str = "Unknown:MachineNotLaunched Unknown:MachineNotLaunched";

#[track_caller]
fn check(case: &Case, expected_deeds: &str, launched: &str) {
    let plan = case.plan();
    assert_eq!(deeds(&plan), expected_deeds, "{:?}", plan.reasons);
    assert_eq!(conditions(&plan), format!("{launched} {NOT_LAUNCHED} {launched}"));
}

#[test]
fn unmanaged_machines_are_invisible() {
    let case = Case::absent(4).machine(|machine| drop(machine.metadata.labels.take()));
    assert_eq!(case.plan(), plan::Plan::default());
    let case = case.machine(|m| m.metadata.labels = Some([("kaito.sh/ragengine".into(), "r".into())].into()));
    assert_eq!(deeds(&case.plan()), CREATE);
}

#[test]
fn nothing_is_launched_before_the_finalizer_is_stored() {
    let bare = |case: Case| case.machine(|m| m.metadata.finalizers = Some(vec!["else/where".into()]));
    // With the intent to ask, in one write before the call, which fails if the Machine is not as observed.
    let plan = bare(Case::absent(4)).plan();
    assert_eq!(deeds(&plan), CREATE);
    let [Write::Patch(patch)] = plan.writes.as_slice() else {
        panic!("{:?}", plan.writes)
    };
    assert_eq!(
        patch.body["metadata"]["finalizers"],
        serde_json::json!(["else/where", "karpenter.sh/termination"])
    );
    assert!(!patch.resource_version.is_empty() && plan.finalizer == Finalizer::Leave);
    // Alone where nothing is to be asked for.
    for case in [
        Case::new(InstanceLookup::Unknown),
        Case::new(InstanceLookup::Found(std::sync::Arc::new(instance(
            InstanceState::Creating,
        )))),
    ] {
        let plan = bare(case).plan();
        assert_eq!(plan.finalizer, Finalizer::Ensure("karpenter.sh/termination"));
        assert!(plan.writes.is_empty() && plan.cloud.is_none() && plan.status.is_none());
    }
}

#[test]
fn a_new_claim_is_not_written_before_the_instances_are_listed() {
    let plan = |age: i64, change: fn(&mut Machine)| {
        let case = Case::new(InstanceLookup::Unknown).machine(|m| {
            m.metadata.finalizers = None;
            m.metadata.creation_timestamp = Some(Time(t(-age)));
            change(m);
        });
        case.plan()
    };
    let young = plan(1, |_| {});
    assert_eq!((young.is_noop(), requeue(&young)), (true, Some(4)));
    // The wait is short with any clock, and a claim with a request is protected.
    let asked: fn(&mut Machine) = |m| {
        let started = (LAUNCH_STARTED.to_owned(), t(-1).to_string());
        m.metadata.annotations = Some([started].into());
    };
    for (age, change) in [(5, (|_| {}) as fn(&mut Machine)), (-60, |_| {}), (1, asked)] {
        let plan = plan(age, change);
        assert_eq!(
            plan.finalizer,
            Finalizer::Ensure("karpenter.sh/termination"),
            "{age}"
        );
    }
}

#[test]
fn one_status_shows_the_request_and_the_creation() {
    let requested = Case::absent(4).plan();
    assert_eq!(deeds(&requested), CREATE);
    let creating = InstanceLookup::Found(std::sync::Arc::new(instance(InstanceState::Creating)));
    let creating = Case::new(creating).machine(|m| {
        let annotations = m.metadata.annotations.get_or_insert_default();
        annotations.insert(LAUNCH_STARTED.to_owned(), t(-1).to_string());
        m.status = Some(parse(requested.status.clone().unwrap()));
    });
    assert_eq!(creating.plan().status, None);
}

#[test]
fn a_node_that_has_just_joined_is_written_once_it_is_fit_or_after_a_while() {
    let succeeded = InstanceLookup::Found(std::sync::Arc::new(instance(InstanceState::Succeeded)));
    let plan = |age: i64, ready: bool| {
        let mut node = new_node();
        node.metadata.creation_timestamp = Some(Time(t(-age)));
        if !ready {
            node.status.as_mut().unwrap().conditions = None;
        }
        Case::new(succeeded.clone()).node(node).plan()
    };
    let young = plan(1, false);
    assert_eq!((young.writes.len(), requeue(&young)), (0, Some(4)));
    assert_eq!(
        young.status,
        Case::new(InstanceLookup::Unknown).plan().status,
        "nothing is known yet"
    );
    for (age, ready) in [(1, true), (5, false), (-60, false)] {
        assert_eq!(plan(age, ready).writes.len(), 1, "{age}");
    }
}

#[test]
fn without_a_listing_nothing_is_asked() {
    let case = Case::new(InstanceLookup::Unknown);
    let plan = case.plan();
    assert_eq!(deeds(&plan), "");
    assert_eq!(
        conditions(&plan),
        "Unknown:AwaitingCloud Unknown:AwaitingReconciliation Unknown:AwaitingReconciliation Unknown:AwaitingCloud"
    );
    assert_eq!(requeue(&plan), Some(15));
}

#[test]
fn an_absent_instance_is_asked_for_once() {
    check(&Case::absent(1), CREATE, "Unknown:InstanceCreating");
    // Accepted, and not shown yet: look, don't ask again.
    let asked = Case::absent(2).last(outcome(CallKind::Create, t(-10), None));
    check(&asked, "cloud get", "Unknown:InstanceCreating");
    check(&asked.at(t(200)), CREATE, "Unknown:InstanceCreating");
}

#[test]
fn an_impossible_machine_is_never_asked_for() {
    let case = Case::absent(1).machine(|machine| machine.spec.requirements.clear());
    check(&case, "", "False:InvalidMachine");
    let text = message(&case.plan(), "MachineLaunched");
    assert!(
        text.starts_with("No requirement names an instance type"),
        "{text}"
    );
    assert_eq!(case.plan().events.len(), 1);
}

#[test]
fn refusals_have_a_reason_each_and_a_pause() {
    use ErrorClass as E;
    for (class, failures, launched, pause) in [
        (E::SkuUnavailable, 1, "False:SKUNotAvailable", 21600),
        (E::Invalid, 1, "False:InvalidRequest", 21600),
        (E::Quota, 1, "Unknown:SubscriptionQuotaReached", 60),
        (E::Quota, 3, "Unknown:SubscriptionQuotaReached", 240),
        (E::Capacity, 9, "Unknown:AllocationFailure", 600),
        (E::Busy, 3, "Unknown:WaitingForCluster", 4),
        (E::Throttled, 2, "Unknown:Throttled", 2),
        (E::NoAddresses, 1, "Unknown:NoAddresses", 60),
        (E::ClusterFull, 1, "Unknown:ClusterFull", 60),
        (E::ClusterStopped, 2, "Unknown:ClusterStopped", 120),
        (E::Policy, 1, "Unknown:PolicyDenied", 60),
        (E::Blocked, 1, "Unknown:CloudBlocked", 60),
        (E::Unauthorized, 1, "Unknown:AuthorizationFailed", 60),
        (E::ClusterNotFound, 1, "Unknown:ClusterNotFound", 60),
        (E::Transient, 2, "Unknown:AwaitingCloud", 2),
        (E::Transient, 5, "Unknown:LaunchFailed", 16),
        (E::Precondition, 1, "Unknown:AwaitingCloud", 1),
    ] {
        let refused = outcome(
            CallKind::Create,
            t(0),
            Some(error(class, "Code", "the cloud's words")),
        );
        let case = Case::absent(1).last(CallOutcome { failures, ..refused });
        let lasting = class.is_terminal();
        let unsure = matches!(class, E::Transient | E::Precondition);
        let deeds = if lasting {
            "patch Machine ws0a1b2c3d4"
        } else if unsure {
            "cloud get"
        } else {
            ""
        };
        check(&case, deeds, launched);
        assert_pause(&case.plan(), pause);
        check(
            &case.clone().at(t(pause.cast_signed() * 5 / 4 + 1)),
            CREATE,
            launched,
        );
        let text = message(&case.plan(), "MachineLaunched");
        assert!(
            !text.contains("req-1"),
            "ids of requests change at every attempt: {text}"
        );
        if !matches!(class, E::Throttled) && !launched.ends_with("AwaitingCloud") {
            assert!(text.starts_with("Code: the cloud's words"), "{text}");
        }
    }
}

#[test]
fn kaito_recognises_an_instance_type_that_cannot_be_had() {
    let refusal = error(ErrorClass::SkuUnavailable, "SkuNotAvailable", &"x".repeat(2000));
    let plan = Case::absent(1)
        .last(outcome(CallKind::Create, t(0), Some(refusal)))
        .plan();
    let text = message(&plan, "MachineLaunched");
    assert!(
        text.contains("all requested instance types were unavailable during launch"),
        "{text}"
    );
    assert!(text.ends_with(ClaimReason::SkuNotAvailable.remedy()), "{text}");
    assert!(
        plan.events
            .iter()
            .any(|event| event.warning && event.reason == "SKUNotAvailable")
    );
}

#[test]
fn a_lasting_refusal_outlives_a_restart_but_not_a_changed_machine() {
    let refusal = error(ErrorClass::Invalid, "InvalidParameter", "no such size");
    let case = Case::absent(1)
        .last(outcome(CallKind::Create, t(0), Some(refusal)))
        .stored();
    assert_eq!(deeds(&case.plan()), "", "recorded, and quiet");
    assert!(case.plan().is_noop());
    let mut restarted = case.clone();
    restarted.observed.last_call = None;
    assert!(restarted.plan().is_noop());
    assert_pause(&restarted.plan(), 21600);
    for case in [case, restarted] {
        let changed = case.machine(|machine| machine.metadata.generation = Some(2));
        assert_eq!(deeds(&changed.plan()), CREATE);
    }
}

/// A request that a limit of our own kept back at this time.
fn kept_back(kind: CallKind, at: jiff::Timestamp, seconds: i64) -> Deferral {
    Deferral {
        at,
        until: at + jiff::SignedDuration::from_secs(seconds),
        kind,
        error: error(ErrorClass::LocallyLimited, "LocalWriteGate", "enough"),
    }
}

#[test]
fn a_request_that_was_not_sent_is_no_failure() {
    let mut case = Case::absent(2).stored();
    let intent = case.observed.claim.metadata().annotations.clone().unwrap();
    case.observed.deferral = Some(kept_back(CallKind::Create, t(0), 1));
    // Nothing is written, and the pause is that of the limit however often it was met.
    for second in 0..120 {
        case.observed.deferral = Some(kept_back(CallKind::Create, t(second), 1));
        let waiting = case.clone().at(t(second));
        assert_eq!(
            (deeds(&waiting.plan()), requeue(&waiting.plan())),
            (String::new(), Some(1))
        );
        assert_eq!(
            deeds(&waiting.at(t(second + 1)).plan()),
            "cloud create",
            "the intent holds"
        );
    }
    let case = case.at(t(121)).stored();
    assert_eq!(
        case.observed.claim.metadata().annotations.clone().unwrap(),
        intent
    );
    // A claim that is deleted then does not wait for an instance that was never requested.
    let deleted = case.clone().deleted_at(t(121));
    assert!(
        matches!(deleted.plan().finalizer, Finalizer::Release(_)),
        "{:?}",
        deleted.plan()
    );
    // Accepted later, the launch has its whole time from then on.
    let mut accepted = case.at(t(400)).last(outcome(CallKind::Create, t(390), None));
    accepted.observed.deferral = None;
    accepted.observed.instance = Case::found(instance(InstanceState::Creating)).observed.instance;
    let late = accepted.stored();
    assert_eq!(
        late.observed.claim.metadata().annotations.clone().unwrap()[LAUNCH_STARTED],
        t(390).to_string()
    );
}

#[test]
fn deletions_and_cancellations_that_were_not_sent_are_sent_later() {
    let mut case = Case::found(instance(InstanceState::Succeeded)).deleted_at(t(-1));
    case.observed.deferral = Some(kept_back(CallKind::Delete, t(0), 3));
    assert_eq!(
        (deeds(&case.plan()), requeue(&case.plan())),
        (String::new(), Some(3))
    );
    assert_eq!(deeds(&case.at(t(3)).plan()), "cloud delete e1");
}

#[test]
fn an_unanswered_request_is_remembered_after_a_restart_and_a_refusal() {
    // The first request went unanswered, the program restarted, and the second request was refused.
    let before = Case::absent(2)
        .annotated(LAUNCH_STARTED, &t(-20).to_string())
        .at(t(-10))
        .stored();
    let refused = outcome(
        CallKind::Create,
        t(-9),
        Some(error(ErrorClass::Quota, "Quota", "none")),
    );
    let deleted = before.last(refused).deleted_at(t(0));
    let plan = deleted.clone().at(t(0)).plan();
    assert_eq!(
        (plan.finalizer, deeds(&plan).as_str()),
        (Finalizer::Leave, "cloud get")
    );
    let plan = deleted.at(t(101)).plan();
    assert!(matches!(plan.finalizer, Finalizer::Release(_)));
}

#[test]
fn the_operation_is_noted_once() {
    let mut accepted = outcome(CallKind::Create, t(-5), None);
    accepted.operation_url = Some("https://op/1".into());
    let case = Case::found(instance(InstanceState::Creating)).last(accepted);
    check(&case, "patch Machine ws0a1b2c3d4", "Unknown:InstanceCreating");
    let stored = case.stored();
    let annotations = stored.observed.claim.metadata().annotations.clone().unwrap();
    assert_eq!(annotations["kaito.sh/operation-url"], "https://op/1");
    assert!(stored.plan().is_noop());
}

#[test]
fn a_node_is_accepted_before_its_instance_is_done() {
    for state in [InstanceState::Creating, InstanceState::Changing("Scaling".into())] {
        let plan = Case::found(instance(state)).node(new_node()).plan();
        assert_eq!(deeds(&plan), format!("patch Node {NODE}"));
        assert_eq!(conditions(&plan), "True: True: True: True:");
        let status: kaito_api::machine_status::MachineStatus = parse(plan.status.unwrap());
        assert_eq!(
            (status.node_name.as_str(), status.provider_id.as_str()),
            (NODE, PROVIDER_ID)
        );
        assert_eq!(
            status.capacity.keys().collect::<Vec<_>>(),
            ["cpu", "memory", "nvidia.com/gpu"]
        );
        assert!(
            plan.events
                .iter()
                .any(|event| !event.warning && event.reason == "Ready")
        );
    }
}

#[test]
fn a_node_must_bear_the_instances_name_in_its_provider_id() {
    for id in [
        None,
        Some("azure:///x/virtualMachineScaleSets/aks-other-1-vmss/virtualMachines/0"),
    ] {
        let mut node = new_node();
        node.spec.as_mut().unwrap().provider_id = id.map(str::to_owned);
        let plan = Case::found(instance(InstanceState::Succeeded)).node(node).plan();
        assert_eq!(deeds(&plan), "");
        assert_eq!(
            conditions(&plan),
            "Unknown:NodeNotFound False:NodeNotFound Unknown:NodeNotFound False:NodeNotFound"
        );
    }
}

#[test]
fn a_ready_machine_is_left_alone() {
    let case = Case::found(instance(InstanceState::Succeeded))
        .node(node())
        .stored();
    let plan = case.clone().at(t(86400)).plan();
    assert!(plan.is_noop() && plan.events.is_empty(), "{plan:?}");
    assert_eq!(plan.requeue, None);
    // A restart, or a cloud that does not answer, changes nothing.
    let mut restarted = case;
    restarted.observed.instance = InstanceLookup::Unknown;
    assert!(restarted.plan().is_noop());
    restarted.observed.nodes.clear();
    assert!(restarted.plan().is_noop());
}

#[test]
fn instances_of_others_are_never_touched() {
    let other_uid = |state| {
        let mut instance = instance(state);
        instance.owner = ours("other");
        instance
    };
    let mut other_workspace = upstream_instance(InstanceState::Failed);
    other_workspace
        .labels
        .insert("kaito.sh/workspace".into(), "other".into());
    for theirs in [
        foreign_instance(InstanceState::Failed),
        foreign_instance(InstanceState::Succeeded),
        other_uid(InstanceState::Succeeded),
        other_workspace,
    ] {
        let mut case = Case::found(theirs).node(new_node());
        case.settings.cluster_id = "ours".into();
        check(&case, "", "False:InstanceNameConflict");
    }
    check(
        &Case::found(other_uid(InstanceState::Deleting)),
        "",
        "Unknown:InstanceDeleting",
    );
}

#[test]
fn a_instance_made_by_upstream_for_the_same_workspace_is_adopted() {
    let plan = Case::found(upstream_instance(InstanceState::Succeeded))
        .node(new_node())
        .plan();
    assert_eq!(conditions(&plan), "True: True: True: True:");
}

#[test]
fn a_vanishing_instance_is_made_again_after_its_node_is_gone() {
    let mut dead = node();
    dead.status = None;
    let ready = Case::found(instance(InstanceState::Succeeded))
        .node(node())
        .stored();
    let gone = |reads, node| {
        let mut case = ready.clone().node(node);
        case.observed.nodes.remove(0);
        case.observed.instance = InstanceLookup::Absent { reads };
        case
    };
    // A Ready Node and an absent instance contradict each other; one read may lag.
    assert_eq!(deeds(&gone(4, node()).plan()), "cloud get");
    assert_eq!(gone(4, node()).plan().status, None);
    assert_eq!(deeds(&gone(1, dead.clone()).plan()), "cloud get");
    assert_eq!(
        deeds(&gone(2, dead.clone()).plan()),
        format!("patch Node {NODE}, delete Node {NODE}")
    );
    let mut case = gone(2, dead);
    case.observed.nodes.clear();
    check(&case, CREATE, "Unknown:InstanceCreating");
}

#[test]
fn a_instance_that_is_going_is_waited_for() {
    let case = Case::found(instance(InstanceState::Deleting));
    check(&case, "", "Unknown:InstanceDeleting");
    assert_eq!(requeue(&case.plan()), Some(15));
}
