//! Unhealthy Nodes: which signs count, how long, what holds a replacement, and what the claim says meanwhile.

use std::sync::Arc;

use cloudprovider::{CloudCall, Instance, InstanceLookup, InstanceState, InstanceTracker};
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::Node;
use kaito_api::{Claim, ClaimKind};
use nodeclaim_plan::{Observed, RepairAnswer, RepairHold, RepairRules, Settings};
use plan::Plan;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::cluster_objects::{ClusterObjects, instance_of};
use crate::fixtures::{
    Case, NAME, NODE, UID, conditions, deeds, instance, machine, merged, message, patched, requeue, settings,
    t,
};

/// A Node after registration for a claim of either kind.
fn node() -> Node {
    let label = json!({"metadata": {"labels": {"kaito.sh/kaitonodeclass": "default"}}});
    merged(&crate::fixtures::node(), &label)
}

fn rules() -> Settings {
    Settings {
        repair_rules: RepairRules::DEFAULT.parse().unwrap(),
        ..settings()
    }
}

/// The Node with these conditions, each `type=status`, since a time.
fn with_conditions(all: &[&str], second: i64) -> Node {
    let condition = |text: &&str| {
        let (type_, status) = text.split_once('=').unwrap();
        json!({"type": type_, "status": status, "reason": "Why", "lastTransitionTime": t(second).to_string()})
    };
    let list: Vec<Value> = all.iter().map(condition).collect();
    merged(&node(), &json!({"status": {"conditions": list}}))
}

fn with_gpus(offered: u32) -> Node {
    merged(
        &node(),
        &json!({"status": {"allocatable": {"nvidia.com/gpu": offered.to_string()}}}),
    )
}

fn with_taint(key: &str) -> Node {
    merged(
        &node(),
        &json!({"spec": {"taints": [{"key": key, "effect": "NoSchedule"}]}}),
    )
}

/// A claim whose Node was fit for work.
fn joined(kind: ClaimKind) -> Case {
    let mut case = Case::found(instance(InstanceState::Succeeded)).node(node());
    if kind == ClaimKind::NodeClaim {
        case = case.of_a_node_claim();
    }
    case.settings = rules();
    case.stored()
}

fn seen(case: &Case, node: Node, second: i64) -> Case {
    let mut case = case.clone().at(t(second));
    case.observed.nodes = vec![Arc::new(node)];
    case
}

fn granted(mut case: Case) -> Case {
    case.observed.repair = RepairAnswer::Granted;
    case
}

fn due(case: &Case) -> bool {
    nodeclaim_plan::due_node(case.now, &case.observed, &case.settings).is_some()
}

/// The reason of `NodeHealthy`; empty if the claim does not have the condition.
fn health(plan: &Plan<CloudCall>) -> String {
    let status = plan.status.clone().unwrap_or_default();
    let all = status["conditions"].as_array().cloned().unwrap_or_default();
    let found = all.iter().find(|c| c["type"] == "NodeHealthy");
    found
        .map(|c| c["reason"].as_str().unwrap_or_default().to_owned())
        .unwrap_or_default()
}

