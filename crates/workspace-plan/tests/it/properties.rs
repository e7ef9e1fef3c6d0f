//! Properties of all plans, in random surroundings.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kaito_api::{Claim, ClaimKind};
use plan::{Finalizer, Kind, RefusedWrite, Write};
use proptest::prelude::*;
use serde_json::json;
use workspace_plan::{PresetLookup, ProvisionerMode};

use crate::case::Case;
use crate::objects::{self, UID, brought, claim, claim_name, node, parse, pod, preset};

const PRESETS: [&str; 4] = [
    "phi-4",
    "llama-3.3-70b-instruct",
    "smollm2-135m-instruct",
    "phi-3-mini-4k-instruct",
];

fn lookups(name: &'static str) -> impl Strategy<Value = PresetLookup> {
    prop_oneof![
        4 => Just(PresetLookup::Found(preset(name))),
        1 => Just(PresetLookup::Unknown { near: vec!["b".into(), "a".into()] }),
        1 => Just(PresetLookup::Unavailable { message: "down".into(), last_good: None }),
        1 => Just(PresetLookup::Unavailable { message: "down".into(), last_good: Some(preset(name)) }),
    ]
}

fn specs() -> impl Strategy<Value = Case> {
    let serving = proptest::sample::select(&PRESETS[..]).prop_flat_map(|name| {
        lookups(name).prop_map(move |lookup| Case::new(objects::inference(name), lookup))
    });
    let tuning = lookups("phi-3-mini-4k-instruct").prop_map(|lookup| Case::new(objects::tuning(), lookup));
    prop_oneof![3 => serving, 1 => tuning]
}

fn claims() -> impl Strategy<Value = Vec<Claim>> {
    let one = (0_u32..5, 0_usize..4, any::<bool>(), 0_usize..4, 0_usize..2).prop_map(
        |(ordinal, stage, going, owner, kind)| {
            let stuck = [
                None,
                Some(("InstanceCreating", "made")),
                Some(("Throttled", "slow")),
                Some(("Odd", "other")),
            ];
            let mut claim = claim(ClaimKind::ALL[kind], ordinal, stuck[stage]);
            let metadata = objects::metadata(&mut claim);
            let labels = metadata.labels.as_mut().unwrap();
            match owner {
                0 => drop(labels.remove("kaito.sh/workspace-uid")),
                1 => drop(labels.insert("kaito.sh/workspace-uid".into(), "uid-of-another".into())),
                _ => {}
            }
            if going {
                metadata.deletion_timestamp = Some(parse(json!(objects::t(-5).to_string())));
            }
            claim
        },
    );
    proptest::collection::vec(one, 0..5).prop_map(|mut all| {
        let key = |claim: &Claim| (claim.name().to_owned(), claim.claim_kind());
        all.sort_by_key(key);
        all.dedup_by_key(|claim| key(claim));
        all
    })
}

pub(crate) fn cases() -> impl Strategy<Value = Case> {
    let world = (specs(), claims(), any::<[bool; 5]>(), 0_u32..2, 0_usize..3);
    let kind = (0_usize..3, any::<bool>(), any::<bool>(), any::<bool>());
    (world, kind).prop_map(|((case, claims, ready, gpus, stored), (mode, deleted, answering, unclaimed))| {
        let mut case = match ClaimKind::ALL.get(mode) {
            Some(kind) => case.claiming(*kind),
            None => case.byo(),
        };
        case.observed.claims = claims;
        let nodes = ready.iter().zip(0_u32..).map(|(ready, ordinal)| node(&claim_name(ordinal), *ready, gpus));
        let labels = json!({"nvidia.com/gpu.product": "A100", "nvidia.com/gpu.count": "1", "nvidia.com/gpu.memory": "81920"});
        let extra = brought("x", ready[0], labels, gpus);
        case.observed.nodes = nodes.chain([extra]).map(Arc::new).collect();
        case.observed.pods = vec![Arc::new(pod("a", json!({}))), Arc::new(pod("b", json!({"phase": "Failed", "reason": "Evicted"})))];
        // Half of the worlds have a past.
        for _ in 0..stored {
            case = case.stored();
        }
        let mut case = if answering { case.answering() } else { case };
        if deleted {
            case = case.deleted();
        }
        if unclaimed { case.edit(|w| w.metadata.finalizers = None) } else { case }
    })
}

fn denials() -> impl Strategy<Value = (Kind, u16, &'static str)> {
    let kinds = [
        Kind::Service,
        Kind::Deployment,
        Kind::StatefulSet,
        Kind::Job,
        Kind::ConfigMap,
        Kind::Machine,
        Kind::NodeClaim,
    ];
    let answers = [
        (
            403,
            "services \"w\" is forbidden: exceeded quota: q, requested: x=1, used: x=#, limited: x=0",
        ),
        (400, "admission webhook \"a\" denied the request: no, id 4f#"),
        (
            500,
            "failed calling webhook \"a\": Post \"https://a\": read tcp 10.0.0.1:#->10.0.0.2:443: reset after #s",
        ),
        (422, "Object is invalid: spec.a"),
        (
            403,
            "pods \"w-x#\" is forbidden: violates PodSecurity \"restricted:latest\"",
        ),
        (503, "etcd is gone"),
    ];
    (
        proptest::sample::select(kinds.to_vec()),
        proptest::sample::select(answers.to_vec()),
    )
        .prop_map(|(kind, (code, words))| (kind, code, words))
}

fn claim_kind(kind: Kind) -> Option<ClaimKind> {
    ClaimKind::ALL
        .into_iter()
        .find(|claim| Kind::from(*claim) == kind)
}

fn owned(metadata: &ObjectMeta) -> bool {
    metadata
        .owner_references
        .iter()
        .flatten()
        .any(|owner| owner.uid == UID)
}

