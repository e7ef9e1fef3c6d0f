//! Several instance types in their order: which is taken, when the next one is, and what the status says about each.

use std::sync::Arc;

use kaito_api::conditions::ClaimConditionType;
use kaito_api::workspace_status::LaunchAttempt;
use kaito_api::{Claim, ClaimKind};
use plan::Write;
use proptest::prelude::*;
use serde_json::{Value, json};
use workspace_plan::{PresetLookup, UnavailableTypes};

use crate::case::{Case, condition};
use crate::instance_types::bought;
use crate::objects::{self, claim_name, parse, t};

const A100: &str = "Standard_NC24ads_A100_v4";
const H100: &str = "Standard_NC40ads_H100_v5";
const A10: &str = "Standard_NV36ads_A10_v5";
const T4: &str = "Standard_NC4as_T4_v3";

/// Actions of the plan on claims.
fn actions(plan: &plan::Plan) -> Vec<String> {
    let of_claim = |action: &String| action.contains(" Machine") || action.contains(" NodeClaim");
    crate::case::actions(plan).into_iter().filter(of_claim).collect()
}

fn on(ladder: &[&str]) -> Case {
    Case::serving("phi-4").on(&ladder.join(","))
}

/// With a condition `Launched` that refuses this claim, since a while.
fn refused(claim: &Claim, reason: &str) -> Claim {
    with_launched(claim, "False", reason, "no capacity, says the cloud")
}

fn with_launched(claim: &Claim, status: &str, reason: &str, message: &str) -> Claim {
    let mut value = serde_json::to_value(claim).unwrap();
    let kind = claim.claim_kind();
    value["metadata"]["creationTimestamp"] = t(0).to_string().into();
    value["status"]["conditions"] = json!([{
        "type": ClaimConditionType::Launched.as_str(kind), "status": status, "reason": reason, "message": message,
        "lastTransitionTime": t(1).to_string(),
    }]);
    match kind {
        ClaimKind::Machine => parse::<kaito_api::Machine>(value).into(),
        ClaimKind::NodeClaim => parse::<kaito_api::NodeClaim>(value).into(),
    }
}

fn refuse_all(case: &mut Case, reason: &str) {
    let claims = case.observed.claims.iter();
    case.observed.claims = claims.map(|claim| refused(claim, reason)).collect();
}

/// The memory of a process that saw these types refused at this second.
fn memory(types: &[&str], second: i64) -> UnavailableTypes {
    let mut memory = UnavailableTypes::default();
    for name in types {
        let claim = on(&[name]).stored().observed.claims.remove(0);
        memory.record(None, Some(&refused(&claim, "AllocationFailure")), t(second));
    }
    memory
}

fn remember(case: &mut Case, types: &[&str], second: i64) {
    case.observed.unavailable = memory(types, second).all(case.now);
}

fn attempts(plan: &plan::Plan) -> Vec<String> {
    let status = plan.status.as_ref().unwrap();
    let all: Vec<LaunchAttempt> = parse(status["attempts"].clone());
    let line = |attempt: LaunchAttempt| format!("{} {}", attempt.instance_type, attempt.reason);
    all.into_iter().map(line).collect()
}

fn terminating(case: &mut Case) {
    for claim in &mut case.observed.claims {
        objects::metadata(claim).deletion_timestamp = Some(parse(t(5).to_string().into()));
    }
}

#[test]
fn the_first_type_is_taken_and_the_order_is_the_users() {
    for (ladder, first) in [([A100, H100], A100), ([H100, A100], H100)] {
        for kind in ClaimKind::ALL {
            let case = on(&ladder).claiming(kind).stored();
            assert_eq!(bought(&case), [first]);
            let again = case.plan();
            assert_eq!(actions(&again), Vec::<String>::new());
        }
    }
    let spaced = Case::serving("phi-4").on(&format!(" {H100} , {A100}")).stored();
    assert_eq!(bought(&spaced), [H100]);
}