#[test]
fn each_sign_is_shown_at_once_and_due_after_its_time() {
    let minutes = |minutes: i64| minutes * 60;
    let table: [(Node, &str, i64, &str); 8] = [
        (
            with_conditions(&["Ready=False"], 0),
            "NodeUnhealthy",
            minutes(10),
            "node_not_ready",
        ),
        (
            with_conditions(&["Ready=Unknown"], 0),
            "NodeUnhealthy",
            minutes(10),
            "node_not_ready",
        ),
        (
            with_conditions(&["Ready=True", "GPUMissing=True"], 0),
            "NodeUnhealthy",
            minutes(10),
            "node_condition",
        ),
        (
            with_conditions(&["Ready=True", "XIDErrors=True"], 0),
            "NodeUnhealthy",
            minutes(10),
            "node_condition",
        ),
        (
            with_conditions(&["Ready=True", "UnhealthyNvidiaDevicePlugin=True"], 0),
            "NodeUnhealthy",
            minutes(30),
            "node_condition",
        ),
        (with_gpus(0), "GPUsLost", minutes(10), "gpus_lost"),
        (
            with_taint("example.com/broken"),
            "NodeUnhealthy",
            minutes(5),
            "node_tainted",
        ),
        // Of several signs the first rule counts.
        (
            with_conditions(&["GPUMissing=True", "Ready=False"], 0),
            "NodeUnhealthy",
            minutes(10),
            "node_not_ready",
        ),
    ];
    for kind in ClaimKind::ALL {
        let mut case = joined(kind);
        let text = format!("{},taint/example.com/broken:5m", RepairRules::DEFAULT);
        case.settings.repair_rules = text.parse().unwrap();
        for (node, reason, after, code) in &table {
            let first = seen(&case, node.clone(), 0);
            let plan = first.plan();
            assert_eq!(
                (health(&plan).as_str(), plan.events.len(), deeds(&plan).as_str()),
                (*reason, 1, ""),
                "{code}"
            );
            assert!(conditions(&plan).contains("False:"), "{}", conditions(&plan));
            assert!(
                message(&plan, "NodeHealthy").contains(&t(*after).to_string()),
                "{}",
                message(&plan, "NodeHealthy")
            );
            let stored = first.store(&plan);
            assert!(stored.plan().is_noop(), "{:?}", stored.plan());
            assert_eq!(requeue(&stored.plan()), Some(u64::try_from(*after).unwrap()));
            let before = seen(&stored, node.clone(), after - 1);
            assert!(
                !due(&before) && granted(before).plan().writes.is_empty(),
                "{code}"
            );
            let now = seen(&stored, node.clone(), *after);
            assert!(due(&now), "{code}");
            let plan = granted(now).plan();
            assert_eq!(deeds(&plan), format!("delete {} {NAME}", kind.as_str()));
            assert_eq!(nodeclaim_plan::replacement(&plan), Some(*code));
            assert_eq!(plan.events.len(), 1);
            assert_eq!(plan.events[0].reason, *reason);
        }
    }
}

#[test]
fn what_is_no_fault_of_the_node_is_no_sign() {
    let case = joined(ClaimKind::NodeClaim);
    let silent = || with_conditions(&["Ready=Unknown"], -3600);
    let healthy = |case: &Case, what: &str| {
        let stored = case.clone().stored();
        let later = stored.at(t(7200));
        assert!(!due(&later), "{what}");
        let plan = granted(later).plan();
        assert!(
            plan.writes.is_empty() && health(&plan).is_empty(),
            "{what}: {plan:?}"
        );
    };
    healthy(&seen(&case, node(), 0), "healthy");
    healthy(
        &seen(&case, with_conditions(&["Ready=True", "DiskPressure=True"], 0), 0),
        "no rule",
    );
    healthy(
        &seen(
            &case,
            with_conditions(&["Ready=True", "GPUMissing=Unknown"], 0),
            0,
        ),
        "another status",
    );
    let of = |instance: Instance| {
        let mut case = seen(&case, silent(), 0);
        case.observed.instance = InstanceLookup::Found(Arc::new(instance));
        case
    };
    let stopped = Instance {
        stopped: true,
        ..instance(InstanceState::Succeeded)
    };
    healthy(&of(stopped), "stopped");
    healthy(
        &of(instance(InstanceState::Changing("Upgrading".into()))),
        "changing",
    );
    healthy(&of(instance(InstanceState::Deleting)), "deleting");
    let mut off = seen(&case, silent(), 0);
    off.settings.repair_rules = RepairRules::default();
    healthy(&off, "switched off");
    let mut foreign = seen(&case, silent(), 0);
    foreign.observed.claim = patched(
        &foreign.observed.claim,
        &json!({"spec": {"nodeClassRef": {"group": "karpenter.azure.com", "kind": "AKSNodeClass", "name": "default"}}}),
    );
    let later = foreign.at(t(7200));
    assert!(!due(&later) && granted(later).plan().is_noop(), "a Karpenter's");
}

