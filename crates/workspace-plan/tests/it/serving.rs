//! A model that is served: from the finalizer to an answer, and what may change afterwards.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use plan::Write;
use serde_json::json;
use workspace_plan::PresetLookup;

use crate::case::{Case, actions, check, condition, state};
use crate::objects::{self, claim_name, machine, node, parse};

#[test]
fn the_first_plan_stores_the_finalizer_and_then_the_claims() {
    let case = Case::serving("phi-4").edit(|workspace| workspace.metadata.finalizers = None);
    let plan = case.plan();
    assert_eq!(actions(&plan), ["claim", "apply Machine"]);
    // Claims of others come before the status.
    assert_eq!(plan.status, None);
    let size = "phi-4 with 2048 tokens of context takes 1 x Standard_NC24ads_A100_v4 (";
    let created = &plan.events[0];
    assert_eq!((plan.events.len(), created.reason), (1, "MachineCreated"));
    assert!(
        created.message.contains(size) && created.message.ends_with("GPUs), $3.67/h."),
        "{}",
        created.message
    );
    let next = case.stored();
    assert_eq!(actions(&next.plan()), ["apply NetworkPolicy", "apply Service"]);
    assert!(condition(&next.plan(), "NodesReady").contains(size));
}

#[test]
fn the_first_status_waits_a_moment_for_news_of_the_claims() {
    let case = Case::serving("phi-4");
    let plan = |age: i64, is_reported: bool| {
        let mut case = case.clone();
        let mut claim = machine(0, Some(("InstanceCreating", "It is made.")));
        claim.metadata.creation_timestamp = Some(Time(objects::t(-age)));
        claim.status.take_if(|_| !is_reported);
        case.observed.claims = vec![claim.into()];
        let plan = case.plan();
        (
            plan.status.is_some(),
            plan.requeue.map(|requeue| requeue.as_secs()),
        )
    };
    assert_eq!(plan(1, false), (false, Some(1)));
    assert_eq!(plan(1, true), (true, None));
    // The last one is of a clock that is ahead.
    for age in [2, 60, -60] {
        assert_eq!(plan(age, false), (true, None), "{age}");
    }
    // A refusal is shown at once.
    let case = case.edit(|workspace| workspace.metadata.finalizers = None);
    assert!(case.plan().status.is_none());
    let target = claim_name(0);
    let target = plan::ObjectRef {
        kind: plan::Kind::Machine,
        namespace: None,
        name: target,
    };
    let refused = plan::RefusedWrite::new(plan::Verb::Apply, target, Some(403), "no");
    assert!(case.report(&[refused]).status.is_some());
}

#[test]
fn a_life_from_claim_to_answer() {
    let asked = Case::serving("phi-4");
    check(
        &asked,
        "ResourceReady",
        "False/MachineNotReady: 0 of 1 Machines",
        &["apply Machine"],
    );
    // The claim comes first and alone, whatever else is to be made.
    let mut launching = asked.clone().stored();
    launching.observed.claims = vec![machine(0, Some(("InstanceCreating", "The pool is made."))).into()];
    check(
        &launching,
        "ResourceReady",
        "False/InstanceCreating: 0 of 1 Machines are ready; Machine ws",
        &["apply Machine", "apply NetworkPolicy", "apply Service"],
    );
    let there = asked.with_nodes(1, 1);
    let plan = there.plan();
    assert_eq!(
        actions(&plan),
        [
            "apply Machine",
            "apply NetworkPolicy",
            "apply Service",
            "apply ControllerRevision",
            "apply Deployment"
        ]
    );
    assert!(condition(&plan, "InferenceReady").starts_with("False/WorkspaceInferenceStatusPending"));
    let deployed = there.stored();
    assert_eq!(
        (actions(&deployed.plan()), deployed.plan().status),
        (vec![], None)
    );
    let answering = deployed.answering();
    let plan = answering.plan();
    let unmarked = vec!["apply ControllerRevision".to_owned()];
    assert_eq!((actions(&plan), state(&plan)), (unmarked, "Ready".to_owned()));
    for kind in [
        "MachineReady",
        "NodesReady",
        "ResourceReady",
        "InferenceReady",
        "WorkspaceReady",
        "WorkspaceSucceeded",
    ] {
        assert!(condition(&plan, kind).starts_with("True/"), "{kind}");
    }
    assert!(answering.stored().plan().is_noop());
}

