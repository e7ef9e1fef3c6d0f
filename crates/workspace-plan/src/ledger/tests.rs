//! Histories of grants.

use instance_types::{Ceiling, Ceilings};
use kaito_api::{Machine, labels};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::testing;

const A100: &str = "Standard_NC24ads_A100_v4";
const SECOND: Duration = Duration::from_secs(1);

fn settings(nodes: Option<u32>, usd: Option<&str>) -> Settings {
    let namespace = Ceiling {
        nodes,
        usd_per_hour: usd.map(|usd| usd.parse().unwrap()),
    };
    Settings {
        ceilings: Ceilings {
            namespace,
            ..Ceilings::default()
        },
        ..testing::settings()
    }
}

fn request(workspace: &str, nodes: usize) -> GrantRequest {
    GrantRequest {
        namespace: "ns".to_owned(),
        workspace: workspace.to_owned(),
        claims: (0..nodes)
            .map(|ordinal| format!("{workspace}-{ordinal}"))
            .collect(),
        instance_type: A100.to_owned(),
        usd_micros_each: price::of(&testing::settings(), A100),
    }
}

fn claim(name: &str) -> Claim {
    let value = json!({
        "metadata": {"name": name, "labels": {labels::WORKSPACE_NAMESPACE: "ns"}},
        "spec": {"requirements": [{"key": labels::INSTANCE_TYPE, "operator": "In", "values": [A100]}]},
    });
    serde_json::from_value::<Machine>(value).unwrap().into()
}

fn is_granted(answer: &(Grant, Vec<Wake>)) -> bool {
    answer.0 == Grant::Granted
}

#[test]
fn an_administrators_price_counts_for_nodes_that_exist() {
    let mut settings = settings(None, Some("8"));
    let file = "cloud: azure\nprices: {region: r, as_of: 2026-11-30, source: s}\nusd_per_hour: {Standard_NC24ads_A100_v4: 7}\n";
    let types = settings.instance_types.with_files([("ours.yaml", file)]);
    settings.instance_types = types.unwrap().catalog.into();
    let asked = GrantRequest {
        usd_micros_each: Some(2_000_000),
        ..request("b", 1)
    };
    let (answer, _) = SpendLedger::default().request(&settings, &asked, &[claim("a-0")], SECOND);
    let Grant::Refused(refusal) = answer else {
        panic!("granted");
    };
    let cause = refusal.problem().cause;
    assert!(cause.contains("has $1.00/h of $8.00/h left"), "{cause}");
}

#[test]
fn a_namespace_never_gets_more_than_its_ceiling() {
    let settings = settings(Some(3), None);
    let mut ledger = SpendLedger::default();
    let mut ask =
        |workspace, nodes| is_granted(&ledger.request(&settings, &request(workspace, nodes), &[], SECOND));
    assert!(ask("a", 2));
    assert!(!ask("b", 2), "before any claim of the first exists");
    assert!(ask("c", 1));
    assert!(ask("a", 2) && ask("c", 1), "a grant is repeated");
    assert!(!ask("a", 3));
}

#[test]
fn the_price_counts_and_an_unknown_one_is_refused() {
    let settings = settings(None, Some("8"));
    let mut ledger = SpendLedger::default();
    assert!(is_granted(&ledger.request(
        &settings,
        &request("a", 2),
        &[],
        SECOND
    )));
    let (Grant::Refused(refusal), _) = ledger.request(&settings, &request("b", 1), &[], SECOND) else {
        panic!("7.35 + 3.67 is more than 8");
    };
    assert_eq!(
        refusal.problem().cause,
        "1 node of Standard_NC24ads_A100_v4 would cost $3.67/h; namespace ns has $0.65/h of $8.00/h left"
    );
    let unknown = GrantRequest {
        usd_micros_each: None,
        ..request("c", 1)
    };
    let (Grant::Refused(refusal), _) = ledger.request(&settings, &unknown, &[], SECOND) else {
        panic!("the price is unknown");
    };
    assert!(refusal.problem().cause.starts_with("the price of"));
}

#[test]
fn a_spot_node_counts_as_an_on_demand_one() {
    let settings = settings(None, Some("4"));
    let mut ledger = SpendLedger::default();
    let mut value = serde_json::to_value(claim("a-0")).unwrap();
    value["metadata"]["labels"][labels::CAPACITY_TYPE] = labels::SPOT.into();
    let requirements = value["spec"]["requirements"].as_array_mut().unwrap();
    requirements.push(json!({"key": labels::CAPACITY_TYPE, "operator": "In", "values": [labels::SPOT]}));
    let spot: Claim = serde_json::from_value::<Machine>(value).unwrap().into();
    let (answer, _) = ledger.request(&settings, &request("b", 1), &[spot], SECOND);
    assert_ne!(
        answer,
        Grant::Granted,
        "7.35 at the on-demand price is more than 4"
    );
}

#[test]
fn claims_that_exist_count_without_a_grant_and_are_never_refused() {
    let settings = settings(Some(2), None);
    let mut ledger = SpendLedger::default();
    let existing = ["a-0", "a-1", "a-2"].map(claim);
    assert!(is_granted(&ledger.request(
        &settings,
        &request("a", 3),
        &existing,
        SECOND
    )));
    assert!(!is_granted(&ledger.request(
        &settings,
        &request("b", 1),
        &existing,
        SECOND
    )));
}

