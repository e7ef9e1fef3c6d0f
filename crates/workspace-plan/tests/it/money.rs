//! The number of nodes: nothing that a user of the namespace writes buys one.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kaito_api::{Claim, ClaimKind};
use plan::{Kind, Plan, Write};
use proptest::prelude::*;
use serde_json::json;
use workspace_plan::{NodeLimit, PresetLookup};

use crate::case::{Case, actions, check, condition};
use crate::objects::{self, claim, claim_name, machine, parse};
use crate::properties::cases;

const NODE_COUNT: &str = "kaito.sh/node-count";
const LARGE: &str = "llama-3.3-70b-instruct";

fn running(preset: &str, nodes: u32) -> Case {
    Case::serving(preset)
        .with_nodes(nodes, 1)
        .stored()
        .stored()
        .answering()
        .stored()
}

fn annotate(metadata: &mut ObjectMeta, key: &str, value: &str) {
    let annotations = metadata.annotations.get_or_insert_default();
    annotations.insert(key.to_owned(), value.to_owned());
}

#[test]
fn an_annotation_of_the_workload_buys_nothing_and_is_put_back() {
    for count in ["5", "4294967295", "0", "x"] {
        let mut case = running("phi-4", 1);
        let deployment = Arc::make_mut(case.observed.workloads.deployment.as_mut().unwrap());
        annotate(&mut deployment.metadata, NODE_COUNT, count);
        assert_eq!(actions(&case.plan()), ["apply Deployment"], "{count}");
        assert_eq!(actions(&case.stored().plan()), [""; 0]);
    }
}

#[test]
fn the_claims_tell_the_size_of_what_runs() {
    let mut case = running(LARGE, 3);
    case.observed.preset = PresetLookup::Found(objects::preset("phi-4"));
    let lost = case.observed.claims.remove(1);
    let plan = case.plan();
    // The others get the disk of the smaller preset.
    assert_eq!(
        actions(&plan),
        ["apply Machine"; 3],
        "claim {} is made again",
        lost.name()
    );
    assert!(condition(&plan, "WorkspaceReady").contains("what runs was made for 3"));
    // Without any claim nothing runs: the size is that of the spec.
    case.observed.claims.clear();
    case.observed.nodes.clear();
    assert!(!condition(&case.plan(), "WorkspaceReady").contains("made for"));
}

#[test]
fn replicas_are_put_back_also_while_an_update_is_blocked() {
    let mut case = running(LARGE, 3);
    case.observed.preset = PresetLookup::Found(objects::preset("qwen2.5-coder-7b-instruct"));
    let mut blocked = case.stored();
    assert!(blocked.plan().is_noop());
    let Some(set) = blocked.observed.workloads.stateful_set.as_mut() else {
        panic!("three nodes need a StatefulSet");
    };
    let set = Arc::make_mut(set);
    set.spec.replicas = Some(9);
    annotate(&mut set.metadata, NODE_COUNT, "9");
    let plan = blocked.plan();
    assert_eq!(plan_check::check(&plan), vec![]);
    let claims = plan.writes.iter().filter(|write| claim_write(write).is_some());
    assert_eq!(claims.count(), 0);
}

#[test]
fn own_nodes_are_bounded_too() {
    let mut case = Case::serving("phi-4").byo();
    let labels = json!({"nvidia.com/gpu.product": "A100", "nvidia.com/gpu.count": "1", "nvidia.com/gpu.memory": "81920"});
    case.observed.nodes = vec![Arc::new(objects::brought("x", true, labels, 1))];
    let mut case = case.stored().answering().stored();
    let deployment = Arc::make_mut(case.observed.workloads.deployment.as_mut().unwrap());
    annotate(&mut deployment.metadata, NODE_COUNT, "4294967295");
    assert_eq!(actions(&case.plan()), ["apply Deployment"]);
    let deployment = Arc::make_mut(case.observed.workloads.deployment.as_mut().unwrap());
    deployment.spec.replicas = Some(i32::MAX);
    let target = case.plan().status.unwrap()["targetNodeCount"].as_u64().unwrap();
    assert!(target <= u64::from(NodeLimit::MAX));
}

#[test]
fn more_nodes_than_allowed_are_refused_before_anything_is_paid_for() {
    let mut case = Case::serving(LARGE);
    case.settings.max_nodes = NodeLimit::new(2).unwrap();
    check(
        &case,
        "ResourceReady",
        "False/TooManyNodes: preset llama-3.3-70b-instruct needs 3 nodes, and a Workspace may have 2. Lower",
        &[],
    );
    // A limit that was lowered takes nothing away.
    let mut case = running(LARGE, 3);
    case.settings.max_nodes = NodeLimit::new(2).unwrap();
    assert!(case.plan().is_noop());
    assert_eq!(NodeLimit::new(0), None);
    assert_eq!(
        "1001".parse::<NodeLimit>().unwrap_err(),
        "must be a number from 1 to 1000"
    );
}

#[test]
fn a_claim_of_another_workspace_is_never_taken_over() {
    let mut case = Case::serving("phi-4");
    let mut other = machine(0, None);
    let labels = other.metadata.labels.as_mut().unwrap();
    labels.insert("kaito.sh/workspace".into(), "other".into());
    labels.insert("kaito.sh/workspace-uid".into(), "uid-of-another".into());
    case.observed.same_named = vec![other.clone().into()];
    let says = format!(
        "False/NameConflict: Machine {} belongs to Workspace default/other",
        claim_name(0)
    );
    check(&case, "ResourceReady", &says, &[]);
    // One without labels may be anybody's.
    other.metadata.labels = None;
    case.observed.same_named = vec![other.into()];
    let says = format!("False/NameConflict: Machine {} names no Workspace", claim_name(0));
    check(&case, "ResourceReady", &says, &[]);
}

