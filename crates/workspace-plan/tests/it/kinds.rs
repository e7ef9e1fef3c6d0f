//! NodeClaims do what Machines do, and switching between them neither leaks nor orders twice.

use kaito_api::ClaimKind;
use plan::{Kind, Plan, Write};
use serde_json::json;
use workspace_plan::LaunchBackoff;

use crate::case::{Case, actions, check, condition};
use crate::objects::{self, claim, claim_name, parse};

fn applied(plan: &Plan) -> Vec<Kind> {
    let kinds = plan.writes.iter().filter_map(|write| match write {
        Write::Apply(manifest) => Some(manifest.kind()),
        _ => None,
    });
    kinds
        .filter(|kind| matches!(kind, Kind::Machine | Kind::NodeClaim))
        .collect()
}

#[test]
fn a_workspace_asks_for_nodes_by_the_kind_that_is_configured() {
    for kind in ClaimKind::ALL {
        let plan = Case::serving("phi-4").claiming(kind).plan();
        assert_eq!(plan_check::check(&plan), vec![]);
        assert_eq!(applied(&plan), [Kind::from(kind)]);
        let told = &plan.events[0];
        assert_eq!(told.reason, format!("{}Created", kind.as_str()));
        assert!(told.message.starts_with(&format!(
            "Asked for a node by {} {}.",
            kind.as_str(),
            claim_name(0)
        )));
    }
}

#[test]
fn a_workspace_is_served_by_node_claims() {
    let kind = ClaimKind::NodeClaim;
    let mut case = Case::serving("phi-4").claiming(kind);
    case.observed.claims = vec![claim(
        kind,
        0,
        Some(("SubscriptionQuotaReached", "No quota left.")),
    )];
    let says = "False/SubscriptionQuotaReached: 0 of 1 NodeClaims are ready; NodeClaim ";
    check(
        &case,
        "NodeClaimReady",
        says,
        &["apply NodeClaim", "apply NetworkPolicy", "apply Service"],
    );
    check(
        &case,
        "ResourceReady",
        "False/SubscriptionQuotaReached",
        &["apply NodeClaim", "apply NetworkPolicy", "apply Service"],
    );
    let running = Case::serving("phi-4")
        .claiming(kind)
        .with_nodes(1, 1)
        .stored()
        .answering();
    let plan = running.plan();
    assert!(condition(&plan, "NodeClaimReady").starts_with("True/NodeClaimsReady: 1 of 1 NodeClaims"));
    assert_eq!(
        condition(&plan, "MachineReady"),
        "",
        "of the other kind nothing is said"
    );
    // The mark of a revision that was never ready goes.
    assert_eq!(actions(&plan), ["apply ControllerRevision"]);
    let going = running.deleted();
    let gone = format!("delete NodeClaim {}", claim_name(0));
    assert_eq!(
        actions(&going.plan()),
        [
            "delete Deployment w",
            "delete Service w",
            "delete NetworkPolicy w-kaito",
            &gone
        ]
    );
    assert_eq!(actions(&going.stored().plan()), ["release"]);
}

#[test]
fn messages_of_another_provisioner_are_passed_on() {
    let kind = ClaimKind::NodeClaim;
    let mut case = Case::serving("phi-4").claiming(kind);
    case.observed.claims = vec![claim(
        kind,
        0,
        Some(("NodeClassNotReady", "Subnets are missing.")),
    )];
    let says = condition(&case.plan(), "NodeClaimReady");
    assert!(
        says.ends_with("NodeClassNotReady: Subnets are missing."),
        "{says}"
    );
}

#[test]
fn a_node_claim_that_drains_is_reported_by_its_own_conditions() {
    let kind = ClaimKind::NodeClaim;
    let mut case = Case::serving("phi-4").claiming(kind).deleted();
    let mut going = claim(kind, 0, None);
    objects::metadata(&mut going).deletion_timestamp = Some(parse(json!(objects::t(0).to_string())));
    let mut value = serde_json::to_value(&going).unwrap();
    value["status"]["conditions"].as_array_mut().unwrap().push(json!({
        "type": "Drained", "status": "Unknown", "reason": "Draining", "message": "Pod a/b is held.",
        "lastTransitionTime": objects::t(0).to_string(),
    }));
    case.observed.claims = vec![parse::<kaito_api::NodeClaim>(value).into()];
    let says = condition(&case.plan(), "WorkspaceDeleting");
    assert!(says.contains("(Draining: Pod a/b is held)"), "{says}");
}

#[test]
fn claims_of_the_other_kind_are_kept_and_counted_until_they_are_deleted() {
    for kind in ClaimKind::ALL {
        // Two claims of the old kind exist, one of them is ready.
        let old = Case::serving("llama-3.3-70b-instruct")
            .claiming(kind)
            .with_nodes(2, 4);
        let wanted = u32::try_from(old.observed.claims.len()).unwrap();
        let switched = old.claiming(kind.other());
        let plan = switched.plan();
        assert!(
            !applied(&plan).contains(&Kind::from(kind)),
            "the old kind is not made any more"
        );
        let names: Vec<String> = (0..wanted).map(claim_name).collect();
        let doubled = plan.writes.iter().any(|write| match write {
            Write::Apply(manifest) => names.contains(&manifest.target().name),
            Write::Delete(delete) => names.contains(&delete.target.name),
            _ => false,
        });
        assert!(!doubled, "{:?}", actions(&plan));
        let deleted = switched.deleted();
        for name in &names {
            let gone = format!("delete {} {name}", kind.as_str());
            assert!(actions(&deleted.plan()).contains(&gone));
        }
    }
}