#[test]
fn a_node_that_recovers_begins_anew() {
    for kind in ClaimKind::ALL {
        let case = joined(kind);
        let ill = seen(&case, with_conditions(&["Ready=Unknown"], 0), 0).stored();
        let well = seen(&ill, with_conditions(&["Ready=True"], 500), 500);
        let plan = well.plan();
        assert!(health(&plan).is_empty() && plan.status.is_some(), "{plan:?}");
        let well = well.store(&plan);
        let again = seen(&well, with_conditions(&["Ready=Unknown"], 700), 700).stored();
        assert!(!due(&again.clone().at(t(1299))));
        assert!(due(&again.at(t(1300))));
    }
}

#[test]
fn a_device_plugin_gets_its_time_after_a_reboot() {
    let case = joined(ClaimKind::Machine);
    let rebooting = seen(&case, with_conditions(&["Ready=False"], 0), 0).stored();
    let back = merged(
        &with_conditions(&["Ready=True"], 540),
        &json!({"status": {"allocatable": {"nvidia.com/gpu": "0"}}}),
    );
    let waiting = seen(&rebooting, back.clone(), 540).stored();
    assert!(!due(&seen(&waiting, back.clone(), 1139)));
    assert!(due(&seen(&waiting, back, 1140)));
}

#[test]
fn gpus_that_a_kubelet_forgot_are_remembered() {
    let mut case = joined(ClaimKind::NodeClaim);
    let forgot = merged(
        &node(),
        &json!({"status": {"capacity": {"nvidia.com/gpu": null}, "allocatable": {"nvidia.com/gpu": null}}}),
    );
    for second in [0, 60, 120] {
        case = seen(&case, forgot.clone(), second).stored();
    }
    assert!(due(&case.at(t(600))));
    // A Node that never had any lost none.
    let mut without = Case::found(instance(InstanceState::Succeeded)).node(forgot);
    without.settings = rules();
    let without = without.stored();
    assert!(!due(&without.at(t(7200))));
}

#[test]
fn a_node_that_never_got_ready_is_replaced_too_and_shows_nothing_before() {
    for kind in ClaimKind::ALL {
        let mut starting = with_conditions(&["Ready=False"], -30);
        starting
            .metadata
            .labels
            .as_mut()
            .unwrap()
            .remove("karpenter.sh/initialized");
        let mut case = Case::found(instance(InstanceState::Succeeded)).node(starting.clone());
        if kind == ClaimKind::NodeClaim {
            case = case.of_a_node_claim();
        }
        case.settings = rules();
        let case = case.stored();
        for second in [0, 300, 599] {
            let plan = granted(seen(&case, starting.clone(), second)).plan();
            assert!(health(&plan).is_empty() && plan.writes.is_empty(), "{plan:?}");
        }
        assert_eq!(requeue(&seen(&case, starting.clone(), 0).plan()), Some(600));
        assert_eq!(
            deeds(&granted(seen(&case, starting, 600)).plan()),
            format!("delete {} {NAME}", kind.as_str())
        );
    }
}

#[test]
fn an_annotation_forbids_it_and_that_of_karpenter_does_not() {
    let case = joined(ClaimKind::NodeClaim);
    let silent = with_conditions(&["Ready=Unknown"], 0);
    let ill = seen(&case, silent.clone(), 0)
        .stored()
        .annotated("karpenter.sh/do-not-disrupt", "true");
    assert!(due(&ill.clone().at(t(600))));
    let forbidden = ill.clone().annotated("kaito.sh/do-not-repair", "true").at(t(600));
    let on_node = merged(
        &silent,
        &json!({"metadata": {"annotations": {"kaito.sh/do-not-repair": "true"}}}),
    );
    for case in [forbidden, seen(&ill, on_node, 600)] {
        assert!(!due(&case));
        let case = granted(case);
        let plan = case.plan();
        assert_eq!(health(&plan), "NodeRepairForbidden");
        // It is copied to the Node.
        assert_eq!(deeds(&plan), format!("patch Node {NODE}"));
        assert!(case.store(&plan).plan().status.is_none());
    }
}

