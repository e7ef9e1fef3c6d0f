//! Properties of every plan, whatever was observed.

use std::sync::Arc;

use cloudprovider::{CallKind, CallOutcome, CloudCall, ErrorClass, Instance, InstanceLookup, InstanceState};
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kaito_api::{Claim, ClaimKind, Machine};
use plan::Finalizer;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::json;

use crate::fixtures::{
    Case, UID, error, foreign_instance, instance, machine, merged, new_node, node, of_kind, ours, outcome,
    parse, pod, t, upstream_instance,
};

fn states() -> impl Strategy<Value = InstanceState> {
    use InstanceState as S;
    select(vec![
        S::Creating,
        S::Changing("Scaling".into()),
        S::Succeeded,
        S::Failed,
        S::Canceled,
        S::Deleting,
    ])
}

fn instances() -> impl Strategy<Value = Instance> {
    let other = |state| {
        let mut instance = instance(state);
        instance.owner = ours("other");
        instance
    };
    let makers = select(vec![
        instance as fn(_) -> _,
        instance,
        instance,
        upstream_instance,
        foreign_instance,
        other,
    ]);
    (makers, states()).prop_map(|(make, state)| make(state))
}

fn lookups() -> impl Strategy<Value = InstanceLookup> {
    prop_oneof![
        1 => Just(InstanceLookup::Unknown),
        2 => (0..5_u32).prop_map(|reads| InstanceLookup::Absent { reads }),
        5 => instances().prop_map(|instance| InstanceLookup::Found(Arc::new(instance))),
    ]
}

fn claims() -> impl Strategy<Value = Claim> {
    let annotations = select(vec![
        json!({}),
        json!({"kaito.sh/operation-url": "https://op/1", "kaito.sh/launch-started": t(-4000).to_string()}),
        json!({"kaito.sh/launch-failure": "not JSON"}),
    ]);
    let startup = select(vec![json!([]), json!([{"key": "setup", "effect": "NoSchedule"}])]);
    let deleted = proptest::option::of(-900..100_i64);
    (
        prop::bool::weighted(0.9),
        deleted,
        annotations,
        startup,
        prop::bool::weighted(0.9),
        select(ClaimKind::ALL.to_vec()),
    )
        .prop_map(|(protected, deleted, annotations, startup, possible, kind)| {
            let mut machine: Machine = merged(&machine(), &json!({"metadata": {"annotations": annotations}}));
            machine.metadata.deletion_timestamp = deleted.map(|at| Time(t(at)));
            machine.spec.startup_taints = parse(startup);
            if !protected {
                machine.metadata.finalizers = None;
            }
            if !possible {
                machine.spec.requirements.clear();
            }
            of_kind(kind, &machine.into())
        })
}

fn nodes() -> impl Strategy<Value = Vec<Arc<Node>>> {
    let one = (
        any::<bool>(),
        prop::bool::weighted(0.2),
        prop::bool::weighted(0.7),
        prop::bool::weighted(0.1),
    );
    let node = one.prop_map(|(registered, deleting, ready, earlier)| {
        let mut node = if registered { node() } else { new_node() };
        node.metadata.deletion_timestamp = deleting.then(|| Time(t(-5)));
        if !ready {
            node.status = None;
        }
        if let Some(owners) = node.metadata.owner_references.as_mut().filter(|_| earlier) {
            owners[0].uid = "earlier".into();
        }
        node
    });
    prop::collection::vec(node, 0..3).prop_map(|nodes| {
        let numbered = nodes.into_iter().enumerate().map(|(i, mut node)| {
            node.metadata.name = Some(format!("node-{i}"));
            node.metadata.uid = Some(format!("node-uid-{i}"));
            Arc::new(node)
        });
        numbered.collect()
    })
}

fn pods() -> impl Strategy<Value = Vec<Arc<Pod>>> {
    let body = select(vec![
        json!({}),
        json!({"status": {"phase": "Failed"}}),
        json!({"metadata": {"annotations": {"karpenter.sh/do-not-disrupt": "true"}}}),
        json!({"metadata": {"deletionTimestamp": t(-30).to_string()}}),
        json!({"spec": {"priorityClassName": "system-node-critical"}}),
        json!({"spec": {"tolerations": [{"operator": "Exists"}]}}),
    ]);
    prop::collection::vec((body, 0..3_u8), 0..6).prop_map(|bodies| {
        let numbered = bodies.into_iter().enumerate().map(|(i, (body, on))| {
            let mut pod: Pod = merged(&pod(&format!("p{i}")), &body);
            pod.spec.as_mut().unwrap().node_name = Some(format!("node-{on}"));
            Arc::new(pod)
        });
        numbered.collect()
    })
}