#[test]
fn the_sizing_summary_is_reported_before_anything_is_paid_for() {
    let plan = Case::serving("phi-4").plan();
    let sum = "phi-4 with 2048 tokens of context takes 1 x Standard_NC24ads_A100_v4 (";
    assert!(
        condition(&plan, "NodesReady").contains(sum),
        "{}",
        condition(&plan, "NodesReady")
    );
    assert!(plan.events[0].message.contains(sum), "{}", plan.events[0].message);
}

#[test]
fn a_model_that_spans_nodes_is_a_stateful_set_that_waits_for_all_of_them() {
    let case = Case::serving("llama-3.3-70b-instruct");
    let wanted = actions(&case.plan());
    assert_eq!(wanted, ["apply Machine", "apply Machine", "apply Machine"]);
    let two = case.clone().with_nodes(2, 1);
    assert!(condition(&two.plan(), "NodesReady").starts_with("False/NodeNotReady: 2 of 3 nodes are ready"));
    let all = case.with_nodes(3, 1);
    let made = actions(&all.plan());
    assert_eq!(
        made[made.len() - 5..],
        [
            "apply NetworkPolicy",
            "apply Service",
            "apply Service",
            "apply ControllerRevision",
            "apply StatefulSet"
        ]
    );
}

#[test]
fn a_problem_of_a_machine_is_the_workspaces_problem_with_the_same_reason() {
    let mut case = Case::serving("llama-3.3-70b-instruct").with_nodes(3, 1);
    case.observed.claims[0] = machine(0, Some(("InstanceCreating", "The pool is made."))).into();
    case.observed.claims[2] = machine(2, Some(("SubscriptionQuotaReached", "No quota left."))).into();
    let says = condition(&case.plan(), "ResourceReady");
    assert!(
        says.starts_with("False/SubscriptionQuotaReached: 1 of 3 Machines are ready; Machine ws"),
        "{says}"
    );
    assert!(
        says.ends_with(
            "No quota left. Ask for more quota of this family in this region, or delete what uses it."
        ),
        "{says}"
    );
    // Another provisioner's word goes into the message.
    case.observed.claims[2] = machine(2, Some(("SpotInterrupted", "Gone."))).into();
    assert!(
        condition(&case.plan(), "ResourceReady").contains("Machine"),
        "no word is lost"
    );
}

#[test]
fn nodes_without_their_gpus_are_waited_for() {
    let case = Case::serving("phi-4").with_nodes(1, 0);
    let says = condition(&case.plan(), "ResourceReady");
    assert!(
        says.starts_with("False/NodePluginsNotReady: 0 of 1 nodes are ready: node aks-ws"),
        "{says}"
    );
    let mut unready = Case::serving("phi-4").with_nodes(1, 1);
    unready.observed.nodes = vec![Arc::new(node(&claim_name(0), false, 1))];
    assert!(
        condition(&unready.plan(), "NodesReady")
            .starts_with("False/NodeNotReady: 0 of 1 nodes are ready: node")
    );
}

#[test]
fn a_lost_node_deletes_nothing_else() {
    let running = Case::serving("phi-4")
        .with_nodes(1, 1)
        .stored()
        .answering()
        .stored();
    let mut lost = running;
    lost.observed.nodes.clear();
    let plan = lost.plan();
    assert_eq!((actions(&plan), state(&plan)), (vec![], "NotReady".to_owned()));
    // Whatever drifts is put back all the same.
    Arc::make_mut(lost.observed.workloads.deployment.as_mut().unwrap())
        .spec
        .replicas = Some(0);
    assert_eq!(actions(&lost.plan()), ["apply Deployment"]);
}

#[test]
fn the_size_of_what_runs_is_fixed() {
    let running = Case::serving("phi-4")
        .with_nodes(1, 1)
        .stored()
        .answering()
        .stored();
    let mut grown = running.clone();
    let big = objects::preset("llama-3.3-70b-instruct");
    grown.observed.preset = PresetLookup::Found(big);
    let plan = grown.plan();
    let none_is_new = |write: &Write| match write {
        Write::Apply(manifest) => manifest.target().name == claim_name(0),
        _ => false,
    };
    assert!(
        plan.writes.iter().all(none_is_new),
        "three nodes are needed now, and none more is asked for"
    );
    let says = condition(&plan, "WorkspaceReady");
    assert!(
        says.contains("UpdateBlocked: the model needs 3 nodes now; what runs was made for 1"),
        "{says}"
    );
    // The number of nodes is stored on the workload, and counts even when a user scales it.
    let mut scaled = running;
    Arc::make_mut(scaled.observed.workloads.deployment.as_mut().unwrap())
        .spec
        .replicas = Some(7);
    assert_eq!(actions(&scaled.plan()), ["apply Deployment"]);
}