#[test]
fn a_replacement_that_is_held_says_why_once() {
    let case = joined(ClaimKind::Machine);
    let silent = with_conditions(&["Ready=Unknown"], 0);
    let ill = seen(&case, silent, 0).stored().at(t(600));
    let table = [
        (RepairHold::Brake(t(700)), "at most 20 % of the nodes", 100),
        (
            RepairHold::Many,
            "more than 20 % of the nodes are unhealthy at once",
            30,
        ),
        (RepairHold::CloudSilent, "the cloud has not listed", 30),
        (RepairHold::NodeUnread, "the API server did not show", 30),
    ];
    for (hold, says, again) in table {
        let mut held = ill.clone();
        held.observed.repair = RepairAnswer::Held(hold);
        let plan = held.plan();
        assert_eq!(
            (health(&plan).as_str(), deeds(&plan).as_str()),
            ("NodeRepairHeld", "")
        );
        assert!(
            message(&plan, "Ready").contains(says),
            "{}",
            message(&plan, "Ready")
        );
        assert_eq!((requeue(&plan), plan.events.len()), (Some(again), 1));
        let held = held.store(&plan);
        assert!(held.plan().is_noop(), "{:?}", held.plan());
    }
}

#[test]
fn after_a_restart_the_time_that_passed_still_counts() {
    let case = joined(ClaimKind::NodeClaim);
    let ill = seen(&case, with_conditions(&["Ready=Unknown"], 0), 0).stored();
    let mut unknown = ill.clone().at(t(300));
    unknown.observed.instance = InstanceLookup::Unknown;
    let plan = unknown.plan();
    assert!(plan.status.is_none() && plan.writes.is_empty(), "{plan:?}");
    unknown.observed.instance = ill.observed.instance;
    assert!(due(&unknown.at(t(600))));
}

/// A fleet of this size, of which the first `ill` are silent since second 0, and a tracker that lists it at `listed`.
fn fleet(size: usize, ill: usize, listed: i64) -> (ClusterObjects, InstanceTracker) {
    let silent = with_conditions(&["Ready=Unknown"], 0);
    let all = (0..size).map(|i| {
        let name = format!("ws{i:09}");
        let mut claim = machine();
        claim.metadata.name = Some(name.clone());
        claim.metadata.uid = Some(format!("uid-{name}"));
        let of = |node: &Node| {
            let text = serde_json::to_string(node).unwrap();
            let text = text.replace(NAME, &name).replace(UID, &format!("uid-{name}"));
            let mut node: Node = serde_json::from_str(&text).unwrap();
            node.metadata.uid = Some(format!("node-{name}"));
            node
        };
        let mut case = Case::found(instance_of(&name)).node(of(&node()));
        case.observed.claim = claim.into();
        case.settings = rules();
        let case = case.stored();
        let now = if i < ill { of(&silent) } else { of(&node()) };
        let case = seen(&case, now.clone(), 0).stored();
        (case.observed.claim, now)
    });
    let (claims, nodes): (Vec<Claim>, Vec<Node>) = all.unzip();
    let names = claims.iter().map(|claim| claim.name().to_owned());
    let nodes = names.zip(nodes).collect();
    let source = ClusterObjects { claims, nodes };
    let mut tracker = InstanceTracker::default();
    for claim in &source.claims {
        tracker.view(claim.name(), claim.uid(), t(-1));
    }
    tracker.on_list(t(listed), source.instances());
    (source, tracker)
}

/// Observes one claim of the fleet as the programs do; the API server shows the Node as `live` has it.
fn ask(
    source: &ClusterObjects,
    tracker: &mut InstanceTracker,
    index: usize,
    second: i64,
    live: impl FnOnce(&Node) -> Option<Option<Node>>,
) -> Observed {
    let claim = &source.claims[index];
    let node = &source.nodes[claim.name()];
    let none = SignedDuration::ZERO;
    let mut observed = nodeclaim_plan::observe(source, tracker, claim.clone(), &rules(), t(second), none);
    if nodeclaim_plan::due_node(t(second), &observed, &rules()).is_some() {
        let answer = live(node);
        nodeclaim_plan::authorize(
            source,
            tracker,
            &mut observed,
            answer,
            &rules(),
            (t(second), none),
        );
    }
    observed
}