#[test]
fn a_refused_type_gives_way_before_the_next_one_is_asked_for() {
    for (kind, reason) in [
        (ClaimKind::Machine, "AllocationFailure"),
        (ClaimKind::NodeClaim, "SubscriptionQuotaReached"),
        (ClaimKind::Machine, "SKUNotAvailable"),
        (ClaimKind::NodeClaim, "NodeNeverJoined"),
    ] {
        let mut case = on(&[A100, H100]).claiming(kind).stored();
        case.now = t(10);
        refuse_all(&mut case, reason);
        let plan = case.plan();
        assert_eq!(plan_check::check(&plan), vec![]);
        let name = claim_name(0);
        assert_eq!(actions(&plan), [format!("delete {} {name}", kind.as_str())]);
        let Some(Write::Delete(delete)) = plan.writes.first() else {
            panic!("{:?}", plan.writes)
        };
        assert!(delete.resource_version.is_some(), "it may be launched meanwhile");
        let says = condition(&plan, "ResourceReady");
        let expected = format!(
            "False/InstanceTypeUnavailable: {A100} cannot be had ({reason}: no capacity, says the cloud): its claims are \
             given back, and then {H100} is asked for. Nothing to do: "
        );
        assert!(says.starts_with(&expected), "{says}");
        assert_eq!(attempts(&plan), [format!("{A100} {reason}")]);
        assert!(
            plan.events
                .iter()
                .any(|event| event.reason == "InstanceTypeUnavailable")
        );

        // A terminating claim may still have a node.
        let mut going = case.clone();
        remember(&mut going, &[A100], 9);
        terminating(&mut going);
        assert_eq!(actions(&going.plan()), Vec::<String>::new());

        remember(&mut case, &[A100], 9);
        let case = case.stored().stored();
        assert_eq!(bought(&case), [H100]);
        assert!(
            case.stored_message()
                .contains("InstanceTypeUnavailable: Standard_NC24ads_A100_v4 cannot be had until")
        );
        assert_eq!(actions(&case.plan()), Vec::<String>::new());
    }
}

#[test]
fn a_single_type_is_never_given_back() {
    let mut case = on(&[A100]).stored();
    refuse_all(&mut case, "AllocationFailure");
    remember(&mut case, &[A100], 0);
    let plan = case.plan();
    assert_eq!(actions(&plan), Vec::<String>::new());
    let says = condition(&plan, "ResourceReady");
    assert!(
        says.starts_with("False/AllocationFailure: 0 of 1 Machines are ready;"),
        "{says}"
    );
    assert_eq!(attempts(&plan), [format!("{A100} AllocationFailure")]);
    let again = case.stored().plan();
    assert_eq!((again.status, again.events), (None, vec![]));
}

#[test]
fn what_is_on_its_way_stays() {
    for (status, reason) in [
        ("False", "InstanceCreating"),
        ("Unknown", "Throttled"),
        ("False", "ClusterFull"),
        ("False", "NoAddresses"),
        ("True", ""),
    ] {
        let mut case = on(&[A100, H100]).stored();
        remember(&mut case, &[A100], 0);
        let claims = case.observed.claims.iter();
        case.observed.claims = claims
            .map(|claim| with_launched(claim, status, reason, "m"))
            .collect();
        assert_eq!(actions(&case.plan()), Vec::<String>::new(), "{reason}");
    }
}

#[test]
fn a_new_workspace_leaves_out_what_was_refused_for_another_one() {
    let mut case = on(&[A100, H100]);
    case.now = t(60);
    remember(&mut case, &[A100], 0);
    let plan = case.plan();
    assert_eq!(attempts(&plan), [format!("{A100} AllocationFailure")]);
    let until = "InstanceTypeUnavailable: Standard_NC24ads_A100_v4 cannot be had until";
    let case = case.stored();
    assert!(case.stored_message().contains(until), "{}", case.stored_message());
    assert_eq!(bought(&case), [H100]);
    // The memory of another zone or capacity type says nothing about this one.
    let mut zoned = on(&[A100, H100]).claiming(ClaimKind::NodeClaim);
    remember(&mut zoned, &[A100], 0);
    zoned.settings.offerings.zones = vec!["1".to_owned()];
    assert_eq!(bought(&zoned.stored()), [A100]);
}