#[test]
fn an_unstarted_claim_of_the_other_kind_with_another_size_is_replaced() {
    let case = Case::serving("phi-4").claiming(ClaimKind::NodeClaim);
    let mut case = case.with_nodes(1, 1);
    let mut old = claim(ClaimKind::Machine, 0, None);
    annotate(objects::metadata(&mut old), NODE_COUNT, "3");
    case.observed.claims = vec![old];
    let expected = format!("delete Machine {}", claim_name(0));
    assert_eq!(
        actions(&case.plan()),
        [
            expected,
            "apply NetworkPolicy".to_owned(),
            "apply Service".to_owned()
        ]
    );
}

/// The claim that a write creates, restores or deletes.
fn claim_write(write: &Write) -> Option<String> {
    let is_claim = |kind| matches!(kind, Kind::Machine | Kind::NodeClaim);
    match write {
        Write::Apply(manifest) => is_claim(manifest.kind()).then(|| manifest.to_value().to_string()),
        Write::Delete(delete) => is_claim(delete.target.kind).then(|| format!("delete {}", delete.uid)),
        Write::Patch(_) | Write::Evict(_) => None,
    }
}

fn claim_writes(plan: &Plan) -> Vec<String> {
    plan.writes.iter().filter_map(claim_write).collect()
}

/// Fields that a user may write into one object.
#[derive(Clone, Debug)]
struct Scribble {
    annotations: BTreeMap<String, String>,
    labels: BTreeMap<String, String>,
    replicas: i32,
    ready: i32,
}

fn scribbles() -> impl Strategy<Value = Scribble> {
    let keys = proptest::sample::select(vec![
        NODE_COUNT,
        "kaito.sh/rendered-hash",
        "kaito.sh/spec-hash",
        "kaito.sh/ordinal",
        "kaito.sh/workspace",
        "kaito.sh/workspace-uid",
        "other",
    ]);
    let values = prop_oneof!["[0-9]{1,10}", "[a-z]{0,5}", Just("4294967295".to_owned())];
    let map =
        move || proptest::collection::btree_map(keys.clone().prop_map(str::to_owned), values.clone(), 0..5);
    (map(), map(), any::<i32>(), any::<i32>()).prop_map(|(annotations, labels, replicas, ready)| Scribble {
        annotations,
        labels,
        replicas,
        ready,
    })
}

impl Scribble {
    fn metadata(&self, metadata: &mut ObjectMeta) {
        metadata
            .annotations
            .get_or_insert_default()
            .extend(self.annotations.clone());
        metadata
            .labels
            .get_or_insert_default()
            .extend(self.labels.clone());
    }

    fn on(&self, case: &Case) -> Case {
        let mut case = case.clone();
        let workloads = &mut case.observed.workloads;
        if let Some(object) = workloads.deployment.as_mut().map(Arc::make_mut) {
            self.metadata(&mut object.metadata);
            object.spec.replicas = Some(self.replicas);
            object.status.get_or_insert_default().available_replicas = Some(self.ready);
        }
        if let Some(object) = workloads.stateful_set.as_mut().map(Arc::make_mut) {
            self.metadata(&mut object.metadata);
            object.spec.replicas = Some(self.replicas);
            object.status.get_or_insert_default().ready_replicas = Some(self.ready);
        }
        if let Some(object) = workloads.job.as_mut().map(Arc::make_mut) {
            self.metadata(&mut object.metadata);
            object.status.get_or_insert_default().ready = Some(self.ready);
        }
        for service in [&mut workloads.service, &mut workloads.headless_service] {
            if let Some(object) = service.as_mut().map(Arc::make_mut) {
                self.metadata(&mut object.metadata);
            }
        }
        if let Some(object) = workloads.tuning_config.as_mut().map(Arc::make_mut) {
            self.metadata(&mut object.metadata);
        }
        for pod in &mut case.observed.pods {
            self.metadata(&mut Arc::make_mut(pod).metadata);
        }
        let replicas = self.replicas;
        case.edit(|workspace| {
            self.metadata(&mut workspace.metadata);
            let status = json!({"targetNodeCount": replicas, "workerNodes": ["a", "b"], "conditions": []});
            workspace.status = Some(parse(status));
        })
    }
}

fn is_upstreams(claim: &Claim) -> bool {
    let labels = claim.metadata().labels.as_ref();
    labels.is_none_or(|labels| !labels.contains_key("kaito.sh/workspace-uid"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn nothing_that_a_user_writes_adds_or_removes_a_claim(case in cases(), scribble in scribbles()) {
        prop_assume!(!case.observed.claims.iter().any(is_upstreams));
        let scribbled = scribble.on(&case);
        prop_assert_eq!(claim_writes(&case.plan()), claim_writes(&scribbled.plan()));
    }

    #[test]
    fn claims_never_outnumber_the_limit(case in cases(), scribble in scribbles(), limit in 1_u32..3) {
        let mut case = case;
        case.settings.max_nodes = NodeLimit::new(limit).unwrap();
        let plan = scribble.on(&case).plan();
        let new = plan.writes.iter().filter(|write| match write {
            Write::Apply(manifest) => {
                let name = manifest.target().name;
                claim_write(write).is_some() && !case.observed.claims.iter().any(|claim| claim.name() == name)
            }
            _ => false,
        });
        let recorded = case.observed.claims.iter().filter_map(|claim| {
            claim.metadata().annotations.as_ref()?.get(NODE_COUNT)?.parse::<usize>().ok()
        });
        let most = recorded.max().unwrap_or_default().max(usize::try_from(limit).unwrap());
        prop_assert!(new.count() <= most);
    }
}