fn as_cached(node: &Node) -> Option<Option<Node>> {
    Some(Some(node.clone()))
}

fn replaced(observed: &Observed, second: i64) -> bool {
    let plan = nodeclaim_plan::plan(t(second), observed, &rules());
    assert_eq!(plan_check::check(&plan), []);
    deeds(&plan).starts_with("delete Machine")
}

#[test]
fn a_share_of_the_fleet_is_replaced_and_none_if_more_are_ill() {
    // Size of the fleet, unhealthy Nodes, replacements.
    for (size, ill, expected) in [
        (1, 0, 0),
        (1, 1, 1),
        (2, 1, 1),
        (2, 2, 0),
        (5, 1, 1),
        (5, 2, 0),
        (10, 2, 2),
        (10, 3, 0),
        (25, 5, 5),
        (25, 6, 0),
        (25, 25, 0),
    ] {
        let (source, mut tracker) = fleet(size, ill, 590);
        let count = |tracker: &mut InstanceTracker, second| {
            let all =
                (0..size).filter(|index| replaced(&ask(&source, tracker, *index, second, as_cached), second));
            all.count()
        };
        assert_eq!(count(&mut tracker, 599), 0);
        assert_eq!(count(&mut tracker, 600), expected, "{ill} of {size}");
    }
}

/// Asks for all claims every minute, with a listing before. Returns the seconds at which each is replaced first.
fn replacements(
    source: &mut ClusterObjects,
    tracker: &mut InstanceTracker,
    minutes: std::ops::RangeInclusive<i64>,
    mut each: impl FnMut(i64, &mut ClusterObjects, &mut InstanceTracker),
) -> Vec<(usize, i64)> {
    let mut found: Vec<(usize, i64)> = Vec::new();
    for minute in minutes {
        let second = minute * 60;
        tracker.on_list(t(second), source.instances());
        each(minute, source, tracker);
        for index in 0..source.claims.len() {
            let observed = ask(source, tracker, index, second, as_cached);
            let is_new = found.iter().all(|(known, _)| *known != index);
            if is_new && replaced(&observed, second) {
                found.push((index, minute));
                // The next Node of the claim is healthy.
                let name = source.claims[index].name().to_owned();
                let metadata = source.nodes[&name].metadata.clone();
                source.nodes.insert(name, Node { metadata, ..node() });
            }
        }
    }
    found
}

fn nothing(_: i64, _: &mut ClusterObjects, _: &mut InstanceTracker) {}

#[test]
fn of_two_dead_nodes_one_after_the_other_is_replaced_in_the_end() {
    let (mut source, mut tracker) = fleet(5, 2, 0);
    let all = replacements(&mut source, &mut tracker, 1..=60, nothing);
    assert_eq!(
        all,
        [(0, 40), (1, 50)],
        "10 minutes each, 30 for both, 10 between them"
    );
    // Without any healthy Node the network is the cause.
    let (mut source, mut tracker) = fleet(2, 2, 0);
    assert_eq!(replacements(&mut source, &mut tracker, 1..=90, nothing), []);
}

#[test]
fn a_failure_of_many_nodes_is_held_until_all_has_answered_for_a_while() {
    // One more Node fails.
    let (mut source, mut tracker) = fleet(5, 2, 0);
    let all = replacements(&mut source, &mut tracker, 1..=55, |minute, source, _| {
        if minute == 25 {
            let name = source.claims[4].name().to_owned();
            let node = source.nodes[&name].clone();
            let silent = with_conditions(&["Ready=Unknown"], 1500);
            source.nodes.insert(
                name,
                Node {
                    status: silent.status,
                    ..node
                },
            );
        }
    });
    assert_eq!(all, [(0, 55)]);
    // The API server, then the cloud, does not answer.
    let (mut source, mut tracker) = fleet(5, 2, 0);
    let all = replacements(&mut source, &mut tracker, 1..=40, |minute, source, tracker| {
        if minute == 30 {
            let observed = ask(source, tracker, 0, 1800, |_| None);
            assert_eq!(observed.repair, RepairAnswer::Held(RepairHold::NodeUnread));
        }
    });
    assert_eq!(all, []);
    let observed = ask(&source, &mut tracker, 0, 2800, as_cached);
    assert_eq!(observed.repair, RepairAnswer::Held(RepairHold::CloudSilent));
    let all = replacements(&mut source, &mut tracker, 50..=80, nothing);
    assert_eq!(all, [(0, 80)]);
}