#[test]
fn at_the_end_the_first_is_asked_for_again() {
    let mut case = on(&[A100, H100]);
    remember(&mut case, &[A100, H100], 0);
    let plan = case.plan();
    assert_eq!(actions(&plan), Vec::<String>::new());
    let says = condition(&plan, "ResourceReady");
    assert!(
        says.starts_with("False/NoCapacity: no instance type can be had now: Standard_NC24"),
        "{says}"
    );
    assert_eq!(plan.requeue.map(|after| after.as_secs()), Some(600));
    case.now = t(600);
    remember(&mut case, &[A100, H100], 0);
    assert_eq!(bought(&case.stored()), [A100]);
    // Claims of the last type stay until a better one may be asked for.
    let mut last = on(&[A100, H100]);
    remember(&mut last, &[A100], 0);
    let mut last = last.stored();
    refuse_all(&mut last, "AllocationFailure");
    remember(&mut last, &[A100, H100], 0);
    assert_eq!(actions(&last.plan()), Vec::<String>::new());
    let says = condition(&last.plan(), "ResourceReady");
    assert!(says.starts_with("False/AllocationFailure: 0 of 1"), "{says}");
    last.now = t(601);
    remember(&mut last, &[A100, H100], 0);
    assert_eq!(
        actions(&last.plan()),
        [format!("delete Machine {}", claim_name(0))]
    );
}

#[test]
fn sizes_are_those_of_the_type_that_is_taken() {
    let nodes = |case: &Case| bought(&case.clone().stored()).len();
    let (large, small) = (on(&[H100]), on(&[A10]));
    assert_eq!(nodes(&large), 1);
    assert!(nodes(&small) > 1);
    let mut case = on(&[A10, H100]).stored();
    assert_eq!(bought(&case).len(), nodes(&small));
    // One is launched and one is refused: the type cannot be had for all nodes.
    let mut claims: Vec<Claim> = case
        .observed
        .claims
        .iter()
        .map(|c| refused(c, "AllocationFailure"))
        .collect();
    claims[0] = with_launched(&claims[0], "True", "", "");
    case.observed.claims = claims;
    let given_back = actions(&case.plan());
    assert_eq!(given_back.len(), nodes(&small), "{given_back:?}");
    assert!(given_back.iter().all(|action| action.starts_with("delete")));
    remember(&mut case, &[A10], 0);
    let case = case.stored().stored();
    assert_eq!(bought(&case), [H100]);
    let claim = case.observed.claims[0].metadata();
    assert_eq!(claim.annotations.as_ref().unwrap()["kaito.sh/node-count"], "1");
}

#[test]
fn a_type_that_cannot_work_is_left_out_and_the_status_says_why() {
    let case = on(&[T4, A100]);
    let note = "InstanceTypeSkipped: Standard_NC4as_T4_v3 is left out: preset phi-4 needs GPUs of compute capability 8.0";
    let case = case.stored();
    assert!(case.stored_message().contains(note), "{}", case.stored_message());
    assert_eq!(bought(&case), [A100]);
    let says = condition(&on(&[T4, "Standard_NC4as_T5_v9"]).plan(), "ResourceReady");
    let starts =
        "False/GPUTooOld: no instance type can be used: Standard_NC4as_T4_v3: preset phi-4 needs GPUs";
    assert!(says.starts_with(starts), "{says}");
    assert!(
        says.contains("Standard_NC4as_T5_v9: instance type Standard_NC4as_T5_v9 is not known"),
        "{says}"
    );
    for (ladder, cause) in [
        (
            "A,,B",
            "resource.instanceType has an empty name between its commas",
        ),
        ("A,a", "resource.instanceType must name A once"),
    ] {
        let says = condition(&Case::serving("phi-4").on(ladder).plan(), "ResourceReady");
        assert!(says.starts_with(&format!("False/InvalidSpec: {cause}")), "{says}");
    }
}

#[test]
fn a_problem_that_all_types_share_is_said_once() {
    let unknown = workspace_plan::PresetLookup::Unknown { near: vec![] };
    let case = Case::new(objects::inference("phi-5"), unknown).on(&format!("{A100},{H100}"));
    let says = condition(&case.plan(), "ResourceReady");
    assert!(
        says.starts_with("False/PresetUnknown: there is no preset phi-5."),
        "{says}"
    );
}

#[test]
fn the_dearest_type_must_keep_the_ceilings() {
    let mut case = on(&[A100, H100]);
    case.settings.ceilings.workspace.usd_per_hour = "5".parse().ok();
    let says = condition(&case.plan(), "ResourceReady");
    let starts = "False/SpendingCeilingExceeded: 1 node of Standard_NC40ads_H100_v5 would cost $6.98/h; a Workspace may cost \
                  $5.00/h";
    assert!(says.starts_with(starts), "{says}");
    case.settings.ceilings.workspace.usd_per_hour = "7".parse().ok();
    assert_eq!(bought(&case.stored()), [A100]);
}