#[test]
fn waiting_workspaces_are_woken_when_room_appears() {
    let settings = settings(Some(2), None);
    let mut ledger = SpendLedger::default();
    assert!(is_granted(&ledger.request(
        &settings,
        &request("a", 2),
        &[],
        SECOND
    )));
    assert!(!is_granted(&ledger.request(
        &settings,
        &request("b", 1),
        &[],
        SECOND
    )));
    let wake = |after| {
        vec![Wake {
            namespace: "ns".to_owned(),
            workspace: "b".to_owned(),
            after,
        }]
    };
    assert_eq!(ledger.freed("ns"), wake(Duration::ZERO));
    // A claim of the withdrawn grant may be on its way into the caches.
    assert_eq!(ledger.withdraw("ns", "a", SECOND * 2), wake(HOLD));
    assert!(!is_granted(&ledger.request(
        &settings,
        &request("b", 1),
        &[],
        SECOND * 3
    )));
    assert!(is_granted(&ledger.request(
        &settings,
        &request("b", 1),
        &[],
        SECOND * 2 + HOLD
    )));
    assert_eq!(ledger.freed("ns"), []);
    assert_eq!(ledger.withdraw("ns", "b", SECOND * 70), []);
    assert_eq!(ledger.withdraw("ns", "b", SECOND * 200), []);
    assert!(ledger.accounts.is_empty(), "nothing is remembered for ever");
}

#[test]
fn a_workspace_that_is_refused_for_a_hold_is_woken_when_it_ends() {
    let settings = settings(Some(2), None);
    let mut ledger = SpendLedger::default();
    let mut ask = |workspace, now| {
        let answer = ledger.request(&settings, &request(workspace, 2), &[], now);
        (is_granted(&answer), answer.1)
    };
    assert_eq!(ask("a", SECOND), (true, vec![]));
    assert_eq!(ask("b", SECOND), (false, vec![]), "nothing is held");
    ledger.withdraw("ns", "b", SECOND);
    assert_eq!(ledger.withdraw("ns", "a", SECOND), [], "nobody waits");
    let (answer, wakes) = ledger.request(&settings, &request("b", 2), &[], SECOND * 11);
    assert_ne!(answer, Grant::Granted);
    let [wake] = wakes.as_slice() else {
        panic!("{wakes:?}")
    };
    assert_eq!((wake.workspace.as_str(), wake.after), ("b", HOLD - SECOND * 10));
    let again = ledger.request(&settings, &request("b", 2), &[], SECOND * 11 + wake.after);
    assert!(is_granted(&again));
}

/// One step of a random history.
#[derive(Clone, Debug)]
enum Step {
    Ask(usize, usize),
    Create(usize, usize),
    Remove(usize, usize),
    Withdraw(usize),
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (workspace, nodes) = (0..4_usize, 0..4_usize);
    let step = prop_oneof![
        4 => (workspace.clone(), nodes.clone()).prop_map(|(workspace, nodes)| Step::Ask(workspace, nodes)),
        4 => (workspace.clone(), nodes.clone()).prop_map(|(workspace, ordinal)| Step::Create(workspace, ordinal)),
        2 => (workspace.clone(), nodes).prop_map(|(workspace, ordinal)| Step::Remove(workspace, ordinal)),
        1 => workspace.prop_map(Step::Withdraw),
        1 => Just(Step::Restart),
    ];
    proptest::collection::vec(step, 0..60)
}

proptest! {
    #[test]
    fn claims_never_exceed_the_ceiling(steps in steps(), limit in 1_u32..6) {
        let settings = settings(Some(limit), None);
        let (mut ledger, mut existing) = (SpendLedger::default(), BTreeSet::new());
        // Claims that each Workspace may create: those of its last grant.
        let mut allowed: BTreeMap<usize, usize> = BTreeMap::new();
        for (at, step) in (0_u32..).zip(steps) {
            let now = SECOND * at;
            match step {
                Step::Ask(workspace, nodes) => {
                    let claims: Vec<Claim> = existing.iter().map(|name: &String| claim(name)).collect();
                    let asked = request(&format!("w{workspace}"), nodes);
                    if is_granted(&ledger.request(&settings, &asked, &claims, now)) {
                        allowed.insert(workspace, nodes);
                    }
                }
                Step::Create(workspace, ordinal) => {
                    if allowed.get(&workspace).is_some_and(|nodes| ordinal < *nodes) {
                        existing.insert(format!("w{workspace}-{ordinal}"));
                    }
                }
                Step::Remove(workspace, ordinal) => drop(existing.remove(&format!("w{workspace}-{ordinal}"))),
                Step::Withdraw(workspace) => {
                    allowed.remove(&workspace);
                    ledger.withdraw("ns", &format!("w{workspace}"), now);
                }
                Step::Restart => {
                    allowed.clear();
                    ledger = SpendLedger::default();
                }
            }
            prop_assert!(existing.len() <= usize::try_from(limit).unwrap());
        }
    }
}