fn classes() -> impl Strategy<Value = ErrorClass> {
    use ErrorClass as E;
    select(vec![
        E::NotFound,
        E::SkuUnavailable,
        E::Quota,
        E::Capacity,
        E::Busy,
        E::Throttled,
        E::Unauthorized,
        E::ClusterNotFound,
        E::Invalid,
        E::Precondition,
        E::Transient,
    ])
}

fn calls() -> impl Strategy<Value = Option<CallOutcome>> {
    let kinds = select(vec![CallKind::Create, CallKind::Delete, CallKind::Abort]);
    let failed = proptest::option::of(classes());
    let call = (kinds, -300..10_i64, failed, 1..5_u32).prop_map(|(kind, at, class, failures)| {
        let failed = outcome(kind, t(at), class.map(|class| error(class, "Code", "words")));
        let failures = if failed.error.is_some() { failures } else { 0 };
        CallOutcome {
            failures,
            operation_url: Some("https://op/2".into()),
            ..failed
        }
    });
    proptest::option::of(call)
}

fn cases() -> impl Strategy<Value = Case> {
    let failure = proptest::option::weighted(0.3, classes().prop_map(|class| error(class, "Code", "words")));
    (
        claims(),
        lookups(),
        nodes(),
        pods(),
        calls(),
        failure,
        any::<bool>(),
    )
        .prop_map(
            |(claim, instance, nodes, pods, last_call, failure, with_history)| {
                let mut case = Case::new(instance);
                case.observed.claim = claim;
                case.observed.nodes = nodes;
                case.observed.pods = pods;
                case.observed.last_call = last_call;
                case.observed.failure = failure;
                // Half of the claims have a status from an earlier reconcile.
                if with_history {
                    case.stored().at(t(7))
                } else {
                    case
                }
            },
        )
}

/// The finalizer is stored before the call, by a write that fails if the claim is not as observed.
fn protects(plan: &plan::Plan<CloudCall>) -> bool {
    plan.writes.iter().any(|write| match write {
        plan::Write::Patch(patch) => {
            patch.target.kind != plan::Kind::Node
                && !patch.resource_version.is_empty()
                && patch.body["metadata"]["finalizers"]
                    .as_array()
                    .is_some_and(|all| all.iter().any(|held| held == "karpenter.sh/termination"))
        }
        _ => false,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn plans_are_well_formed_and_depend_on_nothing_but_what_was_observed(case in cases()) {
        let plan = case.plan();
        prop_assert_eq!(plan_check::check(&plan), vec![]);
        prop_assert_eq!(&plan, &case.plan());
        let mut shuffled = case.clone();
        shuffled.observed.nodes.reverse();
        shuffled.observed.pods.reverse();
        // A Node may be found both by its label and by its provider id.
        shuffled.observed.nodes.extend(case.observed.nodes.first().cloned());
        prop_assert_eq!(&plan, &shuffled.plan());
    }

    #[test]
    fn calls_are_only_made_where_they_do_no_harm(case in cases()) {
        let plan = case.plan();
        let live = case.observed.claim.metadata().deletion_timestamp.is_none();
        let protected = case.observed.claim.metadata().finalizers.is_some();
        let ours = match &case.observed.instance {
            InstanceLookup::Found(instance) => {
                instance.owner == ours(UID)
                    || instance.labels.contains_key("karpenter.sh/nodepool")
            }
            _ => false,
        };
        match &plan.cloud {
            Some(CloudCall::Create(_)) => {
                prop_assert!(live && (protected || protects(&plan)));
                let absent = matches!(case.observed.instance, InstanceLookup::Absent { reads: 1.. });
                prop_assert!(absent);
            }
            Some(CloudCall::Delete { .. } | CloudCall::Abort { .. } | CloudCall::ReadOperation { .. }) => {
                prop_assert!(ours && protected);
            }
            Some(CloudCall::Read { .. }) | None => {}
        }
    }

    #[test]
    fn release_only_on_proof(case in cases()) {
        let plan = case.plan();
        if let Finalizer::Release(_) = plan.finalizer {
            let claim = &case.observed.claim;
            prop_assert!(claim.metadata().deletion_timestamp.is_some());
            let nothing_ours = match &case.observed.instance {
                InstanceLookup::Absent { reads } => *reads >= 2,
                InstanceLookup::Found(instance) => instance.owner != ours(UID),
                InstanceLookup::Unknown => false,
            };
            prop_assert!(nothing_ours);
            prop_assert!(plan.writes.is_empty());
        }
    }

    #[test]
    fn a_stored_status_is_not_written_again(case in cases()) {
        let stored = case.stored();
        let again = stored.plan();
        prop_assert_eq!(again.status, None);
        prop_assert_eq!(again.events, vec![]);
    }
}