#[test]
fn a_retired_type_is_a_rung_too() {
    let retired = "Standard_NC6s_v3";
    let phi = |ladder: &[&str]| Case::serving("phi-3-mini-4k-instruct").on(&ladder.join(","));
    let mut case = phi(&[retired, A100]).stored().stored();
    assert_eq!(bought(&case), [A10]);
    assert_eq!(actions(&case.plan()), Vec::<String>::new());
    refuse_all(&mut case, "AllocationFailure");
    remember(&mut case, &[A10], 0);
    let case = case.stored().stored();
    assert_eq!(bought(&case), [A100]);
    assert_eq!(actions(&case.plan()), Vec::<String>::new());
}

/// A running model stays on its type, even if all of its claims are lost.
#[test]
fn what_runs_stays_on_its_type() {
    let mut case = on(&[A100, H100]);
    remember(&mut case, &[A100], 0);
    let mut case = case.stored();
    assert_eq!(bought(&case), [H100]);
    let claims = case.observed.claims.iter();
    let ready = claims.map(|claim| {
        let mut value = serde_json::to_value(claim).unwrap();
        value["status"] = serde_json::to_value(objects::machine(0, None)).unwrap()["status"].clone();
        parse::<kaito_api::Machine>(value).into()
    });
    case.observed.claims = ready.collect();
    case.observed.nodes = vec![Arc::new(objects::node(&claim_name(0), true, 1))];
    let case = case.stored().stored().answering().stored();
    assert!(case.observed.workloads.deployment.is_some());
    let mut lost = case;
    lost.observed.unavailable.clear();
    assert_eq!(actions(&lost.plan()), Vec::<String>::new());
    lost.observed.claims.clear();
    lost.observed.nodes.clear();
    assert_eq!(bought(&lost.stored()), [H100]);
}

#[test]
fn a_karpenters_claim_gives_way_when_it_is_withdrawn_or_lost() {
    let class = kaito_api::NodeClassRef {
        group: "karpenter.example.com".into(),
        kind: "ExampleNodeClass".into(),
        name: "gpu".into(),
    };
    let mut case = on(&[A100, H100]).claiming(ClaimKind::NodeClaim);
    case.settings.node_claims.class = class;
    let mut case = case.stored();
    let claims = case.observed.claims.iter();
    let failed = claims.map(|claim| with_launched(claim, "Unknown", "LaunchFailed", "no such type"));
    case.observed.claims = failed.collect();
    case.now = t(10);
    assert_eq!(
        actions(&case.plan()),
        Vec::<String>::new(),
        "it is tried a few times"
    );
    case.now = t(17);
    assert_eq!(
        actions(&case.plan()),
        [format!("delete NodeClaim {}", claim_name(0))]
    );
    let claim = case.observed.claims[0].clone();
    let mut memory = UnavailableTypes::default();
    memory.record(None, Some(&claim), case.now);
    assert!(memory.all(case.now).is_empty());
    memory.record(Some(&claim), None, case.now);
    let mut backoffs = workspace_plan::LaunchBackoffs::default();
    if let Claim::NodeClaim(claim) = &claim {
        backoffs.record(Some(claim), None, case.now);
    }
    case.observed.claims.clear();
    case.observed.launch_backoffs = backoffs.of("default", objects::NAME);
    case.observed.unavailable = memory.all(case.now);
    let case = case.stored();
    assert_eq!(
        bought(&case),
        [H100],
        "the pause of the other type does not count"
    );
}