#[test]
fn a_node_that_is_kept_stopped_or_starts_does_not_hold_the_repair_of_others() {
    let label = |source: &mut ClusterObjects, change: &dyn Fn(&mut Node)| {
        let name = source.claims[1].name().to_owned();
        change(source.nodes.get_mut(&name).unwrap());
    };
    // The second Node is kept: it counts only while it may be part of a failure of many.
    let forbidden = json!({"metadata": {"annotations": {"kaito.sh/do-not-repair": "true"}}});
    for (second, expected) in [(2399, false), (2400, true)] {
        let (mut source, mut tracker) = fleet(5, 2, second - 1);
        label(&mut source, &|node| *node = merged(node, &forbidden));
        let observed = ask(&source, &mut tracker, 0, second, as_cached);
        assert_eq!(replaced(&observed, second), expected, "{:?}", observed.repair);
        let kept = ask(&source, &mut tracker, 1, second, as_cached);
        assert!(!replaced(&kept, second));
    }
    // It was stopped.
    let (source, mut tracker) = fleet(5, 2, 590);
    let mut instances = source.instances();
    instances[1].stopped = true;
    tracker.on_list(t(595), instances);
    assert!(replaced(&ask(&source, &mut tracker, 0, 600, as_cached), 600));
    // It was never fit for work, and registered a minute ago.
    let (mut source, mut tracker) = fleet(5, 2, 590);
    label(&mut source, &|node| {
        let labels = node.metadata.labels.as_mut().unwrap();
        labels.remove("karpenter.sh/initialized").unwrap();
        node.status = with_conditions(&["Ready=False"], 540).status;
    });
    assert!(replaced(&ask(&source, &mut tracker, 0, 600, as_cached), 600));
    // That time is over.
    tracker.on_list(t(1190), source.instances());
    let observed = ask(&source, &mut tracker, 0, 1200, as_cached);
    assert_eq!(observed.repair, RepairAnswer::Held(RepairHold::Many));
}

#[test]
fn nothing_is_replaced_while_cloud_or_api_server_are_impaired() {
    let (source, mut tracker) = fleet(9, 1, 0);
    let held = |observed: &Observed, hold: &RepairHold| {
        assert_eq!(observed.repair, RepairAnswer::Held(hold.clone()));
        assert!(!replaced(observed, 600));
    };
    held(
        &ask(&source, &mut tracker, 0, 600, as_cached),
        &RepairHold::CloudSilent,
    );
    tracker.on_list(t(601), source.instances());
    held(
        &ask(&source, &mut tracker, 0, 602, |_| None),
        &RepairHold::NodeUnread,
    );
    // The cache is behind: the Node has recovered, or is another one.
    for live in [Some(node()), None] {
        let observed = ask(&source, &mut tracker, 0, 603, |cached| {
            Some(live.map(|node| {
                let mut live = node;
                live.metadata = cached.metadata.clone();
                live
            }))
        });
        assert_eq!(observed.repair, RepairAnswer::NotAsked);
        assert!(!replaced(&observed, 603));
    }
    let observed = ask(&source, &mut tracker, 0, 604, |cached| {
        let mut other = cached.clone();
        other.metadata.uid = Some("another".into());
        Some(Some(other))
    });
    assert!(!replaced(&observed, 604));
    // None of this used the brake.
    assert!(replaced(&ask(&source, &mut tracker, 0, 605, as_cached), 605));
    // An earlier answer of the cloud does not count.
    held(
        &ask(&source, &mut tracker, 0, 902, as_cached),
        &RepairHold::CloudSilent,
    );
}

