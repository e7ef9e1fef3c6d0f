//! Capacity types and zones of a Workspace: its annotations and the defaults, on claims of both kinds, and their change.

use kaito_api::conditions::ClaimConditionType;
use kaito_api::{AllowedOfferings, Claim, ClaimKind};
use plan::Write;
use serde_json::json;

use crate::case::{Case, actions, check, condition};
use crate::objects::{self, claim_name, parse, t};

const TYPES: &str = "kaito.sh/capacity-types";
const ZONES: &str = "kaito.sh/zones";

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// Capacity types and zones that the claims of the case ask for.
fn asked(case: &Case) -> Vec<String> {
    let claims = case.observed.claims.iter().map(AllowedOfferings::of_claim);
    claims
        .map(|allowed| {
            format!(
                "{} | {}",
                allowed.capacity_types.join(" "),
                allowed.zones.join(" ")
            )
        })
        .collect()
}

/// With a condition of the claim's launch.
fn launched(claim: &Claim, status: &str, reason: &str) -> Claim {
    let mut value = serde_json::to_value(claim).unwrap();
    let kind = claim.claim_kind();
    value["metadata"]["creationTimestamp"] = t(0).to_string().into();
    value["status"]["conditions"] = json!([{
        "type": ClaimConditionType::Launched.as_str(kind), "status": status, "reason": reason, "message": "m",
        "lastTransitionTime": t(1).to_string(),
    }]);
    match kind {
        ClaimKind::Machine => parse::<kaito_api::Machine>(value).into(),
        ClaimKind::NodeClaim => parse::<kaito_api::NodeClaim>(value).into(),
    }
}

fn with_launch(mut case: Case, status: &str, reason: &str) -> Case {
    let claims = case.observed.claims.iter();
    case.observed.claims = claims.map(|claim| launched(claim, status, reason)).collect();
    case
}

#[test]
fn annotations_and_defaults_reach_claims_of_both_kinds_in_their_order() {
    for kind in ClaimKind::ALL {
        let mut case = Case::serving("phi-4").claiming(kind);
        assert_eq!(asked(&case.clone().stored().stored()), [" | "], "{kind:?}");
        case.settings.offerings = AllowedOfferings {
            capacity_types: words("spot on-demand"),
            zones: words("eastus2-2 eastus2-1"),
        };
        assert_eq!(
            asked(&case.clone().stored().stored()),
            ["spot on-demand | eastus2-2 eastus2-1"]
        );
        let own = case.clone().annotated(TYPES, " on-demand , spot ");
        assert_eq!(
            asked(&own.clone().stored().stored()),
            ["on-demand spot | eastus2-2 eastus2-1"],
            "each annotation replaces its own default"
        );
        let own = own.annotated(ZONES, "3,1").stored().stored();
        assert_eq!(asked(&own), ["on-demand spot | 3 1"]);
        assert_eq!(actions(&own.plan()), Vec::<String>::new());
    }
}

#[test]
fn what_cannot_be_read_buys_nothing_and_stops_nothing() {
    let wrong = [
        (TYPES, "cheap", "must be spot, on-demand or reserved"),
        (ZONES, "1,1", "must be up to 8 different zones"),
    ];
    for (annotation, text, must) in wrong {
        let case = Case::serving("phi-4").annotated(annotation, text);
        let says = condition(&case.plan(), "ResourceReady");
        assert!(says.contains(must), "{says}");
        check(&case, "ResourceReady", "False/", &[]);
        let serving = Case::serving("phi-4")
            .with_nodes(1, 1)
            .stored()
            .stored()
            .answering();
        let edited = serving.annotated(annotation, text);
        let done: Vec<String> = actions(&edited.plan());
        assert!(
            !done.iter().any(|action| action.starts_with("delete")),
            "{done:?}"
        );
    }
    // Nothing is bought where users bring their own nodes.
    let own = Case::serving("phi-4").byo().annotated(TYPES, "cheap");
    let says = condition(&own.plan(), "ResourceReady");
    assert!(!says.contains("must be spot"), "{says}");
}