#[test]
fn excess_machines_are_deleted_only_while_nothing_runs() {
    let mut waiting = Case::serving("phi-4").with_nodes(1, 1);
    waiting.observed.claims.push(machine(5, None).into());
    let surplus = format!("delete Machine {}", claim_name(5));
    assert_eq!(actions(&waiting.plan())[0], surplus);
    let mut running = Case::serving("phi-4").with_nodes(1, 1).stored();
    running.observed.claims.push(machine(5, None).into());
    assert_eq!(actions(&running.plan()), [""; 0]);
}

#[test]
fn machines_of_a_deleted_workspace_of_this_name_are_deleted_and_those_of_a_live_one_stay() {
    let mut case = Case::serving("phi-4").with_nodes(1, 1).stored();
    let mut other = machine(9, None);
    other
        .metadata
        .labels
        .as_mut()
        .unwrap()
        .insert("kaito.sh/workspace-uid".into(), "uid-of-another".into());
    case.observed.claims.push(other.clone().into());
    assert_eq!(
        actions(&case.plan()),
        [""; 0],
        "it is younger than the Workspace that was observed"
    );
    other.metadata.creation_timestamp = Some(parse(json!(objects::t(-600).to_string())));
    *case.observed.claims.last_mut().unwrap() = other.into();
    assert_eq!(
        actions(&case.plan()),
        [format!("delete Machine {}", claim_name(9))]
    );
}

#[test]
fn a_terminating_machine_delays_its_successor() {
    let mut case = Case::serving("phi-4").with_nodes(1, 1).stored();
    let going = objects::metadata(&mut case.observed.claims[0]);
    going.deletion_timestamp = Some(parse(json!(objects::t(0).to_string())));
    let plan = case.plan();
    assert_eq!(actions(&plan), [""; 0]);
    assert!(condition(&plan, "MachineReady").starts_with("False/MachineNotReady: 0 of 1"));
}

#[test]
fn a_machine_of_upstream_takes_an_ordinal() {
    let mut case = Case::serving("phi-4").with_nodes(1, 1);
    let legacy = objects::metadata(&mut case.observed.claims[0]);
    legacy.name = Some("ws0123456789".into());
    legacy.labels.as_mut().unwrap().remove("kaito.sh/workspace-uid");
    assert_eq!(
        actions(&case.plan()),
        [
            "apply NetworkPolicy",
            "apply Service",
            "apply ControllerRevision",
            "apply Deployment"
        ]
    );
    assert_eq!(actions(&case.deleted().plan()), ["delete Machine ws0123456789"]);
}

#[test]
fn a_workload_of_upstream_serves_until_an_upgrade_is_asked_for() {
    let mut case = Case::serving("phi-4").with_nodes(1, 1);
    let legacy = objects::metadata(&mut case.observed.claims[0]);
    legacy.name = Some("ws0123456789".into());
    legacy.labels.as_mut().unwrap().remove("kaito.sh/workspace-uid");
    let owners = json!([{"apiVersion": "kaito.sh/v1beta1", "kind": "Workspace", "name": "w", "uid": objects::UID, "controller": true}]);
    case.observed.workloads.stateful_set = Some(Arc::new(parse(json!({
        "metadata": {"name": "w", "namespace": "default", "uid": "uid-of-old", "ownerReferences": owners},
        "spec": {"replicas": 1, "selector": {}, "template": {}, "serviceName": "w-headless"},
        "status": {"replicas": 1, "readyReplicas": 1},
    }))));
    assert_eq!(actions(&case.plan()), [""; 0]);
    // An edit changes nothing either, and the status says so and what helps.
    let workspace = Arc::make_mut(&mut case.observed.workspace);
    let annotations = workspace.metadata.annotations.get_or_insert_default();
    annotations.insert("kaito.sh/max-context-tokens".into(), "4096".into());
    let edited = case.plan();
    assert_eq!(actions(&edited), [""; 0]);
    let says = condition(&edited, "WorkspaceReady");
    for part in [
        "UpgradeAvailable",
        "changes of this Workspace do not reach it",
        "Set the annotation kaito.sh/upgrade",
    ] {
        assert!(says.contains(part), "{part}: {says}");
    }
    let workspace = Arc::make_mut(&mut case.observed.workspace);
    let annotations = workspace.metadata.annotations.get_or_insert_default();
    annotations.insert("kaito.sh/upgrade".into(), "now".into());
    let asked = case.plan();
    assert!(
        actions(&asked).contains(&"delete StatefulSet w".to_owned()),
        "{:?}",
        actions(&asked)
    );
    // The Nodes of upstream's claims do not have the label that no kubelet may set.
    case.observed.workloads.stateful_set = None;
    let written = format!("{:?}", case.plan().writes);
    assert!(
        written.contains("Deployment") && !written.contains("node-restriction"),
        "{written}"
    );
}