#[test]
fn repairs_and_deleted_nodes_share_the_brake() {
    let (source, mut tracker) = fleet(5, 1, 590);
    assert_eq!(tracker.permit_deletion("uid-of-another", 1, t(100)), Ok(()));
    let observed = ask(&source, &mut tracker, 0, 600, as_cached);
    assert_eq!(observed.repair, RepairAnswer::Held(RepairHold::Brake(t(700))));
    tracker.on_list(t(690), source.instances());
    assert!(replaced(&ask(&source, &mut tracker, 0, 700, as_cached), 700));
    assert_eq!(tracker.permit_deletion("uid-of-a-third", 1, t(701)), Err(t(1300)));
}

#[test]
fn pods_of_a_silent_kubelet_are_not_waited_for() {
    let case = joined(ClaimKind::NodeClaim).pod(crate::fixtures::pod("p"));
    let silent = seen(&case, with_conditions(&["Ready=Unknown"], 0), 0)
        .stored()
        .deleted_at(t(600))
        .at(t(601));
    assert_eq!(deeds(&silent.plan()), "cloud delete e1");
    assert_eq!(silent.observed.nodes[0].metadata.name.as_deref(), Some(NODE));
    // One that reports problems can still end its pods.
    let ill = seen(&case, with_conditions(&["Ready=True", "GPUMissing=True"], 0), 0).stored();
    let deeds = deeds(&ill.deleted_at(t(600)).at(t(601)).plan());
    assert!(deeds.contains("evict p") && !deeds.contains("cloud"), "{deeds}");
}

proptest! {
    /// Whatever the order of events, only Nodes go that were unhealthy without a break for their whole time. No more than the
    /// share of the fleet goes in ten minutes.
    #[test]
    fn only_nodes_that_stay_ill_go(events in prop::collection::vec((0usize..4, 0u8..3, 1i64..200), 1..60)) {
        let (mut source, mut tracker) = fleet(4, 0, 0);
        let (ill, well) = (with_conditions(&["Ready=Unknown"], 0), node());
        let mut since: [Option<i64>; 4] = [None; 4];
        let (mut now, mut gone) = (0, Vec::new());
        for (index, action, pause) in events {
            now += pause;
            tracker.on_list(t(now), source.instances());
            let before = source.nodes[source.claims[index].name()].clone();
            if action != 2 {
                let mut node = if action == 0 { ill.clone() } else { well.clone() };
                let of = if action == 0 { with_conditions(&["Ready=Unknown"], now).status } else { well.status.clone() };
                node.status = if action == 0 && since[index].is_some() { before.status.clone() } else { of };
                node.metadata = before.metadata;
                node.spec = before.spec;
                since[index] = (action == 0).then(|| since[index].unwrap_or(now));
                source.nodes.insert(source.claims[index].name().to_owned(), node);
            }
            for i in 0..4 {
                let observed = ask(&source, &mut tracker, i, now, as_cached);
                let plan = nodeclaim_plan::plan(t(now), &observed, &rules());
                if deeds(&plan).starts_with("delete Machine") {
                    let begun = since[i];
                    prop_assert!(begun.is_some_and(|begun| now - begun >= 600), "{begun:?} {now}");
                    if gone.last().is_none_or(|(last, _)| *last != i) {
                        gone.push((i, now));
                    }
                    let recent = gone.iter().filter(|(_, at)| now - at < 600).map(|(i, _)| i);
                    prop_assert!(recent.collect::<std::collections::BTreeSet<_>>().len() <= 1);
                    let ill: Vec<i64> = since.iter().flatten().copied().collect();
                    let newest = ill.iter().copied().max().unwrap_or(now);
                    prop_assert!(ill.len() == 1 || ill.len() < 4 && now - newest >= 1800, "{since:?} {now}");
                } else if let Some(status) = &plan.status {
                    source.claims[i] = crate::fixtures::with_status(&source.claims[i], status);
                }
            }
        }
    }
}
