//! Events are published once.

use crate::case::Case;
use crate::objects::machine;

fn told(case: &Case) -> Vec<(bool, &'static str)> {
    case.plan()
        .events
        .iter()
        .map(|event| (event.warning, event.reason))
        .collect()
}

#[test]
fn a_claim_a_problem_and_the_end_cause_one_event_each() {
    let fresh = Case::serving("phi-4");
    assert_eq!(told(&fresh), [(false, "MachineCreated")]);
    let mut stuck = fresh.stored();
    stuck.observed.claims = vec![machine(0, Some(("SKUNotAvailable", "Not here."))).into()];
    assert_eq!(told(&stuck), [(true, "SKUNotAvailable")]);
    let stuck = stuck.stored();
    assert_eq!(told(&stuck), []);
    let ready = stuck.with_nodes(1, 1).stored().answering();
    assert_eq!(told(&ready), [(false, "Ready")]);
    assert_eq!(told(&ready.stored()), []);
}