fn ladders() -> impl Strategy<Value = Vec<&'static str>> {
    let types = proptest::sample::subsequence(vec![A100, H100, A10, T4], 2..5);
    types.prop_shuffle()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// A cloud refuses some types for a while. There are never two types, and no rung is left out without a reason. Nodes come
    /// once a type can be had.
    #[test]
    fn a_scarce_cloud_is_climbed(
        ladder in ladders(),
        scarce in proptest::collection::vec(proptest::collection::vec(any::<bool>(), 5), 1..6),
        restarts in proptest::collection::vec(any::<bool>(), 36),
        kind in 0_usize..2,
    ) {
        let mut case = on(&ladder).claiming(ClaimKind::ALL[kind]);
        let mut memory = UnavailableTypes::default();
        let mut old: Vec<Claim> = Vec::new();
        let mut last = Value::Null;
        for (turn, restart) in restarts.into_iter().enumerate() {
            let phase = scarce.get(turn / 5);
            case.now = t(i64::try_from(turn).unwrap() * 200);
            if restart {
                memory = UnavailableTypes::default();
            }
            // The provisioner answers every claim.
            let claims = case.observed.claims.iter().map(|claim| {
                let name = &bought_of(claim);
                let place = [A100, H100, A10, T4].iter().position(|known| known == name).unwrap_or(4);
                let refuses = phase.is_some_and(|phase| phase[place]);
                if refuses { refused(claim, "AllocationFailure") } else { with_launched(claim, "True", "", "") }
            });
            let new: Vec<Claim> = claims.collect();
            for claim in &new {
                let before = old.iter().find(|old| old.uid() == claim.uid()).filter(|_| !restart);
                memory.record(before, Some(claim), case.now);
            }
            old = new.clone();
            case.observed.claims = new;
            case.observed.unavailable = memory.all(case.now);
            let plan = case.plan();
            prop_assert_eq!(plan_check::check(&plan), vec![]);
            prop_assert_eq!(&plan, &case.plan());
            let deletes = actions(&plan).iter().filter(|action| action.starts_with("delete")).count();
            let applies = actions(&plan).len() - deletes;
            prop_assert!(deletes == 0 || applies == 0, "{:?}", actions(&plan));
            if let Some(status) = &plan.status {
                last = status.clone();
            }
            case = case.stored();
            let mut types = bought(&case);
            types.dedup();
            prop_assert!(types.len() <= 1, "{:?}", types);
            let text = last.to_string();
            for rung in ladder.iter().take_while(|rung| types.first().is_some_and(|taken| taken != *rung)) {
                prop_assert!(text.contains(rung), "{} is left out silently: {}", rung, text);
            }
        }
        prop_assert!(!case.observed.claims.is_empty());
        prop_assert!(case.observed.claims.iter().all(|claim| claim.is_true(ClaimConditionType::Launched)));
    }
}

fn bought_of(claim: &Claim) -> String {
    let requirements = claim.requirements();
    let found = requirements
        .iter()
        .find(|requirement| requirement.key == "node.kubernetes.io/instance-type");
    found.unwrap().values[0].clone()
}

/// More claims are refused or lost than a status has room for. Its lines settle at once, and each type has one.
#[test]
fn the_lines_of_many_claims_settle() {
    let container = json!({"name": "c", "image": "example.com/model:1"});
    let nodes = 12;
    for (kind, lost) in [
        (ClaimKind::Machine, false),
        (ClaimKind::NodeClaim, false),
        (ClaimKind::NodeClaim, true),
    ] {
        let mut case = Case::new(objects::template(container.clone()), PresetLookup::NotNeeded)
            .on(&[A100, H100].join(","))
            .edit(|workspace| workspace.spec.resource.as_mut().unwrap().count = nodes)
            .claiming(kind)
            .stored();
        assert_eq!(case.observed.claims.len(), 12);
        case.now = t(10);
        refuse_all(&mut case, "AllocationFailure");
        if lost {
            let mut backoffs = workspace_plan::LaunchBackoffs::default();
            for claim in case.observed.claims.drain(..) {
                if let Claim::NodeClaim(claim) = claim {
                    backoffs.record(Some(&claim), None, t(10));
                }
            }
            case.observed.launch_backoffs = backoffs.of("default", objects::NAME);
        }
        remember(&mut case, &[H100], 9);
        let plan = case.plan();
        let lines = attempts(&plan);
        assert_eq!(lines.len(), 10, "{lines:?}");
        assert!(lines.contains(&format!("{H100} AllocationFailure")), "{lines:?}");
        // Nothing but the status changes.
        let stored = plan.status.as_ref().unwrap()["attempts"].clone();
        let case = case.edit(|workspace| workspace.status = plan.status.map(parse));
        for second in [10, 11, 70] {
            let mut later = case.clone();
            later.now = t(second);
            let again = later.plan().status.map(|status| status["attempts"].clone());
            assert!(
                again.is_none_or(|again| again == stored),
                "{kind:?} {lost} {second}"
            );
        }
    }
}