#[test]
fn a_change_concerns_claims_without_an_instance_alone() {
    for kind in ClaimKind::ALL {
        let case = Case::serving("phi-4")
            .claiming(kind)
            .annotated(TYPES, "spot")
            .stored()
            .stored();
        let waiting =
            with_launch(case.clone(), "False", "AllocationFailure").annotated(TYPES, "spot,on-demand");
        let plan = waiting.plan();
        assert_eq!(plan_check::check(&plan), vec![]);
        assert_eq!(
            actions(&plan),
            [format!("delete {} {}", kind.as_str(), claim_name(0))]
        );
        let Some(Write::Delete(delete)) = plan.writes.first() else {
            panic!("{:?}", plan.writes)
        };
        assert!(delete.resource_version.is_some(), "it may be launched meanwhile");
        // Its instance may exist until it is gone, so nothing takes its place before.
        let mut going = waiting.clone();
        for claim in &mut going.observed.claims {
            objects::metadata(claim).deletion_timestamp = Some(parse(t(5).to_string().into()));
        }
        assert_eq!(actions(&going.plan()), Vec::<String>::new());
        let replaced = waiting.stored().stored();
        assert_eq!(asked(&replaced), ["spot on-demand | "]);
        assert_eq!(actions(&replaced.plan()), Vec::<String>::new());
        // The order alone is a change, too.
        let turned = replaced.annotated(TYPES, "on-demand,spot").stored().stored();
        assert_eq!(asked(&turned), ["on-demand spot | "]);
        // What was bought stays, whatever it was asked for.
        let bought = with_launch(case, "True", "Launched")
            .annotated(TYPES, "on-demand")
            .annotated(ZONES, "1");
        assert_eq!(actions(&bought.plan()), Vec::<String>::new(), "{kind:?}");
        assert_eq!(asked(&bought.stored()), ["spot | "]);
    }
}

#[test]
fn a_lost_node_of_a_running_model_follows_the_annotation() {
    let mut case = Case::serving("phi-4").annotated(TYPES, "spot").stored().stored();
    let ready = objects::machine(0, None);
    let mut claim = launched(&case.observed.claims[0], "True", "Launched");
    if let Claim::Machine(machine) = &mut claim {
        std::sync::Arc::make_mut(machine).status = ready.status;
    }
    case.observed.claims = vec![claim];
    case.observed.nodes = vec![std::sync::Arc::new(objects::node(&claim_name(0), true, 1))];
    let settled = case.stored().stored().answering().stored();
    assert_eq!(actions(&settled.plan()), Vec::<String>::new());
    let mut running = settled.annotated(TYPES, "on-demand");
    assert_eq!(actions(&running.plan()), Vec::<String>::new());
    running.observed.claims.clear();
    running.observed.nodes.clear();
    let replaced = running.stored();
    assert_eq!(asked(&replaced), ["on-demand | "]);
    // While it waits, another change takes effect.
    let waiting = with_launch(replaced, "False", "AllocationFailure").annotated(TYPES, "spot");
    assert_eq!(asked(&waiting.stored().stored()), ["spot | "]);
}

#[test]
fn a_rung_is_tried_again_with_other_offerings() {
    let ladder = "Standard_NC24ads_A100_v4,Standard_NC40ads_H100_v5";
    let case = Case::serving("phi-4")
        .on(ladder)
        .annotated(TYPES, "spot")
        .stored()
        .stored();
    let refused = with_launch(case, "False", "AllocationFailure").annotated(TYPES, "on-demand");
    let again = refused.stored().stored();
    assert_eq!(asked(&again), ["on-demand | "]);
    assert_eq!(
        again.observed.claims[0].instance_type(),
        Some("Standard_NC24ads_A100_v4"),
        "on-demand capacity of the first type was never asked for"
    );
}

#[test]
fn the_status_says_what_was_bought() {
    let mut case = Case::serving("phi-4").with_nodes(1, 1).stored().stored();
    let bought = |case: &Case| {
        let stored = case.clone().stored();
        let status = stored.observed.workspace.status.clone().unwrap();
        let line = |found: &kaito_api::workspace_status::BoughtOffering| {
            format!("{} {} {}", found.nodes, found.capacity_type, found.zone)
        };
        status.offerings.iter().map(line).collect::<Vec<_>>()
    };
    assert_eq!(bought(&case), Vec::<String>::new(), "no label says it");
    let label = |claim: &mut Claim, key: &str, value: &str| {
        let labels = objects::metadata(claim).labels.get_or_insert_default();
        labels.insert(key.to_owned(), value.to_owned());
    };
    label(&mut case.observed.claims[0], "karpenter.sh/capacity-type", "spot");
    assert_eq!(bought(&case), ["1 spot "]);
    label(
        &mut case.observed.claims[0],
        "topology.kubernetes.io/zone",
        "eastus2-1",
    );
    assert_eq!(bought(&case), ["1 spot eastus2-1"]);
    let node = std::sync::Arc::make_mut(&mut case.observed.nodes[0]);
    let labels = node.metadata.labels.get_or_insert_default();
    labels.insert("topology.kubernetes.io/zone".to_owned(), "eastus2-3".to_owned());
    assert_eq!(bought(&case), ["1 spot eastus2-3"], "the Node knows");
    let waiting = with_launch(case, "False", "AllocationFailure");
    assert_eq!(bought(&waiting), Vec::<String>::new());
}