#[test]
fn a_workload_of_another_kind_is_replaced_once_the_nodes_are_there() {
    let mut case = Case::serving("phi-4");
    let owners = json!([{"apiVersion": "kaito.sh/v1beta1", "kind": "Workspace", "name": "w", "uid": objects::UID, "controller": true}]);
    case.observed.workloads.stateful_set = Some(Arc::new(parse(json!({
        "metadata": {"name": "w", "namespace": "default", "uid": "uid-of-old", "ownerReferences": owners},
        "spec": {"replicas": 1, "selector": {}, "template": {}, "serviceName": "w"},
    }))));
    assert_eq!(actions(&case.plan()), ["apply Machine"], "it serves until then");
    let there = case.with_nodes(1, 1);
    assert_eq!(
        actions(&there.plan()),
        [
            "apply Machine",
            "apply NetworkPolicy",
            "apply Service",
            "delete StatefulSet w"
        ]
    );
    let gone = there.stored();
    assert_eq!(
        actions(&gone.plan()),
        ["apply ControllerRevision", "apply Deployment"]
    );
}

#[test]
fn a_template_is_run_on_as_many_nodes_as_the_user_says() {
    let container = json!({
        "name": "server", "image": "example.com/server:1",
        "securityContext": {"runAsNonRoot": true, "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"}},
    });
    let case = Case::new(objects::template(container), PresetLookup::NotNeeded)
        .edit(|w| w.spec.resource.as_mut().unwrap().count = 2);
    assert_eq!(actions(&case.plan()), ["apply Machine", "apply Machine"]);
    let running = case.with_nodes(2, 1).stored();
    let workload = running.observed.workloads.deployment.as_ref().unwrap();
    assert_eq!(workload.spec.replicas, Some(2));
    let edited = running.edit(|w| w.spec.resource.as_mut().unwrap().count = 3);
    assert!(condition(&edited.plan(), "WorkspaceReady").contains("UpdateBlocked: resource.count is 3 now"));
}

#[test]
fn a_cpu_preset_runs_without_gpus() {
    let case = Case::serving("smollm2-135m-instruct")
        .edit(|w| w.spec.resource.as_mut().unwrap().instance_type = "Standard_D4s_v5".into())
        .with_nodes(1, 0);
    let plan = case.plan();
    assert_eq!(
        actions(&plan),
        [
            "apply Machine",
            "apply Service",
            "apply ControllerRevision",
            "apply Deployment"
        ]
    );
    assert_eq!(plan_check::check(&plan), vec![]);
}

#[test]
fn a_load_balancer_needs_someone_to_say_who_may_reach_it() {
    let service = |case: &Case| {
        let plan = case.plan();
        let services = plan.writes.iter().find_map(|write| match write {
            Write::Apply(manifest) if manifest.kind() == plan::Kind::Service => Some(manifest.to_value()),
            _ => None,
        });
        services.unwrap()["spec"].take()
    };
    let asked = Case::serving("phi-4")
        .with_nodes(1, 1)
        .annotated("kaito.sh/enablelb", "True");
    assert_eq!(service(&asked)["type"], "ClusterIP");
    let says = condition(&asked.plan(), "WorkspaceReady");
    assert!(
        says.contains("LoadBalancerNotCreated: annotation kaito.sh/enablelb asks"),
        "{says}"
    );
    let public = asked.clone().annotated("kaito.sh/public", "true");
    let spec = service(&public);
    assert_eq!(
        (&spec["type"], spec["ports"].as_array().unwrap().len()),
        (&json!("LoadBalancer"), 1)
    );
    assert!(!condition(&public.plan(), "WorkspaceReady").contains("LoadBalancerNotCreated"));
    let named = asked
        .clone()
        .annotated("kaito.sh/public", "192.0.2.0/24, 198.51.100.7/32");
    assert_eq!(
        service(&named)["loadBalancerSourceRanges"],
        json!(["192.0.2.0/24", "198.51.100.7/32"])
    );
    let wrong = asked.annotated("kaito.sh/public", "192.0.2.0/240");
    assert_eq!(service(&wrong)["type"], "ClusterIP");
    let says = condition(&wrong.plan(), "WorkspaceReady");
    assert!(
        says.contains("kaito.sh/public contains \"192.0.2.0/240\"; expected"),
        "{says}"
    );
}