fn is_own(claim: &Claim) -> bool {
    let labels = claim.metadata().labels.as_ref().unwrap();
    labels.get("kaito.sh/workspace-uid").is_none_or(|uid| uid == UID)
}

fn may_be_deleted(case: &Case, uid: &str) -> bool {
    let workloads = &case.observed.workloads;
    let metadata = [
        workloads.deployment.as_ref().map(|object| &object.metadata),
        workloads.stateful_set.as_ref().map(|object| &object.metadata),
        workloads.job.as_ref().map(|object| &object.metadata),
        workloads.service.as_ref().map(|object| &object.metadata),
        workloads.headless_service.as_ref().map(|object| &object.metadata),
        workloads.tuning_config.as_ref().map(|object| &object.metadata),
        workloads.network_policy.as_ref().map(|object| &object.metadata),
    ];
    let mine = metadata
        .into_iter()
        .flatten()
        .any(|metadata| metadata.uid.as_deref() == Some(uid) && owned(metadata));
    let is_mine = |claim: &Claim| claim.uid() == uid && is_own(claim);
    mine || case.observed.claims.iter().any(is_mine)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn plans_are_well_formed_and_depend_only_on_what_was_observed(case in cases()) {
        let plan = case.plan();
        prop_assert_eq!(plan_check::check(&plan), vec![]);
        let mut shuffled = case;
        shuffled.observed.claims.reverse();
        shuffled.observed.nodes.reverse();
        shuffled.observed.pods.reverse();
        prop_assert_eq!(&plan, &shuffled.plan());
    }

    #[test]
    fn only_own_objects_are_deleted_and_ordinals_are_never_doubled(case in cases()) {
        let plan = case.plan();
        let mut applied = Vec::new();
        for write in &plan.writes {
            match write {
                Write::Delete(delete) => prop_assert!(may_be_deleted(&case, &delete.uid), "{:?}", delete),
                Write::Apply(manifest) if claim_kind(manifest.kind()).is_some() => applied.push(manifest.target()),
                _ => {}
            }
        }
        let names: Vec<String> = (0..8).map(claim_name).collect();
        prop_assert!(applied.iter().all(|target| names.contains(&target.name)));
        for target in &applied {
            prop_assert_eq!(claim_kind(target.kind), case.settings.mode.claim_kind());
            let rival = case.observed.claims.iter().find(|claim| {
                claim.name() == target.name && Kind::from(claim.claim_kind()) != target.kind
            });
            let held = case.observed.claims.iter().any(|claim| {
                claim.name() == target.name && Kind::from(claim.claim_kind()) == target.kind
            });
            prop_assert!(held || rival.is_none(), "{:?} takes the ordinal of {:?}", target, rival);
        }
        if case.settings.mode == ProvisionerMode::Byo {
            prop_assert!(applied.is_empty());
        }
    }

    #[test]
    fn the_finalizer_comes_first_and_goes_last(case in cases()) {
        let plan = case.plan();
        let metadata = &case.observed.workspace.metadata;
        let claimed = metadata.finalizers.is_some();
        let live = metadata.deletion_timestamp.is_none();
        match plan.finalizer {
            Finalizer::Ensure(_) => prop_assert!(live && !claimed),
            Finalizer::Release(_) => {
                prop_assert!(!live && claimed);
                prop_assert!(!case.observed.claims.iter().any(is_own));
            }
            Finalizer::Leave => prop_assert!(claimed || plan.is_noop()),
        }
        if !live {
            prop_assert!(!plan.writes.iter().any(|write| matches!(write, Write::Apply(_))));
        }
    }

    /// Whatever is refused, and in whatever changing words: the status is written a few times, and then no more.
    #[test]
    fn a_status_with_refusals_is_written_once(
        case in cases(),
        denials in proptest::collection::vec(denials(), 1..4),
        numbers in any::<[u16; 6]>(),
    ) {
        let refuse = |number: u16| {
            let denials = denials.clone();
            move |write: &Write| {
                let (_, code, words) = denials.iter().find(|(kind, ..)| *kind == write.target().kind)?;
                let message = words.replace('#', &number.to_string());
                Some(RefusedWrite::new(write.verb(), write.target(), Some(*code), &message))
            }
        };
        let mut case = case;
        for number in numbers {
            case = case.stored_but(refuse(number));
        }
        let refusals: Vec<RefusedWrite> = case.plan().writes.iter().filter_map(refuse(7)).collect();
        let report = case.report(&refusals);
        let generation = case.observed.workspace.metadata.generation;
        if !refusals.is_empty() {
            prop_assert_eq!(&report.status, &None, "{:?}", case.observed.workspace.status);
            prop_assert_eq!(&report.events, &vec![]);
            let status = case.observed.workspace.status.as_ref().unwrap();
            prop_assert_eq!(status.observed_generation, generation.or(Some(0)));
            let says = |refusal: &RefusedWrite| status.conditions.iter().any(|condition| {
                condition.message.contains(refusal.reason.as_str()) || condition.reason == refusal.reason.as_str()
            });
            prop_assert!(refusals.iter().any(says), "{:?} are not in {:?}", refusals, status.conditions);
        }
    }

    #[test]
    fn an_executed_plan_is_not_repeated(case in cases()) {
        let mut case = case;
        // A workload may take a pass to give way to another, a status one to see what was made.
        for _ in 0..4 {
            case = case.stored();
        }
        let plan = case.plan();
        let writes = plan.writes.iter().filter(|write| !matches!(write, Write::Delete(_)));
        prop_assert_eq!(writes.count(), 0, "{:?}", plan.writes);
        prop_assert_eq!(plan.status, None);
        prop_assert_eq!(plan.events, vec![]);
    }
}