#[test]
fn a_running_workspace_notices_nothing_of_a_switch() {
    for kind in ClaimKind::ALL {
        let running = Case::serving("phi-4")
            .claiming(kind)
            .with_nodes(1, 1)
            .stored()
            .answering()
            .stored();
        let switched = running.claiming(kind.other());
        let plan = switched.plan();
        assert_eq!(actions(&plan), [""; 0]);
        let said = condition(&plan, &format!("{}Ready", kind.other().as_str()));
        assert!(said.starts_with("True/"), "{said}");
    }
}

#[test]
fn an_ordinal_waits_for_the_terminating_claim_of_the_other_kind() {
    for kind in ClaimKind::ALL {
        let mut case = Case::serving("phi-4").claiming(kind.other());
        let mut going = claim(kind, 0, None);
        objects::metadata(&mut going).deletion_timestamp = Some(parse(json!(objects::t(0).to_string())));
        case.observed.claims = vec![going];
        assert_eq!(applied(&case.plan()), []);
        case.observed.claims.clear();
        assert_eq!(applied(&case.plan()), [Kind::from(kind.other())]);
    }
}

#[test]
fn of_two_claims_of_one_ordinal_the_less_preferred_is_deleted_while_nothing_runs() {
    for kind in ClaimKind::ALL {
        let mut case = Case::serving("phi-4").claiming(kind);
        let waiting = Some(("InstanceCreating", "made"));
        case.observed.claims = vec![claim(kind, 0, waiting), claim(kind.other(), 0, None)];
        let lesser = format!("delete {} {}", kind.as_str(), claim_name(0));
        assert!(actions(&case.plan()).contains(&lesser), "the other one is ready");
        case.observed.claims = vec![claim(kind, 0, None), claim(kind.other(), 0, None)];
        let lesser = format!("delete {} {}", kind.other().as_str(), claim_name(0));
        assert!(
            actions(&case.plan()).contains(&lesser),
            "the other one is of the wrong kind"
        );
        let mut running = Case::serving("phi-4").claiming(kind).with_nodes(1, 1).stored();
        running.observed.claims.push(claim(kind.other(), 0, None));
        assert_eq!(actions(&running.plan()), [""; 0]);
    }
}

#[test]
fn a_workspace_on_own_nodes_deletes_earlier_claims() {
    let mut case = Case::serving("phi-4").byo();
    case.observed.claims = ClaimKind::ALL.map(|kind| claim(kind, 0, None)).to_vec();
    assert_eq!(applied(&case.plan()), []);
    let deleted = actions(&case.deleted().plan());
    for kind in ClaimKind::ALL {
        assert!(
            deleted.contains(&format!("delete {} {}", kind.as_str(), claim_name(0))),
            "{deleted:?}"
        );
    }
}

#[test]
fn a_node_claim_keeps_the_spec_it_was_made_with() {
    let kind = ClaimKind::NodeClaim;
    let mut case = Case::serving("phi-4").claiming(kind).with_nodes(1, 1);
    case.settings.node_claims.class.name = "another".into();
    let plan = case.plan();
    let Some(Write::Apply(manifest)) = plan.writes.first() else {
        panic!("{:?}", actions(&plan))
    };
    let stored = serde_json::to_value(&case.observed.claims[0]).unwrap();
    assert_eq!(manifest.to_value()["spec"], stored["spec"]);
    assert!(
        !applied(&case.stored().plan()).contains(&Kind::NodeClaim),
        "once is enough"
    );
}

#[test]
fn a_claim_that_its_provisioner_deleted_is_created_again_after_a_pause() {
    for (failures, pause) in [(1, 10), (2, 20), (4, 80), (30, 600)] {
        let mut case = Case::serving("phi-4").claiming(ClaimKind::NodeClaim);
        let backoff = LaunchBackoff {
            failed_at: case.now,
            failures,
            ..LaunchBackoff::default()
        };
        case.observed.launch_backoffs.insert(claim_name(0), backoff);
        let plan = case.plan();
        assert_eq!(applied(&plan), []);
        assert_eq!(
            plan.requeue.map(|after| after.as_secs()),
            Some(pause),
            "{failures}"
        );
        let says = condition(&plan, "NodeClaimReady");
        assert!(
            says.starts_with("False/NodeClaimLost: 0 of 1 NodeClaims are ready; NodeClaim ws"),
            "{says}"
        );
        case.now = objects::t(pause.cast_signed());
        assert_eq!(applied(&case.plan()), [Kind::NodeClaim]);
        assert_eq!(case.plan().requeue, None);
    }
    // A claim that exists again is not delayed, and neither is another ordinal.
    let mut case = Case::serving("phi-4")
        .claiming(ClaimKind::NodeClaim)
        .with_nodes(1, 1);
    let backoff = LaunchBackoff {
        failed_at: case.now,
        failures: 3,
        ..LaunchBackoff::default()
    };
    case.observed
        .launch_backoffs
        .insert(claim_name(0), backoff.clone());
    assert!(condition(&case.plan(), "NodeClaimReady").starts_with("True/"));
    case.observed.claims.clear();
    case.observed.launch_backoffs = [(claim_name(7), backoff)].into();
    assert_eq!(applied(&case.plan()), [Kind::NodeClaim]);
}
